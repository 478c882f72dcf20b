"""
Hold the ledger to what it promises of threads, forks, asyncio, cancelling, closing, timeouts and its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest

from ledger import Group, Ledger, LedgerError, Receipt, WriterSettings
from ledger.domain.events.executions import FactQuarantined
from ledger.errors import (
    Closed,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidEvent,
    InvalidInput,
    OutcomeUnknown,
    Rejected,
    RuleBroken,
    StaleEpoch,
    TooLarge,
    Unavailable,
)
from ledger.storage import chains
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.domain.books import DAY
from tests.journal.memory import check_at_rest, rows_in_memory
from tests.journal.test_ledger import check_whole, deposit, fee, fill, order, trade

SOON_S = 0.3
"""Long enough for something that does not wait to have happened."""


@contextlib.contextmanager
def head_held(chain: Database) -> Iterator[psycopg.Connection[Any]]:
    """Keep the head's lock in another session, as a transaction that is still committing would."""
    with db.connect(chain.dsn("writer"), "holder") as holder:
        chains.lock_head(holder, chains.find(holder, ORIGIN).chain)
        yield holder
        holder.rollback()


class Gate:
    """A clock that stands still until it is opened: what is handed in meanwhile waits in the queue."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def __call__(self) -> int:
        self.reached.set()
        assert self.open.wait(20)
        return time.time_ns()

    def shut(self, ledger: Ledger, name: str) -> Future[Receipt]:
        """Shut the gate, and return the request that stands in it."""
        self.open.clear()
        self.reached.clear()
        first = ledger.submit(fee(name), key=name)
        assert self.reached.wait(60)
        return first


def test_a_ledger_opens_and_reads_while_another_holds_the_head(chain: Database) -> None:
    """Opening, reading and dry reads do not wait for a transaction that is still committing; appending does."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        with head_held(chain):
            other = Ledger.open(chain.dsn("writer"))
            assert other.head() == ledger.head()
            future = other.submit(fee("a"), key="a")
            assert not wait([future], SOON_S).done
        other.close()
        assert future.result(0).seq == ledger.head().seq
        assert ledger.append(fee("b"), key="b").seq == future.result(0).seq + 1
        check_whole(chain, ledger)


def test_an_asyncio_caller_wraps_the_future(chain: Database) -> None:
    """Receipts and refusals reach a loop; a request that a loop gives up before it was taken is not recorded."""
    gate = Gate()

    async def use(ledger: Ledger) -> None:
        futures = [asyncio.wrap_future(ledger.submit(fee(f"f{n}"), key=f"k{n}")) for n in range(20)]
        receipts = await asyncio.gather(*futures)
        assert [receipt.seq for receipt in receipts] == list(range(receipts[0].seq, receipts[0].seq + 20))
        with pytest.raises(IdempotencyConflict):
            await asyncio.wrap_future(ledger.submit(fee("other"), key="k0"))
        gate.shut(ledger, "first")
        waiting = asyncio.wrap_future(ledger.submit(fee("given-up"), key="given-up"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, SOON_S)
        gate.open.set()
        await asyncio.wrap_future(ledger.submit(fee("last"), key="last"))

    with Ledger.open(chain.dsn("writer"), clock=gate) as ledger:
        fill(ledger)
        asyncio.run(use(ledger))
        assert ledger.lookup("given-up") is None
        assert ledger.lookup("first") is not None
        check_whole(chain, ledger)


def test_what_is_cancelled_before_it_was_taken_is_never_recorded(chain: Database) -> None:
    """Cancelling says whether it came in time: then nothing is recorded, and else the receipt comes all the same."""
    gate = Gate()
    with Ledger.open(chain.dsn("writer"), clock=gate) as ledger:
        fill(ledger)
        taken = gate.shut(ledger, "taken")
        waiting = [ledger.submit(fee(f"w{n}"), key=f"w{n}") for n in range(10)]
        assert not taken.cancel()
        assert all(future.cancel() for future in waiting[::2])
        gate.open.set()
        assert [taken.result(60).seq + 1 + n for n in range(5)] == [x.result(60).seq for x in waiting[1::2]]
        assert [ledger.lookup(f"w{n}") is None for n in range(10)] == [True, False] * 5
        assert not ledger.append(fee("w0"), key="w0").replayed
        check_whole(chain, ledger)


def test_closing_answers_everything_that_was_handed_in(chain: Database) -> None:
    """A close in the midst of many threads' work leaves no future open: each has its receipt or `Closed`."""
    for attempt in range(5):
        with Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=3, queue_requests=8)) as ledger:
            if not attempt:
                fill(ledger)
            start = threading.Barrier(6)
            futures: list[tuple[str, Future[Receipt]]] = []

            def work(
                worker: int,
                ledger: Ledger = ledger,
                attempt: int = attempt,
                start: threading.Barrier = start,
                futures: list[tuple[str, Future[Receipt]]] = futures,
            ) -> None:
                start.wait()
                for n in range(1000):
                    key = f"{attempt}-{worker}-{n}"
                    try:
                        futures.append((key, ledger.submit(fee(key, "0.001"), key=key)))
                    except Closed:
                        return

            threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
            for thread in threads:
                thread.start()
            start.wait()
            time.sleep(0.02 * attempt)
            closers = [threading.Thread(target=ledger.close) for _ in range(2)]
            for one in closers + threads:
                if one in closers:
                    one.start()
            for one in closers + threads:
                one.join(60)
                assert not one.is_alive()
        told: dict[str, int] = {}
        for key, future in futures:
            error = future.exception(0)
            assert error is None or isinstance(error, Closed), error
            if error is None:
                told[key] = future.result(0).seq
        with Ledger.open(chain.dsn("writer")) as ledger:
            for key, _ in futures[-40:]:
                found = ledger.lookup(key)
                assert (found.seq if found else None) == told.get(key)
    check_whole(chain)


