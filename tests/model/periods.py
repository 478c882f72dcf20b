"""
Say from a history which days are closed, and for which day an event counts.
"""

from __future__ import annotations

from ledger.domain.events.control import PeriodClosed
from tests.model.history import History, asked


@asked
def closed_through(history: History) -> str:
    """Return the last day that is closed; none is before every day."""
    return max((x.through for x in history.of(PeriodClosed)), default="")


def is_closed(history: History, day: str) -> bool:
    return day <= closed_through(history)


def counted(history: History, day: str, today: str) -> str:
    """Return for which day what is of *day* and told *today* counts: an open one."""
    return today if is_closed(history, day) else day
