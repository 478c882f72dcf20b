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
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ledger.chain.digest import StateDigest
from ledger.domain.rows import TABLES
from ledger.domain.state import State
from ledger.evidence.tree import Frontier
from ledger.spill.spill import Spill
from verifier import held, indexes, region
from verifier.connection import open_connection
from verifier.reader import Reader
from verifier.stored import ChainRow
from verifier.walk import keyed, ranges, saved, tables
from verifier.walk.beside import Beside, Tell, conclude, follow, from_the_start, since
from verifier.walk.books import FORMAT, NO_TREE, Books, Tree, Verified, rules
from verifier.walk.layout import End
from verifier.walk.others import Others
from verifier.walk.replaying import Doubt, NetReplay, same
from verifier.walk.runs import runs, without_gap
from verifier.walk.saved import Saved
from verifier.walk.tables import Stored

KEEP_S: Final = 60.0
"""How often books are written while a verification goes on: what an interruption costs."""


class Whole(msgspec.Struct):
    """
    A chain that was found good: its last event, the rows of its read models, and the state they are.

    `frontier` is its tree where books are kept, and `kept_to` how far what is kept of the past goes. `looked_up` is
    what came out of the indexes, where that was asked of other processes.
    """

    end: End
    counts: dict[str, int]
    replay: NetReplay
    frontier: Frontier
    kept_to: int
    notes: list[str] = []
    """What stands beside the events and was not asked, as sentences."""
    looked_up: indexes.LookedUp | None = None

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
    reader: Reader,
    chain: ChainRow,
    spill: Spill,
    tell: Tell,
    jobs: int = 1,
    *,
    size: int = ranges.RANGE,
    look_up: bool = False,
) -> Whole:
    """
    Return what a good chain is, checked by so many processes, this one among them; the others take ranges of *size*,
    and *look up* rows by every index where they are to.

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
        indexes.Task(reader.dsn, snapshot) if look_up else None,
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
        tell("reading every table by its indexes", 0)
        looked_up = others.looked_up()
    return Whole(end, counts, replay, others.frontier, beside.kept.kept_to, beside.notes, looked_up)


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
