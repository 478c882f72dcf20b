"""
Say of which days the marks are in shares that positions are not in yet.

A split that is told when its ex-date is closed counts for a later day, and until then the books are in the shares of
before it. Marks are what the market said: from the ex-date on they are of the shares after it, and value nothing that
is in those of before. Days that were closed when it was told keep the figures that they had.
"""

from __future__ import annotations

from collections import defaultdict

from ledger.domain.rules.periods import closed_before
from ledger.domain.state import State


class MarksAhead:
    """
    The splits of *whole*, all that was known, until the day comes that each counts for.
    """

    def __init__(self, whole: State) -> None:
        self._splits: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
        """Of each asset, by the seq of a split, its ex-date and how far the books were closed when it was told."""
        for row in whole.corporate_actions.rows.values():
            if row.kind == "split":
                asset = whole.instruments.rows[row.instrument,].asset
                self._splits[asset][row.event_seq] = row.ex_date, closed_before(whole, row.event_seq)

    def counts(self, asset: str, seq: int) -> None:
        """
        Note that the split of *asset* at *seq* counts from now on.
        """
        self._splits[asset].pop(seq, None)

    def split_of(self, day: str, *assets: str) -> str | None:
        """
        Return the ex-date of a split of one of *assets* that marks of *day* are after and the books are before; None
        where there is none.
        """
        every = (split for asset in assets if asset in self._splits for split in self._splits[asset].values())
        return max((ex_date for ex_date, closed in every if ex_date <= day > closed), default=None)

    def lacking(self, mark: str, day: str, *assets: str) -> str:
        """
        Return how the *mark* of *day* is called that there would have to be: one in the shares that the books are in.
        """
        ahead = self.split_of(day, *assets)
        return f"mark of {mark} for {day}" + (f" in shares of before the split of {ahead}" if ahead else "")
