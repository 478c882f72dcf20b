"""
Say which of the shares that settle belong to a split, when the days are gone through in order.

A settlement of a trade of before a split moves what the trade has become, if it was told after the split; it may be of
a day before it. And one that was told before the split may be of a day after it, on which the shares waited still. What
each split adds to what settles is the split's: it is posted with the split, or with the settlement, whichever comes
later in the order of days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from ledger.chain.entry import RecordedEvent
from ledger.domain.postings import Line, is_system, moved
from ledger.reading.posted import become_in
from ledger.reading.split_days import Sides, Split, Splits

Standing = Callable[[int], list[Line]]
"""What returns the lines of a settlement, in shares as they were traded, that were not undone before a seq."""


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


class Waited:
    """
    What settlements that were told before a split, and are of a day after it, had left to wait on its day.

    What a split makes of all that is rounded as a whole, settlement by settlement.
    """

    def __init__(self, splits: Splits) -> None:
        self._splits = splits
        self._sides = Sides(splits)
        self._sums: dict[tuple[int, str], int] = defaultdict(int)

    def of(self, event: RecordedEvent, standing: Standing) -> Iterator[tuple[int, list[Line]]]:
        """
        Yield (seq of a split, the lines by which it adds to the unsettled instead of the settled) of a settlement.
        """
        # Of a settlement that none of them crosses nothing is asked.
        for asset, splits in self._splits.items() if self._sides.are_crossed(event) else ():
            after = [split for split in splits if event.seq < split.seq and split.day < event.effective_on]
            # Nothing of before a split is undone after it.
            for line in standing(after[0].seq) if after else ():
                if (line.asset, line.bucket) == (asset, "settled") and not is_system(line.account):
                    amount = line.amount + sum(
                        x.amount
                        for lines in become_in(event).values()
                        for x in lines
                        if (x.account, x.asset, x.bucket) == (line.account, asset, "settled")
                    )
                    for split in after:
                        more = self._adds(split, line.account, amount)
                        yield split.seq, moved(asset, more, (line.account, "settled"), (line.account, "unsettled"))
                        amount += more

    def _adds(self, split: Split, account: str, amount: int) -> int:
        """Return how much more *amount* becomes by *split*, with what waited of the account before."""
        before = self._sums[split.seq, account]
        self._sums[split.seq, account] = before + amount
        return split.adds(before + amount) - split.adds(before)
