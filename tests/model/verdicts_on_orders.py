"""
Say whether a step of an order may be, by the table of transitions.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

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
from tests.model import holdings, money, orders, reference
from tests.model.history import History, fits, number
from tests.model.moment import Moment
from tests.model.orders import Standing


def places(history: History, event: OrderPlaced, now: Moment) -> bool:
    its = reference.instruments(history, now.day).get(event.instrument)
    if event.order_id in orders.orders(history) or its is None or not reference.is_account(history, event.account):
        return False
    if (event.account, event.cl_ord_id) in orders.requests(history) or number(event.qty) <= 0:
        return False
    if not fits(number(event.qty), reference.scales(history)[its.asset]) or not _hold_is_sound(history, event):
        return False
    if event.historical:
        return True
    if reference.status_of(history, event.account) != "open" or its.renamed_to is not None:
        return False
    return (
        _has_its_terms(event, now)
        and _on_grid(its, event.qty, event.price, event.stop_price)
        and _within_limit(history, event.account, its, event.side, number(event.qty))
        and money.affordable(history, event, now)
    )


def _hold_is_sound(history: History, event: OrderPlaced) -> bool:
    if event.hold is None:
        return True
    scale = reference.scales(history).get(event.hold.asset)
    return scale is not None and number(event.hold.amount) >= 0 and fits(number(event.hold.amount), scale)


def _has_its_terms(event: OrderPlaced, now: Moment) -> bool:
    if event.ord_type in ("limit", "stop_limit") and event.price is None:
        return False
    if event.ord_type in ("stop", "stop_limit") and event.stop_price is None:
        return False
    if event.tif == "gtd" and event.expire_at is None:
        return False
    return event.expire_at is None or event.expire_at > now.at


def _on_grid(its: reference.Terms, qty: Any, *prices: Any) -> bool:
    steps = [] if qty is None else [number(qty) / its.lot]
    steps += [number(x) / its.tick for x in prices if x is not None]
    return all(x.denominator == 1 for x in steps)


def _within_limit(history: History, account: str, its: reference.Terms, side: str, more: Fraction) -> bool:
    """Whether all that is held and may still fill stays within the account's limit, on the side of the order."""
    limit = reference.limits(history).get((account, its.asset))
    if limit is None or limit.max_position is None or more <= 0:
        return True
    same = {name for name, x in reference.instruments(history).items() if x.asset == its.asset}
    sign = 1 if side == "buy" else -1
    held = [x.qty for place, x in holdings.holdings(history).items() if place[0] == account and place[1] in same]
    waiting = [
        x.reach
        for x in orders.orders(history).values()
        if x.placed.account == account and x.placed.instrument in same and (x.placed.side == "buy") == (side == "buy")
    ]
    reach = sign * sum(held, Fraction(0)) + sum(waiting, Fraction(0)) + more
    return reach <= number(limit.max_position)


def live(history: History, order_id: str) -> Standing | None:
    standing = orders.order(history, order_id)
    return standing if standing is not None and standing.how is None else None


def is_live(history: History, event: OrderAccepted | OrderDoneForDay, _: Moment) -> bool:
    return live(history, event.order_id) is not None


def triggers(history: History, event: OrderTriggered, _: Moment) -> bool:
    return live(history, event.order_id) is not None


def is_rejected(history: History, event: OrderRejected, _: Moment) -> bool:
    standing = live(history, event.order_id)
    return standing is not None and not standing.filled


def _may_ask(history: History, event: CancelRequested | ReplaceRequested) -> Standing | None:
    """Return the order, where a request under this id may follow what it says it follows."""
    standing = live(history, event.order_id)
    if standing is None or orders.asked_by(history, event.order_id, event.cl_ord_id) is not None:
        return None
    follows = [standing.current, *standing.replaces[-1:], *standing.cancels[-1:]]
    return standing if event.orig_cl_ord_id in follows else None


def asks_cancel(history: History, event: CancelRequested, _: Moment) -> bool:
    standing = _may_ask(history, event)
    return standing is not None and standing.left > 0


def _holds_more(history: History, event: ReplaceRequested, now: Moment) -> bool:
    before, after = (orders.orders(x)[event.order_id] for x in (history, history.plus(event, now.at, now.day)))
    own = max(before.held, orders.reckoned(history, before))
    return after.held + after.reserve > own + before.reserve


