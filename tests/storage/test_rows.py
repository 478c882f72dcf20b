"""
Check that rows survive whatever text, size and login they meet on their way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from ledger.domain import rows
from ledger.domain.amounts import UNIT
from ledger.domain.rows import TABLES
from ledger.domain.state import RESIDENT, Change, Key, is_closed
from ledger.errors import StateMismatch
from ledger.storage import acknowledgements, chains, events, read_models
from ledger.storage import database as db
from tests.conftest import Database
from tests.storage.test_storage import CHAIN_ID, linked, prepared, put, sample

Connection = psycopg.Connection[Any]


@pytest.fixture
def writer(database: Database) -> Iterator[tuple[Connection, int]]:
    connection, chain = prepared(database)
    with connection:
        yield connection, chain
        connection.rollback()


def added(row: rows.Row, table: str) -> Change:
    return Change(table, key_of(table, row), None, row)


def key_of(table: str, row: rows.Row) -> Key:
    return tuple(getattr(row, name) for name in TABLES[table].key)


TEXTS = ["", "\\N", "\\.", "NULL", "\\", "a\tb", "a\nb", "a\rb", "\\t", "\x7f\x01", "{}", '"', "'", "é𝄞", "%s", " "]


@pytest.mark.parametrize("pipelined", [False, True])
def test_every_text_is_kept_apart_from_every_other(writer: tuple[Connection, int], pipelined: bool) -> None:
    """What COPY, an array or NULL is written as comes back as the text that it is, on both ways in."""
    connection, chain = writer
    made = [rows.Stream(text, number) for number, text in enumerate(TEXTS) if text]
    made_accounts = [
        rows.Account(f"A{number}", text, "cash", text, text, None if number % 2 else text, text, number)
        for number, text in enumerate(TEXTS)
    ]
    changes = [added(row, "streams") for row in made] + [added(row, "accounts") for row in made_accounts]
    if pipelined:
        done: read_models.Later = []
        with connection.pipeline():
            read_models.write(connection, chain, changes, done)
        read_models.check(done)
    else:
        read_models.write(connection, chain, changes)
    assert set(read_models.rows(connection, chain, "streams")) == set(made)
    assert set(read_models.rows(connection, chain, "accounts")) == set(made_accounts)


def test_a_pipeline_reports_a_row_that_is_not_there(writer: tuple[Connection, int]) -> None:
    """The answer comes late, and is looked at all the same."""
    connection, chain = writer
    row = rows.Stream("x/y", 1)
    done: read_models.Later = []
    with connection.pipeline():
        read_models.write(connection, chain, [Change("streams", ("x/y",), row, rows.Stream("x/y", 2))], done)
    with pytest.raises(StateMismatch, match="behind the ledger's back"):
        read_models.check(done)


@pytest.mark.parametrize("table", TABLES)
def test_a_pipelined_row_is_the_same_row(writer: tuple[Connection, int], table: str) -> None:
    """Both ways in store every column of every table alike."""
    connection, chain = writer
    first, second = sample(table, 0), sample(table, 1)
    put(connection, chain, linked(5))
    read_models.write(connection, chain, [added(first, table)])
    with connection.pipeline():
        read_models.write(connection, chain, [added(second, table)], [])
    assert set(read_models.rows(connection, chain, table)) == {first, second}


def test_sums_beyond_the_limit_of_one_amount_are_read_back(writer: tuple[Connection, int]) -> None:
    """Amounts are bounded, what they add up to is not; no digit is lost on the way."""
    connection, chain = writer
    for number, amount in enumerate((10**80 + 1, -(10**80) - 1, 1, -1, UNIT, -UNIT // 2, 0)):
        row = rows.Position(f"A{number}", "I", 1, amount, -amount, amount)
        read_models.write(connection, chain, [added(row, "positions")])
        assert read_models.load(connection, chain, "positions", (row.account, "I")) == row


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "0.0000000000000000001"])
def test_a_number_that_the_ledger_never_writes_is_a_finding(
    database: Database, writer: tuple[Connection, int], value: str
) -> None:
    """PostgreSQL's numeric holds more than amounts do; such a row was put there by someone else."""
    connection, chain = writer
    read_models.write(connection, chain, [added(rows.Position("A", "I", 1, 0, 0, 0), "positions")])
    connection.commit()
    database.sql("ALTER TABLE ledger.positions DROP CONSTRAINT positions_amounts_finite")
    database.sql(f"UPDATE ledger.positions SET fees = {value}")
    with pytest.raises(StateMismatch, match=r"positions\.fees.*verify"):
        read_models.load(connection, chain, "positions", ("A", "I"))


