"""
Check how much of a chain a read looks at, by PostgreSQL's own counts: what was asked for, however long the chain is.

The planner knows nothing of a chain that was not analysed yet, so that the way must be found without statistics.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import psycopg
import pytest

from ledger.storage import events, moments
from tests.conftest import Database
from tests.storage.test_storage import CHAIN_ID, linked, prepared, put

LENGTH = 250
TIMES = 20
"""Often enough for a prepared statement to get a plan that no longer looks at its parameters."""
Read = Callable[["psycopg.Connection[object]", int, int], object]
READS: dict[str, tuple[int, Read]] = {
    "a stream": (1, lambda c, chain, seq: events.read_stream(c, chain, CHAIN_ID, f"order/{seq}")),
    "a stream that is not there": (1, lambda c, chain, seq: events.read_stream(c, chain, CHAIN_ID, f"none/{seq}")),
    "the start of a stream": (1, lambda c, chain, seq: moments.first_of_stream(c, chain, f"order/{seq}")),
    "an event": (1, lambda c, chain, seq: events.read_seqs(c, chain, CHAIN_ID, [seq])),
    "a group": (1, lambda c, chain, seq: events.read_group(c, chain, CHAIN_ID, seq)),
    "a run of three": (3, lambda c, chain, seq: list(events.read(c, chain, CHAIN_ID, seq, 3))),
    "a moment": (9, lambda c, chain, seq: moments.last_by(c, chain, LENGTH, 1000 + seq)),
}  # fmt: skip


def rows_read(database: Database) -> int:
    """Return how many rows of events sessions that ended, or said so, have read: by index and one after another."""
    return int(database.sql(
        "SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid)"
        " FROM pg_stat_user_tables t WHERE t.relid = 'ledger.events'::regclass"
    ))  # fmt: skip


@pytest.mark.parametrize("analysed", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("name", READS)
def test_a_read_looks_at_no_more_than_it_is_about(database: Database, name: str, analysed: bool) -> None:
    """The rows read are those of the answer, and no more of them on a longer chain."""
    connection, chain = prepared(database)
    with connection:
        made = [msgspec.structs.replace(x, stream=f"order/{x.seq}", stream_version=1) for x in linked(LENGTH)]
        put(connection, chain, made)
        connection.commit()
        if analysed:
            database.sql("ANALYZE ledger.events")
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        before, (rows, read) = rows_read(database), READS[name]
        for seq in range(100, 100 + TIMES):
            read(connection, chain, seq)
            connection.rollback()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        found = rows_read(database) - before
    assert found <= 2 * rows * TIMES
    assert found > 0 or "not there" in name
