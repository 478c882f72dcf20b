"""
Check the database: its guards, its rights, and that what goes in comes out the same.
"""

from __future__ import annotations

import datetime

import msgspec
import psycopg
import pytest

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead, genesis
from ledger.domain import rows
from ledger.domain.rows import TABLES
from ledger.domain.state import Change
from ledger.errors import (
    DatabaseDown,
    InvalidInput,
    NotPermitted,
    SchemaVersion,
    StateMismatch,
    UnknownChain,
    UnsafeSettings,
)
from ledger.storage import chains, events, read_models, upgrade
from ledger.storage import database as db
from tests.chain.test_chain import event
from tests.conftest import Database

CHAIN_ID = bytes(range(16))


def test_migrations_make_exactly_the_tables_that_the_code_describes(database: Database) -> None:
    """No difference in tables, columns, types, keys or indexes; and a change behind their back is seen."""
    upgrade.check(database.dsn("owner"))
    database.sql("ALTER TABLE ledger.balances ADD COLUMN extra int")
    with pytest.raises(SchemaVersion, match="extra"):
        upgrade.check(database.dsn("owner"))


def test_an_empty_or_newer_database_and_a_wrong_login_are_refused(empty_database: Database, database: Database) -> None:
    """Each says what to run."""
    with pytest.raises(SchemaVersion, match="db upgrade"):
        db.connect(empty_database.dsn("owner"), "test")
    database.sql("UPDATE ledger.alembic_version SET version_num = '0999'")
    with pytest.raises(SchemaVersion, match="0999"):
        db.connect(database.dsn("writer"), "test")
    with pytest.raises(NotPermitted, match="ledger_owner"):
        upgrade.upgrade(database.dsn("writer"))
    with pytest.raises(DatabaseDown, match=r"cannot be used now.*try again, and an append with the same key"):
        db.connect("postgresql://writer@/ledger?host=/nowhere", "test")
    with pytest.raises(InvalidInput, match="cannot be read"):
        db.connect("no address", "test")


def test_unsafe_settings_are_all_named(database: Database) -> None:
    """A login that turned off synchronous commit may not write a ledger."""
    database.sql(f"ALTER ROLE writer IN DATABASE {database.name} SET synchronous_commit = off")
    with pytest.raises(UnsafeSettings, match="synchronous_commit is 'off'"):
        db.connect(database.dsn("writer"), "test")


@pytest.mark.parametrize(
    "table", ["events", "idempotency_keys", "commits", "chains", "history_changes", "closed_periods"]
)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_history_cannot_be_changed_even_by_its_owner(database: Database, table: str, statement: str) -> None:
    """The triggers fire always, also in a session that pretends to replicate."""
    column = {"events": "seq", "idempotency_keys": "key", "commits": "last_seq", "chains": "origin",
              "history_changes": "reason", "closed_periods": "through"}[table]  # fmt: skip
    with psycopg.connect(database.dsn("owner")) as connection:
        connection.execute("SET ROLE ledger_owner")
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute(statement.format(f"ledger.{table}", column, column))


def linked(count: int, since: int = 1000, **columns: object) -> list[RecordedEvent]:
    """Return events that follow each other, recorded after *since*; with these *columns* where they are given."""
    head = ChainHead(0, genesis(CHAIN_ID, "example.com/a"))
    made = []
    for n in range(1, count + 1):
        one = event(
            seq=n, prev_hash=head.hash, stream_version=n, recorded_at=since + n, actor="ä\t\\ü", effective_on=-n,
            correlation_id=bytes(15) + bytes([n]), payload=b'{"derived":{},"given":{"a\\\\":"\\t\xc3\xa9"}}',
            **{"occurred_at": -n, **columns},
        )  # fmt: skip
        head = head.extend(one)
        made.append(msgspec.structs.replace(one, hash=head.hash))
    return made


def closing(count: int, **columns: object) -> list[RecordedEvent]:
    """Return such events of the type that closes a period, as 2024-09-01 begins."""
    begins = int(datetime.datetime(2024, 9, 1, tzinfo=datetime.UTC).timestamp()) * 10**9
    return linked(count, begins, **{"event_type": "PeriodClosed", "occurred_at": begins, **columns})


def put(connection: psycopg.Connection[object], chain: int, made: list[RecordedEvent]) -> None:
    """Move the head over *made* and insert them, as the journal does."""
    last = made[-1]
    chains.advance(connection, chain, last.seq, last.hash, last.recorded_at, last.epoch)
    events.insert(connection, chain, made)


def prepared(database: Database) -> tuple[psycopg.Connection[object], int]:
    with psycopg.connect(database.dsn("owner")) as owner:
        owner.execute("SET ROLE ledger_owner")
        row = chains.create(owner, CHAIN_ID, "example.com/a", genesis(CHAIN_ID, "example.com/a"), "primary")
        chains.bind_source(owner, "writer", "engine")
    return db.connect(database.dsn("writer"), "test"), row.chain


