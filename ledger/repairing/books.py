"""
Make anew what follows from the events: read models, digests, commits, idempotency keys, the head and the tiles.

The events are walked once. Each is hashed, linked and applied by the rules, and becomes a leaf of the tree, whose root
has to be the signed one where the checkpoint stands; events after it are held by their links alone. What comes out is
staged beside the tables and compared there, so that only rows that differ are written.

Where commits end nobody signs: boundaries stay where they are, as long as a group ends there, and what else a commit
says is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ledger.chain import entry as entries
from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.errors import Divergence, HashMismatch, SequenceGap
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tile_edge import TileEdge
from ledger.reading.past import Replay
from ledger.repairing import belonging, record
from ledger.repairing.proving import UNLAID
from ledger.repairing.role import Mode
from ledger.repairing.wanted import FOLDED, HEAD, HISTORIES, TILES
from ledger.storage import events, evidence, read_models, repairs, staged
from ledger.storage.chains import ChainRow, Head
from ledger.storage.database import Connection

BATCH: Final = 4096

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""


class Made(msgspec.Struct, frozen=True):
    """
    What was made anew of one table: how many rows went, and how many came.
    """

    table: str
    gone: int
    came: int


class Walk:
    """
    One walk along the events of a chain, as far as they go.
    """

    def __init__(self, connection: Connection, chain: ChainRow, stated: Checkpoint, tables: Sequence[str]) -> None:
        """
        Be ready to make *tables* anew; *stated* is the signed checkpoint.
        """
        self._connection, self._chain, self._stated = connection, chain, stated
        self._tables = tables
        self._folds = any(table in FOLDED or table == HISTORIES for table in tables)
        self.contradicted = ""
        """Why what the region recorded of itself is not made to fit the events: it is at one against them."""
        self._replay = Replay(chain)
        self._digest, self._edge = StateDigest(), TileEdge()
        self._after = 0
        """The last event of the commit before."""
        self._commits: list[tuple[int, int, bytes, int]] = []
        self._others = belonging.numbers(connection, chain)
        """Under these numbers rows may be another chain's, though they are the same as this one's."""
        self._astray = set[tuple[str, str]]()
        """Where commits of no chain end, each with the state after it."""
        self.recorded_at, self.epoch, self._ends = 0, 1, True
        self._tree_size = tree_size(connection, chain.chain, stated.size)
        self.signed_tiles = self._tree_size <= stated.size
        """Whether tiles go no further than the signed tree, so that no other event has a part in them."""

    @property
    def head(self) -> ChainHead:
        """
        Return the last event that was walked over.
        """
        return self._replay.head

    def run(self, tell: Tell) -> None:
        """
        Walk to the last event, and stage what it makes.

        Raises:
            SequenceGap, HashMismatch, StateMismatch: the events are not whole, or not by the rules.
            Divergence: they are not those that were signed.
        """
        for table in ("commits", TILES):
            staged.expect(self._connection, table)
        chain, number = self._chain, self._chain.chain
        self._astray = staged.boundaries_astray(self._connection, self._others) if self._folds else set()
        said = record.agreed(self._connection, number) if self._folds else []
        asked, made = {seq for one in said for seq in one.seqs}, set[bytes]()
        while True:
            after = self.head.seq
            found = list(events.read(self._connection, number, chain.chain_id, after, BATCH, as_found=True))
            if not found:
                break
            ends = staged.boundaries(self._connection, number, after, found[-1].seq) if self._folds else set()
            leaves = []
            for event in found:
                try:
                    self._apply(event)
                except (AttributeError, TypeError) as error:
                    raise _no_entry(event, error) from error
                leaves.append(_leaf(event))
                if event.seq in asked:
                    made.add(self._digest.digest())
                if event.seq == self._stated.size:
                    self._grow(leaves)
                    leaves = []
                    self._check_root()
                if self._ends and (event.seq in ends or self._is_astray(event.seq)):
                    self._commit(event.seq)
            self._grow(leaves)
            self._flush()
            tell("replaying events", self.head.seq)
        if self.head.seq < self._stated.size:
            raise SequenceGap(
                f"the events end at {self.head.seq}, and {self._stated.size} were signed: those that are missing have "
                "to be restored first; nothing was mended"
            )
        if self._folds:
            made.add(self._digest.digest())
            self.contradicted = record.contradicted(self._connection, number, said, made)
            if self._after < self.head.seq:
                self._commit(self.head.seq)
        self._flush()

    def _apply(self, event: RecordedEvent) -> None:
        if self._folds:
            mark = self._replay.state.begin()
            self._replay.apply(event)
            for change in self._replay.state.changes(mark):
                spec = TABLES[change.table]
                if change.old is not None:
                    self._digest.take_out(change.table, row_bytes(spec, change.old))
                self._digest.put_in(change.table, row_bytes(spec, change.new))
            self._replay.state.log.clear()
        else:
            self._replay.head = self._replay.head.check(event)
        self.recorded_at, self.epoch = event.recorded_at, event.epoch
        self._ends = event.group_index == event.group_size - 1

    def _grow(self, leaves: Sequence[bytes]) -> None:
        """Take leaves into the tree, and those up to where the tiles go into what is expected of these."""
        room = max(0, self._tree_size - self._edge.size)
        for part, is_kept in ((leaves[:room], True), (leaves[room:], False)):
            if part:
                before = self._edge.size
                rows = self._edge.extend(part)
                if is_kept and TILES in self._tables:
                    evidence.grow(self._connection, self._chain.chain, before, rows, "expected_tiles")

    def _check_root(self) -> None:
        if self._edge.root() != self._stated.root:
            raise Divergence(
                f"the first {self._stated.size} events have root {self._edge.root().hex()}, and signed was "
                f"{self._stated.root.hex()}: an event is still another than the one that was signed, so "
                "nothing is made of them and nothing was mended"
            )

    def _commit(self, seq: int) -> None:
        self._commits.append((self._after + 1, seq, self._digest.digest(), self.recorded_at))
        self._after = seq

    def _is_astray(self, seq: int) -> bool:
        """Return whether a commit that ends here is under a number that no chain has: its state says whose it is."""
        return bool(self._astray) and (str(seq), self._digest.digest().hex()) in self._astray

    def _flush(self) -> None:
        staged.expect_commits(self._connection, self._chain.chain, self._commits)
        self._commits = []

    def write(self, reason: str, tell: Tell, vouched: int, mode: Mode | None) -> list[Made]:
        """
        Let the tables have the rows that came out, and return what became of each; others than this region know the
        first *vouched* events. A head is of a region of this *mode*; without one none is made.
        """
        made = []
        for table in self._tables:
            if table in (HEAD, HISTORIES):
                continue
            tell(f"writing {table}", 0)
            self._stage(table)
            key = TABLES[table].key if table in TABLES else staged.KEYS[table]
            with repairs.aside(self._connection, table):
                moved = staged.replace(self._connection, self._chain.chain, table, key, self._others, reason)
                made.append(Made(table, *moved))
        if HEAD in self._tables and mode is not None:
            head = Head(self.head.seq, self.head.hash, self.recorded_at, self.epoch, mode)
            moved = repairs.set_head(self._connection, self._chain.chain, head, vouched, reason)
            made.append(Made(HEAD, *moved))
        return made

    def _stage(self, table: str) -> None:
        number = self._chain.chain
        if table in TABLES:
            place = staged.expect(self._connection, table)
            rows = self._replay.state.table(table).rows.values()
            if rows:
                read_models.copy_into(self._connection, place, number, table, rows)
        elif table == "state_digests":
            staged.expect_digest(self._connection, number, self.head.seq, self._digest.lanes())
        elif table == "idempotency_keys":
            staged.expect_keys(self._connection, number)


def _leaf(event: RecordedEvent) -> bytes:
    try:
        return tree.leaf_hash(entries.encode(event))
    except UNLAID as error:
        raise _no_entry(event, error) from error


def _no_entry(event: RecordedEvent, error: Exception) -> HashMismatch:
    return HashMismatch(f"event {event.seq} is stored with what no entry can hold: {error}")


def tree_size(connection: Connection, chain: int, signed: int) -> int:
    """
    Return how many leaves the tiles are to have: as many as follow each other, and every checkpoint needs; of those
    that are *signed*, as many as the last tile says, whatever is missing before it.
    """
    newest = evidence.newest(connection, chain)
    said = min(evidence.tree_sizes(connection, chain)[0], signed)
    return max(evidence.leaves_in_row(connection, chain), said, 0 if newest is None else newest.size)
