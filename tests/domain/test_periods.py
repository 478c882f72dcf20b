"""
Check that a closed day stays closed: commands are refused, and what is true all the same counts for a day that is open.
"""

from __future__ import annotations

import datetime

import msgspec
import pytest
from blake3 import blake3

from ledger.domain import fold
from ledger.domain.events.cash import CashMoved, FeeCharged, JournalReversed
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import InstrumentAmended
from ledger.domain.fold import Context, Outcome
from ledger.domain.rules.periods import trial_balance
from ledger.errors import PeriodIsClosed, RuleBroken
from tests.domain.books import DAY, NOON, Books, opened

TODAY = DAY
"""The day of the books' noon."""
YESTERDAY = "2024-08-07"
NS_PER_DAY = 86_400 * 10**9


def number(day: str) -> int:
    return (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days


def give(books: Books, event: Event, occurred_at: int) -> Outcome:
    """Record an event that occurred at another time than the books' noon."""
    seq = len(books.stored) + 1
    return fold.record(books.state, event, Context(seq, NOON + seq, occurred_at))


def fee(name: str = "F") -> FeeCharged:
    return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount="1")


def trade(day: str, name: str = "E") -> TradeExecuted:
    return TradeExecuted(exec_id=name, venue="V", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                         price="100", trade_date=day)  # fmt: skip


def deposit(name: str, day: str) -> CashMoved:
    return CashMoved(movement_id=name, account="A", asset="USDT", amount="5", kind="deposit", value_date=day)


def test_a_command_for_a_closed_day_is_refused_and_says_what_to_do() -> None:
    """By its own time or by the day it names; the day after is open."""
    books = opened()
    books.give(PeriodClosed(through=YESTERDAY))
    with pytest.raises(PeriodIsClosed, match="closed through 2024-08-07: expected a later day"):
        give(books, fee(), NOON - NS_PER_DAY)
    with pytest.raises(PeriodIsClosed):
        books.give(InstrumentAmended(instrument="BTCUSDT", effective_from=YESTERDAY, tick="0.1"))
    assert books.state.movements.get("fee", "F") is None
    books.give(fee())
    books.give(InstrumentAmended(instrument="BTCUSDT", effective_from=TODAY, tick="0.1"))
    books.replayed()


def test_a_fact_for_a_closed_day_is_recorded_and_counts_for_an_open_one() -> None:
    """A late trade moves the position; a late deposit, a reversal and a past order count for today too."""
    books = opened()
    books.give(deposit("d0", YESTERDAY))
    books.give(PeriodClosed(through=YESTERDAY))
    given: list[Event] = [
        trade(YESTERDAY), deposit("d1", "2024-08-01"),
        JournalReversed(journal_id="J", reverses_kind="cash", reverses="d0", reason="r"), trade(YESTERDAY, "E2"),
    ]  # fmt: skip
    for event in given:
        assert books.give(event).effective_on == number(TODAY)
    past = OrderPlaced(order_id="O", cl_ord_id="O", account="A", instrument="BTCUSDT", side="buy", qty="1",
                       ord_type="limit", price="100", historical=True)  # fmt: skip
    kept = books.state.movements.get("cash", "d1")
    assert kept is not None
    assert kept.effective_on == TODAY
    execution = books.state.executions.get("V", YESTERDAY, "E")
    assert execution is not None
    assert execution.trade_date == YESTERDAY
    assert books.give(trade(TODAY, "E3")).effective_on == number(TODAY)
    books.replayed()
    assert give(books, past, NOON - 5 * NS_PER_DAY).effective_on == number(TODAY)


def test_a_fact_that_occurred_on_a_closed_day_counts_for_the_first_open_one() -> None:
    """Where its own time is closed as well, the day after the closing is the earliest there is."""
    books = opened()
    books.give(PeriodClosed(through="2024-08-05"))
    assert give(books, trade("2024-08-02"), NOON - 5 * NS_PER_DAY).effective_on == number("2024-08-06")
    overfill = TradeExecuted(exec_id="X", venue="V", order_id="none", account="A", instrument="BTCUSDT", side="buy",
                             qty="1", price="1", trade_date="2024-08-02")  # fmt: skip
    kept = give(books, overfill, NOON - 5 * NS_PER_DAY)
    assert (kept.rule, kept.effective_on) == ("unknown_order", number("2024-08-06"))


def test_a_period_is_closed_once_and_only_when_it_is_over() -> None:
    """Days rise, today goes on whatever the caller's clock says, and the trial balance must be the ledger's own."""
    books = opened()
    with pytest.raises(RuleBroken, match="which goes on"):
        books.give(PeriodClosed(through=TODAY))
    with pytest.raises(RuleBroken, match="which goes on"):
        give(books, PeriodClosed(through="2030-01-01"), NOON + 9_999 * NS_PER_DAY)
    with pytest.raises(RuleBroken, match="reconcile"):
        books.give(PeriodClosed(through="2024-08-01", trial_balance="00"))
    books.give(PeriodClosed(through="2024-08-01", trial_balance=trial_balance(books.state)))
    with pytest.raises(PeriodIsClosed, match="expected a day after 2024-08-01"):
        books.give(PeriodClosed(through="2024-08-01"))
    assert books.give(PeriodClosed(through="2024-08-02")).stream_version == 2
    assert fold.stream_version(books.state, "period/ledger") == 2
    books.replayed()


def test_the_trial_balance_is_a_digest_that_anyone_can_take() -> None:
    """BLAKE3 over one line of JSON for each balance that is not zero."""
    books = opened(usdt="1000", btc="1")
    lines = [["A", "BTC", "1", "0", "0"], ["A", "USDT", "1000", "0", "0"], ["~external", "BTC", "-1", "0", "0"],
             ["~external", "USDT", "-1000", "0", "0"]]  # fmt: skip
    written = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    assert trial_balance(books.state) == blake3(written).hexdigest()


def test_a_replay_names_an_event_that_was_dated_into_a_closed_period() -> None:
    """A stored day that is closed is not what the rules make of the event."""
    books = opened()
    books.give(PeriodClosed(through=YESTERDAY))
    state = books.replayed()
    made = books.give(trade(YESTERDAY))
    seq = len(books.stored)
    stored = (made.stream, made.stream_version, number(YESTERDAY))
    found = fold.replay(
        state, made.event_type, 1, made.given, made.derived, stored, Context(seq, NOON + seq, NOON)
    )  # fmt: skip
    assert [(x.column, x.expected, x.actual) for x in found] == [
        ("effective_on", str(number(TODAY)), str(number(YESTERDAY)))
    ]
