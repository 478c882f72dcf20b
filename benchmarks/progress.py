"""
Say how far a run is: a bar on a terminal, elsewhere a line at every tenth.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Told = Callable[[int], None]
"""Takes how much is done, of the whole."""


@contextlib.contextmanager
def stage(what: str, total: int, unit: str = "events") -> Iterator[Told]:
    """
    Show how far *what* is; what is yielded takes how much of *total* is done.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(what, total, unit)
        return
    words = TextColumn(f"{what}: {{task.completed:,.0f}} of {{task.total:,.0f}} {unit}")
    with Progress(words, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


class _Lines:
    """Print a line whenever another tenth is done."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._tenths = 0

    def __call__(self, done: int) -> None:
        if (tenths := done * 10 // self._total) > self._tenths:
            self._tenths = tenths
            print(f"{self._what}: {done:,} of {self._total:,} {self._unit}", file=sys.stderr, flush=True)
