"""
Check profit and loss of what accounts have of an asset that splits: what was earned or charged in it before and after.

A split multiplies what was there when it was recorded. What came before it on its day is multiplied, and what was
recorded after it is not, although it may count for a day before.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from tests.domain.books import Books
from tests.reading.days import cells, day_number, pnl

LAST = "2024-08-20"


def day(number: int) -> str:
    return f"2024-08-{number:02d}"


def market(scale: int = 8) -> Books:
    """An account in USD trades XYZ, and ABC for BTC, which it is charged and earns too, and which splits."""
    books = Books()
    books.set_day(day(1))
    for asset, places in (("USD", 8), ("XYZ", 0), ("BTC", scale), ("ABC", 0)):
        books.give(AssetDefined(asset=asset, kind="security", scale=places, name=asset))
    for name, asset, quote in (("X", "XYZ", "USD"), ("B", "BTC", "USD"), ("Q", "ABC", "BTC")):
        books.give(InstrumentDefined(instrument=name, asset=asset, quote_asset=quote, settle_asset=quote, tick="0.01",
                                     lot="1", settlement_cycle=0, venue="V"))  # fmt: skip
    books.give(AccountOpened(account="A", owner="o", kind="house", base_asset="USD"))
    return books


def interest(name: str, of: int, amount: str = "2") -> CashMoved:
    return CashMoved(movement_id=name, account="A", asset="BTC", amount=amount, kind="interest", value_date=day(of))


def trade(name: str, of: int, fee: str = "0.5", instrument: str = "X", **more: Any) -> TradeExecuted:
    terms = {"side": "buy", "qty": "1", "price": "3", "fees": (Fee(kind="c", asset="BTC", amount=fee),), **more}
    return TradeExecuted(exec_id=name, venue="V", account="A", instrument=instrument, trade_date=day(of), **terms)


def quoted(name: str, of: int, qty: str = "10", price: str = "5", side: str = "buy") -> TradeExecuted:
    return trade(name, of, instrument="Q", qty=qty, price=price, side=side, fees=())


def split(name: str, of: int, num: int = 2, den: int = 1, rounding: Any = "down") -> SplitApplied:
    return SplitApplied(ca_id=name, instrument="B", ratio_num=num, ratio_den=den, ex_date=day(of), rounding=rounding,
                        moved_reason="of old shares")  # fmt: skip


def valued(price: str, of: int) -> MarkRecorded:
    return MarkRecorded(instrument="Q", price=price, kind="eod", day=day(of), as_of=1)


def rate(price: str, of: int, as_of: int = 1) -> MarkRecorded:
    return MarkRecorded(base="BTC", quote="USD", price=price, kind="eod", day=day(of), as_of=as_of)


def check(books: Books, end: str = "2") -> Fraction:
    """Return what all days made of it, in USD, after seeing that it is what the account has at *end* USD a BTC."""
    books.set_day(LAST)
    books.give(rate(end, 20, 10**6))
    for name in "XQ":
        books.give(MarkRecorded(instrument=name, price="3", kind="eod", day=LAST, as_of=10**6))
    rows = pnl(books, last=LAST)
    total = Fraction(sum(row.total or 0 for row in rows), UNIT)
    assert not any(row.missing for row in rows if row.day == LAST)
    has = {row.asset: Fraction(row.total, UNIT) for row in books.state.balances.rows.values() if row.account == "A"}
    bitcoin = has.get("BTC", Fraction(0)) + 3 * has.get("ABC", Fraction(0))
    worth = bitcoin * Fraction(end) + has.get("XYZ", Fraction(0)) * 3 + has.get("USD", Fraction(0))
    assert abs(total - worth) <= Fraction(len(rows) + 1, 10**8), (total, worth)
    return total


@pytest.mark.parametrize(
    ("told", "total"),
    [
        ([(2, interest("I", 2)), (2, split("S", 2))], 8),
        ([(2, split("S", 2)), (2, interest("I", 2))], 4),
        ([(1, interest("I", 1)), (1, rate("4", 1)), (2, split("S", 2))], 8),
        ([(2, trade("E", 2)), (2, split("S", 2))], -2),
        ([(2, split("S", 2)), (3, trade("E", 2))], -1),
        ([(2, interest("I", 2)), (2, split("S", 2)), (3, trade("E", 2)), (4, split("T", 4))], 14),
        ([(3, interest("I", 3)), (3, split("S", 2))], 8),
        ([(2, interest("I", 2)), (3, trade("E", 3)), (4, split("S", 2)), (4, split("T", 3))], 12),
    ],
    ids=["before it", "after it", "marked, before", "a fee before it", "a fee told after", "two splits",
         "of the day after, before it is told", "a fee too, and two splits"],
)  # fmt: skip
def test_what_is_earned_in_an_asset_is_in_the_shares_that_its_splits_multiplied(
    told: list[tuple[int, Event]], total: int
) -> None:
    """Worth 2 USD each in the end, and nothing was brought in."""
    books = market()
    for on, event in told:
        books.set_day(day(on))
        assert books.give(event).rule is None
    assert check(books) == total


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("told_late", [True, False])
def test_what_is_priced_in_shares_that_split_has_earned_nothing_by_that(marked: bool, told_late: bool) -> None:
    """10 ABC for 50 BTC, worth 10 USD each: after the split 100 at 5. Half is sold then, at what it is worth."""
    books, bought = market(), 3 if told_late else 1
    steps: list[tuple[int, Event]] = [(bought, quoted("E", bought)), (3 if told_late else 2, split("S", 2))]
    if marked and not told_late:
        steps += [(1, valued("5", 1)), (1, rate("10", 1))]
    for on in (3, 4):
        steps += [(on, valued("10", on)), (on, rate("5", on))]
    steps.append((4, quoted("F", 4, "5", "10", "sell")))
    for on, event in sorted(steps, key=lambda step: step[0]):
        books.set_day(day(on))
        assert books.give(event).rule is None
    rows = [row for row in pnl(books, last=day(4)) if row.total is not None]
    assert {(row.price_result, row.currency_result, row.total) for row in rows} == {(0, 0, 0)}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("interest", "trade", "trade", "quoted", "quoted", "correct", "bust", "rate", "split", "sleep", "sleep")
        ),
        st.integers(0, 3), st.integers(0, 5),
    ),
    min_size=5, max_size=25,
)  # fmt: skip


RATIOS = ((2, 1), (5, 2), (1, 3))
ROUNDINGS = ("down", "nearest", "up")


@settings(deadline=None, max_examples=100, print_blob=True)
@given(steps=STEPS, whole=st.booleans())
def test_all_days_add_up_whatever_split_in_between(steps: list[tuple[str, int, int]], whole: bool) -> None:
    """Interest and fees in the asset, whole or not, on any day and undone on any other, with rates and without."""
    books, today, fees = market(0 if whole else 8), 1, ("1", "3") if whole else ("0.5", "0.25")
    for number, (kind, ago, pick) in enumerate(steps):
        name, of = f"n{number}", max(1, today - ago)
        live = [row for row in books.state.executions.rows.values() if row.live]
        if kind == "sleep":
            today = min(today + 1, 19)
            books.set_day(day(today))
        elif kind == "interest":
            books.give(interest(name, of, str(pick + 1)))
        elif kind == "trade":
            books.give(trade(name, of, fees[0]))
        elif kind == "quoted":
            books.give(quoted(name, of, str(pick + 1), ("5", "2")[pick % 2], ("buy", "sell")[ago % 2]))
        elif kind == "rate":
            books.give(rate(("0.5", "1", "2", "4")[pick % 4], of, number))
        elif kind == "split":
            books.give(split(name, of, *RATIOS[pick % 3], ROUNDINGS[ago % 3]))
        elif live:
            old = live[pick % len(live)]
            place = {"exec_ref": old.exec_id, "ref_trade_date": old.trade_date}
            if kind == "bust":
                books.give(TradeBusted(exec_id=name, venue="V", trade_date=day(of), reason="r", **place))
            else:
                new = trade(name, of, fees[1]) if old.instrument == "X" else quoted(name, of, "3", "4")
                fields = {x: getattr(new, x) for x in TradeExecuted.__struct_fields__}
                books.give(TradeCorrected(**fields, **place))
    check(books, "0.5")


def closed_over(told: int) -> Books:
    """
    2 for 1 on the 6th, of which all is marked by its day; the books are closed through it, and on some day it is told.
    """
    books = market()
    books.set_day(day(5))
    books.give(trade("E", 5, fee="0", instrument="B", qty="100", price="10", fees=()))
    books.give(quoted("F", 5))
    books.give(interest("I", 5, "100"))
    for of in range(5, told + 1):
        books.set_day(day(of))
        price = "10" if of == 5 else "5"
        books.give(rate(price, of))
        books.give(MarkRecorded(instrument="B", price=price, kind="eod", day=day(of), as_of=1))
        books.give(valued("5" if of == 5 else "10", of))
        if of == 7:
            assert books.give(PeriodClosed(through=day(6))).rule is None
    return books


def told_by_day(books: Books, last: str) -> list[Any]:
    """Return day, instrument or asset, value, total, and what is missing, of what is of BTC or priced in it."""
    rows = [row for row in pnl(books, last=last) if row.asset == "BTC" or row.instrument == "B"]
    return [(row.day[-2:], row.instrument or row.asset, *cells(row, "value total"), row.missing) for row in rows]


def test_marks_of_after_the_ex_date_value_nothing_until_the_split_counts() -> None:
    """
    Told on the 9th it counts for that day. Of the 7th and 8th, which are open, what is marked is in other shares than
    what is held: positions, what is priced in such shares, and what there is of them besides. The closed day stands.
    """
    books = closed_over(9)
    before = [x for x in told_by_day(books, day(9)) if x[0] <= "06"]
    assert [x[-1] for x in told_by_day(books, day(8))] == [()] * len(told_by_day(books, day(8)))
    assert books.give(split("S", 6)).effective_on == day_number(day(9))
    found = told_by_day(books, day(9))
    assert [x for x in found if x[0] <= "06"] == before
    for of in ("07", "08"):
        words = f"for 2024-08-{of} in shares of before the split of 2024-08-06"
        missing = {x[1]: (x[2], x[3], x[4]) for x in found if x[0] == of}
        assert missing == {
            "B": (None, None, (f"mark of B {words}",)),
            "Q": (None, None, (f"mark of Q {words}", f"mark of BTC/USD {words}")),
            "BTC": (None, None, (f"mark of BTC/USD {words}",)),
        }
    assert {x[1]: (x[2], x[4]) for x in found if x[0] == "09"} == {
        "B": ("1000", ()), "Q": ("100", ()), "BTC": (None, ()),
    }  # fmt: skip
    assert told_by_day(books, day(8)) == [x for x in found if x[0] <= "08"]
    # 100 at 10 are 200 at 5, and what is priced in what splits has cost 100 new ones: interest is all that was earned.
    assert sum(row.total or 0 for row in pnl(books, last=day(9))) == 1000 * UNIT


def test_a_split_that_is_told_while_its_day_is_open_leaves_no_day_without_its_marks() -> None:
    """It counts for its ex-date, whichever days are marked and closed by then."""
    books = closed_over(6)
    assert books.give(split("S", 6)).effective_on == day_number(day(6))
    assert not any(row.missing for row in pnl(books, last=day(6)))
