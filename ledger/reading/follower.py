"""
Keep the histories of balances and positions behind the chain, in a process of their own.

The follower folds the events and writes each new version of a row with the seq that made it, in transactions of some
thousand events that move the watermark too: killed at any moment, it goes on from there. What it writes follows from
the events alone, so that histories made anew are the same row for row. Several followers are correct; one does the
work. What is open of the folded state is in memory and what is closed in a temporary file; a start replays up to the
watermark, from a snapshot if there is one.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead, genesis
from ledger.domain.rows import Row
from ledger.errors import Divergence, StorageFull
from ledger.reading import snapshots
from ledger.reading.past import Replay, Spilled, advance
from ledger.spill.spill import Spill
from ledger.storage import chains, database, histories, known_chains, moments
from ledger.storage.database import Connection, DriverError

BATCH_EVENTS: Final = 5_000


class Status(msgspec.Struct, frozen=True):
    """
    How far a history is: its watermark, the head, and what is between them, in events and in seconds.
    """

    name: str
    watermark: int
    head: int
    lag_events: int
    lag_seconds: float


class Follower:
    """
    The process that keeps the histories of one chain; use it in a `with` block.
    """

    def __init__(self, dsn: str, origin: str | None = None, batch_events: int = BATCH_EVENTS) -> None:
        self._connection = database.connect(dsn, "ledger read models")
        self._batch = batch_events
        try:
            with database.translating():
                self.chain = known_chains.find(self._connection, origin)
                self._connection.rollback()
        except BaseException:
            self._connection.close()
            raise
        self._start = ChainHead(0, genesis(self.chain.chain_id, self.chain.origin))
        self._replay: Replay | None = None
        self._spill: Spill | None = None

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._connection.close()

    def _forget(self) -> None:
        """Forget the folded state, with its file."""
        spill, self._spill, self._replay = self._spill, None, None
        if spill is not None:
            spill.close()

    def _go_on_from(self, begun: Replay) -> Replay:
        """Return the replay that goes on from *begun*, with a file of its own."""
        self._forget()
        self._spill = Spill()
        self._replay = Spilled(begun, self._spill)
        return self._replay

    def step(self) -> int:
        """
        Take in the next events that are there, in one transaction; return how many.

        Raises:
            Divergence: the histories are of another chain than the events are.
            Corrupt: an event is not what it should be.
        """
        connection = self._connection
        try:
            if self._is_level():
                return 0
            mark = histories.lock(connection, self.chain.chain, self._start)
            replay = self._at(connection, mark)
            head = chains.head(connection, self.chain.chain).seq
            upto = min(head, mark.seq + self._batch)
            if upto > mark.seq:
                self._take(connection, replay, upto)
            connection.commit()
        except BaseException as error:
            # What was folded may be ahead of what was written.
            self._give_up(error)
            raise
        return upto - mark.seq

    def _is_level(self) -> bool:
        """Return whether all that there is was taken in; to lock the watermark only to find so would be a write."""
        replay = self._replay
        level = replay is not None and replay.head.seq == chains.head(self._connection, self.chain.chain).seq
        self._connection.rollback()
        return level

    def _at(self, connection: Connection, mark: ChainHead) -> Replay:
        replay = self._replay
        if replay is None or replay.head.seq > mark.seq:
            replay = self._go_on_from(snapshots.begin(connection, self.chain, mark.seq, from_start=False))
        advance(connection, replay, mark.seq)
        if replay.head != mark:
            raise Divergence(
                f"the histories were made up to event {mark.seq} with hash {mark.hash.hex()}; it has "
                f"{replay.head.hash.hex()}: verify the ledger, then run `tradeledger read-models rebuild`"
            )
        return replay

    def _take(self, connection: Connection, replay: Replay, upto: int) -> None:
        found: dict[str, list[tuple[int, Row]]] = {name: [] for name in histories.HISTORIES}
        before = replay.state.begin()

        def note(event: RecordedEvent) -> None:
            nonlocal before
            for change in replay.state.changes(before):
                if change.table in found:
                    found[change.table].append((event.seq, change.new))
            before = replay.state.begin()

        advance(connection, replay, upto, note)
        for name, versions in found.items():
            histories.write(connection, self.chain.chain, name, versions)
        histories.move(connection, self.chain.chain, replay.head)

    def rebuild(
        self,
        told: Callable[[int], None] = lambda count: None,
        *,
        forget: bool = False,
        changed: Callable[[Connection], None] | None = None,
    ) -> int:
        """
        Throw the histories away and make them anew from the first event, in one transaction; return the last seq.

        Until it ends, readers have what was there before. *told* gets the number of events taken in so far. With
        *forget* every row that says how far they are goes as well, which only the owner of the tables may. *changed*
        is called in the transaction where they are others than before, up to where they had come.
        """
        connection = self._connection
        try:
            mark = histories.reached(connection, self.chain.chain, self._start)
            before = histories.sums(connection, self.chain.chain)
            if forget:
                histories.forget(connection, self.chain.chain)
            histories.lock(connection, self.chain.chain, self._start, anew=True)
            histories.clear(connection, self.chain.chain)
            head, replay = chains.head(connection, self.chain.chain).seq, self._go_on_from(Replay(self.chain))
            while replay.head.seq < head:
                self._take(connection, replay, min(head, replay.head.seq + self._batch))
                told(replay.head.seq)
            histories.move(connection, self.chain.chain, replay.head)
            if changed is not None and (mark is None or histories.sums(connection, self.chain.chain, mark) != before):
                changed(connection)
            connection.commit()
        except BaseException as error:
            self._give_up(error)
            raise
        return head

    def _give_up(self, error: BaseException) -> None:
        self._forget()
        if not self._connection.broken:
            self._connection.rollback()
        if isinstance(error, DriverError):
            raise database.translated(error) from error
        if isinstance(error, sqlite3.Error | OSError):
            raise StorageFull(
                f"closed rows cannot be kept in {tempfile.gettempdir()} ({error}): make room there, or set TMPDIR to "
                "a folder that has some, then run it again"
            ) from error

    def run(self, stopped: Callable[[], bool], told: Callable[[int], None], pause_s: float = 0.2) -> None:
        """
        Follow until *stopped*; *told* gets the number of events of every step that had any.
        """
        while not stopped():
            count = self.step()
            if count:
                told(count)
            else:
                time.sleep(pause_s)


def status(dsn: str, origin: str | None) -> list[Status]:
    """
    Return how far each history is; one that was never made is at 0.
    """
    with database.connect(dsn, "ledger read models") as connection, database.translating():
        chain = chains.find(connection, origin)
        head = chains.head(connection, chain.chain)
        found = histories.watermarks(connection, chain.chain)
        made = []
        for name in histories.HISTORIES.values():
            mark = found[name].seq if name in found else 0
            waits = _waits(connection, chain.chain, mark) if mark < head.seq else 0.0
            made.append(Status(name, mark, head.seq, head.seq - mark, waits))
        return made


def _waits(connection: Connection, chain: int, mark: int) -> float:
    return round(max(0, chains.clock(connection) - moments.recorded_at(connection, chain, mark + 1)) / 10**9, 3)
