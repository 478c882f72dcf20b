"""
Put rows of checkpoints where their notes say that they belong, or take them away, as the owner of the tables.

Nothing here knows whether a note is true: `ledger.repairing` proves it first.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.storage import repairs
from ledger.storage.database import Connection


def put(connection: Connection, chain: int, size: int, root: bytes, note: bytes, reason: str) -> bool:
    """
    Let the checkpoint of *size* events have this root and note, in one row: of several that which has them already.
    Return whether it has, which it has not where neither its row nor its last event is there.

    When it was sealed stays as it stands there; of one that was gone it is the first time at which it can have been.
    """
    repairs.keep(connection, "checkpoints", f"{reason} (checkpoints)", "t.chain = %s AND t.size = %s", [chain, size])
    with repairs.aside(connection, "checkpoints"):
        connection.execute(
            "DELETE FROM ledger.checkpoints WHERE chain = %s AND size = %s AND ctid <>"
            " (SELECT ctid FROM ledger.checkpoints WHERE chain = %s AND size = %s"
            "  ORDER BY (root, note) IS NOT DISTINCT FROM (%s, %s) DESC, sealed_at, ctid LIMIT 1)",
            [*[chain, size] * 2, root, note.decode()],
        )
        done = connection.execute(
            "UPDATE ledger.checkpoints SET (root, note) = (%s, %s) WHERE chain = %s AND size = %s",
            [root, note.decode(), chain, size],
        )
        if not done.rowcount:
            done = connection.execute(
                "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) SELECT chain, seq, %s, %s,"
                " greatest(recorded_at, (SELECT max(sealed_at) FROM ledger.checkpoints c WHERE c.chain = e.chain"
                "  AND c.size < e.seq)) FROM ledger.events e WHERE chain = %s AND seq = %s"
                " AND NOT EXISTS (SELECT FROM ledger.checkpoints c WHERE (c.chain, c.size) = (e.chain, e.seq))",
                [root, note.decode(), chain, size],
            )
    if not done.rowcount and repairs.last_until(connection, chain, size) != size:
        return False
    _check(connection, chain, size, root, note)
    return True


def _check(connection: Connection, chain: int, size: int, root: bytes, note: bytes) -> None:
    """Raise Corrupt unless one row stands for the checkpoint of *size* events, with this root and note."""
    if stored(connection, chain, size) != [(root, note)]:
        raise repairs.unwritten("checkpoints")


def move(connection: Connection, chain: int, moves: Sequence[tuple[int, int, bytes]], reason: str) -> None:
    """
    Let each row of so many events be that of as many others, with a root: *moves* has these three. They go together, so
    that one may take the place of another.
    """
    if not moves:
        return
    to = {of: (size, root) for of, size, root in moves}
    repairs.keep(
        connection, "checkpoints", f"{reason} (checkpoints)", "t.chain = %s AND t.size = ANY(%s)", [chain, [*to]]
    )
    with repairs.aside(connection, "checkpoints"):
        gone = connection.execute(
            "DELETE FROM ledger.checkpoints WHERE chain = %s AND size = ANY(%s) RETURNING size, note, sealed_at",
            [chain, [*to]],
        ).fetchall()
        for of, note, sealed_at in gone:
            connection.execute(
                "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) VALUES (%s, %s, %s, %s, %s)",
                [chain, *to[of], note, sealed_at],
            )
    for of, note, _ in gone:
        _check(connection, chain, *to[of], note.encode())
    if len(gone) != len(to):
        raise repairs.unwritten("checkpoints")


def bring(connection: Connection, number: int, astray: int, chain: int, size: int, root: bytes, reason: str) -> None:
    """
    Let the checkpoint of *astray* events under a *number* be that of *size* events of the *chain*, with a root; where
    there is such a row already it goes.
    """
    there = stored(connection, chain, size) or stored(connection, number, astray)
    repairs.keep(connection, "checkpoints", f"{reason} (checkpoints)", "t.chain = %s AND t.size = %s", [number, astray])
    with repairs.aside(connection, "checkpoints"):
        connection.execute(
            "WITH gone AS (DELETE FROM ledger.checkpoints WHERE chain = %s AND size = %s RETURNING note, sealed_at)"
            " INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) SELECT %s, %s, %s, note, sealed_at"
            " FROM gone WHERE NOT EXISTS (SELECT FROM ledger.checkpoints WHERE chain = %s AND size = %s)",
            [number, astray, chain, size, root, chain, size],
        )
    if stored(connection, number, astray) or len(there) != 1:
        raise repairs.unwritten("checkpoints")
    _check(connection, chain, size, root, there[0][1])


def sizes(connection: Connection, chain: int, limit: int) -> list[int]:
    """
    Return the sizes of checkpoints under a number, so many at most.
    """
    found = connection.execute(
        "SELECT DISTINCT size FROM ledger.checkpoints WHERE chain = %s AND size IS NOT NULL ORDER BY size LIMIT %s",
        [chain, limit],
    )
    return [int(row[0]) for row in found]


def stored(connection: Connection, chain: int, size: int) -> list[tuple[bytes, bytes]]:
    """
    Return root and note of the checkpoint of *size* events as they stand: none where there is no such row, several
    where a key was taken away.
    """
    found = connection.execute(
        "SELECT coalesce(root, ''), convert_to(coalesce(note, ''), 'UTF8') FROM ledger.checkpoints"
        " WHERE chain = %s AND size = %s ORDER BY sealed_at, ctid",
        [chain, size],
    )
    return [(bytes(root), bytes(note)) for root, note in found]


def remove(connection: Connection, chain: int, size: int, reason: str) -> None:
    """
    Take the row away that stands for the checkpoint of *size* events.
    """
    repairs.keep(connection, "checkpoints", f"{reason} (checkpoints)", "t.chain = %s AND t.size = %s", [chain, size])
    with repairs.aside(connection, "checkpoints"):
        connection.execute("DELETE FROM ledger.checkpoints WHERE chain = %s AND size = %s", [chain, size])
    if stored(connection, chain, size):
        raise repairs.unwritten("checkpoints")
