"""
Keep trades and orders on their own side of a split of their shares when the days are gone through in order.

What was recorded before a split is in old shares, and what was recorded after it in new ones, whatever day either
counts for. A trade of the ex-date is busted a day later, the split told then and the trade again in new shares; a
split counts for a later day than its own, as that was closed, and a trade of a day between is told after it; or an
order is placed on the day after the ex-date, and the split that is told then says its terms. In the order of days such
a trade, or order, would be multiplied twice, or not at all: so it counts for the day that the split does. Of several
splits of a share none counts for an earlier day than one that was recorded before it.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.events import orders
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from ledger.domain.registry import EVENT_TYPES
from ledger.domain.rules.new_shares import Ratio, multiplied
from ledger.domain.state import State
from ledger.errors import StateMismatch
from ledger.reading.lineage import name_of
from ledger.reading.posted import given_of
from ledger.reading.sound_rows import MEND

TRADES: Final = frozenset({"TradeExecuted", "TradeCorrected", "TradeBusted", "TradeAllocated", "AllocationReversed"})
"""What moves shares by a trade."""
_ORDERS: Final = frozenset(name for name, kind in EVENT_TYPES.items() if kind.__module__ == orders.__name__)
_MOVED: Final = TRADES | _ORDERS | {"SplitApplied"}
"""What is of shares that may split, and moves to the day of a split where it was recorded on the other side of it."""
SETTLING: Final = frozenset({"TradeSettled", "CashDividendPaid"})
"""What moves what was booked before, in shares of then, as what they have become."""

Find = Callable[..., Any]
"""What returns the row of a table, named first, that has a key, or None."""


def there(find: Find, table: str, *key: str) -> Any:
    """
    Return the row of *table* that has this key, which an event or another row names.

    Raises:
        StateMismatch: there is none.
    """
    row = find(table, *key)
    if row is None:
        raise StateMismatch(f"found no row of {table} for {key}, which an event, or a row that it names, is of; {MEND}")
    return row


class Split(msgspec.Struct, frozen=True):
    """
    A split of an asset: where it was recorded, the day it counts for, and what it makes of an amount.
    """

    ca_id: str
    seq: int
    day: int
    ratio: Ratio
    scale: int
    rounding: str

    def adds(self, amount: int) -> int:
        """
        Return how much more of the asset *amount* becomes.
        """
        return multiplied(amount, self.ratio, self.scale, self.rounding) - amount


Splits = Mapping[str, list[Split]]
"""The splits of each asset that split, in the order of their seqs."""


def splits_in(events: Iterable[RecordedEvent], find: Find) -> Splits:
    """
    Return the splits among *events*.
    """
    found: dict[str, list[Split]] = defaultdict(list)
    for event in events:
        if event.event_type == "SplitApplied":
            given: Any = given_of(event)
            asset = there(find, "instruments", given.instrument).asset
            ratio, scale = (given.ratio_num, given.ratio_den), there(find, "assets", asset).scale
            found[asset].append(Split(given.ca_id, event.seq, event.effective_on, ratio, scale, given.rounding))
    return {asset: _in_turn(splits) for asset, splits in found.items()}


def _in_turn(splits: list[Split]) -> list[Split]:
    """
    Return the splits of one asset in the order of their seqs, none of an earlier day than one before it.

    One whose own day was closed counts for a later one, and the next may have been of a day between.
    """
    found: list[Split] = []
    for split in sorted(splits, key=lambda each: each.seq):
        before = found[-1].day if found else split.day
        found.append(msgspec.structs.replace(split, day=max(split.day, before)))
    return found


def find_in(state: State) -> Find:
    """
    Return what finds rows in *state*.
    """
    return lambda table, *key: state.table(table).get(*key)


def meeting(splits: Splits) -> Callable[[RecordedEvent], bool]:
    """
    Return what says whether an event may have a say on a day before its own, as *splits* are: it is moved there,
    settles what was booked before, or is what a split of before has multiplied. Trades come with what settles them.
    """
    sides = Sides(splits)
    together = TRADES | SETTLING if splits else frozenset()
    return lambda event: event.event_type in together or sides.are_crossed(event)


class Sides:
    """
    The days on both sides of each of many splits, so that an event is held against all of them at once.

    `seqs` are those of the splits in order, `latest` the latest day of them up to each, `earliest` the earliest from
    each on.
    """

    def __init__(self, splits: Splits) -> None:
        every = sorted((split for of_asset in splits.values() for split in of_asset), key=lambda split: split.seq)
        self.seqs = [split.seq for split in every]
        self.latest = list(itertools.accumulate((split.day for split in every), max))
        self.earliest = list(itertools.accumulate((split.day for split in reversed(every)), min))[::-1]

    def are_crossed(self, event: RecordedEvent) -> bool:
        """
        Return whether one of the splits was recorded on the other side of *event* than the day it counts for.
        """
        place = bisect.bisect_right(self.seqs, event.seq)
        before = place > 0 and self.latest[place - 1] > event.effective_on
        return before or (place < len(self.seqs) and self.earliest[place] < event.effective_on)


def beside_splits(events: Iterable[RecordedEvent], splits: Splits, find: Find) -> list[RecordedEvent]:
    """
    Return *events*, each with the day for which it counts beside the *splits* of what it trades, or orders.
    """
    sides = Sides(splits)
    return [
        # What no split would move is not looked up.
        _beside(event, splits.get(asset_of(event, find) or "", [])) if sides.are_crossed(event) else event
        for event in events
    ]


def _beside(event: RecordedEvent, splits: list[Split]) -> RecordedEvent:
    day = event.effective_on
    for split in splits:
        day = min(day, split.day) if event.seq < split.seq else max(day, split.day)
    return msgspec.structs.replace(event, effective_on=day)


def asset_of(event: RecordedEvent, find: Find) -> str | None:
    """
    Return what a trade, an order or a split is of; None of everything else.
    """
    if event.event_type not in _MOVED:
        return None
    given: Any = given_of(event)
    if isinstance(given, SplitApplied):
        return str(there(find, "instruments", given.instrument).asset)
    if event.event_type in _ORDERS:
        return str(there(find, "instruments", there(find, "orders", given.order_id).instrument).asset)
    if isinstance(given, TradeAllocated):
        name = (given.venue, given.trade_date, given.exec_ids[0])
    elif isinstance(given, AllocationReversed):
        allocation = there(find, "allocations", given.allocation_id)
        name = (allocation.venue, allocation.trade_date, allocation.exec_ids[0])
    elif isinstance(given, TradeExecuted):
        return str(there(find, "instruments", given.instrument).asset)
    else:
        name = name_of(given) or ("", "", "")
    row = find("executions", *name)
    return None if row is None else str(row.asset)
