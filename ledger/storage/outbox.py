"""
What the replicator asks of a region's database, beside events, heads and read models.

The events table is the outbox: nothing is marked as sent. A publisher holds an advisory lock, so that a chain has one
in a region; a replica keeps the place in the topic where it goes on.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

Connection = psycopg.Connection[Any]

_PUBLISHER_LOCK: Final = 0x74726C67
"""A number of our own, so that no other program's advisory locks are met."""


def lock_publisher(connection: Connection, chain: int) -> bool:
    """
    Take the publisher's lock for as long as the connection lives; return False where another has it.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_PUBLISHER_LOCK, chain]).fetchone()
    connection.commit()
    return row == (True,)


def position(connection: Connection, chain: int) -> int:
    """
    Return the offset in the topic after the last segment that was applied; 0 at first.
    """
    row = connection.execute("SELECT next_offset FROM ledger.replica_state WHERE chain = %s", [chain]).fetchone()
    return int(row[0]) if row else 0


def move(connection: Connection, chain: int, topic: str, next_offset: int) -> None:
    """
    Note where to go on, in the transaction that applied what came before.
    """
    connection.execute(
        "INSERT INTO ledger.replica_state VALUES (%s, %s, '', %s) ON CONFLICT (chain) DO UPDATE "
        "SET topic = excluded.topic, next_offset = excluded.next_offset",
        [chain, topic, next_offset],
    )
