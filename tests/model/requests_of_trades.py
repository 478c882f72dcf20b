"""
Report trades, corrections and busts that may well be, and now and then what cannot.
"""

from __future__ import annotations

import datetime
from fractions import Fraction
from typing import Any

from ledger.domain.events.executions import FactQuarantined, Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from tests.model import orders, reference, trades
from tests.model.dice import WILD, Dice
from tests.model.firm import ACCOUNTS
from tests.model.history import History, number
from tests.model.moment import Moment
from tests.model.requests_of_orders import price, quantity, traded


def days_before(day: str, some: int) -> str:
    return (datetime.date.fromisoformat(day) - datetime.timedelta(days=some)).isoformat()


def text(amount: Fraction) -> str:
    """Write a fraction that ends."""
    units = amount * 10**18
    assert units.denominator == 1
    whole, rest = divmod(abs(int(units)), 10**18)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:018d}"


def _fees(dice: Dice, its: reference.Terms) -> tuple[Fee, ...]:
    fees = [Fee(kind="commission", asset=its.quote, amount=dice.of("0.25", "1", "-0.05"))] if dice.often(0.4) else []
    if dice.often(0.1):
        fees.append(Fee(kind="stamp", asset=dice.of("USD", "EUR", "XYZ", its.asset), amount="1"))
    return tuple(fees)


def _terms(history: History, now: Moment, dice: Dice, order: str | None) -> dict[str, Any]:
    """Return what a report says of a trade: of an order where one is named, else of anyone's."""
    standing = orders.order(history, order)
    instrument = standing.placed.instrument if standing else dice.choice(traded(history))
    its = reference.terms(history, instrument)
    assert its is not None
    left = standing.qty - standing.filled if standing else Fraction(0)
    qty = quantity(history, dice, instrument)
    if standing and left > 0 and (number(qty) > left or dice.often(0.3)) and not dice.often(0.06):
        qty = text(left)
    traded_at = price(history, dice, instrument)
    given: dict[str, Any] = {
        "venue": its.venue if not dice.often(WILD) else "W", "order_id": order,
        "instrument": instrument, "qty": qty, "price": traded_at,
        "account": standing.placed.account if standing else dice.choice(ACCOUNTS),
        "side": standing.placed.side if standing else dice.of("buy", "sell"), "fees": _fees(dice, its),
        "trade_date": now.day if dice.often(0.8) else days_before(now.day, dice.of(1, 2, 1, 2, 1, 2, -1, -7, -8)),
        "reconciliation": dice.often(0.05), "historical": dice.often(0.05),
    }  # fmt: skip
    if dice.often(0.15):
        exact = number(qty) * number(traded_at) * its.multiplier
        cents = (exact * 100).__floor__() + dice.of(0, 1, 0, 1, 2)
        given["gross"] = text(Fraction(cents, 100))
    if dice.often(0.05):
        given |= {"settle_date": days_before(given["trade_date"], dice.of(-3, -7, 1))}
        given |= {"settle_date_reason": "agreed"} if dice.often(0.7) else {}
    return given


def executed(history: History, now: Moment, dice: Dice) -> Event:
    found = orders.orders(history)
    fit = [name for name, x in found.items() if x.how != "rejected" and x.filled < x.qty]
    live = [name for name in fit if found[name].how is None]
    order = None
    if dice.often(0.7) and (fit or dice.often(WILD)):
        order = dice.aimed(live if dice.often(0.8) else fit, [*found, "none"])
    given = _terms(history, now, dice, order)
    if (its := reference.terms(history, given["instrument"])) and given["trade_date"] < its.split_on:
        given["trade_date"] = now.day
    return TradeExecuted(exec_id=f"E{now.seq}", **given)


def _version(history: History, dice: Dice) -> trades.Key:
    """Return the newest version of a trade, mostly, else any report's id."""
    return dice.aimed(trades.live(history), [*sorted(trades.used(history)), ("N", "2024-05-22", "none")])


def corrected(history: History, now: Moment, dice: Dice) -> Event:
    venue, day, ref = _version(history, dice)
    old = trades.live(history).get((venue, day, ref))
    given = _terms(history, now, dice, old.order if old else None)
    if old is not None:
        given |= {"account": old.account, "instrument": old.instrument, "venue": venue}
        if dice.often(0.8):
            given["qty"] = text(old.qty)
            given.pop("gross", None)
        if dice.often(0.7):
            given["trade_date"] = day
    return TradeCorrected(exec_id=f"C{now.seq}", exec_ref=ref, ref_trade_date=day, **given)


def busted(history: History, now: Moment, dice: Dice) -> Event:
    venue, day, ref = _version(history, dice)
    said = dice.aimed([day, now.day], [days_before(now.day, -8)])
    return TradeBusted(exec_id=f"X{now.seq}", exec_ref=ref, venue=venue, trade_date=said,
                       ref_trade_date=day, reason="r", reopens_order=dice.often(0.7))  # fmt: skip


def unreadable(_: History, __: Moment, dice: Dice) -> Event:
    return FactQuarantined(original_type="8", original=f"35=8|{dice.random()}", rule="unreadable", detail="d")


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    TradeExecuted: (executed, 24), TradeCorrected: (corrected, 5), TradeBusted: (busted, 5),
    FactQuarantined: (unreadable, 1),
}  # fmt: skip
