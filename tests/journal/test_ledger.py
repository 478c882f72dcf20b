"""
Check appending on a real PostgreSQL: receipts, keys, groups, threads, two writers, and failures at COMMIT.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from ledger import Group, Ledger, LedgerError, Receipt, Seq, WriterSettings
from ledger.chain.digest import StateDigest
from ledger.chain.entry import split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.domain import fold
from ledger.domain.events.cash import CashMoved, FeeCharged
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.fold import Context
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import State
from ledger.errors import (
    ClockUnsafe,
    Closed,
    DatabaseDown,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidEvent,
    InvalidInput,
    NotFound,
    NotPermitted,
    NotPrimary,
    OutcomeUnknown,
    TooLarge,
    UnknownChain,
    VersionConflict,
)
from ledger.journal.writer import Writer
from ledger.storage import chains, read_models
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.domain.books import DAY, check_invariants, opened

SEED = int(os.environ.get("LEDGER_TEST_SEED", time.time_ns() % 1_000_000))


def fill(ledger: Ledger) -> None:
    """Append the reference data and deposits that tests trade with."""
    for n, outcome in enumerate(opened(usdt="100000", btc="100").stored):
        event = fold.registry.decode_given(outcome.event_type, 1, outcome.given)
        ledger.append(event, key=f"setup-{n}")


def fee(name: str, amount: str = "1") -> FeeCharged:
    return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount=amount)


def deposit(name: str, amount: str = "1") -> CashMoved:
    return CashMoved(movement_id=name, account="A", asset="USDT", amount=amount, kind="deposit", value_date=DAY)


def order(name: str, qty: str = "0.01", price: str = "100") -> OrderPlaced:
    return OrderPlaced(order_id=name, cl_ord_id=name, account="A", instrument="BTCUSDT", side="buy", qty=qty,
                       ord_type="limit", price=price)  # fmt: skip


def trade(name: str, order_id: str, qty: str = "0.01") -> TradeExecuted:
    return TradeExecuted(exec_id=name, venue="V", order_id=order_id, account="A", instrument="BTCUSDT", side="buy",
                         qty=qty, price="100", trade_date=DAY)  # fmt: skip


def check_whole(database: Database, ledger: Ledger | None = None) -> int:
    """Assert that chain, replay, rows, digest and head agree, and that memory is the store; return the events."""
    with db.connect(database.dsn("auditor"), "test") as connection:
        row = chains.find(connection, ORIGIN)
        head, state, count = ChainHead(0, genesis(row.chain_id, ORIGIN)), State(), 0
        from ledger.storage import events as stored

        for event in stored.read(connection, row.chain, row.chain_id):
            head = head.check(event)
            derived, given = split_payload(event.payload)
            assert fold.replay(
                state, event.event_type, event.schema_version, given, derived,
                (event.stream, event.stream_version, event.effective_on),
                Context(event.seq, event.recorded_at, event.occurred_at),
            ) == []  # fmt: skip
            count += 1
        check_invariants(state)
        digest = StateDigest()
        for table, spec in TABLES.items():
            rows = {tuple(getattr(x, k) for k in spec.key): x for x in read_models.rows(connection, row.chain, table)}
            assert rows == state.table(table).rows
            for one in rows.values():
                digest.put_in(table, row_bytes(spec, one))
            if ledger is not None and ledger._writer is not None:
                for key, mine in ledger._writer.state.table(table).rows.items():
                    assert rows[key] == mine
        at = chains.head(connection, row.chain)
        assert (at.seq, at.hash) == (head.seq, head.hash)
        assert chains.read_lanes(connection, row.chain) == (head.seq, digest.lanes())
    return count


def test_an_append_is_durable_and_its_key_answers_again(chain: Database) -> None:
    """The same request returns the first receipt, another one under its key conflicts, a refused one burns no key."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        first = ledger.append(fee("f", "2"), key="k")
        again = ledger.append(fee("f", "2"), key="k")
        assert (again.seq, again.hash, again.replayed, first.replayed) == (first.seq, first.hash, True, False)
        with pytest.raises(IdempotencyConflict, match="another request"):
            ledger.append(fee("f", "3"), key="k")
        with pytest.raises(InsufficientFunds):
            ledger.append(fee("g", "1000000"), key="l")
        assert ledger.lookup("l") is None
        assert ledger.append(fee("g", "1"), key="l").seq == first.seq + 1
        found = ledger.lookup("k")
        assert found is not None
        assert found.seq == first.seq
        assert ledger.head().seq == check_whole(chain, ledger)
    with Ledger.open(chain.dsn("writer")) as ledger:
        assert ledger.append(fee("f", "2"), key="k").replayed


