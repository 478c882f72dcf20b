"""
Inject a fault at every COMMIT of the writer, every kind, alone and twice in a row, and hold every answer to the chain.

The work is the same each time: small batches, the next prepared on memory while one commits, with refusals
that rest on what is on its way, keys and facts sent again in flight, other requests under used keys, and clashes that
only the database can see. Without a fault it is run first, to count its COMMITs and to know its answers.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest

from ledger import Group, Ledger, LedgerError, Receipt, WriterSettings
from ledger.domain import fold
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.errors import OutcomeUnknown, SequenceGap, Unavailable
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database
from tests.domain.books import opened
from tests.journal.history import Call, Judge
from tests.journal.memory import check_at_rest
from tests.journal.relay import Relay
from tests.journal.test_ledger import check_whole, deposit, fee, order, trade
from tests.journal.test_promises import SOON_S, Gate

BATCH_EVENTS = 5
LOOKED_UP = ("a", "b", "d", "h", "l", "m", "u", "y", "z", "3")
Asked = tuple[str, tuple[Event, ...], dict[str, int]]
RELAYED = ("lost before", "answer lost", "late", "cut")
KINDS = (*RELAYED, "terminated", "refused", "canceled")
PAIRS = (
    ("answer lost", "answer lost"), ("late", "lost before"), ("lost before", "cut"),
    ("terminated", "late"), ("refused", "answer lost"),
)  # fmt: skip


def _reusing(name: str, cl_ord_id: str) -> OrderPlaced:
    return msgspec.structs.replace(order(name), cl_ord_id=cl_ord_id)


def work() -> list[Asked]:
    """Return the requests, in the order in which they are handed in: account A has 100 USDT."""
    asked: list[tuple[str, Event | tuple[Event, ...], dict[str, int]]] = [
        ("a", fee("f1", "60"), {}),
        ("b", fee("f2", "60"), {}),  # Refused: what f1 leaves is not enough.
        ("c", deposit("d1", "50"), {}),
        ("b", fee("f2", "60"), {}),  # The same again, good by now.
        ("a", fee("f1", "60"), {}),
        ("a", fee("f1", "61"), {}),  # Another request under a key in flight.
        ("d", deposit("d1", "50"), {}),  # A fact in flight, under another key.
        ("e", order("O1", "0.1"), {}),
        ("f", order("O1", "0.1"), {}),
        ("g", trade("T1", "O1", "0.1"), {}),
        ("h", (fee("f3", "5"), fee("f4", "1000")), {}),  # A group that falls as one.
        ("i", fee("f3", "5"), {}),
        ("j", trade("T1", "O1", "0.1"), {}),
        ("k", trade("T2", "O1", "0.1"), {}),  # More than the order had: quarantined.
        ("l", (deposit("d2"), deposit("d3")), {}),
        ("m", deposit("d3"), {}),
        ("n", fee("f5"), {"order/O1": 2}),
        ("o", fee("f6"), {"order/O1": 1}),
        ("p", _reusing("N1", "OLD"), {}),  # Memory has forgotten that this client order id is used,
        ("q", fee("OLD"), {}),  # and this fee charged,
        ("r", deposit("OLD", "2"), {}),  # this deposit and
        ("s", trade("OLD", "OLD"), {}),  # this trade recorded.
        ("old", fee("OLD"), {}),
        ("old", fee("f7"), {}),
        ("t", trade("OLD", "OLD", "0.02"), {}),
        ("u", fee("f8"), {}),
        ("u", fee("f9"), {}),
        ("v", (fee("f10"), fee("f10")), {}),
        ("w", fee("f11", "5"), {}),
        ("x", fee("f12", "3"), {}),  # Refused, or not, by a cent of what came before.
        ("y", (fee("f13", "0.5"), fee("f14", "0.5")), {}),
        ("z", fee("f15", "0.25"), {}),
        ("c", deposit("d1", "50"), {}),
        ("1", order("O2", "0.001"), {"order/O2": 0}),
        ("2", order("O2", "0.001"), {"order/O2": 0}),
        ("3", fee("f16", "0.25"), {}),
    ]
    return [(key, given if isinstance(given, tuple) else (given,), expected) for key, given, expected in asked]


@pytest.fixture(scope="module")
def prepared(pg_server: Server, migrated: str) -> Iterator[str]:
    """Make a database with a past that memory forgets; every run has a copy of it."""
    pg_server.sql(f"CREATE DATABASE prepared TEMPLATE {migrated} OWNER ledger_owner")
    create_chain(pg_server.dsn("owner", "prepared"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(pg_server.dsn("writer", "prepared")) as ledger:
        for n, outcome in enumerate(opened(usdt="100").stored):
            ledger.append(fold.registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        ledger.append(fee("OLD"), key="old")
        ledger.append(order("OLD"), key="old-order")
        ledger.append(trade("OLD", "OLD"), key="old-trade")
        ledger.append(deposit("OLD", "2"), key="old-deposit")
    yield "prepared"
    pg_server.sql("DROP DATABASE prepared WITH (FORCE)")


class Run:
    """
    One run of the work, with the faults of *plan*: what befalls the COMMIT of each number.
    """

    def __init__(
        self, database: Database, relay: Relay, administrator: psycopg.Connection[Any], plan: dict[int, str]
    ) -> None:
        self.database, self.relay, self.administrator, self.plan = database, relay, administrator, dict(plan)
        self.commits = 0
        self.calls: list[Call] = []
        self.gate = Gate()
        self.ledger = Ledger.open(
            relay.dsn(database.dsn("writer")), settings=WriterSettings(batch_events=BATCH_EVENTS), clock=self.gate
        )
        self.setup = self.ledger.head().seq

    def fault(self, moment: str, connection: psycopg.Connection[Any]) -> None:
        if moment != "before commit":
            return
        self.commits += 1
        kind = self.plan.pop(self.commits, None)
        if kind in RELAYED:
            self.relay.arm(kind)  # type: ignore[arg-type]
        elif kind == "terminated":
            self.administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        elif kind == "refused":
            # What guards the head answers COMMIT itself with an error.
            connection.execute("UPDATE ledger.chain_heads SET recorded_at = recorded_at + 1")
        elif kind == "canceled":
            connection.execute("SET LOCAL statement_timeout = 1")
            connection.execute("SELECT pg_sleep(5)")

    def _note(self, call: Call, future: Future[Receipt]) -> None:
        error = future.exception(0)
        told = future.result(0) if error is None else getattr(error, "code", repr(error))
        self.calls.append(msgspec.structs.replace(call, returned=time.monotonic(), told=told))
        if isinstance(error, Unavailable):
            self.relay.let_through()

    def ask(self, asked: list[Asked]) -> list[Future[Receipt]]:
        futures = []
        for key, events, expected in asked:
            call = Call("append", key, events, expected, time.monotonic(), 0, None)
            future = self.ledger.submit(events, key=key, expected=expected)
            future.add_done_callback(partial(self._note, call))
            futures.append(future)
        return futures

    def look(self, key: str) -> Receipt | None:
        invoked = time.monotonic()
        found = self.ledger.lookup(key)
        self.calls.append(Call("lookup", key, (), {}, invoked, time.monotonic(), found or "absent"))
        return found

    def work(self) -> list[Receipt | str]:
        """Do the work with its faults, ask again where the outcome was not known, and return the answers at last."""
        asked = work()
        self.gate.shut(self.ledger, "first")
        assert self.ledger._writer is not None
        self.ledger._writer.fault = self.fault
        futures = self.ask(asked)
        self.gate.open.set()
        assert not wait(futures, 60).not_done
        answers: list[Receipt | str] = []
        for one, future in zip(asked, futures, strict=True):
            error = future.exception(0)
            while isinstance(error, Unavailable):
                present = self.look(one[0]) is not None
                (future,) = self.ask([one])
                error = wait([future], 60).done.pop().exception(0)
                assert error is not None or not present or future.result(0).replayed
            assert error is None or isinstance(error, LedgerError)
            answers.append(getattr(error, "code", "") if error else future.result(0))
        return answers

    def check(self) -> None:
        """Assert that some order explains the answers, and that memory, store and a fresh ledger agree."""
        assert self.plan == {}, "a fault was not reached"
        for key in LOOKED_UP:
            self.look(key)
        for ledger in (self.ledger, Ledger.open(self.database.dsn("writer"))):
            with ledger:
                ledger.append(fee(f"last-{ledger is self.ledger}", "0.001"), key=f"last-{ledger is self.ledger}")
                check_at_rest(self.database, ledger)
                told = [(x, x.told) for x in self.calls if isinstance(x.told, Receipt) and x.kind == "append"]
                again = ledger.append_many(Group(call.events, call.key, expected=call.expected) for call, _ in told)
                found = [(x.replayed, x.hash) if isinstance(x, Receipt) else x for x in again]
                assert found == [(True, receipt.hash) for _, receipt in told]
                chain = list(ledger.events())
        assert check_whole(self.database) == len(chain)
        # The gate's request and the last two are the test's own.
        own = [("first", (fee("first"),)), *((f"last-{x}", (fee(f"last-{x}", "0.001"),)) for x in (True, False))]
        calls = [*self.calls, *(Call("append", key, given, {}, 0, 1e12, None) for key, given in own)]
        assert Judge(chain, calls, self.setup).judge() == []


class Stage:
    """
    A server, the database to copy for each run, and the relay that faults happen at.
    """

    def __init__(self, server: Server, prepared: str) -> None:
        self.server, self.prepared = server, prepared
        self.relay = Relay(server.socket)
        # A session of its own: starting a program for each statement would take longer than the runs.
        self.administrator = psycopg.connect(server.dsn("postgres", "postgres"), autocommit=True)

    def close(self) -> None:
        self.administrator.close()
        self.relay.close()

    def run(self, plan: dict[int, str]) -> tuple[int, list[Receipt | str]]:
        """Return how many COMMITs the work took with the faults of *plan*, and its answers, all of them checked."""
        name = f"faults_{time.monotonic_ns()}"
        self.administrator.execute(f"CREATE DATABASE {name} TEMPLATE {self.prepared} OWNER ledger_owner")
        try:
            one = Run(Database(self.server, name), self.relay, self.administrator, plan)
            try:
                answers = one.work()
                commits = one.commits
                one.check()
            finally:
                one.gate.open.set()
                self.relay.let_through()
                one.ledger.close()
            return commits, answers
        finally:
            self.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def stage(pg_server: Server, prepared: str) -> Iterator[Stage]:
    made = Stage(pg_server, prepared)
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> tuple[int, list[str]]:
    """Return how many COMMITs the work takes without a fault, and its answers."""
    commits, answers = stage.run({})
    return commits, shown(answers)


def shown(answers: list[Receipt | str]) -> list[str]:
    return [x if isinstance(x, str) else f"{x.seq}-{x.last_seq}{'?' * len(x.quarantined)}" for x in answers]


def misplaced(answers: list[Receipt | str], expected: list[str]) -> list[tuple[int, str, str]]:
    """
    Return what is not recorded where it is without a fault.

    A refusal may become another answer: asked again once a lost COMMIT took effect, what came after it is there. That
    such an answer is true is for the judge.
    """
    pairs = enumerate(zip(shown(answers), expected, strict=True))
    return [(n, found, wanted) for n, (found, wanted) in pairs if found != wanted and wanted[0].isdigit()]


EXPECTED_ANSWERS = 36


def test_the_work_meets_every_kind_of_answer(stage: Stage) -> None:
    """What the faults are injected into holds refusals, repeats, conflicts, clashes and quarantines, in many
    COMMITs."""
    commits, answers = stage.run({})
    assert len(answers) == EXPECTED_ANSWERS
    assert commits >= 6
    assert {x for x in answers if isinstance(x, str)} == {
        "insufficient_funds", "idempotency_conflict", "rule_broken", "version_conflict"
    }  # fmt: skip
    assert sum(x.replayed for x in answers if not isinstance(x, str)) >= 8
    assert sum(len(x.quarantined) for x in answers if not isinstance(x, str)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_commit_loses_doubles_and_moves_nothing(
    stage: Stage, undisturbed: tuple[int, list[str]], kind: str
) -> None:
    """At each COMMIT in turn: what is recorded is where it is without a fault, and every answer is true."""
    commits, expected = undisturbed
    for k in range(1, commits + 1):
        _, answers = stage.run({k: kind})
        # Who was told to ask again once the database is back comes after others: the judge has seen to them.
        assert kind == "cut" or misplaced(answers, expected) == [], k


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_fault_at_the_retry_loses_doubles_and_moves_nothing_either(
    stage: Stage, undisturbed: tuple[int, list[str]], kinds: tuple[str, str]
) -> None:
    """As before, and the COMMIT that mends the first fault meets the second."""
    commits, expected = undisturbed
    for k in range(1, commits):
        _, answers = stage.run({k: kinds[0], k + 1: kinds[1]})
        assert "cut" in kinds or misplaced(answers, expected) == [], k


def test_nobody_is_told_anything_while_a_lost_commit_still_holds_the_head(stage: Stage) -> None:
    """The answer is lost and the old session commits later: until then writer and `lookup` wait, and then are right."""
    name = f"faults_{time.monotonic_ns()}"
    stage.administrator.execute(f"CREATE DATABASE {name} TEMPLATE {stage.prepared} OWNER ledger_owner")
    chain = Database(stage.server, name)
    held, release = threading.Event(), threading.Event()

    def late(data: bytes, server: socket.socket) -> None:
        held.set()
        assert release.wait(30)
        server.sendall(data)

    with Ledger.open(stage.relay.dsn(chain.dsn("writer"))) as ledger, Ledger.open(chain.dsn("writer")) as other:
        stage.relay.arm("late", late)
        futures = [ledger.submit(fee("f"), key="k")]
        try:
            assert held.wait(30)
            futures.append(other.submit(fee("g"), key="k2"))
            with ThreadPoolExecutor(2) as pool:
                looking = [pool.submit(x.lookup, key) for x, key in ((other, "k"), (other, "none"))]
                waited = wait([*futures, *looking], SOON_S)
                release.set()
            assert not waited.done
        finally:
            release.set()
        receipt, present = futures[0].result(60), looking[0].result(60)
        assert present is not None
        assert (receipt.seq, receipt.hash) == (present.seq, present.hash)
        assert looking[1].result(60) is None
        assert futures[1].result(60).seq == receipt.seq + 1
        assert check_whole(chain) == receipt.seq + 1
    stage.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_region_that_became_a_replica_denies_no_commit_whose_answer_was_lost(stage: Stage) -> None:
    """What a lost COMMIT may have recorded is not called refused, though nothing can be appended any more."""
    name = f"faults_{time.monotonic_ns()}"
    stage.administrator.execute(f"CREATE DATABASE {name} TEMPLATE {stage.prepared} OWNER ledger_owner")
    chain = Database(stage.server, name)
    demote = "UPDATE ledger.chain_heads SET mode = 'replica'"

    def fault(moment: str, connection: psycopg.Connection[Any]) -> None:
        if moment == "after commit":
            chain.sql(demote)
            connection.close()
            raise psycopg.OperationalError("the network went away")

    with Ledger.open(chain.dsn("writer"), fault=fault) as ledger:
        with pytest.raises(OutcomeUnknown, match="lookup"):
            ledger.append(fee("f"), key="k")
        present = ledger.lookup("k")
        assert present is not None
        assert present.seq == ledger.head().seq
        with pytest.raises(OutcomeUnknown, match="replica"):
            ledger.lookup("none")
    stage.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_error_that_answers_commit_itself_is_an_answer(stage: Stage) -> None:
    """The server said that it did not commit: nobody is left with an unknown outcome, and nothing is tried for ever."""
    name = f"faults_{time.monotonic_ns()}"
    stage.administrator.execute(f"CREATE DATABASE {name} TEMPLATE {stage.prepared} OWNER ledger_owner")
    chain = Database(stage.server, name)
    tries = []

    def fault(moment: str, connection: psycopg.Connection[Any]) -> None:
        if moment == "before commit":
            tries.append(moment)
            connection.execute("UPDATE ledger.chain_heads SET recorded_at = recorded_at + 1")

    with Ledger.open(chain.dsn("writer"), fault=fault) as ledger:
        before = ledger.head()
        with pytest.raises(SequenceGap, match="last event"):
            ledger.append(fee("f"), key="k")
        assert len(tries) == 1
        assert ledger.lookup("k") is None
        assert ledger.head() == before
    stage.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
