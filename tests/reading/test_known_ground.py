"""
Check what is known of days that what was decided later is about: in quarantine, of second persons, of dividends, of
corrections of corrections.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.domain import fold
from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved, JournalReversed
from ledger.domain.events.control import ControlsSet, PeriodClosed
from ledger.domain.events.corporate_actions import CashDividendAccrued, CashDividendPaid, DividendLine, Entitled
from ledger.domain.events.executions import QuarantineResolved, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderReplaced
from ledger.domain.events.reference import AccountOpened
from ledger.domain.events.settlement import AllocationReversed
from ledger.domain.rows import TABLES
from ledger.errors import NotFound
from ledger.reading.known_days.misfits import LACKING, SKIPPED, about
from tests.domain.books import Books, opened, order
from tests.domain.equities import DAY, DUE, settled, trade
from tests.domain.test_allocation import BOTH, allocated, block, line
from tests.reading.days import pnl
from tests.reading.test_known_settlement import (
    BEFORE,
    FAILED,
    LAST,
    MONDAY,
    TERMS,
    TUESDAY,
    WEDNESDAY,
    blotter,
    has,
    known,
    now,
    rungs,
    told,
)


def test_every_event_type_is_skipped_or_says_which_tables_lack_it() -> None:
    """None is left to a guess, and no table is named that there is not."""
    assert LACKING.keys() == fold.RULES.keys() - SKIPPED
    assert fold.RULES.keys() >= SKIPPED
    assert frozenset().union(*LACKING.values()) <= TABLES.keys()
    assert all(LACKING.values())


def late_fill() -> Books:
    """A fill of Monday is told on Tuesday, before its order, and again after it; on Wednesday that is accepted."""
    books = opened()
    fill = TradeExecuted(
        exec_id="E", venue="V", order_id="O", account="A", instrument="BTCUSDT", side="buy", qty="0.01", price="100",
        trade_date=MONDAY,
    )  # fmt: skip
    books.set_day(TUESDAY)
    assert books.give(fill).rule == "unknown_order"
    ref = len(books.stored)
    books.set_day(MONDAY)
    books.give(order("O"))
    books.set_day(TUESDAY)
    assert books.give(fill).rule is None
    accepted = len(books.stored)
    books.set_day(WEDNESDAY)
    books.give(QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=accepted, proposed_by="ann"))
    return books


def test_a_late_fact_that_was_accepted_waits_no_more() -> None:
    """What it was accepted as counts for a day before that on which it began to wait."""
    books = late_fill()
    assert known(books, MONDAY).rows("quarantine") == []
    (waiting,) = known(books, TUESDAY).rows("quarantine")
    assert (waiting.status, waiting.answered_seq) == ("open", len(books.stored) - 1)
    for day in (WEDNESDAY, LAST):
        assert known(books, day).rows("quarantine") == now(books).rows("quarantine")
        assert [x.cum_qty for x in known(books, day).rows("orders")] == [x.cum_qty for x in now(books).rows("orders")]


def test_what_one_person_decided_when_one_was_enough_stands() -> None:
    """Two were needed on Monday, and one again on Tuesday, when a movement of Monday was reversed."""
    both = {"proposed_by": "ann", "approved_by": "bob", "reason": "r"}
    moved = CashMoved(movement_id="M", account="A", asset="USD", amount="5", kind="funding", value_date=MONDAY)
    books = told(
        (MONDAY, ControlsSet(second_person=("reversal",), **both)),
        (MONDAY, moved),
        (TUESDAY, ControlsSet(second_person=(), **both)),
        (TUESDAY, JournalReversed(journal_id="J", reverses_kind="cash", reverses="M", reason="r")),
    )
    for day in (MONDAY, LAST):
        assert known(books, day).rows("movements") == now(books).rows("movements")
    assert known(books, LAST).rows("controls") == now(books).rows("controls")


def test_a_dividend_is_of_what_was_held_when_it_was_recorded() -> None:
    """A trade from before the ex-date that was told afterwards changes no entitlement, and its payment is told."""
    dividend = CashDividendAccrued(
        ca_id="D", instrument="XYZ.N", ex_date=DAY, record_date=DUE, pay_date=DUE, rate="0.5",
        entitlements=(Entitled(account="A", qty="100", gross="50"),),
    )  # fmt: skip
    paid = CashDividendPaid(payment_id="P", ca_id="D", paid_on=DUE, lines=(DividendLine(account="A", gross="50"),))
    books = told(
        (DAY, trade("E", trade_date=BEFORE, fee="0")), (DUE, dividend), (DUE, trade("F", trade_date=BEFORE, fee="0")),
        (MONDAY, paid),
    )  # fmt: skip
    for day in (DUE, LAST):
        for table in ("entitlements", "movements"):
            assert known(books, day).rows(table) == now(books).rows(table)
        assert rungs(known(books, day)) == rungs(now(books))


def corrected(name: str, of: str, of_day: str, day: str, qty: str) -> TradeCorrected:
    return TradeCorrected(
        exec_id=name, exec_ref=of, ref_trade_date=of_day, trade_date=day, qty=qty, price="10", **TERMS
    )


def holds(books: Books, day: str) -> tuple[str, tuple[str, str], list[str]]:
    """Return the position, the balance and what is live in the blotter."""
    source = known(books, day)
    live = [name for name, standing, _ in blotter(source) if standing == "live"]
    (position,) = source.rows("positions", account="A") or [None]
    return "0" if position is None else str(position.qty // UNIT), has(source), live


def test_a_correction_of_what_does_not_count_yet_takes_the_place_of_what_does() -> None:
    """E of Wednesday, C1 of Friday in its place, C2 of Thursday in that of C1: one of them counts on each day."""
    books = told(
        (DAY, trade(trade_date=BEFORE, fee="0")),
        (DUE, corrected("C1", "E", BEFORE, DUE, "90")),
        (DUE, corrected("C2", "C1", DUE, DAY, "80")),
    )
    assert holds(books, BEFORE) == ("100", ("0", "100"), ["E"])
    for day in (DAY, DUE, LAST):
        assert holds(books, day) == ("80", ("0", "80"), ["C2"])
        assert [x.qty for x in pnl(books, last=day) if x.instrument][-1] == 80 * UNIT
        assert known(books, day).rows("orders") == []


def test_a_bust_of_what_does_not_count_yet_undoes_what_does() -> None:
    """E of Wednesday, C of Friday in its place, busted for Thursday: nothing is left of the trade from then on."""
    bust = TradeBusted(exec_id="B", exec_ref="C", ref_trade_date=DUE, venue="N", trade_date=DAY, reason="r")
    books = told((DAY, trade(trade_date=BEFORE, fee="0")), (DUE, corrected("C", "E", BEFORE, DUE, "90")), (DUE, bust))
    assert holds(books, BEFORE) == ("100", ("0", "100"), ["E"])
    for day in (DAY, DUE, LAST):
        assert holds(books, day) == ("0", ("0", "0"), [])
        assert known(books, day).rows("orders") == []


def test_a_bust_of_a_trade_of_a_later_day_is_in_the_blotter() -> None:
    """It undoes nothing yet, and is a report of its day."""
    bust = TradeBusted(exec_id="B", exec_ref="E", ref_trade_date=DUE, venue="N", trade_date=DAY, reason="r")
    books = told((DUE, trade(trade_date=DUE, fee="0")), (MONDAY, bust))
    assert blotter(known(books, DAY)) == [("B", "bust", "0")]
    assert blotter(known(books, DUE)) == blotter(now(books)) == [("E", "busted", "0"), ("B", "bust", "0")]


def test_a_correction_of_an_orders_later_fill_fills_it() -> None:
    """The order is of Wednesday, its fill of Friday, corrected to Thursday: from then on the order has that fill."""
    books = opened()
    fill = {"venue": "V", "order_id": "O", "account": "A", "instrument": "BTCUSDT", "side": "buy", "price": "100"}
    steps: list[tuple[str, Event]] = [
        (BEFORE, order("O", qty="0.02")),
        (DUE, TradeExecuted(exec_id="E", qty="0.01", trade_date=DUE, **fill)),
        (DUE, TradeCorrected(exec_id="C", exec_ref="E", ref_trade_date=DUE, qty="0.02", trade_date=DAY, **fill)),
    ]
    told(*steps, books=books)
    assert [(x.status, x.cum_qty) for x in known(books, DAY).rows("orders")] == [("FILLED", 2 * 10**16)]
    assert [(x.status, x.cum_qty) for x in known(books, LAST).rows("orders")] == [("FILLED", 2 * 10**16)]
    assert known(books, LAST).rows("balances") == now(books).rows("balances")


def test_an_allocation_of_what_was_corrected_twice_is_told() -> None:
    """First to the day before, and there once more: allocations of that day wait until their trade is there."""
    books = block()
    first = msgspec.structs.replace(corrected("C1", "E1", DAY, BEFORE, "60"), account="BLOCK")
    second = msgspec.structs.replace(corrected("C2", "C1", BEFORE, BEFORE, "50"), account="BLOCK")
    wrong, right = (
        msgspec.structs.replace(allocated(line(of, "50", "10"), exec_ids=("C2",), name=name), trade_date=BEFORE)
        for of, name in (("A", "X"), ("B", "AL"))
    )
    undone = AllocationReversed(allocation_id="X", reason="r")
    told(*((MONDAY, event) for event in (first, second, wrong, undone, right)), books=books)
    part = settled("S", "AL.1", "20", partial=True, trade_date=BEFORE, date=BEFORE)
    told((MONDAY, part), books=books)
    wednesday = known(books, BEFORE)
    assert [(x.account, x.qty) for x in wednesday.rows("positions") if x.qty] == [("B", 50 * UNIT)]
    assert has(wednesday, "B") == ("20", "30")
    assert [x.qty for x in pnl(books, last=BEFORE, account="B") if x.instrument] == [50 * UNIT]
    assert rungs(wednesday) == [x for x in rungs(now(books)) if x[1] == "B"]


def test_an_allocation_that_was_reversed_before_its_trade_was_corrected_to_an_earlier_day() -> None:
    """In the order of days it finds its trade gone: it and its lines are told as reversed, and positions without it."""
    books = told((DUE, allocated(*BOTH)), (DUE, AllocationReversed(allocation_id="AL", reason="r")), books=block())
    correction = corrected("C", "E1", DAY, BEFORE, "60")
    told((MONDAY, msgspec.structs.replace(correction, account="BLOCK")), books=books)
    assert blotter(known(books, DAY)) == blotter(now(books))
    for day in (DAY, LAST):
        assert has(known(books, day), "BLOCK") == has(now(books), "BLOCK")
        assert [(x.account, x.qty) for x in known(books, day).rows("positions") if x.qty] == [("BLOCK", 100 * UNIT)]
        assert known(books, day).rows("orders") == []
        assert [x.qty for x in pnl(books, last=day, account="BLOCK") if x.instrument][-1] == 100 * UNIT


def test_what_cannot_be_told_of_one_order_can_of_others() -> None:
    """A fill counts for a day before its order's: that order is not told, nor a list that has it; all others are."""
    books = opened()
    books.give(AccountOpened(account="B", kind="cash", owner="b", base_asset="USDT"))
    books.set_day(TUESDAY)
    books.give(order("O"))
    fill = TradeExecuted(
        exec_id="E", venue="V", order_id="O", account="A", instrument="BTCUSDT", side="buy", qty="0.01", price="100",
        trade_date=MONDAY,
    )  # fmt: skip
    assert books.give(fill).rule is None
    source = known(books, MONDAY)
    for equal in ({}, {"account": "A"}, {"order_id": "O"}, {"account": None}):
        with pytest.raises(NotFound, match=r"orders cannot be told for these days: event .*TradeExecuted") as refused:
            source.rows("orders", **equal)
        # The chain knows the order, and nobody has to record it first: a later day has it.
        assert "by these days alone its rule would say unknown_order" in str(refused.value)
        assert str(refused.value).endswith("1 such: ask by seq, or for a later day")
    assert source.rows("orders", account="B") == source.rows("orders", order_id="P") == []
    assert [row.exec_id for row in source.rows("executions", account="A")] == ["E"]


