"""
Keep what every rule on orders needs: an order's terms, what is held for it, its version, and how it ends.

What may be asked is in `order_requests.py`, what the venue says in `order_reports.py`, and fills in `fills.py`. Terms
of the instrument are those of the day. Where days are gone through (`state.booked`), what an order lacks of later ones
refuses nothing: it was there when the rule was kept.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.order_status import asked_terms, derive, is_worked, leaves
from ledger.domain.positions import share
from ledger.domain.postings import Line
from ledger.domain.rows import ClientOrderId, Instrument, Order
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
    units,
)
from ledger.domain.state import State
from ledger.domain.terms import terms_on


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
    Return the postings that take what is held for *order* itself to *hold*.
    """
    return _held(order, order.hold_asset, hold - order.hold_amount)


def _held(order: Order, asset: str | None, more: int) -> list[Line]:
    if not more or asset is None:
        return []
    return postings.moved(asset, more, (order.account, "settled"), (order.account, "held"))


def wanted_hold(state: State, order: Order) -> int:
    """
    Return what to hold for what may still fill of *order*: the cost of a buy, by the instrument's terms of the day on
    which those of the order were last said; the quantity of a sale.

    A hold that the caller set is kept in proportion instead. Where the price is negative the buyer is paid, and nothing
    is held; the seller pays, and its quantity alone is held.
    """
    return _needed(state, order, leaves(order), order.terms_day)


def _needed(state: State, order: Order, qty: int, day: str) -> int:
    """Return what to hold on *day* so that *qty* may fill on the terms of *order*."""
    if order.hold_asset is None or qty <= 0:
        return 0
    asset = known(state.assets, order.hold_asset, "asset")
    if order.hold_given is not None:
        return share(order.hold_given, qty, order.qty, asset.scale)
    if order.side != "buy":
        return qty
    if order.price is None:
        # Nobody knows what it will cost; a request for a price is what there is an asset for.
        return 0
    instrument = terms_on(known(state.instruments, order.instrument, "instrument"), day)
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


def rehold(state: State, order: Order, day: str) -> tuple[Order, list[Line]]:
    """
    Return *order* with what is to be held for it as it now stands, and for its requests on *day*, and the postings.

    One that lives again, as a fill of it was undone, goes by the name that its instrument has by now.
    """
    instrument = state.instruments.get(order.instrument)
    if instrument is not None and instrument.renamed_to is not None:
        order = msgspec.structs.replace(order, instrument=current_name(state, order.instrument))
    changes, lines = held_for(state, order, wanted_hold(state, order), day)
    return msgspec.structs.replace(order, **changes), lines


def held_for(state: State, order: Order, hold: int, day: str) -> tuple[dict[str, Any], list[Line]]:
    """
    Return what changes in *order*, as it now stands, once *hold* is held for it, and the postings that hold it.

    Pending requests may be granted at any time and in any order, and what fills before one is granted is paid for on
    the terms of until then. So beside *hold* there is held what the dearest of these orders takes; for one request that
    is what it needs for all that is left, or for what it asks for beyond the order's quantity.
    """
    if not order.asked and not order.asked_hold:
        return {"hold_amount": hold}, hold_lines(order, hold)
    terms = asked_terms(order) if is_worked(order) else []
    wanted = [with_terms(state, order, qty, price=price) for qty, price, _ in terms]
    asset = next((x.hold_asset for x in wanted if x.hold_asset is not None), order.hold_asset)
    asked = _asked_hold(state, order, wanted, hold, day)
    more = hold + asked - order.hold_amount - order.asked_hold
    return {"hold_asset": asset, "hold_amount": hold, "asked_hold": asked}, _held(order, asset, more)


def _asked_hold(state: State, order: Order, wanted: list[Order], hold: int, day: str) -> int:
    """
    Return what the terms of *wanted* may take beyond *hold*, in the dearest order in which they may be granted.

    To fill a part on some terms is never dearer than to fill either nothing or all that they allow. So terms that fill
    follow each other by quantity, and the order's own, which nothing brings back once others are granted, fill first
    and whole or not at all.
    """
    dearest: list[tuple[Order, int]] = []

    def beyond(filled: int) -> int:
        return max((_needed(state, x, x.qty - filled, day) + more for x, more in dearest if x.qty > filled), default=0)

    for terms in sorted(wanted, key=lambda x: x.qty, reverse=True):
        dearest.append((terms, beyond(terms.qty)))
    return max(beyond(order.qty), beyond(order.cum_qty) - hold)


