"""
Show reports to people: tables on a terminal, plain columns elsewhere, and never a figure that is cut short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ledger.importing.run import Report
from ledger.importing.translation import NOT_APPENDED

_WIDE: Final = 10_000
"""Columns of an output that is no terminal: nothing has to fit, and a wrapped line would be two."""

_FRAME: Final = 3
"""Columns that a frame and the space on both sides of a value take."""
_PROSE: Final = 20
"""So many columns are enough for words that go on in the next line."""


def progress() -> Progress:
    """
    Return a progress bar on stderr, silent where that is no terminal.
    """
    console = Console(stderr=True)
    words = TextColumn("{task.description} {task.completed:,.0f} events")
    return Progress(words, BarColumn(), TimeElapsedColumn(), console=console, disable=not console.is_terminal)


class _Page:
    def __init__(self) -> None:
        # An identifier such as `x:A:y` is no picture, and `[b]` no style.
        plain = Console(emoji=False, markup=False)
        self._console = plain if plain.is_terminal else Console(emoji=False, markup=False, width=_WIDE)
        self._box = box.HEAVY_HEAD if plain.is_terminal else None

    def table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """
        Print a table; where it does not fit the terminal prose goes on in the next line, and a figure never does: then
        each row stands by itself, a value a line.
        """
        if not rows:
            return
        self.line(f"{title}:")
        prose = [any(" " in row[place] for row in rows) for place in range(len(columns))]
        if self._box is not None and not self._fits(columns, rows, prose):
            self._one_by_one(columns, rows)
            return
        table = Table(box=self._box, pad_edge=self._box is not None)
        for column, folds in zip(columns, prose, strict=True):
            table.add_column(column, overflow="fold", no_wrap=not folds)
        for row in rows:
            table.add_row(*row)
        self._console.print(table, markup=False, highlight=False)

    def _fits(self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], prose: Sequence[bool]) -> bool:
        """Return whether the terminal has room for all values but prose, and for some of that."""
        width = 1
        for place, (column, folds) in enumerate(zip(columns, prose, strict=True)):
            widest = max(cell_len(text) for text in (column, *(row[place] for row in rows)))
            width += _FRAME + (min(widest, max(_PROSE, cell_len(column))) if folds else widest)
        return width <= self._console.width

    def _one_by_one(self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        width = max(map(cell_len, columns))
        for number, row in enumerate(rows, 1):
            self.line(f"{number} of {len(rows)}")
            for column, value in zip(columns, row, strict=True):
                self.line(f"    {column:<{width}}  {value}".rstrip())

    def line(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_rows(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """
    Print one table; where there are no rows, the line that says so.
    """
    page = _Page()
    page.table(title, columns, rows)
    if not rows:
        page.line(f"{title}: none")


def show_import(report: Report) -> None:
    """
    Print what an import read, recorded and left out, and the books after it.
    """
    page = _Page()
    counts = [(f"read: {kind}", f"{count:,}", "") for kind, count in sorted(report.read.items())]
    counts += [(f"appended: {kind}", f"{count:,}", "") for kind, count in sorted(report.appended.items())]
    counts += [
        (f"not appended: {kind}", f"{count:,}", NOT_APPENDED[kind])
        for kind, count in sorted(report.not_appended.items())
    ]
    page.table("events", ("what", "count", "why"), counts)
    page.table("balances", ("account", "asset", "total", "held", "available"), _rows(report.balances))
    page.table("positions", ("account", "instrument", "quantity", "cost", "realised"), _rows(report.positions))
    page.table("quarantined", ("line", "seq", "type", "rule", "why", "status"), [
        (str(one["line"]), str(one["seq"]), one["type"], one["rule"], one["detail"], one["status"])
        for one in report.quarantined
    ])  # fmt: skip
    page.table("breaks", ("what", "ledger", "engine", "since seq"), [
        (one["key"], one["ledger"], one["external"], one["opened_seq"]) for one in report.breaks
    ])  # fmt: skip
    if split := report.not_appended["split"]:
        page.line(f"orders made in an earlier file, and lost: {split:,}; join the files and import them as one")
    page.line(f"quarantined: {len(report.quarantined)}; breaks: {len(report.breaks)}")
    page.line(f"head: {report.head['seq']} {report.head['hash']}")


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
    _Page().table("event types", ("type", "version", "family", "kind", "required fields"), rows)
