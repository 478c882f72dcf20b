"""
Compare the books with a statement of a venue or custodian, and follow what differs until it is resolved.

Breaks are findings about the books and no failure of the command: it exits 0 with them, as the import does. Each
comparison that says something new is one event; so is each decision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from ledger import given_file
from ledger.cli import access as connections
from ledger.cli import tables
from ledger.cli.answer import check_row_format, print_json, show_plain
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.domain.events.control import BreakResolution
from ledger.errors import InvalidInput
from ledger.journal.ledger import Ledger
from ledger.queries import Books
from ledger.reading import plain_rows
from ledger.reconciliation import run, sheets, statement
from ledger.reconciliation.lives import Life
from ledger.reconciliation.run import Report

SOURCE: Final = "operator"
_COLUMNS: Final = ("what", "ledger", "statement", "since seq", "opened by")
_FOR_PROGRAMS: Final = ("opened_by", "statement_hash")
"""What of a break a table leaves to the other formats, so that its lines fit a screen."""


class _StatementFirst(TyperGroup):
    """
    Take `reconcile FILE` for `reconcile statement FILE`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front that is meant where none is named."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["statement", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_StatementFirst, no_args_is_help=True,
    help="Compare the books with a statement: `tradeledger reconcile STATEMENT`; list and resolve what differs.",
)  # fmt: skip
Source = Annotated[str, typer.Option(help="As which source to append.")]


@app.command("statement")
def of_statement(
    file: Annotated[Path, typer.Argument(help="A ….csv of balances, positions or trades, or a ….json.")],
    issuer: Annotated[str | None, typer.Option(help="Who states it, if the file does not say: custodian-1.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="The day whose close it states (2024-08-08), or a time, if the file does not say."),
    ] = None,
    account: Annotated[list[str] | None, typer.Option(help="An account that it covers and has no rows of.")] = None,
    by: Annotated[str, typer.Option(help="Who reconciles.")] = SOURCE,
    dsn: Dsn = None,
    origin: Origin = None,
    source: Source = SOURCE,
    format: Format = "table",
) -> None:
    """
    Compare the books with a statement, and record what agrees and what differs; the same again records nothing.
    """
    check_format(format)
    try:
        content = given_file.read(file, sheets.LIMIT_BYTES)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}; give a statement as ….csv or ….json, one "
                           "for each account where it is larger") from error  # fmt: skip
    found = statement.read(str(file), content, statement.Told(issuer, as_of, tuple(account or ())))
    with (
        connections.access(dsn) as there,
        Ledger.open(there.dsn("writer"), origin=origin, source=source) as ledger,
        Books(there.dsn("reader"), origin) as books,
    ):
        report = run.reconcile(ledger, books, found, by)
    if format == "json":
        print_json(report)
    else:
        _show_report(report)


def _show_report(report: Report) -> None:
    tables.print_table("breaks", _COLUMNS, [
        (x["key"], x["ledger"], x["external"], str(x["opened_seq"]), x["opened_by"]) for x in report.breaks
    ])  # fmt: skip
    for one in report.closed:
        print(f"ended: {one['key']} (since seq {one['opened_seq']}), by {one['how']}")
    for key in report.resolved_before:
        print(f"differs as someone resolved it: {key}")
    for key in report.newer:
        print(f"left as a newer statement found it: {key}")
    print(f"matched: {report.matched}; breaks: {len(report.breaks)}; ended: {len(report.closed)}")
    word = "recorded" if report.appended else "nothing new; recorded before"
    print(f"{word} at seq {report.recorded_seq}; the books as they were at seq {report.seq}")


@app.command("list")
def list_breaks(
    issuer: Annotated[str | None, typer.Option(help="Of one issuer; of all when left out.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Those that ended as well.")] = False,
    dsn: Dsn = None,
    origin: Origin = None,
    format: Annotated[str, typer.Option("--format", help="table, json, jsonl or csv.")] = "table",
) -> None:
    """
    List breaks from the event that opened each to the one that ended it: by whom, and how.
    """
    check_row_format(format)
    with connections.access(dsn) as there, Books(there.dsn("reader"), origin) as books:
        known = run.all_lives(books, issuer)
    names = tuple(x for x in plain_rows.columns(Life) if format != "table" or x not in _FOR_PROGRAMS)
    found = [plain_rows.safe(life) for life in known.value if every or life.closed_seq is None]
    show_plain("breaks", names, known, [{name: row[name] for name in names} for row in found], format)


@app.command("resolve")
def resolve(
    key: Annotated[str, typer.Argument(help="What differs, as `list` prints it.")],
    issuer: Annotated[str, typer.Option(help="Who stated it.")],
    how: Annotated[str, typer.Option("--as", help="adjusted (with --ref), theirs or explained.")],
    reason: Annotated[str, typer.Option(help="What was found out.")],
    proposed_by: Annotated[str, typer.Option(help="Who decided.")],
    approved_by: Annotated[str | None, typer.Option(help="Who else agreed, if the chain asks for it.")] = None,
    ref: Annotated[
        int | None, typer.Option(help="With 'adjusted': the seq of the event that mended the books.")
    ] = None,
    dsn: Dsn = None,
    origin: Origin = None,
    source: Source = SOURCE,
) -> None:
    """
    End an open break by a decision; it stays ended for as long as both sides say what they said.
    """
    resolution = BreakResolution(
        key=key,
        how=how,  # type: ignore[arg-type]  # any other word is refused as the part is made
        reason=reason,
        ref=ref,
        proposed_by=proposed_by,
        approved_by=approved_by,
    )
    with (
        connections.access(dsn) as there,
        Ledger.open(there.dsn("writer"), origin=origin, source=source) as ledger,
        Books(there.dsn("reader"), origin) as books,
    ):
        seq = run.resolve(ledger, books, issuer, resolution)
    print(f"{key} of {issuer} is {how}, recorded at seq {seq}")
