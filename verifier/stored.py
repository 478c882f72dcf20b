"""
Name what the verifier reads beside events and read models, and the two ways in which there is nothing to read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import psycopg

from ledger.errors import Corrupt, Unavailable


class Unreadable(Unavailable):
    """
    The ledger cannot be read, so nothing can be said about it.
    """

    code = "could_not_verify"
    exit_status = 4


class Misread(Unreadable):
    """
    What the database answered cannot be read: a column is of another type, or is not there, or may have no value.
    """


def unanswered(error: Exception) -> Unreadable:
    """
    Return the error that says that the database stopped answering, or that it answered what cannot be read.
    """
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError):
        return Misread(f"the database cannot be read: {said}; nothing was verified")
    return Unreadable(f"the database stopped answering: {said}; nothing was verified")


def worker_ended() -> Unreadable:
    """
    Return the error that says that a process which verified a part was ended by somebody else.
    """
    return Unreadable("a worker process was ended, perhaps for want of memory; give fewer --jobs")


class ChainsLost(Corrupt):
    """
    There are rows of a chain, and no row that says which chain it is.
    """

    code = "chains_lost"

    def __init__(self, numbers: Sequence[object]) -> None:
        self.numbers = tuple(str(number) for number in numbers)
        super().__init__(
            f"there are events of chain number {', '.join(self.numbers)}, which no row of chains names: it was deleted "
            "or its number changed; restore it from a copy"
        )


class ChainRow(msgspec.Struct, frozen=True):
    """
    What the database says a chain is; without a row in chain_heads, `mode` is `missing` and `seq` is -1.
    """

    chain: int
    chain_id: bytes
    origin: str
    format_version: int
    genesis: bytes
    seq: int
    hash: bytes
    recorded_at: int
    epoch: int
    mode: str
    unbalanced: str | None = None
    """What a transaction would leave over of balances, as JSON: no row that was committed has any."""


class CommitRow(msgspec.Struct, frozen=True):
    """
    The boundary of one transaction.
    """

    first_seq: int
    last_seq: int
    state_digest: bytes
    committed_at: int


class KeyRow(msgspec.Struct, frozen=True):
    """
    One idempotency key, and the first seq of the group that used it.
    """

    source: str
    key: str
    first_seq: int


class AcknowledgementRow(msgspec.Struct, frozen=True):
    """
    What the database says a replica said last; `received_at` is the region's own word, the rest is signed.
    """

    replica: str
    epoch: int
    seq: int
    hash: bytes
    state_digest: bytes
    applied_at: int
    received_at: int
    signature: bytes


class CheckpointRow(msgspec.Struct, frozen=True):
    """
    A checkpoint as the database keeps it; when it was sealed is the region's own word.
    """

    size: int
    root: bytes
    note: bytes
    sealed_at: int
