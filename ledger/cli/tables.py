"""
Show reports to people: tables on a terminal, plain columns elsewhere, and never a figure that is cut short.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.cli import layout


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
        print_if_any(title, columns, rows)
    else:
        print(f"{title}: none")


def print_if_any(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """
    Print one table, as wide as the terminal at most, and as wide as it is elsewhere; nothing where there are no rows.
    """
    if not rows:
        return
    print(f"{title}:")
    console = Console()
    if console.is_terminal:
        lines = layout.framed(columns, rows, console.width, box.HEAVY_HEAD.substitute(console.options))
    else:
        lines = layout.in_columns(columns, rows)
    sys.stdout.writelines(f"{line}\n" for line in lines)