def test_events_come_back_as_they_went_in(database: Database) -> None:
    """Every column of every event, with negative times, non-ASCII text and escapes."""
    connection, chain = prepared(database)
    with connection:
        made = linked(5)
        put(connection, chain, made)
        connection.commit()
        assert list(events.read(connection, chain, CHAIN_ID)) == made
        assert list(events.read(connection, chain, CHAIN_ID, 2, 2)) == made[2:4]
        assert events.read_seqs(connection, chain, CHAIN_ID, [1, 5, 9]) == {1: made[0], 5: made[4]}
        assert chains.head(connection, chain).hash == made[-1].hash
        with pytest.raises(UnknownChain, match=r"example\.com/a"):
            chains.find(connection, "example.com/b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seq": 3}, "no event 2 for event 3"), ({"prev_hash": bytes(32)}, "hash before"),
        ({"recorded_at": 0}, "not later"), ({"epoch": 0}, "epoch that ended"),
        ({"source": "gateway"}, "may not write for the source"), ({"group_size": 0}, "group_place"),
        ({"stream_version": 0}, "stream_version_from_one"),
    ],
)  # fmt: skip
def test_the_database_itself_refuses_what_does_not_follow(
    database: Database, change: dict[str, object], words: str
) -> None:
    """A writer without the journal cannot leave a gap, break a link, go back in time or speak for another source."""
    connection, chain = prepared(database)
    with connection, pytest.raises(psycopg.Error, match=words):
        put(connection, chain, [msgspec.structs.replace(linked(1)[0], **change)])  # type: ignore[arg-type]


def test_a_replica_and_a_head_without_its_event_are_refused(database: Database) -> None:
    """Only the applier appends to a replica, and a head cannot run ahead of the events."""
    connection, chain = prepared(database)
    with connection:
        chains.advance(connection, chain, 7, bytes(32), 1, 1)
        with pytest.raises(psycopg.Error, match="would not be the last event"):
            connection.commit()
        connection.rollback()
        database.sql("UPDATE ledger.chain_heads SET mode = 'replica'")
        with pytest.raises(psycopg.Error, match="is a replica") as refused:
            put(connection, chain, linked(1))
        assert db.translated(refused.value).code == "not_primary"


def sample(table: str, number: int) -> rows.Row:
    """Return a row with a value of its own in every column, awkward to quote."""
    spec = TABLES[table]
    plain: dict[str, object] = {}
    for place, (name, hint) in enumerate(spec.row_type.__annotations__.items()):
        kind = str(hint)
        if name in spec.dates:
            plain[name] = f"2024-08-{number + 1:02d}"
        elif "tuple" in kind:
            plain[name] = ('a"b', "c\\d", "é,{}")[: number + 1]
        elif "bool" in kind:
            plain[name] = False
        elif name in spec.amounts:
            plain[name] = 10**40 + place * 10**18 + number
        elif "int" in kind:
            plain[name] = place + number
        else:
            plain[name] = f'{name} {number} "q" \\ \t\n é'
    for name in ("cum_qty", "settled_qty", "settled_gross", "hold_amount", "floor", "open_qty", "open_cost",
                 "paid_gross", "paid_tax", "disposed"):  # fmt: skip
        if name in plain:
            plain[name] = 0
    if table == "quarantine":
        plain["seq"] = number
    if table == "executions":
        # It would have to be there.
        plain["ref_exec_id"] = plain["ref_trade_date"] = None
    return spec.row_type(**plain)


@pytest.mark.parametrize("table", TABLES)
def test_rows_come_back_as_they_went_in_and_change_in_place(database: Database, table: str) -> None:
    """Insert, read, change every column that is no key, read again; absent values and quoting included."""
    connection, chain = prepared(database)
    spec = TABLES[table]
    first, second = sample(table, 0), sample(table, 1)
    keys = [tuple(getattr(row, name) for name in spec.key) for row in (first, second)]
    with connection:
        # A period is closed by an event that does so; balances change where the head moves.
        put(connection, chain, closing(5))
        read_models.write(
            connection, chain, [Change(table, keys[0], None, first), Change(table, keys[1], None, second)]
        )
        assert {read_models.load(connection, chain, table, key) for key in keys} == {first, second}
        if table == "closed_periods":
            # A period stays as it was closed.
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                read_models.write(connection, chain, [Change(table, keys[0], first, second)])
            return
        moved = msgspec.structs.replace(second, **{name: getattr(first, name) for name in spec.key})
        optional = {n: None for n, hint in spec.row_type.__annotations__.items() if "None" in str(hint)}
        moved = msgspec.structs.replace(moved, **optional)
        read_models.write(connection, chain, [Change(table, keys[0], first, moved)])
        assert read_models.load(connection, chain, table, keys[0]) == moved
        assert set(read_models.rows(connection, chain, table)) == {moved, second}
        if set(spec.columns) - set(spec.key):
            absent = {spec.key[-1]: 99 if type(keys[0][-1]) is int else "2024-09-09"}
            other = msgspec.structs.replace(moved, **absent)
            key = tuple(getattr(other, name) for name in spec.key)
            gone = Change(table, key, msgspec.structs.replace(first, **absent), other)
            with pytest.raises(StateMismatch, match="behind the ledger's back"):
                read_models.write(connection, chain, [gone])
        connection.rollback()
