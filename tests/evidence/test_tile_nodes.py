"""
Check that subtrees read from tiles are those of the tree, also where tiles have grown, and that bad tiles are named.
"""

from __future__ import annotations

from random import Random

import pytest

from ledger.errors import UnknownFormat
from ledger.evidence import tile_nodes, tiles, tree
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import Frontier

SIZE = 66_000
"""More than 256 tiles of leaves, so that there are three levels."""


class Kept:
    """The tiles of a tree as a database keeps them: the one at the right edge as wide as it is now."""

    def __init__(self, size: int = SIZE) -> None:
        self.levels = [[tree.leaf_hash(b"%d" % index) for index in range(size)]]
        while len(self.levels[-1]) >= WIDTH:
            row = self.levels[-1]
            self.levels.append(
                [tiles.subtree_hash(row[start : start + WIDTH]) for start in range(0, len(row) - WIDTH + 1, WIDTH)]
            )
        self.asked = 0

    def read(self, tile: Tile) -> bytes | None:
        self.asked += 1
        if tile.level >= len(self.levels):
            return None
        return b"".join(self.levels[tile.level][tile.number * WIDTH : (tile.number + 1) * WIDTH]) or None


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


def root(leaves: list[bytes]) -> bytes:
    edge = Frontier()
    for leaf in leaves:
        edge.add(leaf)
    return edge.root()


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_793, SIZE])
def test_every_proof_from_tiles_leads_to_the_root(kept: Kept, size: int) -> None:
    """At any index, of a tree of any size that the tiles have outgrown."""
    nodes, leaves = TileNodes(kept.read), kept.levels[0][:size]
    top, random = root(leaves), Random(size)
    assert tree.root_of(nodes.of(size), size) == top
    for index in {0, size - 1, size // 2, *(random.randrange(size) for _ in range(20))}:
        proof = tree.prove_inclusion(nodes.of(size), index, size)
        tree.check_inclusion(leaves[index], index, size, proof, top)


def test_what_is_above_the_leaves_is_read_once(kept: Kept) -> None:
    """A second proof reads the tile of its leaves alone, and that of the same leaves nothing."""
    nodes = TileNodes(kept.read)
    tree.prove_inclusion(nodes.of(SIZE), 7, SIZE)
    before = kept.asked
    tree.prove_inclusion(nodes.of(SIZE), 40_000, SIZE)
    assert kept.asked == before + 1
    tree.prove_inclusion(nodes.of(SIZE), 40_001, SIZE)
    assert kept.asked == before + 1
    nodes.forget()
    tree.prove_inclusion(nodes.of(SIZE), 40_001, SIZE)
    assert kept.asked > before + 2


def test_no_more_tiles_are_kept_than_memory_should_hold(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those asked for longest ago make room; what is read again is the same."""
    monkeypatch.setattr(tile_nodes, "UPPER_TILES", 1)
    nodes = TileNodes(kept.read)
    for index in range(0, SIZE, 5_000):
        proof = tree.prove_inclusion(nodes.of(SIZE), index, SIZE)
        tree.check_inclusion(kept.levels[0][index], index, SIZE, proof, root(kept.levels[0]))
    assert [len(rows) for rows in nodes._rows] == [tile_nodes.LEAF_TILES, 1]


@pytest.mark.parametrize("data", [None, b"", bytes(31), bytes(32 * 3), bytes(32 * 255 + 1)])
def test_a_tile_that_is_missing_or_cut_is_named(data: bytes | None) -> None:
    """It says which, and what was expected of it."""
    nodes = TileNodes(lambda tile: data)
    with pytest.raises(UnknownFormat, match=r"tile/0/000\.p/4; expected 4 hashes"):
        tree.root_of(nodes.of(4), 4)
