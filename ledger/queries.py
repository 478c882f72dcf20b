"""
Read the books: balances, positions, orders, executions, statements, quarantine and breaks, now and as they were.

Every read is one snapshot of the database: what it returns was all true together, at `At.seq`. `at` names a past
moment (`Seq`, `RecordedAt`, `Known`); the past is folded anew from the events, each checked on the way, unless an
asynchronous history that reaches far enough holds it. What cannot be told is an error and never an empty answer.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain import postings, rows
from ledger.domain.ladder import Rung, ladder
from ledger.domain.rows import TABLES
from ledger.domain.state import State
from ledger.errors import InvalidInput, NoSuchMoment, NotFound, StateMismatch
from ledger.reading import past, snapshots, views
from ledger.reading import statement as statements
from ledger.reading.exposure import ExposureLine, exposure
from ledger.reading.fx_result import FxResultLine, fx_result
from ledger.reading.known import Counted, counted, whole_of
from ledger.reading.moment import At, Known, Moment, RecordedAt, Seq, day_text, days
from ledger.reading.past import Replay
from ledger.reading.results import Result, results
from ledger.reading.sources import Folded, Source, Stored
from ledger.reading.statement import Statement
from ledger.storage import chains, database, events, histories, known_chains, moments, read_models
from ledger.storage.database import Connection

__all__ = ["At", "Books", "Known", "Moment", "RecordedAt", "Seq"]


class Books:
    """
    The books of one chain, for reading; use it in a `with` block.

    The past is folded from the nearest snapshot, once its rows prove to be the chain's; *from_start* folds it from the
    first event, and asks no history either.
    """

    def __init__(self, dsn: str, origin: str | None = None, *, from_start: bool = False) -> None:
        self._from_start = from_start
        self._connection = database.connect(dsn, "ledger queries")
        self._folded: dict[tuple[int, datetime.date | None], Folded] = {}
        try:
            # One statement is a snapshot by itself; a transaction around it would be two more round trips.
            self._connection.autocommit = True
            self.chain = known_chains.find(self._connection, origin)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Books:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        connection = self._connection
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection, chains.head(connection, self.chain.chain).seq
        except database.DriverError as error:
            raise database.translated(error) from error
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
        if place not in self._folded:
            # Only the last one: a state is as large as the books were.
            self._folded = {place: self._fold(connection, seq, at)}
        return self._folded[place]

    def _fold(self, connection: Connection, seq: int, at: Moment) -> Folded:
        if not isinstance(at, Known):
            return Folded(past.advance(connection, self._begin(connection, seq), seq).state, seq, [])
        state, counts = self._by_day(connection, seq, at.effective_on)
        known = whole_of(state, counts)
        return Folded(known.state, seq, known.misfits)

    def _by_day(self, connection: Connection, seq: int, last: datetime.date | None) -> tuple[State, list[Counted]]:
        """Return the state at *seq* and the events up to it that count for days up to *last*, in their order."""
        kept: list[RecordedEvent] = []

        def keep(event: RecordedEvent) -> None:
            if last is None or event.effective_on <= days(last):
                kept.append(event)

        replay = past.show(connection, self._begin(connection, seq), keep)
        state = past.advance(connection, replay, seq, keep).state
        if not kept and last is not None:
            self._no_day(connection, seq, last)
        return state, counted(kept, state.executions.get)

    def _begin(self, connection: Connection, seq: int) -> Replay:
        return snapshots.begin(connection, self.chain, seq, from_start=self._from_start)

    def _from_history(self, at: Moment | None, table: str, account: str | None, **more: str) -> At[list[Any]] | None:
        """Return rows of the past as their history has them; None where it does not reach, or says nothing."""
        if at is None or isinstance(at, Known) or self._from_start:
            return None
        with self._snapshot() as (connection, _):
            chain, seq = self.chain.chain, past.resolve(connection, self.chain, at)
            mark = histories.watermarks(connection, chain).get(histories.HISTORIES[table])
            if mark is None or mark.seq < seq:
                return None
            last = events.read_seqs(connection, chain, self.chain.chain_id, [mark.seq]).get(mark.seq)
            if last is None or last.hash != mark.hash:
                raise StateMismatch(
                    f"{histories.HISTORIES[table]} was made up to another event {mark.seq} than this chain has; verify "
                    "the ledger, then run `tradeledger read-models rebuild`"
                )
            found = histories.rows_at(connection, chain, table, seq, {"account": account, **more} if account else more)
            if not found and account is not None:
                opened = moments.first_of_stream(connection, chain, f"account/{account}")
                if postings.is_system(account) or opened is None:
                    # The ledger's own accounts are not opened: whether one was known is for the events to tell.
                    return None
                if opened > seq:
                    raise NotFound(f"found account {account!r}, which this chain did not know at seq {seq}")
            key = TABLES[table].key
            return At(seq, sorted(found, key=lambda row: tuple(getattr(row, name) for name in key)), "history")

    def _now(self, table: str, key: tuple[str, ...]) -> At[Any] | None:
        """Return the row of *key* as the books have it, by one statement; None where they have none."""
        with database.translating():
            seq, row = read_models.load_at_head(self._connection, self.chain.chain, table, key)
        return None if row is None else At(seq, row, Stored.by)

    def _no_day(self, connection: Connection, seq: int, day: datetime.date) -> None:
        first = day_text(moments.first_days(connection, self.chain.chain, seq))
        raise NoSuchMoment(f"found the day {day}; nothing recorded by then counts for a day before {first}")

    def _about(self, account: str | None, at: Moment | None, make: Callable[[Source], list[Any]]) -> At[list[Any]]:
        """Return what *make* makes of the rows; an account that was not known then is an error."""
        with self._source(at) as source:
            made = make(source)
            # The ledger's own accounts are not opened; they are there once something was posted to them.
            tables = ("accounts", "balances")
            if account is not None and not made and not any(source.rows(name, account=account) for name in tables):
                raise NotFound(f"found account {account!r}, which this chain did not know at seq {source.seq}")
            return At(source.seq, made, source.by)

    def head(self) -> ChainHead:
        """
        Return the last link of the chain.
        """
        with self._snapshot() as (connection, _):
            found = chains.head(connection, self.chain.chain)
        return ChainHead(found.seq, found.hash)

    def recorded_at(self) -> int:
        """
        Return when the last event was recorded: nanoseconds since 1970.
        """
        with self._snapshot() as (connection, head):
            return moments.recorded_at(connection, self.chain.chain, head)

    def stream(self, name: str) -> list[RecordedEvent]:
        """
        Return the events of one stream, such as `order/O-17`, in order; none where nothing happened in it.
        """
        with self._snapshot() as (connection, head):
            found = events.read_stream(connection, self.chain.chain, self.chain.chain_id, name)
            return [event for event in found if event.seq <= head]

    def link(self, seq: int) -> ChainHead:
        """
        Return the link of the event at *seq*.

        Raises:
            NotFound: there is no such event.
        """
        with self._snapshot() as (connection, _):
            event = events.read_seqs(connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
        if event is None:
            raise NotFound(f"found no event {seq} in this chain")
        return ChainHead(event.seq, event.hash)

    def recorded(self, upto: int) -> Iterator[RecordedEvent]:
        """
        Yield the events up to seq *upto*, in order; take them all before anything else is read.
        """
        with self._snapshot() as (connection, _):
            yield from events.read(connection, self.chain.chain, self.chain.chain_id, 0, upto)

    def balances(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Balance]]:
        """
        Return the balances of *account*, or of all accounts, the ledger's own included.

        Raises:
            NotFound: the account was not known then. NoSuchMoment: there was no such moment.
        """
        found = self._from_history(at, "balances", account)
        return found or self._about(account, at, lambda source: source.rows("balances", account=account))

    def balance(self, account: str, asset: str, *, at: Moment | None = None) -> At[rows.Balance]:
        """
        Return what *account* has of *asset*; zeros where nothing was ever posted.

        Raises:
            NotFound: the account or the asset was not known then. NoSuchMoment: there was no such moment.
        """
        if at is None:
            found_now = self._now("balances", (account, asset))
            if found_now is not None:
                return found_now
        held = self._from_history(at, "balances", account, asset=asset)
        if held is not None and held.value:
            return At(held.seq, held.value[0], held.by)
        with self._source(at) as source:
            found = source.rows("balances", account=account, asset=asset)
            if not found:
                for table, name in (("accounts", account), ("assets", asset)):
                    if not source.rows(table, **{table[:-1]: name}):
                        raise NotFound(f"found {table[:-1]} {name!r}, which this chain did not know at {source.seq}")
                found = [rows.Balance(account, asset, 0, 0, 0, None, False, False)]
            return At(source.seq, found[0], source.by)

    def positions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Position]]:
        """
        Return the positions of *account*, or of all; errors as in `balances`.
        """
        found = self._from_history(at, "positions", account)
        return found or self._about(account, at, lambda source: source.rows("positions", account=account))

    def orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, ended ones included; errors as in `balances`.
        """
        return self._about(account, at, lambda source: source.rows("orders", account=account))

    def order(self, order_id: str, *, at: Moment | None = None) -> At[rows.Order | None]:
        """
        Return one order, or None where it was not known then.
        """
        with self._source(at) as source:
            found = source.rows("orders", order_id=order_id)
            return At(source.seq, found[0] if found else None, source.by)

    def open_orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, that may still fill; errors as in `balances`.
        """
        return self._about(account, at, lambda source: source.open_orders(account))

    def blotter(self, account: str | None = None, *, at: Moment | None = None) -> At[list[views.BlotterLine]]:
        """
        Return every execution report of *account*, or of all, with what corrected or busted it; as in `balances`.
        """
        return self._about(account, at, lambda source: views.blotter(source.rows("executions", account=account)))

    def executions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Execution]]:
        """
        Return the execution reports of *account*, or of all, as they are kept; errors as in `balances`.
        """
        return self._about(account, at, lambda source: source.rows("executions", account=account))

    def exposure(self, account: str | None = None, *, at: Moment | None = None) -> At[list[ExposureLine]]:
        """
        Return what *account*, or all but the ledger's own, have at stake at the newest marks; errors as in `pnl`.
        """
        self._check_owner(account)
        return self._about(account, at, lambda source: exposure(source, account))

    def fx_result(self, worth_in: str, *, at: Moment | None = None) -> At[list[FxResultLine]]:
        """
        Return what all conversions have earned, in the asset *worth_in* at the newest marks.

        Raises:
            NotFound: the asset was not known then. NoSuchMoment: there was no such moment.
        """
        return self._about(None, at, lambda source: fx_result(source, worth_in))

    def pnl(
        self,
        account: str | None = None,
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        *,
        at: Moment | None = None,
    ) -> At[list[Result]]:
        """
        Return profit and loss by day, account and instrument over the days *first* to *last*, as known at *at*.

        All days count where none is named, and all accounts but the ledger's own. Every event is gone through in the
        order of days; those up to the nearest snapshot are only linked before that, and not folded by seq as well.

        Raises:
            InvalidInput: the days are out of order, or beyond those that *at* counts; the account is the ledger's own.
            NotFound: the account was not known then, or a day does not hold what moved positions on it.
            NoSuchMoment: there was no such moment.
        """
        self._check_owner(account)
        if isinstance(at, Known):
            last = last or at.effective_on
            self._check_days(first, last, at)
        elif first is not None and last is not None:
            self._check_days(first, last, at)
        with self._snapshot() as (connection, head):
            seq = head if at is None else past.resolve(connection, self.chain, at)
            if seq == 0:
                return At(seq, [], "replay")
            whole, counts = self._by_day(connection, seq, last)
        if account is not None and whole.accounts.get(account) is None:
            raise NotFound(f"found account {account!r}, which this chain did not know at seq {seq}")
        span = [None if day is None else day.isoformat() for day in (first, last)]
        return At(seq, results(whole, counts, account, span[0], span[1]), "replay")

    @staticmethod
    def _check_owner(account: str | None) -> None:
        if account is not None and postings.is_system(account):
            raise InvalidInput(f"found account {account!r}, which is the ledger's own: nobody gains or risks by it")

    @staticmethod
    def _check_days(first: datetime.date | None, last: datetime.date, at: Moment | None) -> None:
        if first is not None and first > last:
            raise InvalidInput(f"found the days from {first} to {last}; the first day comes first")
        if isinstance(at, Known) and last > at.effective_on:
            raise InvalidInput(f"found days to {last} of what counts up to {at.effective_on}; end them there")

    def quarantine(self, *, at: Moment | None = None) -> At[list[rows.Quarantined]]:
        """
        Return the facts that wait for a decision.
        """
        return self._about(None, at, lambda source: source.rows("quarantine", status="open"))

    def quarantined(self, seq: int) -> At[tuple[rows.Quarantined, RecordedEvent] | None]:
        """
        Return the quarantined fact recorded at *seq* and what became of it, or None.
        """
        with self._snapshot() as (connection, at):
            found = read_models.rows(connection, self.chain.chain, "quarantine", "seq = %s", [seq])
            stored = events.read_seqs(connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
        row = found[0] if found else None
        if not isinstance(row, rows.Quarantined) or stored is None:
            return At(at, None)
        return At(at, (row, stored))

    def settlement_ladder(self, account: str | None = None, *, at: Moment | None = None) -> At[list[Rung]]:
        """
        Return what is due, has settled and failed, by day, account and asset, of *account* or of all; as in `balances`.
        """

        def draw(source: Source) -> list[Rung]:
            rungs = ladder(
                source.rows("executions", live=True, bucket="unsettled"),
                source.rows("settlement_fails"),
                source.rows("movements", kind="settlement"),
                {row.asset: row.scale for row in source.rows("assets")},
            )
            return [rung for rung in rungs if account in (None, rung.account)]

        return self._about(account, at, draw)

    def expired_holds(self, now: int) -> At[list[rows.Hold]]:
        """
        Return the open holds whose time ran out by *now* (ns): each may be released as `expired`.
        """

        def expired(source: Source) -> list[rows.Hold]:
            return [x for x in source.rows("holds", status="open") if x.expires_at is not None and x.expires_at <= now]

        return self._about(None, None, expired)

    def breaks(self, *, at: Moment | None = None) -> At[list[rows.Break]]:
        """
        Return the differences to outside sources that stand.
        """
        return self._about(None, at, lambda source: [x for x in source.rows("breaks") if x.closed_seq is None])

    def history(self, stream: str, *, at: Moment | None = None) -> At[list[views.HistoryLine]]:
        """
        Return the events of one stream, such as `order/O-17`, as an audit trail.

        Raises:
            NotFound: nothing had happened in that stream.
        """
        # Events are only ever added: with the head read first, the two statements need no transaction around them.
        connection, chain = self._connection, self.chain
        with database.translating():
            seq = chains.head(connection, chain.chain).seq if at is None else past.resolve(connection, chain, at)
            found = [
                event
                for event in events.read_stream(connection, chain.chain, chain.chain_id, stream)
                if event.seq <= seq and (not isinstance(at, Known) or event.effective_on <= days(at.effective_on))
            ]
        if not found:
            raise NotFound(f"found stream {stream!r}, in which nothing had happened at seq {seq}; such as order/O-17")
        if isinstance(at, Known):
            found.sort(key=lambda event: (event.effective_on, event.seq))
        return At(seq, views.history(found), "replay")

    def statement(
        self, account: str, first: datetime.date, last: datetime.date, *, at: Moment | None = None
    ) -> At[Statement]:
        """
        Return the statement of *account* over the days *first* to *last*, both included, as known at *at*.

        Raises:
            InvalidInput: the days are out of order, or beyond those that *at* counts.
            NotFound: the account was not known then. NoSuchMoment: there was no such moment.
        """
        self._check_days(first, last, at)
        with self._snapshot() as (connection, head):
            chain, chain_id = self.chain.chain, self.chain.chain_id
            seq = head if at is None else past.resolve(connection, self.chain, at)
            named = msgspec.json.encode(account).decode()
            found = list(events.read_mentioning(connection, chain, chain_id, named, seq, days(last)))
            self._check_stated(connection, account, seq, last, found)

            def find(*key: str) -> Any:
                return read_models.load(connection, chain, "executions", key)

            link = events.read_seqs(connection, chain, chain_id, [seq])[seq]
            made = statements.make(chain_id, ChainHead(seq, link.hash), account, first, last, counted(found, find))
            return At(seq, made, "replay")

    def _check_stated(
        self, connection: Connection, account: str, seq: int, last: datetime.date, found: list[RecordedEvent]
    ) -> None:
        chain = self.chain.chain
        if postings.is_system(account):
            if not found:
                raise NotFound(f"found account {account!r}, to which nothing was posted for days up to {last}")
            return
        opened = moments.first_of_stream(connection, chain, f"account/{account}")
        if opened is None or opened > seq:
            raise NotFound(f"found account {account!r}, which this chain did not know at seq {seq}")
        if not found and days(last) < moments.first_days(connection, chain, seq):
            self._no_day(connection, seq, last)

    def table(self, name: str) -> At[list[Any]]:
        """
        Return every row of the read model *name*.
        """
        with self._source(None) as source:
            return At(source.seq, source.rows(name), source.by)
