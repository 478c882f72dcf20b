"""
Write for many callers with one thread: take what waits, prepare it, commit it, answer.

While one transaction commits, the next is prepared on memory that already has the first one's effects: it is
speculative, and nothing that rests on it leaves the process before it is durable. If the commit fails, the effects of
both are dropped and all their requests are checked again from scratch; if its outcome is unknown, that is settled
first, by locking the head and looking.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain import schemas
from ledger.domain.rows import Row
from ledger.domain.state import Key, State
from ledger.errors import (
    Closed,
    Corrupt,
    InvalidInput,
    LedgerError,
    OutcomeUnknown,
    StaleEpoch,
    StateMismatch,
    Unavailable,
)
from ledger.journal import transaction
from ledger.journal.answers import Pending
from ledger.journal.inbox import Inbox
from ledger.journal.preparation import Batch, Preparer
from ledger.journal.transaction import CommitFailed, Fault, HeadMoved
from ledger.storage import chains, database, events, read_models
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection, DriverError
from ledger.storage.scribe import Scribe

_RETRIES: Final = 50
_WARY_BATCHES: Final = 32
"""After a request that was recorded before, so many batches look every key up first: repeats come in runs."""


class WriterSettings(msgspec.Struct, frozen=True):
    """
    Limits of one writer.
    """

    batch_events: int = 2_000
    """Most events of one transaction; a larger group makes a larger one."""
    queue_requests: int = 20_000
    """Most requests that wait; more callers then wait to hand theirs in."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InvalidInput(f"found {name} {value!r}; expected an integer of 1 or more")


