"""
Check that known days have trades as they were booked, and orders as they were taken, whatever was amended since.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.amounts import render
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDoneForDay,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import CalendarPublished, InstrumentAmended
from ledger.domain.events.settlement import AllocationLine, AllocationReversed
from ledger.domain.order_status import derive
from ledger.errors import LedgerError
from ledger.reading.exposure import exposure
from ledger.reading.known_days.orders import OrdersOfDays
from tests.domain.books import Books
from tests.domain.equities import CYCLES, DAY, DUE, HOLIDAYS, market, settled, trade
from tests.domain.test_allocation import BOTH, allocated, block
from tests.reading.days import pnl, recorded
from tests.reading.test_known_settlement import BEFORE, LAST, MONDAY, TUESDAY, blotter, known, now, rungs

LATER: dict[str, Any] = {"multiplier": "100", "tick": "3", "lot": "7", "settlement_cycle": 0}
"""Terms that no trade or order here was made on."""


def check_same(books: Books) -> None:
    """Hold what is known of all days against now."""
    known_now, stands = known(books, LAST), now(books)
    for table in ("orders", "positions", "lots", "balances", "movements", "allocations"):
        assert known_now.rows(table) == stands.rows(table)
    # `follows` is what the writer's memory keeps of the order in which they came.
    ours, theirs = (
        [msgspec.structs.replace(row, follows=()) for row in source.rows("executions")]
        for source in (known_now, stands)
    )
    assert ours == theirs
    assert (rungs(known_now), blotter(known_now)) == (rungs(stands), blotter(stands))


def test_a_holiday_that_is_published_later_moves_no_trade_that_was_booked() -> None:
    """It was to settle on the day of the calendar that was known, and still is."""
    books = market()
    books.give(trade())
    books.give(CalendarPublished(calendar="us", calendar_version=2, holidays=(*HOLIDAYS, DUE), cycles=CYCLES))
    assert books.give(trade("F")).rule is None
    assert sorted({day for day, *_ in rungs(known(books, LAST))}) == [DUE, MONDAY]
    check_same(books)


@pytest.mark.parametrize("since", [BEFORE, DAY])
@pytest.mark.parametrize("changes", [*({name: value} for name, value in LATER.items()), LATER])
def test_terms_that_are_amended_later_change_no_trade_that_was_booked(since: str, changes: dict[str, Any]) -> None:
    """Gross, cost, the day it settles on and whether it waits are its own; the order that it filled was of its lot."""
    books = market()
    books.set_day(DAY)
    placed = OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ.N", side="buy", qty="40",
                         ord_type="limit", price="10")  # fmt: skip
    assert [books.give(x).rule for x in (placed, trade(order_id="O", qty="40"), trade("F"))] == [None] * 3
    books.set_day(MONDAY)
    assert books.give(settled(qty="40")).rule is None
    assert books.give(InstrumentAmended(instrument="XYZ.N", effective_from=since, **changes)).rule is None
    check_same(books)
    assert known(books, LAST)._misfits == []
    # What is worth nothing yet has cost what was paid for it: 140 at 10, and a fee of 1 each.
    assert {render(row.cost or 0) for row in pnl(books) if row.account == "A" and row.qty and row.instrument} == {
        "1400"
    }


ENDED: dict[str, tuple[str, Event, tuple[str, str, str], tuple[str, str, str]]] = {
    "it ended the order that a fill of a later day had completed": (
        DUE, trade("F", order_id="O", qty="90", trade_date=DUE), ("NEW", "90", "0"), ("CANCELED", "100", "90"),
    ),
    "the order had been canceled on a later day": (
        DUE, OrderCanceled(order_id="O"), ("NEW", "90", "0"), ("CANCELED", "100", "0"),
    ),
    "less of the order is left to work": (
        DAY, trade("F", order_id="O", qty="20"), ("PARTIALLY_FILLED", "90", "20"), ("PARTIALLY_FILLED", "90", "20"),
    ),
}  # fmt: skip
"""On a day something is told of an order of which 10 are busted then; what it is on the first day, and after all."""


@pytest.mark.parametrize("what", list(ENDED))
def test_an_order_all_of_whose_events_count_is_as_it_is_now(what: str) -> None:
    """A bust that has its order work nothing again comes first by days, and came last when it was told."""
    books = market()
    books.set_day(DAY)
    placed = OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ.N", side="buy", qty="100",
                         ord_type="limit", price="10", tif="gtc")  # fmt: skip
    day, event, first, last = ENDED[what]
    bust = TradeBusted(exec_id="b", exec_ref="E", venue="N", trade_date=DAY, reason="r", reopens_order=False)
    assert [books.give(x).rule for x in (placed, trade(order_id="O", qty="10"))] == [None] * 2
    books.set_day(day)
    assert [books.give(x).rule for x in (event, bust)] == [None] * 2
    for asked, expected in ((DAY, first), (LAST, last)):
        (order,) = known(books, asked).rows("orders")
        assert (order.status, render(order.qty), render(order.cum_qty)) == expected
    check_same(books)


BUST = TradeBusted(exec_id="b", exec_ref="E", venue="N", trade_date=DAY, reason="r", reopens_order=False)


def told_on(*told: tuple[str, Event]) -> Books:
    """Return books that were told each of these on its day, and hold what is known of all days against now."""
    books = market()
    for day, event in told:
        books.set_day(day)
        assert books.give(event).rule is None
    assert known(books, LAST)._misfits == []
    check_same(books)
    return books


def standing(books: Books, day: str) -> tuple[str, str, str]:
    (order,) = known(books, day).rows("orders")
    return order.status, render(order.qty), render(order.cum_qty)


def of_100(**more: Any) -> OrderPlaced:
    return OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ.N", side="buy", qty="100",
                       ord_type="limit", price="10", tif="gtc", **more)  # fmt: skip


@pytest.mark.parametrize("told_after", [
    (trade("G", order_id="O", qty="10", trade_date=MONDAY), ("FILLED", "100", "100")),
    (OrderCanceled(order_id="O"), ("CANCELED", "100", "90")),
    (CancelRejected(order_id="O", cl_ord_id="d", reason="late"), ("CANCELED", "100", "90")),
])  # fmt: skip
def test_an_order_that_a_bust_ended_has_ended_once_what_was_told_before_counts(told_after: tuple[Event, Any]) -> None:
    """By the day of the bust it has 90 to fill, which it does; and what comes late is late then, as it was."""
    event, last = told_after
    asked = CancelRequested(order_id="O", cl_ord_id="d", orig_cl_ord_id="c")
    filled = trade("F", order_id="O", qty="90", trade_date=DUE)
    books = told_on(
        (DAY, of_100()), (DAY, trade(order_id="O", qty="10")), (DUE, asked), (DUE, filled), (DUE, BUST), (MONDAY, event)
    )
    assert b'"ended":["O"]' in books.stored[-2].derived
    assert [standing(books, day) for day in (DAY, DUE, MONDAY)] == [
        ("NEW", "90", "0"), ("CANCELED", "100", "90"), last,
    ]  # fmt: skip


def test_by_the_terms_of_its_day_a_bust_may_end_an_order_that_later_terms_have_work_on() -> None:
    """It was for 200 when 10 of them were busted for a day on which it was for 100, and had filled."""
    asked = ReplaceRequested(order_id="O", cl_ord_id="d", orig_cl_ord_id="c", new_qty="200")
    granted = OrderReplaced(order_id="O", cl_ord_id="d", orig_cl_ord_id="c", qty="200")
    books = told_on(
        (DAY, of_100()), (DAY, trade(order_id="O", qty="10")), (DAY, trade("F", order_id="O", qty="90")),
        (DUE, asked), (DUE, granted), (MONDAY, BUST), (LAST, OrderAccepted(order_id="O", venue="N")),
    )  # fmt: skip
    assert b'"ended"' not in books.stored[-2].derived
    assert [standing(books, day) for day in (DAY, DUE, MONDAY, LAST)] == [
        ("CANCELED", "100", "90"), *[("PARTIALLY_FILLED", "190", "90")] * 3,
    ]  # fmt: skip


def bust_of(ref: str, of: str, *, reopens_order: bool = False) -> TradeBusted:
    return TradeBusted(exec_id=f"b-{ref}", exec_ref=ref, ref_trade_date=of, venue="N", reason="r", trade_date=of,
                       reopens_order=reopens_order)  # fmt: skip


def filled(name: str, qty: int, day: str) -> TradeExecuted:
    return trade(name, order_id="O", qty=str(qty), trade_date=day)


@pytest.mark.parametrize("told", [
    [bust_of("E", DAY), filled("G", 10, DAY)],
    [bust_of("E", DAY), filled("G", 10, DAY), bust_of("F", DUE), filled("H", 90, DUE)],
    [bust_of("F", DUE), bust_of("E", DAY)],
    [bust_of("F", DUE), bust_of("E", DAY, reopens_order=True)],
], ids=["one anew", "one by one anew", "newest first", "newest first, one reopens"])  # fmt: skip
@pytest.mark.parametrize("accepted", [False, True])
def test_what_was_undone_and_booked_anew_can_be_told_of_each_day(told: list[Event], accepted: bool) -> None:
    """What is booked in the place of what a bust undid has its place, and each bust ends the order in its turn."""
    first: list[tuple[str, Event]] = [(DAY, of_100()), (DAY, filled("E", 10, DAY)), (DUE, filled("F", 90, DUE))]
    between: list[tuple[str, Event]] = [(MONDAY, OrderAccepted(order_id="O", venue="N"))] if accepted else []
    books = market()
    for day, event in (*first, *between, *((TUESDAY, event) for event in told)):
        books.set_day(day)
        assert books.give(event).rule is None
    for day in (DAY, DUE, MONDAY, TUESDAY):
        assert len(known(books, day).rows("orders")) == 1
    for table in ("orders", "balances"):
        assert known(books, LAST).rows(table) == now(books).rows(table)
    assert [row.late for row in known(books, LAST).rows("executions")] == [
        row.late for row in now(books).rows("executions")
    ]


def test_what_was_undone_newest_first_and_booked_anew_can_be_told_of_each_day() -> None:
    """Both fills are busted on one day, the newest first, and then booked again for their own days."""
    books = told_on(
        (DAY, of_100()), (DAY, filled("E", 10, DAY)), (DUE, filled("F", 90, DUE)), (TUESDAY, bust_of("F", DUE)),
        (TUESDAY, bust_of("E", DAY)), (TUESDAY, filled("G", 10, DAY)), (TUESDAY, filled("H", 90, DUE)),
    )  # fmt: skip
    assert [standing(books, day) for day in (DAY, DUE, TUESDAY)] == [
        ("PARTIALLY_FILLED", "90", "10"), ("FILLED", "100", "100"), ("FILLED", "100", "100"),
    ]  # fmt: skip


def test_terms_below_what_had_filled_are_what_they_were_whatever_was_undone_since() -> None:
    """Replaced by 50 once 100 had filled, it is for 100; 10 of them are undone for a day before, and filled again."""
    granted = OrderReplaced(order_id="O", cl_ord_id="d", orig_cl_ord_id="c", qty="50")
    books = told_on(
        (DAY, of_100()), (DAY, filled("E", 10, DAY)), (DUE, filled("F", 90, DUE)), (MONDAY, granted),
        (TUESDAY, bust_of("E", DAY, reopens_order=True)), (TUESDAY, filled("G", 10, TUESDAY)),
    )  # fmt: skip
    assert [standing(books, day) for day in (DAY, DUE, MONDAY, TUESDAY)] == [
        ("NEW", "100", "0"), *[("PARTIALLY_FILLED", "100", "90")] * 2, ("FILLED", "100", "100"),
    ]  # fmt: skip


def test_terms_that_were_told_after_a_bust_of_the_evening_session_keep_their_quantity() -> None:
    """The bust counts for the next day, and the terms that came after it for this one."""
    granted = OrderReplaced(order_id="O", cl_ord_id="d", orig_cl_ord_id="c", qty="100")
    books = told_on(
        (MONDAY, of_100()), (MONDAY, filled("E", 10, TUESDAY)), (MONDAY, bust_of("E", TUESDAY)), (MONDAY, granted),
        (TUESDAY, filled("F", 100, TUESDAY)), (LAST, OrderAccepted(order_id="O", venue="N")),
    )  # fmt: skip
    assert [standing(books, day) for day in (MONDAY, TUESDAY, LAST)] == [
        ("NEW", "100", "0"), *[("FILLED", "100", "100")] * 2,
    ]  # fmt: skip


def test_an_order_that_a_bust_ended_was_not_filled_by_what_was_left() -> None:
    """10 of 100 stay once the bust of the rest ended it, on that day too on which they were all that had filled."""
    books = told_on(
        (DAY, of_100()), (DAY, filled("E", 10, DAY)), (DUE, filled("F", 90, DUE)),
        (TUESDAY, OrderAccepted(order_id="O", venue="N")), (TUESDAY, bust_of("F", DUE)),
    )  # fmt: skip
    assert [standing(books, day) for day in (DAY, DUE, MONDAY, LAST)] == [
        ("PARTIALLY_FILLED", "100", "10"), *[("CANCELED", "100", "10")] * 3,
    ]  # fmt: skip


BUSTED = TradeBusted(exec_id="b", exec_ref="E", ref_trade_date=MONDAY, venue="N", reason="r", trade_date=TUESDAY)
CORRECTED = TradeCorrected(exec_id="b", exec_ref="E", ref_trade_date=MONDAY, trade_date=TUESDAY, qty="40", price="10",
                           venue="N", account="A", instrument="XYZ.N", side="buy", order_id="O")  # fmt: skip
ASKED = {"order_id": "O", "cl_ord_id": "d", "orig_cl_ord_id": "c"}
AFTER: dict[str, tuple[Event, str, str]] = {
    "its end is asked for": (CancelRequested(**ASKED), "PENDING_CANCEL", "100"),
    "a price is asked for": (ReplaceRequested(**ASKED, new_price="9"), "PENDING_REPLACE", "100"),
    "restated": (OrderRestated(order_id="O", reason="other", qty="50"), "FILLED", "100"),
    "replaced": (OrderReplaced(**ASKED, qty="50"), "FILLED", "100"),
    "rejected": (OrderRejected(order_id="O", reason_code="r"), "FILLED", "100"),
    "canceled": (OrderCanceled(order_id="O"), "FILLED", "100"),
    "done for the day": (OrderDoneForDay(order_id="O"), "DONE_FOR_DAY", "100"),
}


@pytest.mark.parametrize(("after", "undone"), [
    *((after, BUSTED) for after in AFTER),
    # An order that has filled is not rejected.
    *((after, CORRECTED) for after in AFTER if after != "rejected"),
])  # fmt: skip
def test_what_is_said_after_the_evening_session_undid_a_fill_can_be_told(undone: Event, after: str) -> None:
    """Monday's fill is undone on Monday, in Tuesday's session; by Monday it stands, and what was said then is told."""
    event, status, qty = AFTER[after]
    books = told_on((MONDAY, of_100()), (MONDAY, filled("E", 100, MONDAY)), (MONDAY, undone), (MONDAY, event),
                    (LAST, trade(trade_date=LAST)))  # fmt: skip
    assert standing(books, MONDAY) == (status, qty, "100")
    (stands,) = now(books).rows("orders")
    assert standing(books, TUESDAY) == (stands.status, render(stands.qty), render(stands.cum_qty))


def test_what_ended_by_days_alone_lives_again_with_terms_that_are_told_after() -> None:
    """Of 60 and 40 the 40 are undone in the next session, and the 60 on their day: only by that day had it filled."""
    books = told_on(
        (MONDAY, of_100()), (MONDAY, filled("E", 60, MONDAY)), (MONDAY, filled("F", 40, MONDAY)),
        (MONDAY, msgspec.structs.replace(bust_of("F", MONDAY, reopens_order=True), trade_date=TUESDAY)),
        (MONDAY, bust_of("E", MONDAY)),
    )  # fmt: skip
    assert standing(books, MONDAY) == ("CANCELED", "100", "40")
    assert standing(books, TUESDAY) == ("NEW", "40", "0")
    for event, by_monday in (
        (CancelRequested(order_id="O", cl_ord_id="d", orig_cl_ord_id="c"), ("CANCELED", "100", "40")),
        (CancelRejected(order_id="O", cl_ord_id="d", reason="r"), ("CANCELED", "100", "40")),
        (ReplaceRequested(order_id="O", cl_ord_id="e", orig_cl_ord_id="c", new_qty="70"), ("CANCELED", "100", "40")),
        (OrderDoneForDay(order_id="O"), ("CANCELED", "100", "40")),
        (OrderReplaced(order_id="O", cl_ord_id="e", orig_cl_ord_id="c", qty="70"), ("PARTIALLY_FILLED", "70", "40")),
        (OrderExpired(order_id="O"), ("EXPIRED", "70", "40")),
    ):  # fmt: skip
        assert books.give(event).rule is None
        assert standing(books, MONDAY) == by_monday


STEPS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans()), min_size=3, max_size=14)
DAYS = [DAY, DUE, MONDAY, TUESDAY, LAST]


def life(steps: list[tuple[int, int, bool]]) -> Books:
    """
    Return the life of an order: fills are of their day, or of the session that opens on its evening, and so is what
    corrects or busts them, or it is of their day, and some are booked anew later; all else is told on the day that it
    counts for. What breaks a rule is no event of the order, nor is what waits in quarantine.
    """
    books, fills, undone = market(), list[tuple[str, str, str]](), list[tuple[str, str]]()
    books.set_day(DAY)
    books.give(of_100())
    for n, (kind, some, flag) in enumerate(steps):
        name, today = f"x{n}", DAYS[min(3, n // 3)]
        books.set_day(today)
        order = books.state.orders.rows["O",]
        of = DAYS[DAYS.index(today) + 1] if flag and today != TUESDAY else today
        asked = {"order_id": "O", "cl_ord_id": name, "orig_cl_ord_id": order.cl_ord_id}
        event: Event = OrderAccepted(order_id="O", venue="N")
        if kind < 3:
            event = filled(name, some * 20, of)
        elif kind < 6 and fills:
            ref, ref_of, qty = fills.pop(some % len(fills))
            event = bust_of(ref, ref_of, reopens_order=flag)
            if kind == 4:
                event = msgspec.structs.replace(event, exec_id=name, trade_date=of)
            elif kind == 5:
                event = TradeCorrected(**{
                    **msgspec.structs.asdict(filled(name, some * 20, of)), "exec_ref": ref, "ref_trade_date": ref_of,
                })  # fmt: skip
            else:
                undone.append((qty, ref_of))
        elif kind == 6:
            event = OrderReplaced(**{**asked, "cl_ord_id": [*order.pending_replace, name][0]}, qty=str(some * 40))
        elif kind == 7:
            ends = {1: OrderCanceled(order_id="O"), 2: OrderExpired(order_id="O"),
                    3: OrderRejected(order_id="O", reason_code="r")}  # fmt: skip
            event = ends.get(some, OrderDoneForDay(order_id="O"))
        elif kind == 8 and undone:
            qty, of = undone.pop(some % len(undone))
            event = trade(name, order_id="O", qty=qty, trade_date=of)
        elif kind == 9:
            event = ReplaceRequested(**asked, new_qty=str(some * 40), new_price="9" if flag else None)
        elif kind == 10:
            event = CancelRequested(**asked)
        elif kind == 11:
            event = OrderRestated(order_id="O", reason="other", qty=str(some * 20) if flag else None)
        elif kind == 12 and (order.pending_cancel or order.pending_replace):
            rejects = CancelRejected if order.pending_cancel else ReplaceRejected
            event = rejects(order_id="O", cl_ord_id=[*order.pending_cancel, *order.pending_replace][0], reason="r")
        try:
            taken = books.give(event).rule is None
        except LedgerError:
            taken = False
        if not taken and 3 <= kind < 6 and isinstance(event, TradeBusted | TradeCorrected):
            fills.append((ref, ref_of, qty))
        elif taken and isinstance(event, TradeExecuted):
            fills.append((name, event.trade_date, str(event.qty)))
    return books


@given(STEPS)
def test_an_order_can_be_told_of_each_day_wherever_its_busts_count(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever counts for later days, it is told with what the blotter has of it; and all of it is as it is now."""
    books = life(steps)
    for day in DAYS:
        source = known(books, day)
        (order,) = source.rows("orders")
        rows = [row for row in source.rows("executions") if row.live and row.order_id == "O"]
        assert sum(row.qty for row in rows) == order.cum_qty <= order.qty
    assert [known(books, LAST).rows(table) for table in ("orders", "balances")] == [
        now(books).rows(table) for table in ("orders", "balances")
    ]


