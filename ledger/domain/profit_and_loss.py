"""
Value positions by marks, and tell what prices did from what currencies did.

Everything here is a function of rows, marks and rates. `ledger.reading.profit.results` goes through the days with it;
a figure of a past day is had again from the same events, marks included.

A position's result is value - cost + realised, in the instrument's quote asset. From one day to the next, in the
account's base asset and with r the worth of one quote asset in it, the result is

    price:    (result now - result then) x r now
    currency:  value then x (r now - r then)

and both add up to value now x r now - value then x r then - what was paid in between x r now. Fees are no
part of it; the position sums them beside.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import msgspec

from ledger.domain import amounts
from ledger.domain.rows import Instrument, Position
from ledger.domain.rules.marks import subject_of
from ledger.domain.rules.orders import gross_of
from ledger.domain.state import State
from ledger.domain.terms import terms_on
from ledger.errors import InvalidInput

CLOSING: Final = ("settlement", "eod")
"""Which marks value a day, the best first."""


class Figure(msgspec.Struct, frozen=True):
    """
    A position valued by the marks of a day. Amounts are in `asset`, the quote asset, in units of 10^-18.
    """

    account: str
    instrument: str
    asset: str
    day: str
    qty: int
    cost: int
    value: int
    realised: int
    fees: int

    @property
    def unrealised(self) -> int:
        """
        Return what closing the position at the mark would add to the result.
        """
        return self.value - self.cost

    @property
    def result(self) -> int:
        """
        Return all that prices did to the position so far.
        """
        return self.realised + self.unrealised


class DayResult(msgspec.Struct, frozen=True):
    """
    What became of a position between two days, in the account's base asset, in units of 10^-18.
    """

    asset: str
    price: int
    currency: int

    @property
    def total(self) -> int:
        """
        Return both together.
        """
        return self.price + self.currency


def _mark(state: State, subjects: list[str], day: str) -> int | None:
    for kind in CLOSING:
        for subject in subjects:
            mark = state.marks.get(subject, day, kind)
            if mark is not None:
                return mark.price
    return None


def rate_on(state: State, base: str, quote: str, day: str) -> Fraction:
    """
    Return what one *base* is worth in *quote* on *day*, from a mark of the pair or of its inverse.

    Raises:
        InvalidInput: there is no mark.
    """
    if base == quote:
        return Fraction(1)
    price = _mark(state, [subject_of(None, base, quote)], day)
    if price is not None:
        return Fraction(price, amounts.UNIT)
    inverse = _mark(state, [subject_of(None, quote, base)], day)
    if inverse is None:
        raise InvalidInput(f"found no {' or '.join(CLOSING)} mark of {base}/{quote} for {day}; record one")
    return Fraction(amounts.UNIT, inverse)


def closing_price(state: State, subject: str, day: str) -> int | None:
    """
    Return the price of *subject* that counts for *day*, None where there is no mark; other names are not looked at.
    """
    return _mark(state, [subject], day)


def valued(row: Instrument, position: Position, price: int, day: str, scale: int) -> Figure:
    """
    Return *position* in the instrument *row* at *price*, its value rounded half-even to *scale*, the quote asset's.
    """
    value = gross_of(terms_on(row, day), position.qty, price, scale)
    return Figure(
        position.account, row.instrument, row.quote_asset, day, position.qty, position.cost, value, position.realised,
        position.fees,
    )  # fmt: skip


def rounded(amount: Fraction, scale: int) -> int:
    """
    Return *amount*, in units of 10^-18, rounded half-even to *scale* decimals.
    """
    step: int = 10 ** (amounts.SCALE - scale)
    return round(amount / step) * step


def between(
    before: Figure | None,
    after: Figure,
    rates: tuple[Fraction, Fraction],
    base: str,
    scale: int,
    underway: Fraction = Fraction(0),
) -> DayResult:
    """
    Return what became of a position from one figure to the next, None where there was nothing before.

    *rates* are what one quote asset was worth in *base* then and is now; *underway* is what currencies did to what was
    paid on days in between. The currency's part and the total are rounded half-even to *scale* decimals, and the
    price's part is the rest.
    """
    value, result = (before.value, before.result) if before is not None else (0, 0)
    currency = value * (rates[1] - rates[0]) + underway
    total = rounded((after.result - result) * rates[1] + currency, scale)
    part = rounded(currency, scale)
    return DayResult(base, total - part, part)
