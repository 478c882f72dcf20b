"""
Edit every column of what is kept for reads of the past, and see it named; what may be missing is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.journal.chain_creation import create_chain
from ledger.reading import snapshots
from ledger.reading.follower import Follower
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.reading.histories import DAYS, Teller
from tests.verifier.intruder import Intruder, changed, columns, copied, real, report_on
from verifier.region import KEPT
from verifier.report import NOT_COVERED

KEYS = {
    "balance_history": ("account", "asset", "seq"), "position_history": ("account", "instrument", "seq"),
    "snapshots": ("seq",), "read_model_watermarks": ("name",),
}  # fmt: skip
BEYOND = 3


@pytest.fixture(scope="module")
def made(pg_server: Server, migrated: str) -> Iterator[Database]:
    """A chain whose histories reach to some events before the head, with two snapshots."""
    database = Database(pg_server, "kept_for_the_verifier")
    copy_database(pg_server, database.name, migrated)
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        teller = Teller(ledger)
        teller.setup()
        for kind in ("lone trade", "correct", "place", "cash", "bust", "lone trade", "cash", "place"):
            teller.tell(kind, DAYS[1], DAYS[1], 0)
        head = ledger.head().seq
    with Follower(database.dsn("writer"), batch_events=head - BEYOND) as keeper:
        keeper.step()
    snapshots.make(database.dsn("writer"), None, 8)
    snapshots.make(database.dsn("writer"), None, None)
    yield database
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def region(made: Database) -> Iterator[Database]:
    with copied(made) as copy:
        yield copy


def test_what_is_kept_is_good_before_it_is_edited(made: Database) -> None:
    """Behind the head, and with snapshots: nothing is found, since histories may lag."""
    assert (report_on(made).findings, report_on(made).verdict) == ([], "verified")
    for table in KEPT:
        assert int(made.sql(f"SELECT count(*) FROM ledger.{table}")) >= 2, table


@pytest.mark.parametrize("table", KEPT)
def test_every_column_of_what_is_kept_is_held_against_the_replay(region: Database, table: str) -> None:
    """One column of the last row at a time: the table and the row are named, the column too where it is no key."""
    with Intruder(region) as intruder:
        shown = " || '/' || ".join(f'"{name}"::text' for name in KEYS[table])
        last = region.sql(f"SELECT {shown} FROM ledger.{table} ORDER BY {KEYS[table][-1]} DESC, 1 DESC LIMIT 1")
        for column, kind in columns(region, table).items():
            with intruder.undone(table):
                assert changed(intruder, table, column, kind, f"{shown} = '{last}'"), column
                found = real(report_on(region))
                if column == "made_at":
                    # Only the region says when; NOT_COVERED says so.
                    assert found == []
                elif column in ("chain", *KEYS[table]):
                    assert {x.table for x in found} == {table}, column
                elif (table, column) == ("read_model_watermarks", "seq"):
                    # Rows that should then be there, or should not, are named too.
                    assert (table, (last,), column) in [(x.table, x.key, x.column) for x in found]
                else:
                    assert [(x.table, x.key, x.column) for x in found] == [(table, tuple(last.split("/")), column)]
    assert any("snapshots.made_at" in line for line in NOT_COVERED)


@pytest.mark.parametrize("table", ["balance_history", "position_history"])
def test_a_version_less_or_too_many_is_named(region: Database, table: str) -> None:
    """A deleted version, a forged one in between, one past the watermark, and all of them gone."""
    names = ", ".join(name for name in columns(region, table) if name != "seq")
    mark = int(region.sql("SELECT max(seq) FROM ledger.read_model_watermarks"))
    with Intruder(region) as intruder:
        count = int(region.sql(f"SELECT count(*) FROM ledger.{table}"))
        newest = f"(SELECT max(seq) FROM ledger.{table} WHERE account = 'A')"
        least = f"(SELECT min(seq) FROM ledger.{table} WHERE account = 'A')"
        for sql, actual, number in (
            (f"DELETE FROM ledger.{table} WHERE account = 'A' AND seq = {least}", "no such row", None),
            (f"INSERT INTO ledger.{table} (seq, {names}) SELECT 3, {names} FROM ledger.{table} "
             f"WHERE account = 'A' AND seq = {newest} LIMIT 1", "a row", 1),
            (f"INSERT INTO ledger.{table} (seq, {names}) SELECT {mark + 1}, {names} FROM ledger.{table} "
             f"WHERE account = 'A' AND seq = {newest} LIMIT 1", "a row", 1),
            (f"INSERT INTO ledger.{table} (seq, {names}) SELECT 99999, {names} FROM ledger.{table} "
             f"WHERE account = 'A' AND seq = {newest} LIMIT 1", "a row", 1),
            (f"DELETE FROM ledger.{table}", "no such row", count),
        ):  # fmt: skip
            with intruder.undone(table):
                intruder.edit(table, sql)
                found = real(report_on(region))
                assert {(x.kind, x.table, x.actual) for x in found} == {("PROJECTION_MISMATCH", table, actual)}, sql
                assert number is None or len(found) == number


@pytest.mark.parametrize(("table", "column"), [
    ("balance_history", "seq"), ("balance_history", "account"), ("position_history", "seq"),
    ("balance_history", "settled"), ("snapshots", "seq"), ("snapshots", "state_digest"),
    ("read_model_watermarks", "name"), ("read_model_watermarks", "hash"), ("read_model_watermarks", "seq"),
])  # fmt: skip
def test_what_is_not_there_is_shown_as_null(made: Database, table: str, column: str) -> None:
    """In the row's key as well: whoever looks for the row by it finds it."""
    shown = ", ".join(f"coalesce(\"{name}\"::text, 'NULL')" for name in KEYS[table])
    with copied(made) as copy, Intruder(copy) as intruder:
        intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {table}_pkey CASCADE")
        intruder.unguard(table)
        intruder.connection.execute(f"ALTER TABLE ledger.{table} ALTER COLUMN {column} DROP NOT NULL")
        intruder.edit(table, f"UPDATE ledger.{table} SET {column} = NULL WHERE ctid = (SELECT max(ctid) FROM"
                      f" ledger.{table})", least=1)  # fmt: skip
        key = tuple(copy.sql(f"SELECT concat_ws('/', {shown}) FROM ledger.{table} WHERE {column} IS NULL").split("/"))
        found = [x for x in real(report_on(copy)) if x.key == key]
        assert [(x.table, x.column, x.actual) for x in found] == [
            (table, None, "a row") if column in KEYS[table] else (table, column, "NULL")
        ]


