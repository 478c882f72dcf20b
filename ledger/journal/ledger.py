"""
Open a chain and append to it: the API of a trading engine.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain import schemas
from ledger.domain.events.fields import Event
from ledger.errors import (
    Closed,
    InvalidEvent,
    InvalidInput,
    LedgerError,
    NotPermitted,
    NotPrimary,
    OutcomeUnknown,
    RuleBroken,
    Unavailable,
    shown,
)
from ledger.journal import transaction
from ledger.journal.answers import Answer, Awaited, Foreseen, Pending, Promised, Receipt, Round, receipt_of
from ledger.journal.group import Group, check_name
from ledger.journal.reads import Reads
from ledger.journal.transaction import Fault
from ledger.journal.writer import Writer, WriterSettings
from ledger.queries import Books
from ledger.reading.moment import check_integers
from ledger.storage import chains, database, events
from ledger.storage.database import Connection, DriverError

TIMEOUT_S = 30.0
LOOKUP_WAIT_S = 10.0
"""How long `lookup` waits: for what this process has on its way, and then for the head."""


class Ledger(Reads):
    """
    One chain, opened for appending; close it, or use it in a `with` block.

    Any number of threads may share it, and any number of processes may open one chain. A forked child must open its
    own. `asyncio` callers wrap the future of `submit` with `asyncio.wrap_future`.
    """

    def __init__(self, dsn: str, origin: str | None, source: str, writer: Writer, chain: chains.ChainRow) -> None:
        self._dsn = dsn
        self._source = source
        self._writer: Writer | None = writer
        self._chain = chain
        self._process = os.getpid()

    @classmethod
    def open(
        cls,
        dsn: str,
        *,
        origin: str | None = None,
        source: str = "engine",
        settings: WriterSettings | None = None,
        clock: Callable[[], int] = time.time_ns,
        entropy: Callable[[int], bytes] = os.urandom,
        fault: Fault = transaction.no_fault,
    ) -> Self:
        """
        Open the chain of *origin* (the only one, when none is named) for appending as *source*.

        Raises:
            UnknownChain: no such chain; those present are listed.
            UnsafeSettings, SchemaVersion, DatabaseDown: the database cannot be used; the message says why.
            NotPermitted: the login is refused, or may not append, or not as this source. NotPrimary: nor may anybody.
        """
        with database.translating(), database.connect(dsn, "ledger") as connection:
            login = connection.info.user
            # What else is read here only those who may append can read.
            if connection.execute("SELECT has_table_privilege('ledger.events', 'INSERT')").fetchone() != (True,):
                raise NotPermitted(f"login {login!r} may not append; use one that is a member of ledger_writer")
            chain = chains.find(connection, origin)
            sources = chains.sources_of_login(connection)
            mode = chains.head(connection, chain.chain).mode
        if source not in sources:
            if mode == "replica":
                # Logins and sources are each region's own: to bind one here would help nobody.
                raise NotPrimary(transaction.REPLICA)
            allowed = ", ".join(sources) or "no source"
            raise NotPermitted(
                f"login {login!r} may append as {allowed}, not as {source!r}; use another login or source, or let the "
                f"owner run: INSERT INTO ledger.source_logins VALUES ({login!r}, {source!r});"
            )
        with database.translating():
            writer = Writer(dsn, chain, source, settings or WriterSettings(), clock, entropy, fault)
        opened = cls(dsn, origin, source, writer, chain)
        try:
            opened.register_schemas(everything=False)
        except BaseException:
            opened.close()
            raise
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Answer everything that was handed in, and close; twice is once.
        """
        if self._writer is not None and self._process == os.getpid():
            self._check_wait()
            self._writer.close()
            self._writer = None

    @property
    def chain(self) -> chains.ChainRow:
        """
        Return which chain this is.
        """
        return self._chain

    def register_schemas(self, *, everything: bool = True) -> int:
        """
        Register the hash of every event type's fields, once for all; return how many were not registered.

        From then on a program with other fields under the same version stops instead of reading. What a type has of
        versions after its first is registered when the ledger is opened, and nothing else unless this is called.
        """
        registered = self._opened().state.schemas.rows
        found = schemas.missing(registered, everything=everything)
        for event in found:
            try:
                self.append(event, key=f"schema {event.event_type} {event.version}", actor="ledger")
            except RuleBroken:
                # Another writer may have been first; then the refusal came of what it registered.
                if (event.event_type, event.version) not in self._opened().state.schemas.rows:
                    raise
        return len(found)

    def submit(
        self,
        events: Event | Sequence[Event],
        *,
        key: str,
        actor: str = "engine",
        occurred_at: int | None = None,
        expected: Mapping[str, int] | None = None,
        correlation_id: bytes = NO_ID,
        causation_id: bytes = NO_ID,
        timeout: float | None = TIMEOUT_S,
    ) -> Future[Receipt]:
        """
        Hand in one event or an atomic group; the future has its receipt, or its error, once that is durable.

        *key* is the idempotency key: the same request again returns the first receipt, another request under it is
        IdempotencyConflict. A fact that is recorded already returns its first receipt (`replayed`) and uses no key; in
        a group with others it is quarantined as a duplicate. One that waits in quarantine may be sent again under a new
        key, since what it lacked may have come; where it still fits no rule, it waits twice. *timeout* (s) bounds the
        wait for a place in the queue.
        """
        _check_timeout(timeout)
        group = _group(events, key, actor, occurred_at, expected, correlation_id, causation_id)
        pending = Promised(group)
        self._hand_in(pending, timeout)
        return pending.future

    def _opened(self) -> Writer:
        if self._process != os.getpid():
            raise Closed("this ledger was opened by the parent of this process; open it again here")
        if self._writer is None:
            raise Closed("the ledger is closed; open it again")
        return self._writer

    def _hand_in(self, pending: Pending, timeout: float | None) -> None:
        writer = self._opened()
        group: object = pending.group
        if not isinstance(group, Group) or not isinstance(group.events, tuple):
            raise InvalidEvent(f"found {group!r:.120}; expected a Group with a tuple of events")
        writer.submit(pending, timeout)

    def _check_wait(self, *timeouts: float | None) -> None:
        """Raise before anything is handed in where the caller cannot wait, or not so long."""
        for timeout in timeouts:
            _check_timeout(timeout)
        if self._writer is not None and self._writer.is_here():
            raise InvalidInput(
                "a callback of a future runs on the writer's own thread, which would wait for itself: use submit() "
                "there, or hand the work to another thread"
            )

    def append(
        self,
        events: Event | Sequence[Event],
        *,
        key: str,
        actor: str = "engine",
        occurred_at: int | None = None,
        expected: Mapping[str, int] | None = None,
        correlation_id: bytes = NO_ID,
        causation_id: bytes = NO_ID,
        timeout: float | None = TIMEOUT_S,
    ) -> Receipt:
        """
        As `submit`, and wait until it is durable.

        Raises:
            Rejected: change the request. Unavailable: send the same again later. Corrupt: stop.
            OutcomeUnknown: *timeout* (s) passed; ask `lookup`.
        """
        self._check_wait(timeout)
        pending = Awaited(_group(events, key, actor, occurred_at, expected, correlation_id, causation_id))
        self._hand_in(pending, timeout)
        receipt: Receipt = _given(pending.wait(timeout), timeout, key)
        return receipt

    def append_many(self, groups: Iterable[Group], *, timeout: float | None = None) -> list[Receipt | LedgerError]:
        """
        Append each group by itself, as fast as they go; one outcome a group, in order.

        *timeout* (s) bounds the whole; a group without an answer by then has OutcomeUnknown or Unavailable.
        """
        self._check_wait(timeout)
        if not isinstance(groups, Iterable):
            raise InvalidInput(f"found {shown(groups)}; expected groups")
        round, ends = Round(list(groups)), None if timeout is None else time.monotonic() + timeout
        for pending in round.requests:
            try:
                self._hand_in(pending, None if ends is None else max(0.0, ends - time.monotonic()))
            except LedgerError as error:
                pending.answer(error)
        found = round.wait(None if ends is None else max(0.0, ends - time.monotonic()))
        outcomes: list[Receipt | LedgerError] = []
        for pending, answer in zip(round.requests, found, strict=True):
            try:
                outcomes.append(_given(answer, timeout, getattr(pending.group, "key", "")))
            except LedgerError as error:
                outcomes.append(error)
        return outcomes

    def dry_run(self, events: Event | Sequence[Event], *, occurred_at: int | None = None) -> list[Foreseen]:
        """
        Return what `append` would record now, and record nothing; a refused command raises its error.

        Of a fact that is recorded already nothing would be.
        """
        self._check_wait()
        pending = Awaited(Group(_events(events), "dry-run", "engine", occurred_at), dry=True)
        self._hand_in(pending, TIMEOUT_S)
        found: list[Foreseen] = _given(pending.wait(TIMEOUT_S), TIMEOUT_S, "dry-run")
        return found

    def lookup(self, key: str) -> Receipt | None:
        """
        Return the receipt of the request that used *key*, or None when it was never recorded.

        What this ledger was handed before is waited for, and then the head is locked, so that a transaction that is
        still committing is waited for as well; one that was sent and has not arrived does nothing after that. Only the
        primary may say that a key was never recorded.

        Raises:
            OutcomeUnknown: the database cannot be asked now, or is a replica that does not have it.
        """
        check_name("key", key)
        self._check_wait()
        self._wait_for_earlier(key)
        try:
            with self._connected() as connection:
                connection.execute(f"SET LOCAL lock_timeout = '{LOOKUP_WAIT_S:.0f}s'")
                mode = chains.lock_head(connection, self._chain.chain).mode
                first = events.find_keys(connection, self._chain.chain, self._source, [key]).get(key)
                if first is None and mode != "primary":
                    raise OutcomeUnknown(f"this replica has no request under {key!r}; ask where the chain is primary")
                if first is None:
                    chains.fence(connection, self._chain.chain)
                    return None
                return receipt_of(events.read_group(connection, self._chain.chain, self._chain.chain_id, first))
        except OutcomeUnknown:
            raise
        except (DriverError, Unavailable, NotPermitted, InvalidInput) as error:
            # A login that is let in no more, or a host that is not found, denies nothing that was recorded.
            raise OutcomeUnknown(f"the database cannot be asked about {key!r} now: {error}; ask again") from error

    def _wait_for_earlier(self, key: str) -> None:
        if self._writer is None or self._process != os.getpid():
            return
        # A group of no events records nothing, and is answered once everything that was handed in before it is.
        last = Awaited(Group((), "lookup"), dry=True)
        try:
            self._hand_in(last, LOOKUP_WAIT_S)
        except Closed:
            return
        except Unavailable as error:
            raise OutcomeUnknown(f"requests before it still wait, so {key!r} is not settled; ask again") from error
        if last.wait(LOOKUP_WAIT_S) is None:
            raise OutcomeUnknown(f"requests before it are still on their way, so {key!r} is not settled; ask again")

    def _connected(self) -> Connection:
        return database.connect(self._dsn, "ledger (reads)")

    def books(self) -> Books:
        """
        Return the durable books of the chain for reading; use them in a `with` block.
        """
        return Books(self._dsn, self._chain.origin)

    def head(self) -> ChainHead:
        """
        Return the last durable link of the chain.
        """
        with database.translating(), self._connected() as connection:
            found = chains.head(connection, self._chain.chain)
        return ChainHead(found.seq, found.hash)

    def events(self, after: int = 0, limit: int | None = None) -> Iterator[RecordedEvent]:
        """
        Yield durable events after seq *after*, in order.
        """
        check_integers(after=after)
        if limit is not None:
            check_integers(0, limit=limit)
        with database.translating(), self._connected() as connection:
            yield from events.read(connection, self._chain.chain, self._chain.chain_id, after, limit)

    def events_at(self, seqs: Sequence[int]) -> dict[int, RecordedEvent]:
        """
        Return the durable events of these seqs.
        """
        if not isinstance(seqs, Iterable):
            raise InvalidInput(f"found {shown(seqs)}; expected the seqs of events")
        for seq in seqs:
            check_integers(seq=seq)
        with database.translating(), self._connected() as connection:
            return events.read_seqs(connection, self._chain.chain, self._chain.chain_id, seqs)


