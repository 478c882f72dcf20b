"""
Check that known days tell each trade once when a closed period moved the day that an event counts for.

A late trade, correction or bust of a closed day counts for the day it became known: its trade date no longer says
whether it counts before or after the one that it takes the place of.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.chain.link import ChainHead
from ledger.domain.amounts import render
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.errors import LedgerError
from ledger.reading.counting import counted
from ledger.reading.known import KnownFold, whole_of
from ledger.reading.statement import make
from tests.domain import equities
from tests.domain.books import Books
from tests.reading.days import day_number, pnl, recorded

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