def test_a_login_with_settings_of_its_own_stores_and_reads_the_same(database: Database) -> None:
    """Date style, client encoding and other tastes of a role change neither what is stored nor what is read."""
    for setting in ("datestyle = 'German, DMY'", "client_encoding = 'LATIN1'", "bytea_output = 'escape'",
                    "timezone = 'Asia/Tokyo'", "extra_float_digits = -15", "search_path = 'nowhere'"):  # fmt: skip
        database.sql(f"ALTER ROLE writer IN DATABASE {database.name} SET {setting}")
    connection, chain = prepared(database)
    execution = sample("executions", 1)
    with connection:
        made = linked(2)
        put(connection, chain, made)
        read_models.write(connection, chain, [added(execution, "executions")])
        assert list(events.read(connection, chain, CHAIN_ID)) == made
        assert read_models.load(connection, chain, "executions", key_of("executions", execution)) == execution


def test_what_memory_keeps_is_what_is_loaded(writer: tuple[Connection, int]) -> None:
    """`load_open` and `is_closed` say the same of every kind of order, hold, quarantine and break."""
    connection, chain = writer
    order = msgspec.structs.replace(
        sample("orders", 0), terminal=None, cum_qty=0, pending_cancel=(), pending_replace=()
    )
    hold, quarantined, difference = sample("holds", 0), sample("quarantine", 0), sample("breaks", 0)
    made: list[tuple[str, rows.Row]] = [
        ("orders", msgspec.structs.replace(order, order_id=f"{terminal}{filled}{cancel}{replace}{done}{tif}", tif=tif,
                                           terminal=terminal, cum_qty=filled, pending_cancel=cancel,
                                           pending_replace=replace, done_for_day=done))
        for terminal in (None, "canceled", "rejected")
        for filled in (0, 1, order.qty)
        for cancel in ((), ("c",))
        for replace in ((), ("r",))
        for done in (False, True)
        for tif in ("day", "gtc", "gtd", "ioc")
    ]  # fmt: skip
    made += [("holds", msgspec.structs.replace(hold, hold_id=x, status=x)) for x in ("open", "released")]
    made += [
        ("quarantine", msgspec.structs.replace(quarantined, seq=number, status=x))
        for number, x in enumerate(("open", "resolved"))
    ]
    made += [("breaks", msgspec.structs.replace(difference, key=str(x), closed_seq=x)) for x in (None, 5)]
    made += [(table, sample(table, 0)) for table in TABLES if table not in ("orders", "holds", "quarantine", "breaks")]
    # A period is closed by an event that is there.
    put(connection, chain, linked(5))
    read_models.write(connection, chain, [added(row, table) for table, row in made])
    loaded = set(read_models.load_open(connection, chain))
    assert loaded == {(table, row) for table, row in made if not is_closed(table, row)}
    assert {table for table, _ in loaded} >= RESIDENT


def test_chains_of_one_database_do_not_see_each_other(database: Database) -> None:
    """The same keys, seqs and ids in two chains are two things."""
    connection, first = prepared(database)
    with psycopg.connect(database.dsn("owner")) as owner:
        owner.execute("SET ROLE ledger_owner")
        second = chains.create(owner, bytes(16), "example.com/b", linked(1)[0].prev_hash, "primary").chain
    with connection:
        for chain, version in ((first, 1), (second, 2)):
            read_models.write(connection, chain, [added(rows.Stream("x/y", version), "streams")])
            put(connection, chain, [msgspec.structs.replace(one, idempotency_key="k") for one in linked(2)])
            events.insert_keys(connection, chain, [("engine", "k", version)])
        changed = Change("streams", ("x/y",), rows.Stream("x/y", 1), rows.Stream("x/y", 7))
        read_models.write(connection, first, [changed])
        assert read_models.rows(connection, second, "streams") == [rows.Stream("x/y", 2)]
        assert events.find_keys(connection, first, "engine", ["k", "absent"]) == {"k": 1}
        assert events.find_keys(connection, second, "gateway", ["k"]) == {}
        with pytest.raises(psycopg.errors.UniqueViolation):
            events.insert_keys(connection, first, [("engine", "k", 9)])