def test_a_forked_child_leaves_the_parents_ledger_alone(chain: Database) -> None:
    """A child is refused, may open its own, and its end and its closing harm nothing of the parent's."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        before = ledger.append(fee("a"), key="a").seq
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            told = "nothing"
            try:
                try:
                    ledger.append(fee("b"), key="b")
                except Closed as error:
                    told = str(error)
                ledger.close()
                with Ledger.open(chain.dsn("writer")) as own:
                    told += f" {own.append(fee('c'), key='c').seq} {ledger.lookup('a') is not None}"
                del ledger
            except BaseException as error:
                told = repr(error)
            finally:
                os.write(writing, told.encode())
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answers:
            told = answers.read()
        assert os.waitpid(child, 0)[1] == 0
        assert "open it again here" in told
        assert told.endswith(f" {before + 1} True")
        assert ledger.append(fee("d"), key="d").seq == before + 2
        check_whole(chain, ledger)


def test_a_timeout_is_an_unknown_outcome_that_lookup_settles(chain: Database) -> None:
    """Whoever stops waiting asks `lookup`, which waits for the request, and so never calls absent what still comes."""
    gate = Gate()
    with Ledger.open(chain.dsn("writer"), clock=gate) as ledger, ThreadPoolExecutor(4) as pool:
        fill(ledger)
        first = gate.shut(ledger, "first")
        with pytest.raises(OutcomeUnknown, match="lookup"):
            ledger.append(fee("late"), key="late", timeout=SOON_S)
        settled = [pool.submit(ledger.lookup, key) for key in ("first", "late", "never")]
        assert not wait(settled, SOON_S).done
        gate.open.set()
        found = [future.result(60) for future in settled]
        assert found[0] is not None
        assert found[1] is not None
        assert (found[0].seq, found[1].seq, found[2]) == (first.result(60).seq, first.result(60).seq + 1, None)
        again = ledger.append(fee("late"), key="late")
        assert (again.replayed, again.seq) == (True, found[1].seq)
        check_whole(chain, ledger)


def test_a_full_queue_is_an_error_for_those_only_who_found_it_full(chain: Database) -> None:
    """Handing in waits for room as long as it was told; `append_many` gives one outcome a group all the same."""
    gate = Gate()
    settings = WriterSettings(batch_events=1, queue_requests=3)
    with Ledger.open(chain.dsn("writer"), clock=gate, settings=settings) as ledger:
        fill(ledger)
        first = gate.shut(ledger, "first")
        outcomes = ledger.append_many([Group((fee(f"f{n}"),), f"k{n}") for n in range(6)], timeout=0.05)
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3 + [Unavailable] * 3
        with pytest.raises(Unavailable, match="same key"):
            ledger.submit(fee("g"), key="g", timeout=0.01)
        gate.open.set()
        assert first.result(60).seq
        assert [ledger.lookup(f"k{n}") is not None for n in range(6)] == [True] * 3 + [False] * 3
        check_whole(chain, ledger)


def test_lookup_waits_for_the_head_and_is_told_by_no_replica_that_a_key_is_absent(chain: Database) -> None:
    """Present is present anywhere; absent is said on the primary alone, once whoever holds the head is done."""
    with Ledger.open(chain.dsn("writer")) as ledger, ThreadPoolExecutor(2) as pool:
        fill(ledger)
        first = ledger.append(fee("a"), key="a")
        with head_held(chain):
            asked = [pool.submit(ledger.lookup, key) for key in ("a", "none")]
            assert not wait(asked, SOON_S).done
        found = asked[0].result(60)
        assert found is not None
        assert (found.seq, found.hash) == (first.seq, first.hash)
        assert asked[1].result(60) is None
        chain.sql("UPDATE ledger.chain_heads SET mode = 'replica'")
        for ask in (ledger.lookup, reopened_lookup(chain)):
            present = ask("a")
            assert present is not None
            assert present.hash == first.hash
            with pytest.raises(OutcomeUnknown, match="replica"):
                ask("none")
        # A standby answers every statement that would lock with this very error.
        chain.sql("UPDATE ledger.chain_heads SET mode = 'primary'")
        chain.server.sql(f"ALTER DATABASE {chain.name} SET default_transaction_read_only = on")
        with pytest.raises(OutcomeUnknown, match="read-only"):
            ledger.lookup("none")
        chain.server.sql(f"ALTER DATABASE {chain.name} RESET default_transaction_read_only")
        assert ledger.lookup("none") is None


def reopened_lookup(chain: Database) -> Any:
    def ask(key: str) -> Receipt | None:
        with Ledger.open(chain.dsn("writer")) as ledger:
            return ledger.lookup(key)

    return ask


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


def test_what_a_caller_does_with_an_answer_is_not_the_writers(chain: Database) -> None:
    """A callback that raises, SystemExit included, ends neither the writer nor another's wait."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)

        def leave(future: object) -> None:
            raise SystemExit(3)

        future = ledger.submit(deposit("x"), key="x")
        future.add_done_callback(leave)
        assert future.result(30).seq
        assert ledger.append(deposit("y"), key="y").seq


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


