"""
Fold a chain up to a past seq.

The events are streamed, hashed and applied by the rules that appended them, so that what is read of the past has been
checked link by link from where the replay began. The state is whole, closed rows included: it takes as much memory as
the books had rows then, and time in proportion to the events between the snapshot it begins at and the seq. Who wants
changes alone, and no row of the past, has closed rows stand in a file (`Spilled`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.domain import fold
from ledger.domain.fold import Context
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State, is_closed
from ledger.domain.times import time_text
from ledger.errors import NoSuchMoment, SequenceGap, StateMismatch
from ledger.reading.moment import Known, Moment, RecordedAt, Seq, check
from ledger.spill.spill import Spill
from ledger.storage import chains, events, moments
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

SETTLED_AT_ONCE: Final = 4_096
"""After so many events what was closed is put away: what changed since is held in memory."""


class Replay:
    """
    The state of a chain after its event `head.seq`, made by the fold.
    """

    def __init__(self, chain: ChainRow) -> None:
        self.chain = chain
        self.state = State()
        self.head = ChainHead(0, genesis(chain.chain_id, chain.origin))

    def settle(self) -> None:
        """
        Forget how to take back what was applied: nothing here ever is, and the log would grow with the history.
        """
        self.state.log.clear()

    def apply(self, event: RecordedEvent) -> None:
        """
        Apply the next stored event.

        Raises:
            SequenceGap, HashMismatch: it does not follow.
            StateMismatch: what is stored of it is not what the rules make of it.
        """
        head = self.head.check(event)
        derived, given = split_payload(event.payload)
        stored = (event.stream, event.stream_version, event.effective_on)
        context = Context(event.seq, event.recorded_at, event.occurred_at)
        wrong = fold.replay(self.state, event.event_type, event.schema_version, given, derived, stored, context)
        if wrong:
            raise StateMismatch(
                f"event {event.seq} is not by the rules: {wrong[0].column} is {wrong[0].actual[:200]}, expected "
                f"{wrong[0].expected[:200]}; verify the ledger"
            )
        self.head = head


class Spilled(Replay):
    """
    A replay that goes on from another one, and whose closed rows stand in a file: memory follows what is open.

    Rows that are closed are of the state as any other: whoever asks for one by its key finds it. They are not among
    `state.all_rows()`.
    """

    def __init__(self, begun: Replay, spill: Spill) -> None:
        super().__init__(begun.chain)
        self.head = begun.head
        self.state = State(spill.load, certain=True)
        self._spill, self._waiting = spill, 0
        spill.keep(self._closed(begun.state))
        self._mark = self.state.begin()

    def _closed(self, state: State) -> Iterator[tuple[Change, bytes]]:
        """Take the open rows of *state* over, and yield those that are closed."""
        for name, row in state.all_rows():
            if is_closed(name, row):
                key = state.table(name).key_of(row)
                yield Change(name, key, None, row), row_bytes(TABLES[name], row)
            else:
                self.state.add(name, row)

    def settle(self) -> None:
        """
        Put away what was closed, now and then.
        """
        self._waiting += 1
        if self._waiting < SETTLED_AT_ONCE:
            return
        self._spill.keep_closed(self.state, self._mark)
        self._mark, self._waiting = self.state.begin(), 0
        self.state.durable(self._mark)


def nothing(event: RecordedEvent) -> None:
    """
    Look at an event, and do nothing about it.
    """


def check_alone(events: Iterable[RecordedEvent]) -> None:
    """
    Raise HashMismatch unless the hash that is stored with each of *events* is that of its entry.

    It is for reads of a few events out of the chain: the hash before each is believed.
    """
    for event in events:
        ChainHead(event.seq - 1, event.prev_hash).check(event)


def advance(
    connection: Connection, replay: Replay, seq: int, each: Callable[[RecordedEvent], None] = nothing
) -> Replay:
    """
    Bring *replay* up to *seq*, and show *each* event on the way, its changes still in the log; return it.

    Raises:
        Corrupt: the history is not whole up to there.
    """
    chain, after = replay.chain, replay.head.seq
    if seq > after:
        for event in events.read(connection, chain.chain, chain.chain_id, after, seq - after):
            replay.apply(event)
            each(event)
            replay.settle()
    if replay.head.seq != seq:
        raise SequenceGap(f"the history ends at event {replay.head.seq}; the head is beyond {seq}: verify the ledger")
    return replay


def show(connection: Connection, replay: Replay, each: Callable[[RecordedEvent], None]) -> Replay:
    """
    Show *each* event up to where *replay* stands, as it begins at a snapshot, hashed and linked; return *replay*.

    Raises:
        Corrupt: the history is not whole up to there, or the snapshot is of another one.
    """
    chain = replay.chain
    head = ChainHead(0, genesis(chain.chain_id, chain.origin))
    for event in events.read(connection, chain.chain, chain.chain_id, 0, replay.head.seq):
        head = head.check(event)
        each(event)
    if head != replay.head:
        raise SequenceGap(f"the history ends at event {head.seq}; expected {replay.head.seq}: verify the ledger")
    return replay


def resolve(connection: Connection, chain: ChainRow, moment: Moment) -> int:
    """
    Return the seq of the last event that *moment* may take into account.

    Raises:
        NoSuchMoment: before the first event, or not yet.
    """
    check(moment)
    head = chains.head(connection, chain.chain)
    if head.seq == 0:
        raise NoSuchMoment(f"chain {chain.origin} has no events yet; there is nothing to read")
    if isinstance(moment, Seq):
        if not 1 <= moment.seq <= head.seq:
            raise NoSuchMoment(f"found seq {moment.seq}; this chain has events 1 to {head.seq}")
        return moment.seq
    time = moment.nanoseconds if isinstance(moment, RecordedAt) else moment.recorded_at
    now = max(head.recorded_at, chains.clock(connection))
    if time > now:
        raise NoSuchMoment(f"found the time {time_text(time)}, which has not come; it is {time_text(now)} here")
    seq = moments.last_by(connection, chain.chain, head.seq, time)
    if seq == 0:
        first = moments.recorded_at(connection, chain.chain, 1)
        raise NoSuchMoment(f"found the time {time_text(time)}; the first event was recorded at {time_text(first)}")
    return seq


__all__ = ["Known", "Replay", "Spilled", "advance", "check_alone", "nothing", "resolve", "show"]
