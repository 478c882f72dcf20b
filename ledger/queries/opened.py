"""
Open a chain for reading, and find the rows of a moment: those of now, or a state that is folded up to it.

A name that was not known at the moment is an error that says so, with the nearest name that was; a name that is known
and has nothing is an empty answer.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Self

from ledger.chain.entry import RecordedEvent
from ledger.domain import postings
from ledger.domain.events.fields import NAME_LIMIT_BYTES
from ledger.domain.state import State
from ledger.errors import InvalidInput, NoSuchMoment, NotFound, closest, shown
from ledger.reading import past, snapshots
from ledger.reading.known_days import split_days
from ledger.reading.known_days.counting import Counted, counted
from ledger.reading.known_days.known import whole_of
from ledger.reading.moment import At, Known, Moment, check, day_text, days
from ledger.reading.past import Replay
from ledger.reading.sound_rows import checked
from ledger.reading.sources import Folded, Source, Stored
from ledger.storage import chains, database, events, known_chains, moments, read_models
from ledger.storage.database import Connection


class _Own:
    """The connection of one thread, which ends with the thread."""

    def __init__(self, dsn: str) -> None:
        self.connection = database.connect(dsn, "ledger queries")
        # One statement is a snapshot by itself; a transaction around it would be two more round trips.
        self.connection.autocommit = True

    def __del__(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()


class Opened:
    """
    One chain, opened for reading. Threads may share it: each has a connection of its own, and so its own moments.
    """

    def __init__(self, dsn: str, origin: str | None = None, *, from_start: bool = False) -> None:
        self._dsn, self._from_start = dsn, from_start
        self._of_thread = threading.local()
        self._opened: weakref.WeakSet[_Own] = weakref.WeakSet()
        self._folded: dict[tuple[int, datetime.date | None], Folded] = {}
        try:
            with database.translating():
                self.chain = known_chains.find(self._connection, origin)
        except BaseException:
            self._close()
            raise

    @property
    def _connection(self) -> Connection:
        """The connection of the thread that asks."""
        own: _Own | None = getattr(self._of_thread, "own", None)
        if own is None:
            own = self._of_thread.own = _Own(self._dsn)
            self._opened.add(own)
        return own.connection

    def _close(self) -> None:
        for own in list(self._opened):
            own.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        connection = self._connection
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection, chains.head(connection, self.chain.chain).seq
        except database.DriverError as error:
            raise database.translated(error) from error
        except KeyboardInterrupt:
            # A query may still be answered, so that not even its end can be asked for.
            connection.close()
            raise
        finally:
            if not connection.closed:
                connection.rollback()

    @contextlib.contextmanager
    def _source(self, at: Moment | None) -> Iterator[Source]:
        with self._snapshot() as (connection, head):
            yield Stored(connection, self.chain.chain, head) if at is None else self._past(connection, at)

    def _past(self, connection: Connection, at: Moment) -> Folded:
        seq = past.resolve(connection, self.chain, at)
        place = (seq, at.effective_on if isinstance(at, Known) else None)
        found = self._folded.get(place)
        if found is None:
            found = self._fold(connection, seq, at)
            # Only the last one: a state is as large as the books were.
            self._folded = {place: found}
        return found

    def _fold(self, connection: Connection, seq: int, at: Moment) -> Folded:
        if not isinstance(at, Known):
            return Folded(past.advance(connection, self._begin(connection, seq), seq).state, seq, [])
        state, counts = self._by_day(connection, seq, at.effective_on)
        known = whole_of(state, counts)
        return Folded(known.state, seq, known.misfits)

    def _by_day(self, connection: Connection, seq: int, last: datetime.date | None) -> tuple[State, list[Counted]]:
        """Return the state at *seq* and the events up to it that count for days up to *last*, in their order."""
        kept: list[RecordedEvent] = []
        splits = split_days.splits_in(self._splitting(connection, seq), self._find(connection))
        meets = split_days.meeting(splits)

        def keep(event: RecordedEvent) -> None:
            if last is None or event.effective_on <= days(last) or meets(event):
                kept.append(event)

        replay = past.show(connection, self._begin(connection, seq), keep)
        state = past.advance(connection, replay, seq, keep).state
        beside = split_days.beside_splits(kept, splits, split_days.find_in(state))
        counts = counted(beside, state.executions.get, splits=splits)
        found = [each for each in counts if last is None or each.event.effective_on <= days(last)]
        if not found and last is not None:
            self._no_day(connection, seq, last)
        return state, found

    def _splitting(self, connection: Connection, seq: int) -> list[RecordedEvent]:
        """Return the splits that were recorded up to *seq*."""
        chain = self.chain.chain
        rows: list[Any] = read_models.rows(connection, chain, "corporate_actions", "kind = %s", ["split"])
        seqs = [row.event_seq for row in rows if row.event_seq <= seq]
        return list(events.read_seqs(connection, chain, self.chain.chain_id, seqs).values()) if seqs else []

    def _find(self, connection: Connection) -> split_days.Find:
        """Return what finds rows of now by their keys."""

        def find(table: str, *key: Any) -> Any:
            found = read_models.load(connection, self.chain.chain, table, key)
            return None if found is None else checked(table, [found])[0]

        return find

    def _begin(self, connection: Connection, seq: int) -> Replay:
        return snapshots.begin(connection, self.chain, seq, from_start=self._from_start)

    def _no_day(self, connection: Connection, seq: int, day: datetime.date) -> None:
        first = day_text(moments.first_days(connection, self.chain.chain, seq))
        raise NoSuchMoment(f"found the day {day}; nothing recorded by then counts for a day before {first}")

    def _about(self, account: str | None, at: Moment | None, make: Callable[[Source], list[Any]]) -> At[list[Any]]:
        """Return what *make* makes of the rows; an account that was not known then is an error."""
        if account is not None:
            check_names(account=account)
        with self._source(at) as source:
            made = make(source)
            # The ledger's own accounts are not opened; they are there once something was posted to them.
            tables = ("accounts", "balances")
            if account is not None and not made and not any(source.rows(name, account=account) for name in tables):
                raise unknown("account", account, source.seq, [x.account for name in tables for x in source.rows(name)])
            return At(source.seq, made, source.by)


def check_names(**named: Any) -> None:
    """
    Raise InvalidInput where one of the names, each given as what it names, is none that anything could have.
    """
    for what, name in named.items():
        if not (isinstance(name, str) and name.isascii() and name.isprintable() and 0 < len(name) <= NAME_LIMIT_BYTES):
            raise InvalidInput(
                f"found {shown(name)} as {what}; expected 1 to {NAME_LIMIT_BYTES} printable ASCII characters"
            )


def check_owner(account: str | None, what: str) -> None:
    """
    Raise InvalidInput where *account* is one of the ledger's own, which can have nothing of *what* is asked for.
    """
    if account is None:
        return
    check_names(account=account)
    if postings.is_system(account):
        raise InvalidInput(
            f"found account {shown(account)}, which is the ledger's own and has no {what}: ask for its balances or its "
            "statement"
        )


def check_days(
    first: datetime.date | None, last: datetime.date | None, at: Moment | None, *, needed: bool = False
) -> None:
    """
    Raise InvalidInput unless the days asked about are in order, and among those that *at* counts.
    """
    for day in (first, last):
        if (needed or day is not None) and type(day) is not datetime.date:
            raise InvalidInput(f"found {shown(day)} as a day; expected a datetime.date")
    if first is not None and last is not None and first > last:
        raise InvalidInput(f"found the days from {first} to {last}; the first day comes first")
    if isinstance(at, Known):
        check(at)
        for day in (first, last):
            if day is not None and day > at.effective_on:
                raise InvalidInput(f"found days to {day} of what counts up to {at.effective_on}; end them there")


def unknown(what: str, name: str, seq: int, known: list[str]) -> NotFound:
    """
    Return the error that says that *name* was not known at *seq*, and which of the *known* ones is like it.
    """
    return NotFound(f"found {what} {shown(name)}{closest(name, known)}, which this chain did not know at seq {seq}")


__all__ = ["Opened", "check_days", "check_names", "check_owner", "unknown"]
