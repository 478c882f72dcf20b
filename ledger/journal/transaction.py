"""
Commit a batch: events, keys, read models, digest and head in one transaction, whose first statement locks the head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ledger.errors import ClockUnsafe, NotPrimary, StaleEpoch, Unavailable
from ledger.journal.preparation import Batch
from ledger.storage import chains, database, events, read_models
from ledger.storage.chains import Head
from ledger.storage.database import Connection, DriverError

Fault = Callable[[str, Connection], None]
"""A seam for tests: called with `before commit` and `after commit`; what it raises is what the transaction raises."""

PIPELINE_EVENTS: Final = 250
"""Up to so many events statements in a pipeline are faster than COPY, which needs round trips of its own."""
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
    try:
        if 0 < len(batch.rows) <= PIPELINE_EVENTS:
            _write_few(connection, chain, batch, epoch, clock)
        else:
            head, database_now = chains.lock_head_and_clock(connection, chain)
            _check_head(head, batch, epoch)
            if batch.rows:
                check_clocks(clock(), database_now, head.recorded_at)
                _write(connection, chain, batch, epoch)
        if batch.rows:
            fault("before commit", connection)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    if not batch.rows:
        connection.rollback()
        return
    try:
        connection.commit()
        fault("after commit", connection)
    except (DriverError, Unavailable) as error:
        if isinstance(error, DriverError) and not database.is_lost(error) and not connection.closed:
            # The server answered that it did not commit, and goes on.
            raise
        raise CommitFailed(str(error)) from error


def _check_head(head: Head, batch: Batch, epoch: int) -> None:
    if (head.seq, head.hash) != (batch.base.seq, batch.base.hash):
        raise HeadMoved
    if head.mode != "primary":
        raise NotPrimary(REPLICA)
    if head.epoch != epoch:
        raise StaleEpoch(f"the chain is in epoch {head.epoch}; this writer belongs to {epoch}: open it again")


def _write(connection: Connection, chain: int, batch: Batch, epoch: int) -> None:
    chains.advance(connection, chain, batch.seq, batch.hash, batch.recorded_at, epoch)
    events.insert_rows(connection, "events", batch.rows)
    events.insert_rows(connection, "idempotency_keys", batch.key_rows)
    read_models.write(connection, chain, batch.changes)
    _write_rest(connection, chain, batch)


def _write_few(connection: Connection, chain: int, batch: Batch, epoch: int, clock: Callable[[], int]) -> None:
    """
    Send every statement, the lock of the head first, before any answer is read: one round trip in place of twenty.

    What was written on a head that had moved is never committed: the head is checked as soon as the answers are there.
    """
    events.learn_row_types(connection)
    done: read_models.Later = []
    began = clock()
    failed: DriverError | None = None
    try:
        with connection.pipeline():
            # What fails here is kept until the pipeline has ended: the driver complains of one that an error leaves.
            try:
                locked = chains.send_lock(connection, chain)
                chains.advance(connection, chain, batch.seq, batch.hash, batch.recorded_at, epoch)
                events.insert_few_rows(connection, "events", batch.rows)
                events.insert_few_rows(connection, "idempotency_keys", batch.key_rows)
                read_models.write(connection, chain, batch.changes, done)
                _write_rest(connection, chain, batch)
            except DriverError as error:
                failed = error
    except DriverError as error:
        failed = failed or error
    if failed is not None:
        if not connection.closed:
            # A head that moved is the likeliest cause, and not the statement's fault.
            connection.rollback()
            _check_head(chains.lock_head(connection, chain), batch, epoch)
        raise failed
    head, database_now = chains.locked_head(locked, chain)
    _check_head(head, batch, epoch)
    # The server told its time once it had the lock, for which it may have waited long.
    check_clocks(min(max(database_now, began), clock()), database_now, head.recorded_at)
    read_models.check(done)


def _write_rest(connection: Connection, chain: int, batch: Batch) -> None:
    chains.write_lanes(connection, chain, batch.seq, batch.lanes)
    chains.insert_commit(connection, chain, batch.base.seq + 1, batch.seq, batch.digest, batch.recorded_at)