LATE = trade(fee="0", trade_date=BEFORE)
DIVIDEND = CashDividendAccrued(
    ca_id="D", instrument="XYZ.N", ex_date=BEFORE, record_date=BEFORE, pay_date=MONDAY, rate="1",
    entitlements=(Entitled(account="A", qty="100", gross="100", reason="r"),),
)  # fmt: skip


@pytest.mark.parametrize(("said", "of_a_closed_day", "lacking"), [
    (settled(trade_date=BEFORE, date=MONDAY), LATE, "executions"),
    (msgspec.structs.replace(FAILED, trade_date=BEFORE, date=MONDAY), LATE, "settlement_fails"),
    (CashDividendPaid(ca_id="D", payment_id="p", paid_on=MONDAY, lines=(DividendLine(account="A", gross="100"),)),
     DIVIDEND, "entitlements"),
], ids=["settlement", "fail", "dividend"])  # fmt: skip
def test_what_cannot_be_told_of_one_account_can_of_others(said: Event, of_a_closed_day: Event, lacking: str) -> None:
    """What it is of counts for Tuesday, as Wednesday was closed; so Monday has no ground for it, and others have."""
    books = told((DUE, trade("B1", account="B", fee="0", trade_date=DUE)), (TUESDAY, PeriodClosed(through=DUE)),
                 (TUESDAY, of_a_closed_day), (TUESDAY, said))  # fmt: skip
    monday = known(books, MONDAY)
    for equal in ({}, {"account": "A"}):
        with pytest.raises(NotFound, match=f"{lacking} cannot be told for these days: event .*{type(said).__name__}"):
            monday.rows(lacking, **equal)
    assert monday.rows(lacking, account="BLOCK") == []
    assert [row.exec_id for row in monday.rows("executions", account="B")] == ["B1"]
    assert rungs(monday, "B") == rungs(now(books), "B") != []


