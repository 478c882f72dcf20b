"""
Rule on what the venue says of an order: from its acceptance to its end, and what becomes of requests.

Facts: what cannot be is quarantined. What is held follows what may still fill.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.domain import amounts
from ledger.domain.events import orders as events
from ledger.domain.events.fields import Event
from ledger.domain.order_status import CANCELED, EXPIRED, REJECTED, terms_by
from ledger.domain.rows import Order
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    check_not_closed,
    check_scale,
    known,
    post,
    units,
)
from ledger.domain.rules.orders import (
    answered,
    changed,
    check_shares,
    check_stated_price,
    claim,
    done,
    ended,
    held_for,
    live_order,
    reheld,
    with_terms,
)
from ledger.domain.state import State


def accept(state: State, event: events.OrderAccepted, now: Now) -> Effects:
    """
    The venue works an order that has not ended.
    """
    order = live_order(state, event.order_id)
    return done(changed(state, order, accepted=True, venue=event.venue, venue_order_id=event.venue_order_id))


def reject(state: State, event: events.OrderRejected, now: Now) -> Effects:
    """
    Only an order without fills can be rejected.
    """
    order = live_order(state, event.order_id)
    if order.cum_qty and state.booked is not None:
        # What filled by days was undone for later ones, and what is left of it was rejected.
        return reheld(state, ended(order, CANCELED), now)
    if order.cum_qty:
        raise Broken(
            "rejected_after_fill",
            f"order {event.order_id} has filled {amounts.render(order.cum_qty)}; "
            "expected none of an order that is rejected",
        )
    return reheld(state, ended(order, REJECTED), now)


def trigger(state: State, event: events.OrderTriggered, now: Now) -> Effects:
    """
    A stop is reached while the order lives.
    """
    return done(changed(state, live_order(state, event.order_id), triggered=True))


def _stated_qty(state: State, order: Order, stated: Any) -> int:
    qty = units(stated)
    if qty <= 0:
        raise Broken("quantity", f"found quantity {stated} of order {order.order_id}; expected more than 0")
    instrument = known(state.instruments, order.instrument, "instrument")
    check_scale(qty, known(state.assets, instrument.asset, "asset"), "quantity")
    return qty


def _check_not_of_another(state: State, order: Order, cl_ord_id: str | None) -> None:
    """Raise Broken where *cl_ord_id*, which a report of *order* names, is of another order of its account."""
    own = [order.cl_ord_id, *order.pending_cancel, *order.pending_replace]
    if cl_ord_id is None or cl_ord_id in own or state.booked is not None:
        return
    row = state.client_order_ids.get(order.account, cl_ord_id)
    if row is not None and row.order_id != order.order_id:
        raise Broken(
            "cl_ord_id_of_another",
            f"order {order.order_id}: found {cl_ord_id!r}, which is of order {row.order_id}; expected one of its own",
        )


def replace(state: State, event: events.OrderReplaced, now: Now) -> Effects:
    """
    The answer to a pending request, at the prices that it asked for where none are said, or unasked for the current
    ones; at a price that the instrument may have, unless it is of the past. A filled order may live again by it, if its
    instrument was not split since. The account is not closed.
    """
    order = live_order(state, event.order_id)
    check_shares(state, order)
    check_not_closed(state, order.account)
    _check_not_of_another(state, order, event.orig_cl_ord_id)
    if not event.historical:
        check_stated_price(state, order, event.price, now.day)
    if event.cl_ord_id not in order.pending_replace:
        if event.orig_cl_ord_id != order.cl_ord_id and state.booked is None:
            raise Broken(
                "not_pending",
                f"order {order.order_id}: found {event.cl_ord_id!r}, which nobody asked for; "
                f"expected a pending request, or orig_cl_ord_id {order.cl_ord_id!r}",
            )
        if event.cl_ord_id != order.cl_ord_id:
            claim(state, order.account, event.cl_ord_id, event.order_id)
    qty = max(_stated_qty(state, order, event.qty), order.cum_qty)
    _, price, stop = terms_by(order, event.cl_ord_id)
    price = price if event.price is None else units(event.price)
    stop = stop if event.stop_price is None else units(event.stop_price)
    terms = with_terms(
        state, order, qty, price=price, stop_price=stop, cl_ord_id=event.cl_ord_id, accepted=True, terms_day=now.day,
        terminal=None, **answered(order, event.cl_ord_id),
    )  # fmt: skip
    effects = reheld(state, terms, now)
    if effects.derived:
        new = known(state.orders, order.order_id, "order")
        delta = new.hold_amount + new.asked_hold - order.hold_amount - order.asked_hold
        effects.derived["hold_delta"] = {"amount": amounts.render(delta), "asset": new.hold_asset}
    return effects


def _overtaken(state: State, order: Order, cl_ord_id: str, pending: str) -> Effects:
    request = state.client_order_ids.get(order.account, cl_ord_id)
    was_asked = order.terminal is not None and request is not None and request.order_id == order.order_id
    if not was_asked and state.booked is None:
        raise Broken("not_pending", f"found {cl_ord_id!r}; expected a {pending} of order {order.order_id}")
    # The order's end answered the request before; that it came too late changes nothing.
    return done(changed(state, order))


def refuse_replace(state: State, event: events.ReplaceRejected, now: Now) -> Effects:
    """
    The answer to a pending request for other terms, whose hold is released, or to one that the order's end overtook.
    """
    order = known(state.orders, event.order_id, "order")
    if event.cl_ord_id not in order.pending_replace:
        return _overtaken(state, order, event.cl_ord_id, "pending_replace")
    order = msgspec.structs.replace(order, **answered(order, event.cl_ord_id))
    changes, lines = held_for(state, order, order.hold_amount, now.day)
    post(state, lines, may_refuse=False)
    return done(changed(state, order, **changes), lines)


def refuse_cancel(state: State, event: events.CancelRejected, now: Now) -> Effects:
    """
    The answer to a pending request to cancel, or to one that the order's end overtook.
    """
    order = known(state.orders, event.order_id, "order")
    if event.cl_ord_id not in order.pending_cancel:
        return _overtaken(state, order, event.cl_ord_id, "pending_cancel")
    return done(changed(state, order, pending_cancel=tuple(x for x in order.pending_cancel if x != event.cl_ord_id)))


def _end_once(state: State, order_id: str, terminal: str, now: Now, cl_ord_id: str | None = None) -> Effects:
    order = known(state.orders, order_id, "order")
    _check_not_of_another(state, order, cl_ord_id)
    if order.terminal == terminal:
        return done(changed(state, order))
    return reheld(state, ended(live_order(state, order_id), terminal), now)


def cancel(state: State, event: events.OrderCanceled, now: Now) -> Effects:
    """
    The order ends and what is held is released; said twice, it changes nothing more. It names no other order's request.
    """
    return _end_once(state, event.order_id, CANCELED, now, event.cl_ord_id)


def expire(state: State, event: events.OrderExpired, now: Now) -> Effects:
    """
    The order ends because time ran out and what is held is released; said twice, it changes nothing more.
    """
    return _end_once(state, event.order_id, EXPIRED, now)


def finish_day(state: State, event: events.OrderDoneForDay, now: Now) -> Effects:
    """
    A good-till order rests, with what is held for it, until it is restated or fills; a day order fills no more.
    """
    order = live_order(state, event.order_id)
    return reheld(state, msgspec.structs.replace(order, done_for_day=order.terminal is None), now)


def restate(state: State, event: events.OrderRestated, now: Now) -> Effects:
    """
    A live order of an account that is not closed goes on, on the terms the venue states; never for less than has
    filled, at a price that the instrument may have unless it is of the past, and not in the shares of before a split.
    """
    order = live_order(state, event.order_id)
    check_shares(state, order)
    # A day order that is done for the day is left behind when its account closes: it would live again for nobody.
    check_not_closed(state, order.account)
    qty = order.qty if event.qty is None else _stated_qty(state, order, event.qty)
    if qty < order.cum_qty and state.booked is None:
        raise Broken("filled_more", f"order {order.order_id}: found {event.qty}; expected "
                                    f"{amounts.render(order.cum_qty)} or more, which has filled already")  # fmt: skip
    if not event.historical:
        check_stated_price(state, order, event.price, now.day)
    price = order.price if event.price is None else units(event.price)
    # By days it may have ended, and more be filled of it, where what undid that is of a later one.
    terms = with_terms(
        state, order, max(qty, order.cum_qty), price=price, done_for_day=False, terms_day=now.day, terminal=None
    )  # fmt: skip
    return reheld(state, terms, now)


RULES: dict[type[Event], object] = {
    events.OrderAccepted: accept,
    events.OrderRejected: reject,
    events.OrderTriggered: trigger,
    events.OrderReplaced: replace,
    events.ReplaceRejected: refuse_replace,
    events.OrderCanceled: cancel,
    events.CancelRejected: refuse_cancel,
    events.OrderExpired: expire,
    events.OrderDoneForDay: finish_day,
    events.OrderRestated: restate,
}
