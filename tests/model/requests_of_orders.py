"""
Ask and tell of orders what may well be, and now and then what cannot.
"""

from __future__ import annotations

from typing import Any

from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    HoldGiven,
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
from tests.model import orders, reference
from tests.model.dice import WILD, Dice
from tests.model.firm import ACCOUNTS
from tests.model.history import History, number
from tests.model.moment import Moment
from tests.model.orders import Standing

PRICES = {"XYZ": ("10", "33.33", "9.99", "100.01"), "BTC": ("100", "99.995", "1234.5"), "FUT": ("10", "10.25", "7.75")}
QUANTITIES = {
    "XYZ": ("0.1", "0.7", "3", "3.3", "10"),
    "BTC": ("0.001", "0.003", "0.25", "1"),
    "FUT": ("1", "2", "5"),
}
BETWEEN_TICKS = "10.001"
TOO_MUCH = "10000000"


def traded(history: History) -> list[str]:
    """Return the instruments whose prices and quantities are known here."""
    return [name for name, x in reference.instruments(history).items() if x.asset in PRICES]


def asset_of(history: History, instrument: str) -> str:
    return reference.instruments(history)[instrument].asset


def price(history: History, dice: Dice, instrument: str) -> str:
    return BETWEEN_TICKS if dice.often(0.02) else dice.choice(PRICES[asset_of(history, instrument)])


def quantity(history: History, dice: Dice, instrument: str) -> str:
    if dice.often(0.04):
        return dice.of("0.0003", TOO_MUCH, "0")
    return dice.choice(QUANTITIES[asset_of(history, instrument)])


