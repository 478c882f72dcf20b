"""
Check that trades, orders and profit and loss of known days are on their own side of a split, whenever each was told.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from ledger.domain.amounts import render
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.corporate_actions import (
    CashDividendPaid,
    CashInLieu,
    DividendLine,
    Entitled,
    OrderAdjustment,
    SplitApplied,
)
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderPlaced,
    OrderReplaced,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import AssetDefined, InstrumentDefined
from tests.domain.books import Books
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.domain.test_paid_in_shares import dividend, firm
from tests.reading.days import pnl
from tests.reading.test_known_settlement import (
    LAST,
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    blotter,
    check_stated,
    has,
    known,
    now,
    rungs,
)


def split(ratio: tuple[int, int] = (2, 1), **more: Any) -> SplitApplied:
    given = {"ca_id": "S", "instrument": "XYZ.N", "ex_date": MONDAY, "rounding": "down", **more}
    return SplitApplied(ratio_num=ratio[0], ratio_den=ratio[1], **given)


def bust(exec_id: str, day: str, ref_day: str) -> TradeBusted:
    return TradeBusted(exec_id=f"b{exec_id}", exec_ref=exec_id, venue="N", trade_date=day, ref_trade_date=ref_day,
                       reason="r", reopens_order=False)  # fmt: skip


def order(name: str, qty: str, price: str) -> OrderPlaced:
    return OrderPlaced(order_id=name, cl_ord_id=f"c-{name}", account="A", instrument="XYZ.N", side="buy", qty=qty,
                       ord_type="limit", price=price, tif="gtc")  # fmt: skip


def check_told(books: Books, shares: str) -> None:
    """Hold known days against now, and every account's profit and loss against what it is worth, at 5 a share."""
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        books.give(MarkRecorded(instrument="XYZ.N", price="5", kind="eod", day=day, as_of=1))
        books.give(MarkRecorded(base="XYZ", quote="USD", price="5", kind="eod", day=day, as_of=1))
    stands, all_days = now(books), known(books, LAST)
    for table in ("balances", "positions"):
        names = ("settled", "unsettled", "held", "qty", "cost", "realised")
        ours, theirs = (
            [tuple(getattr(row, name, None) for name in ("account", *names)) for row in source.rows(table)]
            for source in (all_days, stands)
        )
        assert ours == theirs
    assert blotter(all_days) == blotter(stands)
    (position,) = all_days.rows("positions", account="A")
    assert render(position.qty) == shares
    for account in ("A", "B"):
        told = [row for row in pnl(books, account=account) if row.total is not None]
        own = stands.rows("balances", account=account)
        worth = sum(row.total * (5 if row.asset == "XYZ" else 1) for row in own if row.asset in ("XYZ", "USD"))
        brought = {"A": 100_000, "B": 0}[account] * 10**18
        if account == "A":
            assert Fraction(sum(row.total or 0 for row in told)) == worth - brought


def ground() -> Books:
    """A has bought 100 at 10."""
    books = market()
    books.set_day(DAY)
    assert books.give(trade("E", fee="0")).rule is None
    return books


@pytest.mark.parametrize("busted_on", [MONDAY, TUESDAY])
def test_a_trade_of_the_ex_date_is_busted_the_split_taken_and_the_trade_told_again(busted_on: str) -> None:
    """As decision 0012 has it, on whichever day the venue dates its bust."""
    books = ground()
    books.set_day(MONDAY)
    books.give(trade("M", fee="0", qty="10", trade_date=MONDAY))
    books.set_day(TUESDAY)
    again = trade("M2", fee="0", qty="20", price="5", trade_date=MONDAY)
    assert [books.give(x).rule for x in (bust("M", busted_on, MONDAY), split(), again)] == [None] * 3
    monday = known(books, MONDAY)
    assert [render(row.qty) for row in monday.rows("positions", account="A")] == ["220"]
    check_told(books, "220")


def test_an_older_trade_is_busted_after_the_ex_date_and_before_the_split_is_told() -> None:
    """Nobody could bust it afterwards, in old shares."""
    books = ground()
    books.give(trade("F", fee="0", qty="11"))
    books.set_day(TUESDAY)
    assert [books.give(x).rule for x in (bust("F", TUESDAY, DAY), split())] == [None, None]
    check_told(books, "200")


