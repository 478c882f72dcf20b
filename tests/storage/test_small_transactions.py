"""
Check the call that appends a small transaction: what it leaves is what statement by statement is left, to the byte.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import psycopg
import pytest

from ledger import Ledger, WriterSettings
from ledger.errors import ClockUnsafe, NotPrimary, SequenceGap, StaleEpoch, StateMismatch
from ledger.generation.requests import generate
from ledger.journal import transaction
from ledger.journal.preparation import Batch
from ledger.journal.transaction import HeadMoved
from ledger.storage import database as db
from ledger.storage import put_functions, small_transactions
from tests.conftest import Database, copy_database
from tests.journal.test_ledger import check_whole, deposit, fill, order, trade
from tests.verifier.intruder import report_on

MIGRATIONS = Path(__file__).parents[2] / "migrations" / "versions"
Connection = psycopg.Connection[Any]


def test_the_functions_in_the_migration_are_those_of_the_tables() -> None:
    """A new column or table needs functions that know it: `python -m ledger.storage.put_functions` writes them."""
    assert (MIGRATIONS / "0001_put_rows.sql").read_text() == put_functions.sql()


@pytest.fixture
def twin(chain: Database) -> Iterator[Database]:
    """Return a copy of the chain's database as it is before the test."""
    name = f"{chain.name}_twin"
    copy_database(chain.server, name, chain.name)
    yield Database(chain.server, name)
    chain.server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def every_row(database: Database) -> dict[str, list[str]]:
    tables = database.sql("SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'")
    return {
        table: database.sql(f"SELECT t::text FROM ledger.{table} t ORDER BY 1").splitlines()
        for table in tables.splitlines()
    }


def kept(ledger: Ledger) -> list[Batch]:
    """Return the list in which every batch will be that *ledger* commits."""
    assert ledger._writer is not None
    batches: list[Batch] = []
    commit = ledger._writer._commit

    def keeping(batch: Batch) -> None:
        commit(batch)
        batches.append(batch)

    ledger._writer._commit = keeping  # type: ignore[method-assign]
    return batches


