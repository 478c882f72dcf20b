"""
Hold the ledger to what it promises of requests beside each other: repeated, wrong, in flight, and of its memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import msgspec
import pytest

from ledger import Group, Ledger, LedgerError, Receipt, WriterSettings
from ledger.domain.events.executions import FactQuarantined
from ledger.errors import (
    IdempotencyConflict,
    InsufficientFunds,
    InvalidEvent,
    InvalidInput,
    Rejected,
    RuleBroken,
    TooLarge,
)
from ledger.journal.answers import Quarantined
from tests.conftest import Database
from tests.domain.books import DAY
from tests.journal.memory import check_at_rest, rows_in_memory
from tests.journal.test_ledger import check_whole, deposit, fee, fill, order, trade
from tests.journal.waiting import SOON_S, Gate


def test_memory_follows_what_is_open(chain: Database) -> None:
    """Filled orders leave memory, also after they were asked for again: by duplicates, refusals and busy ids."""
    with Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=20)) as ledger:
        fill(ledger)
        before = rows_in_memory(ledger)
        for n in range(60):
            ledger.submit(order(f"O{n}"), key=f"o{n}")
            ledger.submit(trade(f"T{n}", f"O{n}"), key=f"t{n}")
            ledger.submit(deposit(f"d{n}"), key=f"d{n}")
        open_order = ledger.append(order("open"), key="open")
        # What trading adds to the books, which stay whole: a position, and the venue's two balances.
        more = {"orders": 1, "balances": before["balances"] + 2, "positions": 1}
        assert rows_in_memory(ledger) == before | more
        outcomes: list[Receipt | LedgerError] = []
        for n in range(60):
            outcomes += ledger.append_many(
                [
                    Group((trade(f"T{n}", f"O{n}"),), f"again-t{n}"),
                    Group((deposit(f"d{n}"),), f"again-d{n}"),
                    Group((order(f"O{n}"),), f"again-o{n}"),
                    Group((trade(f"over{n}", f"O{n}"),), f"over{n}"),
                ]
            )
        kinds = [x.code if isinstance(x, LedgerError) else (x.replayed, len(x.quarantined)) for x in outcomes]
        assert kinds == [(True, 0), (True, 0), "rule_broken", (False, 1)] * 60
        ledger.append(fee("last"), key="last")
        after = rows_in_memory(ledger)
        assert after.pop("quarantine") == 60
        more = {"orders": 1, "streams": before["streams"] + 1, "balances": before["balances"] + 3, "positions": 1}
        assert after == before | more
        assert open_order.seq
        check_at_rest(chain, ledger)
        check_whole(chain, ledger)


def test_a_duplicate_fact_names_its_first_record_wherever_that_is(chain: Database) -> None:
    """On its way or durable, first or later of its group: the receipt is that of the one event."""
    gate = Gate()
    with Ledger.open(chain.dsn("writer"), clock=gate, settings=WriterSettings(batch_events=2)) as ledger:
        fill(ledger)
        first = gate.shut(ledger, "first")
        pair = ledger.submit([deposit("a"), deposit("b")], key="pair")
        flying = [ledger.submit(deposit(name), key=f"{name}-again") for name in "ab"]
        gate.open.set()
        seq = first.result(60).seq
        assert (pair.result(60).seq, pair.result(60).last_seq) == (seq + 1, seq + 2)
        durable = [ledger.submit(deposit(name), key=f"{name}-later") for name in "ab"]
        for futures in (flying, durable):
            found = [future.result(60) for future in futures]
            assert [(x.seq, x.last_seq, x.replayed) for x in found] == [
                (seq + 1, seq + 1, True),
                (seq + 2, seq + 2, True),
            ]
            assert [x.hash for x in found] == [ledger.events_at([x.seq])[x.seq].hash for x in found]
        assert ledger.dry_run(deposit("a")) == []
        check_whole(chain, ledger)


def test_a_group_is_refused_for_the_first_rule_that_it_breaks(chain: Database) -> None:
    """An id that memory has forgotten counts for the whole group, also where a later event breaks another rule."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(fee("a"), key="a")
        for events in ([fee("a"), fee("b", "1000000")], [fee("c"), fee("a"), order("O", "1000", "100000")]):
            with pytest.raises(RuleBroken, match="fee_exists"):
                ledger.append(events, key="b")
        with pytest.raises(InsufficientFunds):
            ledger.append([fee("c"), order("O", "1000", "100000"), fee("a")], key="b")
        check_whole(chain, ledger)


