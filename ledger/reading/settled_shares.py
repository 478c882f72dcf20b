"""
Say which of the shares that settle belong to a split, when the days are gone through in order.

A settlement of a trade of before a split moves what the trade has become, if it was told after the split; it may be of
a day before it. And what was told before the split (a settlement, a fee, a deposit) may be of a day after it, on which
it was not there yet, or waited still. What each split adds is the split's: it is posted with the split, or with the
event, whichever comes later in the order of days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ledger.chain.entry import RecordedEvent
from ledger.domain.postings import ISSUER, Bucket, Line, is_system, moved, owns
from ledger.reading.posted import become_in
from ledger.reading.split_days import Split, Splits


def told_after(event: RecordedEvent, splits: Splits) -> tuple[list[Line], dict[int, list[Line]]]:
    """
    Return what a settlement moves as new shares: with it, and with each split of a later day, by its seq.
    """
    parts = become_in(event)
    here: list[Line] = []
    later: dict[int, list[Line]] = {}
    assets = {line.asset for lines in parts.values() for line in lines}
    for split in (x for asset in assets for x in splits.get(asset, ())):
        lines = parts.get(split.ca_id, [])
        if split.day <= event.effective_on:
            here += lines
        elif lines:
            later[split.seq] = lines
    return here, later


class ToldBefore:
    """
    What was told before a split, and is of a day after it: the split multiplied what was not there yet.

    What it made of all that is rounded as a whole, event by event.
    """

    def __init__(self, splits: Splits) -> None:
        self._splits = splits
        self._sums: dict[tuple[int, str, str, Bucket], int] = defaultdict(int)

    def of(self, seq: int, day: int, lines: Iterable[Line]) -> Iterator[tuple[int, list[Line]]]:
        """
        Yield (seq of a split, what it made beyond them) of *lines* that were recorded at *seq* and count for *day*.
        """
        for line in lines:
            amount = line.amount
            for split in self._splits.get(line.asset, ()) if owns(line.account) else ():
                if seq < split.seq and split.day < day:
                    # What of it waits goes on waiting; holds are given their amounts, and the ledger's own settles.
                    waits = line.bucket == "unsettled" and not is_system(line.account)
                    bucket: Bucket = "unsettled" if waits else "settled"
                    more = self._adds(split, line, bucket, amount)
                    yield split.seq, moved(line.asset, more, (ISSUER, "settled"), (line.account, bucket))
                    amount += more

    def _adds(self, split: Split, line: Line, bucket: Bucket, amount: int) -> int:
        """Return how much more *amount* becomes by *split*, with what there was in its bucket before."""
        place = (split.seq, line.account, line.asset, bucket)
        before = self._sums[place]
        self._sums[place] = before + amount
        return split.adds(before + amount) - split.adds(before)
