"""
The `tradeledger` command: data on stdout, progress and words on stderr, and an exit status that says what to do.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ledger import command
from ledger.cli import access as connections
from ledger.cli import export, quarantine, reconcile, repair, requests, sandbox, signer, tables
from ledger.cli import keys as key_commands
from ledger.cli.archive import archive
from ledger.cli.identity import identity, show_chain
from ledger.cli.kept import read_models, snapshot
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.cli.prove import prove
from ledger.cli.seal import cosign, seal
from ledger.cli.show import show
from ledger.domain import event_catalogue, schemas
from ledger.domain.registry import EVENT_TYPES
from ledger.errors import InvalidInput
from ledger.importing import run
from ledger.importing.definitions import instruments_of
from ledger.journal.ledger import Ledger
from ledger.queries import Books
from ledger.storage import upgrade as schema
from ledger.throughput import for_throughput
from ledger.version import Version

_MANNER: Final = command.Manner(
    "error",
    "interrupted; what was recorded by then stays, and an import that is run again goes on from there",
    lambda error: error.exit_status,
)
app = typer.Typer(
    name="tradeledger", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Append to a trade ledger, and operate it. Exit status: 0 done, 2 usage, 3 corruption, 5 a dependency is "
    "down, 6 RPO broken, 7 conflict, 8 refused, 130 interrupted.",
)  # fmt: skip
db = typer.Typer(no_args_is_help=True, help="Make and check the database's schema.")
importing = typer.Typer(no_args_is_help=True, help="Take another engine's recording, or a file of requests, in.")
app.add_typer(db, name="db")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(importing, name="import")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(show, name="show")
app.add_typer(export.app, name="export")
app.add_typer(signer.app, name="signer")
app.add_typer(key_commands.app, name="keys")
app.add_typer(repair.app, name="repair")
app.add_typer(read_models, name="read-models")
app.command("seal")(seal)
app.command("cosign")(cosign)
app.command("archive")(archive)
app.command("snapshot")(snapshot)
app.command("generate")(requests.generate)
importing.command("requests")(requests.import_requests)
app.command("chain")(show_chain)
app.command("prove")(prove)


@app.callback()
def tradeledger(version: Version = False) -> None:
    """
    Append to a trade ledger, and operate it.
    """


@db.command("upgrade")
def upgrade(dsn: Dsn = None) -> None:
    """
    Bring the database to this release's schema; the address logs in as a member of ledger_owner.
    """
    with connections.making(dsn) as found:
        schema.upgrade(found.dsn("owner"))
    print("the schema is up to date")


@db.command("check")
def check(dsn: Dsn = None) -> None:
    """
    Say whether the database has exactly this release's schema, with every guard in it.
    """
    with connections.access(dsn) as found:
        schema.check(found.dsn("owner"))
    print("the schema is exactly this release's")


@app.command()
def init(
    origin: Annotated[str, typer.Option(help="Who the chain is to the world, such as ledger.example.com/trades.")],
    dsn: Dsn = None,
    keys: Annotated[Path | None, typer.Option(help="Folder for the private keys; default under $LEDGER_HOME.")] = None,
    writer: Annotated[str, typer.Option(help="The login that may append.")] = "writer",
) -> None:
    """
    Make a chain, its keys, and its first event, which pins them.
    """
    with connections.making(dsn) as found:
        if found.private is not None:
            schema.upgrade(found.dsn("owner"))
        folder = keys or connections.keys_folder(origin)
        connections.init(found, origin, folder, writer)
        with Books(found.dsn("owner"), origin) as books:
            made = identity(books)
    print(f"made chain {origin}; its private keys are in {folder}: move the recovery key off this machine")
    print("to carry it to another region, which gets replica.json:")
    print(shlex.join(("tradeledger-replicator", "publish", "--kafka", "HOST:PORT", "--dsn", "PUBLISHER-ADDRESS",
                      "--key", str(folder / "publisher.json"), "--origin", origin)))  # fmt: skip
    print(shlex.join(("tradeledger-replicator", "apply", "--kafka", "HOST:PORT", "--dsn", "APPLIER-ADDRESS",
                      "--key", "replica.json", *made.for_replicas())))  # fmt: skip


@app.command()
def head(dsn: Dsn = None, origin: Origin = None) -> None:
    """
    Print the chain's head: seq and hash.
    """
    with connections.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        link = books.head()
    print(f"{link.seq} {link.hash.hex()}")


@app.command("event-types")
def event_types(
    format: Annotated[str, typer.Option("--format", help="table, json or markdown.")] = "table",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of each type instead.")] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Register the hash of each in the chain instead.")
    ] = False,
    dsn: Dsn = None,
    origin: Origin = None,
) -> None:
    """
    List every event type that this release knows, with its fields.
    """
    if register:
        with connections.access(dsn) as found, Ledger.open(found.dsn("writer"), origin=origin) as ledger:
            made = ledger.register_schemas()
        print(f"registered {made} schemas; what this release knows is registered")
        return
    if format not in ("table", "json", "markdown"):
        raise typer.BadParameter(f"found --format {format!r}; expected table, json or markdown")
    if schema:
        listed = {name: schemas.json_schema(kind) for name, kind in EVENT_TYPES.items()}
        print(msgspec.json.format(msgspec.json.encode(listed), indent=1).decode())
    elif format == "json":
        print(msgspec.json.format(msgspec.json.encode(event_catalogue.describe()), indent=1).decode())
    elif format == "markdown":
        print(event_catalogue.page(), end="")
    else:
        tables.show_event_types(event_catalogue.describe())


@importing.command("nautilus")
def import_nautilus(
    events: Annotated[Path, typer.Argument(help="JSON lines, plain, gzip or zstd.")],
    instruments: Annotated[Path, typer.Option(help="JSON list of instruments, or an object with key 'instruments'.")],
    dsn: Dsn = None,
    origin: Origin = None,
    format: Format = "table",
) -> None:
    """
    Import what NautilusTrader published; run again, it appends nothing.
    """
    check_format(format)
    try:
        definitions = instruments_of(instruments.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{instruments} cannot be read: {error.strerror}") from error
    if not events.is_file():
        raise InvalidInput(f"{events} is no file; give the engine's events as JSON lines")
    for_throughput()
    with connections.making(dsn) as found:
        connections.prepared(found)
        with (
            Ledger.open(found.dsn("writer"), origin=origin, source=run.SOURCE) as ledger,
            Books(found.dsn("reader"), origin) as books,
            tables.progress() as bar,
        ):
            task = bar.add_task("importing", total=None)
            report = run.import_session(ledger, books, events, definitions, lambda n: bar.advance(task, n))
    if format == "json":
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        tables.show_import(report)


def main() -> None:
    """
    Run the command line, and end the process with the status that tells what to do.
    """
    command.end(command.run(app, _MANNER))
