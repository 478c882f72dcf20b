"""
Check the tiles above the leaves, tier by tier, as the subtrees below them come in from left to right.

A hash of a tile is that of the whole tile below it. So no more is kept than one row of hashes a level, and nothing
below is read again.
"""

from __future__ import annotations

from ledger.archiving.stores import Store, TooLong
from ledger.errors import UnknownFormat
from ledger.evidence import tiles
from ledger.evidence.tiles import HEIGHT, LEVELS, WIDTH, Tile
from verifier.archive.seams import finding
from verifier.report import Finding


class Tiers:
    """
    The rows of hashes that the subtrees from some tile of level 0 on make at each level above.
    """

    def __init__(self, store: Store, size: int, first: int = 0) -> None:
        """
        Begin at tile number *first* of level 0, in a tree of *size* leaves; what is left of it is not checked.
        """
        self._store, self._size = store, size
        self._rows: list[list[bytes | None]] = [[None] * ((first >> HEIGHT * n) % WIDTH) for n in range(LEVELS)]
        self._numbers = [first >> HEIGHT * (n + 1) for n in range(LEVELS)]

    def add(self, subtree: bytes | None) -> list[Finding]:
        """
        Take the hash of the next tile of level 0, None where it is not known; return what is wrong above it.
        """
        return self._add(1, subtree)

    def _add(self, level: int, subtree: bytes | None) -> list[Finding]:
        row = self._rows[level - 1]
        row.append(subtree)
        if len(row) < WIDTH or level == LEVELS:
            return []
        found, above = self._compare(Tile(level, self._numbers[level - 1]), row)
        self._rows[level - 1] = []
        self._numbers[level - 1] += 1
        return found + self._add(level + 1, above)

    def end(self) -> list[Finding]:
        """
        Return what is wrong with the tiles whose end was not reached.
        """
        found = []
        for level in range(1, LEVELS):
            row, number = self._rows[level - 1], self._numbers[level - 1]
            width = min(WIDTH, (self._size >> HEIGHT * level) - number * WIDTH)
            if not row or width <= 0:
                continue
            whole = row + [None] * (width - len(row))
            wrong, above = self._compare(Tile(level, number, width), whole)
            found += wrong
            if width == WIDTH:
                # Its own hash stands in the tier above, whose row has not got it yet.
                found += self._add(level + 1, above)
        return found

    def _compare(self, tile: Tile, row: list[bytes | None]) -> tuple[list[Finding], bytes | None]:
        """Return what is wrong with a tile, and its hash as it is stated, or else as its row makes it."""
        made = None if None in row or tile.width < WIDTH else tiles.subtree_hash([x for x in row if x is not None])
        try:
            data = self._store.read(tile.path())
            if data is None:
                return [finding("ARCHIVE_MISSING", "a tile", "none", tile.path())], made
            hashes = tiles.decode_tile(tile, data)
        except (TooLong, UnknownFormat) as error:
            return [finding("TREE_MISMATCH", f"{tile.width} hashes", str(error), tile.path())], made
        wrong = [
            finding("TREE_MISMATCH", expected.hex(), actual.hex(), tile.path(), column=f"hash {place}")
            for place, (expected, actual) in enumerate(zip(row, hashes, strict=True))
            if expected is not None and expected != actual
        ]
        return wrong, tiles.subtree_hash(hashes) if tile.width == WIDTH else None
