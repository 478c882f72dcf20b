"""
Rule on the life of an order: what may be asked, what the venue may say, and what is held for it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events import orders as events
from ledger.domain.order_status import CANCELED, EXPIRED, REJECTED, derive, leaves
from ledger.domain.positions import share
from ledger.domain.postings import Line
from ledger.domain.rows import ClientOrderId, Instrument, Order
from ledger.domain.rules import position_limits
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_scale,
    current_name,
    known,
    known_instrument,
    post,
    present_instrument,
    units,
)
from ledger.domain.state import State


def gross_of(instrument: Instrument, qty: int, price: int, scale: int) -> int:
    """
    Return qty x price x multiplier, rounded half-even to *scale* decimals, in units of 10^-18.
    """
    return share(qty * price, instrument.multiplier, amounts.UNIT * amounts.UNIT, scale)


def changed(state: State, order: Order, **changes: Any) -> Order:
    """
    Put *order* with *changes*, its status derived anew and its version raised, and return it.
    """
    order = msgspec.structs.replace(order, version=order.version + 1, **changes)
    # Nobody else has the new row yet, so its status may still be set.
    msgspec.structs.force_setattr(order, "status", derive(order))
    state.orders.put(order)
    return order


def hold_lines(order: Order, hold: int) -> list[Line]:
    """
    Return the postings that take what is held for *order* to *hold*.
    """
    delta = hold - order.hold_amount
    if not delta or order.hold_asset is None:
        return []
    return postings.moved(order.hold_asset, delta, (order.account, "settled"), (order.account, "held"))


def wanted_hold(state: State, order: Order) -> int:
    """
    Return what to hold for what may still fill of *order*: the cost of a buy, the quantity of a sale.

    A hold that the caller set is kept in proportion instead. Where the price is negative the buyer is paid, and nothing
    is held.
    """
    qty = leaves(order)
    if order.hold_asset is None or qty <= 0:
        return 0
    asset = known(state.assets, order.hold_asset, "asset")
    if order.hold_given is not None:
        return share(order.hold_given, qty, order.qty, asset.scale)
    if order.side != "buy" or order.price is None:
        return qty
    instrument = known(state.instruments, order.instrument, "instrument")
    return max(0, gross_of(instrument, qty, order.price, asset.scale))


def with_terms(state: State, order: Order, qty: int, **changes: Any) -> Order:
    """
    Return *order* for *qty* with *changes*; a hold that the caller set grows and shrinks with the quantity.

    A buy that had no price, and so no hold, is held for in the quote asset from when it has one.
    """
    given = order.hold_given
    if given is not None and order.hold_asset is not None and qty != order.qty:
        given = share(given, qty, order.qty, known(state.assets, order.hold_asset, "asset").scale)
    if order.hold_asset is None and order.side == "buy" and changes.get("price") is not None:
        changes["hold_asset"] = known(state.instruments, order.instrument, "instrument").quote_asset
    return msgspec.structs.replace(order, qty=qty, hold_given=given, **changes)


def rehold(state: State, order: Order) -> tuple[Order, list[Line]]:
    """
    Return *order* with what is to be held for it as it now stands, and the postings that hold it.

    One that lives again, as a fill of it was undone, goes by the name that its instrument has by now.
    """
    instrument = state.instruments.get(order.instrument)
    if instrument is not None and instrument.renamed_to is not None:
        order = msgspec.structs.replace(order, instrument=current_name(state, order.instrument))
    hold = wanted_hold(state, order)
    return msgspec.structs.replace(order, hold_amount=hold), hold_lines(order, hold)


_NEEDS: Final = {"limit": ("price",), "stop": ("stop_price",), "stop_limit": ("price", "stop_price")}
"""The prices without which an order of a kind says nothing."""


def _check_form(event: events.OrderPlaced, now: Now) -> None:
    for name in _NEEDS.get(event.ord_type, ()):
        if getattr(event, name) is None:
            raise Broken("price", f"found a {event.ord_type} order without {name}; give one")
    if event.tif == "gtd" and event.expire_at is None:
        raise Broken("expire_at", "found a gtd order without expire_at; give the time until which it is good")
    if event.expire_at is not None and event.expire_at <= now.occurred_at:
        raise Broken("expire_at", f"found {event.expire_at} ns, which has passed; expected a time to come")


def _check_terms(state: State, instrument: Instrument, qty: int, prices: tuple[Any, ...], lot: int) -> None:
    if qty <= 0 or qty % lot:
        raise Broken(
            "quantity",
            f"found quantity {amounts.render(qty)} of {instrument.instrument}; expected a multiple of "
            f"{amounts.render(lot)} above 0",
        )
    check_scale(qty, known(state.assets, instrument.asset, "asset"), "quantity")
    for price in prices:
        if price is not None and units(price) % instrument.tick:
            raise Broken("price", f"found price {price} of {instrument.instrument}; expected a multiple of "
                                  f"{amounts.render(instrument.tick)}")  # fmt: skip


def _claim(state: State, account: str, cl_ord_id: str, order_id: str) -> None:
    if state.client_order_ids.fresh(account, cl_ord_id) is not None:
        raise Broken(
            "cl_ord_id_reused", f"found client order id {cl_ord_id!r} of {account} a second time; use a new one"
        )
    state.client_order_ids.put(ClientOrderId(account, cl_ord_id, order_id))


def place(state: State, event: events.OrderPlaced, now: Now) -> Effects:
    """
    A new order of an open account, on terms the instrument allows, whose hold is available.
    """
    account = known(state.accounts, event.account, "account")
    instrument = (known_instrument if event.historical else present_instrument)(state, event.instrument)
    if account.status != "open" and not event.historical:
        raise Broken("account_status", f"account {event.account} is {account.status}; expected open")
    qty = units(event.qty)
    if event.historical:
        # The past was on other lots and ticks, and what an engine leaves out of it cannot be asked for any more.
        _check_terms(state, instrument, qty, (), 1)
    else:
        _check_form(event, now)
        _check_terms(state, instrument, qty, (event.price, event.stop_price), instrument.lot)
    if state.orders.fresh(event.order_id) is not None:
        raise Broken("order_exists", f"found order {event.order_id!r} a second time; each id is used once")
    _claim(state, event.account, event.cl_ord_id, event.order_id)
    price = None if event.price is None else units(event.price)
    if not event.historical:
        position_limits.check(state, event.account, instrument, event.side, qty)
    asset = {"buy": instrument.quote_asset if price is not None else None, "sell": instrument.asset}.get(event.side)
    order = Order(
        event.order_id, event.cl_ord_id, event.account, instrument.instrument, event.side, qty, event.ord_type, price,
        None if event.stop_price is None else units(event.stop_price), event.tif, event.expire_at, event.strategy,
        event.parent_order, None, None, "PENDING_NEW", False, False, None, False, (), (), 0, 0, asset, 0, None, 1,
    )  # fmt: skip
    if event.hold is not None:
        held_asset = known(state.assets, event.hold.asset, "asset")
        hold = units(event.hold.amount)
        msgspec.structs.force_setattr(order, "hold_asset", held_asset.asset)
        msgspec.structs.force_setattr(order, "hold_given", hold)
        if hold < 0 or not amounts.fits(hold, held_asset.scale):
            raise Broken("hold", f"found a hold of {event.hold.amount}; expected 0 or more in the asset's scale")
    else:
        hold = wanted_hold(state, order)
    lines = hold_lines(order, hold)
    post(state, lines, may_refuse=not event.historical)
    msgspec.structs.force_setattr(order, "hold_amount", hold)
    state.orders.put(order)
    derived: dict[str, Any] = {}
    if lines:
        derived = {"hold": {"amount": amounts.render(hold), "asset": order.hold_asset}, "postings": as_derived(lines)}
    return Effects(f"order/{event.order_id}", 1, derived)


def _live(state: State, order_id: str) -> Order:
    order = known(state.orders, order_id, "order")
    if order.terminal is not None:
        raise Broken("order_not_live", f"found order {order_id} {order.status}; expected a live order")
    return order


def _done(order: Order, lines: list[Line] | None = None) -> Effects:
    derived = {"postings": as_derived(lines)} if lines else {}
    return Effects(f"order/{order.order_id}", order.version, derived)


def accept(state: State, event: events.OrderAccepted, now: Now) -> Effects:
    """
    The venue works an order that has not ended.
    """
    order = _live(state, event.order_id)
    return _done(changed(state, order, accepted=True, venue=event.venue, venue_order_id=event.venue_order_id))


def _reheld(state: State, order: Order) -> Effects:
    order, lines = rehold(state, order)
    post(state, lines, may_refuse=False)
    return _done(changed(state, order), lines)


def ended(order: Order, terminal: str) -> Order:
    """
    Return *order* at its end: nothing is pending any more, and it does not rest for a day.
    """
    return msgspec.structs.replace(order, terminal=terminal, done_for_day=False, pending_cancel=(), pending_replace=())


def reject(state: State, event: events.OrderRejected, now: Now) -> Effects:
    """
    Only an order without fills can be rejected.
    """
    order = _live(state, event.order_id)
    if order.cum_qty:
        raise Broken(
            "rejected_after_fill",
            f"order {event.order_id} has filled {amounts.render(order.cum_qty)}; "
            "expected none of an order that is rejected",
        )
    return _reheld(state, ended(order, REJECTED))


def trigger(state: State, event: events.OrderTriggered, now: Now) -> Effects:
    """
    A stop is reached while the order lives.
    """
    return _done(changed(state, _live(state, event.order_id), triggered=True))


def _check_request(state: State, order_id: str, orig_cl_ord_id: str) -> Order:
    order = _live(state, order_id)
    if orig_cl_ord_id not in (order.cl_ord_id, *order.pending_replace[-1:], *order.pending_cancel[-1:]):
        raise Broken(
            "orig_cl_ord_id",
            f"order {order_id}: found {orig_cl_ord_id!r}; expected {order.cl_ord_id!r}, or the last request's",
        )
    return order


def request_replace(state: State, event: events.ReplaceRequested, now: Now) -> Effects:
    """
    Other terms may be asked for while something can fill, or to enlarge a filled order, if the hold is available.
    """
    order = _check_request(state, event.order_id, event.orig_cl_ord_id)
    instrument = known(state.instruments, order.instrument, "instrument")
    qty = order.qty if event.new_qty is None else units(event.new_qty)
    if not leaves(order) and qty <= order.qty:
        raise Broken("nothing_left", f"order {event.order_id} has nothing left to fill; ask for more than it had")
    # A quantity that stays may be of a lot that was: only what is asked for has to fit.
    lot = 1 if event.new_qty is None else instrument.lot
    _check_terms(state, instrument, qty, (event.new_price, event.new_stop), lot)
    position_limits.check(state, order.account, instrument, order.side, qty - order.qty)
    price = order.price if event.new_price is None else units(event.new_price)
    wanted, lines = rehold(state, with_terms(state, order, qty, price=price))
    if wanted.hold_amount > order.hold_amount:
        # Asked now, while it can still be refused; what is held changes only when the venue replaces the order.
        mark = state.begin()
        post(state, lines, may_refuse=True)
        state.rollback(mark)
    _claim(state, order.account, event.cl_ord_id, event.order_id)
    return _done(changed(state, order, pending_replace=(*order.pending_replace, event.cl_ord_id)))


def request_cancel(state: State, event: events.CancelRequested, now: Now) -> Effects:
    """
    The end may be asked for while something can fill.
    """
    order = _check_request(state, event.order_id, event.orig_cl_ord_id)
    if not leaves(order):
        raise Broken("nothing_left", f"order {event.order_id} has nothing left to cancel; expected one that may fill")
    _claim(state, order.account, event.cl_ord_id, event.order_id)
    return _done(changed(state, order, pending_cancel=(*order.pending_cancel, event.cl_ord_id)))


def _stated_qty(state: State, order: Order, stated: Any) -> int:
    qty = units(stated)
    if qty <= 0:
        raise Broken("quantity", f"found quantity {stated} of order {order.order_id}; expected more than 0")
    instrument = known(state.instruments, order.instrument, "instrument")
    check_scale(qty, known(state.assets, instrument.asset, "asset"), "quantity")
    return qty


def replace(state: State, event: events.OrderReplaced, now: Now) -> Effects:
    """
    The answer to a pending request, or unasked for the current one; a filled order may live again by it.
    """
    order = _live(state, event.order_id)
    if event.cl_ord_id not in order.pending_replace:
        if event.orig_cl_ord_id != order.cl_ord_id:
            raise Broken(
                "not_pending",
                f"order {order.order_id}: found {event.cl_ord_id!r}, which nobody asked for; "
                f"expected a pending request, or orig_cl_ord_id {order.cl_ord_id!r}",
            )
        if event.cl_ord_id != order.cl_ord_id:
            _claim(state, order.account, event.cl_ord_id, event.order_id)
    qty = max(_stated_qty(state, order, event.qty), order.cum_qty)
    stop = order.stop_price if event.stop_price is None else units(event.stop_price)
    pending = tuple(x for x in order.pending_replace if x != event.cl_ord_id)
    price = order.price if event.price is None else units(event.price)
    terms = with_terms(
        state, order, qty, price=price, stop_price=stop, pending_replace=pending, cl_ord_id=event.cl_ord_id,
        accepted=True,
    )  # fmt: skip
    effects = _reheld(state, terms)
    if effects.derived:
        delta = known(state.orders, order.order_id, "order").hold_amount - order.hold_amount
        effects.derived["hold_delta"] = {"amount": amounts.render(delta), "asset": terms.hold_asset}
    return effects


def _refuse(state: State, event: events.ReplaceRejected | events.CancelRejected, pending: str) -> Effects:
    order = known(state.orders, event.order_id, "order")
    asked: tuple[str, ...] = getattr(order, pending)
    if event.cl_ord_id in asked:
        return _done(changed(state, order, **{pending: tuple(x for x in asked if x != event.cl_ord_id)}))
    request = state.client_order_ids.get(order.account, event.cl_ord_id)
    if order.terminal is None or request is None or request.order_id != order.order_id:
        raise Broken("not_pending", f"found {event.cl_ord_id!r}; expected a {pending} of order {event.order_id}")
    # The order's end answered the request before; that it came too late changes nothing.
    return _done(changed(state, order))


def refuse_replace(state: State, event: events.ReplaceRejected, now: Now) -> Effects:
    """
    The answer to a pending request, or to one that the order's end overtook.
    """
    return _refuse(state, event, "pending_replace")


def refuse_cancel(state: State, event: events.CancelRejected, now: Now) -> Effects:
    """
    As `refuse_replace`.
    """
    return _refuse(state, event, "pending_cancel")


def _end_once(state: State, order_id: str, terminal: str) -> Effects:
    order = known(state.orders, order_id, "order")
    if order.terminal == terminal:
        return _done(changed(state, order))
    return _reheld(state, ended(_live(state, order_id), terminal))


def cancel(state: State, event: events.OrderCanceled, now: Now) -> Effects:
    """
    The order ends and what is held is released; said twice, it changes nothing more.
    """
    return _end_once(state, event.order_id, CANCELED)


def expire(state: State, event: events.OrderExpired, now: Now) -> Effects:
    """
    As `cancel`, because time ran out.
    """
    return _end_once(state, event.order_id, EXPIRED)


def finish_day(state: State, event: events.OrderDoneForDay, now: Now) -> Effects:
    """
    A good-till order rests, with what is held for it, until it is restated or fills; a day order fills no more.
    """
    return _reheld(state, msgspec.structs.replace(_live(state, event.order_id), done_for_day=True))


def restate(state: State, event: events.OrderRestated, now: Now) -> Effects:
    """
    A live order goes on, on the terms the venue states; never for less than has filled.
    """
    order = _live(state, event.order_id)
    qty = order.qty if event.qty is None else _stated_qty(state, order, event.qty)
    if qty < order.cum_qty:
        raise Broken("filled_more", f"order {order.order_id}: found {event.qty}; expected "
                                    f"{amounts.render(order.cum_qty)} or more, which has filled already")  # fmt: skip
    price = order.price if event.price is None else units(event.price)
    return _reheld(state, with_terms(state, order, qty, price=price, done_for_day=False))


RULES = {
    events.OrderPlaced: place,
    events.OrderAccepted: accept,
    events.OrderRejected: reject,
    events.OrderTriggered: trigger,
    events.ReplaceRequested: request_replace,
    events.OrderReplaced: replace,
    events.ReplaceRejected: refuse_replace,
    events.CancelRequested: request_cancel,
    events.OrderCanceled: cancel,
    events.CancelRejected: refuse_cancel,
    events.OrderExpired: expire,
    events.OrderDoneForDay: finish_day,
    events.OrderRestated: restate,
}
