"""
Give the tests of invariants chains on which something of everything happened: one by hand, and a made-up firm's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from ledger import Ledger
from ledger.generation.requests import generate
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.verifier.intruder import report_on
from tests.verifier.test_verifier import history


@contextmanager
def _chain(server: Server, migrated: str, name: str, fill: Callable[[Ledger], object]) -> Iterator[Database]:
    database = Database(server, name)
    copy_database(server, database.name, migrated)
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        fill(ledger)
    assert report_on(database).findings == []
    yield database
    server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    with _chain(pg_server, migrated, "invariants", history) as database:
        yield database


@pytest.fixture(scope="module")
def firm(pg_server: Server, migrated: str) -> Iterator[Database]:
    """Return what a reader has who did what docs/INVARIANTS.md says."""
    with _chain(
        pg_server, migrated, "firm", lambda ledger: ledger.append_many(generate(2000, Random(1), "g"))
    ) as database:
        yield database
