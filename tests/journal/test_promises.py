"""
Hold the ledger to what it promises of threads, forks, asyncio, cancelling, closing, timeouts and callbacks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest

from ledger import Group, Ledger, LedgerError, Receipt, WriterSettings
from ledger.errors import (
    Closed,
    IdempotencyConflict,
    OutcomeUnknown,
    StaleEpoch,
    Unavailable,
)
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import check_whole, deposit, fee, fill
from tests.journal.waiting import SOON_S, Gate, head_held


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
