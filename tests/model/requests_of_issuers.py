"""
Say of issuers what may well be, and now and then what cannot.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    CashInLieu,
    DividendLine,
    Entitled,
    InstrumentRenamed,
    OrderAdjustment,
    SplitApplied,
)
from ledger.domain.events.fields import Event
from tests.model import corporate, orders, reference
from tests.model.dice import Dice
from tests.model.firm import ACCOUNTS
from tests.model.history import History, number, rounded
from tests.model.moment import Moment
from tests.model.requests_of_trades import days_before, text


def _shares(history: History, dice: Dice) -> reference.Terms:
    names = [name for name, x in reference.instruments(history).items() if x.asset == "XYZ"]
    found = reference.terms(history, dice.choice(names))
    assert found is not None
    return found


def _either_way(dice: Dice, exact: Fraction, scale: int) -> Fraction:
    """Return an amount as a custodian may round it, and now and then as none would."""
    one = 10**scale
    cents = dice.of((exact * one).__floor__(), (exact * one).__ceil__()) + (dice.of(-1, 1) if dice.often(0.02) else 0)
    return rounded(exact, scale) if dice.often(0.5) else Fraction(cents, one)


def accrued(history: History, now: Moment, dice: Dice) -> Event:
    its, lines = _shares(history, dice), []
    ex = days_before(now.day, dice.of(0, 0, 0, 1, 2) if not dice.often(0.05) else -1)
    rate, tax_rate = dice.of("0.07", "1.115"), dice.of("0", "0.15")
    asset = its.asset if dice.often(0.2) else None
    scale = reference.scales(history)[asset or its.quote]
    for account in dice.sample(ACCOUNTS, dice.randint(1, 4)):
        held = corporate.before(history, account, its.name, ex)
        qty = held if held and not dice.often(0.1) else dice.of(held or Fraction(0), Fraction(5))
        qty = qty if not dice.often(0.02) else Fraction("5.05")
        gross = _either_way(dice, qty * number(rate), scale)
        tax = _either_way(dice, gross * number(tax_rate), scale)
        reason = "lent" if dice.often(0.8 if held != qty else 0.05) else None
        lines.append(Entitled(account=account, qty=text(qty), gross=text(gross), tax=text(tax), reason=reason))
    return CashDividendAccrued(ca_id=f"d{now.seq}", instrument=its.name, ex_date=ex, record_date=ex, pay_date=ex,
                               rate=rate, tax_rate=tax_rate, asset=asset, entitlements=tuple(lines))  # fmt: skip


def paid(history: History, now: Moment, dice: Dice) -> Event:
    due = corporate.due(history)
    waits = [key for key, (gross, _) in due.items() if gross]
    dividend, account = dice.aimed(waits, [*due, ("none", "A")])
    gross, tax = due.get((dividend, account), (Fraction(1), Fraction(0)))
    part = dice.of(1, 1, 2, 3, Fraction(1, 2) if dice.often(0.2) else 1)
    line = DividendLine(account=account, gross=text(rounded(gross / part, 2)), tax=text(rounded(tax / part, 2)))
    day = days_before(now.day, 0 if not dice.often(0.05) else -1)
    return CashDividendPaid(
        ca_id=dividend, payment_id=f"p{now.seq if not dice.often(0.05) else 1}", paid_on=day, lines=(line,)
    )


def split(history: History, now: Moment, dice: Dice) -> Event:
    its = _shares(history, dice)
    num, den = dice.of((2, 1), (3, 2), (1, 3), (1, 10), (7, 4), (5, 1))
    rounding: Any = dice.of("cash", "cash", "down", "up", "nearest")
    scale, cash = reference.scales(history)[its.asset], []
    for account, has in corporate.owned(history, its.asset).items():
        exact = has * num / den
        kept = corporate.whole(exact, scale, "down")
        if rounding == "cash" and exact != kept and not dice.often(0.5 if account.startswith("~") else 0.02):
            cash.append(CashInLieu(account=account, amount=text(rounded((exact - kept) * 10, 2))))
    adjustments, ex = [], days_before(now.day, 0 if dice.often(0.9) else dice.of(1, -1))
    for name in orders.of_instrument(history, its.name):
        placed = orders.orders(history)[name]
        if dice.often(0.15 if placed.newest_terms < ex else 0.9):
            price, stop = (
                None if x is None else "7.5" if not dice.often(0.05) else "7.505" for x in (placed.price, placed.stop)
            )
            qty = placed.qty * dice.of(4, 4, 4, 0)
            adjustments.append(OrderAdjustment(order_id=name, qty=text(qty), price=price, stop_price=stop))
    return SplitApplied(
        ca_id=f"s{now.seq}", instrument=dice.of(its.name, "XYZ.N"), ratio_num=num, ratio_den=den,
        ex_date=ex, rounding=rounding,
        cash_in_lieu=tuple(cash), order_adjustments=tuple(adjustments),
        moved_reason="told late" if dice.often(0.1 if corporate.moved_on(history, its.asset) < ex else 0.9) else None,
    )  # fmt: skip


def renamed(history: History, now: Moment, dice: Dice) -> Event:
    every = [*reference.instruments(history)]
    fit = (x for x in every if reference.instruments(history)[x].renamed_to is None)
    new = dice.aimed([f"N{now.seq}"], every)
    return InstrumentRenamed(
        ca_id=f"n{now.seq}", old=dice.aimed(fit, every), new=new, effective=days_before(now.day, dice.aimed([0], [-1]))
    )


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    CashDividendAccrued: (accrued, 6), CashDividendPaid: (paid, 8), SplitApplied: (split, 3),
    InstrumentRenamed: (renamed, 2),
}  # fmt: skip
