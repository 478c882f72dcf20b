"""
Say whether what a venue reports of a trade can be.
"""

from __future__ import annotations

import datetime
from fractions import Fraction
from typing import Any

from ledger.domain.events.executions import (
    FactQuarantined,
    TradeBusted,
    TradeCorrected,
    TradeExecuted,
)
from tests.model import corporate, orders, reference, trades
from tests.model.history import History, fits, number
from tests.model.moment import Moment
from tests.model.periods import counted


def _is_a_trade(history: History, event: TradeExecuted, old: trades.Trade | None, today: str) -> bool:
    """Whether the report makes sense by itself: known names, decimals, a price and a gross that go together."""
    its, scales = reference.terms(history, event.instrument, event.trade_date), reference.scales(history)
    if its is None or not reference.is_account(history, event.account):
        return False
    qty, price = number(event.qty), number(event.price)
    if qty <= 0 or not fits(qty, scales[its.asset]) or event.trade_date < its.split_on:
        return False
    if (price / its.tick).denominator != 1 and not (event.historical or event.reconciliation):
        return False
    if any(x.asset not in scales or not fits(number(x.amount), scales[x.asset]) for x in event.fees):
        return False
    paid_in = {its.quote, *(x.asset for x in event.fees)}
    if any(corporate.is_of_old_shares(history, asset, event.trade_date) for asset in paid_in):
        return False
    if event.gross is not None:
        gross, cent = number(event.gross), Fraction(1, 10 ** scales[its.quote])
        until = counted(history, event.trade_date, today)
        had = reference.multipliers(history, event.instrument, event.trade_date, until)
        exact = [qty * price * x for x in (trades.terms_of(history, event, old).multiplier, *had)]
        if not fits(gross, scales[its.quote]) or all(abs(gross - x) >= cent for x in exact):
            return False
    usual = reference.settle_day(history, its, event.trade_date)
    given = event.settle_date or usual
    return given == usual or (event.settle_date_reason is not None and given >= event.trade_date)


def _fits_its_order(history: History, event: TradeExecuted, less: Fraction) -> bool:
    """Whether the order of a trade is of its kind and has room for it, *less* being what it takes the place of."""
    if event.order_id is None:
        return True
    order = orders.order(history, event.order_id)
    if order is None or order.how == "rejected" or orders.is_of_old_shares(history, order):
        return False
    placed = order.placed
    same = (placed.account, placed.side == "buy") == (event.account, event.side == "buy")
    named = reference.called_now(history, placed.instrument) == reference.called_now(history, event.instrument)
    return same and named and order.filled - less + number(event.qty) <= order.qty


def _is_open(event: TradeExecuted | TradeBusted, now: Moment) -> bool:
    """Whether the session that a report is of may have opened: no earlier than a week before its day."""
    day = datetime.date.fromisoformat(event.trade_date)
    return day - datetime.date.fromisoformat(now.day) <= datetime.timedelta(weeks=1)


def executes(history: History, event: TradeExecuted, now: Moment) -> bool:
    unused = trades.key_of(event) not in trades.used(history) and _is_open(event, now)
    return unused and _is_a_trade(history, event, None, now.day) and _fits_its_order(history, event, Fraction(0))


def _changes(history: History, event: TradeCorrected | TradeBusted, now: Moment) -> trades.Trade | None:
    """Return the trade whose newest version the report is of, where it may be changed."""
    old = trades.live(history).get(trades.ref_of(event))
    if old is None or old.block is not None or trades.key_of(event) in trades.used(history) or not _is_open(event, now):
        return None
    its = reference.terms(history, old.instrument)
    assert its is not None
    return None if old.day < its.split_on or corporate.has_split_since(history, old) else old


def corrects(history: History, event: TradeCorrected, now: Moment) -> bool:
    old = _changes(history, event, now)
    if old is None or (old.order, old.account) != (event.order_id, event.account):
        return False
    if reference.called_now(history, old.instrument) != reference.called_now(history, event.instrument):
        return False
    return _is_a_trade(history, event, old, now.day) and _fits_its_order(history, event, old.qty)


def busts(history: History, event: TradeBusted, now: Moment) -> bool:
    return _changes(history, event, now) is not None


def sets_aside(_: History, __: FactQuarantined, ___: Moment) -> bool:
    return True


JUDGES: dict[Any, Any] = {
    TradeExecuted: executes, TradeCorrected: corrects, TradeBusted: busts, FactQuarantined: sets_aside,
}  # fmt: skip
