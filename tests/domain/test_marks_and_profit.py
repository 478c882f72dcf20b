"""
Check marks, and the figures that are worked out from them.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.fold import DuplicateFact
from ledger.domain.profit_and_loss import rate_on
from ledger.errors import InvalidInput
from tests.domain.books import NOON, Books, amount
from tests.domain.figures import currency_result, day_result, figure

MONDAY, TUESDAY = "2024-08-05", "2024-08-06"


def market() -> Books:
    """An account in USD trades a share quoted in EUR."""
    books = Books()
    for asset, scale in (("USD", 2), ("EUR", 2), ("SAP", 0)):
        books.give(AssetDefined(asset=asset, kind="security", scale=scale, name=asset))
    books.give(
        InstrumentDefined(
            instrument="SAP", asset="SAP", quote_asset="EUR", settle_asset="EUR", tick="0.01", lot="1",
            settlement_cycle=2, venue="V",
        )
    )  # fmt: skip
    books.give(AccountOpened(account="A", owner="o", kind="house", base_asset="USD"))
    return books


def trade(name: str, qty: str, price: str, side: str = "buy", day: str = MONDAY) -> TradeExecuted:
    return TradeExecuted(exec_id=name, venue="V", account="A", instrument="SAP", side=side, qty=qty, price=price,  # type: ignore[arg-type]
                         trade_date=day)  # fmt: skip


def mark(price: str, day: str = MONDAY, kind: str = "eod", as_of: int = 1) -> MarkRecorded:
    return MarkRecorded(instrument="SAP", price=price, kind=kind, day=day, as_of=as_of)  # type: ignore[arg-type]


def rate(price: str, day: str = MONDAY) -> MarkRecorded:
    return MarkRecorded(base="EUR", quote="USD", price=price, kind="eod", day=day, as_of=1)


def test_the_newest_mark_of_a_day_counts_and_settlement_before_the_end_of_the_day() -> None:
    """An older price that comes late changes nothing, the same again is a duplicate, a later one takes its place."""
    books = market()
    books.give(trade("E", "10", "100"))
    books.give(mark("101", as_of=5))
    for late, value in ((mark("99", as_of=4), "1010"), (mark("102", as_of=6), "1020"), (mark("7", TUESDAY), "1020"),
                        (mark("500", kind="intraday"), "1020"), (mark("103", kind="settlement"), "1030")):  # fmt: skip
        books.give(late)
        assert figure(books.state, "A", "SAP", MONDAY).value == amount(value)
    with pytest.raises(DuplicateFact):
        books.give(mark("103", kind="settlement"))
    with pytest.raises(InvalidInput, match="record one"):
        figure(books.state, "A", "SAP", "2024-08-07")
    books.replayed()


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (MarkRecorded(price="1", kind="eod", day=MONDAY, as_of=1), "subject"),
        (MarkRecorded(base="EUR", price="1", kind="eod", day=MONDAY, as_of=1), "subject"),
        (
            MarkRecorded(instrument="SAP", base="EUR", quote="USD", price="1", kind="eod", day=MONDAY, as_of=1),
            "subject",
        ),
        (MarkRecorded(base="EUR", quote="EUR", price="1", kind="eod", day=MONDAY, as_of=1), "price"),
        (MarkRecorded(base="EUR", quote="USD", price="0", kind="eod", day=MONDAY, as_of=1), "price"),
        (MarkRecorded(base="EUR", quote="GBP", price="1", kind="eod", day=MONDAY, as_of=1), "unknown_asset"),
        (MarkRecorded(instrument="IBM", price="1", kind="eod", day=MONDAY, as_of=1), "unknown_instrument"),
    ],
)
def test_a_mark_of_nothing_is_quarantined(given: MarkRecorded, rule: str) -> None:
    """It names one instrument or one pair of two assets, all of them known."""
    assert market().give(given).rule == rule


def test_what_prices_did_is_apart_from_what_currencies_did() -> None:
    """100 at 10 EUR, marked 11 at 1.10, then 12 at 1.20: the price made 120 USD, the currency 110."""
    books = market()
    books.give(trade("E", "100", "10"))
    books.give(mark("11"))
    books.give(rate("1.10"))
    then = books.replayed()
    books.give(mark("12", TUESDAY))
    books.give(rate("1.20", TUESDAY))
    found = day_result(then, books.state, "A", "SAP", (MONDAY, TUESDAY))
    assert (found.asset, found.price, found.currency, found.total) == (
        "USD",
        amount("120"),
        amount("110"),
        amount("230"),
    )
    cash = currency_result(then, books.state, "A", "EUR", (MONDAY, TUESDAY))
    assert (cash.price, cash.currency) == (0, -amount("100"))
    assert rate_on(books.state, "USD", "EUR", TUESDAY) == Fraction(10, 12)
    books.give(mark("13", "2024-08-07"))
    with pytest.raises(InvalidInput, match="eod mark of EUR/USD for 2024-08-07"):
        day_result(then, books.state, "A", "SAP", (MONDAY, "2024-08-07"))
    with pytest.raises(InvalidInput, match="does not know"):
        day_result(then, books.state, "Z", "SAP", (MONDAY, TUESDAY))


def test_a_past_figure_is_had_again_by_replaying_up_to_it() -> None:
    """Later trades, marks and a new name change nothing of what was known then; old marks count for the new name."""
    books = market()
    books.give(trade("E", "100", "10"))
    books.give(trade("E2", "40", "13", "sell"))
    books.give(mark("11"))
    taken, length = figure(books.state, "A", "SAP", MONDAY), len(books.stored)
    assert (taken.realised, taken.unrealised, taken.result) == (amount("120"), amount("60"), amount("180"))
    books.give(mark("12", as_of=2))
    books.give(trade("E3", "100", "14", "sell", TUESDAY))
    books.give(InstrumentRenamed(ca_id="N", old="SAP", new="SAPX", effective=TUESDAY))
    again = Books()
    again.stored, again.contexts = books.stored[:length], books.contexts[:length]
    assert figure(again.replayed(), "A", "SAP", MONDAY) == taken
    assert figure(books.state, "A", "SAP", MONDAY) == figure(books.state, "A", "SAPX", MONDAY)
    assert figure(books.state, "A", "SAPX", MONDAY).value == -amount("480")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 50), st.sampled_from(["buy", "sell"]), st.integers(1, 4000), st.integers(1, 4000),
            st.integers(1, 300),
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_days_add_up_to_what_everything_is_worth_less_what_was_paid(days: list[tuple[int, str, int, int, int]]) -> None:
    """Each day's price and currency parts make its change of worth; with one rate for all days, they make the whole."""
    books, constant = market(), market()
    for many, steady in ((books, False), (constant, True)):
        before, total, worth, paid = many.replayed(), 0, Fraction(0), Fraction(0)
        for n, (qty, side, price, closing, rated) in enumerate(days):
            day, rated = f"2024-08-{n + 1:02d}", 150 if steady else rated
            many.give(trade(f"E{n}", str(qty), f"{price // 100}.{price % 100:02d}", side, day))
            many.give(mark(f"{closing // 100}.{closing % 100:02d}", day, as_of=NOON + n))
            many.give(rate(f"{rated // 100}.{rated % 100:02d}", day))
            yesterday = f"2024-08-{n:02d}" if n else day
            found = day_result(before, many.state, "A", "SAP", (yesterday, day))
            signed = qty if side == "buy" else -qty
            held = sum(q if s == "buy" else -q for q, s, *_ in days[: n + 1])
            now = Fraction(held * closing, 100)
            last = Fraction(days[n - 1][4] if n and not steady else rated, 100)
            change = now * Fraction(rated, 100) - worth * last - Fraction(signed * price * rated, 10_000)
            assert abs(Fraction(found.total, UNIT) - change) <= Fraction(1, 200)
            assert abs(Fraction(found.currency, UNIT) - worth * (Fraction(rated, 100) - last)) <= Fraction(1, 200)
            total, worth, paid = total + found.total, now, paid + Fraction(signed * price, 100)
            before = many.replayed()
        if steady:
            assert abs(Fraction(total, UNIT) - (worth - paid) * Fraction(3, 2)) <= Fraction(len(days), 200)


def test_a_mark_that_is_told_again_undoes_a_correction_as_of_the_same_time_and_none_of_a_later_one() -> None:
    """It has no id to be known by: while it counts it is a duplicate, and after a correction it is news."""
    books = market()
    for event, price in (
        (mark("120"), "120"), (mark("121"), "121"), (mark("120"), "120"), (mark("122", as_of=2), "122"),
        (mark("120"), "122"),
    ):  # fmt: skip
        assert books.give(event).rule is None
        row = books.state.marks.get("SAP", MONDAY, "eod")
        assert row is not None
        assert row.price == amount(price)
    with pytest.raises(DuplicateFact):
        books.give(mark("122", as_of=2))
    books.replayed()
