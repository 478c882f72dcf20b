"""
Check that known days tell each trade once when a closed period moved the day that an event counts for.

A late trade, correction or bust of a closed day counts for the day it became known: its trade date no longer says
whether it counts before or after the one that it takes the place of.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.chain.link import ChainHead
from ledger.domain.amounts import UNIT, render
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed
from ledger.errors import LedgerError
from ledger.reading.known_days.counting import counted
from ledger.reading.known_days.known import KnownFold, whole_of
from ledger.reading.statement import make
from tests.domain import equities
from tests.domain.books import Books
from tests.domain.equities import DAY
from tests.domain.test_allocation import BOTH, allocated
from tests.reading.days import day_number, pnl, recorded
from tests.reading.test_known_settlement import told

CLOSED, FRIDAY, MONDAY, TUESDAY, WEDNESDAY = "2024-08-05", "2024-08-09", "2024-08-12", "2024-08-13", "2024-08-14"
TERMS: dict[str, Any] = {"venue": "N", "account": "A", "instrument": "XYZ.N", "side": "buy", "qty": "100",
                         "price": "10"}  # fmt: skip


def known(books: Books, day: str) -> KnownFold:
    """Return what is known of the days up to *day*."""
    counts = counted(recorded(books), books.state.executions.get)
    return whole_of(books.state, [x for x in counts if x.event.effective_on <= day_number(day)])


def held(books: Books, day: str) -> tuple[str, str, str]:
    """Return what A has of XYZ beyond its deposits, its position, and its unsettled USD."""
    state = known(books, day).state
    shares, cash = state.balances.get("A", "XYZ"), state.balances.get("A", "USD")
    position = state.positions.get("A", "XYZ.N")
    total, qty = shares.total if shares else 0, position.qty if position else 0
    return render(total), render(qty), render(cash.unsettled if cash else 0)


def moved_correction() -> Books:
    """A trade of Monday; after Friday is closed its trade date becomes a closed one: it counts for Wednesday."""
    books = equities.market()
    books.set_day(MONDAY)
    books.give(equities.trade("E", trade_date=MONDAY, fee="0"))
    books.set_day(WEDNESDAY)
    books.give(PeriodClosed(through=FRIDAY))
    books.give(TradeCorrected(exec_id="C", exec_ref="E", ref_trade_date=MONDAY, trade_date=CLOSED, **TERMS))
    return books


def late_trade(undone: TradeCorrected | TradeBusted) -> Books:
    """A trade of a closed day counts for Wednesday, and *undone* takes its place on Monday."""
    books = equities.market()
    books.set_day(WEDNESDAY)
    books.give(PeriodClosed(through=FRIDAY))
    books.give(equities.trade("E", trade_date=CLOSED, fee="0"))
    assert books.give(undone).effective_on == day_number(MONDAY)
    return books


def test_a_correction_of_a_closed_day_undoes_what_counted_before_it() -> None:
    """The trade counts from Monday on, and its correction on Wednesday takes its place: 100 on each day."""
    books = moved_correction()
    assert books.stored[-1].effective_on == day_number(WEDNESDAY)
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        assert held(books, day) == ("100", "100", "-1000")
    first, last = (datetime.date.fromisoformat(day) for day in (FRIDAY, WEDNESDAY))
    counts = counted(recorded(books), books.state.executions.get)
    stated = make(bytes(16), ChainHead(1, bytes(32)), "A", first, last, counts)
    assert [(x.asset, x.bucket, render(x.amount)) for x in stated.closing] == [
        ("USD", "settled", "100000"), ("USD", "unsettled", "-1000"), ("XYZ", "unsettled", "100"),
    ]  # fmt: skip
    assert not [row for row in pnl(books, account="A") if row.asset == "XYZ"]


def test_a_bust_on_a_day_before_its_late_trade_counts_undoes_nothing_yet() -> None:
    """The trade counts for Wednesday and is busted for Monday: it never counts."""
    books = late_trade(
        TradeBusted(exec_id="B", exec_ref="E", venue="N", trade_date=MONDAY, ref_trade_date=CLOSED, reason="r")
    )
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        assert held(books, day) == ("0", "0", "0")


def test_a_correction_on_a_day_before_its_late_trade_counts_alone() -> None:
    """The trade counts for Wednesday and is corrected to Monday: from then on it is there once."""
    books = late_trade(TradeCorrected(exec_id="C", exec_ref="E", ref_trade_date=CLOSED, trade_date=MONDAY, **TERMS))
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        assert held(books, day) == ("100", "100", "-1000")


DAYS = [f"2024-08-{n:02d}" for n in range(5, 17)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("trade", "trade", "correct", "correct", "bust", "close")), st.integers(0, 11),
        st.integers(0, 11), st.integers(0, 5),
    ),
    min_size=4, max_size=16,
)  # fmt: skip


def tell(books: Books, newest: list[tuple[str, str]], step: tuple[str, int, int, int], name: str) -> None:
    """Give what the step says; *newest* are those that count, by id and trade date."""
    kind, of, occurred, pick = step
    books.set_day(DAYS[occurred])
    day, terms = DAYS[min(of, occurred)], {**TERMS, "qty": str(10 * pick + 10), "side": ("buy", "sell")[pick % 2]}
    if kind == "close":
        try:
            books.give(PeriodClosed(through=day))
        except LedgerError:
            return
    elif kind == "trade":
        assert books.give(TradeExecuted(exec_id=name, trade_date=day, **terms)).rule is None
        newest.append((name, day))
    elif newest:
        ref, ref_day = newest.pop(pick % len(newest))
        place: dict[str, Any] = {"exec_id": name, "exec_ref": ref, "ref_trade_date": ref_day, "trade_date": day}
        if kind == "bust":
            books.give(TradeBusted(venue="N", reason="r", **place))
        else:
            assert books.give(TradeCorrected(**place, **terms)).rule is None
            newest.append((name, day))


def slowly(books: Books, day: str) -> dict[str, int]:
    """Return what A has: of the executions that count by *day*, those that none of them comes after."""
    every = {(x.trade_date, x.exec_id): x for x in books.state.executions.rows.values()}
    rows = [x for x in every.values() if books.stored[x.event_seq - 1].effective_on <= day_number(day)]
    gone = set()
    for row in rows:
        before = every.get((str(row.ref_trade_date), str(row.ref_exec_id)))
        while before is not None:
            gone.add((before.trade_date, before.exec_id))
            before = every.get((str(before.ref_trade_date), str(before.ref_exec_id)))
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.kind != "bust" and (row.trade_date, row.exec_id) not in gone:
            sign = 1 if row.side == "buy" else -1
            sums["XYZ"] += sign * row.qty
            sums["USD"] -= sign * row.gross
    return sums


@settings(deadline=None, max_examples=60, print_blob=True)
@given(steps=STEPS)
def test_known_days_tell_each_trade_once_whatever_was_closed(steps: list[tuple[str, int, int, int]]) -> None:
    """Balances and positions of each day are of the newest versions that count by then."""
    books, newest = equities.market(usd="0", cost_method="FIFO"), list[tuple[str, str]]()
    for number, step in enumerate(steps):
        tell(books, newest, step, f"x{number}")
    for day in DAYS:
        state, slow = known(books, day).state, slowly(books, day)
        for asset in ("XYZ", "USD"):
            row = state.balances.get("A", asset)
            assert (row.total if row else 0) == slow[asset], (day, asset)
        position = state.positions.get("A", "XYZ.N")
        assert (position.qty if position else 0) == slow["XYZ"], day


OPEN = (FRIDAY, MONDAY, TUESDAY, WEDNESDAY)


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
@pytest.mark.parametrize("corrected", [True, False])
def test_a_block_owes_what_it_allocated_until_a_reversal_that_a_closing_put_later(
    corrected: bool, cost_method: str
) -> None:
    """Of 60 at 10 and 40 at 11, allocated, the 60 are busted or corrected for Monday; the reversal is Wednesday's."""
    undone: Any = {"exec_id": "C", "exec_ref": "E1", "ref_trade_date": DAY, "trade_date": MONDAY,
                   "venue": "N", **({} if corrected else {"reason": "r"})}  # fmt: skip
    terms = {"account": "BLOCK", "instrument": "XYZ.N", "side": "buy", "qty": "70", "price": "12"}
    steps: list[tuple[str, Event]] = [
        (DAY, equities.trade("E0", "buy", "50", "8", account="BLOCK")),
        (DAY, equities.trade("E1", "buy", "60", "10", account="BLOCK")),
        (DAY, equities.trade("E2", "buy", "40", "11", account="BLOCK")),
        (DAY, allocated(*BOTH)), (FRIDAY, PeriodClosed(through=DAY)),
        (WEDNESDAY, AllocationReversed(allocation_id="AL", reason="r", proposed_by="ann")),
        (WEDNESDAY, TradeCorrected(**undone, **terms) if corrected else TradeBusted(**undone)),
        *((day, MarkRecorded(instrument="XYZ.N", price="10", kind="eod", day=day, as_of=1)) for day in OPEN),
    ]  # fmt: skip
    if corrected:
        steps.append(
            (WEDNESDAY, equities.settled(exec_id="C", qty="30", trade_date=MONDAY, date=TUESDAY, partial=True))
        )
    books = told(*steps, books=equities.market(cost_method=cost_method))
    monday = {"A": "60", "B": "40", "BLOCK": "60" if corrected else "-10"}
    wednesday = {"A": "0", "B": "0", "BLOCK": "160" if corrected else "90"}
    for day, expected in ((MONDAY, monday), (TUESDAY, monday), (WEDNESDAY, wednesday)):
        state = known(books, day).state
        assert {key[0]: render(row.qty) for key, row in state.positions.rows.items()} == expected
        assert {x: render(state.balances.rows[x, "XYZ"].total) for x in expected} == expected
    # Day by day each account has earned what it is worth, at 10 a share, beyond what was brought in.
    for day in OPEN:
        state, earned = known(books, day).state, defaultdict[str, int](int)
        for row in pnl(books, last=day):
            earned[row.account] += row.total or 0
        assert dict(earned) == {
            x: state.balances.rows[x, "USD"].total + 10 * state.balances.rows[x, "XYZ"].total - 100_000 * UNIT
            for x in expected
        }
