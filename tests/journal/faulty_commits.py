"""
Do the same work each time, with a fault at the COMMITs of a plan, and hold every answer to the chain.

Small batches, the next prepared on memory while one commits, with refusals that rest on what is on its way, keys and
facts sent again in flight, other requests under used keys, and clashes that only the database can see.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

import msgspec
import psycopg

from ledger import Group, Ledger, LedgerError, Receipt, WriterSettings
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.errors import Unavailable
from ledger.sandbox.postgres import Server
from tests.conftest import Database, copying
from tests.journal.history import Call, Judge
from tests.journal.memory import check_at_rest
from tests.journal.relay import Relay
from tests.journal.test_ledger import check_whole, deposit, fee, order, trade
from tests.journal.waiting import Gate

BATCH_EVENTS = 5
LOOKED_UP = ("a", "b", "d", "h", "l", "m", "u", "y", "z", "3")
Asked = tuple[str, tuple[Event, ...], dict[str, int]]
RELAYED = ("lost before", "answer lost", "late", "cut")


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


def refuse(connection: psycopg.Connection[Any]) -> None:
    """Let the server answer COMMIT itself with an error: its guard of the head finds a sum that is not zero."""
    connection.execute(
        "UPDATE ledger.balances SET settled = settled + 1"
        " WHERE ctid = (SELECT ctid FROM ledger.balances WHERE floor IS NULL LIMIT 1)"
    )


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
            refuse(connection)
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

    def make(self, name: str) -> None:
        """Make a database from the prepared one."""
        self.administrator.execute(copying(name, self.prepared))

    def run(self, plan: dict[int, str]) -> tuple[int, list[Receipt | str]]:
        """Return how many COMMITs the work took with the faults of *plan*, and its answers, all of them checked."""
        name = f"faults_{time.monotonic_ns()}"
        self.make(name)
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
