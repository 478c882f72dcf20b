"""
Say what a bust after which its order works nothing again makes of the order, by days.

When it was told, it took what it undid off the order's quantity, or ended the order, if that had filled. Its day may be
before that of fills, requests and terms which were told earlier. By days it takes off the quantity first; terms that
were told before it, and count later, have that taken off as well; and an order that it ended has ended once all counts
that was told of it before. Until then it works what fills of later days are to complete.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderReplaced, OrderRestated
from ledger.domain.order_status import CANCELED, derive
from ledger.domain.rows import Order
from ledger.domain.rules.orders import ended, rehold, with_terms
from ledger.domain.state import State
from ledger.reading.moment import day_text


class _Derived(msgspec.Struct):
    ended: tuple[str, ...] = ()


class _Cut(msgspec.Struct, frozen=True):
    """
    What one bust took off: its seq and version in the order's stream, and whether it ended the order; `told_since` is
    how many of the events that count by now were told of the order after it.
    """

    seq: int
    version: int
    qty: int
    ends: bool
    told_since: int = 0


_DERIVED: Final = msgspec.json.Decoder(_Derived)
Kept = tuple[dict[str, tuple[_Cut, ...]], dict[str, tuple[int, ...]]]


class Busts:
    """
    The busts so far after which an order of *state* works nothing again; *whole* is all that was known.
    """

    def __init__(self, state: State, whole: State) -> None:
        self._state = state
        self._whole = whole
        self._cuts: dict[str, tuple[_Cut, ...]] = {}
        self._versions: dict[str, tuple[int, ...]] = {}

    def kept(self) -> Kept:
        """
        Return what `restore` takes to have it as it is now.
        """
        return dict(self._cuts), dict(self._versions)

    def restore(self, kept: Kept) -> None:
        """
        Have it as it was when *kept* was.
        """
        cuts, versions = kept
        self._cuts, self._versions = dict(cuts), dict(versions)

    def as_applied(self, given: Event) -> Event:
        """
        Return what the rule is given in the place of *given*: what it makes of the order's quantity is told here.
        """
        if isinstance(given, TradeBusted) and not given.reopens_order:
            return msgspec.structs.replace(given, reopens_order=True)
        return given

    def make_room(self, event: RecordedEvent, given: Event) -> None:
        """
        Give an order that has ended by all that was known its whole quantity back, before a fill that was told after a
        bust which ended it, and so took nothing off then: what the venue books in the place of what it undid is of that
        quantity.
        """
        if not isinstance(given, TradeExecuted) or given.order_id is None:
            return
        cuts, order = self._cuts.get(given.order_id, ()), self._state.orders.rows.get((given.order_id,))
        if order is None or not any(cut.ends and event.stream_version > cut.version for cut in cuts):
            return
        known = self._whole.orders.rows[given.order_id,]
        if known.terminal is not None and known.split_on == order.split_on and order.qty < known.qty:
            self._put(msgspec.structs.replace(order, qty=known.qty, hold_given=known.hold_given), event)

    def follow(self, event: RecordedEvent, given: Event) -> None:
        """
        Have the order that *event* is of as the busts leave it; *given* is what was applied of it, before `as_applied`.
        """
        kind, _, order_id = event.stream.partition("/")
        if kind != "order" or (isinstance(given, TradeExecuted) and given.order_id is None):
            # Of no order, or of one that by these days is not there.
            return
        self._versions[order_id] = (*self._versions.get(order_id, ()), event.stream_version)
        cuts = self._cuts.get(order_id, ())
        if isinstance(given, TradeBusted) and not given.reopens_order:
            cuts = self._cut(event, given)
        elif isinstance(given, OrderReplaced) or (isinstance(given, OrderRestated) and given.qty is not None):
            self._take_off(order_id, sum(cut.qty for cut in cuts if event.seq < cut.seq), event)
        if cuts:
            since = tuple(
                msgspec.structs.replace(cut, told_since=cut.told_since + (event.stream_version > cut.version))
                for cut in cuts
            )
            self._cuts[order_id] = since
            self._end(order_id, since, event)

    def _cut(self, event: RecordedEvent, given: TradeBusted) -> tuple[_Cut, ...]:
        row = self._state.executions.rows[given.venue, given.trade_date, given.exec_id]
        order = None if row.order_id is None else self._state.orders.rows.get((row.order_id,))
        if row.order_id is None or order is None or order.terminal is not None:
            return ()
        self._take_off(row.order_id, row.qty, event)
        ends = row.order_id in _DERIVED.decode(split_payload(event.payload)[0]).ended
        told_since = sum(version > event.stream_version for version in self._versions.get(row.order_id, ()))
        cut = _Cut(event.seq, event.stream_version, row.qty, ends, told_since)
        return (*self._cuts.get(row.order_id, ()), cut)

    def _take_off(self, order_id: str, qty: int, event: RecordedEvent) -> None:
        order = self._state.orders.rows[order_id,]
        left = max(order.qty - qty, order.cum_qty)
        # An order for nothing is none: what is undone of it stands until other terms, or its end, count.
        if left and left != order.qty and order.terminal is None:
            self._put(with_terms(self._state, order, left), event)

    def _end(self, order_id: str, cuts: tuple[_Cut, ...], event: RecordedEvent) -> None:
        order = self._state.orders.rows[order_id,]
        if order.terminal is None and any(cut.ends and order.version - cut.told_since >= cut.version for cut in cuts):
            order = ended(order, CANCELED)
        if order.terminal is None:
            return
        known = self._whole.orders.rows[order_id,]
        if known.split_on == order.split_on:
            # Nothing changes the quantity of an order that has ended, so it was for as much then.
            qty = max(known.qty, order.cum_qty)
            order = msgspec.structs.replace(order, qty=qty, hold_given=known.hold_given)
        self._put(order, event)

    def _put(self, order: Order, event: RecordedEvent) -> None:
        # What moves balances is what was stored; of this the row alone is kept.
        order, _ = rehold(self._state, order, day_text(event.effective_on))
        self._state.orders.put(msgspec.structs.replace(order, status=derive(order)))
