"""
The `tradeledger-verify` command: exit 0 only where everything was checked and nothing is wrong.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ledger import command
from ledger.errors import LedgerError
from ledger.sandbox import home
from verifier import full as whole
from verifier.reader import Reader
from verifier.report import NOT_VERIFIED, VERIFIED, Report
from verifier.stored import ChainsLost

_MANNER: Final = command.Manner(
    "could not verify",
    "interrupted; nothing was verified",
    lambda error: 3 if error.exit_status == 3 else 4,
    fault=4,
    full=4,
    gone=4,
)
app = typer.Typer(
    name="tradeledger-verify", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Verify a trade ledger. Exit status: 0 verified, 2 usage, 3 corruption found, 4 could not verify, 130 "
    "interrupted.",
)  # fmt: skip


@app.callback()
def verify() -> None:
    """
    Verify a trade ledger.
    """


class Form(StrEnum):
    """
    How the report is written.
    """

    TABLE = "table"
    JSON = "json"


@app.command()
def full(
    dsn: Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private one.")] = None,
    origin: Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")] = None,
    format: Annotated[Form, typer.Option("--format", help="For people, or for programs.")] = Form.TABLE,
) -> None:
    """
    Check every byte, link, rule, row and guard of one chain in one region.

    Give the auditor's login: it may read everything and change nothing. The report goes to standard output, progress
    to standard error where that is a terminal. With --format json there is one JSON object whatever happens.
    """
    try:
        report = _verified(dsn, origin)
    except LedgerError as error:
        if format is Form.JSON:
            said = {"verdict": NOT_VERIFIED, "code": error.code, "message": str(error), "schema_version": 1}
            print(msgspec.json.format(msgspec.json.encode(said), indent=1).decode())
        raise
    if format is Form.JSON:
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        _show(report)
    if report.verdict != VERIFIED:
        raise typer.Exit(3)


def _verified(dsn: str | None, origin: str | None) -> Report:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar,
        ):
            task = bar.add_task("checking events", total=max(reader.chain.seq, 0))

            def told(what: str, count: int) -> None:
                more = f" {count:,}" if count else ""
                bar.update(task, description=f"{what}{more}", completed=count or None)

            return whole.verify(reader, told)
    except ChainsLost as lost:
        return whole.without_chains(lost, origin)


def _show(report: Report) -> None:
    print(f"{report.verdict.upper()}: chain {report.origin}, {report.events:,} events, {report.seconds} s")
    if report.head:
        print(f"head {report.head['seq']} {report.head['hash']} ({report.region_mode})")
    following = [finding for finding in report.findings if finding.after is not None]
    for finding in report.findings:
        if finding.after is None:
            print(f"  {finding.sentence()}")
    if following:
        print(f"  and {len(following)} that may only follow from event {following[0].after}, which is missing or not "
              "known; --format json lists them")  # fmt: skip
    if report.findings:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.by_kind().items()))
        print(f"findings: {len(report.findings)} ({kinds}); the last event before them is {report.last_good_seq}")
    for title, lines in (("checked", report.covered), ("not checked", report.not_covered),
                         ("what only this region says of itself", report.vouched)):  # fmt: skip
        print(f"{title}:", *(f"  - {line}" for line in lines), sep="\n")


def main() -> None:
    """
    Run the command line; whatever keeps it from verifying ends with 4, never with 0.
    """
    command.end(command.run(app, _MANNER))
