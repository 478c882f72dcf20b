"""
Make a chain and its keys, also in an empty private database before it is used.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.cli import access
from ledger.cli.access import Access
from ledger.cli.identity import identity
from ledger.cli.options import Dsn
from ledger.domain.events.control import KeyNamed
from ledger.errors import InvalidInput, LedgerError, OutcomeUnknown
from ledger.journal.chain_creation import check_new, create_chain
from ledger.queries import Books
from ledger.sandbox import home
from ledger.storage import chains, database, upgrade
from ledger.storage.database import DriverError

SANDBOX_ORIGIN: Final = "sandbox.example/trades"
WRITER_SOURCES: Final = ("engine", "nautilus", "operator")
KEY_HOLDERS: Final = (
    ("checkpoint", "signer"),
    ("publisher", "region-a"),
    ("replica", "region-b"),
    ("recovery", "safe"),
)


def make_keys(folder: Path) -> list[KeyPair]:
    """
    Make one key for each purpose in *folder*, and return them.

    Raises:
        InvalidInput: there are keys already.
    """
    pairs = [KeyPair(purpose, name, secrets.token_bytes(32)) for purpose, name in KEY_HOLDERS]
    for number, pair in enumerate(pairs):
        try:
            signatures.write(_place(folder, pair), pair)
        except FileExistsError as error:
            remove_keys(folder, pairs[:number])
            raise InvalidInput(f"{folder} holds keys already; name another folder with --keys") from error
        except OSError as error:
            remove_keys(folder, pairs[:number])
            raise InvalidInput(f"{folder} cannot be written: {error.strerror}; name another with --keys") from error
    return pairs


def _place(folder: Path, pair: KeyPair) -> Path:
    return folder / f"{pair.purpose}.json"


def remove_keys(folder: Path, pairs: list[KeyPair]) -> None:
    """
    Remove the files of keys that no chain names.
    """
    for pair in pairs:
        _place(folder, pair).unlink(missing_ok=True)


def named(pairs: list[KeyPair]) -> list[KeyNamed]:
    """
    Return the public halves, as the chain names them.
    """
    return [
        KeyNamed(key_id=p.key_id, purpose=p.purpose, name=p.name, public_key=p.public_key.hex())  # type: ignore[arg-type]
        for p in pairs
    ]


def set_aside(folder: Path) -> None:
    """
    Move *folder* beside itself if it is there: keys of a chain that was not made to its end, or whose database is gone.

    They are not removed, since an archive or a checkpoint elsewhere may still name them.
    """
    for number in itertools.count(1):
        aside = folder.with_name(f"{folder.name}.{number}")
        if aside.exists():
            continue
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            print(f"keys that no chain here names were in {folder}; they are now in {aside}", file=sys.stderr)
        return


def make(found: Access, origin: str, folder: Path, writer_login: str) -> int:
    """
    Make the chain of *origin*, its keys in *folder*, and let *writer_login* append; return the seq of its head.
    """
    check_new(found.dsn("owner"), origin, [writer_login])
    pairs = make_keys(folder)
    sources = [(writer_login, source) for source in WRITER_SOURCES]
    try:
        return create_chain(found.dsn("owner"), origin, named(pairs), sources)[1].seq
    except OutcomeUnknown as error:
        # The chain may be there and name them.
        raise OutcomeUnknown(
            f"{error}; its keys stay in {folder}: see with `tradeledger head --origin {origin}` whether it is there, "
            "and remove them if it is not"
        ) from error
    except LedgerError:
        remove_keys(folder, pairs)
        raise
    except DriverError as error:
        remove_keys(folder, pairs)
        raise database.translated(error) from error


def prepared(found: Access) -> None:
    """
    Make schema and chain in a private database that has none; a given database is left to its operator.
    """
    if found.private is None:
        return
    with home.alone("chain"):
        _prepare(found)


def _prepare(found: Access) -> None:
    upgrade.upgrade(found.dsn("owner"))
    with database.connect(found.dsn("reader"), "tradeledger") as connection:
        there = chains.all_chains(connection)
    if not there:
        folder = access.keys_folder(SANDBOX_ORIGIN)
        set_aside(folder)
        print(f"making the chain {SANDBOX_ORIGIN} with throwaway keys in {folder}", file=sys.stderr)
        make(found, SANDBOX_ORIGIN, folder, "writer")


def init(
    origin: Annotated[str, typer.Option(help="Who the chain is to the world, such as ledger.example.com/trades.")],
    dsn: Dsn = None,
    keys: Annotated[Path | None, typer.Option(help="Folder for the private keys; default under $LEDGER_HOME.")] = None,
    writer: Annotated[str, typer.Option(help="The login that may append.")] = "writer",
) -> None:
    """
    Make a chain, its keys, and its first event, which pins them.
    """
    with access.making(dsn) as found:
        if found.private is not None:
            upgrade.upgrade(found.dsn("owner"))
        folder = keys or access.keys_folder(origin)
        make(found, origin, folder, writer)
        with Books(found.dsn("owner"), origin) as books:
            made = identity(books)
    print(f"made chain {origin}; its private keys are in {folder}: move the recovery key's file, "
          f"{folder / 'recovery.json'}, off this machine")  # fmt: skip
    print("to carry it to another region, which gets replica.json:")
    print(shlex.join(("tradeledger-replicator", "publish", "--kafka", "HOST:PORT", "--dsn", "PUBLISHER-ADDRESS",
                      "--key", str(folder / "publisher.json"), "--origin", origin)))  # fmt: skip
    print(shlex.join(("tradeledger-replicator", "apply", "--kafka", "HOST:PORT", "--dsn", "APPLIER-ADDRESS",
                      "--key", "replica.json", *made.for_replicas())))  # fmt: skip
