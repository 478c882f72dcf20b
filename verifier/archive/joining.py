"""
Fit ranges together, in order: the links between them, the groups that reach over their ends, and the tree above them.

What was joined needs the memory of the tree's right edge, one row of hashes a level and one open group, however long
the archive is.
"""

from __future__ import annotations

from ledger.archiving.layout import CHECKPOINT
from ledger.archiving.stores import Readable
from ledger.chain.link import genesis
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import Frontier
from verifier.archive import groups
from verifier.archive.groups import Asked
from verifier.archive.ranges import Range
from verifier.archive.seams import Seam, finding, misfits
from verifier.archive.tiers import Tiers
from verifier.report import Finding, Findings


class Joining:
    """
    What the ranges so far make together, from bundle *first* on.
    """

    def __init__(self, store: Readable, stated: Checkpoint, chain_id: bytes, first: int) -> None:
        self._stated, self._chain_id, self._first = stated, chain_id, first
        self._tiers = Tiers(store, stated, first)
        self._edge = Frontier()
        self._whole_tree = first == 0
        """Whether every leaf so far is known, so that the tree's root can be made from them."""
        self._asked: Asked | None = None
        self._of_tiles, self._of_entries = Findings(), Findings()
        """What is wrong with those that contradict each other, if the entries have the signed root, and if not."""
        self.astray: int | None = None
        """The number of the first bundle that does not lead to the signed root, nor does its tile."""
        self.is_signed = False
        """Whether all entries together have the signed root, once the end was reached."""
        self._is_read = True
        """Whether every file of the ranges so far could be read."""
        self.last: Seam | None = None
        """The last event, None where it could not be read."""
        self.events = 0

    def add(self, done: Range) -> list[Finding]:
        """
        Take the next range, and return what is wrong in it or does not fit to those before.
        """
        path = Tile(0, done.first).bundle_path()
        found = [*done.findings, *self._link(done.ends[0], path)]
        self._asked, unlike = groups.joined(self._asked, done.groups, path)
        found += unlike
        self.last = done.ends[1]
        for doubt in done.doubts:
            self._of_tiles.add(doubt.of_tile)
            self._of_entries.add(doubt.of_entries)
        for root, known in zip(done.roots, done.above, strict=True):
            found += self._tiers.add(known)
            self._whole_tree &= root is not None
            if root is not None and self._whole_tree:
                self._edge.add_complete(8, root)
        for leaf in done.rest if self._whole_tree else ():
            self._edge.add(leaf)
        self.events += done.events
        self._is_read &= not done.noted
        if self.astray is None and done.astray:
            self.astray = done.astray[0]
        return found

    def _link(self, first: Seam | None, path: str) -> list[Finding]:
        if first is None:
            return []
        if self.last is not None:
            return misfits(self.last, first, path)
        if self.events or first.seq != 1:
            return []
        found, expected = list[Finding](), genesis(self._chain_id, self._stated.origin)
        if first.prev_hash != expected:
            found.append(finding("CHAIN_BREAK", expected.hex(), first.prev_hash.hex(), path, 1, "prev_hash"))
        if first.epoch < 1:
            found.append(finding("STATE_MISMATCH", "at least 1", str(first.epoch), path, 1, "epoch"))
        return found

    def end(self) -> list[Finding]:
        """
        Return what is wrong with the whole, once all ranges have come: the tiles at the edge, and where it ends.

        The root is compared where the ranges were those of the whole archive.
        """
        found = self._tiers.end()
        reached = self._first * WIDTH + self.events
        if self.last is not None and self.last.group[1] + 1 != self.last.group[2] and reached == self._stated.size:
            expected, actual = f"all {self.last.group[2]} events of the last group", f"{self.last.group[1] + 1}"
            found.append(finding("GROUP_PARTIAL", expected, actual, CHECKPOINT, self.last.seq, "group_size"))
        if self._first or reached < self._stated.size:
            return found
        if self._edge.size != self._stated.size:
            # Entries that could not be read are not missing.
            if self._is_read:
                expected = f"a root of {self._stated.size} entries"
                found.append(finding("TREE_MISMATCH", expected, "entries are missing", CHECKPOINT))
        elif self._edge.root() != self._stated.root:
            expected, actual = self._stated.root.hex(), self._edge.root().hex()
            found.append(finding("TREE_MISMATCH", expected, actual, CHECKPOINT, column="root"))
        else:
            self.is_signed = True
        return found

    @property
    def is_rooted(self) -> bool:
        """
        Whether what was checked has the signed root: all entries together, or each part by the tiles above it.
        """
        return self.is_signed if self.events == self._stated.size else self.astray is None and self._is_read

    def settled(self) -> Findings:
        """
        Return what is wrong where a bundle and its tile contradict each other and neither was shown to be signed.

        Asked after the end: entries that have the signed root are good, every one, so that the tiles are at fault.
        """
        return self._of_tiles if self.is_signed else self._of_entries