def places(history: History, now: Moment, dice: Dice) -> Event:
    instrument = dice.aimed(
        (x for x in traded(history) if reference.instruments(history)[x].renamed_to is None), traded(history)
    )
    account = dice.choice(ACCOUNTS) if not dice.often(WILD) else dice.of("nobody", "A2")
    limited = [x for x, limit in reference.limits(history).items() if limit.max_position]
    if limited and dice.often(0.3):
        account, asset = dice.choice(limited)
        instrument = dice.choice([x for x in traded(history) if asset_of(history, x) == asset] or [instrument])
    kind: Any = dice.choices(["limit", "market", "stop", "stop_limit"], [7, 1, 1, 1])[0]
    tif: Any = dice.of("day", "gtc", "day", "gtc", "gtd", "ioc")
    whole = not dice.often(0.04)
    priced, stopped = kind.endswith("limit") and whole, kind.startswith("stop") and whole
    qty, hold = quantity(history, dice, instrument), None
    if dice.often(0.2) and asset_of(history, instrument) != "XYZ":
        # So much that each part of it is exact: in which steps it is rounded is nobody's promise.
        hold = HoldGiven(asset=dice.of("USD", "EUR"), amount=str(number(qty) * 1000 // 1), reason="margin")
    name = f"O{now.seq}" if not dice.often(0.03) else "O19"
    return OrderPlaced(
        order_id=name, cl_ord_id=f"c-{name}", account=account, instrument=instrument,
        side=dice.of("buy", "sell", "buy", "sell", "sell_short"), qty=qty,
        ord_type=kind, price=price(history, dice, instrument) if priced else None,
        stop_price=price(history, dice, instrument) if stopped else None, tif=tif,
        expire_at=now.at + dice.of(1, 86_400 * 10**9, 0) if tif == "gtd" or dice.often(0.03) else None, hold=hold,
        strategy="s" if dice.often(0.2) else None, historical=dice.often(0.05),
    )  # fmt: skip


def _one(history: History, dice: Dice, *, sparing: bool = False) -> tuple[str, Standing | None]:
    """Return an order that lives, mostly; or, sparing those, mostly one that has ended."""
    found = orders.orders(history)
    alive = [name for name, x in found.items() if x.how is None]
    others = [name for name in found if name not in alive]
    name = dice.aimed(others if sparing and others and dice.often(0.5) else alive, [*found, "none"])
    return name, found.get(name)


def _request(history: History, now: Moment, dice: Dice) -> tuple[str, str, str, Standing | None]:
    name, standing = _one(history, dice)
    if standing is None:
        return name, f"r{now.seq}", "x", None
    heads = [standing.current, *standing.replaces[-1:], *standing.cancels[-1:]]
    orig = dice.aimed(heads, ["x", standing.placed.cl_ord_id])
    fresh = dice.aimed([f"r{now.seq}"], [standing.current])
    return name, fresh, orig, standing


def asks_cancel(history: History, now: Moment, dice: Dice) -> Event:
    name, request, orig, _ = _request(history, now, dice)
    return CancelRequested(order_id=name, cl_ord_id=request, orig_cl_ord_id=orig)


def _new_terms(history: History, dice: Dice, standing: Standing | None) -> tuple[str | None, str | None, str | None]:
    if standing is None:
        return "1", None, None
    instrument = standing.placed.instrument
    qty = quantity(history, dice, instrument) if dice.often(0.7) else None
    limit = price(history, dice, instrument) if standing.price is not None and dice.often(0.6) else None
    stop = price(history, dice, instrument) if standing.stop is not None and dice.often(0.4) else None
    return qty, limit, stop


def asks_replace(history: History, now: Moment, dice: Dice) -> Event:
    name, request, orig, standing = _request(history, now, dice)
    qty, limit, stop = _new_terms(history, dice, standing)
    return ReplaceRequested(order_id=name, cl_ord_id=request, orig_cl_ord_id=orig, new_qty=qty, new_price=limit,
                            new_stop=stop)  # fmt: skip


def _pending(history: History, dice: Dice, what: str) -> tuple[str, str, Standing | None]:
    """Return an order and a request that waits for an answer, mostly."""
    found = orders.orders(history)
    waiting = [(name, request) for name, x in found.items() for request in getattr(x, what)]
    asked = [(order, request) for (_, request), order in orders.requests(history).items()]
    name, request = dice.aimed(waiting, [*asked, ("none", "x")])
    return name, request, found.get(name)


def replaced(history: History, now: Moment, dice: Dice) -> Event:
    name, request, standing = _pending(history, dice, "replaces")
    if dice.often(0.25):
        name, standing = _one(history, dice)
        request = dice.of(f"u{now.seq}", standing.current if standing else "x")
    qty, limit, stop = _new_terms(history, dice, standing)
    if qty is None:
        qty = standing.placed.qty if standing else "1"  # type: ignore[assignment]
    orig = standing.current if standing else "x"
    if dice.often(0.1):
        orig = _some_request(history, dice)
    return OrderReplaced(order_id=name, cl_ord_id=request, orig_cl_ord_id=orig,
                         qty=qty or "1", price=limit, stop_price=stop, historical=dice.often(0.05))  # fmt: skip


def cancel_refused(history: History, _: Moment, dice: Dice) -> Event:
    name, request, _ = _pending(history, dice, "cancels")
    return CancelRejected(order_id=name, cl_ord_id=request, reason="r")


def replace_refused(history: History, _: Moment, dice: Dice) -> Event:
    name, request, _ = _pending(history, dice, "replaces")
    return ReplaceRejected(order_id=name, cl_ord_id=request, reason="r")


def accepted(history: History, now: Moment, dice: Dice) -> Event:
    return OrderAccepted(order_id=_one(history, dice)[0], venue="N", venue_order_id=f"v{now.seq}")


def rejected(history: History, _: Moment, dice: Dice) -> Event:
    found = orders.orders(history)
    name = dice.aimed((x for x in found if found[x].how is None and not found[x].filled), [*found, "none"])
    return OrderRejected(order_id=name, reason_code="r")


def triggered(history: History, _: Moment, dice: Dice) -> Event:
    stops = [name for name, x in orders.orders(history).items() if x.how is None and x.stop is not None]
    return OrderTriggered(order_id=dice.aimed(stops, ["none"]), trigger_price="10")


def _some_request(history: History, dice: Dice) -> str:
    return dice.of("x", *(request for _, request in orders.requests(history)))


def canceled(history: History, _: Moment, dice: Dice) -> Event:
    name, standing = _one(history, dice, sparing=True)
    request = None
    if standing is not None and dice.often(0.4):
        request = dice.aimed([*standing.cancels, standing.current], [_some_request(history, dice)])
    return OrderCanceled(order_id=name, cl_ord_id=request, unsolicited=dice.often(0.5))


def expired(history: History, _: Moment, dice: Dice) -> Event:
    return OrderExpired(order_id=_one(history, dice, sparing=True)[0])


def done(history: History, _: Moment, dice: Dice) -> Event:
    return OrderDoneForDay(order_id=_one(history, dice)[0])


def restated(history: History, _: Moment, dice: Dice) -> Event:
    name, standing = _one(history, dice)
    qty, limit, _ = _new_terms(history, dice, standing)
    reason: Any = dice.of("corporate_action", "repricing", "partial_decline", "new_day", "other")
    return OrderRestated(order_id=name, reason=reason, qty=qty if dice.often(0.6) else None, price=limit,
                         historical=dice.often(0.05))  # fmt: skip


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    OrderPlaced: (places, 14), OrderAccepted: (accepted, 4), OrderRejected: (rejected, 3),
    OrderTriggered: (triggered, 4),
    ReplaceRequested: (asks_replace, 6), OrderReplaced: (replaced, 5), ReplaceRejected: (replace_refused, 6),
    CancelRequested: (asks_cancel, 6), OrderCanceled: (canceled, 3), CancelRejected: (cancel_refused, 6),
    OrderExpired: (expired, 4), OrderDoneForDay: (done, 3), OrderRestated: (restated, 4),
}  # fmt: skip
"""How each type is asked for, and how often beside the others."""