def answered(order: Order, cl_ord_id: str) -> dict[str, tuple[str, ...]]:
    """
    Return what changes in the pending requests for other terms of *order* once this one is answered, if it is one.
    """
    left = [pair for pair in zip(order.pending_replace, order.asked, strict=True) if pair[0] != cl_ord_id]
    return {"pending_replace": tuple(name for name, _ in left), "asked": tuple(terms for _, terms in left)}


def ended(order: Order, terminal: str) -> Order:
    """
    Return *order* at its end: nothing is pending any more, and it does not rest for a day.
    """
    return msgspec.structs.replace(
        order, terminal=terminal, done_for_day=False, pending_cancel=(), pending_replace=(), asked=()
    )


def live_order(state: State, order_id: str) -> Order:
    """
    Return the order of this id, or raise Broken where there is none or it has ended, unless it did so by days alone.
    """
    order = known(state.orders, order_id, "order")
    if order.terminal is not None and state.booked is None:
        raise Broken("order_not_live", f"found order {order_id} {order.status}; expected a live order")
    return order


def check_shares(state: State, order: Order) -> None:
    """
    Raise Broken where *order* had closed when its instrument was split, so that its terms are in shares of before.
    """
    split_on = known_instrument(state, order.instrument).split_on
    if order.split_on != split_on:
        raise Broken(
            "before_split",
            f"order {order.order_id} is {order.status} in shares of before the split of {split_on}; expected nothing "
            "more of it: record a trade without its order, and place a new order in shares of today",
        )


def done(order: Order, lines: list[Line] | None = None) -> Effects:
    """
    Return the effects of a change of *order*, which is in place, and of the postings of its hold.
    """
    derived = {"postings": as_derived(lines)} if lines else {}
    return Effects(f"order/{order.order_id}", order.version, derived)


def reheld(state: State, order: Order, now: Now) -> Effects:
    """
    Put *order* with what is to be held for it now, and return the effects.
    """
    order, lines = rehold(state, order, now.day)
    post(state, lines, may_refuse=False)
    return done(changed(state, order), lines)


def check_terms(state: State, instrument: Instrument, qty: int, prices: tuple[Any, ...], lot: int) -> None:
    """
    Raise Broken unless *qty* is a multiple of *lot* and *prices* of the tick of *instrument*.
    """
    if state.booked is not None:
        # It was checked when it was recorded, by the terms that were known then.
        return
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


def check_stated_price(state: State, order: Order, stated: Any, day: str) -> None:
    """
    Raise Broken where a price that is *stated* of *order* cannot be one of its instrument's on *day*.

    One that the order has or was asked for may be stated again; and where one of those is on other ticks, of the past
    or of before an amendment, so may be what the venue makes of it.
    """
    if stated is None or state.booked is not None:
        # Where days are known, it was checked when it was recorded.
        return
    price, prices = units(stated), [order.price, *[x for _, x, _ in asked_terms(order)]]
    told = [x for x in prices if x is not None]
    tick = terms_on(known_instrument(state, order.instrument), day).tick
    if price % tick and price not in told and not any(x % tick for x in told):
        raise Broken(
            "price", f"found price {stated} of order {order.order_id}; expected a multiple of {amounts.render(tick)}"
        )


def claim(state: State, account: str, cl_ord_id: str, order_id: str) -> None:
    """
    Take a client order id, which is used once an account.
    """
    if state.client_order_ids.fresh(account, cl_ord_id) is not None and state.booked is None:
        raise Broken(
            "cl_ord_id_reused", f"found client order id {cl_ord_id!r} of {account} a second time; expected a new one"
        )
    state.client_order_ids.put(ClientOrderId(account, cl_ord_id, order_id))
