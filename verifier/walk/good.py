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
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec
import psycopg

from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State
from ledger.evidence.tree import Frontier
from verifier import held, region
from verifier.acknowledgements import AcknowledgementCheck
from verifier.commits import CommitCheck
from verifier.connection import open_connection
from verifier.kept import KeptCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import Findings
from verifier.spill import Spill
from verifier.stored import ChainRow
from verifier.walk import keyed, layout, ranges, rows, saved, tables
from verifier.walk.books import FORMAT, NO_TREE, Books, Tree, Verified, rules
from verifier.walk.kept_since import KeptSince
from verifier.walk.layout import End, Parsed
from verifier.walk.others import Others, follows
from verifier.walk.replaying import Doubt, NetReplay, same
from verifier.walk.requests import Requests
from verifier.walk.saved import Saved
from verifier.walk.tables import Stored

KEEP_S: Final = 60.0
"""How often books are written while a verification goes on: what an interruption costs."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""


class Whole(msgspec.Struct):
    """
    A chain that was found good: its last event, the rows of its read models, and the state they are.

    `frontier` is its tree where books are kept, and `kept_to` how far what is kept of the past goes.
    """

    end: End
    counts: dict[str, int]
    replay: NetReplay
    frontier: Frontier
    kept_to: int

    def said(self, chain: ChainRow, tree: Tree) -> Verified:
        """
        Return what books say of it, where tiles and checkpoints were checked up to *tree*.
        """
        return _said(chain, self.end, tree, self.replay, self.frontier, (self.kept_to, self.end.seq), compared=True)


def _said(
    chain: ChainRow,
    end: End,
    tree: Tree,
    replay: NetReplay,
    edge: Frontier,
    beside: tuple[int, int],
    *,
    compared: bool,
) -> Verified:
    """Return what books say once all up to *end* is checked; *beside* is how far the past is kept, and commits go."""
    at = Saved(saved.FORMAT, chain.origin, chain.chain_id, end, list(edge.hashes))
    return Verified(FORMAT, rules(), at, tree, replay.digest().lanes(), dict(replay.made), *beside, compared)


def check(
    reader: Reader, chain: ChainRow, spill: Spill, tell: Tell, jobs: int = 1, *, size: int = ranges.RANGE
) -> Whole:
    """
    Return what a good chain is, checked by so many processes, this one among them; the others take ranges of *size*.

    With `Books` it goes on from where they are, and they say how far it came, now and then: what an interruption costs.

    Raises:
        Doubt: something does not fit; nothing else is said of it.
        Unreadable: the database cannot be read, or the books not written.
    """
    books = spill if isinstance(spill, Books) else None
    before = None if books is None else books.said
    last, snapshot, absent = min(reader.last_seq() or 0, chain.seq), reader.snapshot(), os.urandom(16)
    if last < 1:
        raise Doubt
    start = None if before is None else before.at.end
    first = 1 if start is None else start.seq + 1
    without_gap(reader, first, last)
    cut = list(ranges.cut(first, last, size))
    others = Others(
        chain,
        [ranges.Task(reader.dsn, snapshot, chain.chain, chain.chain_id, absent, *ends, books is not None, requests=True)
         for ends in cut],
        [tables.Task(reader.dsn, snapshot, chain.chain, table) for table in TABLES],
        keyed.Task(reader.dsn, snapshot, chain.chain), before,
    )  # fmt: skip
    with others.at_work(jobs - 1), open_connection(reader.dsn, snapshot) as connection:
        if books is None or before is None:
            replay = NetReplay(spill, State(spill.load, certain=True), StateDigest())
            beside = from_the_start(reader, chain)
        else:
            replay, beside = going_on(books, before), since(reader, chain, before)
        frontier = others.frontier if books is not None and jobs == 1 else None
        keep = _keeper(chain, books, others if jobs > 1 else None, replay, beside, others.frontier)
        with contextlib.closing(
            runs(connection, chain, absent, start, frontier, last=last, size=size, hashed=jobs == 1)
        ) as found:
            end = follow(replay, found, chain.chain_id, beside, tell, across=size if jobs > 1 else None, keep=keep)
        end = end or start
        if end is None:
            raise Doubt
        conclude(replay, beside, end)
        same(region.head(chain, end), [])
        same(others.keyed(), True)
        tell("comparing read models", 0)
        counts = _read_models(replay, others.stored())
        same(held.check(replay.state), [])
        same(region.digest(reader, replay.digest(), end.seq), [])
        if jobs > 1:
            others.reach(end)
            same(others.is_done, True)
    return Whole(end, counts, replay, others.frontier, beside.kept.kept_to)


def without_gap(reader: Reader, first: int, last: int) -> None:
    """
    Let only a chain pass whose events *first* to *last* are as many as that: one far behind the others would make
    ranges without end.

    Raises:
        Doubt: they are more, or fewer.
    """
    same(reader.count(first, last), max(0, last - first + 1))


def _keeper(
    chain: ChainRow, books: Books | None, others: Others | None, replay: NetReplay, beside: Beside, edge: Frontier
) -> Callable[[End], None]:
    """Return what keeps in *books*, now and then, that all up to an event was found good."""
    kept_at = time.monotonic()

    def keep(end: End) -> None:
        nonlocal kept_at
        # A group that is open would have to be kept too; the next run may end with one that is not.
        if books is None or not end.closes or time.monotonic() - kept_at < KEEP_S:
            return
        if others is not None and not others.has_border(end):
            return
        if others is not None:
            others.reach(end)
        same((len(beside.findings), beside.commits.is_clean), (0, True))
        reached = (beside.kept.kept_to, beside.commits.boundary)
        books.save(replay.state, _said(chain, end, NO_TREE, replay, edge, reached, compared=False))
        kept_at = time.monotonic()

    return keep


def going_on(books: Books, before: Verified) -> NetReplay:
    """
    Return the replay that goes on from what *books* are.
    """
    replay = NetReplay(books, books.state(), StateDigest.from_lanes(before.lanes))
    replay.made.update(before.counts)
    return replay


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


def runs(
    connection: psycopg.Connection[Any],
    chain: ChainRow,
    absent: bytes,
    before: End | None,
    frontier: Frontier | None,
    *,
    last: int,
    hashed: bool,
    size: int = ranges.RANGE,
) -> Generator[tuple[Parsed, End], None, None]:
    """
    Yield every event after *before* by runs that follow each other, each with its last end; *frontier* grows by them.

    None goes beyond the end of a range of *size* events, of which *last* is expected to be the last. Ranges are asked
    for one after the other: what of one has arrived and is not taken yet is all that memory may have to hold.

    Raises:
        Doubt: they do not fit.
    """
    begin = 1 if before is None else before.seq + 1
    cut = list(ranges.cut(begin, last, size))
    # Whatever stands before the first event or after the last belongs to nobody's range, and is met here.
    borders = [-(2**63) if before is None else begin, *(first for first, _ in cut[1:]), 2**63]
    for first, beyond in pairwise(borders):
        with contextlib.closing(rows.read(connection, chain.chain, first, beyond - 1, absent)) as found:
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
                follows(chain, before, run.first)
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

    @property
    def kept_to(self) -> int:
        """Return how far what is kept goes."""

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

    keys: KeyCheck | None
    """Keys in the order of their groups; None where they are checked by themselves."""
    commits: CommitCheck
    acknowledged: AcknowledgementCheck
    kept: Kept
    findings: Findings


def from_the_start(reader: Reader, chain: ChainRow) -> Beside:
    """
    Return what stands beside a chain's events, but for the keys.
    """
    findings = Findings()
    acknowledged = AcknowledgementCheck(chain.chain_id, reader.acknowledgements(), reader.now())
    commits = CommitCheck(reader.commits(), reader.seq_recorded_at)
    return Beside(None, commits, acknowledged, KeptCheck(reader, findings), findings)


def since(reader: Reader, chain: ChainRow, before: Verified) -> Beside:
    """
    Return what stands beside the events after those that *before* is of, but for the keys.
    """
    at = before.at.end.seq
    commits = CommitCheck(reader.commits(before.boundary), reader.seq_recorded_at, before.boundary)
    return Beside(None, commits, _acknowledged(reader, chain, at), KeptSince(reader, at), Findings())


def kept_late(before: Verified, reached: int) -> list[str]:
    """
    Return what has to be said where what is kept of the past *reached* over events that were verified without it.
    """
    last = min(before.at.end.seq, reached)
    if last <= before.kept_to:
        return []
    return [f"what is kept of the past at events {before.kept_to + 1} to {last}: it was written after they were "
            "verified"]  # fmt: skip


def _acknowledged(reader: Reader, chain: ChainRow, after: int) -> AcknowledgementCheck:
    """Return the check of acknowledgements, those of events before told from what was verified of them."""
    rows = reader.acknowledgements()
    check = AcknowledgementCheck(chain.chain_id, rows, reader.now())
    for seq in sorted({row.seq for row in rows if row.seq <= after}):
        commit, found = reader.commit_at(seq), next(reader.events(seq, seq), None)
        if commit is None or found is None:
            raise Doubt
        check.pass_by(found)
        check.reach(found, commit.state_digest)
    return check


def follow(
    replay: NetReplay,
    runs: Iterable[tuple[Parsed, End]],
    chain_id: bytes,
    beside: Beside,
    tell: Tell,
    *,
    across: int | None = None,
    keep: Callable[[End], None] = lambda end: None,
) -> End | None:
    """
    Apply every event, check what stands *beside* in step with them, and return the last one; *keep* hears of each run.

    With *across* request hashes are checked only of groups that stand across a border of ranges of so many events.

    Raises:
        Doubt: something does not fit.
    """
    requests, past = Requests(beside.keys, across), not beside.kept.idle
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
        keep(end)
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
    if beside.keys is not None:
        beside.findings.add(beside.keys.findings())
    beside.findings.add(beside.commits.end(end.seq))
    beside.findings.add(beside.acknowledged.findings(replay.state))
    same(len(beside.findings), 0)