@given(STEPS, st.randoms(use_true_random=False))
def test_an_order_can_be_told_of_whichever_of_its_events_count(steps: list[tuple[int, int, bool]], random: Any) -> None:
    """Once it is placed no other event of it is one without which the rest cannot be told."""
    books = life(steps)
    kept = [event for event in recorded(books) if event.event_type == "OrderPlaced" or random.random() < 0.6]
    told = OrdersOfDays(books.state, kept)
    assert told.misfits == []
    (order,) = told.state.orders.rows.values()
    assert order.status == derive(order)
    assert 0 <= order.cum_qty <= order.qty
    assert order.terminal is None or not (order.pending_cancel or order.pending_replace or order.done_for_day)


def test_allocations_too_cost_what_was_booked() -> None:
    """The lines, and once they are reversed the executions."""
    books = block()
    assert books.give(allocated(*BOTH)).rule is None
    books.give(InstrumentAmended(instrument="XYZ.N", effective_from=DAY, multiplier="100"))
    check_same(books)
    assert books.give(AllocationReversed(allocation_id="AL", reason="r", proposed_by="ann")).rule is None
    check_same(books)


def test_a_mark_that_is_sent_again_by_the_new_name_of_its_instrument_lacks_nothing() -> None:
    """Names count as known from the first day on, so in the order of days it is there already."""
    books = market()
    books.set_day(DAY)
    assert books.give(trade(fee="0")).rule is None
    for name in ("XYZ.N", "NEW.N"):
        assert books.give(MarkRecorded(instrument=name, price="10", kind="eod", day=DAY, as_of=5)).rule is None
        if name == "XYZ.N":
            assert books.give(InstrumentRenamed(ca_id="R", old="XYZ.N", new="NEW.N", effective=DAY)).rule is None
    told = known(books, LAST)
    assert exposure(told, "A") == exposure(now(books), "A")
    assert [render(mark.price) for mark in told.rows("marks")] == ["10"]


