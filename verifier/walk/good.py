"""
Check all that `full` checks, at speed, of a chain where nothing is wrong.

This is a claim that is either proven or dropped: whatever does not fit, anywhere, ends it with `Doubt`, and the caller
verifies again from the start with the checks that name each finding. So a good ledger is verified in a fraction of the
time, a broken one in a little more, and the findings are those of one piece of code.

The events are read in PostgreSQL's own layout and hashed by ranges (`layout.py`), by other processes where there are
any, while this one applies the rules. A read model is compared by its digest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Protocol

import msgspec
import psycopg

from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, request_hash, split_payload
from ledger.chain.link import genesis
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State
from ledger.errors import LedgerError
from ledger.evidence.tree import Frontier
from verifier import held, region
from verifier.acknowledgements import AcknowledgementCheck
from verifier.commits import CommitCheck
from verifier.kept import KeptCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader, open_connection
from verifier.report import Findings
from verifier.spill import Spill
from verifier.stored import ChainRow
from verifier.walk import layout, ranges, rows, tables
from verifier.walk.layout import End, Parsed, fits
from verifier.walk.ranges import Ranged
from verifier.walk.replaying import Doubt, NetReplay
from verifier.walk.tables import Stored

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""


class Whole(msgspec.Struct):
    """
    A chain that was found good: its last event, the rows of its read models, and the state they are.
    """

    end: End
    counts: dict[str, int]
    replay: NetReplay
    frontier: Frontier | None


def check(reader: Reader, chain: ChainRow, spill: Spill, tell: Tell, jobs: int = 1, *, leaves: bool = False) -> Whole:
    """
    Return what a good chain is, checked by so many processes, this one among them; with *leaves* its tree as well.

    Raises:
        Doubt: something does not fit; nothing else is said of it.
        Unreadable: the database cannot be read.
    """
    last, snapshot = min(reader.last_seq() or 0, chain.seq), reader.snapshot()
    if last < 1:
        raise Doubt
    absent = os.urandom(16)
    others = _Others(reader.dsn, snapshot, chain, absent, last if jobs > 1 else 0, leaves=leaves)
    with others.at_work(jobs - 1), open_connection(reader.dsn, snapshot) as connection:
        replay, beside = NetReplay(spill, State(spill.load, certain=True), StateDigest()), from_the_start(reader, chain)
        frontier = None if jobs > 1 or not leaves else Frontier()
        found = runs(connection, chain, absent, None, frontier, hashed=jobs == 1)
        end = follow(replay, found, chain.chain_id, beside, tell)
        if end is None:
            raise Doubt
        conclude(replay, beside, end)
        same(region.head(chain, end), [])
        tell("comparing read models", 0)
        counts = _read_models(replay, others.stored())
        same(held.check(replay.state), [])
        same(region.digest(reader, replay.digest(), end.seq), [])
        if jobs > 1:
            frontier = others.follow(end)
    return Whole(end, counts, replay, frontier)


def same(found: object, expected: object) -> None:
    """
    Let only what is expected pass.

    Raises:
        Doubt: it is something else.
    """
    if found != expected:
        raise Doubt


def _read_models(replay: NetReplay, stored: Iterable[Stored]) -> dict[str, int]:
    """Hold the digest of all read models as they are stored against the replay's."""
    total, counts = StateDigest(), dict[str, int]()
    made = replay.digest()
    for one in stored:
        total.add(StateDigest.from_lanes(one.lanes))
        counts[one.table] = one.count
        # A row that is there 65,537 times adds to the lanes what it adds once.
        same(one.count, replay.made[one.table])
    same(total.lanes(), made.lanes())
    return counts


class _Others:
    """
    What other processes do while this one applies the rules: hash ranges of events, and read models.
    """

    def __init__(self, dsn: str, snapshot: str, chain: ChainRow, absent: bytes, last: int, *, leaves: bool) -> None:
        self._chain = chain
        self._ranges = [
            ranges.Task(dsn, snapshot, chain.chain, chain.chain_id, absent, *ends, leaves)
            for ends in ranges.cut(1, last)
        ]
        self._tables = [tables.Task(dsn, snapshot, chain.chain, table) for table in TABLES]
        self._walked: list[Future[Ranged]] = []
        self._stored: list[Future[Stored]] = []

    @contextlib.contextmanager
    def at_work(self, count: int) -> Iterator[None]:
        """
        Have so many processes at work in the block; none: this one does the read models itself.
        """
        if not count:
            yield
            return
        with ProcessPoolExecutor(count) as pool:
            try:
                self._walked = [pool.submit(ranges.check, task) for task in self._ranges]
                self._stored = [pool.submit(tables.digest, task) for task in self._tables]
                yield
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def stored(self) -> Iterator[Stored]:
        """
        Yield what each read model is.
        """
        if not self._stored:
            yield from map(tables.digest, self._tables)
        for future in self._stored:
            yield future.result()

    def follow(self, end: End) -> Frontier:
        """
        Hold together the ranges that other processes hashed, and *end*, the last event that this one applied.

        Return the tree of their leaves; empty where none was asked for.
        """
        before: End | None = None
        frontier = Frontier()
        for future in self._walked:
            done = future.result()
            if done.ends is None or not done.whole:
                raise Doubt
            first, last = done.ends
            same((first.seq, last.seq), (done.first, done.last))
            _follows(self._chain, before, first)
            before = last
            for node in done.nodes:
                frontier.add_complete(*node)
        same(before, end)
        return frontier


