"""
Check that what the order of days cannot tell in its turn is told in the shares that it was of, once those split.
"""

from __future__ import annotations

import datetime

import pytest

from ledger.domain.amounts import render
from ledger.domain.events.cash import CashMoved, FeeCharged, JournalReversed
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from tests.domain.books import Books
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.domain.test_paid_in_shares import bought, firm
from tests.reading.days import pnl
from tests.reading.test_known_settlement import LAST, MONDAY, TUESDAY, WEDNESDAY, check_stated, has, known, now, rungs
from tests.reading.test_known_splits import bust, ground, order, split

FEE = (Fee(kind="commission", asset="XYZ", amount="1"),)


def after_midnight(books: Books) -> None:
    """Let the clock stand in Friday's UTC day, while Thursday's session goes on."""
    books.clock = int(datetime.datetime.fromisoformat(f"{DUE}T00:30:00+00:00").timestamp()) * 10**9


def fill(exec_id: str, day: str) -> Event:
    return trade(exec_id, fee="0", qty="10", trade_date=day, order_id="O")


@pytest.mark.parametrize("settles", [False, True])
def test_a_fill_that_the_order_of_days_cannot_give_to_its_order_stays_readable(settles: bool) -> None:
    """It came with the wrong trade date, was busted and sent again: by days its order has filled before it comes."""
    books = market()
    after_midnight(books)
    busted = [fill("E", DUE), *([settled("S", "E", "10", trade_date=DUE)] if settles else []), bust("E", DUE, DUE)]
    given = [order("O", "10", "10"), *busted, fill("F", DAY)]
    assert [books.give(x).rule for x in given] == [None] * len(given)
    books.set_day(MONDAY)
    assert books.give(split()).rule is None
    for day, shares in ((DAY, "10"), (DUE, "10"), (MONDAY, "20"), (LAST, "20")):
        source = known(books, day)
        (position,) = source.rows("positions", account="A")
        assert (render(position.qty), render(position.cost)) == (shares, "100")
        assert has(source) == ("0", shares)
    assert known(books, LAST).rows("balances") == now(books).rows("balances")
    assert [render(row.qty) for row in pnl(books, last=TUESDAY) if row.instrument][-1] == "20"


def test_what_was_undone_before_a_split_was_told_is_not_judged_by_it() -> None:
    """A trade of other shares was charged in those that split; its bust is of the day after, and came before."""
    books = firm(shares="100")
    books.set_day(DAY)
    assert books.give(bought(instrument="ABC.N", fees=FEE)).rule is None
    books.set_day(TUESDAY)
    assert [books.give(x).rule for x in (bust("E", TUESDAY, DAY), split())] == [None, None]
    source = known(books, LAST)
    assert [(row.instrument, row.qty) for row in source.rows("positions", account="A") if row.qty] == []
    assert [row.live for row in source.rows("executions", exec_id="E")] == [False]
    assert source.rows("balances") == now(books).rows("balances")
    assert pnl(books, account="A") is not None


@pytest.mark.parametrize("undone", [False, True])
def test_what_counts_for_a_later_day_as_its_own_was_closed_was_told_before_the_split(undone: bool) -> None:
    """A deposit of Friday counts for Tuesday, and may be reversed then; the split of Monday was told after that."""
    books = ground()
    books.set_day(TUESDAY)
    came = CashMoved(movement_id="M", account="A", asset="XYZ", amount="5", kind="deposit", value_date=DUE)
    reversal = JournalReversed(journal_id="J", reverses_kind="cash", reverses="M", reason="r")
    steps = [PeriodClosed(through=DUE), came, *([reversal] if undone else []), split()]
    assert [books.give(x).rule for x in steps] == [None] * len(steps)
    source = known(books, LAST)
    assert source.rows("movements") == now(books).rows("movements")
    assert rungs(source) == rungs(now(books))
    assert source.rows("balances") == now(books).rows("balances")