def test_a_key_in_flight_answers_as_it_will_once_it_is_durable(chain: Database) -> None:
    """Whether a request is the same as the first under its key does not hang on when it is asked."""
    gate = Gate()
    noon = 1_723_161_254_087_891_268
    with Ledger.open(chain.dsn("writer"), clock=gate) as ledger:
        fill(ledger)
        gate.shut(ledger, "first")
        asked = [(None, fee("a", "1")), (noon, fee("a", "1")), (noon, fee("a", "1.0")), (noon + 1, fee("a", "1")),
                 (noon, fee("a", "2"))]  # fmt: skip
        first = ledger.submit(fee("a"), key="k", occurred_at=noon)
        rounds = [[ledger.submit(event, key="k", occurred_at=at) for at, event in asked]]
        gate.open.set()
        assert not first.result(60).replayed
        rounds.append([ledger.submit(event, key="k", occurred_at=at) for at, event in asked])
        for futures in rounds:
            wait(futures, 60)
            errors = [type(future.exception(0)) for future in futures]
            assert errors == [type(None)] * 3 + [IdempotencyConflict] * 2
            assert {future.result(0).seq for future in futures[:3]} == {first.result(0).seq}


def test_bad_requests_harm_no_neighbour(chain: Database) -> None:
    """Whatever is wrong with one request of a batch, the others are recorded and it alone is told."""
    strange: list[Group] = [
        Group((fee("x"),), "nul\0"),
        Group((fee("x"),), "sur\ud800"),
        Group((fee("x"),), "long" * 1000),
        Group((fee("x"),), 7),  # type: ignore[arg-type]
        Group((fee("x"),), "a", actor="nul\0"),
        Group((fee("x"),), "b", occurred_at="noon"),  # type: ignore[arg-type]
        Group((fee("x"),), "c", expected={7: 1}),  # type: ignore[dict-item]
        Group((fee("x"),), "d", expected={"account/A": "three"}),  # type: ignore[dict-item]
        Group((fee("x"),), "e", occurred_at=2**70),
        Group((fee("x"),), "f", correlation_id="no"),  # type: ignore[arg-type]
        Group((fee("x"), 7), "g"),  # type: ignore[arg-type]
        Group(fee("x"), "h"),  # type: ignore[arg-type]
        Group(None, "i"),  # type: ignore[arg-type]
    ]
    gate = Gate()
    with Ledger.open(chain.dsn("writer"), clock=gate) as ledger:
        fill(ledger)
        gate.shut(ledger, "first")
        groups = []
        for n, bad in enumerate(strange):
            groups += [Group((fee(f"good{n}"),), f"good{n}"), bad]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ledger.append_many, groups)
            time.sleep(SOON_S)
            gate.open.set()
            outcomes = waiting.result(60)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes[::2])
        assert {type(outcome).__name__ for outcome in outcomes[1::2]} <= {"InvalidEvent", "VersionConflict"}
        assert check_whole(chain, ledger) == ledger.head().seq


def test_what_only_the_database_refuses_harms_no_neighbour(chain: Database) -> None:
    """A constraint that memory does not know fails the one request that breaks it, and says that nobody expected it."""
    chain.sql("ALTER TABLE ledger.movements ADD CONSTRAINT no_such CHECK (movement_id NOT LIKE 'bad%')")
    gate = Gate()
    with Ledger.open(chain.dsn("writer"), clock=gate, settings=WriterSettings(batch_events=10)) as ledger:
        fill(ledger)
        gate.shut(ledger, "first")
        names = [f"bad{n}" if n in (3, 4, 17) else f"good{n}" for n in range(25)]
        futures = [ledger.submit(fee(name), key=name) for name in names]
        gate.open.set()
        wait(futures, 60)
        told = {name: future.exception(0) for name, future in zip(names, futures, strict=True)}
        assert {name for name, error in told.items() if error is not None} == {"bad3", "bad4", "bad17"}
        assert {getattr(told[name], "code", "") for name in ("bad3", "bad4", "bad17")} == {"state_mismatch"}
        check_whole(chain, ledger)