class Writer:
    """
    The writer thread of one chain in this process.
    """

    def __init__(
        self,
        dsn: str,
        chain: ChainRow,
        source: str,
        settings: WriterSettings,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        fault: Fault,
    ) -> None:
        self._dsn = dsn
        self._chain = chain
        self._source = source
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self.fault = fault
        self._inbox = Inbox(settings.queue_requests)
        self._wary = 0
        self._in_hand: list[Pending] = []
        self._reign: int | None = None
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="ledger-commit")
        self._writing: Connection | None = None
        self._reading: Connection | None = None
        self._preparer: Preparer | None = None
        try:
            self._open()
        except BaseException:
            self._disconnect()
            raise
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """
        Return the memory of the writer; true only while it rests.
        """
        if self._preparer is None:
            raise Closed("the writer holds no state now; a request makes it load")
        return self._preparer.state

    def is_here(self) -> bool:
        """
        Return whether the caller runs on the writer's own thread, as a future's callback does.
        """
        return threading.current_thread() is self._thread

    def submit(self, pending: Pending, timeout: float | None) -> None:
        """
        Hand in a request; it is answered once what it rests on is durable.

        Raises:
            Closed, Unavailable: it was not taken.
        """
        self._inbox.put(pending, timeout)

    def close(self) -> None:
        """
        Answer all that was handed in, then end.
        """
        self._inbox.close()
        self._thread.join()
        self._committer.shutdown()
        self._disconnect()

    # Memory and connections

    def _disconnect(self) -> None:
        for connection in (self._writing, self._reading):
            if connection is not None:
                connection.close()

    def _open(self) -> None:
        self._disconnect()
        self._writing = database.connect(self._dsn, "ledger writer")
        self._reading = database.connect(self._dsn, "ledger writer (reads)")
        # A look-up is one statement: a transaction around it would be two more round trips.
        self._reading.autocommit = True
        self._load()

    def _load(self) -> None:
        """Take memory from the store, at one seq."""
        chain, reading = self._chain.chain, self._need(self._reading)
        reading.rollback()
        reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        head = chains.head(reading, chain)
        self._reign = self._reign or head.epoch
        if head.epoch != self._reign:
            raise StaleEpoch(f"the chain is in epoch {head.epoch}; this writer belongs to {self._reign}: open it again")
        seq, lanes = chains.read_lanes(reading, chain)
        if seq != head.seq:
            raise StateMismatch(f"the state digest stands at seq {seq}, the head at {head.seq}; verify the ledger")
        state = State(self._load_row, runs=self._load_run)
        for table, row in read_models.load_open(reading, chain):
            state.add(table, row)
        reading.rollback()
        schemas.check_all(state.schemas.rows.values())
        scribe = Scribe(chain, self._chain.chain_id, self._source)
        self._preparer = Preparer(scribe, state, self, self._clock, self._entropy)
        self._head, self._epoch = (ChainHead(head.seq, head.hash), head.recorded_at), head.epoch
        self._lanes = lanes

    def _load_row(self, table: str, key: Key) -> Row | None:
        reading = self._need(self._reading)
        row = read_models.load(reading, self._chain.chain, table, key)
        return row

    def _load_run(self, table: str, key: Key, count: int) -> list[Row]:
        return read_models.load_run(self._need(self._reading), self._chain.chain, table, key, count)

    def find_keys(self, keys: list[str]) -> dict[str, int]:
        """
        Return the first seq of the group that used each of *keys*, for those that were used.
        """
        return events.find_keys(self._need(self._reading), self._chain.chain, self._source, keys)

    def group(self, first_seq: int) -> list[RecordedEvent]:
        """
        Return the stored events of the group from *first_seq* on.
        """
        return events.read_group(self._need(self._reading), self._chain.chain, self._chain.chain_id, first_seq)

    def _need(self, connection: Connection | None) -> Connection:
        if connection is None:
            raise Closed("the ledger is closed; open it again")
        return connection

    # The loop

    def _run(self) -> None:
        try:
            self._write()
        except BaseException as error:
            # A fault of the program: whoever waits must not wait for ever.
            for pending in self._in_hand:
                with contextlib.suppress(RuntimeError):  # answered already
                    pending.answer(OutcomeUnknown(f"the writer ended by a fault of its own: {error!r}; open it again"))
            raise
        finally:
            self._inbox.end()

    def _write(self) -> None:
        committing: tuple[Batch, Future[None]] | None = None
        ended = False
        while not ended or committing is not None:
            requests: list[Pending] = []
            if not ended:
                in_hand = 0 if committing is None else len(committing[0].answers)
                requests, ended = self._inbox.take(self._settings.batch_events, in_hand=in_hand)
            self._in_hand = [*(committing[0].requests() if committing is not None else []), *requests]
            batch: Batch | None = None
            failure: BaseException | None = None
            if requests:
                try:
                    batch = self._prepare(requests)
                except Exception as error:
                    failure = error
            if committing is not None:
                failed = self._finish(*committing)
                if failed is not None:
                    self._recover(committing[0].requests() + requests, failed)
                    committing = None
                    continue
                committing = None
            if failure is not None:
                self._recover(requests, failure)
            elif batch is not None and not ended and self._inbox.is_empty():
                # Nothing waits to be prepared meanwhile, so handing the batch to another thread would only cost.
                self._commit_here(batch, requests)
            elif batch is not None:
                committing = (batch, self._committer.submit(self._commit, batch))

    def _prepare(self, requests: list[Pending], *, look_up: bool = False) -> Batch:
        if self._preparer is None:
            self._open()
        preparer = self._preparer
        if preparer is None:
            raise Closed("the ledger is closed; open it again")
        head, recorded_at = self._head
        batch = preparer.prepare(
            requests, head, recorded_at, self._epoch, self._lanes, look_up=look_up or self._wary > 0
        )
        self._wary = _WARY_BATCHES if batch.replays else max(0, self._wary - 1)
        # What follows is prepared on this batch as if it were durable.
        self._head, self._lanes = (batch.head, batch.recorded_at), batch.lanes
        return batch

    def _commit(self, batch: Batch) -> None:
        transaction.commit(self._need(self._writing), self._chain.chain, batch, self._epoch, self._clock, self.fault)

    def _commit_here(self, batch: Batch, requests: list[Pending]) -> None:
        try:
            self._commit(batch)
        except Exception as error:
            self._recover(requests, error)
        else:
            self._durable(batch)

    def _finish(self, batch: Batch, done: Future[None]) -> BaseException | None:
        """Wait for a commit, and answer its requests; or return why it failed."""
        failed = done.exception()
        if failed is not None:
            return failed
        self._durable(batch)
        return None

    def _durable(self, batch: Batch) -> None:
        if self._preparer is not None:
            self._preparer.forget(batch)
            self._preparer.state.durable(batch.end_mark)
        for pending, answer in batch.answers:
            pending.answer(answer)

    # When a commit fails

    def _recover(self, requests: list[Pending], failed: BaseException, lost: bool = False) -> None:
        """
        Drop what was prepared, find out what happened, and check the requests again from scratch.

        *lost* says that a COMMIT they were in was never answered: then nobody may be told that nothing was written.
        """
        certain = False
        for _ in range(_RETRIES):
            lost = lost or isinstance(failed, CommitFailed)
            taken = database.is_taken(failed) and not certain
            if not (isinstance(failed, HeadMoved | CommitFailed) or database.is_lost(failed) or taken):
                break
            certain = certain or taken
            try:
                self._load_again(failed)
                batch = self._prepare_again(requests, certain)
                self._commit(batch)
            except Exception as error:
                failed = error
                continue
            self._durable(batch)
            return
        if (
            len(requests) > 1
            and not isinstance(failed, LedgerError | HeadMoved | CommitFailed)
            and (not isinstance(failed, DriverError) or database.is_of_what_was_given(failed))
        ):
            # One of them is to blame: halves are tried until it stands alone.
            half = len(requests) // 2
            for some in (requests[:half], requests[half:]):
                self._recover(some, HeadMoved(), lost)
            return
        self._preparer = None
        known = _known(failed, lost)
        for pending in requests:
            pending.answer(known)

    def _load_again(self, failed: BaseException) -> None:
        if isinstance(failed, CommitFailed) or database.is_lost(failed):
            self._open()
            # The old session may still be committing; locking the head waits for it, and a fence keeps out what was
            # sent and has not arrived. Keys then tell which requests are recorded: they are answered with their first
            # receipt.
            with database.connect(self._dsn, "ledger writer (settles)") as settling:
                chains.lock_head(settling, self._chain.chain)
                chains.fence(settling, self._chain.chain)
        self._load()

    def _prepare_again(self, requests: list[Pending], certain: bool) -> Batch:
        if self._preparer is None:
            raise Closed("the ledger is closed; open it again")
        self._preparer.state.certain = certain
        try:
            return self._prepare(requests, look_up=True)
        finally:
            self._preparer.state.certain = False


def _known(error: BaseException, lost: bool) -> LedgerError:
    known = _named(error)
    if lost and not isinstance(known, Corrupt):
        return OutcomeUnknown(
            f"the answer to COMMIT was lost, and then: {known}; "
            "ask lookup() with the same key, or send the same request again"
        )
    return known


def _named(error: BaseException) -> LedgerError:
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, DriverError):
        return database.translated(error)
    if isinstance(error, HeadMoved):
        return Unavailable(f"other writers came first {_RETRIES} times; send the same again with the same key")
    if isinstance(error, CommitFailed):
        return OutcomeUnknown(str(error))
    return Corrupt(f"the writer met what it does not know: {type(error).__name__}: {error}")