def asks_replace(history: History, event: ReplaceRequested, now: Moment) -> bool:
    standing = _may_ask(history, event)
    if standing is None or orders.is_of_old_shares(history, standing):
        return False
    status = reference.status_of(history, standing.placed.account)
    its = reference.terms(history, standing.placed.instrument, now.day)
    assert its is not None
    new = orders.asks_for(standing, event.orig_cl_ord_id)[0] if event.new_qty is None else number(event.new_qty)
    more = new - max([standing.qty, *(qty for qty, _, _ in standing.wishes.values())])
    if status == "closed" or (status == "restricted" and (more > 0 or _holds_more(history, event, now))):
        return False
    fills_no_more = standing.done and not standing.lasts
    if new <= 0 or fills_no_more or not (standing.left or (standing.filled == standing.qty and new > standing.qty)):
        return False
    if len(standing.replaces) >= 100 or not _on_grid(its, event.new_qty, event.new_price, event.new_stop):
        return False
    if not _within_limit(history, standing.placed.account, its, standing.placed.side, more):
        return False
    return money.affordable(history, event, now)


def _fits_asset(history: History, standing: Standing, qty: Any) -> bool:
    its = reference.terms(history, standing.placed.instrument)
    assert its is not None
    return qty is None or (number(qty) > 0 and fits(number(qty), reference.scales(history)[its.asset]))


def _may_go_on(history: History, event: OrderReplaced | OrderRestated) -> Standing | None:
    """Return the order, where it may be worked on the terms that the venue states."""
    standing = live(history, event.order_id)
    if standing is None or orders.is_of_old_shares(history, standing) or not _fits_asset(history, standing, event.qty):
        return None
    return None if reference.status_of(history, standing.placed.account) == "closed" else standing


def _names_another(history: History, order_id: str, request: str | None) -> bool:
    """Whether a client order id that a report of an order names is of another order of the account."""
    return request is not None and orders.asked_by(history, order_id, request) not in (None, order_id)


def _may_cost(history: History, standing: Standing, event: OrderReplaced | OrderRestated, day: str) -> bool:
    """Whether the venue may state this price: one that was told, or on the day's ticks, unless what was told is not."""
    its = reference.terms(history, standing.placed.instrument, day)
    assert its is not None
    told = [x for x in (standing.price, *(x for _, x, _ in standing.wishes.values())) if x is not None]
    ticks = [(x / its.tick).denominator == 1 for x in told]
    said = event.price
    return event.historical or said is None or number(said) in told or not all(ticks) or _on_grid(its, None, said)


def replaces(history: History, event: OrderReplaced, now: Moment) -> bool:
    standing = _may_go_on(history, event)
    if standing is None or _names_another(history, event.order_id, event.orig_cl_ord_id):
        return False
    if not _may_cost(history, standing, event, now.day):
        return False
    asked = event.cl_ord_id in standing.replaces
    unused = orders.asked_by(history, event.order_id, event.cl_ord_id) is None or event.cl_ord_id == standing.current
    return asked or (unused and event.orig_cl_ord_id == standing.current)


def refuses(history: History, event: CancelRejected | ReplaceRejected, _: Moment) -> bool:
    standing = orders.order(history, event.order_id)
    if standing is None:
        return False
    pending = standing.cancels if isinstance(event, CancelRejected) else standing.replaces
    asked = orders.asked_by(history, event.order_id, event.cl_ord_id) == event.order_id
    return event.cl_ord_id in pending or (standing.how is not None and asked)


def ends(history: History, event: OrderCanceled | OrderExpired, _: Moment) -> bool:
    standing = orders.order(history, event.order_id)
    if isinstance(event, OrderCanceled) and _names_another(history, event.order_id, event.cl_ord_id):
        return False
    return standing is not None and standing.how in (
        None,
        "canceled" if isinstance(event, OrderCanceled) else "expired",
    )


def restates(history: History, event: OrderRestated, now: Moment) -> bool:
    standing = _may_go_on(history, event)
    if standing is None:
        return False
    if not _may_cost(history, standing, event, now.day):
        return False
    return event.qty is None or number(event.qty) >= standing.filled


JUDGES: dict[Any, Any] = {
    OrderPlaced: places, OrderAccepted: is_live, OrderRejected: is_rejected, OrderTriggered: triggers,
    ReplaceRequested: asks_replace, OrderReplaced: replaces, ReplaceRejected: refuses, CancelRequested: asks_cancel,
    OrderCanceled: ends, CancelRejected: refuses, OrderExpired: ends, OrderDoneForDay: is_live, OrderRestated: restates,
}  # fmt: skip
