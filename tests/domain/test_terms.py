"""
Check that what is traded on a day is held to the instrument's terms of that day, whenever they were amended.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT, render
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import InstrumentAmended
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, TradeAllocated
from ledger.domain.profit_and_loss import valued
from ledger.domain.rows import Position
from ledger.domain.terms import terms_on
from ledger.errors import RuleBroken
from tests.domain.books import Books, check_invariants
from tests.domain.equities import market, trade

OLD, CHANGE, NEW = "2024-08-08", "2024-08-12", "2024-08-13"
"""A Thursday, and the Monday and Tuesday after it."""


def amendment(since: str = CHANGE, **changes: Any) -> InstrumentAmended:
    return InstrumentAmended(instrument="XYZ.N", effective_from=since, **changes)


def books_on(day: str, **changes: Any) -> Books:
    """Return books on *day* in which terms are amended from CHANGE on, whether that has come or not."""
    books = market(share_scale=1)
    books.give(amendment("2024-01-01", tick="0.01", lot="1", product="fund", settlement_cycle=3))
    books.set_day(day)
    books.give(amendment(**changes))
    return books


WHEN = pytest.mark.parametrize("recorded_on", ["2024-08-09", CHANGE, "2024-08-30"])


@WHEN
def test_a_fill_is_held_to_the_tick_of_its_trade_date(recorded_on: str) -> None:
    """Announced before its day, recorded on it, or told weeks late: fills of either side know their tick."""
    books = books_on(recorded_on, tick="0.05")
    assert books.give(trade("E1", price="10.01", trade_date=OLD)).rule is None
    assert books.give(trade("E2", price="10.05", trade_date=CHANGE)).rule is None
    wrong = books.give(trade("E3", price="10.01", trade_date=NEW))
    assert (wrong.rule, "multiple of 0.05" in str(wrong.detail)) == ("price", True)
    corrected = TradeCorrected(
        exec_ref="E1", exec_id="C", venue="N", account="A", instrument="XYZ.N", side="buy", qty="100", price="10.02",
        trade_date=OLD,
    )  # fmt: skip
    assert books.give(corrected).rule is None
    check_invariants(books.state)
    books.replayed()


@WHEN
def test_a_fill_costs_by_the_multiplier_and_settles_by_the_cycle_of_its_trade_date(recorded_on: str) -> None:
    """Ten a point until the change and fifty from it on; three business days, and then one."""
    books = books_on(recorded_on, multiplier="50", settlement_cycle=1)
    for name, day in (("E1", OLD), ("E2", NEW)):
        assert books.give(trade(name, qty="2", price="10", trade_date=day)).rule is None
    rows = {row.exec_id: row for row in books.state.executions.rows.values()}
    assert [(render(x.gross), x.settle_date) for x in (rows["E1"], rows["E2"])] == [
        ("20", "2024-08-13"), ("1000", "2024-08-14"),
    ]  # fmt: skip


@WHEN
def test_a_block_is_allocated_by_the_multiplier_of_its_day(recorded_on: str) -> None:
    """Its lines cost what its executions did."""
    books = books_on(recorded_on, multiplier="50")
    books.give(trade("E", qty="10", price="10", account="BLOCK", fee="0", trade_date=OLD))
    lines = (AllocationLine(account="A", qty="10", price="10"),)
    books.give(TradeAllocated(allocation_id="AL", venue="N", trade_date=OLD, exec_ids=("E",), lines=lines))
    assert books.state.executions.rows["N", OLD, "AL.1"].gross == 100 * UNIT


def order(name: str, qty: str, price: str) -> OrderPlaced:
    return OrderPlaced(
        order_id=name, cl_ord_id=name, account="A", instrument="XYZ.N", side="buy", qty=qty, ord_type="limit",
        price=price, tif="gtc",
    )  # fmt: skip


def test_an_order_is_held_to_the_terms_of_the_day_on_which_it_is_placed() -> None:
    """An amendment that is to come changes neither lot nor hold; on its day both are new, for what is restated too."""
    books = books_on("2024-08-09", lot="10", multiplier="2")
    books.give(order("O1", "5", "10"))
    assert books.state.orders.rows["O1",].hold_amount == 50 * UNIT
    books.set_day(CHANGE)
    with pytest.raises(RuleBroken, match=r"quantity.*expected a multiple of 10"):
        books.give(order("O2", "5", "10"))
    books.give(order("O2", "10", "10"))
    assert books.state.orders.rows["O2",].hold_amount == 200 * UNIT
    books.give(OrderRestated(order_id="O1", reason="new_day", price="11"))
    assert books.state.orders.rows["O1",].hold_amount == 110 * UNIT
    check_invariants(books.state)


def corrected(name: str, ref: str, **more: Any) -> TradeCorrected:
    return TradeCorrected(**{**msgspec.structs.asdict(trade(name, **more)), "exec_ref": ref})


FILLED = {"qty": "2", "price": "10", "fee": "0", "order_id": "O", "trade_date": CHANGE}
BUST = {"exec_id": "X", "exec_ref": "E", "venue": "N", "trade_date": CHANGE, "reason": "r"}


@pytest.mark.parametrize(
    ("reports", "held"),
    [
        ([OrderDoneForDay(order_id="O")], "50"),
        ([trade("E", **FILLED), TradeBusted(**BUST, reopens_order=True)], "50"),
        ([trade("E", **FILLED), TradeBusted(**BUST, reopens_order=False)], "30"),
        ([trade("E", **FILLED), corrected("C", "E", **{**FILLED, "qty": "1"})], "40"),
        ([ReplaceRequested(order_id="O", cl_ord_id="R", orig_cl_ord_id="O", new_qty="4"),
          ReplaceRejected(order_id="O", cl_ord_id="R", reason="r")], "50"),
        ([OrderReplaced(order_id="O", cl_ord_id="R", orig_cl_ord_id="O", qty="5")], "100"),
        ([OrderRestated(order_id="O", reason="repricing"), OrderDoneForDay(order_id="O")], "100"),
    ],
)  # fmt: skip
def test_what_is_held_for_an_order_is_by_the_terms_of_the_day_on_which_its_own_were_said(
    reports: list[Event], held: str
) -> None:
    """5 at 10, at twice as much from Monday on: a report of Monday that says no terms leaves them as they were."""
    books = books_on("2024-08-09", multiplier="2")
    books.give(order("O", "5", "10"))
    books.set_day(CHANGE)
    for report in reports:
        assert books.give(report).rule is None
    row = books.state.orders.rows["O",]
    assert (render(row.hold_amount), row.asked_hold) == (held, 0)
    check_invariants(books.state)
    books.replayed()


def test_a_position_is_worth_the_multiplier_of_the_day_that_values_it() -> None:
    """Ten at a price of 3: 30 before, 60 from the day on."""
    row = books_on("2024-08-09", multiplier="2").state.instruments.rows["XYZ.N",]
    position = Position("A", "XYZ.N", 10 * UNIT, 0, 0, 0)
    assert [valued(row, position, 3 * UNIT, day, 2).value for day in (OLD, CHANGE)] == [30 * UNIT, 60 * UNIT]


def test_an_amendment_that_leaves_terms_wrong_on_any_later_day_is_refused() -> None:
    """A lot of a tenth fits shares of one decimal; told late, it may not stand below what is amended after it."""
    books = books_on("2024-08-30", lot="2")
    with pytest.raises(RuleBroken, match=r"excess_scale"):
        books.give(amendment(OLD, lot="0.05"))
    with pytest.raises(RuleBroken, match=r"terms\): R3: found tick 0"):
        books.give(amendment(OLD, tick="0"))
    books.give(InstrumentRenamed(ca_id="R", old="XYZ.N", new="NEW.N", effective=OLD))
    with pytest.raises(RuleBroken, match=r"XYZ.N is called NEW.N now"):
        books.give(amendment(lot="3"))
    assert render(terms_on(books.state.instruments.rows["NEW.N",], NEW).lot) == "2"


DAYS = [f"2024-09-{n:02d}" for n in range(1, 9)]
CHANGES = st.dictionaries(
    st.sampled_from(["tick", "lot", "multiplier", "settlement_cycle", "symbol"]), st.integers(1, 9), max_size=3
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DAYS), CHANGES), max_size=8))
def test_terms_of_a_day_are_those_a_slow_reading_finds(amendments: list[tuple[str, dict[str, int]]]) -> None:
    """For each term, the amendment of the latest day up to it that says it, of several the one recorded last."""
    books = market()
    first = books.state.instruments.rows["XYZ.N",]
    for since, changes in amendments:
        told = {name: x if name == "settlement_cycle" else str(x) for name, x in changes.items()}
        books.give(amendment(since, **told))
    row = books.state.instruments.rows["XYZ.N",]
    assert row.version == 1 + len(amendments)
    for day in ("2024-08-31", *DAYS, "2025-01-01"):
        for name in ("tick", "lot", "multiplier", "settlement_cycle", "symbol"):
            said = [(since, n, x[name]) for n, (since, x) in enumerate(amendments) if name in x and since <= day]
            expected = getattr(first, name)
            if said:
                _, _, value = max(said)
                expected = str(value) if name == "symbol" else value * (1 if name == "settlement_cycle" else UNIT)
            assert getattr(terms_on(row, day), name) == expected
    assert terms_on(row, "9999-12-31") == row
    books.replayed()


def test_an_amendment_leaves_what_is_booked_as_it_is() -> None:
    """A trade keeps what it cost, although a later amendment says other terms of its day; its correction has them."""
    books = market()
    books.give(trade("E", qty="2", price="10", trade_date=NEW))
    before = dict(books.state.executions.rows)
    books.give(amendment(CHANGE, multiplier="50"))
    assert dict(books.state.executions.rows) == before
    corrected = TradeCorrected(
        exec_ref="E", exec_id="C", venue="N", account="A", instrument="XYZ.N", side="buy", qty="2", price="10",
        trade_date=NEW,
    )  # fmt: skip
    books.give(corrected)
    assert render(books.state.executions.rows["N", NEW, "C"].gross) == "1000"


def closed_with_a_wrong_multiplier(account: str = "A") -> tuple[Books, TradeExecuted]:
    """Return books of which Thursday is closed, and its trade by a multiplier of 100 where 1 was entered."""
    books = market()
    books.set_day(OLD)
    sold = trade("E", qty="2", price="10", account=account, fee="0", gross="2000")
    assert books.give(sold).rule == "gross"
    books.set_day(CHANGE)
    books.give(PeriodClosed(through=OLD))
    return books, sold


def test_a_trade_of_a_closed_day_may_be_by_the_multiplier_of_the_day_it_counts_for() -> None:
    """Its own day's is amended no more, so the reason it waits says from which day to amend; corrections likewise."""
    books, sold = closed_with_a_wrong_multiplier()
    waits = books.give(sold)
    assert (waits.rule, "amend XYZ.N from 2024-08-12 on" in str(waits.detail)) == ("gross", True)
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=CHANGE))
    made = books.give(sold)
    assert (made.rule, made.effective_on) == (None, (date.fromisoformat(CHANGE) - date(1970, 1, 1)).days)
    assert books.give(trade("OLD", qty="2", price="10", fee="0", gross="20")).rule is None
    wrong = msgspec.structs.replace(sold, exec_id="F", gross="200")
    assert books.give(wrong).rule == "gross"
    corrected = {**msgspec.structs.asdict(sold), "exec_id": "C", "exec_ref": "OLD"}
    assert books.give(TradeCorrected(**corrected)).rule is None
    position = books.state.positions.rows["A", "XYZ.N"]
    assert (render(position.qty), render(position.cost)) == ("4", "4000")
    check_invariants(books.state)
    books.replayed()