def test_only_a_settlement_that_cannot_be_told_keeps_the_ladder_from_being_told() -> None:
    """A dividend that was paid before the day that it counts for is due to nobody by trade."""
    paid = CashDividendPaid(ca_id="D", payment_id="p", paid_on=MONDAY, lines=(DividendLine(account="A", gross="100"),))
    books = told((DUE, trade("B1", account="B", fee="0", trade_date=DUE)), (TUESDAY, PeriodClosed(through=DUE)),
                 (TUESDAY, DIVIDEND), (TUESDAY, paid))  # fmt: skip
    monday = known(books, MONDAY)
    assert rungs(monday) == rungs(now(books)) != []
    with pytest.raises(NotFound, match="CashDividendPaid"):
        monday.rows("movements", kind="dividend")


def test_what_cannot_be_told_of_a_block_and_its_accounts_can_of_others() -> None:
    """Both an allocation and its reversal are about the block's account and those of its lines, and no order."""
    books = block()
    given = allocated(line("A", "100", "10.4"), name="AL")
    assert about(given, told((DAY, given), books=books).state) == {
        "account": {"A", "BLOCK"}, "order_id": {None}, "allocation_id": {"AL"},
    }  # fmt: skip
    reversed_later = AllocationReversed(allocation_id="AL", reason="r")
    assert about(reversed_later, told((DUE, reversed_later), books=books).state) == about(given, books.state)


