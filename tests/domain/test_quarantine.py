"""
Check what may resolve a quarantined fact: the same fact recorded later, and nothing else.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain import event_catalogue, registry
from ledger.domain.events.cash import CashMoved, FeeCharged
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import OrderAdjustment, SplitApplied
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderAccepted, OrderRejected, OrderTriggered
from ledger.domain.events.reference import AccountOpened, InstrumentDefined
from ledger.domain.fold import FACT_LIMIT_BYTES, Context, Outcome, record
from ledger.domain.rules.quarantine import subject_of
from ledger.domain.state import State
from ledger.errors import RuleBroken, TooLarge
from tests.domain.books import DAY, NOON, Books, opened, order, trade


def seq_of(books: Books, event: Event) -> int:
    books.give(event)
    return len(books.stored)


def accepted(ref: int, seq: int) -> Event:
    return QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=seq, proposed_by="ops")


def fee(name: str) -> Event:
    return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount="1")


def moved(movement_id: str, account: str) -> Event:
    return CashMoved(
        movement_id=movement_id, account=account, asset="USDT", amount="5", kind="deposit", value_date=DAY
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "mend", "others"),
    [
        (trade(), order(), [trade("other", None), OrderAccepted(order_id="O", venue="V"), fee("f"), order("P")]),
        (OrderAccepted(order_id="O", venue="V"), order(), [trade("E", None), OrderTriggered(order_id="O"), fee("f")]),
        (
            moved("m", "B"),
            AccountOpened(account="B", owner="o", kind="cash", base_asset="USDT"),
            [moved("n", "B"), fee("m")],
        ),
    ],
)
def test_only_the_same_fact_recorded_later_is_accepted(fact: Event, mend: Event, others: list[Event]) -> None:
    """A fee, another fact or the cause itself resolves nothing; the fact again, which then fits, does."""
    books = opened()
    ref = seq_of(books, fact)
    mended = seq_of(books, mend)
    for other in others:
        seq = seq_of(books, other)
        with pytest.raises(RuleBroken, match=r"accepted_seq.*none is recorded yet"):
            books.give(accepted(ref, seq))
    again = seq_of(books, fact)
    assert books.stored[-1].rule is None
    with pytest.raises(RuleBroken, match=f"the newest is at seq {again}"):
        books.give(accepted(ref, mended))
    books.give(accepted(ref, again))
    assert books.state.quarantine.rows == books.replayed().quarantine.rows
    row = books.state.quarantine.get(ref)
    assert row is not None
    assert (row.status, row.resolution, row.answered_seq) == ("accepted", str(again), again)


@pytest.mark.parametrize("other", [{"instrument": "BTCUSDT"}, {"kind": "settlement"}, {"day": "2024-08-07"}])
def test_a_mark_is_accepted_as_a_mark_of_the_same_thing_and_day(other: dict[str, str]) -> None:
    """It has no id: that of another instrument, kind or day is another fact."""

    def mark(**more: str) -> Event:
        given = {"instrument": "NEW", "price": "5", "kind": "eod", "day": DAY, **more}
        return MarkRecorded(as_of=NOON, **given)  # type: ignore[arg-type]

    books = opened()
    ref = seq_of(books, mark())
    assert books.stored[-1].rule == "unknown_instrument"
    books.give(
        InstrumentDefined(
            instrument="NEW", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="0.001",
            settlement_cycle=0, venue="V",
        )
    )  # fmt: skip
    wrong = seq_of(books, mark(**other))
    assert books.stored[-1].rule is None
    with pytest.raises(RuleBroken, match="none is recorded yet"):
        books.give(accepted(ref, wrong))
    books.give(accepted(ref, seq_of(books, mark(price="6"))))
    books.replayed()


def test_every_fact_says_what_it_is_about() -> None:
    """Its subject tells it from others of its type; only what was kept unread has none."""
    facts = {name for name, kind in registry.EVENT_TYPES.items() if kind.KIND == "fact"}
    subjects = {name: subject_of(event_catalogue.example(registry.EVENT_TYPES[name])) for name in facts}
    assert {name for name, subject in subjects.items() if "/" not in subject} == {"FactQuarantined"}


def test_a_fact_quarantined_again_answers_nothing() -> None:
    """Sent twice and refused twice, neither receipt is of a recorded fact; once it fits, it answers both."""
    books = opened()
    first, second = seq_of(books, trade()), seq_of(books, trade())
    with pytest.raises(RuleBroken, match="none is recorded yet"):
        books.give(accepted(first, second))
    books.give(order())
    seq = seq_of(books, trade())
    books.give(accepted(first, seq))
    books.give(accepted(second, seq))
    books.replayed()


def test_what_is_rolled_back_answers_nothing_and_what_is_loaded_still_waits() -> None:
    """An answer that was undone is forgotten; memory taken anew from the rows knows what waits as well."""
    books = opened()
    ref = seq_of(books, trade())
    books.give(order())
    mark = books.state.begin()
    record(books.state, trade(), Context(99, NOON + 99, NOON))
    books.state.rollback(mark)
    with pytest.raises(RuleBroken, match="none is recorded yet"):
        books.give(accepted(ref, len(books.stored)))
    books.state.durable(books.state.begin())
    loaded = State()
    for table, row in books.state.all_rows():
        loaded.add(table, row)
    books.state = loaded
    seq = seq_of(books, trade())
    books.give(accepted(ref, seq))
    books.replayed()


def test_raw_text_may_be_accepted_as_any_later_event() -> None:
    """What could not be read names no ids: whoever resolves it answers for the event that it became."""
    books = opened()
    ref = seq_of(books, FactQuarantined(original_type="8", original="35=8|", rule="unreadable", detail="d"))
    books.give(order())
    books.give(accepted(ref, seq_of(books, trade())))
    books.replayed()


def test_the_index_of_what_waits_does_not_grow_with_what_was_resolved() -> None:
    """Facts that come, are discarded and forgotten leave no trace in memory beyond a fixed number."""
    books = opened()
    sizes = []
    for number in range(400):
        ref = seq_of(books, trade(f"E{number % 7}"))
        books.give(QuarantineResolved(ref=ref, resolution="discarded", proposed_by="ops"))
        books.state.durable(books.state.begin())
        assert books.state.waiting is not None
        sizes.append(books.state.waiting.count)
    assert books.state.quarantine.rows == {}
    assert max(sizes) < 100
    assert max(map(len, books.state.waiting.seqs.values())) < 100


@pytest.mark.parametrize("other", [{"instrument": "BTCUSDT"}, {"day": "2024-08-07"}, {"kind": "settlement"}])
def test_a_mark_of_something_else_answers_no_mark(other: dict[str, Any]) -> None:
    """A mark has no id; it is known by what it is of, its day and its kind."""
    books = opened()
    mark = MarkRecorded(instrument="ETHUSDT", price="10", kind="eod", day=DAY, as_of=1)
    ref = seq_of(books, mark)
    define = InstrumentDefined(instrument="ETHUSDT", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="1",
                               lot="1", settlement_cycle=0, venue="V")  # fmt: skip
    books.give(define)
    seq = seq_of(books, msgspec.structs.replace(mark, **other))
    with pytest.raises(RuleBroken, match="none is recorded yet"):
        books.give(accepted(ref, seq))
    books.give(accepted(ref, seq_of(books, mark)))
    books.replayed()


def test_a_fact_is_accepted_by_one_of_its_own_day() -> None:
    """A venue numbers its executions anew each day: tomorrow's first is not what became of today's."""
    books = opened()
    waits = books.give(trade("E1", None, price="100.001"))
    ref = len(books.stored)
    assert waits.rule == "price"
    books.give(trade("E1", None, price="100"))
    true = len(books.stored)
    other = msgspec.structs.replace(trade("E1", None, price="99"), trade_date="2024-08-09")  # type: ignore[type-var]
    assert books.give(other).rule is None
    with pytest.raises(RuleBroken, match=f"the newest is at seq {true}"):
        books.give(QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=true + 1, proposed_by="p"))
    books.give(QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=true, proposed_by="p"))
    books.replayed()


def payload_size(outcome: Outcome) -> int:
    return len(b'{"derived":,"given":}') + len(outcome.derived) + len(outcome.given)


@pytest.mark.parametrize("text", ['"', "\\", "\n", "x", "é"])
def test_a_fact_has_one_limit_whatever_becomes_of_it(text: str) -> None:
    """At most so many bytes as it is given, recorded or quarantined: each quotation mark in it takes two there."""
    around = len(registry.encode_given(OrderRejected(order_id="O", reason_code="r", text="")))
    width = len(registry.encode_given(OrderRejected(order_id="O", reason_code="r", text=text))) - around
    most = (FACT_LIMIT_BYTES - around) // width
    for books, rule in ((opened(), "unknown_order"), (with_order(), None)):
        with pytest.raises(TooLarge, match=rf"OrderRejected 'O': found a payload of \d+ bytes .* {FACT_LIMIT_BYTES}"):
            books.give(OrderRejected(order_id="O", reason_code="r", text=text * (most + 1)))
        made = books.give(OrderRejected(order_id="O", reason_code="r", text=text * most))
        assert made.rule == rule
        assert payload_size(made) <= PAYLOAD_LIMIT_BYTES
        books.replayed()


def with_order() -> Books:
    books = opened()
    books.give(order())
    return books


def test_a_reason_that_repeats_what_a_fact_lists_is_cut() -> None:
    """It is stored beside the fact, which has to fit; what is answered is what is stored."""
    named = tuple(OrderAdjustment(order_id=f"{n:0100}", qty="1") for n in range(800))
    books = opened()
    made = books.give(
        SplitApplied(
            ca_id="S", instrument="BTCUSDT", ratio_num=2, ratio_den=1, ex_date=DAY, rounding="down",
            order_adjustments=named, moved_reason="r",
        )
    )  # fmt: skip
    assert (made.rule, len(str(made.detail))) == ("order_adjustment", 2_000)
    assert payload_size(made) <= PAYLOAD_LIMIT_BYTES
    assert registry.decode_given("FactQuarantined", 1, made.given).detail == made.detail  # type: ignore[attr-defined]
    books.replayed()
