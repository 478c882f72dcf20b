"""
Show the demo's progress as it goes, and its short table at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

say = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of *total* of *what* on a terminal; what is yielded takes how many more are done."""
    words = TextColumn(f"    {{task.completed:,.0f}} of {{task.total:,.0f}} {what}")
    with Progress(words, BarColumn(), TimeElapsedColumn(), console=say, disable=not say.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)


def place(edit: dict[str, Any], side: str) -> str:
    """Return where an edit was made (*side* "edited") or found ("found"): seq or key, and column."""
    at = edit.get(f"{side}_seq", edit.get(f"{side}_key"))
    return f"{edit['what']} {at or 'nothing'} {edit[f'{side}_column'] or ''}".strip()


def tell_verdict(region: str, report: dict[str, Any]) -> None:
    """Say what the verifier found in one region."""
    count = len(report["findings"])
    findings = f"{count} finding{'' if count == 1 else 's'}"
    say.print(f"    region {region.upper()}: {report['verdict']}, {report['events']:,} events, {findings}")


def tell_edits(region: str, edits: list[dict[str, Any]]) -> None:
    """Say what was edited in one region, and what the verifier named."""
    for edit in edits:
        say.print(f"    region {region.upper()}: edited {place(edit, 'edited')}; the verifier named "
                  f"{place(edit, 'found')}")  # fmt: skip
    say.print(f"    region {region.upper()}: {edits[0]['findings']} findings in all")


def show(report: dict[str, Any]) -> None:
    """Print the short table at the end."""
    table = Table("what", "the ledger", "the engine")
    for asset, total in report["balances"].items():
        table.add_row(f"{asset} (held {report['held'][asset]})", total, report["engine_balances"][asset])
    for name, quantity in report["positions"].items():
        table.add_row(name, quantity, "")
    table.add_row("distinct fills", f"{report['distinct_fills']:,}", "")
    table.add_row("events in the chain, both regions", f"{report['events']:,}", "")
    for region in ("a", "b"):
        found = report[f"verify_{region}"]
        said = f"{found['verdict']}, {found['events']:,} events, {len(found['findings'])} findings"
        table.add_row(f"region {region}: the verifier, before the edits", said, "")
    for edit in report["tamper"]:
        table.add_row(f"region {edit['region']}: edited {place(edit, 'edited')}", f"found {place(edit, 'found')}", "")
    table.add_row("longest time an event was in one region only", f"{report['max_rpo_seconds']} s", "")
    table.add_row("seconds in all", f"{report['seconds']}", "")
    Console().print(table)
