"""
Take guards away in the catalogue itself, and see each fact that tells of it.
"""

from __future__ import annotations

import psycopg
import pytest

from ledger import guards, surroundings
from tests.conftest import Database
from tests.tamper.ways.guards import GUARDS


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_that_is_taken_away_is_a_fact_that_differs(database: Database, name: str) -> None:
    """Of a schema as the migrations make it nothing differs; whatever turns a guard off does, by the name it had."""
    _, fact, statements = GUARDS[name]
    with psycopg.connect(database.server.dsn("postgres", database.name)) as connection:
        connection.execute("SET search_path = pg_catalog")

        def query(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql.encode()).fetchall()

        def told() -> set[str]:
            return {name for name, _, _ in guards.differences(query)} | {
                name for name, _, _ in surroundings.around(query)
            }

        assert told() == set()
        connection.execute(statements.encode())
        assert fact in told()
