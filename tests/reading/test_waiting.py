"""
Check what waits for its ground: it ends where trying everything again after every event would, in far fewer tries.
"""

from __future__ import annotations

import functools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.chain.entry import RecordedEvent
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AssetDefined
from ledger.domain.fold import Context, record
from ledger.domain.rules.ground import Broken
from ledger.domain.state import State
from ledger.generation.requests import generate
from ledger.reading.known_days import known
from ledger.reading.known_days.counting import counted
from ledger.reading.known_days.known import KnownFold, day_by_day, whole_of
from ledger.reading.known_days.waiting import Ground
from tests.domain.books import NOON, Books, opened
from tests.reading.days import day_number, pnl, recorded

EARLY, LATE = "2024-08-07", "2024-08-08"


class Impatient(KnownFold):
    """The slow way: whatever waits is tried again after every change of anything."""

    def _grounds(self, event: RecordedEvent, broken: Broken) -> frozenset[Ground]:
        return frozenset({known._ANYTHING})


@functools.cache
def firm(seed: int) -> Books:
    """Return a made-up firm of every event type."""
    books = Books()
    # It counts on a chain that has one event.
    books.give(AssetDefined(asset="FIRST", kind="currency", scale=2, name="First"))
    for group in generate(1_100, Random(seed), "g"):
        for each in group.events:
            seq = len(books.stored) + 1
            time = group.occurred_at or NOON
            books.contexts.append(Context(seq, time, time))
            books.stored.append(record(books.state, each, books.contexts[-1]))
    return books


@pytest.mark.parametrize("seed", [3, 7])
@settings(max_examples=4, deadline=None, print_blob=True)
@given(jitter=st.integers(0, 10**6), reach=st.sampled_from([5, 40, 400]))
def test_any_order_of_a_history_ends_as_if_all_were_tried_again(seed: int, jitter: int, reach: int) -> None:
    """Events moved about by up to so many places: rows, misfits and fees are those of the slow way, in fewer tries."""
    books = firm(seed)
    events = recorded(books)
    random = Random(jitter)
    events.sort(key=lambda event: event.seq + random.uniform(0, reach))
    quick, slow = KnownFold(books.state), Impatient(books.state)
    for event in events:
        quick.take(event)
        slow.take(event)
        assert (quick.complete, len(quick._waiting)) == (slow.complete, len(slow._waiting))
    assert dict(_rows(quick.state)) == dict(_rows(slow.state))
    with quick.settled():
        settled = dict(_rows(quick.state)), quick.misfits, quick.charges.sums
    assert dict(_rows(quick.state)) == dict(_rows(slow.state))
    slow._settle()
    assert settled == (dict(_rows(slow.state)), slow.misfits, slow.charges.sums)
    assert quick.tries <= slow.tries


def _rows(state: State) -> list[tuple[tuple[str, object], object]]:
    return [((name, state.table(name).key_of(row)), row) for name, row in state.all_rows()]


def bust(n: int, day: str) -> list[Event]:
    """Return a trade, and a bust of it that counts for *day*."""
    traded = TradeExecuted(exec_id=f"E{n}", venue="V", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                           price="100", trade_date=LATE)  # fmt: skip
    return [
        traded,
        TradeBusted(exec_id=f"B{n}", exec_ref=f"E{n}", ref_trade_date=LATE, venue="V", trade_date=day, reason="r"),
    ]


def waiting(count: int) -> Books:
    """Return *count* trades that were busted for a day before theirs, and as many movements of that day."""
    books = opened(usdt="1000000")
    for n in range(count):
        moved = CashMoved(movement_id=f"M{n}", account="A", asset="USDT", amount="1", kind="funding", value_date=EARLY)
        for event in (*bust(n, EARLY), moved):
            assert books.give(event).rule is None
    return books


@pytest.mark.parametrize("count", [10, 100])
def test_tries_follow_the_events_and_not_their_square(count: int) -> None:
    """Each bust is tried when it comes and when its trade does, whatever else happens while it waits."""
    books = waiting(count)
    events = counted(recorded(books), books.state.executions.get)
    assert len(books.stored) == 6 + 3 * count
    fold = whole_of(books.state, events)
    assert fold.misfits == []
    assert len(events) < fold.tries + 10 <= 5 * count + 20
    until = [x for x in events if x.event.effective_on <= day_number(EARLY)]
    assert len(until) == 2 * count
    assert whole_of(books.state, until).tries <= 5 * count + 20


def test_what_never_finds_its_ground_costs_each_day_one_try_more() -> None:
    """A day on which something waits is settled for itself: the days before it are not gone through again."""
    days = 40
    books = opened(usdt="1000000")
    for event in bust(0, "2024-06-01"):
        books.give(event)
    for n in range(days):
        books.give(CashMoved(movement_id=f"M{n}", account="A", asset="USDT", amount="1", kind="funding",
                             value_date=f"2024-07-{n % 30 + 1:02}"))  # fmt: skip
    events = counted(recorded(books), books.state.executions.get)
    folds = [fold for _, fold, _ in day_by_day(books.state, events)]
    assert len(folds) == 32
    assert len({id(fold) for fold in folds}) == 1
    assert folds[-1].tries <= len(events) + 4 * len(folds)
    assert [row.day for row in pnl(books, "2024-06-01", "2024-07-02")]
