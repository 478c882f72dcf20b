"""
Check that amounts are exact, canonical, and refuse everything else.
"""

from __future__ import annotations

import enum
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.amounts import LIMIT, UNIT, canonical, fits, multiply, parse, render
from ledger.errors import InvalidAmount

AMOUNTS = st.integers(-LIMIT, LIMIT)
CANONICAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")


@given(AMOUNTS)
def test_text_and_amount_are_one_to_one(amount: int) -> None:
    """Every amount has one canonical text, and it parses back to the amount."""
    text = render(amount)
    assert CANONICAL.fullmatch(text)
    assert text != "-0"
    assert parse(text) == amount
    assert canonical(Decimal(text)) == text


@given(AMOUNTS, AMOUNTS, st.integers(0, 18))
def test_products_lose_nothing(left: int, right: int, scale: int) -> None:
    """A product is what exact fractions round half-even to, and its residual is the rest."""
    rounded, residual = multiply(left, right, scale)
    exact = Fraction(left * right, UNIT * UNIT)
    assert Fraction(rounded, UNIT) == Fraction(round(exact * 10**scale), 10**scale)
    assert rounded * UNIT + residual == left * right
    assert fits(rounded, scale)


@pytest.mark.parametrize(
    ("given_text", "text"),
    [
        ("0.010000", "0.01"),
        ("0.00", "0"),
        ("-0.50", "-0.5"),
        ("007", "7"),
        ("335623.56684586", "335623.56684586"),
        (3, "3"),
    ],
)
def test_canonical_text(given_text: str | int, text: str) -> None:
    """Trailing and leading zeros go; nothing else changes."""
    assert canonical(given_text) == text


@pytest.mark.parametrize(
    "value",
    [
        1.5, True, None, "", "NaN", "Infinity", "1e3", "1E+3", ".5", "1.", "+1", " 1", "1 ", "1_000", "1,0",
        "\u0661", "0.0000000000000000001", "1000000000000000000000000000000.1", 10**31,
        Decimal("NaN"), Decimal("1e999999"), Decimal("1e-999999"), "-0", "-0.00", Decimal("-0"), Decimal("-0.00"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    """Floats, exponents, excess decimals and the rest are errors, never rounded."""
    with pytest.raises(InvalidAmount):
        canonical(value)  # type: ignore[arg-type]


class Lot(int, enum.Enum):
    ROUND = 100


class Shown(int):
    def __str__(self) -> str:
        return "7"


class Written(Decimal):
    def __format__(self, spec: str) -> str:
        return "9"


@pytest.mark.parametrize(("value", "text"), [(Lot.ROUND, "100"), (Shown(5), "5"), (Written("0.5"), "0.5")])
def test_a_number_of_another_class_is_what_it_equals(value: int | Decimal, text: str) -> None:
    """And not what it likes to be written as, compiled or not."""
    assert canonical(value) == text
