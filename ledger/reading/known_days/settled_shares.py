"""
Say which of the shares that settle belong to a split, when the days are gone through in order.

A settlement of a trade of before a split moves what the trade has become, if it was told after the split; it may be of
a day before it. And what was told before the split (a settlement, a fee, a deposit) may be of a day after it, on which
it was not there yet, or waited still. What each split adds is the split's: it is posted with the split, or with the
event, whichever comes later in the order of days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.postings import ISSUER, Line, is_system, moved, owns
from ledger.reading.known_days.split_days import Split, Splits
from ledger.reading.posted import become_in


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


class Moved(msgspec.Struct, frozen=True):
    """
    A posting in the order of days: the place of the event with which it is posted, the seq at which it was recorded,
    and the day that it counts for.
    """

    place: int
    seq: int
    day: int
    line: Line


class Made(msgspec.Struct, frozen=True):
    """
    What a split made of a posting that counts for a day after it, beyond the posting: the lines, and how much more
    that is for the account than an exact multiple would be.
    """

    place: int
    account: str
    lines: list[Line]
    rounded: Fraction


def is_later(move: Moved, splits: Splits) -> bool:
    """
    Return whether *move* was told before a split of its asset, and counts for a day after it.
    """
    return any(move.seq < split.seq and split.day < move.day for split in splits[move.line.asset])


def told_before(split: Split, moves: Sequence[Moved]) -> Iterator[Made]:
    """
    Yield what *split* made of those of *moves* that were told before it and are of a day after it.

    *moves* are all of the split's asset, in the order of days. What there was by the split's day is rounded as a whole,
    as if the rest had not come yet; that has what the whole as it was recorded comes to beyond it, one after the other.
    """
    told = [move for move in moves if move.seq < split.seq and owns(move.line.account)]
    later = [move for move in told if split.day < move.day]
    accounts = {move.line.account for move in later}
    there: dict[str, _There] = {account: _There() for account in accounts}
    for move in told:
        if move.day <= split.day and move.line.account in accounts:
            there[move.line.account].add(move.line)
    for move in later:
        line, has = move.line, there[move.line.account]
        settled, waiting = has.made(split)
        has.add(line)
        more, waits = (now - then for now, then in zip(has.made(split), (settled, waiting), strict=True))
        lines = moved(line.asset, waits, (ISSUER, "settled"), (line.account, "unsettled"))
        lines += moved(line.asset, more, (ISSUER, "settled"), (line.account, "settled"))
        exact = line.amount * (Fraction(*split.ratio) - 1)
        yield Made(move.place, line.account, lines, more + waits - exact)


class _There:
    """What an account had of the asset: all of it, and what of that waits."""

    def __init__(self) -> None:
        self.total = 0
        self.waiting = 0

    def add(self, line: Line) -> None:
        self.total += line.amount
        # Holds are given their amounts, and the ledger's own settles.
        if line.bucket == "unsettled" and not is_system(line.account):
            self.waiting += line.amount

    def made(self, split: Split) -> tuple[int, int]:
        """Return what *split* adds to what is settled, and to what waits, which goes on waiting."""
        waits = split.adds(self.waiting)
        return split.adds(self.total) - waits, waits