def test_no_order_lacks_a_trade_without_one() -> None:
    """A bust of it counts for a day before its own; orders are told all the same."""
    books = opened()
    books.set_day(MONDAY)
    books.give(order("O"))
    alone = TradeExecuted(
        exec_id="E", venue="V", account="A", instrument="BTCUSDT", side="buy", qty="0.01", price="100",
        trade_date=TUESDAY, reconciliation=True,
    )  # fmt: skip
    bust = TradeBusted(exec_id="E2", exec_ref="E", venue="V", trade_date=MONDAY, ref_trade_date=TUESDAY, reason="r")
    books.set_day(TUESDAY)
    assert [books.give(each).rule for each in (alone, bust)] == [None, None]
    for day in (MONDAY, TUESDAY):
        assert known(books, day).rows("orders", account="A") == now(books).rows("orders")


def test_fills_of_a_session_that_began_the_day_before_give_back_no_hold_that_was_not_there() -> None:
    """20:30 in New York is the next day by UTC: fills are of the session's day, their order of the day after."""
    books = opened()
    books.set_day(TUESDAY)
    first, second = (
        TradeExecuted(
            exec_id=name, venue="V", order_id="O", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
            price="100", trade_date=MONDAY,
        )
        for name in ("E", "F")
    )  # fmt: skip
    placed = order("O", qty="0.03")
    assert [books.give(x).rule for x in (placed, first, second)] == [None, None, None]
    (monday,) = known(books, MONDAY).rows("balances", account="A", asset="USDT")
    (before,) = known(books, DAY).rows("balances", account="A", asset="USDT")
    assert (monday.held, monday.total) == (0, before.total - 2 * UNIT)
    for day in (TUESDAY, LAST):
        assert known(books, day).rows("balances") == now(books).rows("balances")
    (held,) = now(books).rows("balances", account="A", asset="USDT")
    assert held.held == UNIT


