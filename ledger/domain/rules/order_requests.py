"""
Rule on what may be asked of an order: that it is placed, that its terms change, that it ends.

Commands: what breaks a rule is refused, and what is asked for is available, and held, before it leaves.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events import orders as events
from ledger.domain.events.fields import Event
from ledger.domain.order_status import asked_qty, asked_text, is_worked, leaves, terms_by
from ledger.domain.rows import Order
from ledger.domain.rules import position_limits
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_not_closed,
    known,
    known_instrument,
    post,
    present_instrument,
    units,
)
from ledger.domain.rules.orders import (
    changed,
    check_shares,
    check_terms,
    claim,
    done,
    held_for,
    hold_lines,
    live_order,
    wanted_hold,
)
from ledger.domain.state import State
from ledger.domain.terms import terms_on
from ledger.domain.times import time_text

_NEEDS: Final = {"limit": ("price",), "stop": ("stop_price",), "stop_limit": ("price", "stop_price")}
"""The prices without which an order of a kind says nothing."""
REQUESTS: Final = 100
"""So many requests for other terms may wait on an order: what is held is reckoned over every order of their grants."""


def _check_form(event: events.OrderPlaced, now: Now) -> None:
    for name in _NEEDS.get(event.ord_type, ()):
        if getattr(event, name) is None:
            raise Broken("price", f"found a {event.ord_type} order without {name}; give one")
    if event.tif == "gtd" and event.expire_at is None:
        raise Broken("expire_at", "found a gtd order without expire_at; give the time until which it is good")
    if event.expire_at is not None and event.expire_at <= now.occurred_at:
        raise Broken("expire_at", f"found {time_text(event.expire_at)}, which has passed; expected a time to come")


def place(state: State, event: events.OrderPlaced, now: Now) -> Effects:
    """
    A new order of an open account, on terms the instrument allows, whose hold is available.
    """
    account = known(state.accounts, event.account, "account")
    instrument = (known_instrument if event.historical else present_instrument)(state, event.instrument)
    if account.status != "open" and not event.historical:
        raise Broken("account_status", f"account {event.account} is {account.status}; expected open")
    instrument = terms_on(instrument, now.day)
    qty = units(event.qty)
    if event.historical:
        # The past was on other lots and ticks, and what an engine leaves out of it cannot be asked for any more.
        check_terms(state, instrument, qty, (), 1)
    else:
        _check_form(event, now)
        check_terms(state, instrument, qty, (event.price, event.stop_price), instrument.lot)
    if state.orders.fresh(event.order_id) is not None:
        raise Broken("order_exists", f"found order {event.order_id!r} a second time; expected a new id")
    claim(state, event.account, event.cl_ord_id, event.order_id)
    price = None if event.price is None else units(event.price)
    if not event.historical:
        position_limits.check(state, event.account, instrument, event.side, qty)
    asset = {"buy": instrument.quote_asset if price is not None else None, "sell": instrument.asset}.get(event.side)
    order = Order(
        event.order_id, event.cl_ord_id, event.account, instrument.instrument, event.side, qty, event.ord_type, price,
        None if event.stop_price is None else units(event.stop_price), event.tif, event.expire_at, event.strategy,
        event.parent_order, None, None, "PENDING_NEW", False, False, None, False, (), (), 0, 0, asset, 0, None,
        instrument.split_on, now.day, 1,
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


def _check_request(state: State, order_id: str, orig_cl_ord_id: str) -> Order:
    order = live_order(state, order_id)
    last = [order.cl_ord_id, *order.pending_replace[-1:], *order.pending_cancel[-1:]]
    if orig_cl_ord_id not in last and state.booked is None:
        raise Broken(
            "orig_cl_ord_id",
            f"order {order_id}: found {orig_cl_ord_id!r}; expected {order.cl_ord_id!r}, or the last request's",
        )
    return order


def _check_askable(state: State, order: Order, qty: int) -> None:
    if state.booked is not None:
        # What fills by days may be undone on a later one, and was when this was asked.
        return
    if not is_worked(order):
        # Nothing is held for it, and it would come back with what nobody has set aside.
        raise Broken(
            "nothing_left", f"order {order.order_id} is of a day and done for the day; expected one that is worked: "
                            "place another, or wait until the venue restates it"
        )  # fmt: skip
    if len(order.pending_replace) >= REQUESTS:
        raise Broken(
            "requests_pending", f"order {order.order_id}: {REQUESTS} requests for other terms wait for their answers; "
                                "expected fewer: wait for one, or ask for the order's end"
        )  # fmt: skip
    if not leaves(order) and qty <= order.qty:
        raise Broken("nothing_left", f"order {order.order_id} has nothing left to fill; ask for more than it had")


def request_replace(state: State, event: events.ReplaceRequested, now: Now) -> Effects:
    """
    Other terms may be asked for while something can fill, or to enlarge a filled order that is not done for its day, if
    what they may take is available, which is held from then on; more than before, or at a price for which more is to be
    held, only of an open account.
    """
    order = _check_request(state, event.order_id, event.orig_cl_ord_id)
    check_shares(state, order)
    check_not_closed(state, order.account)
    instrument = terms_on(known_instrument(state, order.instrument), now.day)
    qty, price, stop = terms_by(order, event.orig_cl_ord_id)
    qty = qty if event.new_qty is None else units(event.new_qty)
    price = price if event.new_price is None else units(event.new_price)
    stop = stop if event.new_stop is None else units(event.new_stop)
    status = known(state.accounts, order.account, "account").status
    _check_askable(state, order, qty)
    # A quantity that stays may be of a lot that was: only what is asked for has to fit.
    lot = 1 if event.new_qty is None else instrument.lot
    check_terms(state, instrument, qty, (event.new_price, event.new_stop), lot)
    more = qty - asked_qty(order)
    position_limits.check(state, order.account, instrument, order.side, more)
    claim(state, order.account, event.cl_ord_id, event.order_id)
    if order.terminal is not None:
        # By days alone, and nothing is pending of what has ended.
        return done(changed(state, order))
    # A filled order that had kept an old name is open again by this, and splits and renames look for present ones.
    order = msgspec.structs.replace(
        order, instrument=instrument.instrument, pending_replace=(*order.pending_replace, event.cl_ord_id),
        asked=(*order.asked, asked_text(now.day, qty, price, stop)),
    )  # fmt: skip
    # Held from now on, while it can still be refused: the venue may replace the order before anything else is known.
    changes, lines = held_for(state, order, order.hold_amount, now.day)
    # What fills left of a hold may be a unit less than the order's terms, as they were said, would hold for the rest.
    own = max(order.hold_amount, wanted_hold(state, order)) + order.asked_hold
    if status != "open" and (more > 0 or order.hold_amount + changes["asked_hold"] > own):
        raise Broken(
            "account_status",
            f"account {order.account} is {status}; expected open, to ask for more than before or have more held",
        )
    post(state, lines, may_refuse=True)
    return done(changed(state, order, **changes), lines)


def request_cancel(state: State, event: events.CancelRequested, now: Now) -> Effects:
    """
    The end may be asked for while something can fill.
    """
    order = _check_request(state, event.order_id, event.orig_cl_ord_id)
    if not leaves(order) and state.booked is None:
        raise Broken("nothing_left", f"order {event.order_id} has nothing left to cancel; expected one that may fill")
    claim(state, order.account, event.cl_ord_id, event.order_id)
    if order.terminal is not None:
        # By days alone, as above.
        return done(changed(state, order))
    return done(changed(state, order, pending_cancel=(*order.pending_cancel, event.cl_ord_id)))


RULES: dict[type[Event], object] = {
    events.OrderPlaced: place,
    events.ReplaceRequested: request_replace,
    events.CancelRequested: request_cancel,
}
