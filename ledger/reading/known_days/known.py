"""
Fold what was known at one time about the days up to another: in the order (effective_on, seq).

An event whose ground is of a later day waits for it. What then still finds none is told apart: an execution moves the
position without its order; whatever else lacks an event cannot be read. Balances are sums of postings as they are
stored (`counting`).
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.settlement import AllocationReversed
from ledger.domain.rules.ground import Broken
from ledger.domain.state import State
from ledger.reading.known_days.counting import Counted
from ledger.reading.known_days.ending import answered, balances_of
from ledger.reading.known_days.ground import GROUND
from ledger.reading.known_days.orders import OrdersOfDays
from ledger.reading.known_days.split_days import TRADES, asset_of, find_in
from ledger.reading.known_days.waiting import Ground, Waiting
from ledger.reading.known_days.without_ground import WithoutGround
from ledger.reading.lineage import Name, needed_by, told_by
from ledger.reading.posted import given_of

_ANYTHING: Final[Ground] = ("", ())
"""The ground of what may depend on anything."""
_UNMOVED: Final = frozenset(
    {"assets", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams", "balances"}
)
"""No rule is refused here for want of these: they are known from the start, or set aside."""
_BY_BALANCE: Final = frozenset({"held_below_zero"})
"""The rules that a balance breaks, whatever its floor and however much it is."""
_MOVING: Final = TRADES | {"SplitApplied"}
"""What moves a position, or must be told to be missing, when it finds no ground."""


class KnownFold(WithoutGround):
    """
    The state as known at one time of the days up to one.

    Until `end` it is under way: the events wait that have found no ground yet.
    """

    def __init__(self, whole: State) -> None:
        super().__init__(whole)
        self._taken = 0

    def take(self, event: RecordedEvent) -> None:
        """
        Apply the next event in the order of days.
        """
        self._taken += 1
        if event.event_type == SplitApplied.__name__:
            self._settle_before(event)
        broken = self._try(event)
        if broken is not None:
            self._waiting.put(self._taken, event, self._grounds(event, broken))
        elif len(self._waiting):
            self._again()

    @property
    def complete(self) -> bool:
        """
        Return whether `end` would change no position: nothing waits that would move one.
        """
        return not any(self._waiting.types[name] for name in _MOVING)

    @contextlib.contextmanager
    def settled(self) -> Iterator[KnownFold]:
        """
        Settle what waits as `end` does for as long as the block lasts, balances apart; after it, it waits again.
        """
        mark, misfits = self.state.begin(), list(self.misfits)
        charged = self.charges.kept()
        self._is_settling = True
        try:
            self._settle()
            yield self
        finally:
            self._is_settling = False
            self.state.rollback(mark)
            self.misfits = misfits
            self.charges.restore(charged)

    def end(self, events: list[Counted]) -> KnownFold:
        """
        Settle what waits, and make the balances of all the *events* that were taken; return the fold itself.
        """
        self._settle()
        self._waiting = Waiting()
        self.state.balances.rows.clear()
        for balance in balances_of(self._whole, events):
            self.state.add("balances", balance)
        for fact in answered(self._whole, list(self.state.quarantine.rows.values()), events):
            self.state.quarantine.put(fact)
        self._tell_orders(events)
        # Terms are those that were known; whether it has split is of the days.
        split = [(key, row.split_on) for key, row in self.state.instruments.rows.items()]
        splits = [(key, row.splits) for key, row in self.state.assets.rows.items()]
        for name in GROUND:
            for row in self._whole.table(name).rows.values():
                self.state.add(name, row)
        for instrument, split_on in split:
            row = self.state.instruments.rows[instrument]
            self.state.add("instruments", msgspec.structs.replace(row, split_on=split_on))
        for asset, of_days in splits:
            self.state.add("assets", msgspec.structs.replace(self.state.assets.rows[asset], splits=of_days))
        return self

    def _tell_orders(self, events: list[Counted]) -> None:
        """Put the orders of all the *events*, as they were told, and name in their executions which they are of."""
        told = OrdersOfDays(self._whole, [each.event for each in events])
        self.misfits += told.misfits
        for order in told.state.orders.rows.values():
            self.state.orders.put(order)
        for claimed in told.state.client_order_ids.rows.values():
            self.state.client_order_ids.put(claimed)
        for key, row in list(self.state.executions.rows.items()):
            order_id = self._whole.executions.rows[key].order_id
            found = order_id if told.has(key) else None
            if row.order_id != found:
                self.state.executions.put(msgspec.structs.replace(row, order_id=found))

    def _settle_before(self, split: RecordedEvent) -> None:
        """Settle the trades of what splits that wait: they are of old shares, and so would their ground have to be."""
        find = find_in(self._whole)
        asset = asset_of(split, find)
        waiting = self._waiting
        old = [waiting.take(each) for each in waiting.numbers(TRADES) if asset_of(waiting.event(each), find) == asset]
        for event in self._in_turn(old):
            self._settle_one(event)
            self._again()

    def _settle(self) -> None:
        for event in self._in_turn(self._waiting.events()):
            self._settle_one(event)

    def _settle_one(self, event: RecordedEvent) -> None:
        broken = self._try(event)
        if broken is not None:
            self._without_ground(event, broken)

    def _in_turn(self, events: list[RecordedEvent]) -> Iterator[RecordedEvent]:
        """Yield what is about an execution after what was recorded of it before, where that is among *events* too."""
        left = [(event, given_of(event)) for event in events]
        self._reversed = {given.allocation_id for _, given in left if isinstance(given, AllocationReversed)}
        told: dict[Name, list[int]] = defaultdict(list)
        for place, (_, given) in enumerate(left):
            for name in told_by(given, self._whole):
                told[name].append(place)
        order: TopologicalSorter[int] = TopologicalSorter()
        for place, (event, given) in enumerate(left):
            before = [other for name in needed_by(given, self._whole) for other in told.get(name, ())]
            order.add(place, *(other for other in before if left[other][0].seq < event.seq))
        order.prepare()
        while order.is_active():
            for place in sorted(order.get_ready()):
                yield left[place][0]
                order.done(place)

    def _grounds(self, event: RecordedEvent, broken: Broken) -> frozenset[Ground]:
        """Return the rows of which one must change before *event*, just refused, can be more than refused again."""
        found = {ground for ground in self.state.asked if ground[0] not in _UNMOVED}
        given = given_of(event) if event.event_type == SplitApplied.__name__ else None
        if isinstance(given, SplitApplied) and self.state.instruments.get(given.instrument) is not None:
            # It goes through all that is held and ordered of its asset.
            found.add(self._holding_of(given))
        if broken.rule in _BY_BALANCE:
            found.add(_ANYTHING)
        return frozenset(found)

    def _again(self) -> None:
        """Go through those whose ground was changed, in the order in which they came, until no more are."""
        due = self._due()
        while due:
            turn, asked, due = sorted(due), due, set()
            while turn:
                number = heapq.heappop(turn)
                event = self._waiting.take(number)
                broken = self._try(event)
                if broken is not None:
                    self._waiting.put(number, event, self._grounds(event, broken))
                    continue
                for other in self._due():
                    if other < number:
                        due.add(other)
                    elif other not in asked:
                        asked.add(other)
                        heapq.heappush(turn, other)

    def _due(self) -> set[int]:
        return self._waiting.due(self._changed | {_ANYTHING}) if self._changed else set()


def whole_of(state: State, events: list[Counted]) -> KnownFold:
    """
    Return the fold of *events*, in their order, on the ground of *state*, all that was known then.
    """
    known = KnownFold(state)
    for each in events:
        known.take(each.event)
    return known.end(events)


def day_by_day(
    state: State, events: list[Counted], closing: int | None = None
) -> Iterator[tuple[int, KnownFold, list[Counted]]]:
    """
    Yield (day, fold, events of the day) of each day that *events* count for, with the positions known of it then; and
    of the *closing* day, if it comes after all of them.

    Positions, marks and executions of the fold are those that `whole_of` makes of the events up to there; the rest of
    it is under way, and gone when the next day is asked for.
    """
    known, day = KnownFold(state), 0
    for day, found in itertools.groupby(events, lambda each: each.event.effective_on):
        of_day = list(found)
        for each in of_day:
            known.take(each.event)
        with contextlib.nullcontext() if known.complete else known.settled():
            yield day, known, of_day
    if events and closing is not None and day < closing:
        with contextlib.nullcontext() if known.complete else known.settled():
            yield closing, known, []
