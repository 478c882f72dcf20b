"""
Check the tree over the events: every hash of every tile, and every checkpoint that the region keeps.

The leaves are made anew from the events while the chain is walked, so that each index is bound twice: by BLAKE3 to
its neighbours, by SHA-256 to what was signed. What a region keeps is its own word; with a policy, the checkpoint that
others have cosigned is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import HEIGHT, LEVELS, WIDTH
from ledger.evidence.tree import HASH_BYTES
from verifier import conviction
from verifier.absent import is_absent
from verifier.report import Finding
from verifier.stored import CheckpointRow

BEHIND_NS = 10 * 10**9
"""
How far a clock may be behind the one before it. A writer's may be a second off the database's, and its head five
seconds ahead after its clock was set back; who seals has a clock of its own.
"""
CLOCKS_NS = 60 * 10**9
"""How far the sealer's clock may be ahead of the database's before a time is called a lie."""

ReadLevel = Callable[[int], Iterator[tuple[int, bytes]]]
"""What yields (number, hashes) of the stored tiles of a level, in order."""


class _Level:
    """The stored hashes of one level, taken in order as they are made anew."""

    def __init__(self, level: int, rows: Iterator[tuple[int, bytes]]) -> None:
        self.level, self._rows = level, rows
        self._tile: tuple[int, bytes] | None = next(rows, None)
        self._missing = -1
        self.is_empty = self._tile is None

    def _at(self, number: int) -> Iterator[Finding]:
        """Go on to a tile, and name those that stand before it and belong nowhere."""
        while self._tile is not None and self._tile[0] < number:
            if self._tile[0] < 0 or len(self._tile[1]) > WIDTH * HASH_BYTES:
                yield self.found(self._tile[0], "no such row", "a row")
            self._tile = next(self._rows, None)

    def stored(self, place: int, found: list[Finding]) -> bytes | None:
        """Go on to the tile of a hash, and return the hash as it is stored, if it is; add to *found* what is wrong."""
        number, inside = divmod(place, WIDTH)
        found += self._at(number)
        hashes = b"" if self._tile is None or self._tile[0] != number else self._tile[1]
        hashed = hashes[inside * HASH_BYTES : (inside + 1) * HASH_BYTES]
        return hashed if len(hashed) == HASH_BYTES else None

    def check(self, place: int, made: Sequence[bytes], size: int) -> Iterator[Finding]:
        """Hold the next hashes of the level, which begin at *place*, against the stored ones, up to *size* stored."""
        for offset, expected in enumerate(made, place):
            if offset >= size:
                return
            number, inside = divmod(offset, WIDTH)
            yield from self._at(number)
            if self._tile is None or self._tile[0] != number:
                if self._missing != number:
                    self._missing = number
                    yield self.found(number, "a tile", "no such row")
                continue
            stored = self._tile[1][inside * HASH_BYTES : (inside + 1) * HASH_BYTES]
            if stored != expected:
                yield self.found(number, expected.hex(), stored.hex() or "no such hash", offset)

    def found(self, number: int, expected: str, actual: str, place: int | None = None) -> Finding:
        seq = place + 1 if self.level == 0 and place is not None else None
        column = None if place is None else f"hashes[{place % WIDTH}]"
        return Finding("TREE_MISMATCH", expected, actual, seq=seq, table="tiles", key=(str(self.level), str(number)),
                       column=column)  # fmt: skip

    def end(self, count: int) -> Iterator[Finding]:
        """Name what is stored past the *count* hashes of this level."""
        while self._tile is not None:
            number, hashes = self._tile
            if number < 0:
                yield self.found(number, "no such row", "a row")
                self._tile = next(self._rows, None)
                continue
            room = max(0, min(WIDTH, count - number * WIDTH)) * HASH_BYTES
            if len(hashes) > room:
                yield self.found(number, f"{room // HASH_BYTES} hashes", f"{len(hashes) // HASH_BYTES} of them")
            self._tile = next(self._rows, None)


class SealedCheck:
    """
    Hold tiles and checkpoints against the events while these are walked.

    The tiles may end before the events do: they are made behind the writer. *size* is how many leaves they have to
    hold, *now* the database's clock (ns); *expected* are checkpoints that the auditor brought. A replica
    *may be behind* those: what they cover beyond its last event may be on its way. What was checked before ends at
    *start*, at a checkpoint where that *is signed*, and tiles and rows are those from there on.

    `covered` is the edge up to which all is checked: at the newest checkpoint, since one of what tiles hold beyond it
    may come yet; at the last of the tiles where there is none. `is_signed` says which.
    """

    def __init__(
        self,
        size: int,
        read_level: ReadLevel,
        rows: Iterator[CheckpointRow],
        now: int,
        expected: Sequence[Checkpoint] = (),
        *,
        may_be_behind: bool = False,
        start: TileEdge | None = None,
        is_signed: bool = False,
    ) -> None:
        self._size, self._now, self._sealed_at = size, now, 0
        self._levels = [_Level(level, read_level(level)) for level in range(LEVELS)]
        self._edge = TileEdge() if start is None else start.copy()
        self.covered, self.is_signed = self._edge.copy(), is_signed
        self._leaves: list[bytes] = []
        self._rows = rows
        self._row = next(rows, None)
        # Of no events every log is the same: that is what a witness shows of one at first.
        self._expected = sorted((x for x in expected if x.size), key=lambda stated: stated.size)
        self._of_nothing = [x for x in expected if not x.size and x.root != tree.EMPTY_ROOT]
        self._may_be_behind = may_be_behind
        self.torn: int | None = None
        """How many events there are before the first that is missing: of more of them no root is made."""
        self._unknown: int | None = None

    @property
    def is_empty(self) -> bool:
        """
        Whether there is neither a tile nor a checkpoint to hold against the events.
        """
        brought = self._expected or self._of_nothing
        return self._row is None and not brought and all(level.is_empty for level in self._levels)

    @property
    def _seq(self) -> int:
        return self._edge.size + len(self._leaves)

    def reach(self, event: RecordedEvent) -> list[Finding]:
        """
        Take in the next event, and return what came out to be wrong; past one that is missing nothing can be told.

        Of one whose bytes are not those of its hash no leaf is made: the one that is stored is the best word there is
        of what it was, and what is made of that may be wrong for that alone.
        """
        if self.torn is not None:
            return []
        if conviction.hashes_to(event, event.hash):
            return self.take(event.seq, event.recorded_at, tree.leaf_hash(entries.encode(event)))
        found = self._take_in()
        leaf = self._levels[0].stored(event.seq - 1, found)
        if leaf is None:
            self.torn = self._seq
            return found
        if self._unknown is None:
            self._unknown = event.seq
        return found + self.take(event.seq, event.recorded_at, leaf)

    def take(self, seq: int, recorded_at: int, leaf: bytes) -> list[Finding]:
        """
        Take in the next event, of which the *leaf* was made, as `reach` does.
        """
        if self.torn is not None or seq != self._seq + 1:
            self.torn = self._seq if self.torn is None else self.torn
            return []
        self._leaves.append(leaf)
        found = []
        while self._row is not None and self._row.size < seq:
            found.append(_misplaced(self._row))
            self._row = next(self._rows, None)
        at_row = self._row is not None and self._row.size == seq
        at_expected = bool(self._expected) and self._expected[0].size == seq
        if len(self._leaves) == WIDTH or at_row or at_expected or seq == self._size:
            found += self._take_in()
        if at_row or (seq == self._size and not self.is_signed):
            self.covered, self.is_signed = self._edge.copy(), at_row
        if at_row and self._row is not None:
            if self._row.root != self._edge.root():
                found += self._above([of_row(self._row, "root", self._edge.root().hex(), self._row.root.hex())])
            earliest = max(recorded_at, self._sealed_at) - BEHIND_NS
            if not earliest <= self._row.sealed_at <= self._now + CLOCKS_NS:
                expected = f"between {earliest} and {self._now}, which is now"
                found.append(of_row(self._row, "sealed_at", expected, str(self._row.sealed_at), "CLOCK"))
            self._sealed_at = min(self._row.sealed_at, self._now)
            self._row = next(self._rows, None)
        while self._expected and self._expected[0].size == seq:
            stated = self._expected.pop(0)
            if stated.root != self._edge.root():
                found += self._above([Finding("INCONSISTENT", f"root {stated.root.hex()}",
                                              f"root {self._edge.root().hex()}", seq=seq)])  # fmt: skip
        return found

    def _above(self, found: Iterable[Finding]) -> list[Finding]:
        """Return findings of hashes over leaves: they may follow from one that could not be made of its event."""
        return [msgspec.structs.replace(finding, after=self._unknown) for finding in found]

    def _take_in(self) -> list[Finding]:
        found: list[Finding] = []
        place = self._edge.size
        for level, made in enumerate(self._edge.extend(self._leaves)):
            stored = self._size >> HEIGHT * level
            wrong = self._levels[level].check(place >> HEIGHT * level, made, stored)
            found += self._above(wrong) if level else wrong
        self._leaves = []
        return found

    def end(self) -> list[Finding]:
        """
        Return what is stored of more events than there are.
        """
        found = [Finding("INCONSISTENT", f"root {x.root.hex()}", f"root {tree.EMPTY_ROOT.hex()}", seq=0)
                 for x in self._of_nothing]  # fmt: skip
        if self.torn is not None:
            # What lies past all that tiles have to hold belongs to no event that may be missing.
            return found + [one for level in self._levels for one in level.end(self._size >> HEIGHT * level.level)]
        found += self._take_in()
        for level in self._levels:
            found += level.end(min(self._size, self._edge.size) >> HEIGHT * level.level)
        while self._row is not None:
            row = self._row
            found.append(self._beyond(row.size, "checkpoints") if row.size > 0 else _misplaced(row))
            self._row = next(self._rows, None)
        return found + [self._beyond(stated.size) for stated in self._expected if not self._may_be_behind]

    def _beyond(self, size: int, table: str | None = None) -> Finding:
        key = None if table is None else (str(size),)
        column, last = None if table is None else "size", self._edge.size
        return Finding("TRUNCATED", f"{size} events, which a checkpoint covers", f"{last} events", seq=last + 1,
                       table=table, key=key, column=column)  # fmt: skip


def _misplaced(row: CheckpointRow) -> Finding:
    return of_row(row, "size", "1 or more, each once", str(row.size))


def not_here_yet(last: int, size: int, who: str) -> str:
    """
    Return, as a sentence, what a replica with *last* events lacks of the *size* that *who* has seen signed.
    """
    lacking = f"event {size}" if size == last + 1 else f"events {last + 1} to {size}"
    return f"{lacking}, of {who}: the end was cut off, or has not got to this replica yet"


def of_row(row: CheckpointRow, column: str, expected: str, actual: str, kind: str = "TREE_MISMATCH") -> Finding:
    """
    Return a finding of this *kind* in a column of a checkpoint's row.
    """
    seq = None if is_absent(row.size) else row.size
    return Finding(kind, expected, actual, seq=seq, table="checkpoints", key=(str(row.size),), column=column)
