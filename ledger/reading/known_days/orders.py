"""
Tell the orders of known days: from what was said of each that counts for them, in the order in which it was told.

An order's life is a conversation, and its rules follow it: what was asked, what was granted, what had filled by then.
In the order of days a bust would come before the fills that it left to complete, and terms after what they allowed. So
of the events that count for the days asked about each comes where it was told; those of later days are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.registry import EVENT_TYPES
from ledger.domain.rows import Execution, Order
from ledger.domain.rulebook import rule_of
from ledger.domain.rules.fills import filled, filled_otherwise, order_of_fill, unfilled
from ledger.domain.rules.ground import Broken, Now, current_name, known, known_instrument, post, units
from ledger.domain.rules.orders import with_terms
from ledger.domain.rules.splits import adjust_orders, note_split
from ledger.domain.state import State
from ledger.errors import LedgerError
from ledger.reading.known_days.ground import lay_ground
from ledger.reading.known_days.misfits import LACKING, OF_ORDERS, Misfit, about
from ledger.reading.lineage import Name, versions_before
from ledger.reading.posted import given_of

_TELLING: Final = {name for name, kind in EVENT_TYPES.items() if kind in OF_ORDERS} | {
    kind.__name__ for kind in (TradeExecuted, TradeCorrected, TradeBusted, SplitApplied)
}


class OrdersOfDays:
    """
    The orders and client order ids that *events* make, as `state` has them; *whole* is all that was known.

    `misfits` are the events that count for the days and are about what counts for later ones.
    """

    def __init__(self, whole: State, events: Iterable[RecordedEvent]) -> None:
        self.state = State()
        self.misfits: list[Misfit] = []
        self._whole = whole
        self._filled: set[Name] = set()
        """The fills and busts that an order has been told of, and what took their place."""
        lay_ground(self.state, whole)
        told = (event for event in events if event.event_type in _TELLING)
        for event in sorted(told, key=lambda event: event.seq):
            self._take(event)
        for order in list(self._whole_orders()):
            self.state.orders.put(order)

    def has(self, name: Name) -> bool:
        """
        Return whether an order has been told of the execution of this name.
        """
        return name in self._filled

    def _take(self, event: RecordedEvent) -> None:
        given = given_of(event)
        mark = self.state.begin()
        try:
            self._tell(event, given)
        except (Broken, LedgerError) as error:
            self.state.rollback(mark)
            rule, detail = (error.rule, error.detail) if isinstance(error, Broken) else ("order_of_days", str(error))
            lacking, of = LACKING[type(given)], about(given, self._whole)
            self.misfits.append(Misfit(event.seq, event.event_type, rule, detail, lacking, of))
        self.state.log.clear()

    def _tell(self, event: RecordedEvent, given: Event) -> None:
        now = Now(event.seq, event.occurred_at, event.recorded_at, split_payload(event.payload)[1])
        if isinstance(given, SplitApplied):
            instrument = known_instrument(self.state, given.instrument)
            lines, _, _ = adjust_orders(self.state, instrument, given)
            post(self.state, lines, may_refuse=False)
            note_split(self.state, instrument.asset, given, event.seq)
        elif isinstance(given, TradeExecuted):
            self._fill(given, now)
        elif isinstance(given, TradeBusted):
            self._undo(given, now)
        else:
            if isinstance(given, OrderPlaced):
                # Instruments go by the names that they were known by, from the first day on.
                given = msgspec.structs.replace(given, instrument=current_name(self.state, given.instrument))
            rule_of(type(given), event.schema_version)(self.state, given, now)

    def _fill(self, given: TradeExecuted, now: Now) -> None:
        old = self._newest(given)
        freed = old.qty if old is not None else 0
        self._make_room(given, freed)
        order = order_of_fill(self.state, given, freed)
        if order is not None:
            row = self._whole.executions.rows[given.venue, given.trade_date, given.exec_id]
            if old is None:
                _, lines = filled(self.state, order, row, now.day)
            else:
                _, lines = filled_otherwise(self.state, order, old, row, now.day)
            post(self.state, lines, may_refuse=False)
            self._filled.add((row.venue, row.trade_date, row.exec_id))

    def _make_room(self, given: TradeExecuted, freed: int) -> None:
        """Have the order be for what it fills, where terms of a later day, which do not count, allowed as much."""
        order = self.state.orders.get(given.order_id)
        qty = 0 if order is None else order.cum_qty - freed + units(given.qty)
        if order is not None and qty > order.qty:
            self.state.orders.put(with_terms(self.state, order, qty))

    def _undo(self, given: TradeBusted, now: Now) -> None:
        old = self._newest(given)
        if old is None or old.order_id is None:
            # By these days it never filled, so there is nothing that an order should be told of.
            return
        order = known(self.state.orders, old.order_id, "order")
        _, lines = unfilled(self.state, order, old, now.day, reopens=given.reopens_order)
        post(self.state, lines, may_refuse=False)
        self._filled.add((given.venue, given.trade_date, given.exec_id))

    def _newest(self, given: Event) -> Execution | None:
        """Return the newest version that counts of what *given* takes the place of."""
        found = (name for name in versions_before(given, self._whole) if name in self._filled)
        name = next(found, None)
        return None if name is None else self._whole.executions.rows[name]

    def _whole_orders(self) -> Iterator[Order]:
        """
        Yield the orders of which every event counts, and every split of their shares, as they were known.

        What they held before their instrument's terms were amended is by the terms of then.
        """
        for key, order in self.state.orders.rows.items():
            known_order = self._whole.orders.rows[key]
            asset = (self._whole.instruments.rows[known_order.instrument,].asset,)
            splits = self._whole.assets.rows[asset].splits
            if (known_order.version, splits) == (order.version, self.state.assets.rows[asset].splits):
                yield known_order