@pytest.mark.parametrize("given_first", [True, False])
def test_a_split_concerns_by_days_whom_it_concerned_when_it_was_told(given_first: bool) -> None:
    """Who has none but an order that sells; and who was given some for a later day than the split's, or after it."""
    books = ground()
    sale = msgspec.structs.replace(order("O", "10", "10"), account="BLOCK", side="sell")
    given = CashMoved(movement_id="m", account="B", asset="XYZ", amount="7", kind="deposit", value_date=WEDNESDAY)
    books.set_day(DUE)
    assert books.give(sale).rule is None
    books.set_day(WEDNESDAY)
    multiplied = split(moved_reason="r")
    for event in (given, multiplied) if given_first else (multiplied, given):
        outcome = books.give(event)
        assert outcome.rule is None, outcome.detail
    stands = [(row.account, render(row.qty), render(row.new_qty)) for row in now(books).rows("entitlements")]
    assert stands == [("A", "100", "200"), *([("B", "7", "14")] if given_first else []), ("BLOCK", "0", "0")]
    assert known(books, LAST).rows("entitlements") == now(books).rows("entitlements")


def test_cash_for_a_fraction_is_as_it_was_recorded() -> None:
    """There was one when the split was told, and none by the trades of its day."""
    books = ground()
    books.give(trade("F", fee="0", qty="11"))
    books.set_day(TUESDAY)
    reverse = split((1, 3), rounding="cash", cash_in_lieu=(CashInLieu(account="A", amount="5"),))
    assert [books.give(x).rule for x in (bust("F", TUESDAY, DAY), reverse)] == [None, None]
    check_told(books, "33")


def test_cash_for_a_fraction_is_of_a_holding_that_was_another_way_round_by_days() -> None:
    """Short five on the split's day; told on the day after, when a deposit of old shares had made it long."""
    books = market()
    books.set_day(DAY)
    assert books.give(trade("E", fee="0", qty="5", side="sell")).rule is None
    books.set_day(TUESDAY)
    deposit = CashMoved(movement_id="D", account="A", asset="XYZ", amount="20", kind="deposit", value_date=TUESDAY)
    told = split((1, 10), rounding="cash", moved_reason="of old shares",
                 cash_in_lieu=(CashInLieu(account="A", amount="3"),))  # fmt: skip
    assert [books.give(x).rule for x in (deposit, told)] == [None, None]
    assert known(books, LAST).rows("positions") == now(books).rows("positions")
    assert pnl(books, account="B") == []


def test_a_split_of_a_closed_day_counts_with_the_trades_that_were_told_after_it() -> None:
    """A trade of a day between the two is in new shares."""
    books = ground()
    books.set_day(TUESDAY)
    assert books.give(PeriodClosed(through=MONDAY)).rule is None
    books.set_day(WEDNESDAY)
    late = trade("T", fee="0", qty="20", price="5", trade_date=TUESDAY)
    assert [books.give(x).rule for x in (split(), late)] == [None, None]
    check_told(books, "220")


def test_of_two_splits_the_first_counts_for_a_later_day_than_the_own_of_the_second() -> None:
    """That of Monday, which was closed, is told on Wednesday and counts for then: so does that of Tuesday."""
    books = ground()
    books.set_day(WEDNESDAY)
    books.give(PeriodClosed(through=MONDAY))
    second = split((3, 1), ca_id="T", ex_date=TUESDAY)
    assert [books.give(x).rule for x in (split(), second)] == [None, None]
    for day, shares in ((TUESDAY, "100"), (WEDNESDAY, "600")):
        (position,) = known(books, day).rows("positions", account="A")
        assert render(position.qty) == shares
    check_told(books, "600")


def test_orders_that_came_before_the_split_was_told_are_not_asked_for_again() -> None:
    """One of the day after is named in new shares; one of the ex-date was canceled by then."""
    books = ground()
    books.set_day(MONDAY)
    assert books.give(order("O", "10", "5")).rule is None
    books.set_day(TUESDAY)
    named = split(order_adjustments=(OrderAdjustment(order_id="N", qty="20", price="5"),))
    given = (OrderCanceled(order_id="O", cl_ord_id="c-O", reason="r"), order("N", "20", "5"), named)
    assert [books.give(x).rule for x in given] == [None] * 3
    assert [(row.order_id, render(row.qty)) for row in known(books, LAST).rows("orders")] == [("N", "20"), ("O", "10")]
    check_told(books, "200")


