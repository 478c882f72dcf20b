"""
Check what conversions are said to have earned, on an example worked out by hand and on drawn ones.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT, render
from ledger.domain.events.cash import JournalReversed
from ledger.domain.events.control import MarkRecorded
from ledger.errors import NotFound
from ledger.reading.profit.fx_result import FxResultLine, fx_result
from ledger.reading.sources import Folded
from tests.domain.books import Books
from tests.domain.equities import DAY, market
from tests.domain.test_money import convert
from tests.reading.days import cells


def read(books: Books, worth_in: str = "USD") -> list[FxResultLine]:
    return fx_result(Folded(books.state, len(books.stored), []), worth_in)


def mark(price: str, as_of: int = 1) -> MarkRecorded:
    return MarkRecorded(base="EUR", quote="USD", price=price, kind="eod", day=DAY, as_of=as_of)


def test_the_result_is_the_spread_and_what_rates_did_since() -> None:
    """At 0.92 EUR a dollar, 2.60 EUR of 920 were kept; with a euro at 1.25 the dollars taken are 146.75 too few."""
    books = market()
    assert read(books) == []
    books.give(convert())
    names = "line asset amount rate value missing"
    lacks = ("mark of EUR/USD",)
    assert [cells(x, names) for x in read(books)] == [
        ["asset", "EUR", "-917.4", None, None, lacks], ["asset", "USD", "1000", "1", "1000", ()],
        ["total", "USD", None, "1", None, lacks],
    ]  # fmt: skip
    books.give(mark("1.25"))
    assert [cells(x, names) for x in read(books)] == [
        ["asset", "EUR", "-917.4", "1.25", "-1146.75", ()], ["asset", "USD", "1000", "1", "1000", ()],
        ["total", "USD", None, "1", "-146.75", ()],
    ]  # fmt: skip
    books.give(MarkRecorded(base="USD", quote="EUR", price="0.92", kind="eod", day="2024-08-09", as_of=9))
    assert cells(read(books, "EUR")[-1], "value") == ["2.6"]
    books.give(JournalReversed(journal_id="R", reverses_kind="fx", reverses="F", reason="wrong account"))
    assert [cells(x, "asset amount value") for x in read(books)] == [
        ["EUR", "0", "0"], ["USD", "0", "0"], ["USD", None, "0"],
    ]  # fmt: skip
    with pytest.raises(NotFound, match="asset 'JPY'"):
        read(books, "JPY")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=5), st.integers(1, 10**6))
def test_the_result_is_all_that_was_taken_less_all_that_was_given(pairs: list[tuple[int, int]], price: int) -> None:
    """Cents sold for cents bought, whatever the rates were: added up as fractions, and rounded once."""
    books = market(usd="1000000")
    expected = Fraction(0)
    for number, (sold, bought) in enumerate(pairs):
        rate = render(bought * UNIT // sold)
        event = convert(str(number), f"{sold / 100:.2f}", f"{bought / 100:.2f}", rate, spread=None)
        assert books.give(event).rule is None
        expected += Fraction(sold, 100) - Fraction(bought, 100) * Fraction(price, 1000)
    books.give(mark(f"{price // 1000}.{price % 1000:03d}"))
    found = read(books)
    assert found[-1].value == round(expected * 100) * UNIT // 100
