"""
Verify what was appended since an earlier verification: its bytes, rules and rows, at a cost that follows its length.

The earlier one left its books (`books.py`): the state after the last event that it checked. The events since are
applied to it, and every row of every read model that they touch is compared with what is stored. The books are changed
only once all of that fits; where anything does not, everything is verified from the first event, which says what it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.domain.rows import TABLES, ChainKey
from ledger.domain.state import Key
from ledger.evidence.tiles import HEIGHT
from verifier import catalogue, due, full, held, identity, indexes, region
from verifier.connection import open_connection
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import BROKEN, NOT_COVERED, VERIFIED, Findings, Report
from verifier.sealed import SealedCheck
from verifier.signed import Signed
from verifier.stored import ChainRow
from verifier.walk import before, gone_on, good
from verifier.walk.again import unfit
from verifier.walk.beside import conclude, follow, kept_late, since
from verifier.walk.books import NO_TREE, UNREAD, Books, Tree, Verified, unread
from verifier.walk.replaying import Doubt, NetReplay, same
from verifier.walk.runs import runs, without_gap

Tell = Callable[[str, int], None]
_KEYS: Final = 1000
"""So many keys are asked for at once."""

COVERED: Final = [
    "every column of every event since the state, against its hash and the hash chain from the event at the state",
    "their seqs, recorded times, event ids, groups, stream versions, idempotency keys and request hashes",
    "their rules and consequences, by replaying the fold upon the state",
    "every row and column of the read models that they touched, the state digest, commits, the head, the chain's row",
    "that what accounts hold is what their open orders and holds do",
    "every version of these rows up to the watermark, and the snapshots since the state; acknowledgements and their "
    "signatures",
    "the hashes that tiles have gained since, and every larger checkpoint: its root, what it says and that a key which "
    "the chain names for checkpoints signed it",
    "the event at the state, against the state's hash",
    "rows of chain numbers that no chain of this database has; tables, triggers, functions, grants and settings",
]
SINCE: Final = [
    "events up to {0}, and rows of read models, keys, commits and histories that no event since has touched: they were "
    "checked when the state was saved, in the region that was read then; of an edit since then, and of another region, "
    "it is `full` or `scrub` that tells",
    "rows of idempotency_keys that no group since has used",
    "tiles and checkpoints up to {1} events, as long as the newest of them is there: they were checked when the state "
    "was saved",
    "who outside has seen this history: no policy is asked, and a rewrite of all rows is for `full` and `open`, which "
    "take the auditor's",
]


def verify(reader: Reader, path: Path, tell: Tell, jobs: int = 1) -> Report:
    """
    Return the report on what was appended since the state at *path*, or on all where there is none yet.

    Without a finding the state is then that of the last event.

    Raises:
        Unreadable: there is nothing to check, or the file is no state of this chain.
    """
    started = time.monotonic()
    with Books(path) as books:
        if books.said is None or not books.said.compared:
            return full.verify(reader, tell, jobs, books)
        found, settled, part = Findings(), identity.settle(reader, *books.said.at.names()), "events"
        chain = settled.chain
        found.add(before.convict(reader, chain, books.said, path, renamed=bool(settled.findings)))
        if not len(found) and not settled.findings and settled.readable:
            try:
                return _since(reader, chain, books, books.said, tell, started)
            except Doubt as doubt:
                part = str(doubt) or part
            except UNREAD as error:
                raise unread(path, error) from error
        said = books.said
    report = full.verify(reader, tell, jobs, settled=settled)
    if not len(found) and not report.findings:
        # To begin anew in silence would be to forget what the file knows.
        found.add([unfit(path, said.at.end.seq, report.events, part)])
        report.last_good_seq = 0
    if len(found):
        # The chain may be good in itself: it is not the one that was verified before.
        report.findings = [*found.all(None), *report.findings]
        report.verdict = BROKEN
    return report


def _since(reader: Reader, chain: ChainRow, books: Books, said: Verified, tell: Tell, started: float) -> Report:
    """Return the report on the events since *said*, and save the books; whatever does not fit is a Doubt."""
    start, absent = said.at.end, os.urandom(16)
    same(region.chains(reader, chain), [], "chains")
    same(region.strays(reader), [], "rows of nobody")
    replay = good.going_on(books, said)
    replay.touched = set()
    frontier, beside = said.at.frontier(), since(reader, chain, said)
    beside.keys = KeyCheck(reader.keys_of_groups(start.seq))
    with open_connection(reader.dsn, reader.snapshot()) as connection:
        last = reader.last_seq() or 0
        without_gap(reader, start.seq + 1, last)
        found = runs(connection, chain, absent, start, frontier, last=last, hashed=True)
        end = follow(replay, found, chain.chain_id, beside, tell) or start
    conclude(replay, beside, end)
    same(region.head(chain, end), [], "the head")
    same(region.digest(reader, replay.digest(), end.seq), [], "the state digest")
    same(held.check(replay.state), [], "what is held")
    tell("comparing rows", 0)
    rows = _compare(reader, replay, books)
    same(region.position(reader, end.seq), [], "replica_state")
    of_keys = any(table == "chain_keys" for table, _ in replay.touched)
    tree, nobodys = _tree(reader, chain, said.tree, tell, of_keys)
    tell("checking the guards", 0)
    wrong = Findings()
    wrong.add(catalogue.check(reader.connection))
    if not len(wrong):
        books.save(replay.state, good.Whole(end, rows, replay, frontier, beside.kept.kept_to).said(chain, tree))
    notes = [line.format(start.seq, said.tree.size) for line in SINCE]
    notes += [gone_on.snapshots_left(start.seq), *kept_late(said, beside.kept.kept_to), *beside.notes]
    notes += [*nobodys, *catalogue.unseen(reader.query), indexes.NOT_LOOKED_UP]
    return Report(
        verdict=BROKEN if len(wrong) else VERIFIED, origin=chain.origin, region_mode=chain.mode,
        events=end.seq - start.seq,
        head={"seq": end.seq, "hash": end.hash.hex(), "root": frontier.root().hex()}, findings=wrong.all(None),
        rows=rows, covered=COVERED, not_covered=[*notes, *NOT_COVERED],
        vouched=[*reader.vouched(), *catalogue.holders(reader.query)],
        last_good_seq=end.seq, seconds=round(time.monotonic() - started, 3),
        spans=[(start.seq + 1, end.seq)] if end.seq > start.seq else None,
    )  # fmt: skip


def _tree(reader: Reader, chain: ChainRow, said: Tree, tell: Tell, of_keys: bool) -> tuple[Tree, list[str]]:
    """
    Check what the tree has gained since *said*, and who signed it, and of all where events since are *of keys*.

    Return how far it was checked, and which checkpoints are nobody's word any more.
    """
    first = None if said.is_signed else next(reader.checkpoints_above("first", None), None)
    if first is not None and first.size <= said.size:
        # There was none when the state was saved, and the first that came is of fewer events than the tiles had.
        said = NO_TREE
    since = said.size if said.is_signed else 0
    sealed = SealedCheck(
        due.due(reader).leaves, lambda level: reader.tiles(level, said.size >> HEIGHT * (level + 1)),
        reader.checkpoints_above("sealed", since), reader.now(), start=said.edge(), is_signed=said.is_signed,
    )  # fmt: skip
    same(list(full.tree_of(reader, chain, sealed, tell)), [], "the tree")
    signed = Signed(chain.origin, [row for row in reader.rows("chain_keys") if isinstance(row, ChainKey)], None)
    for row in reader.checkpoints_above("signed", 0 if of_keys else since):
        same(signed.check(row), [], "checkpoints")
    same(signed.end(), [], "checkpoints")
    return Tree.of(sealed), signed.nobodys()


def _compare(reader: Reader, replay: NetReplay, books: Books) -> dict[str, int]:
    """Hold every row that an event touched against what is stored; return how many there were of each table."""
    counts: dict[str, int] = {}
    by_table: dict[str, list[Key]] = {}
    for table, key in replay.touched or ():
        by_table.setdefault(table, []).append(key)
    for table, keys in by_table.items():
        counts[table] = len(keys)
        for start in range(0, len(keys), _KEYS):
            some = keys[start : start + _KEYS]
            names = TABLES[table].key
            stored = {tuple(getattr(row, name) for name in names): row for row in reader.rows_at(table, some)}
            if len(stored) != len(some):
                raise Doubt(table)
            for key in some:
                made = replay.state.table(table).rows.get(key) or books.load(table, key)
                same(stored.get(key), made, table)
    return counts