def test_a_trade_of_a_closed_day_may_be_by_a_multiplier_that_the_instrument_has_no_more() -> None:
    """One that is told after another change of the multiplier is as good as one told before it."""
    books, sold = closed_with_a_wrong_multiplier()
    books.give(amendment(multiplier="100"))
    books.give(amendment(NEW, multiplier="10"))
    books.give(amendment("2024-08-14", multiplier="5"))
    books.set_day(NEW)
    told = {name: msgspec.structs.replace(sold, exec_id=name, gross=name) for name in ("20", "2000", "200", "100")}
    assert [books.give(x).rule for x in told.values()] == [None, None, None, "gross"]
    books.replayed()


def test_a_correction_that_leaves_its_gross_out_is_by_the_multiplier_of_what_it_replaces() -> None:
    """Of a closed day: by that of a later one where the version came by it, also once the instrument has another."""
    books, sold = closed_with_a_wrong_multiplier()
    books.give(amendment(multiplier="100"))
    books.give(sold)
    books.give(trade("OLD", qty="2", price="10", fee="0"))
    books.set_day(NEW)
    books.give(amendment(NEW, multiplier="10"))
    for name, ref, told, gross in (
        ("C1", "E", None, "2200"), ("C2", "C1", "2200", "2200"), ("C3", "C2", "22", "22"), ("C4", "C3", None, "22"),
        ("C5", "OLD", None, "22"),
    ):  # fmt: skip
        given = {**msgspec.structs.asdict(sold), "exec_id": name, "exec_ref": ref, "price": "11", "gross": told}
        assert books.give(TradeCorrected(**given)).rule is None
        assert render(books.state.executions.rows["N", OLD, name].gross) == gross
    check_invariants(books.state)
    books.replayed()


