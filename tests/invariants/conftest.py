"""
Give the tests of invariants one chain on which something of everything happened.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database
from tests.verifier.intruder import report_on
from tests.verifier.test_verifier import history


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    database = Database(pg_server, "invariants")
    pg_server.sql(f"CREATE DATABASE {database.name} TEMPLATE {migrated} OWNER ledger_owner")
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        history(ledger)
    assert report_on(database).findings == []
    yield database
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")