def test_a_request_of_the_ex_date_is_answered_before_the_split_is_told() -> None:
    """The order splits without it, and the answer counts for the split's day, as what comes before a split does."""
    books = ground()
    books.set_day(DAY)
    assert books.give(order("O", "10", "5")).rule is None
    books.set_day(MONDAY)
    asked = ReplaceRequested(order_id="O", cl_ord_id="c-P", orig_cl_ord_id="c-O", new_qty="30", new_price="3")
    assert books.give(asked).rule is None
    books.set_day(TUESDAY)
    refused = ReplaceRejected(order_id="O", cl_ord_id="c-P", reason="r")
    assert [books.give(x).rule for x in (refused, split())] == [None, None]
    for day in (MONDAY, LAST):
        (row,) = known(books, day).rows("orders")
        assert (render(row.qty), render(row.hold_amount + row.asked_hold), row.asked) == ("20", "50", ())
    check_told(books, "200")


def test_an_order_of_the_day_after_has_the_terms_that_the_split_says_and_another_is_ended_by_it() -> None:
    """The split of Monday is told on Tuesday, after both were placed: both count for Monday, in the shares of then."""
    books = ground()
    books.set_day(TUESDAY)
    adjusted = (OrderAdjustment(order_id="N", qty="200", price="5"), OrderAdjustment(order_id="O", qty="0"))
    given = (order("N", "100", "10"), order("O", "3", "10"), split(order_adjustments=adjusted))
    assert [books.give(x).rule for x in given] == [None] * 3
    assert books.give(OrderAccepted(order_id="N", venue="N", venue_order_id="v")).rule is None
    for day in (MONDAY, LAST):
        (cash,) = known(books, day).rows("balances", account="A", asset="USD")
        assert render(cash.held) == "1000"
        terms = [(x.order_id, render(x.qty), x.terminal) for x in known(books, day).rows("orders")]
        assert terms == [("N", "200", None), ("O", "3", "canceled")]
    assert known(books, LAST).rows("orders") == now(books).rows("orders")
    check_told(books, "200")


@pytest.mark.parametrize("has_split", [False, True])
def test_what_an_order_held_on_a_day_depends_on_no_later_day(has_split: bool) -> None:
    """Of other shares than split: 30 of 100 fill on its day, which is told after it was replaced by one for 50."""
    books = market()
    books.set_day(DAY)
    books.give(AssetDefined(asset="ABC", kind="security", scale=0, name="ABC"))
    books.give(InstrumentDefined(instrument="ABC.N", asset="ABC", quote_asset="USD", settle_asset="USD", tick="0.01",
                                 lot="1", settlement_cycle=1, venue="N"))  # fmt: skip
    placed = msgspec.structs.replace(order("O", "100", "10"), instrument="ABC.N")
    assert [books.give(x).rule for x in ([split(ex_date=DAY)] if has_split else [])] == [None] * has_split
    assert books.give(placed).rule is None
    books.set_day(MONDAY)
    replaced = OrderReplaced(order_id="O", cl_ord_id="c-P", orig_cl_ord_id="c-O", qty="50")
    fill = TradeExecuted(exec_id="E", venue="N", order_id="O", account="A", instrument="ABC.N", side="buy", qty="30",
                         price="10", trade_date=DAY)  # fmt: skip
    assert [books.give(x).rule for x in (replaced, fill)] == [None, None]
    for day, held in ((DAY, "700"), (MONDAY, "200")):
        (cash,) = known(books, day).rows("balances", account="A", asset="USD")
        assert render(cash.held) == held
        check_stated(books, known(books, day), day)


