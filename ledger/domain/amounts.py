"""
Hold quantities, prices and money exactly.

In memory every amount is an integer count of 10^-18, whatever the asset's own scale, so that sums need no
decimal context and no rounding. In payloads it is decimal text in one canonical form: no exponent, no
negative zero, no trailing zeros. Floats, NaN, a zero with a sign, exponents and excess decimals are refused and
never rounded.

This module does not know which asset an amount is of; callers hand in the scale to check against.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Final

from ledger.errors import InvalidAmount, shown

SCALE: Final = 18
"""Decimal places kept in memory: the most that any asset may have."""

UNIT: Final = 10**SCALE
LIMIT: Final = 10**30 * UNIT
"""Largest magnitude accepted: 10^30, in units of 10^-18."""

_REMEMBERED: Final = 65_536
"""The same quantities, prices and zeros come again and again; so many texts are read and written only once."""

_TEXT: Final = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,60}))?", re.ASCII)


def parse(text: object) -> int:
    """
    Return the amount that decimal *text* writes, in units of 10^-18.

    Raises:
        InvalidAmount: not plain decimal text, over 18 decimals, or beyond 10^30.
    """
    if not isinstance(text, str):
        raise InvalidAmount(_no_amount(text))
    return read(text)


def _no_amount(found: object) -> str:
    return (
        f"found {shown(found)} ({type(found).__name__}) where an amount is expected; "
        "write it as plain decimal text such as '0.01'"
    )


@functools.lru_cache(_REMEMBERED)
def read(text: str) -> int:
    """
    As `parse`, for what is known to be text.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidAmount(_no_amount(text))
    sign, whole, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > SCALE:
        raise InvalidAmount(f"found {text!r} with {len(fraction)} decimals; at most {SCALE} are kept")
    amount = int(whole) * UNIT + int(fraction.ljust(SCALE, "0"))
    if amount > LIMIT:
        raise InvalidAmount(f"found {text!r}; amounts reach at most 10^30 in magnitude")
    return -amount if sign else amount


@functools.lru_cache(_REMEMBERED)
def render(amount: int) -> str:
    """
    Return the canonical decimal text of *amount*, given in units of 10^-18.
    """
    whole, fraction = divmod(abs(amount), UNIT)
    sign = "-" if amount < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:018d}".rstrip("0")


def canonical(value: object) -> str:
    """
    Return the one canonical text of *value*, which is text, an int or a Decimal.

    Raises:
        InvalidAmount: a float, a boolean, a negative zero, or anything `parse` refuses.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise InvalidAmount(
            f"found {shown(value)} ({type(value).__name__}) where an amount is expected; "
            "give decimal text, an int or a Decimal, never a float"
        )
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise InvalidAmount(f"found {shown(value)}; an amount is a finite number")
        if abs(value.adjusted()) > 60:
            raise InvalidAmount(f"found {shown(value)}; amounts reach from 10^-{SCALE} to 10^30 in magnitude")
        # Of another class it may be written out otherwise than it is compared.
        text = Decimal.__format__(value, "f")
    elif isinstance(value, int):
        number = int.__index__(value)
        if abs(number) > LIMIT // UNIT:
            raise InvalidAmount("found an integer beyond 10^30, the largest amount")
        text = str(number)
    else:
        # Of another class it may be compared, or hashed, otherwise than it is written, and what was read is remembered.
        text = str.__str__(value)
    amount = read(text)
    if not amount and text.startswith("-"):
        raise InvalidAmount(f"found {shown(value)}; an amount of nothing has no sign: write 0")
    return render(amount)


def fits(amount: int, scale: int) -> bool:
    """
    Return whether *amount* has at most *scale* decimals (0 to 18).
    """
    step: int = 10 ** (SCALE - scale)
    return amount % step == 0


def multiply(left: int, right: int, scale: int) -> tuple[int, int]:
    """
    Return the product rounded half-even to *scale* decimals, and the exact residual.

    The first is in units of 10^-18, the second in units of 10^-36: `first * UNIT + residual` is the exact
    product. Who posts the first on both sides, or only compares with it, loses nothing by leaving the residual; who
    makes parts of a whole has to post it.
    """
    exact = left * right
    step = 10 ** (2 * SCALE - scale)
    quotient, remainder = divmod(exact, step)
    if 2 * remainder > step or (2 * remainder == step and quotient % 2):
        quotient += 1
    rounded = quotient * 10 ** (SCALE - scale)
    return rounded, exact - rounded * UNIT
