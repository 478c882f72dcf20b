"""
Check the tiles above the leaves, tier by tier, as the subtrees below them come in from left to right.

A hash of a tile is that of the whole tile below it. So no more is kept than one row of hashes a level, and nothing
below is read again. A tile that is not what those below make is at fault, unless it leads to the signed root itself:
then what lies below was exchanged.
"""

from __future__ import annotations

from ledger.archiving.stores import Readable, TooLong
from ledger.errors import UnknownFormat
from ledger.evidence import tiles
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import HEIGHT, LEVELS, WIDTH, Tile
from verifier.archive.seams import finding
from verifier.archive.signed_tree import leads, nodes_of
from verifier.archive.unread import Unread
from verifier.report import Finding

Known = list[bytes]
"""The hashes of which one is a subtree's; several where it is in doubt which, none where nothing is known."""


class Tiers:
    """
    The rows of hashes that the subtrees from some tile of level 0 on make at each level above.
    """

    def __init__(self, store: Readable, stated: Checkpoint, first: int = 0) -> None:
        """
        Begin at tile number *first* of level 0, in the tree that was *stated*; what is left of it is not checked.
        """
        self._store, self._stated = store, stated
        self._nodes = nodes_of(store, stated.size)
        self._rows: list[list[Known]] = [[[]] * ((first >> HEIGHT * n) % WIDTH) for n in range(LEVELS)]
        self._numbers = [first >> HEIGHT * (n + 1) for n in range(LEVELS)]

    def add(self, subtree: Known) -> list[Finding]:
        """
        Take what the hash of the next tile of level 0 may be; return what is wrong above it.
        """
        return self._add(1, subtree)

    def _add(self, level: int, subtree: Known) -> list[Finding]:
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
            width = min(WIDTH, (self._stated.size >> HEIGHT * level) - number * WIDTH)
            if not row or width <= 0:
                continue
            whole = row + [[]] * (width - len(row))
            wrong, above = self._compare(Tile(level, number, width), whole)
            found += wrong
            if width == WIDTH:
                # Its own hash stands in the tier above, whose row has not got it yet.
                found += self._add(level + 1, above)
        return found

    def _compare(self, tile: Tile, row: list[Known]) -> tuple[list[Finding], Known]:
        """Return what is wrong with a tile or below it, and its hash as far as that is known."""
        try:
            data = self._store.read(tile.path())
            if data is None:
                return [finding("ARCHIVE_MISSING", "a tile", "none", tile.path())], _joined(row)
            hashes = tiles.decode_tile(tile, data)
        except Unread:
            return [], _joined(row)
        except (TooLong, UnknownFormat) as error:
            return [finding("TREE_MISMATCH", f"{tile.width} hashes", str(error), tile.path())], _joined(row)
        pairs = list(zip(row, hashes, strict=True))
        differing = [place for place, (known, stated) in enumerate(pairs) if known and stated not in known]
        if differing and leads(self._nodes, self._stated, tile, hashes):
            below = ((place, Tile(tile.level - 1, tile.number * WIDTH + place)) for place in differing)
            wrong = [
                finding("TREE_MISMATCH", hashes[place].hex(), row[place][0].hex(),
                        one.path() if one.level else one.bundle_path(), column="root")
                for place, one in below
            ]  # fmt: skip
            return wrong, _joined([[stated] for stated in hashes])
        wrong = [
            finding("TREE_MISMATCH", row[place][0].hex(), hashes[place].hex(), tile.path(), column=f"hash {place}")
            for place in differing
        ]
        return wrong, _joined([known if known and stated not in known else [stated] for known, stated in pairs])


def _joined(row: list[Known]) -> Known:
    """Return the hash of a tile of these hashes; nothing where one is not known, or it is at the edge."""
    known = [one[0] for one in row if one]
    return [tiles.subtree_hash(known)] if len(known) == WIDTH else []