def test_a_snapshot_of_another_time_and_a_lost_watermark_are_named(region: Database) -> None:
    """Rows that are true of another seq are false here; one watermark alone, and one of no history, are wrong."""
    with Intruder(region) as intruder:
        with intruder.undone("snapshots"):
            intruder.edit("snapshots", "UPDATE ledger.snapshots s SET rows = o.rows FROM ledger.snapshots o "
                          "WHERE o.seq = 8 AND s.seq <> 8")  # fmt: skip
            assert [(x.table, x.column) for x in real(report_on(region))] == [("snapshots", "rows")]
        with intruder.undone("snapshots"):
            intruder.edit("snapshots", "DELETE FROM ledger.snapshots")
            assert real(report_on(region)) == []
        with intruder.undone("read_model_watermarks"):
            intruder.edit("read_model_watermarks", "UPDATE ledger.read_model_watermarks SET seq = 900")
            assert {(x.table, x.column) for x in real(report_on(region))} >= {("read_model_watermarks", "seq")}
        with intruder.undone("read_model_watermarks"):
            intruder.edit("read_model_watermarks", "INSERT INTO ledger.read_model_watermarks SELECT chain, "
                          "'order_history', seq, hash FROM ledger.read_model_watermarks LIMIT 1")  # fmt: skip
            assert [(x.table, x.key) for x in real(report_on(region))] == [
                ("read_model_watermarks", ("order_history",))
            ]
