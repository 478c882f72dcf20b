"""
Find the seq that a moment means, by steps down the primary key of events.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import SequenceGap
from ledger.storage.database import Connection

_NEAR: Final = 4
"""Steps each way."""
_LONGEST: Final = 1000
"""No stream has as long a name, and it would be sent with each step."""


def recorded_at(connection: Connection, chain: int, seq: int) -> int:
    """
    Return when the event at *seq* was recorded, in ns.

    Raises:
        SequenceGap: there is no such event, although the head is beyond it.
    """
    row = connection.execute(
        "SELECT recorded_at FROM ledger.events WHERE chain = %s AND seq = %s", [chain, seq]
    ).fetchone()
    if row is None:
        raise SequenceGap(f"there is no event {seq}; the head is beyond it: verify the ledger")
    return int(row[0])


def last_by(connection: Connection, chain: int, head: int, nanoseconds: int) -> int:
    """
    Return the seq of the last event recorded at *nanoseconds* or before, 0 where none was.

    Recorded times rise with seq, so that about log2(head) rows are read and no index on them is needed.
    """
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        if recorded_at(connection, chain, middle) <= nanoseconds:
            low = middle
        else:
            high = middle - 1
    return low


def first_days(connection: Connection, chain: int, upto: int) -> int:
    """
    Return the first day, since 1970-01-01, that an event up to seq *upto* counts for; it reads them all.
    """
    row = connection.execute(
        "SELECT min(effective_on) - date '1970-01-01' FROM ledger.events WHERE chain = %s AND seq <= %s", [chain, upto]
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def commit_digest(connection: Connection, chain: int, seq: int) -> bytes | None:
    """
    Return the digest of the state that the commit ending at *seq* recorded, None where no commit ends there.
    """
    row = connection.execute(
        "SELECT state_digest FROM ledger.commits WHERE chain = %s AND last_seq = %s", [chain, seq]
    ).fetchone()
    return None if row is None else row[0]


def first_of_stream(connection: Connection, chain: int, stream: str) -> int | None:
    """
    Return the seq of the first event of *stream*, None where there is none.
    """
    # The chain is no column to look by: without statistics the primary key, which begins with it, would seem as good.
    row = connection.execute(
        "SELECT seq FROM ledger.events WHERE chain + 0 = %s AND stream = %s ORDER BY stream_version, seq LIMIT 1",
        [chain, stream],
    ).fetchone()
    return None if row is None else int(row[0])


def streams_near(connection: Connection, chain: int, stream: str, upto: int) -> list[str]:
    """
    Return streams of events up to seq *upto* whose names stand next to *stream* in order, in capitals or in small.

    It takes a few steps along the index however many streams there are; a name that begins otherwise is not found.
    """
    if len(stream) > _LONGEST:
        return []
    kind, _, name = stream.partition("/")
    found: dict[str, None] = {}
    for start in dict.fromkeys(f"{kind.lower()}/{spelled}" for spelled in (name, name.upper(), name.lower())):
        for first, then, order in ((">=", ">", "ASC"), ("<", "<", "DESC")):
            place, compare = start, first
            for _ in range(_NEAR):
                row = connection.execute(
                    f"SELECT stream FROM ledger.events WHERE chain + 0 = %s AND stream {compare} %s "
                    f"ORDER BY stream {order} LIMIT 1",
                    [chain, place],
                ).fetchone()
                if row is None:
                    break
                place, compare = str(row[0]), then
                found[place] = None
    return [x for x in found if (first_of_stream(connection, chain, x) or upto + 1) <= upto]
