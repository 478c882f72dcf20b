"""
Say from a history how an order stands: what it asks for, what filled, what is pending, what is held for it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from fractions import Fraction

from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDoneForDay,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTriggered,
    ReplaceRejected,
    ReplaceRequested,
)
from tests.model import corporate, reference
from tests.model.history import History, asked, number, rounded
from tests.model.trades import Key, key_of, live, made, ref_of

Wish = tuple[Fraction, Fraction | None, Fraction | None]
"""A quantity, a price and a stop price."""


@dataclass
class Standing:
    """
    An order after all that happened to it.
    """

    placed: OrderPlaced
    qty: Fraction
    price: Fraction | None
    stop: Fraction | None
    current: str
    shares: str
    """The day of the newest split that its terms are after."""
    since: str
    """The day on which its terms were last said."""
    accepted: bool = False
    triggered: bool = False
    how: str | None = None
    done: bool = False
    cancels: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)
    fills: dict[Key, tuple[Fraction, Fraction]] = field(default_factory=dict)
    """Quantity and gross, by the id of the newest version of each trade."""
    held: Fraction = Fraction(0)
    """What is held for it, of `hold_asset`."""
    wishes: dict[str, Wish] = field(default_factory=dict)
    """What each request for other terms asks for, until it is answered."""
    wished: dict[str, str] = field(default_factory=dict)
    """The day of each request for other terms that there ever was."""
    reserve: Fraction = Fraction(0)
    """What is held besides, so that any of them may be granted."""

    @property
    def lasts(self) -> bool:
        """Whether it goes on tomorrow."""
        return self.placed.tif in ("gtc", "gtd")

    @property
    def newest_terms(self) -> str:
        """The day of the newest terms that it has or waits for."""
        return max(self.since, *(self.wished[wish] for wish in self.wishes), "")

    @property
    def filled(self) -> Fraction:
        return sum((qty for qty, _ in self.fills.values()), Fraction(0))

    @property
    def left(self) -> Fraction:
        return Fraction(0) if self.how or (self.done and not self.lasts) else self.qty - self.filled

    @property
    def reach(self) -> Fraction:
        """What may still fill at most, whichever requests are granted."""
        if self.how or (self.done and not self.lasts):
            return Fraction(0)
        return max([self.qty, *(qty for qty, _, _ in self.wishes.values())]) - self.filled

    @property
    def status(self) -> str:
        if self.how == "rejected":
            return "REJECTED"
        if self.cancels:
            return "PENDING_CANCEL"
        if self.replaces:
            return "PENDING_REPLACE"
        if self.done:
            return "DONE_FOR_DAY"
        if self.filled == self.qty:
            return "FILLED"
        if self.how:
            return self.how.upper()
        if self.filled:
            return "PARTIALLY_FILLED"
        return "NEW" if self.accepted else "PENDING_NEW"

    def end(self, how: str) -> None:
        if self.how is None:
            self.how, self.done, self.cancels, self.replaces, self.wishes = how, False, [], [], {}


def asks_for(order: Standing, request: str) -> Wish:
    """Return the terms that a waiting request is for; there are those that the order has where it waits for none."""
    return order.wishes.get(request, (order.qty, order.price, order.stop))


def _undo(order: Standing, event: TradeBusted, ref: Key) -> None:
    full = order.filled == order.qty
    undone, _ = order.fills.pop(ref)
    if order.how is None and not event.reopens_order:
        if full:
            order.end("canceled")
        else:
            order.qty -= undone


def _take(order: Standing, event: Event) -> None:
    """Let one more thing happen to an order that it is about."""
    match event:
        case OrderAccepted():
            order.accepted = True
        case OrderTriggered():
            order.triggered = True
        case OrderRejected():
            order.end("rejected")
        case OrderCanceled():
            order.end("canceled")
        case OrderExpired():
            order.end("expired")
        case CancelRequested():
            order.cancels.append(event.cl_ord_id)
        case ReplaceRequested():
            order.replaces.append(event.cl_ord_id)
            qty, price, stop = asks_for(order, event.orig_cl_ord_id)
            order.wishes[event.cl_ord_id] = (
                qty if event.new_qty is None else number(event.new_qty),
                price if event.new_price is None else number(event.new_price),
                stop if event.new_stop is None else number(event.new_stop),
            )
        case CancelRejected():
            order.cancels = [x for x in order.cancels if x != event.cl_ord_id]
        case ReplaceRejected():
            order.replaces = [x for x in order.replaces if x != event.cl_ord_id]
            order.wishes.pop(event.cl_ord_id, None)
        case OrderReplaced():
            order.qty = max(number(event.qty), order.filled)
            _, price, stop = asks_for(order, event.cl_ord_id)
            order.price = price if event.price is None else number(event.price)
            order.stop = stop if event.stop_price is None else number(event.stop_price)
            order.replaces = [x for x in order.replaces if x != event.cl_ord_id]
            order.wishes.pop(event.cl_ord_id, None)
            order.current, order.accepted = event.cl_ord_id, True
        case OrderDoneForDay():
            order.done = True
        case OrderRestated():
            order.qty = order.qty if event.qty is None else number(event.qty)
            order.price = order.price if event.price is None else number(event.price)
            order.done = False


def reckoned(history: History, order: Standing) -> Fraction:
    """Return what an order may still cost, or may still deliver, at its own terms, as they were when it got them."""
    return _cost(history, order, order.left, order.price, order.since)


def _cost(history: History, order: Standing, part: Fraction, price: Fraction | None, day: str) -> Fraction:
    """Return what is to be held so that a part of an order may fill at a price."""
    placed = order.placed
    its = reference.terms(history, placed.instrument, day)
    assert its is not None
    if placed.hold is not None:
        share = number(placed.hold.amount) * part / number(placed.qty)
        return rounded(share, reference.scales(history)[placed.hold.asset])
    if placed.side == "buy":
        # A stop without a limit becomes a market order, and nobody knows what that will cost.
        return max(Fraction(0), reference.gross_of(history, its, part, price or Fraction(0)))
    return part if placed.side == "sell" else Fraction(0)


def _reserved(history: History, order: Standing, day: str) -> Fraction:
    """
    Return what may be paid beyond what is held already, whichever wishes are granted, whenever: the order may have
    filled on its own terms by the first grant, or have not; and so may each wish that is granted by the next.
    """
    if not order.reach:
        return Fraction(0)

    # A wish that was granted is for no more than has filled, so none comes twice.
    @functools.cache
    def most(filled: Fraction) -> Fraction:
        dearest = Fraction(0)
        for qty, price, _ in order.wishes.values():
            if qty > filled:
                dearest = max(dearest, _cost(history, order, qty - filled, price, day) + most(qty))
        return dearest

    return max(most(order.qty), most(order.filled) - order.held)


def hold_asset(history: History, order: Standing) -> str:
    its = reference.terms(history, order.placed.instrument)
    assert its is not None
    if order.placed.hold is not None:
        return order.placed.hold.asset
    return its.quote if order.placed.side == "buy" else its.asset


def _after_a_fill(history: History, order: Standing, left: Fraction) -> Fraction:
    """Return what is still held where *left* could fill before: a fill releases in proportion."""
    if not order.left or not left:
        return Fraction(0)
    scale = reference.scales(history)[hold_asset(history, order)]
    return rounded(order.held * order.left / left, scale)


def of_instrument(history: History, name: str) -> list[str]:
    """Return the orders of which something is expected, by the present name of their instrument."""
    return [
        order
        for order, x in orders(history).items()
        if reference.called_now(history, x.placed.instrument) == name and (x.left or x.cancels or x.replaces)
    ]


def _to_a_tick(price: Fraction | None, tick: Fraction, ratio: Fraction, *, up: bool) -> Fraction | None:
    if price is None:
        return None
    ticks = price / ratio / tick
    low = ticks.__floor__()
    return max(low + (up and low != ticks), 1) * tick


def after_split(
    history: History, event: SplitApplied, order_id: str
) -> tuple[Fraction, Fraction, Fraction | None, Fraction | None]:
    """Return quantity, filled quantity, price and stop price of an open order in the new shares."""
    order = orders(history)[order_id]
    its = reference.terms(history, event.instrument, event.ex_date)
    assert its is not None
    ratio = Fraction(event.ratio_num, event.ratio_den)
    filled = (order.filled * ratio * 10 ** reference.scales(history)[its.asset]).__floor__()
    cum = Fraction(filled, 10 ** reference.scales(history)[its.asset])
    named = next((x for x in event.order_adjustments if x.order_id == order_id), None)
    up = order.placed.side != "buy"
    prices = [_to_a_tick(x, its.tick, ratio, up=up) for x in (order.price, order.stop)]
    if named is None and order.filled == order.qty:
        return cum, cum, prices[0], prices[1]
    if named is None:
        return (order.qty * ratio / its.lot).__floor__() * its.lot, cum, prices[0], prices[1]
    price = order.price if named.price is None else number(named.price)
    stop = order.stop if named.stop_price is None else number(named.stop_price)
    return number(named.qty), cum, price, stop


def ends_by_split(history: History, event: SplitApplied, order_id: str) -> bool:
    """Whether nothing of an open order is left in the new shares, as the issuer says or as whole lots come to."""
    qty, filled, *_ = after_split(history, event, order_id)
    return qty == 0 or (qty < filled and order_id not in {x.order_id for x in event.order_adjustments})


def _split(history: History, seq: int, event: SplitApplied, now: dict[str, Standing]) -> None:
    """Give each open order its terms in the new shares; what it traded for stays what it was."""
    then, day = history.until(seq), history.entries[seq - 1].day
    for name in of_instrument(then, reference.called_now(then, event.instrument)):
        order, sold = now[name], sum((gross for _, gross in now[name].fills.values()), Fraction(0))
        if ends_by_split(then, event, name):
            order.end("canceled")
            order.held = order.reserve = Fraction(0)
            continue
        order.qty, cum, order.price, order.stop = after_split(then, event, name)
        order.fills = {("", "", event.ca_id): (cum, sold)}
        order.shares = order.since = event.ex_date
        order.held = reckoned(then, order)
        ratio, its = Fraction(event.ratio_num, event.ratio_den), reference.terms(then, event.instrument, event.ex_date)
        assert its is not None
        up, scale = order.placed.side != "buy", reference.scales(then)[its.asset]
        order.wishes = {
            wish: (
                corporate.whole(qty * ratio, scale, "up"),
                _to_a_tick(price, its.tick, ratio, up=up),
                _to_a_tick(stop, its.tick, ratio, up=up),
            )
            if order.wished[wish] < event.ex_date
            else (qty, price, stop)
            for wish, (qty, price, stop) in order.wishes.items()
        }
        order.reserve = _reserved(then, order, day)


def is_of_old_shares(history: History, order: Standing) -> bool:
    """Whether its instrument split when nothing was expected of the order any more."""
    its = reference.terms(history, order.placed.instrument)
    assert its is not None
    return order.shares != its.split_on


@asked
def orders(history: History) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    whose: dict[Key, str] = {}
    for seq, event in history.steps():
        then, day = history.until(seq), history.entries[seq - 1].day
        if isinstance(event, OrderPlaced):
            terms = (None if x is None else number(x) for x in (event.price, event.stop_price))
            its = reference.terms(then, event.instrument)
            assert its is not None
            order = found[event.order_id] = Standing(
                event, number(event.qty), *terms, event.cl_ord_id, its.split_on, day
            )
            order.held = reckoned(then, order)
        elif isinstance(event, TradeBusted):
            name = ref_of(event)
            if name in whose:
                order = found[whose[name]]
                _undo(order, event, name)
                order.held = reckoned(then, order)
                order.reserve = _reserved(then, order, day)
        elif isinstance(event, TradeExecuted):
            if event.order_id is None:
                continue
            order, name = found[event.order_id], key_of(event)
            whose[name], left = event.order_id, order.left
            if isinstance(event, TradeCorrected):
                del order.fills[ref_of(event)]
            else:
                order.accepted, order.done = True, order.done and not order.lasts
            old = live(then)[ref_of(event)] if isinstance(event, TradeCorrected) else None
            trade = made(then, event, old)
            order.fills[name] = (trade.qty, trade.gross)
            order.held = reckoned(then, order) if old else _after_a_fill(then, order, left)
            order.reserve = _reserved(then, order, day)
        elif isinstance(event, SplitApplied):
            _split(history, seq, event, found)
        elif (about := getattr(event, "order_id", None)) is not None:
            order = found[about]
            _take(order, event)
            if isinstance(event, ReplaceRequested):
                order.wished[event.cl_ord_id] = day
            if isinstance(event, OrderReplaced | OrderRestated):
                order.since = day
            if order.how or isinstance(event, OrderReplaced | OrderRestated | OrderDoneForDay):
                order.held = reckoned(then, order)
            if order.how or not isinstance(event, OrderAccepted | OrderTriggered | CancelRequested | CancelRejected):
                order.reserve = _reserved(then, order, day)
    return found


def order(history: History, order_id: str | None) -> Standing | None:
    return orders(history).get(order_id or "")


@asked
def requests(history: History) -> dict[tuple[str, str], str]:
    """Return which order each client order id of an account was used for."""
    used: dict[tuple[str, str], str] = {}
    for _, event in history.steps():
        if isinstance(event, OrderPlaced | ReplaceRequested | CancelRequested | OrderReplaced):
            placed = next(x for x in history.of(OrderPlaced) if x.order_id == event.order_id)
            used.setdefault((placed.account, event.cl_ord_id), event.order_id)
    return used


def asked_by(history: History, order_id: str, request: str) -> str | None:
    """Return the order of the same account that a client order id was used for."""
    standing = order(history, order_id)
    return None if standing is None else requests(history).get((standing.placed.account, request))