def _follows(chain: ChainRow, before: End | None, first: End) -> None:
    """Let only a run pass that follows the one before it; without one, that begins the chain."""
    if before is None:
        start = genesis(chain.chain_id, chain.origin)
        same((first.seq, first.prev_hash, first.group[1]), (1, start, 0))
    elif not fits(before, first):
        raise Doubt


def runs(
    connection: psycopg.Connection[Any],
    chain: ChainRow,
    absent: bytes,
    before: End | None,
    frontier: Frontier | None,
    *,
    hashed: bool,
) -> Iterator[tuple[Parsed, End]]:
    """
    Yield every event after *before* by runs that follow each other, each with its last end; *frontier* grows by them.

    Raises:
        Doubt: they do not fit.
    """
    first = -(2**63) if before is None else before.seq + 1
    with contextlib.closing(rows.read(connection, chain.chain, first, 2**63 - 1, absent)) as found:
        for some in found:
            parsed = layout.parse(some, chain.chain_id, absent)
            if parsed is None:
                raise Doubt
            run = parsed.ends()
            if hashed:
                checked = layout.check(parsed, connection.pgconn.consume_input, leaves=frontier is not None)
                if checked is None:
                    raise Doubt
                run = checked
            _follows(chain, before, run.first)
            before = run.last
            if frontier is not None:
                for leaf in run.leaves:
                    frontier.add(leaf)
            yield parsed, before


class Kept(Protocol):
    """
    The check of what is kept for reads of the past.
    """

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to check."""

    def wants(self, seq: int) -> bool:
        """Return whether there is a snapshot at *seq*."""

    def reach(self, event: RecordedEvent, changes: Sequence[Change], digest: bytes | None) -> None:
        """Take in an event, what it changed, and the digest after it where it was wanted."""

    def end(self) -> None:
        """Report what no event accounts for."""


class Beside(msgspec.Struct):
    """
    What stands beside the events and is checked in step with them.
    """

    keys: KeyCheck
    commits: CommitCheck
    acknowledged: AcknowledgementCheck
    kept: Kept
    findings: Findings


def from_the_start(reader: Reader, chain: ChainRow) -> Beside:
    """
    Return all that stands beside a chain's events.
    """
    findings = Findings()
    acknowledged = AcknowledgementCheck(chain.chain_id, reader.acknowledgements(), reader.now())
    commits = CommitCheck(reader.commits(), reader.seq_recorded_at)
    return Beside(KeyCheck(reader.keys()), commits, acknowledged, KeptCheck(reader, findings), findings)


def follow(
    replay: NetReplay, runs: Iterable[tuple[Parsed, End]], chain_id: bytes, beside: Beside, tell: Tell
) -> End | None:
    """
    Apply every event, check what stands *beside* in step with them, and return the last one.

    Raises:
        Doubt: something does not fit.
    """
    requests, past = Requests(beside.keys), not beside.kept.idle
    acknowledged = beside.acknowledged

    def digest() -> bytes:
        return replay.digest().digest()

    end: End | None = None
    for parsed, end in runs:
        for event in parsed.events(chain_id):
            before = replay.state.begin()
            replay.apply(event, *requests.take(event))
            # Before anything asks for the digest, which forgets them.
            changes = replay.state.changes(before) if past else ()
            acknowledged.pass_by(event)
            if event.seq in acknowledged.seqs:
                acknowledged.reach(event, digest())
            beside.commits.reach(event, digest)
            if past:
                beside.kept.reach(event, changes, digest() if beside.kept.wants(event.seq) else None)
        tell("checking events", end.seq)
    return end


def conclude(replay: NetReplay, beside: Beside, end: End) -> None:
    """
    Hold what no event accounts for against an end of the chain.

    Raises:
        Doubt: something does not fit.
    """
    if not end.closes:
        raise Doubt
    beside.kept.end()
    beside.findings.add(beside.keys.findings())
    beside.findings.add(beside.commits.end(end.seq))
    beside.findings.add(beside.acknowledged.findings(replay.state))
    same(len(beside.findings), 0)


class Requests:
    """
    Check that each group is what was asked for, by its request hash, and pass its first event on to its key, where keys
    are read.
    """

    def __init__(self, keys: KeyCheck | None = None) -> None:
        self._keys = keys
        self._salt = b""
        self._group: list[tuple[str, int, int, bytes]] = []

    def take(self, event: RecordedEvent) -> tuple[bytes, bytes]:
        """
        Return what the ledger derived of the next event, and what was given.

        Raises:
            Doubt: the payload is not those two, or its group's request hash is another.
        """
        try:
            derived, given = split_payload(event.payload)
            if event.group_index == 0:
                if self._keys is not None:
                    self._keys.use(event)
                self._salt, self._group = event.salt, []
            self._group.append((event.event_type, event.schema_version, event.occurred_at, given))
            if event.group_index + 1 == event.group_size:
                same(request_hash(self._salt, self._group), event.request_hash)
        except LedgerError as error:
            raise Doubt from error
        return derived, given
