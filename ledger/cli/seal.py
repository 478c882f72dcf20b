"""
Seal a chain where it is written, and cosign it where it is replicated.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ledger.chain import signatures
from ledger.cli import access, tables
from ledger.cli.options import Dsn, Origin
from ledger.cli.signer import read_policy
from ledger.errors import Unavailable
from ledger.evidence import note
from ledger.evidence.note import COSIGNATURE, SigningKey
from ledger.sealing import replica, serving
from ledger.sealing.growth import Tell
from ledger.sealing.places import Place
from ledger.sealing.promises import Promises
from ledger.sealing.sealer import Outcome, Sealer
from ledger.storage import chains, database
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

ROLE = "ledger_sealer"
LEAST_SECONDS = 0.01


def opened(dsn: str, origin: str | None) -> tuple[Connection, ChainRow]:
    """
    Return a connection that may seal, and the chain of *origin*.

    Raises:
        NotPermitted: the login has not the role; UnknownChain, DatabaseDown, SchemaVersion: as they say.
    """
    connection = database.connect(dsn, "ledger sealer")
    try:
        database.check_role(connection, ROLE)
        connection.autocommit = True
        return connection, chains.find(connection, origin)
    except BaseException:
        connection.close()
        raise


def seal(
    signer: Annotated[str, typer.Option(help="Where the signer answers: the path of its socket, or a URL.")],
    replicas: Annotated[
        Path | None, typer.Option(help="Policy of the replicas to ask first, with their addresses.")
    ] = None,
    witnesses: Annotated[
        Path | None, typer.Option(help="Policy of the witnesses to ask last, with their addresses.")
    ] = None,
    every: Annotated[float, typer.Option(min=LEAST_SECONDS, help="Seconds from one checkpoint to the next.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Seal what is there now, and end.")] = False,
    dsn: Dsn = None,
    origin: Origin = None,
) -> None:
    """
    Keep the tree over the chain's events, and have its head signed and witnessed while events flow.

    The login is a member of ledger_sealer. What is signed stands in the table of checkpoints. Whoever does not answer
    is asked again. A replica or signer that knows another history ends this with status 3; so does a witness where it
    shows what the log's key signed of it, or where the others cannot make the quorum.
    """
    needed, asked = read_policy(replicas), read_policy(witnesses)
    place = Place(str(Path(signer).resolve()) if "://" not in signer else signer)
    with (
        access.access(dsn) as found,
        _translated(found.dsn("sealer"), origin) as (connection, chain),
        Sealer(connection, chain, place, needed, asked, time.time_ns) as sealer,
        tables.progress() as bar,
    ):
        task = bar.add_task("hashing events", total=None)

        def told(count: int) -> None:
            bar.update(task, completed=count)

        if not once:
            print(f"sealing {chain.origin} every {every:g} s", file=sys.stderr, flush=True)
            _follow(sealer, told, every)
        outcome = sealer.seal(told)
    print(_sentence(outcome))
    if outcome is not None and not outcome.is_witnessed:
        raise Unavailable(f"too few witnesses have cosigned: {'; '.join(outcome.missing)}")


def _follow(sealer: Sealer, told: Tell, every: float) -> NoReturn:
    """Seal for ever, and say of those who do not answer when that changes."""
    said = ""
    while True:
        began = time.monotonic()
        try:
            outcome = sealer.seal(told, patient=False)
            now = "; ".join(outcome.missing) if outcome else ""
        except Unavailable as error:
            now = str(error)
        if now != said:
            print(now or "all answer again", file=sys.stderr, flush=True)
            said = now
        time.sleep(max(0.0, every - (time.monotonic() - began)))


def _sentence(outcome: Outcome | None) -> str:
    if outcome is None:
        return "the chain has no events yet; nothing was sealed"
    by = ", ".join(outcome.cosigned) or "nobody"
    state = "sealed" if outcome.is_new else "sealed before"
    return f"{state} {outcome.sealed.size} events, root {outcome.sealed.root.hex()}, cosigned by {by}"


@contextlib.contextmanager
def _translated(dsn: str, origin: str | None) -> Iterator[tuple[Connection, ChainRow]]:
    with database.translating():
        connection, chain = opened(dsn, origin)
        with contextlib.closing(connection):
            yield connection, chain


def cosign(
    path: Annotated[Path, typer.Option("--key", help="The replica's key file, which its owner alone may read.")],
    state: Annotated[Path, typer.Option(help="File of what was cosigned; made if it is not there.")],
    listen: Annotated[str, typer.Option(help="host:port, or the path of a socket.")] = "127.0.0.1:7381",
    dsn: Dsn = None,
    origin: Origin = None,
) -> None:
    """
    Cosign checkpoints of a chain as its replica: the root that this region makes of its own events, and no other.
    """
    key = cosigning_key(path)
    with access.access(dsn) as found:
        address = found.dsn("sealer")
        connection, chain = opened(address, origin)
        connection.close()
        region = replica.Region(lambda: opened(address, chain.origin))
        with contextlib.closing(region), Promises(state) as promises:
            region.catch_up()
            respond = replica.replica_of(
                promises, key, chain.origin, region.root_at, lambda: int(time.time()),
                lambda what: print(what, file=sys.stderr, flush=True),
            )  # fmt: skip
            serving.run(listen, respond, f"replica {key.verifier.text()}")


def cosigning_key(path: Path) -> SigningKey:
    """
    Return the key that a replica cosigns with: the one that signs its acknowledgements.

    Raises:
        NotPermitted, InvalidInput: others may read the file, or it is no replica's key.
    """
    pair = signatures.read_for(path, "replica")
    note.check_name(pair.name)
    return SigningKey(pair.name, COSIGNATURE, pair.seed)
