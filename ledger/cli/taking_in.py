"""
Take another engine's recording, or a file of requests, in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ledger import given_file
from ledger.cli import access, creation, tables
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.errors import InvalidInput
from ledger.importing import requests, run
from ledger.importing.definitions import instruments_of
from ledger.importing.translation import NOT_APPENDED
from ledger.journal.ledger import Ledger
from ledger.queries import Books
from ledger.throughput import for_throughput

INSTRUMENTS_LIMIT_BYTES: Final = 1 << 28
"""No list of instruments is larger."""

app = typer.Typer(no_args_is_help=True, help="Take another engine's recording, or a file of requests, in.")


@app.command("requests")
def import_requests(
    file: Annotated[Path, typer.Argument(help="JSON lines, plain, gzip or zstd; - for stdin.")],
    source: Annotated[str, typer.Option(help="The source that they count for; the login must have it.")] = "engine",
    dsn: Dsn = None,
    origin: Origin = None,
    format: Format = "table",
) -> None:
    """
    Append requests, such as `tradeledger generate` writes; run again, it appends nothing.
    """
    check_format(format)
    path = Path("/dev/stdin") if str(file) == "-" else file
    for_throughput()
    with access.making(dsn) as found:
        creation.prepared(found)
        with Ledger.open(found.dsn("writer"), origin=origin, source=source) as ledger, tables.progress() as bar:
            task = bar.add_task("importing", total=None)
            report = requests.append(ledger, path, lambda n: bar.advance(task, n))
    if format == "json":
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
        return
    tables.print_table("read", ("event", "count"), [(kind, f"{n:,}") for kind, n in sorted(report.read.items())])
    tables.print_table("quarantined", ("rule", "count"), [(x, f"{n:,}") for x, n in sorted(report.quarantined.items())])
    print(f"events appended: {report.appended:,}; requests that were recorded before: {report.replayed:,}")
    print(f"head: {report.head['seq']} {report.head['hash']}")


@app.command("nautilus")
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
        definitions = instruments_of(given_file.read(instruments, INSTRUMENTS_LIMIT_BYTES))
    except OSError as error:
        raise InvalidInput(f"{instruments} cannot be read: {error.strerror}; name a list of instruments") from error
    if not events.is_file():
        raise InvalidInput(f"{events} is no file; give the engine's events as JSON lines")
    for_throughput()
    with access.making(dsn) as found:
        creation.prepared(found)
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
        _show_import(report)


def _show_import(report: run.Report) -> None:
    """Print what an import read, recorded and left out, and the books after it."""
    counts = [(f"read: {kind}", f"{count:,}", "") for kind, count in sorted(report.read.items())]
    counts += [(f"appended: {kind}", f"{count:,}", "") for kind, count in sorted(report.appended.items())]
    counts += [
        (f"not appended: {kind}", f"{count:,}", NOT_APPENDED[kind])
        for kind, count in sorted(report.not_appended.items())
    ]
    tables.print_if_any("events", ("what", "count", "why"), counts)
    tables.print_if_any("balances", ("account", "asset", "total", "held", "available"), _rows(report.balances))
    tables.print_if_any("positions", ("account", "instrument", "quantity", "cost", "realised"), _rows(report.positions))
    tables.print_if_any("quarantined", ("line", "seq", "type", "rule", "why", "status"), [
        (str(one["line"]), str(one["seq"]), one["type"], one["rule"], one["detail"], one["status"])
        for one in report.quarantined
    ])  # fmt: skip
    tables.print_if_any("breaks", ("what", "ledger", "engine", "since seq"), [
        (one["key"], one["ledger"], one["external"], one["opened_seq"]) for one in report.breaks
    ])  # fmt: skip
    if split := report.not_appended["split"]:
        print(f"orders made in an earlier file, and lost: {split:,}; join the files and import them as one")
    print(f"quarantined: {len(report.quarantined)}; breaks: {len(report.breaks)}")
    print(f"head: {report.head['seq']} {report.head['hash']}")


def _rows(books: dict[str, dict[str, dict[str, Any]]]) -> list[tuple[str, ...]]:
    return [
        (account, name, *shown.values())
        for account, there in sorted(books.items())
        for name, shown in sorted(there.items())
    ]