def test_a_group_stands_or_falls_as_one(chain: Database) -> None:
    """One refused command refuses the group and harms no neighbour in the same transaction."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        before = ledger.head().seq
        groups = [
            Group((fee("a"), fee("b")), "1"),
            Group((fee("c"), fee("d", "99999999")), "2"),
            Group((fee("c"),), "3"),
            Group((fee("a"),), "4"),
            Group((order("O"),), "5"),
            Group((trade("E", "O"), trade("F", "none")), "6"),
        ]
        found = ledger.append_many(groups)
        kinds = [x.code if isinstance(x, LedgerError) else (x.seq, x.last_seq) for x in found]
        assert kinds == [
            (before + 1, before + 2), "insufficient_funds", (before + 3, before + 3), "rule_broken",
            (before + 4, before + 4), (before + 5, before + 6),
        ]  # fmt: skip
        assert isinstance(found[5], Receipt)
        assert [(q.seq, q.rule) for q in found[5].quarantined] == [(before + 6, "unknown_order")]
        again = ledger.append_many(groups)
        assert [x.replayed for x in again if isinstance(x, Receipt)] == [True] * 4
        duplicate = ledger.append(trade("E", "O"), key="7")
        assert (duplicate.replayed, duplicate.seq) == (True, before + 5)
        check_whole(chain, ledger)


def test_limits_expectations_and_dry_runs(chain: Database) -> None:
    """A stale version conflicts, too large a payload or group is refused, and a dry run leaves nothing."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        with pytest.raises(VersionConflict, match="account/A is at version 3"):
            ledger.append(fee("a"), key="1", expected={"account/A": 2})
        ledger.append(fee("a"), key="1", expected={"account/A": 3, "order/none": 0})
        before = ledger.head()
        foreseen = ledger.dry_run([order("O"), order("P")])
        assert [(x.stream, x.stream_version) for x in foreseen] == [("order/O", 1), ("order/P", 1)]
        with pytest.raises(InsufficientFunds):
            ledger.dry_run(order("O", "100", "100000"))
        from ledger.domain.events.cash import JournalPosted, Posting

        legs = [Posting(account="A", asset="USDT", bucket="settled", amount=a) for a in ("-1", "1")]
        long = JournalPosted(journal_id="j", postings=tuple(legs), memo="x" * 300_000)
        with pytest.raises(TooLarge, match="payload"):
            ledger.append(long, key="2")
        half = [JournalPosted(journal_id=f"j{n}", postings=tuple(legs), memo="x" * 200_000) for n in range(6)]
        with pytest.raises(TooLarge, match="group"):
            ledger.append(half, key="3")
        with pytest.raises(InvalidEvent, match="without events"):
            ledger.append([], key="4")
        with pytest.raises(InvalidEvent, match="key"):
            ledger.append(fee("z"), key="")
        with pytest.raises(InvalidEvent, match="groups of their own"):
            ledger.append([fee("z"), deposit("z")], key="5")
        assert ledger.head() == before
        check_whole(chain, ledger)


def test_who_may_not_write_is_told_so(chain: Database) -> None:
    """A reader's login, a source that is not the login's, another chain, a replica, a closed ledger, a fork."""
    with pytest.raises(NotPermitted, match="ledger_writer"):
        Ledger.open(chain.dsn("reader"))
    with pytest.raises(NotPermitted, match="engine, nautilus"):
        Ledger.open(chain.dsn("writer"), source="gateway")
    with pytest.raises(UnknownChain, match=ORIGIN):
        Ledger.open(chain.dsn("writer"), origin="example.com/other")
    ledger = Ledger.open(chain.dsn("writer"))
    with ledger:
        chain.sql("UPDATE ledger.chain_heads SET mode = 'replica'")
        with pytest.raises(NotPrimary):
            ledger.append(deposit("d"), key="1")
        chain.sql("UPDATE ledger.chain_heads SET mode = 'primary'")
        assert ledger.append(deposit("d"), key="1").quarantined
        ledger._process += 1
        with pytest.raises(Closed, match="parent"):
            ledger.append(deposit("d"), key="2")
        ledger._process -= 1
    with pytest.raises(Closed, match="closed"):
        ledger.append(deposit("d"), key="2")


