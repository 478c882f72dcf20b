"""
Check that rows survive whatever text, size and login they meet on their way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.domain import rows
from ledger.domain.amounts import UNIT
from ledger.domain.rows import TABLES
from ledger.domain.state import RESIDENT, Change, Key, is_closed
from ledger.errors import StateMismatch
from ledger.storage import acknowledgements, chains, events, read_models
from ledger.storage import database as db
from tests.conftest import Database
from tests.storage.test_storage import CHAIN_ID, closing, linked, prepared, put, sample

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


STORED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from(',()"\\ {}\t\n'))
"""Text that PostgreSQL can hold, with what means something in a record more often than not."""
MARKS = ["", ",", "()", "(,", '",', ")", '"', "'", "{}", " "]
TEXTS = [*MARKS, "\\N", "\\.", "NULL", "\\", "a\tb", "a\nb", "a\rb", "\\t", "\x7f\x01", "é𝄞", "%s"]


def put_few(connection: Connection, chain: int, changes: list[Change]) -> None:
    """Put *changes* as a small transaction does."""
    connection.execute("SELECT ledger.put_rows(%s, %s::int[], %s::int[], %s)", read_models.records(chain, changes))


WAYS = {"many": read_models.write, "few": put_few}


@pytest.mark.parametrize("way", WAYS)
def test_every_text_is_kept_apart_from_every_other(writer: tuple[Connection, int], way: str) -> None:
    """What COPY, an array, a record or NULL is written as comes back as the text that it is, on both ways in."""
    connection, chain = writer
    made = [rows.Stream(text, number) for number, text in enumerate(TEXTS) if text]
    made_accounts = [
        rows.Account(f"A{number}", text, "cash", text, text, None if number % 2 else text, text, number)
        for number, text in enumerate(TEXTS)
    ]
    changes = [added(row, "streams") for row in made] + [added(row, "accounts") for row in made_accounts]
    WAYS[way](connection, chain, changes)
    assert set(read_models.rows(connection, chain, "streams")) == set(made)
    assert set(read_models.rows(connection, chain, "accounts")) == set(made_accounts)


@given(st.lists(st.tuples(STORED, STORED, st.none() | STORED, st.lists(STORED)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_the_same_row_on_both_ways(
    writer: tuple[Connection, int], texts: list[tuple[str, str, str | None, list[str]]]
) -> None:
    """Records of a small transaction and lines of a large one are read as the same rows."""
    connection, chain = writer
    accounts = [rows.Account(f"A{n}", a, "cash", b, b, c, a, n) for n, (a, b, c, _) in enumerate(texts)]
    calendars = [rows.Calendar(f"C{n}", n, tuple(d), a, n) for n, (a, _, _, d) in enumerate(texts)]
    for put_in in WAYS.values():
        put_in(connection, chain, [added(x, "accounts") for x in accounts] + [added(x, "calendars") for x in calendars])
        assert set(read_models.rows(connection, chain, "accounts")) == set(accounts)
        assert set(read_models.rows(connection, chain, "calendars")) == set(calendars)
        connection.rollback()


@pytest.mark.parametrize("table", TABLES)
def test_a_row_of_few_is_the_same_row(writer: tuple[Connection, int], table: str) -> None:
    """Both ways in store every column of every table alike."""
    connection, chain = writer
    first, second = sample(table, 0), sample(table, 1)
    put(connection, chain, closing(5))
    read_models.write(connection, chain, [added(first, table)])
    put_few(connection, chain, [added(second, table)])
    assert set(read_models.rows(connection, chain, table)) == {first, second}


@pytest.mark.parametrize("table", [table for table in TABLES if table != "closed_periods"])
def test_a_changed_row_of_few_is_the_row_that_many_leave(writer: tuple[Connection, int], table: str) -> None:
    """Every column but those of the key becomes that of the new row; one that is gone is reported."""
    connection, chain = writer
    spec, first, second = TABLES[table], sample(table, 0), sample(table, 1)
    new = msgspec.structs.replace(second, **{name: getattr(first, name) for name in spec.key})
    put(connection, chain, linked(5))
    change = Change(table, key_of(table, first), first, new)
    connection.execute("SAVEPOINT empty")
    with pytest.raises(psycopg.Error, match="behind the ledger's back") as missing:
        put_few(connection, chain, [change])
    assert missing.value.sqlstate == "TL007"
    connection.execute("ROLLBACK TO empty; RELEASE empty")
    read_models.write(connection, chain, [added(first, table), added(second, table)])
    put_few(connection, chain, [change])
    assert set(read_models.rows(connection, chain, table)) == {new, second}


def test_sums_beyond_the_limit_of_one_amount_are_read_back(writer: tuple[Connection, int]) -> None:
    """Amounts are bounded, what they add up to is not; no digit is lost on the way."""
    connection, chain = writer
    for number, amount in enumerate((10**80 + 1, -(10**80) - 1, 1, -1, UNIT, -UNIT // 2, 0)):
        row = rows.Position(f"A{number}", "I", 1, amount, -amount, amount)
        read_models.write(connection, chain, [added(row, "positions")])
        assert read_models.load(connection, chain, "positions", (row.account, "I")) == row


def test_a_run_is_what_comes_before_a_row(writer: tuple[Connection, int]) -> None:
    """Lots by number, of one position; executions by what each follows, whatever day and venue that is of."""
    connection, chain = writer
    lot, execution = sample("lots", 0), sample("executions", 0)
    lots = [msgspec.structs.replace(lot, instrument=name, number=x) for name in ("I", "J") for x in range(1, 6)]
    traded = [
        msgspec.structs.replace(
            execution, trade_date=f"2024-08-{x:02}", exec_id=f"E{x}", ref_exec_id=None, ref_trade_date=None,
            follows=(execution.venue, f"2024-08-{x - 1:02}", f"E{x - 1}") if x > 1 else (),
        )
        for x in range(1, 6)
    ]  # fmt: skip
    read_models.write(connection, chain, [added(row, "lots") for row in lots])
    read_models.write(connection, chain, [added(row, "executions") for row in traded])
    for table, rows_of, at in (("lots", lots, 3), ("executions", traded, 3)):
        key = key_of(table, rows_of[at])
        for count, first in ((1, 3), (3, 1), (9, 0)):
            assert set(read_models.load_run(connection, chain, table, key, count)) == set(rows_of[first : at + 1])
    assert read_models.load_run(connection, chain, "executions", ("V", "2024-08-01", "none"), 9) == []


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
    """`load_open` and `is_closed` say the same of every kind of order, hold, quarantine, break and stream."""
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
    made += [("streams", rows.Stream(stream, 1)) for stream in ("subject-key/s", "schema/subject-key/s", "mark/I")]
    varied = ("orders", "holds", "quarantine", "breaks", "streams")
    made += [(table, sample(table, 0)) for table in TABLES if table not in varied]
    # A period is closed by an event that does so.
    put(connection, chain, closing(5))
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
