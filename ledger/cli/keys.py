"""
Make keys and show them; how they are changed and kept is in the modules beside this one.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.cli import access as connections
from ledger.cli import key_backup, key_changes, tables
from ledger.cli.answer import SCHEMA_VERSION, as_json
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.domain.rows import ChainKey
from ledger.errors import InvalidInput, NotPermitted, shown
from ledger.evidence import note
from ledger.keyring import changes, folder
from ledger.keyring.folder import KeyFile, key_files
from ledger.queries import Books

app = typer.Typer(
    no_args_is_help=True, help="Make, show, rotate and revoke the chain's keys; back them up and restore them."
)
app.command("rotate")(key_changes.rotate)
app.command("revoke")(key_changes.revoke)
app.command("sign-revocation")(key_changes.sign_revocation)
app.command("backup")(key_backup.backup)
app.command("restore")(key_backup.restore)


class Purpose(StrEnum):
    """
    What a key may sign.
    """

    CHECKPOINT = "checkpoint"
    PUBLISHER = "publisher"
    REPLICA = "replica"
    RECOVERY = "recovery"
    WITNESS = "witness"


def _check_name(purpose: Purpose, name: str) -> None:
    if not (name.isascii() and name.isprintable()) or not 0 < len(name) <= 200:
        raise InvalidInput(f"found name {shown(name)}; expected up to 200 printable ASCII characters")
    if purpose is Purpose.WITNESS:
        note.check_name(name)


@app.command()
def create(
    purpose: Annotated[Purpose, typer.Argument(help="What the key may sign.")],
    name: Annotated[str, typer.Option(help="Who holds it, such as region-b; a witness: its name to the world.")],
    keys: Annotated[Path, typer.Option(help="Folder for the file; made if it is not there.")],
    file: Annotated[str | None, typer.Option(help="The file's name; else that of the purpose and .json.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="The chain's origin; a checkpoint key is then printed as policies list it.")
    ] = None,
) -> None:
    """
    Make a key in a file that its owner alone may read, and print its public half.

    A chain names the keys of `tradeledger init`, and those that take over from them: tradeledger keys rotate.
    """
    _check_name(purpose, name)
    if origin is not None:
        note.check_name(origin)
    path = keys / (file or f"{purpose}.json")
    if path.parent != keys or not folder.is_listed(path):
        raise InvalidInput(
            f"found --file {shown(str(file))}; expected the name of a file that ends in .json and begins with no "
            "dot: a backup would pass over another"
        )
    pair = KeyPair(purpose, name, secrets.token_bytes(32))
    write(path, pair)
    print(f"file {path}\nkey id {pair.key_id}\npublic key {pair.public_key.hex()}")
    if (key := changes.verifier_key(purpose, name, pair.public_key, origin)) is not None:
        print(f"verifier key {key.text()}")


def write(path: Path, pair: KeyPair) -> None:
    """
    Write a new key file.

    Raises:
        InvalidInput: there is one already, or none can be written there.
        NotPermitted: others may write the folder.
    """
    try:
        signatures.write(path, pair)
    except FileExistsError as error:
        raise InvalidInput(f"{path} is there already and stays as it is; name another file") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}; nothing was made") from error


def _row(found: KeyFile | None, row: ChainKey | None, origin: str | None) -> dict[str, Any]:
    """Return a key as it is shown: from its file, from the chain, or from both."""
    pair = None if found is None else found.pair
    said: KeyPair | ChainKey | None = pair or row
    public = pair.public_key if pair is not None else bytes.fromhex(row.public_key) if row is not None else b""
    key = changes.verifier_key(said.purpose, said.name, public, origin) if said is not None else None
    if origin is None:
        standing = None
    elif pair is not None and pair.purpose == Purpose.WITNESS:
        standing = "of no chain"
    else:
        standing = changes.standing(row) if said is not None else None
    return {
        "file": str(found.path) if found else None,
        "purpose": said.purpose if said else None,
        "name": said.name if said else None,
        "key_id": said.key_id if said else None,
        "public_key": public.hex() or None,
        "verifier_key": key.text() if key else None,
        "standing": standing,
        "valid_from_seq": row.valid_from_seq if row else None,
        "valid_to_seq": row.valid_to_seq if row else None,
        "revoked": row.revoked if row else None,
        "problem": found.problem if found else None,
    }


def _joined(files: list[KeyFile], rows: list[ChainKey], origin: str | None) -> list[dict[str, Any]]:
    by_id = {row.key_id: row for row in rows}
    listed = [_row(found, by_id.get(found.pair.key_id) if found.pair else None, origin) for found in files]
    here = {found.pair.key_id for found in files if found.pair}
    rest = sorted((row for row in rows if row.key_id not in here), key=lambda row: (row.valid_from_seq, row.key_id))
    return listed + [_row(None, row, origin) for row in rest]


@app.command()
def show(
    keys: Annotated[
        Path | None, typer.Option(help="Folder of the key files; else the chain's own under $LEDGER_HOME.")
    ] = None,
    dsn: Dsn = None,
    origin: Origin = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no database: list the files alone.")] = False,
    format: Format = "table",
) -> None:
    """
    List the key files of a folder, and what the chain says of each; and the keys that it names and that are not there.

    Private halves are never shown. Ends with 8 where a file cannot be used, such as one that others may read.
    """
    check_format(format)
    if offline:
        if keys is None:
            raise InvalidInput("name the folder with --keys: without a database nothing says whose keys are meant")
        listed = _joined(key_files(keys), [], None)
    else:
        with connections.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
            rows, origin = books.table("chain_keys").value, books.chain.origin
        listed = _joined(key_files(keys or connections.keys_folder(origin)), rows, origin)
    if format == "json":
        print(as_json({"schema_version": SCHEMA_VERSION, "origin": origin, "keys": listed}))
    else:
        _print(listed, offline)
    problems = [row["problem"] for row in listed if row["problem"]]
    if problems:
        raise NotPermitted(f"{len(problems)} of the files cannot be used: {'; '.join(problems)}")


def _print(listed: list[dict[str, Any]], offline: bool) -> None:
    columns = ["file", "purpose", "name", "key_id", "public_key", "standing", "problem"]
    if offline:
        columns.remove("standing")
    cells = [tuple(_cell(row, column) for column in columns) for row in listed]
    tables.print_table("keys", tuple(column.replace("_", " ") for column in columns), cells)
    for row in listed:
        if row["verifier_key"]:
            print(f"verifier key of {row['key_id']}: {row['verifier_key']}")


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "file" and row["file"] is None:
        return "(not here)"
    return str(row[column] or "")
