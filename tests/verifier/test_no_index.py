"""
Write rows that no index leads to, where the server would rather go by one: whoever reads all of a table sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from ledger.domain.rows import TABLES
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database
from tests.verifier.history import written_in
from tests.verifier.intruder import Intruder, columns, copied
from verifier import full
from verifier.connection import by_no_index
from verifier.moment import HISTORIES
from verifier.reader import Reader
from verifier.walk import keyed, tables
from verifier.walk.books import Books


def _rows(table: str, reader: Reader) -> int:
    return len(list(reader.rows(table)))


def _versions(table: str, reader: Reader) -> int:
    return len(list(reader.versions(table)))


READ: Final[dict[str, Callable[[Reader], int]]] = {
    **{table: partial(_rows, table) for table in TABLES},
    **{name: partial(_versions, table) for table, name in HISTORIES.items()},
    "chains": lambda reader: reader.rows_of_chain(ORIGIN),
    "chain_heads": lambda reader: reader.heads(),
    "state_digests": lambda reader: len(reader.lanes()),
    "idempotency_keys": lambda reader: len(list(reader.keys())),
    "commits": lambda reader: len(list(reader.commits())),
    "read_model_watermarks": lambda reader: len(reader.watermarks()),
    "snapshots": lambda reader: len(reader.snapshots()),
    "acknowledgements": lambda reader: len(reader.acknowledgements()),
    "checkpoints": lambda reader: len(list(reader.checkpoints("all"))),
    "replica_state": lambda reader: len(reader.positions()),
    "source_logins": lambda reader: len([said for said in reader.vouched() if "may write for source" in said]),
}
"""Of each table that is read from end to end: how many rows of it a reader sees."""
ANY: Final = {
    "smallint": "1", "integer": "1", "bigint": "1", "numeric": "1", "text": "'x'", "bytea": "'\\x00'::bytea",
    "date": "date '2024-08-09'", "boolean": "false", "ARRAY": "ARRAY['x']",
}  # fmt: skip
"""A value of each type, of which a row can be made where a table has none."""


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    """A history in a database that reads no table from end to end where it can go by an index."""
    with written_in(pg_server, migrated, "by_index") as made:
        pg_server.sql(f"ALTER DATABASE {made.name} SET enable_seqscan = off")
        yield made


@pytest.fixture
def copy(written: Database) -> Iterator[Database]:
    with copied(written) as made:
        made.server.sql(f"ALTER DATABASE {made.name} SET enable_seqscan = off")
        yield made


def hide_one(intruder: Intruder, table: str) -> None:
    """Hide a second row of a table that has one, and else whatever row it takes."""
    if intruder.rows(table):
        return intruder.hide(table, f"SELECT * FROM ledger.{table} LIMIT 1")
    intruder.unguard(table)
    values = ", ".join(f'{ANY[kind]} AS "{name}"' for name, kind in columns(intruder.database, table).items())
    return intruder.hide(table, f"SELECT {values}")


def test_a_row_that_no_index_has_is_read_with_all_of_its_table(copy: Database) -> None:
    """Each statement for all rows sees one more; where the server chooses the way, it sees as many as before."""
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        before = {table: count(reader) for table, count in READ.items()}
    with Intruder(copy) as intruder:
        for table in READ:
            hide_one(intruder, table)
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        found = {table: count(reader) for table, count in READ.items()}
        by_index = reader.query("SELECT count(*) FROM ledger.accounts WHERE chain = 1")
        assert reader.query("SHOW enable_seqscan") == [("off",)]
        assert reader.query("SHOW enable_indexscan") == [("on",)]
    assert found == {table: count + 1 for table, count in before.items()}
    assert by_index == [(before["accounts"],)]


def test_what_is_set_for_a_statement_ends_with_it(written: Database) -> None:
    """Also where it fails, with the transaction that it was set in."""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        with pytest.raises(ZeroDivisionError), reader.connection.transaction(), by_no_index(reader.connection):
            raise ZeroDivisionError
        assert reader.query("SHOW enable_indexscan") == [("on",)]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("table", ["accounts", "balances", "idempotency_keys", "state_digests"])
def test_a_verification_that_goes_on_finds_a_row_that_no_index_has(
    copy: Database, tmp_path: Path, table: str, jobs: int
) -> None:
    """It looks no row up by the indexes: it compares what is in the tables."""

    def verified() -> list[tuple[str, str | None]]:
        with Reader(copy.dsn("auditor"), ORIGIN) as reader, Books(tmp_path / "books") as books:
            return [(one.kind, one.table) for one in full.verify(reader, jobs=jobs, books=books).findings]

    assert verified() == []
    assert verified() == []
    with Intruder(copy) as intruder:
        hide_one(intruder, table)
    assert {found for _, found in verified()} == {table}


def test_the_digest_of_a_table_and_the_walk_along_its_keys_go_by_no_index(copy: Database) -> None:
    digest = tables.Task(copy.dsn("auditor"), None, 1, "accounts")
    keys = keyed.Task(copy.dsn("auditor"), None, 1)
    before = tables.digest(digest)
    assert keyed.check(keys)
    with Intruder(copy) as intruder:
        hide_one(intruder, "accounts")
        hide_one(intruder, "idempotency_keys")
    after = tables.digest(digest)
    assert after.count == before.count + 1
    assert after.lanes != before.lanes
    assert not keyed.check(keys)