@pytest.mark.parametrize(("waits", "held"), [(False, "1000"), (True, "1100")])
def test_an_order_that_has_split_gives_back_no_more_than_it_holds(waits: bool, held: str) -> None:
    """On Tuesday it is enlarged, and then 150 are told that filled in Monday's session, when it was for 100 or 110."""
    books = market()
    books.set_day(DAY)
    assert books.give(order("O", "50", "20")).rule is None
    request = ReplaceRequested(order_id="O", cl_ord_id="c-P", orig_cl_ord_id="c-O", new_qty="55", new_price="20")
    assert [books.give(x).rule for x in ([request] if waits else [])] == [None] * waits
    books.set_day(MONDAY)
    assert books.give(split()).rule is None
    books.set_day(TUESDAY)
    replaced = OrderReplaced(order_id="O", cl_ord_id="c-P", orig_cl_ord_id="c-O", qty="200", price="10")
    fill = TradeExecuted(exec_id="E", venue="N", order_id="O", account="A", instrument="XYZ.N", side="buy", qty="150",
                         price="10", trade_date=MONDAY)  # fmt: skip
    assert [books.give(x).rule for x in (replaced, fill)] == [None, None]
    for day, amount in ((MONDAY, held), (TUESDAY, "500")):
        (cash,) = known(books, day).rows("balances", account="A", asset="USD")
        assert render(cash.held) == amount
        check_stated(books, known(books, day), day)


def test_an_order_gives_back_no_more_than_the_terms_that_a_split_gave_it_hold() -> None:
    """By name it is for 90 at 10 then, of 50 at 20; on Tuesday it is enlarged, and 95 had filled on Monday."""
    books = market()
    books.set_day(DAY)
    assert books.give(order("O", "50", "20")).rule is None
    books.set_day(MONDAY)
    terms = OrderAdjustment(order_id="O", qty="90", price="10")
    assert books.give(split(order_adjustments=(terms,))).rule is None
    books.set_day(TUESDAY)
    replaced = OrderReplaced(order_id="O", cl_ord_id="c-P", orig_cl_ord_id="c-O", qty="200", price="10")
    fill = TradeExecuted(exec_id="E", venue="N", order_id="O", account="A", instrument="XYZ.N", side="buy", qty="95",
                         price="10", trade_date=MONDAY)  # fmt: skip
    assert [books.give(x).rule for x in (replaced, fill)] == [None, None]
    for day, amount in ((MONDAY, "900"), (TUESDAY, "1050")):
        (cash,) = known(books, day).rows("balances", account="A", asset="USD")
        assert render(cash.held) == amount
        check_stated(books, known(books, day), day)


def test_a_settlement_of_before_the_split_is_told_after_it() -> None:
    """It moved the shares that there were on its day; what they became is the split's."""
    books = ground()
    books.set_day(TUESDAY)
    assert [books.give(x).rule for x in (split(), settled())] == [None, None]
    for day, expected in (
        (DAY, ("0", "100")),
        (DUE, ("100", "0")),
        ("2024-08-11", ("100", "0")),
        (MONDAY, ("200", "0")),
    ):
        assert has(known(books, day)) == expected, day
    assert rungs(known(books, LAST)) == rungs(now(books))
    assert [rung for rung in rungs(now(books)) if rung[2] == "XYZ"] == [(DUE, "A", "XYZ", "0", "100", "0")]
    check_told(books, "200")


def test_a_settlement_of_after_the_split_is_told_before_it() -> None:
    """On the day of the split all of it waited still."""
    books = ground()
    books.set_day(WEDNESDAY)
    later = settled(qty="40", partial=True, date=TUESDAY)
    assert [books.give(x).rule for x in (later, split(), settled("S2", qty="60", date=WEDNESDAY))] == [None] * 3
    for day, expected in ((DUE, ("0", "100")), (MONDAY, ("0", "200")), (TUESDAY, ("80", "120")), (LAST, ("200", "0"))):
        assert has(known(books, day)) == expected, day
    assert rungs(known(books, LAST)) == rungs(now(books))
    check_told(books, "200")


def test_a_dividend_in_shares_of_before_the_split_is_told_after_it() -> None:
    """Ten came on the Friday; that they are twenty is the split's, and none of them waited with it."""
    books = firm(shares="100")
    books.set_day(TUESDAY)
    due = Entitled(account="A", qty="100", gross="10", tax="0", reason="deposited")
    came = DividendLine(account="A", gross="10", tax="0")
    paid = CashDividendPaid(ca_id="D", payment_id="P", paid_on="2024-08-09", lines=(came,))
    assert [books.give(x).rule for x in (dividend(due), split(), paid)] == [None] * 3
    friday, monday = known(books, "2024-08-09"), known(books, MONDAY)
    assert (has(friday), has(monday)) == (("110", "0"), ("220", "0"))
    assert known(books, LAST).rows("balances") == now(books).rows("balances")