def test_few_at_a_time_leave_the_rows_that_many_leave(
    chain: Database, twin: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history with every event type, each batch committed both ways: every row of every table is the same."""
    with Ledger.open(chain.dsn("writer"), settings=WriterSettings(batch_events=25)) as ledger:
        batches = kept(ledger)
        ledger.append_many(generate(1_500, Random(5), "g"))
    assert sum(0 < len(batch.rows) <= small_transactions.EVENTS for batch in batches) > 20
    monkeypatch.setattr(small_transactions, "EVENTS", 0)
    with db.connect(twin.dsn("writer"), "test") as connection:
        for batch in batches:
            transaction.commit(connection, 1, batch, 1, time.time_ns)
    few, many = every_row(chain), every_row(twin)
    assert few == many
    assert all(many[table] for table in ("orders", "executions", "balances", "lots", "quarantine", "closed_periods"))
    assert report_on(chain).findings == []


@pytest.fixture
def ready(chain: Database, twin: Database) -> Iterator[tuple[Database, Connection, Batch]]:
    """Return a database, a writer's connection to it, and a batch that is to follow: an order, its trade and a fee."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        batches = kept(ledger)
        fill(ledger)
        ledger.append(order("O"), key="o")
        ledger.append([trade("T", "O"), deposit("d")], key="k")
    with db.connect(twin.dsn("writer"), "test") as connection:
        for batch in batches[:-1]:
            transaction.commit(connection, 1, batch, 1, time.time_ns)
        yield twin, connection, batches[-1]


def late() -> int:
    return time.time_ns() + 3600 * 10**9


DELETE_TRIGGER = "ALTER TABLE ledger.{0} DISABLE TRIGGER refuse_delete; DELETE FROM ledger.{0}"


@pytest.mark.parametrize("way", ["few", "many"])
@pytest.mark.parametrize(
    ("before", "epoch", "clock", "error"),
    [
        ("UPDATE ledger.chain_heads SET mode = 'replica'", 1, time.time_ns, NotPrimary),
        ("", 2, time.time_ns, StaleEpoch),
        ("", 1, late, ClockUnsafe),
        (DELETE_TRIGGER.format("chain_heads"), 1, time.time_ns, SequenceGap),
        (DELETE_TRIGGER.format("balances"), 1, time.time_ns, StateMismatch),
    ],
)  # fmt: skip
def test_what_is_not_as_expected_has_the_same_name_on_both_ways(
    ready: tuple[Database, Connection, Batch], monkeypatch: pytest.MonkeyPatch, way: str, before: str, epoch: int,
    clock: Callable[[], int], error: type[Exception],
) -> None:  # fmt: skip
    """The errors are those of a look under the lock, nothing is written, and the connection is good for the next."""
    database, connection, batch = ready
    if way == "many":
        monkeypatch.setattr(small_transactions, "EVENTS", 0)
    if before:
        database.sql(before)
    rows = every_row(database)
    with pytest.raises(error):
        transaction.commit(connection, 1, batch, epoch, clock)
    assert every_row(database) == rows
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_head_that_has_moved_is_told_from_one_that_has_not(ready: tuple[Database, Connection, Batch]) -> None:
    """The batch is committed once; from then on its base is not the head."""
    database, connection, batch = ready
    transaction.commit(connection, 1, batch, 1, time.time_ns)
    with pytest.raises(HeadMoved):
        transaction.commit(connection, 1, batch, 1, time.time_ns)
    assert check_whole(database) == batch.seq


def unlinked(batch: Batch) -> None:
    place = 40  # within the hash before
    row = batch.rows[0]
    batch.rows = [row[:place] + bytes([row[place] ^ 1]) + row[place + 1 :], *batch.rows[1:]]


def of_no_group(batch: Batch) -> None:
    batch.key_rows = [row[:-8] + (int.from_bytes(row[-8:], "big") + 1).to_bytes(8, "big") for row in batch.key_rows]


def unbalanced(batch: Batch) -> None:
    place = next(n for n, change in enumerate(batch.changes) if change.table == "balances")
    change = batch.changes[place]
    new = msgspec.structs.replace(change.new, settled=change.new.settled + 1)  # type: ignore[attr-defined]
    batch.changes = [*batch.changes[:place], msgspec.structs.replace(change, new=new), *batch.changes[place + 1 :]]


def overfilled(batch: Batch) -> None:
    batch.changes = [
        msgspec.structs.replace(x, new=msgspec.structs.replace(x.new, cum_qty=x.new.qty + 1))  # type: ignore[attr-defined]
        if x.table == "orders" else x
        for x in batch.changes
    ]  # fmt: skip


def of_another_head(batch: Batch) -> None:
    batch.hash = bytes(32)


@pytest.mark.parametrize("way", ["few", "many"])
@pytest.mark.parametrize(
    ("spoil", "state", "said"),
    [
        (unlinked, "TL003", "does not name the hash before it"), (of_no_group, "TL003", "key is of no group"),
        (unbalanced, "TL006", "would not sum to zero"), (overfilled, "23514", "orders_cum_qty_in_range"),
        (of_another_head, "TL003", "the head would not be the last event"),
    ],
)  # fmt: skip
def test_every_guard_stands_in_the_way_of_a_call(
    ready: tuple[Database, Connection, Batch], monkeypatch: pytest.MonkeyPatch, way: str,
    spoil: Callable[[Batch], None], state: str, said: str,
) -> None:  # fmt: skip
    """A batch that no rule would make is refused by the same trigger or constraint, and leaves nothing."""
    database, connection, batch = ready
    if way == "many":
        monkeypatch.setattr(small_transactions, "EVENTS", 0)
    rows, good = every_row(database), copy.copy(batch)
    spoil(batch)
    with pytest.raises(psycopg.Error, match=said) as refused:
        transaction.commit(connection, 1, batch, 1, time.time_ns)
    assert refused.value.sqlstate == state
    assert every_row(database) == rows
    transaction.commit(connection, 1, good, 1, time.time_ns)
    assert check_whole(database) == batch.seq


def test_a_session_that_has_ended_is_found_out_before_anything_is_sent(
    ready: tuple[Database, Connection, Batch],
) -> None:
    """What is then known not to have happened is not called unknown."""
    database, connection, batch = ready
    database.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)")
    with pytest.raises(psycopg.OperationalError, match="terminat"):
        transaction.commit(connection, 1, batch, 1, time.time_ns)
    assert connection.closed


def test_a_session_that_forgot_its_statements_is_told_them_again(chain: Database, twin: Database) -> None:
    """After a rollback the driver has the server forget every statement of the session, and not only its own."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        batches = kept(ledger)
        fill(ledger)
        for number in range(3):
            ledger.append(order(f"O{number}"), key=f"o{number}")
    statements = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'ledger_append'"
    forgotten = 0
    with db.connect(twin.dsn("writer"), "test") as connection:
        for batch in batches:
            transaction.commit(connection, 1, batch, 1, time.time_ns)
            # What is asked often the driver prepares, and where it has prepared anything a rollback ends it all.
            for _ in range(10):
                connection.execute("SELECT count(*) FROM ledger.chains WHERE chain = %s", [1])
            (before,) = connection.execute(statements).fetchone() or (0,)
            connection.rollback()
            (after,) = connection.execute(statements).fetchone() or (0,)
            connection.rollback()
            forgotten += before - after
    assert forgotten > 1, "the driver no longer does so, and this test shows nothing"
    assert every_row(chain) == every_row(twin)
    assert report_on(twin).findings == []
