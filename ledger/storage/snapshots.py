"""
Keep folded states, so that the past near them is quick to read.

What is kept here is not trusted: `ledger.reading.snapshots` holds the rows against the digest that the chain's commits
recorded, each time it uses them. A snapshot may be dropped at any time; it can be made again.
"""

from __future__ import annotations

import msgspec

from ledger.storage.database import Connection


class Kept(msgspec.Struct, frozen=True):
    """
    A snapshot as it is stored: after which event, and its rows, compressed.
    """

    seq: int
    rows: bytes


def nearest(connection: Connection, chain: int, seq: int) -> Kept | None:
    """
    Return the last snapshot at *seq* or before, None where there is none.
    """
    row = connection.execute(
        "SELECT seq, rows FROM ledger.snapshots WHERE chain = %s AND seq <= %s ORDER BY seq DESC LIMIT 1", [chain, seq]
    ).fetchone()
    return None if row is None else Kept(*row)


def all_of(connection: Connection, chain: int) -> list[tuple[int, int, int]]:
    """
    Return (seq, bytes, when it was made in ns) of every snapshot.
    """
    return connection.execute(
        "SELECT seq, octet_length(rows)::bigint, made_at FROM ledger.snapshots WHERE chain = %s ORDER BY seq", [chain]
    ).fetchall()


def keep(connection: Connection, chain: int, kept: Kept, digest: bytes, made_at: int) -> None:
    """
    Store a snapshot; one that is there at its seq gives way.
    """
    drop(connection, chain, kept.seq)
    connection.execute(
        "INSERT INTO ledger.snapshots (chain, seq, state_digest, made_at, rows) VALUES (%s, %s, %s, %s, %s)",
        [chain, kept.seq, digest, made_at, kept.rows],
    )


def drop(connection: Connection, chain: int, seq: int) -> bool:
    """
    Remove the snapshot at *seq*; return whether there was one.
    """
    found = connection.execute("DELETE FROM ledger.snapshots WHERE chain = %s AND seq = %s", [chain, seq])
    return found.rowcount > 0
