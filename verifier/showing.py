"""
Show a report: to people as lines, to programs as one JSON object, and progress where somebody watches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ledger.errors import LedgerError
from verifier.report import NOT_VERIFIED, VERIFIED, Report


class Form(StrEnum):
    """
    How the report is written.
    """

    TABLE = "table"
    JSON = "json"


@contextlib.contextmanager
def progress(total: int | None) -> Iterator[Callable[[str, int], None]]:
    """
    Yield what hears of progress; it is shown on standard error where that is a terminal.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("checking events", total=total)

        def told(what: str, count: int) -> None:
            more = f" {count:,}" if count else ""
            bar.update(task, description=f"{what}{more}", completed=count or None)

        yield told


def judged(make: Callable[[], Report], form: Form) -> int:
    """
    Show the report that *make* returns, and return the exit status; what cannot be verified is said in every form.

    Raises:
        LedgerError: nothing could be verified.
    """
    try:
        report = make()
    except LedgerError as error:
        if form is Form.JSON:
            said = {"verdict": NOT_VERIFIED, "code": error.code, "message": str(error), "schema_version": 1}
            print(msgspec.json.format(msgspec.json.encode(said), indent=1).decode())
        raise
    if form is Form.JSON:
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        _show(report)
    return 0 if report.verdict == VERIFIED else 3


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
        if lines:
            print(f"{title}:", *(f"  - {line}" for line in lines), sep="\n")
