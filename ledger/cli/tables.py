"""
Show reports to people: tables on a terminal, plain columns elsewhere, and never a figure that is cut short.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.cli import layout
from ledger.importing.run import Report
from ledger.importing.translation import NOT_APPENDED


def progress() -> Progress:
    """
    Return a progress bar on stderr, silent where that is no terminal.
    """
    console = Console(stderr=True)
    words = TextColumn("{task.description} {task.completed:,.0f} events")
    return Progress(words, BarColumn(), TimeElapsedColumn(), console=console, disable=not console.is_terminal)


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """
    Print one table; where there are no rows, the line that says so.
    """
    if rows:
        _print(title, columns, rows)
    else:
        print(f"{title}: none")


def _print(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table as wide as the terminal at most, and as wide as it is elsewhere; none without rows."""
    if not rows:
        return
    print(f"{title}:")
    console = Console()
    if console.is_terminal:
        lines = layout.framed(columns, rows, console.width, box.HEAVY_HEAD.substitute(console.options))
    else:
        lines = layout.in_columns(columns, rows)
    sys.stdout.writelines(f"{line}\n" for line in lines)


def show_import(report: Report) -> None:
    """
    Print what an import read, recorded and left out, and the books after it.
    """
    counts = [(f"read: {kind}", f"{count:,}", "") for kind, count in sorted(report.read.items())]
    counts += [(f"appended: {kind}", f"{count:,}", "") for kind, count in sorted(report.appended.items())]
    counts += [
        (f"not appended: {kind}", f"{count:,}", NOT_APPENDED[kind])
        for kind, count in sorted(report.not_appended.items())
    ]
    _print("events", ("what", "count", "why"), counts)
    _print("balances", ("account", "asset", "total", "held", "available"), _rows(report.balances))
    _print("positions", ("account", "instrument", "quantity", "cost", "realised"), _rows(report.positions))
    _print("quarantined", ("line", "seq", "type", "rule", "why", "status"), [
        (str(one["line"]), str(one["seq"]), one["type"], one["rule"], one["detail"], one["status"])
        for one in report.quarantined
    ])  # fmt: skip
    _print("breaks", ("what", "ledger", "engine", "since seq"), [
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


def show_event_types(described: list[dict[str, Any]]) -> None:
    """
    Print event types with the fields they must have.
    """
    rows = []
    for x in described:
        needed = ", ".join(field["name"] for field in x["fields"] if field["required"])
        rows.append((x["type"], str(x["schema_version"]), x["family"], x["kind"], needed))
    _print("event types", ("type", "version", "family", "kind", "required fields"), rows)