def test_a_correction_of_another_day_is_by_no_multiplier_that_the_instrument_had_before_it() -> None:
    """The wrong multiplier of one day says nothing of a day on which the instrument was another one."""
    books, sold = closed_with_a_wrong_multiplier()
    books.give(amendment(multiplier="100"))
    books.give(sold)
    books.set_day("2024-08-14")
    books.give(amendment(NEW, multiplier="10"))
    books.give(PeriodClosed(through=NEW))
    given = {**msgspec.structs.asdict(sold), "exec_id": "C", "exec_ref": "E", "gross": None}
    moved = {"trade_date": NEW, "ref_trade_date": OLD}
    assert books.give(TradeCorrected(**{**given, **moved})).rule is None
    assert render(books.state.executions.rows["N", NEW, "C"].gross) == "200"
    back = {"exec_id": "D", "exec_ref": "C", "trade_date": OLD, "ref_trade_date": NEW}
    assert books.give(TradeCorrected(**{**given, **back})).rule is None
    assert render(books.state.executions.rows["N", OLD, "D"].gross) == "20"
    check_invariants(books.state)
    books.replayed()


def test_a_trade_of_an_open_day_is_by_the_multiplier_of_that_day() -> None:
    """A later one says nothing of it: there the amendment can be of the day itself."""
    books = market()
    books.set_day(CHANGE)
    sold = trade("E", qty="2", price="10", fee="0", gross="2000")
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=CHANGE))
    waits = books.give(sold)
    assert (waits.rule, "amend" in str(waits.detail)) == ("gross", False)
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=OLD))
    assert books.give(sold).rule is None


