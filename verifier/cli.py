"""
The `tradeledger-verify` command: exit 0 only where everything was checked and nothing is wrong.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from ledger import command
from ledger.sandbox import home
from verifier import full as whole
from verifier.reader import Reader
from verifier.report import VERIFIED, Report

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


@app.command()
def full(
    dsn: Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private one.")] = None,
    origin: Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")] = None,
    format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """
    Check every byte, link, rule, row and guard of one chain in one region.
    """
    if format not in ("table", "json"):
        raise typer.BadParameter(f"found {format!r}; expected table or json")
    console = Console(stderr=True)
    columns = (TextColumn("verifying {task.completed:,.0f} of {task.total:,.0f} events"), TimeElapsedColumn())
    with (
        home.database("auditor", dsn=dsn) as address,
        Reader(address, origin) as reader,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=max(reader.chain.seq, 0))
        report = whole.verify(reader, lambda count: bar.update(task, completed=count))
    if format == "json":
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        _show(report)
    if report.verdict != VERIFIED:
        raise typer.Exit(3)


def _show(report: Report) -> None:
    print(f"{report.verdict.upper()}: chain {report.origin}, {report.events:,} events, {report.seconds} s")
    print(f"head {report.head['seq']} {report.head['hash']} ({report.region_mode})")
    for finding in report.findings:
        print(f"  {finding.sentence()}")
    if report.findings:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.by_kind().items()))
        print(f"findings: {len(report.findings)} ({kinds}); the last event before them is {report.last_good_seq}")
    print("checked:", *(f"  - {line}" for line in report.covered), sep="\n")
    print("not checked:", *(f"  - {line}" for line in report.not_covered), sep="\n")


def main() -> None:
    """
    Run the command line; whatever keeps it from verifying ends with 4, never with 0.
    """
    command.end(command.run(app, _MANNER))