def test_a_callback_that_would_wait_for_the_writer_is_told_so(chain: Database) -> None:
    """On the writer's own thread append is refused at once, submit works, and nobody stands still."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        told: list[object] = []

        def go_on(future: object) -> None:
            try:
                ledger.append(deposit("inner"), key="inner")
            except LedgerError as error:
                told.append(error)
            told.append(ledger.submit(deposit("later"), key="later"))

        ledger.submit(deposit("outer"), key="outer").add_done_callback(go_on)
        assert ledger.append(deposit("other"), key="other").seq
        error, later = told
        assert "submit()" in str(error)
        assert isinstance(later, Future)
        assert later.result(30).seq


def test_a_dry_run_knows_what_is_too_large(chain: Database) -> None:
    """What append would refuse for its size, the dry run refuses too."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        large = FactQuarantined(original_type="X", original="x" * 300_000, rule="unreadable", detail="d")
        for call in (lambda: ledger.dry_run(large), lambda: ledger.append(large, key="large")):
            with pytest.raises(TooLarge, match="payload"):
                call()


def test_a_writer_ends_with_its_reign(chain: Database) -> None:
    """Once another epoch began, a writer of the old one appends nothing until it is opened again."""
    old = Ledger.open(chain.dsn("writer"), origin=ORIGIN)
    with old:
        fill(old)
        connection = psycopg.connect(chain.server.dsn("postgres", chain.name), autocommit=True)
        connection.execute("SET session_replication_role = replica")
        connection.execute("ALTER TABLE ledger.chain_heads DISABLE TRIGGER check_head")
        connection.execute("UPDATE ledger.chain_heads SET epoch = 2")
        connection.close()
        with pytest.raises(StaleEpoch, match="epoch 2"):
            old.append(deposit("late"), key="late")
        with pytest.raises(StaleEpoch, match="epoch 2"):
            old.append(deposit("late"), key="late")


def test_a_writer_that_always_comes_second_may_try_again(chain: Database) -> None:
    """Who finds the head moved again and again is told that it may send the same later, and not that all is corrupt."""
    with Ledger.open(chain.dsn("writer")) as fast:
        fill(fast)
        busy = threading.Event()
        count = iter(range(10**6))

        def clock() -> int:
            if busy.is_set():
                fast.append(fee(f"fast{(n := next(count))}", "0.001"), key=f"fast{n}")
            return time.time_ns()

        with Ledger.open(chain.dsn("writer"), clock=clock) as slow:
            busy.set()
            with pytest.raises(Unavailable, match="same key"):
                slow.append(fee("slow"), key="slow")
            busy.clear()
            assert not slow.append(fee("slow"), key="slow").replayed
            check_whole(chain, slow)


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
