"""
What the replicator asks of a region's database, beside events, heads and read models.

The events table is the outbox: nothing is marked as sent. A publisher holds an advisory lock and an applier another,
so that a chain has one of each in a region; a replica keeps the place in the topic where it goes on.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import psycopg

Connection = psycopg.Connection[Any]

PUBLISHER: Final = 0x74726C67
APPLIER: Final = 0x74726C68
"""Numbers of our own, so that no other program's advisory locks are met."""


def lock(connection: Connection, part: int, chain: int) -> bool:
    """
    Take the lock of *part*, PUBLISHER or APPLIER, for as long as the connection lives; return False where another has
    it.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [part, chain]).fetchone()
    connection.commit()
    return row == (True,)


def unlock(connection: Connection) -> None:
    """
    Give the lock up at once: the server sees a while later only that a connection has ended.
    """
    with contextlib.suppress(psycopg.Error):
        connection.rollback()
        connection.execute("SELECT pg_advisory_unlock_all()")
        connection.commit()


def position(connection: Connection, chain: int) -> tuple[str, int]:
    """
    Return the id of the topic, and the offset in it after the last segment that was applied; nothing and 0 at first.
    """
    row = connection.execute(
        "SELECT topic_id, next_offset FROM ledger.replica_state WHERE chain = %s", [chain]
    ).fetchone()
    return (str(row[0]), int(row[1])) if row else ("", 0)


def move(connection: Connection, chain: int, topic: str, topic_id: str, next_offset: int) -> None:
    """
    Note where to go on, in the transaction that applied what came before.
    """
    connection.execute(
        "INSERT INTO ledger.replica_state VALUES (%s, %s, %s, %s) ON CONFLICT (chain) DO UPDATE "
        "SET topic = excluded.topic, topic_id = excluded.topic_id, next_offset = excluded.next_offset",
        [chain, topic, topic_id, next_offset],
    )