@pytest.mark.parametrize("busted", [False, True])
def test_a_correction_that_its_order_is_too_small_for_on_its_day_moves_the_position_all_the_same(busted: bool) -> None:
    """The order was enlarged on the day after: on the session's day it is for what it filled, and no more."""
    books = opened()
    fill = {"venue": "V", "order_id": "O", "account": "A", "instrument": "BTCUSDT", "side": "buy", "price": "100"}
    steps: list[tuple[str, Event]] = [
        (MONDAY, order("O", qty="0.01")),
        (TUESDAY, OrderReplaced(order_id="O", cl_ord_id="c2", orig_cl_ord_id="c-O", qty="0.02")),
        (TUESDAY, TradeExecuted(exec_id="E", qty="0.01", trade_date=MONDAY, **fill)),
        (TUESDAY, TradeCorrected(exec_id="C", exec_ref="E", qty="0.02", trade_date=MONDAY, **fill)),
    ]
    if busted:
        steps.append((TUESDAY, TradeBusted(exec_id="X", exec_ref="C", venue="V", trade_date=MONDAY, reason="r")))
    told(*steps, books=books)
    for day in (MONDAY, TUESDAY, LAST):
        source = known(books, day)
        (position,) = source.rows("positions", account="A")
        assert position.qty == (0 if busted else 2 * 10**16)
        assert [(x.exec_id, x.live) for x in source.rows("executions", kind="correct")] == [("C", not busted)]
        (of,) = source.rows("orders")
        assert (of.qty, of.cum_qty) == (2 * 10**16, 0 if busted else 2 * 10**16)
    assert {row.day for row in pnl(books, first=MONDAY, account="A")} >= {MONDAY}
    assert known(books, LAST).rows("executions") == now(books).rows("executions")
    assert known(books, LAST).rows("orders") == now(books).rows("orders")
