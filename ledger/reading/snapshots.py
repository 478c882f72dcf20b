"""
Make snapshots of the folded state, and begin a replay at one whose rows prove to be those of the chain.

Before a snapshot is used, the digest of its rows is computed anew and held against the one that the commit at its seq
recorded when it was appended. A snapshot that is not those rows is refused by name; nothing else is read in its place
unless the caller says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ledger.chain.link import ChainHead
from ledger.domain.rows import TABLES
from ledger.domain.snapshot_bytes import decode, digest_of, encode
from ledger.domain.state import State
from ledger.errors import NoSuchMoment, StateMismatch
from ledger.reading.past import Replay, advance
from ledger.storage import chains, database, events, known_chains, moments, read_models, snapshots
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection
from ledger.storage.snapshots import Kept


def begin(connection: Connection, chain: ChainRow, seq: int, *, from_start: bool) -> Replay:
    """
    Return a replay that begins at the last snapshot up to *seq*, or with the chain where there is none.

    Raises:
        StateMismatch: that snapshot is not what the chain recorded at its seq; it is named, and nothing is read.
    """
    replay = Replay(chain)
    kept = None if from_start else snapshots.nearest(connection, chain.chain, seq)
    if kept is None:
        return replay
    try:
        state = decode(kept.rows)
        made = digest_of(state).hex()
    except (ValueError, AttributeError) as error:
        state, made = State(), f"no rows at all ({error})"
    recorded = moments.commit_digest(connection, chain.chain, kept.seq)
    expected = "no commit" if recorded is None else recorded.hex()
    if made != expected:
        raise StateMismatch(
            f"the snapshot at seq {kept.seq} is not the state there: its rows have digest {made}, the chain recorded "
            f"{expected}; read from the start, verify the ledger, then `tradeledger snapshot --drop {kept.seq}`"
        )
    replay.state = state
    replay.head = ChainHead(
        kept.seq, events.read_seqs(connection, chain.chain, chain.chain_id, [kept.seq])[kept.seq].hash
    )
    return replay


@contextlib.contextmanager
def _connected(dsn: str, origin: str | None) -> Iterator[tuple[Connection, ChainRow]]:
    with database.connect(dsn, "ledger snapshot") as connection:
        try:
            yield connection, known_chains.find(connection, origin)
        except database.DriverError as error:
            raise database.translated(error) from error


def make(dsn: str, origin: str | None, seq: int | None) -> tuple[int, int]:
    """
    Keep a snapshot of the books after the commit at *seq*, or of now; return its seq and its size in bytes.

    Raises:
        NoSuchMoment: no commit ends at *seq*.
        StateMismatch: the rows are not those that the chain recorded; none is made.
    """
    with _connected(dsn, origin) as (connection, chain):
        connection.rollback()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        head = chains.head(connection, chain.chain).seq
        at = head if seq is None else seq
        recorded = moments.commit_digest(connection, chain.chain, at)
        if recorded is None:
            raise NoSuchMoment(f"found seq {at}, where no commit ends; a snapshot is of the end of one, such as {head}")
        state = advance(connection, Replay(chain), at).state if seq is not None else _stored(connection, chain.chain)
        made = digest_of(state)
        if made != recorded:
            raise StateMismatch(
                f"the books at seq {at} have digest {made.hex()}; the chain recorded {recorded.hex()}: verify"
            )
        connection.rollback()
        rows = encode(state)
        snapshots.keep(connection, chain.chain, Kept(at, rows), made, time.time_ns())
        connection.commit()
    return at, len(rows)


def _stored(connection: Connection, chain: int) -> State:
    state = State()
    for name in TABLES:
        for row in read_models.rows(connection, chain, name):
            state.add(name, row)
    return state


def listed(dsn: str, origin: str | None) -> list[tuple[int, int, int]]:
    """
    Return (seq, bytes, when it was made in ns) of every snapshot of the chain.
    """
    with _connected(dsn, origin) as (connection, chain):
        return snapshots.all_of(connection, chain.chain)


def drop(dsn: str, origin: str | None, seq: int) -> None:
    """
    Remove the snapshot at *seq*.

    Raises:
        NoSuchMoment: there is none.
    """
    with _connected(dsn, origin) as (connection, chain):
        if not snapshots.drop(connection, chain.chain, seq):
            raise NoSuchMoment(f"found no snapshot at seq {seq}; `tradeledger snapshot --list` shows those there are")
        connection.commit()
