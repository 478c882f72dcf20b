"""
Hold a resting writer's memory against the store, in both directions.

What memory has must be stored so, and what is open must be in memory: a row too many is a leak, a row too few would
let a rule be broken. Nothing may be left of what was on its way.
"""

from __future__ import annotations

from ledger import Ledger
from ledger.domain.rows import TABLES
from ledger.domain.state import is_closed
from ledger.storage import chains, read_models
from ledger.storage import database as db
from tests.conftest import Database


def rows_in_memory(ledger: Ledger) -> dict[str, int]:
    """Return how many rows of each table the writer has in memory, for those of which it has any."""
    assert ledger._writer is not None
    state = ledger._writer.state
    return {table: len(state.table(table).rows) for table in TABLES if state.table(table).rows}


def check_at_rest(chain: Database, ledger: Ledger) -> None:
    """Assert that the memory of a writer that was the last to append is the store's, and free of what is over."""
    check_memory(chain.dsn("auditor"), ledger)


def check_memory(dsn: str, ledger: Ledger) -> None:
    """As `check_at_rest`, for a process that knows an address alone."""
    writer = ledger._writer
    assert writer is not None
    preparer = writer._preparer
    assert preparer is not None
    state = preparer.state
    assert state.log == []
    assert state.loaded == []
    assert state.certain is False
    assert preparer._live == []
    with db.connect(dsn, "test") as connection:
        chain = ledger.chain.chain
        head = chains.head(connection, chain)
        assert (writer._head[0].seq, writer._head[0].hash) == (head.seq, head.hash)
        assert (head.seq, writer._lanes) == chains.read_lanes(connection, chain)
        for table, spec in TABLES.items():
            stored = {
                tuple(getattr(row, column) for column in spec.key): row
                for row in read_models.rows(connection, chain, table)
            }
            expected = {key: row for key, row in stored.items() if not is_closed(table, row)}
            assert state.table(table).rows == expected, table
