"""
Take guards away in the catalogue itself, and see each fact that tells of it.
"""

from __future__ import annotations

import psycopg
import pytest

from ledger import guards
from tests.conftest import Database
from tests.tamper.ways.guards import GUARDS


@pytest.mark.parametrize("name", [name for name, (_, fact, _) in GUARDS.items() if "public." not in fact])
def test_a_guard_that_is_taken_away_is_a_fact_that_differs(database: Database, name: str) -> None:
    """Of a schema as the migrations make it nothing differs; whatever turns a guard off does, by the name it had."""
    _, fact, statements = GUARDS[name]
    with psycopg.connect(database.server.dsn("postgres", database.name)) as connection:
        connection.execute("SET search_path = pg_catalog")

        def told() -> set[str]:
            return {name for name, _, _ in guards.differences(lambda sql: connection.execute(sql.encode()).fetchall())}

        assert told() == set()
        connection.execute(statements.encode())
        assert fact in told()
