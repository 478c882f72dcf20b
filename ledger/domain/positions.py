"""
Carry a position's quantity, exact total cost and realised result through a trade.

Cost is a total and never an average: reducing releases its share, rounded half-even to the asset's scale, and the
last close releases what is left, so that a flat position costs exactly nothing. A trade through zero closes one
side and opens the other. Always, cost - realised is the net cash paid.
"""

from __future__ import annotations

import datetime

from ledger.domain import amounts
from ledger.domain.rows import Position


def share(total: int, part: int, whole: int, scale: int) -> int:
    """
    Return total x part / whole, rounded half-even to *scale* decimals; all of it when part is the whole.
    """
    if part == whole:
        return total
    step: int = 10 ** (amounts.SCALE - scale)
    quotient, remainder = divmod(total * part, whole * step)
    if 2 * remainder > whole * step or (2 * remainder == whole * step and quotient % 2):
        quotient += 1
    return quotient * step


def after_trade(qty: int, cost: int, traded: int, value: int, scale: int) -> tuple[int, int]:
    """
    Return (cost change, realised change) of a trade of *traded* (negative: sold) for *value* (same sign).

    *qty* and *cost* are the position before; all are in units of 10^-18.
    """
    if not qty or (qty > 0) == (traded > 0):
        return value, 0
    closed = min(abs(qty), abs(traded))
    released = share(cost, closed, abs(qty), scale)
    paid = share(value, closed, abs(traded), scale)
    return value - paid - released, -paid - released


def on_day(position: Position, day: str, traded: int) -> tuple[str, int, int]:
    """
    Return the newest trade date of *position*, its quantity before that day, and how many trades of that day stand.

    That is once *traded* more was on *day*.
    """
    if position.day is None or day > position.day:
        return day, position.qty, 1
    if day < position.day:
        return position.day, position.opening + traded, position.day_trades
    # Of a day on which it may have traded, as all of later ones is undone, one more trade does not tell the others.
    return day, position.opening, position.day_trades + 1 if position.day_trades else 0


def without(position: Position, day: str, traded: int) -> tuple[str | None, int, int]:
    """
    Return the same once a trade of *traded* on *day* is undone.
    """
    if position.day is None or day < position.day:
        return position.day, position.opening - traded, position.day_trades
    if day > position.day or position.day_trades == 0:
        return position.day, position.opening, position.day_trades
    if position.day_trades > 1:
        return position.day, position.opening, position.day_trades - 1
    first = datetime.date.fromisoformat(day)
    return (first - datetime.timedelta(days=first > datetime.date.min)).isoformat(), 0, 0
