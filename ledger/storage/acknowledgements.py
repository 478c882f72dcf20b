"""
Keep what each replica last acknowledged, and the commits it can be compared with.

An acknowledgement says how far a replica has applied and what its books add up to there. Only the newest of a replica
is kept, and it never goes back: an old one that arrives late, or again, changes nothing. Signatures are checked
before they come here; they are kept so that an auditor can check them again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg

Connection = psycopg.Connection[Any]


class Acknowledgement(msgspec.Struct, frozen=True):
    """
    One replica's word on how far it has applied; times in ns since 1970, `applied_at` by its clock.
    """

    replica: str
    epoch: int
    seq: int
    hash: bytes
    state_digest: bytes
    applied_at: int
    received_at: int
    signature: bytes


class Commit(msgspec.Struct, frozen=True):
    """
    The boundary of one transaction in this region, with the digest of the state after it.
    """

    last_seq: int
    first_seq: int
    state_digest: bytes
    committed_at: int


_COLUMNS: Final = Acknowledgement.__struct_fields__
_UPSERT: Final = (
    f"INSERT INTO ledger.acknowledgements AS known (chain, {', '.join(_COLUMNS)}) "
    f"VALUES (%s, {', '.join('%s' for _ in _COLUMNS)}) ON CONFLICT (chain, replica) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[1:])
    + " WHERE (excluded.epoch, excluded.seq, excluded.applied_at) > (known.epoch, known.seq, known.applied_at)"
)


def upsert(connection: Connection, chain: int, acknowledgement: Acknowledgement) -> bool:
    """
    Keep *acknowledgement* as its replica's newest; return False where it is known already, or a newer one.
    """
    return connection.execute(_UPSERT, [chain, *msgspec.structs.astuple(acknowledgement)]).rowcount == 1


def read(connection: Connection, chain: int) -> list[Acknowledgement]:
    """
    Return the newest acknowledgement of every replica, by its name.
    """
    found = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM ledger.acknowledgements WHERE chain = %s ORDER BY replica", [chain]
    )
    return [Acknowledgement(*row) for row in found]


def commits(connection: Connection, chain: int, after: int = 0, limit: int = 1000) -> list[Commit]:
    """
    Return the commits whose last seq is after *after*, in order, at most *limit*.
    """
    found = connection.execute(
        "SELECT last_seq, first_seq, state_digest, committed_at FROM ledger.commits "
        "WHERE chain = %s AND last_seq > %s ORDER BY last_seq LIMIT %s",
        [chain, after, limit],
    )
    return [Commit(*row) for row in found]
