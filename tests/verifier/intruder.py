"""
Edit rows behind the triggers' back, as a superuser could, and take the edit back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.conftest import ORIGIN, Database, copy_database
from verifier.columns import reported
from verifier.full import verify, without_chains
from verifier.reader import Reader
from verifier.report import Finding, Report
from verifier.stored import ChainsLost


def report_on(database: Database, origin: str | None = ORIGIN) -> Report:
    def made() -> Report:
        with Reader(database.dsn("auditor"), origin) as reader:
            return verify(reader)

    try:
        return reported(made)
    except ChainsLost as lost:
        return without_chains(lost, origin)


def real(report: Report) -> list[Finding]:
    """Return the findings about data: the tests drop constraints to get their edits in."""
    return [finding for finding in report.findings if finding.kind != "GUARD_CHANGED"]


@contextmanager
def copied(database: Database) -> Iterator[Database]:
    """Yield a copy of *database* to be broken."""
    name = f"copy_{os.urandom(4).hex()}"
    copy_database(database.server, name, database.name)
    try:
        yield Database(database.server, name)
    finally:
        database.server.sql(f"DROP DATABASE {name} WITH (FORCE)")


class Intruder:
    """A superuser who edits rows behind the triggers' back, and can undo it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = psycopg.connect(database.server.dsn("postgres", database.name), autocommit=True)

    def __enter__(self) -> Intruder:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def edit(self, table: str, sql: str, *given: object, least: int = 0) -> tuple[object, ...] | None:
        """Run *sql* with every trigger of *table* off, and leave them as they were; *least* rows are touched by it."""
        always = [
            row[0]
            for row in self.connection.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [f"ledger.{table}"]
            )
        ]
        self.connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
        try:
            done = self.connection.execute(sql, given or None)
            assert not least or done.rowcount >= least, f"{sql} touched {done.rowcount} rows of {table}"
            return done.fetchone() if done.description else None
        finally:
            self.connection.execute(f"ALTER TABLE ledger.{table} ENABLE TRIGGER ALL")
            for name in always:
                self.connection.execute(f"ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER {name}")

    def unguard(self, table: str) -> None:
        """Drop the CHECK constraints and unique indexes, which do not stop a determined intruder."""
        for (name,) in self.connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [f"ledger.{table}"]
        ).fetchall():
            self.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {name}")
        for (name,) in self.connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass AND indisunique "
            "AND indexrelid NOT IN (SELECT conindid FROM pg_constraint WHERE conindid <> 0)",
            [f"ledger.{table}"],
        ).fetchall():
            self.connection.execute(f"DROP INDEX {name}")

    def lose(self, table: str, where: str, index: str) -> None:
        """Take the entries of the rows that *where* names out of one index, as if it had not been there for them."""
        switch = "UPDATE pg_index SET indisready = {0}, indisvalid = {0} WHERE indexrelid = 'ledger.{1}'::regclass"
        self.connection.execute(f"CREATE TEMP TABLE lost AS SELECT * FROM ledger.{table} WHERE {where}")
        self.edit(table, f"DELETE FROM ledger.{table} WHERE {where}", least=1)
        self.connection.execute(switch.format("false", index))
        self.edit(table, f"INSERT INTO ledger.{table} SELECT * FROM lost", least=1)
        self.connection.execute(switch.format("true", index))
        self.connection.execute("DROP TABLE lost")

    def hide(self, table: str, rows: str) -> None:
        """Write the rows that a query makes, and let no index of the table hear of them."""
        switch = "UPDATE pg_class SET relhasindex = {} WHERE oid = 'ledger.{}'::regclass"
        self.connection.execute(f"CREATE TEMP TABLE hidden AS {rows}")
        self.connection.execute(switch.format("false", table))
        self.edit(table, f"INSERT INTO ledger.{table} SELECT * FROM hidden", least=1)
        self.connection.execute(switch.format("true", table))
        self.connection.execute("DROP TABLE hidden")

    def save(self, table: str) -> None:
        self.connection.execute(f"CREATE TEMP TABLE saved AS SELECT * FROM ledger.{table}")

    def restore(self, table: str) -> None:
        self.edit(table, f"DELETE FROM ledger.{table}; INSERT INTO ledger.{table} SELECT * FROM saved")
        self.connection.execute("DROP TABLE saved")

    @contextmanager
    def undone(self, table: str) -> Iterator[None]:
        """Take back every edit of *table* at the end."""
        self.save(table)
        try:
            yield
        finally:
            self.restore(table)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows as text, to see what an edit did."""
        found = self.connection.execute(f"SELECT row_to_json(t)::text, t.* FROM ledger.{table} t ORDER BY t.*::text")
        names = [column.name for column in found.description or ()][1:]
        return [dict(zip(names, row[1:], strict=True)) for row in found]


CHANGES = {
    "text": "{0} || 'x'", "bigint": "{0} + 1", "integer": "{0} + 1", "smallint": "{0} + 1",
    "numeric": "{0} + 0.00000001", "boolean": "NOT {0}", "date": "{0} + 1", "ARRAY": "{0} || ARRAY['x']",
    "json": "regexp_replace({0}::text, '[a-z]([^a-z]*)$', '#\\1')::json",
    "jsonb": "{0} - 'x'", "bytea": "set_byte({0}, 3, get_byte({0}, 3) # 1)",
    "uuid": "overlay({0}::text PLACING CASE right({0}::text, 1) WHEN '0' THEN '1' ELSE '0' END FROM 36)::uuid",
}  # fmt: skip
WHEN_NULL = {"text": "'x'", "bigint": "1", "numeric": "1", "date": "'2024-01-01'", "uuid": "'" + "1" * 32 + "'",
             "jsonb": "'{\"x\": 1}'"}  # fmt: skip


def columns(database: Database, table: str) -> dict[str, str]:
    """Return the type of every column."""
    found = database.sql(
        "SELECT column_name || ' ' || data_type FROM information_schema.columns "
        f"WHERE table_schema = 'ledger' AND table_name = '{table}' ORDER BY ordinal_position"
    )
    return dict(line.split(" ", 1) for line in found.splitlines())


def changed(intruder: Intruder, table: str, column: str, kind: str, where: str) -> bool:
    """Change one column of the row that *where* names; return whether anything is different now."""
    expression = CHANGES[kind].format(f'"{column}"')
    if kind in WHEN_NULL:
        expression = f'CASE WHEN "{column}" IS NULL THEN {WHEN_NULL[kind]} ELSE {expression} END'
    intruder.unguard(table)
    before = intruder.connection.execute(f'SELECT "{column}"::text FROM ledger.{table} WHERE {where}').fetchone()
    after = intruder.edit(
        table, f'UPDATE ledger.{table} SET "{column}" = {expression} WHERE {where} RETURNING "{column}"::text'
    )
    return after is not None and before != after


NOWHERE = 77
"""A chain number that no chain has."""
Place = tuple[str | int | None, tuple[str, ...] | None, str | None]


def places(found: list[Finding]) -> list[Place]:
    """Return (table or seq, key, column) of each finding, those that follow from another left out."""
    return sorted(((x.seq if x.table is None else x.table, x.key, x.column) for x in found if x.after is None), key=str)


def keys_of(intruder: Intruder, table: str, key: tuple[str, ...]) -> list[tuple[str, ...]]:
    shown = ", ".join(f'"{name}"::text' for name in key)
    return [tuple(row) for row in intruder.connection.execute(f"SELECT {shown} FROM ledger.{table} ORDER BY {shown}")]


def where(names: tuple[str, ...], key: tuple[str, ...]) -> str:
    return " AND ".join(f"\"{name}\"::text = '{value}'" for name, value in zip(names, key, strict=True))


def where_of(alias: str, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    return " AND ".join(f"{alias}.\"{name}\"::text = '{value}'" for name, value in zip(names, key, strict=True))