@pytest.mark.parametrize("pipelined", [False, True])
def test_few_events_are_stored_as_many_are(writer: tuple[Connection, int], pipelined: bool) -> None:
    """Both ways in store every column alike, absent ids included."""
    connection, chain = writer
    made = linked(5)
    made[2] = msgspec.structs.replace(made[2], correlation_id=bytes(16), causation_id=bytes(16))
    events.learn_row_types(connection)
    laid_out = events.rows_of(chain, made)
    last = made[-1]
    chains.advance(connection, chain, last.seq, last.hash, last.recorded_at, last.epoch)
    if pipelined:
        with connection.pipeline():
            events.insert_few_rows(connection, "events", laid_out)
    else:
        events.insert_few_rows(connection, "events", laid_out)
    assert list(events.read(connection, chain, CHAIN_ID)) == made


def test_the_head_comes_with_the_servers_clock(writer: tuple[Connection, int]) -> None:
    """One round trip answers both, and the lock is held."""
    connection, chain = writer
    head, now = chains.lock_head_and_clock(connection, chain)
    assert head == chains.head(connection, chain)
    assert 0 <= chains.clock(connection) - now < 60 * 10**9
    with db.connect(connection.info.dsn, "second") as second:
        second.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            chains.lock_head_and_clock(second, chain)


def test_a_stream_is_read_in_its_own_order(writer: tuple[Connection, int]) -> None:
    """From a version on, and nothing of another stream."""
    connection, chain = writer
    made = linked(4)
    put(connection, chain, made)
    assert list(events.read_stream(connection, chain, CHAIN_ID, made[0].stream, 2)) == made[2:]
    assert list(events.read_stream(connection, chain, CHAIN_ID, "no/such")) == []


def test_an_acknowledgement_never_goes_back(database: Database) -> None:
    """An old one that arrives late changes nothing; a newer epoch counts before a larger seq."""
    connection, chain = prepared(database)
    connection.close()
    with psycopg.connect(database.dsn("publisher")) as publisher:
        one = acknowledgements.Acknowledgement("b", 1, 10, bytes(32), bytes(32), 5, 6, bytes(64))
        later = msgspec.structs.replace(one, seq=11, received_at=9)
        reign = msgspec.structs.replace(one, epoch=2, seq=3)
        other = msgspec.structs.replace(one, replica="c")
        taken = [acknowledgements.upsert(publisher, chain, x) for x in (one, later, one, reign, later, other)]
        assert taken == [True, True, False, True, False, True]
        assert acknowledgements.read(publisher, chain) == [reign, other]


def test_commits_are_read_from_a_seq_on(writer: tuple[Connection, int]) -> None:
    """In order, at most as many as asked for."""
    connection, chain = writer
    made = linked(9)
    for first, last in ((1, 2), (3, 3), (4, 9)):
        put(connection, chain, made[first - 1 : last])
        chains.insert_commit(connection, chain, first, last, bytes(32), made[last - 1].recorded_at)
    found = acknowledgements.commits(connection, chain, after=2, limit=1)
    assert found == [acknowledgements.Commit(3, 3, bytes(32), made[2].recorded_at)]
    assert len(acknowledgements.commits(connection, chain)) == 3


@pytest.mark.parametrize(
    ("state", "code"),
    [("53100", "storage_full"), ("57P01", "database_down"), ("XX001", "corrupt"), ("25006", "not_primary"),
     ("42501", "not_permitted"), ("TL001", "not_primary"), ("TL003", "sequence_gap"), ("23514", "state_mismatch"),
     ("40001", "database_down"), ("22012", "corrupt")],
)  # fmt: skip
def test_each_failure_of_the_server_says_what_to_do(database: Database, state: str, code: str) -> None:
    """By its SQLSTATE: change the request, try again later, or stop."""
    with psycopg.connect(database.dsn("writer"), autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as failed:
            connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$")
        assert db.translated(failed.value).code == code
        with pytest.raises(psycopg.Error) as failed:
            connection.execute("SELECT %s::text", ["a\0b"])
        assert db.translated(failed.value).code == "invalid_input"
