"""
Grow a tree by runs of leaves, and say what each level of its tiles gains by them.

Only the tiles at the right edge are held, at most 255 hashes a level. A full tile is hashed once, when it fills, and
its hash is the next one of the level above.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import InvalidInput
from ledger.evidence.tiles import HEIGHT, LEVELS, WIDTH, Tile, edge_of, subtree_hash
from ledger.evidence.tree import EMPTY_ROOT, Frontier


class TileEdge:
    """
    The partial tiles of a tree of *size* leaves.
    """

    __slots__ = ("_rows", "_whole", "size")

    def __init__(self, whole: Frontier | None = None, partial: dict[Tile, list[bytes]] | None = None) -> None:
        """
        Begin with an empty tree, or with the frontier over the full tiles of leaves and the hashes in partial tiles.

        Raises:
            InvalidInput: those are not the edge of one tree.
        """
        self._whole = whole.copy() if whole is not None else Frontier()
        self._rows: list[list[bytes]] = [[] for _ in range(LEVELS)]
        for tile, hashes in (partial or {}).items():
            self._rows[tile.level] = list(hashes)
        self.size = self._whole.size + len(self._rows[0])
        found = {(level, len(row)) for level, row in enumerate(self._rows) if row}
        expected = {(tile.level, tile.width) for tile in edge_of(self.size)}
        if self._whole.size % WIDTH or found != expected:
            raise InvalidInput(f"found {sorted(found)} as levels and widths at the edge; expected {sorted(expected)}")

    def copy(self) -> TileEdge:
        """
        Return an edge of its own that stands at the same leaf.
        """
        made = TileEdge()
        made._whole, made._rows, made.size = self._whole.copy(), [list(row) for row in self._rows], self.size
        return made

    def hashes(self) -> tuple[list[bytes], list[list[bytes]]]:
        """
        Return the hashes over the full tiles of leaves, and those in the partial tile of each level.
        """
        return list(self._whole.hashes), [list(row) for row in self._rows]

    def extend(self, leaves: Sequence[bytes]) -> list[list[bytes]]:
        """
        Add *leaves*, and return the hashes that each level gains, the leaves first; levels that gain none are left out.
        """
        gained: list[list[bytes]] = []
        added = list(leaves)
        for level in range(LEVELS):
            if not added:
                break
            gained.append(added)
            row = self._rows[level] + added
            full = len(row) // WIDTH * WIDTH
            added = [subtree_hash(row[start : start + WIDTH]) for start in range(0, full, WIDTH)]
            self._rows[level] = row[full:]
            if level == 0:
                for subtree in added:
                    self._whole.add_complete(HEIGHT, subtree)
        self.size += len(leaves)
        return gained

    def root(self) -> bytes:
        """
        Return the root of the tree, 32 bytes.
        """
        if self.size == 0:
            return EMPTY_ROOT
        whole = self._whole.copy()
        for leaf in self._rows[0]:
            whole.add(leaf)
        return whole.root()
