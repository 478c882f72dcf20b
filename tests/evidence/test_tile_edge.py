"""
Check that a tree grown by runs has the tiles and roots of one that was made at once.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.evidence import tiles, tree
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import Frontier

LEAVES = [sha256(b"%d" % number).digest() for number in range(WIDTH * WIDTH + 3 * WIDTH + 5)]


def root(size: int) -> bytes:
    edge = Frontier()
    for leaf in LEAVES[:size]:
        edge.add(leaf)
    return edge.root()


def rows(size: int) -> list[list[bytes]]:
    """Return every level of hashes in the tiles of a tree, made at once."""
    found = [LEAVES[:size]]
    while len(found[-1]) >= WIDTH:
        full = len(found[-1]) // WIDTH * WIDTH
        found.append([tiles.subtree_hash(found[-1][start : start + WIDTH]) for start in range(0, full, WIDTH)])
    return found


@given(st.lists(st.sampled_from([0, 1, 2, 3, 254, 255, 256, 257, 511, 513]), max_size=12))
def test_runs_of_any_lengths_make_the_tiles_of_the_whole(runs: list[int]) -> None:
    edge = TileEdge()
    gained: list[list[bytes]] = []
    for length in runs:
        for level, added in enumerate(edge.extend(LEAVES[edge.size : edge.size + length])):
            if level == len(gained):
                gained.append([])
            gained[level] += added
    size = sum(runs)
    assert (edge.size, edge.root()) == (size, root(size))
    assert gained == ([] if size == 0 else [row for row in rows(size) if row])


@pytest.mark.parametrize("size", [0, 255, 256, 3 * WIDTH + 5])
def test_its_hashes_are_those_of_full_tiles_and_of_the_partial_one_of_each_level(size: int) -> None:
    """What they are handed out as is theirs no more: the edge goes on as it was."""
    edge = TileEdge()
    edge.extend(LEAVES[:size])
    whole, partial = edge.hashes()
    full = Frontier()
    for leaf in LEAVES[: size // WIDTH * WIDTH]:
        full.add(leaf)
    assert whole == list(full.hashes)
    assert partial == [row[len(row) // WIDTH * WIDTH :] for row in [*rows(size), *[[]] * 8][:8]]
    whole.clear()
    partial[0].clear()
    assert edge.root() == root(size)


def test_a_tree_of_three_levels_of_tiles_is_grown_past_the_second() -> None:
    """65,536 leaves fill the first tile of level 1, whose hash is the first of level 2."""
    edge = TileEdge()
    gained = edge.extend(LEAVES)
    assert [len(row) for row in gained] == [len(LEAVES), WIDTH + 3, 1]
    assert edge.root() == root(len(LEAVES))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000, WIDTH * WIDTH + 300])
def test_it_goes_on_from_its_tiles(size: int) -> None:
    """As a process does that begins with what is stored."""
    there = rows(size)
    partial = {tile: there[tile.level][tile.number * WIDTH :] for tile in tiles.edge_of(size)}
    whole = size // WIDTH * WIDTH
    nodes = []
    for level, index in tree.complete_nodes(0, whole):
        edge = Frontier()
        for leaf in LEAVES[index << level : index + 1 << level]:
            edge.add(leaf)
        nodes.append(edge.root())
    taken_up = TileEdge(Frontier(whole, nodes), partial)
    left_alone = taken_up.copy()
    taken_up.extend(LEAVES[size : size + 300])
    assert taken_up.root() == root(min(size + 300, len(LEAVES)))
    assert (left_alone.size, left_alone.root()) == (size, root(size))


def test_an_edge_of_no_tree_is_refused() -> None:
    """A tile that is cut, one too many, and a frontier that ends inside a tile."""
    whole = Frontier()
    for leaf in LEAVES[:3]:
        whole.add(leaf)
    for arguments in (
        (whole, None),
        (None, {Tile(1, 0, 1): [LEAVES[0]]}),
        (None, {Tile(0, 0, 2): LEAVES[:2], Tile(1, 0, 1): [LEAVES[0]]}),
    ):
        with pytest.raises(InvalidInput, match="expected"):
            TileEdge(*arguments)