@pytest.mark.parametrize("day", [DAY, MONDAY])
def test_a_fee_is_taken_back_in_the_shares_in_which_it_was_charged(day: str) -> None:
    """Its correction, without the fee, came before the split; the bust of that, after it, is of a day before both."""
    totals = []
    for traded in (True, False):
        books = firm(shares="100")
        fee, corrected = bought(instrument="ABC.N", fees=FEE), {"venue": "N", "account": "A", "instrument": "ABC.N"}
        given = [
            fee,
            TradeCorrected(exec_id="C", exec_ref="E", ref_trade_date=DAY, side="buy", qty="10", price="10",
                           trade_date=TUESDAY, **corrected),
            split(),
            TradeBusted(exec_id="X", exec_ref="C", ref_trade_date=TUESDAY, venue="N", trade_date=day, reason="r"),
        ]  # fmt: skip
        books.set_day(WEDNESDAY)
        assert [books.give(x).rule for x in (given if traded else [split()])] == [None] * (4 if traded else 1)
        for of in (DAY, MONDAY, TUESDAY):
            books.give(MarkRecorded(base="XYZ", quote="USD", price="5", kind="eod", day=of, as_of=1))
        totals.append([row.total for row in pnl(books, first=TUESDAY, last=TUESDAY, account="A") if row.asset == "XYZ"])
        assert [has(known(books, of))[0] for of in (MONDAY, TUESDAY)] == ["200", "200"]
    assert totals[0] == totals[1] != []


@pytest.mark.parametrize("undone", [False, True])
def test_what_moved_shares_after_a_split_that_was_told_later_is_there_on_its_own_day(undone: bool) -> None:
    """A deposit and interest of Tuesday, in old shares by what is said of them, come before Monday's split is told."""
    books = ground()
    books.set_day(TUESDAY)
    charged = CashMoved(movement_id="I", account="A", asset="XYZ", amount="-1", kind="interest", value_date=TUESDAY)
    came = CashMoved(movement_id="M", account="A", asset="XYZ", amount="5", kind="deposit", value_date=TUESDAY)
    reversal = JournalReversed(journal_id="J", reverses_kind="cash", reverses="M", reason="r")
    steps = [came, reversal if undone else charged, split(moved_reason="of old shares")]
    assert [books.give(x).rule for x in steps] == [None] * len(steps)
    for day, waits, there in ((DAY, "100", "0"), (MONDAY, "200", "0"), (TUESDAY, "200", "0" if undone else "8")):
        assert has(known(books, day)) == (there, waits)
        check_stated(books, known(books, day), day)
    assert known(books, LAST).rows("balances") == now(books).rows("balances")


def test_a_split_that_took_nothing_of_the_issuer_did_on_a_day_when_less_was_there() -> None:
    """A is long 5 and B, with a deposit of Thursday that was told late, short 5: only by days they differ."""
    books = market()
    books.set_day(DAY)
    steps = [trade("E", fee="0", qty="5"), trade("F", "sell", fee="0", qty="7", account="B")]
    assert [books.give(x).rule for x in steps] == [None] * 2
    books.set_day(TUESDAY)
    came = CashMoved(movement_id="M", account="B", asset="XYZ", amount="2", kind="deposit", value_date=DAY)
    assert [books.give(x).rule for x in (PeriodClosed(through=DAY), came, split())] == [None] * 3
    assert books.state.balances.get("~issuer", "XYZ") is None
    for day, issued in ((MONDAY, "2"), (TUESDAY, "0"), (LAST, "0")):
        source = known(books, day)
        assert [render(row.total) for row in source.rows("balances", account="~issuer", asset="XYZ")] == [issued]
        assert sum(row.total for row in source.rows("balances", asset="XYZ")) == 0
        check_stated(books, source, day)


@pytest.mark.parametrize(("rounding", "left"), [("down", "17"), ("up", "18")])
def test_a_holding_that_was_more_on_the_day_of_a_split_is_rounded_as_it_was_then(rounding: str, left: str) -> None:
    """8 at 10 become 20 on Monday; of the 7 that were left when the split was told 17 or 18 are there on Tuesday."""
    books = market()
    books.set_day(DAY)
    assert books.give(trade("E", fee="0", qty="8", account="BLOCK")).rule is None
    books.set_day(TUESDAY)
    fee = FeeCharged(fee_id="F", account="BLOCK", kind="k", asset="XYZ", amount="1")
    told = split((5, 2), rounding=rounding, moved_reason="the fee is of old shares")
    assert [books.give(x).rule for x in (fee, told)] == [None, None]
    for day, price in ((DAY, "10"), (MONDAY, "4"), (TUESDAY, "8")):
        for mark in ({"instrument": "XYZ.N"}, {"base": "XYZ", "quote": "USD"}):
            books.give(MarkRecorded(price=price, kind="eod", day=day, as_of=1, **mark))  # type: ignore[arg-type]
    for day, shares, price in ((MONDAY, "20", 4), (TUESDAY, left, 8)):
        source = known(books, day)
        assert [render(row.total) for row in source.rows("balances", account="BLOCK", asset="XYZ")] == [shares]
        check_stated(books, source, day)
        total = sum(row.total or 0 for row in pnl(books, last=day, account="BLOCK"))
        assert render(total) == str(int(shares) * price - 80)
