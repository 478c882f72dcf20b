"""
Commit a batch: events, keys, read models, digest and head in one transaction, whose first statement locks the head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from ledger.errors import ClockUnsafe, NotPrimary, StaleEpoch, Unavailable
from ledger.journal.preparation import Batch
from ledger.storage import chains, database, events, read_models, small_transactions
from ledger.storage.chains import Head
from ledger.storage.database import Connection, DriverError

Fault = Callable[[str, Connection], None]
"""A seam for tests: called with `before commit` and `after commit`; what it raises is what the transaction raises."""

REPLICA: Final = "this region is a replica of the chain; append where it is primary"
CLOCK_TOLERANCE_NS: Final = 1_000_000_000
HEAD_TOLERANCE_NS: Final = 5_000_000_000


class HeadMoved(Exception):
    """
    Another process appended: the batch was prepared on a head that is no more the last.
    """


class CommitFailed(Exception):
    """
    COMMIT was sent and its answer did not come; whether it took effect is not known.
    """


def no_fault(moment: str, connection: Connection) -> None:
    """
    Do nothing: the seam as it is outside tests.
    """


def check_clocks(now: int, database_now: int, head_recorded_at: int) -> None:
    """
    Raise ClockUnsafe where clocks disagree so much that a wrong time would be recorded for ever.
    """
    if abs(now - database_now) > CLOCK_TOLERANCE_NS:
        raise ClockUnsafe(
            f"this machine's clock and PostgreSQL's differ by {abs(now - database_now) / 1e9:.1f} s; "
            "at most 1 s is safe: set the clocks right"
        )
    if head_recorded_at - now > HEAD_TOLERANCE_NS:
        raise ClockUnsafe(
            f"the last event was recorded {(head_recorded_at - now) / 1e9:.1f} s ahead of this machine's clock; "
            "at most 5 s is safe: set the clock right"
        )


def commit(
    connection: Connection, chain: int, batch: Batch, epoch: int, clock: Callable[[], int], fault: Fault = no_fault
) -> None:
    """
    Make *batch* durable.

    Raises:
        HeadMoved: another process appended meanwhile.
        NotPrimary, StaleEpoch, ClockUnsafe: this writer may not append now.
        CommitFailed: the outcome is not known.
        DriverError: anything else; nothing was committed.
    """
    few = 0 < len(batch.rows) <= small_transactions.EVENTS and small_transactions.is_ready(connection)
    if not few or not _commit_few(connection, chain, batch, epoch, clock, fault):
        _commit_many(connection, chain, batch, epoch, clock, fault)


def _commit_few(
    connection: Connection, chain: int, batch: Batch, epoch: int, clock: Callable[[], int], fault: Fault
) -> bool:
    """Commit by one call; return False, and have done nothing, where a look under the lock has to say what is wrong."""
    try:
        fault("before commit", connection)
        # Whatever fails up to here is known not to have happened.
        small_transactions.check_alive(connection)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    now = clock()
    clocks = (now - CLOCK_TOLERANCE_NS, now + CLOCK_TOLERANCE_NS, now + HEAD_TOLERANCE_NS)
    base, head = (batch.base.seq, batch.base.hash), (batch.seq, batch.hash, batch.recorded_at)
    with _committing(connection):
        try:
            small_transactions.append(
                connection, chain, base, head, epoch, clocks, (batch.rows, batch.key_rows), batch.changes,
                (batch.lanes, batch.digest),
            )  # fmt: skip
        except small_transactions.Unexpected:
            connection.rollback()
            return False
        fault("after commit", connection)
    return True


def _commit_many(
    connection: Connection, chain: int, batch: Batch, epoch: int, clock: Callable[[], int], fault: Fault
) -> None:
    """Commit statement by statement, rows by COPY, under a lock of the head that is looked at first."""
    version = 0
    try:
        head, database_now = chains.lock_head_and_clock(connection, chain)
        _check_head(head, batch, epoch)
        if batch.rows:
            check_clocks(clock(), database_now, head.recorded_at)
            version = _write(connection, chain, batch, epoch)
            fault("before commit", connection)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    if not batch.rows:
        connection.rollback()
        return
    with _committing(connection):
        connection.commit()
        small_transactions.follow(connection, version)
        fault("after commit", connection)


@contextlib.contextmanager
def _committing(connection: Connection) -> Iterator[None]:
    """Say of what failed inside whether its outcome is known."""
    try:
        yield
    except (DriverError, Unavailable) as error:
        if isinstance(error, DriverError) and not database.is_lost(error) and not connection.closed:
            # The server answered that it did not commit, and goes on.
            connection.rollback()
            raise
        raise CommitFailed(str(error)) from error


def _check_head(head: Head, batch: Batch, epoch: int) -> None:
    if (head.seq, head.hash) != (batch.base.seq, batch.base.hash):
        raise HeadMoved
    if head.mode != "primary":
        raise NotPrimary(REPLICA)
    if head.epoch != epoch:
        raise StaleEpoch(f"the chain is in epoch {head.epoch}; this writer belongs to {epoch}: open it again")


def _write(connection: Connection, chain: int, batch: Batch, epoch: int) -> int:
    version = chains.advance(connection, chain, batch.seq, batch.hash, batch.recorded_at, epoch)
    events.insert_rows(connection, "events", batch.rows)
    events.insert_rows(connection, "idempotency_keys", batch.key_rows)
    read_models.write(connection, chain, batch.changes)
    chains.write_lanes(connection, chain, batch.seq, batch.lanes)
    chains.insert_commit(connection, chain, batch.base.seq + 1, batch.seq, batch.digest, batch.recorded_at)
    return version