def test_a_wrong_multiplier_that_is_mended_after_a_closing_leaves_the_closed_day_as_it_was() -> None:
    """What waited counts, and is worth what it is, from the first open day on; the day's own figures are frozen."""
    books = market()
    books.set_day(DAY)
    books.give(trade("OLD", qty="3", price="10", fee="0"))
    waits = trade("E", qty="2", price="10", account="BLOCK", fee="0", gross="2000")
    assert books.give(waits).rule == "gross"
    books.give(MarkRecorded(instrument="XYZ.N", price="11", kind="eod", day=DAY, as_of=1))
    books.set_day(MONDAY)
    books.give(PeriodClosed(through=DAY))
    before = [row for row in pnl(books) if row.day == DAY], rungs(known(books, DAY)), blotter(known(books, DAY))
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=MONDAY))
    assert books.give(waits).rule is None
    line = AllocationLine(account="B", qty="2", price="10")
    books.give(allocated(line, exec_ids=("E",)))
    books.give(MarkRecorded(instrument="XYZ.N", price="12", kind="eod", day=MONDAY, as_of=1))
    earned = {(row.day, row.account): render(row.price_result or 0) for row in pnl(books) if row.price_result}
    assert earned == {(DAY, "A"): "3", (MONDAY, "A"): "3567", (MONDAY, "B"): "400"}
    after = [row for row in pnl(books) if row.day == DAY], rungs(known(books, DAY)), blotter(known(books, DAY))
    assert after == before
    check_same(books)
    books.replayed()