def test_a_wrong_clock_is_refused(chain: Database) -> None:
    """An hour off, and nothing is recorded with that time."""
    for off in (-3600, 3600):
        with Ledger.open(chain.dsn("writer"), clock=lambda off=off: time.time_ns() + off * 10**9) as ledger:  # type: ignore[misc]
            with pytest.raises(ClockUnsafe, match="clock"):
                ledger.append(deposit("d"), key="1")
            assert ledger.head().seq == 1


def test_a_clock_that_gives_no_integer_is_refused(chain: Database) -> None:
    """A float of nanoseconds has lost the last hundreds of them; nothing is recorded, and the ledger stays open."""
    said: list[Any] = []
    with Ledger.open(chain.dsn("writer"), clock=lambda: said[0] if said else time.time_ns()) as ledger:
        for time_said in (time.time() * 1e9, "5", None):
            said[:] = [time_said]
            with pytest.raises(InvalidInput, match=r"from the clock; expected nanoseconds since 1970 as an integer"):
                ledger.append(deposit("d"), key="1")
        said.clear()
        assert ledger.append(deposit("d"), key="1").seq == 2


def test_many_threads_and_two_writers_keep_one_chain(chain: Database) -> None:
    """Everything accepted is there once, in one order, and both memories end equal to the store."""
    first = Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=20))
    second = Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=7))
    with first, second:
        fill(first)
        before = first.head().seq

        def work(worker: int) -> int:
            ledger, done = (first, second)[worker % 2], 0
            for n in range(25):
                name = f"{worker // 2}-{n}"
                try:
                    done += not ledger.append(fee(name), key=name).replayed
                except LedgerError as error:
                    raise AssertionError(f"{name}: {error}") from error
            return done

        with ThreadPoolExecutor(8) as pool:
            accepted = sum(pool.map(work, range(8)))
        assert accepted == 100
        assert first.head().seq == before + 100
        assert check_whole(chain) == before + 100


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
@pytest.mark.parametrize("way", ["error", "backend"])
def test_a_failure_at_any_commit_loses_and_doubles_nothing(chain: Database, moment: str, way: str) -> None:
    """The connection dies before COMMIT or after it, at every third transaction: each request is recorded once."""
    seen = {"transactions": 0}

    def fault(now: str, connection: psycopg.Connection[Any]) -> None:
        if now != moment:
            return
        seen["transactions"] += 1
        if seen["transactions"] % 3 == 0:
            if way == "backend":
                chain.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
                connection.execute("SELECT 1")
            connection.close()
            raise psycopg.OperationalError("the network went away")

    with Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=5)) as ledger:
        fill(ledger)
        before = ledger.head().seq
        assert ledger._writer is not None
        ledger._writer.fault = fault
        futures = [ledger.submit(fee(f"f{n}"), key=f"k{n}") for n in range(60)]
        futures += [ledger.submit(fee(f"f{n}"), key=f"k{n}") for n in range(0, 60, 7)]
        receipts = [future.result(60) for future in futures]
        assert seen["transactions"] > 3
        assert len({receipt.seq for receipt in receipts}) == 60
        ledger._writer.fault = lambda moment, connection: None
        ledger.append(fee("last"), key="last")
        assert check_whole(chain, ledger) == before + 61


def test_a_dead_server_is_an_error_and_the_ledger_goes_on_when_it_is_back(chain: Database) -> None:
    """While connections are refused the caller learns that it may send the same again; then it is recorded once."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        chain.server.sql(f"ALTER DATABASE {chain.name} ALLOW_CONNECTIONS false")
        chain.server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{chain.name}'")
        with pytest.raises(LedgerError) as refused:
            ledger.append(fee("f"), key="k")
        assert refused.value.exit_status == 5
        with pytest.raises(OutcomeUnknown):
            ledger.lookup("k")
        chain.server.sql(f"ALTER DATABASE {chain.name} ALLOW_CONNECTIONS true")
        assert not ledger.append(fee("f"), key="k").replayed
        check_whole(chain, ledger)


READS: dict[str, Callable[[Ledger], object]] = {
    "head": lambda ledger: ledger.head(),
    "events": lambda ledger: list(ledger.events()),
    "events at seqs": lambda ledger: ledger.events_at([1]),
}


@pytest.mark.parametrize("name", READS)
def test_a_server_that_goes_away_in_a_read_is_told_in_the_ledgers_words(chain: Database, name: str) -> None:
    """The session that reads is ended while it waits for its rows; the same read is answered afterwards."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with (
        ThreadPoolExecutor(1) as pool,
        Ledger.open(chain.dsn("writer")) as ledger,
        psycopg.connect(chain.server.dsn("postgres", chain.name)) as lock,
        psycopg.connect(chain.server.dsn("postgres", chain.name), autocommit=True) as administrator,
    ):
        lock.execute("LOCK TABLE ledger.chain_heads, ledger.events IN ACCESS EXCLUSIVE MODE")
        answer = pool.submit(READS[name], ledger)
        deadline = time.monotonic() + 60
        while not administrator.execute(end, [chain.name]).fetchall():
            assert time.monotonic() < deadline, "the read does not ask for its rows"
            time.sleep(0.02)
        lock.rollback()
        with pytest.raises(DatabaseDown, match="PostgreSQL cannot be used now"):
            answer.result(60)
        assert READS[name](ledger)