def test_a_block_of_a_closed_day_is_allocated_by_the_multiplier_that_it_was_traded_at() -> None:
    """At the price of its executions, whether they came by the multiplier of their day or by that of the first open."""
    books, sold = closed_with_a_wrong_multiplier("BLOCK")
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=CHANGE))
    books.give(sold)
    books.give(trade("OLD", qty="2", price="10", account="BLOCK", fee="0"))
    for name, gross in (("E", "2000"), ("OLD", "20")):
        lines = (AllocationLine(account="A", qty="2", price="10"),)
        given = {"venue": "N", "trade_date": OLD, "exec_ids": (name,), "lines": lines}
        books.give(TradeAllocated(allocation_id=f"of-{name}", **given))  # type: ignore[arg-type]
        assert render(books.state.executions.rows["N", OLD, f"of-{name}.1"].gross) == gross
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("day", ["2024-08-14", "2024-08-09"])
def test_a_block_is_allocated_by_its_own_multiplier_once_the_instrument_has_another(day: str) -> None:
    """What the instrument has when it is allocated, or allocated anew after a correction, says nothing of it."""
    books, sold = closed_with_a_wrong_multiplier("BLOCK")
    books.give(amendment(multiplier="100"))
    books.give(sold)
    books.give(amendment("2024-08-14", multiplier="10"))
    books.set_day(day)
    given: dict[str, Any] = {"venue": "N", "trade_date": OLD}
    lines = (AllocationLine(account="A", qty="2", price="10"),)
    books.give(TradeAllocated(allocation_id="X", exec_ids=("E",), lines=lines, **given))
    books.give(AllocationReversed(allocation_id="X", reason="r", proposed_by="ann", approved_by="bob"))
    told = {"exec_id": "C", "exec_ref": "E", "price": "11", "gross": "2200"}
    assert books.give(TradeCorrected(**{**msgspec.structs.asdict(sold), **told})).rule is None
    lines = (AllocationLine(account="A", qty="2", price="11"),)
    books.give(TradeAllocated(allocation_id="Y", exec_ids=("C",), lines=lines, **given))
    assert [render(books.state.executions.rows["N", OLD, x].gross) for x in ("X.1", "Y.1")] == ["2000", "2200"]
    check_invariants(books.state)
    books.replayed()


def test_executions_by_different_multipliers_are_no_one_block() -> None:
    """Whatever price one gives: at none of them does each cost what it did."""
    books, sold = closed_with_a_wrong_multiplier("BLOCK")
    books.give(amendment(multiplier="100"))
    books.give(sold)
    books.give(trade("OLD", qty="2", price="10", account="BLOCK", fee="0"))
    for price in ("10", "505"):
        lines = (AllocationLine(account="A", qty="4", price=price),)
        with pytest.raises(RuleBroken, match=r"block_mismatch.*'E' came .* 100 and 'OLD' by 1;.*by themselves"):
            books.give(TradeAllocated(allocation_id="X", venue="N", trade_date=OLD, exec_ids=("E", "OLD"), lines=lines))
    books.replayed()
