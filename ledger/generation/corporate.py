"""
Let issuers act: dividends on what accounts hold, splits that leave fractions, new names.

What an account is entitled to is what the desk knows that it owns; the ledger works that out for itself, and would
quarantine a list that says something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.domain import amounts
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
from ledger.domain.events.orders import OrderCanceled
from ledger.generation.desk import Desk
from ledger.generation.firm import Listing

_CENT = amounts.UNIT // 100
_RATES_CENTS = (24, 31, 105)
_TAX_PERCENT = 15


def _toward_zero(amount: int, divisor: int) -> int:
    return amount // divisor if amount >= 0 else -(-amount // divisor)


def accrue(desk: Desk, listing: Listing) -> Iterator[Event]:
    """
    Yield a dividend of *listing*, which goes ex today, if anybody holds it, and remember what is to be paid.
    """
    rate, lines, due = desk.pick(_RATES_CENTS), [], []
    for (account, asset), qty in sorted(desk.owned.items()):
        if asset == listing.asset and qty:
            gross = qty * rate
            tax = max(0, gross) * _TAX_PERCENT // 100
            due.append((account, gross, tax))
            lines.append(Entitled(account=account, qty=qty, gross=_cents(gross), tax=_cents(tax)))
    if not lines:
        return
    ca_id = desk.name("CA")
    desk.dividends.append((desk.number + 2, ca_id, due))
    yield CashDividendAccrued(
        ca_id=ca_id, instrument=listing.name, ex_date=desk.day, record_date=desk.day, pay_date=desk.day,
        rate=_cents(rate), tax_rate=_cents(_TAX_PERCENT), entitlements=tuple(lines),
    )  # fmt: skip


def _cents(cents: int) -> str:
    return amounts.render(cents * _CENT)


def pay(desk: Desk) -> Iterator[Event]:
    """
    Yield the payments of the dividends that are due, each in two parts.
    """
    due = [one for one in desk.dividends if one[0] <= desk.number]
    desk.dividends = [one for one in desk.dividends if one[0] > desk.number]
    for _, ca_id, lines in due:
        first = [(account, _toward_zero(gross, 2), tax // 2) for account, gross, tax in lines]
        rest = [
            (account, gross - paid, tax - withheld)
            for (account, gross, tax), (_, paid, withheld) in zip(lines, first, strict=True)
        ]
        for part in (first, rest):
            yield CashDividendPaid(
                ca_id=ca_id, payment_id=desk.name("P"), paid_on=desk.day,
                lines=tuple(DividendLine(account=a, gross=_cents(gross), tax=_cents(tax)) for a, gross, tax in part),
            )  # fmt: skip


def split(desk: Desk, listing: Listing, ratio: tuple[int, int]) -> Iterator[Event]:
    """
    Yield a split of *listing*, with cash for fractions; what rests in it is adjusted, or ends where shares get fewer.
    """
    number, of = ratio
    resting = [order for order in desk.resting if order.listing is listing]
    if number < of:
        for order in resting:
            yield OrderCanceled(order_id=order.order_id, unsolicited=True, reason="reverse split")
        desk.resting, resting = [order for order in desk.resting if order.listing is not listing], []
    cash = []
    for account in sorted({name for name, asset in desk.owned if asset == listing.asset}):
        key = (account, listing.asset)
        owned = desk.owned[key]
        if owned * number % of:
            cash.append(CashInLieu(account=account, amount=listing.at(listing.price if owned > 0 else -listing.price)))
        desk.owned[key] = _toward_zero(owned * number, of)
    listing.price = max(100, listing.price * of // number)
    for order in resting:
        order.lots, order.filled = order.lots * number // of, order.filled * number // of
    adjusted = tuple(
        OrderAdjustment(order_id=order.order_id, qty=order.lots, price=listing.at(listing.price))
        for order in resting[:1]
        if order.lots
    )
    listing.split_on = desk.day
    yield SplitApplied(
        ca_id=desk.name("CA"), instrument=listing.name, ratio_num=number, ratio_den=of, ex_date=desk.day,
        rounding="cash", cash_in_lieu=tuple(cash), order_adjustments=adjusted,
    )  # fmt: skip


def rename(desk: Desk, listing: Listing) -> Iterator[Event]:
    """
    Yield a new name of *listing*.
    """
    old, listing.name = listing.name, f"{listing.asset}.{desk.number}"
    yield InstrumentRenamed(ca_id=desk.name("CA"), old=old, new=listing.name, effective=desk.day)


def of_today(desk: Desk) -> Iterator[Event]:
    """
    Yield what issuers do today, before the market opens.
    """
    yield from pay(desk)
    turn, place = divmod(desk.number, 20)
    if place == 2:
        yield from accrue(desk, desk.shares[0 if turn % 2 == 0 else 2])
    elif place == 3:
        yield from split(desk, desk.listings["BOLT"], (3, 2) if turn % 2 == 0 else (2, 3))
    elif place == 4 and turn % 3 == 0:
        yield from rename(desk, desk.listings["ACME"])
