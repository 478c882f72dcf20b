"""
Inject a fault at every COMMIT of the writer, every kind, alone and twice in a row, and hold every answer to the chain.

Without a fault the work is done first, to count its COMMITs and to know its answers.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest

from ledger import Ledger, Receipt
from ledger.domain import fold
from ledger.errors import OutcomeUnknown, StateMismatch
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import small_transactions
from tests.conftest import ORIGIN, Database
from tests.domain.books import opened
from tests.journal.faulty_commits import RELAYED, Stage, refuse
from tests.journal.test_ledger import check_whole, deposit, fee, order, trade
from tests.journal.waiting import SOON_S

KINDS = (*RELAYED, "terminated", "refused", "canceled")
PAIRS = (
    ("answer lost", "answer lost"), ("late", "lost before"), ("lost before", "cut"),
    ("terminated", "late"), ("refused", "answer lost"),
)  # fmt: skip


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


def test_nobody_is_told_anything_while_a_lost_commit_still_holds_the_head(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost and the old session commits later: until then writer and `lookup` wait, and then are right."""
    # A small transaction has no COMMIT of its own, and holds nothing before it arrives: the test below is of that.
    monkeypatch.setattr(small_transactions, "EVENTS", 0)
    name = f"faults_{time.monotonic_ns()}"
    stage.make(name)
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


@pytest.mark.parametrize("asked", ["lookup", "again"])
def test_a_call_that_arrives_after_it_was_said_to_have_done_nothing_does_nothing(stage: Stage, asked: str) -> None:
    """Whoever told that nothing was recorded, `lookup` or the writer that refuses it now, keeps out what was late."""
    name = f"faults_{time.monotonic_ns()}"
    stage.make(name)
    chain = Database(stage.server, name)
    held, release = threading.Event(), threading.Event()

    def late(data: bytes, server: socket.socket) -> None:
        stage.relay.through = asked == "again"
        held.set()
        assert release.wait(60)
        server.sendall(data)

    with Ledger.open(stage.relay.dsn(chain.dsn("writer"))) as ledger:
        head = ledger.append(deposit("first"), key="first")
        assert ledger._writer is not None
        assert ledger._writer._writing is not None
        session = ledger._writer._writing.info.backend_pid
        stage.relay.arm("late", late)
        future = ledger.submit(deposit("late"), key="late")
        assert held.wait(60)
        if asked == "lookup":
            with pytest.raises(OutcomeUnknown):
                future.result(60)
            with Ledger.open(chain.dsn("writer")) as other:
                assert other.lookup("late") is None
        else:
            assert future.result(60).seq == head.seq + 1
        stage.relay.let_through()
        release.set()
        ended(chain, session)
        last = ledger.append(deposit("last"), key="last")
        assert last.seq == head.seq + (1 if asked == "lookup" else 2)
        assert check_whole(chain, ledger) == last.seq
    stage.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def ended(chain: Database, session: int) -> None:
    """Wait until the server has ended *session*: what arrived late has been dealt with."""
    while chain.server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {session}").strip() != "0":
        time.sleep(0.05)


def test_a_region_that_became_a_replica_denies_no_commit_whose_answer_was_lost(stage: Stage) -> None:
    """What a lost COMMIT may have recorded is not called refused, though nothing can be appended any more."""
    name = f"faults_{time.monotonic_ns()}"
    stage.make(name)
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
    stage.make(name)
    chain = Database(stage.server, name)
    tries = []

    def fault(moment: str, connection: psycopg.Connection[Any]) -> None:
        if moment == "before commit":
            tries.append(moment)
            refuse(connection)

    with Ledger.open(chain.dsn("writer"), fault=fault) as ledger:
        before = ledger.head()
        with pytest.raises(StateMismatch, match="sum to zero"):
            ledger.append(fee("f"), key="k")
        assert len(tries) == 1
        assert ledger.lookup("k") is None
        assert ledger.head() == before
    stage.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