def test_a_random_history_with_kills_ends_whole(chain: Database) -> None:
    """Random commands from threads while sessions are killed: what was acknowledged is there, once, and all agrees."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    acknowledged: dict[str, int] = {}
    lock = threading.Lock()
    with Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=16)) as ledger:
        fill(ledger)

        def work(seed: int) -> None:
            own = random.Random(seed)
            for n in range(30):
                name = f"{seed}-{n}"
                event: Event = own.choice(
                    [fee(name), order(name), deposit(name), trade(name, f"{seed}-{max(n - 1, 0)}", "0.004")]
                )
                for _ in range(40):
                    try:
                        receipt = ledger.append(event, key=name)
                    except LedgerError as error:
                        if error.exit_status != 5:
                            break
                        time.sleep(0.05)
                        continue
                    with lock:
                        acknowledged[name] = receipt.seq
                    break

        threads = [threading.Thread(target=work, args=(rng.randrange(10**9),)) for _ in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            chain.server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{chain.name}' AND application_name = 'ledger writer' LIMIT 1"
            )
            time.sleep(rng.uniform(0.02, 0.2))
        for thread in threads:
            thread.join()
        ledger.append(fee("last"), key="last")
        check_whole(chain, ledger)
        for name, seq in acknowledged.items():
            found = ledger.lookup(name)
            assert found is not None
            assert found.seq == seq


def test_books_and_histories_are_read_at_one_seq(chain: Database) -> None:
    """Balances, orders, positions and streams after an append are those of its seq."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        receipt = ledger.append([order("O1"), order("O2")], key="o")
        ledger.append(trade("E1", "O1"), key="t")
        with ledger.books() as books:
            opened_orders = books.open_orders("A")
            assert (opened_orders.seq, [x.order_id for x in opened_orders.value]) == (receipt.last_seq + 1, ["O2"])
            filled = books.order("O1").value
            assert filled.status == "FILLED"
            assert [x.instrument for x in books.positions("A").value] == ["BTCUSDT"]
            assert {x.asset for x in books.balances("A").value} == {"USDT", "BTC"}
            assert (books.quarantine().value, books.breaks().value) == ([], [])
            with pytest.raises(NotFound, match="order 'none'"):
                books.order("none")
        placed, filled_at = ledger.stream("order/O1")
        assert [placed.event_type, filled_at.event_type] == ["OrderPlaced", "TradeExecuted"]
        assert [x.seq for x in ledger.history("order/O1", at=Seq(placed.seq)).value] == [placed.seq]
        for read in (ledger.stream, ledger.history):
            with pytest.raises(NotFound, match="stream 'order/none'"):
                read("order/none")


def test_a_session_that_may_not_write_is_said_once_for_all_requests(
    chain: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is to blame, so none is looked for by halves, each of which would load the whole state again."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
    chain.sql(f"ALTER DATABASE {chain.name} SET default_transaction_read_only = on")
    loaded = []
    load_again = Writer._load_again
    monkeypatch.setattr(Writer, "_load_again", lambda self, failed: (loaded.append(failed), load_again(self, failed)))
    with Ledger.open(chain.dsn("writer")) as ledger:
        outcomes = ledger.append_many([Group((fee(f"f{number}"),), f"k{number}") for number in range(200)])
    assert {type(outcome) for outcome in outcomes} == {NotPrimary}
    assert len(loaded) < 10