def test_a_fact_recorded_before_is_kept_apart_in_a_group(chain: Database) -> None:
    """The facts beside it are recorded; it waits as a duplicate, without effect, and the key answers for the group."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        first = ledger.append(deposit("d"), key="d")
        made = ledger.append([deposit("e"), deposit("d"), deposit("f")], key="several")
        assert [(x.seq, x.rule) for x in made.quarantined] == [(made.seq + 1, "duplicate_fact")]
        assert made.last_seq == first.seq + 3
        assert ledger.append([deposit("e"), deposit("d"), deposit("f")], key="several").replayed
        check_at_rest(chain, ledger)
        check_whole(chain, ledger)


def test_arguments_that_cannot_be_are_named_before_anything_is_handed_in(chain: Database) -> None:
    """Settings, timeouts, keys, streams and what is no event or group: each a Rejected, and nothing is recorded."""
    for settings in ({"batch_events": 0}, {"queue_requests": -1}, {"batch_events": 1.5}):
        with pytest.raises(InvalidInput, match="1 or more"):
            WriterSettings(**settings)  # type: ignore[arg-type]
    with Ledger.open(chain.dsn("writer")) as ledger:
        before = ledger.head()
        calls: list[Callable[[], object]] = [
            *(lambda t=t: ledger.append(deposit("t"), key="t", timeout=t) for t in (float("nan"), 1e30, -1.0)),
            lambda: ledger.append_many([Group((deposit("t"),), "t")], timeout=float("nan")),
            lambda: ledger.lookup("a\0b"), lambda: ledger.lookup(5), lambda: ledger.history("a\0b"),  # type: ignore[arg-type]
            lambda: ledger.history(5), lambda: ledger.dry_run(None), lambda: ledger.append(None, key="t"),  # type: ignore[arg-type]
            lambda: ledger.append(deposit("t"), key="t", expected="x"),  # type: ignore[arg-type]
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(Rejected):
                call()
        found = ledger.append_many([deposit("t"), Group(deposit("t"), "t"), Group(None, "t")])  # type: ignore[list-item, arg-type]
        assert [x.code for x in found if isinstance(x, LedgerError)] == ["invalid_event"] * 3
        assert ledger.head() == before


def test_a_timeout_that_is_none_is_named_whoever_is_asked_to_wait(chain: Database) -> None:
    """No number, no span of time, or one that no thread can wait: nothing is recorded, nor any key used."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        before = ledger.head()
        for timeout in ("5", [], 1j, float("nan"), float("inf"), 1e30, 10**400, -1.0):
            given: Any = timeout
            for ask in (
                lambda t=given: ledger.append(deposit("t"), key="t", timeout=t),
                lambda t=given: ledger.submit(deposit("t"), key="t", timeout=t),
                lambda t=given: ledger.append_many([], timeout=t),
            ):
                with pytest.raises(InvalidInput, match=r"found timeout .*; expected seconds from 0, or None"):
                    ask()
        assert ledger.head() == before
        assert not ledger.submit(deposit("t"), key="t", timeout=0).result(30).replayed


def test_raw_text_waits_in_every_receipt_of_it(chain: Database) -> None:
    """The first one, the same request's again, the one that is looked up, and that of a fact of its group by itself."""
    raw = FactQuarantined(original_type="Fill", original="8=FIX", rule="unreadable", detail="no JSON")
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        for key, events in (("one", [raw]), ("two", [deposit("first"), raw])):
            first = ledger.append(events, key=key)
            assert first.quarantined == (Quarantined(first.last_seq, "unreadable", "no JSON"),)
            again = ledger.append(events, key=key)
            assert again == ledger.lookup(key) == msgspec.structs.replace(first, replayed=True)


def test_a_dry_run_knows_what_is_too_large(chain: Database) -> None:
    """What append would refuse for its size, the dry run refuses too."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        large = FactQuarantined(original_type="X", original="x" * 300_000, rule="unreadable", detail="d")
        for call in (lambda: ledger.dry_run(large), lambda: ledger.append(large, key="large")):
            with pytest.raises(TooLarge, match="payload"):
                call()


def test_days_of_events_that_no_calendar_has_are_refused(chain: Database) -> None:
    """The edges of 64 bits are days like any other; both are recorded and read back."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        for n, at in enumerate((-(2**63), 2**63 - 1, 0)):
            receipt = ledger.append(fee(f"f{n}"), key=f"f{n}", occurred_at=at)
            assert ledger.events_at([receipt.seq])[receipt.seq].occurred_at == at
        with pytest.raises(InvalidEvent, match="64 bits"):
            ledger.append(fee("g"), key="g", occurred_at=2**63)
        assert DAY
        check_whole(chain, ledger)