def _check_timeout(timeout: object) -> None:
    if timeout is None or (isinstance(timeout, int | float) and 0 <= timeout <= threading.TIMEOUT_MAX):
        return
    raise InvalidInput(f"found timeout {shown(timeout)}; expected seconds from 0, or None to wait without end")


def _group(
    events: Event | Sequence[Event],
    key: str,
    actor: str,
    occurred_at: int | None,
    expected: Mapping[str, int] | None,
    correlation_id: bytes,
    causation_id: bytes,
) -> Group:
    if not isinstance(expected, Mapping | None):
        raise InvalidEvent(f"found {shown(expected)} in expected; expected names of streams, with versions")
    versions = dict(expected) if expected else {}
    return Group(_events(events), key, actor, occurred_at, versions, correlation_id, causation_id)


def _events(given: Event | Sequence[Event]) -> tuple[Event, ...]:
    # What is no sequence is no event either, which the group's own check says in words.
    return tuple(given) if isinstance(given, Iterable) else (given,)


def _given(answer: Answer | None, timeout: float | None, key: str) -> Any:
    """Return what was answered, or raise the error it is."""
    if answer is None:
        raise OutcomeUnknown(f"no answer for {key!r} within {timeout} s; ask lookup() with this key")
    if isinstance(answer, LedgerError):
        raise answer
    return answer
