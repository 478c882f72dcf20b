"""
Check tiles against the specification's example, Tessera's own log, and trees that grow at random.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import InvalidInput, UnknownFormat
from ledger.evidence import checkpoint, tiles, tree
from ledger.evidence.tiles import Tile

TESSERA = json.loads((Path(__file__).parents[1] / "vectors" / "others" / "tessera_log.json").read_text())


def leaves(size: int) -> list[bytes]:
    return [tree.leaf_hash(b"%d" % number) for number in range(size)]


def test_a_tree_of_70000_has_the_specifications_tiles() -> None:
    """273 full and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2."""
    found = list(tiles.tiles_of(0, 70_000))
    full = [sum(tile.level == level and tile.width == 256 for tile in found) for level in range(3)]
    assert full == [273, 1, 0]
    assert [tile for tile in found if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert tiles.edge_of(70_000) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert tiles.edge_of(256) == [Tile(1, 0, 1)]


def test_names_are_spelt_as_the_specification_spells_them() -> None:
    """Groups of three digits, all but the last with an x; a partial tile says its width."""
    assert Tile(0, 1_234_067).path() == "tile/0/x001/x234/067"
    assert Tile(3, 5, 17).path() == "tile/3/005.p/17"
    assert Tile(0, 1000, 1).bundle_path() == "tile/entries/x001/000.p/1"


@given(st.integers(0, 7), st.integers(0, 1 << 40), st.integers(1, 256))
@example(0, 1_234_067, 256)
def test_names_are_read_back(level: int, number: int, width: int) -> None:
    """Every tile that a log can have is had back from its name."""
    tile = Tile(level, number, width)
    if tile.end < 1 << 63:
        assert tiles.decode_path(tile.path()) == (tile, False)
    assert tiles.decode_path(Tile(0, number, width).bundle_path()) == (Tile(0, number, width), True)


@pytest.mark.parametrize(
    "path",
    [
        *("", "tile", "tile/0", "tile/0/1", "tile/00/001", "tile/0/x000/001", "tile/0/001.p/256", "tile/0/001.p/0"),
        *("tile/8/000", "tile/-1/000", "tile/0/-01", "tile/0/001/002", "tile/0/001.p/01", "tile/0/../001"),
        *("tile/7/x001/000", "tile/entries/0001", "tiles/0/001", "tile/0/" + "x001/" * 400 + "001"),
        "tile/0/\N{ARABIC-INDIC DIGIT ONE}00",
    ],
)
def test_other_names_are_refused(path: str) -> None:
    """A name in another spelling could stand beside the right one."""
    with pytest.raises(UnknownFormat):
        tiles.decode_path(path)


class Kept:
    """Tiles as a store keeps them: by name, each written once."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def grow(self, hashes: list[bytes], old: int, new: int) -> None:
        for tile in tiles.tiles_of(old, new):
            if tile.level == 0:
                row = hashes[tile.number * 256 : tile.number * 256 + tile.width]
            else:
                below = [Tile(tile.level - 1, tile.number * 256 + place) for place in range(tile.width)]
                row = [tiles.subtree_hash(tiles.decode_tile(child, self.data[child.path()])) for child in below]
            assert tile.path() not in self.data
            self.data[tile.path()] = tiles.encode_tile(row)

    def reader(self, size: int) -> tree.ReadNodes:
        def read(nodes: object) -> list[bytes]:
            found = []
            for node in nodes:  # type: ignore[attr-defined]
                tile = tiles.tile_with(node, size)
                found.append(tiles.hash_in(tile, tiles.decode_tile(tile, self.data[tile.path()]), node))
            return found

        return read


@given(st.lists(st.integers(0, 700), min_size=1, max_size=6), st.data())
def test_a_growing_tree_is_whole_in_its_tiles(steps: list[int], data: st.DataObject) -> None:
    """Whatever its steps, roots and proofs of the largest size come from the tiles, and each tile was made once."""
    kept, size = Kept(), 0
    hashes = leaves(sum(steps))
    edge = tree.Frontier()
    for step in steps:
        kept.grow(hashes, size, size + step)
        for leaf in hashes[size : size + step]:
            edge.add(leaf)
        size += step
        assert tree.root_of(kept.reader(size), size) == edge.root()
    if size:
        index = data.draw(st.integers(0, size - 1))
        proof = tree.prove_inclusion(kept.reader(size), index, size)
        tree.check_inclusion(hashes[index], index, size, proof, edge.root())


def test_tesseras_own_log_is_read() -> None:
    """Entries hash to leaves, leaves to the root that each checkpoint signs."""
    for name, text in TESSERA["checkpoints"].items():
        stated, _ = checkpoint.decode_note(text.encode())
        if stated.size == 0:
            assert stated.root == tree.EMPTY_ROOT
            continue
        tile = Tile(0, 0, stated.size)
        bundle = tiles.decode_bundle(tile, base64.b64decode(TESSERA["tiles"][tile.bundle_path()]))
        hashes = tiles.decode_tile(tile, base64.b64decode(TESSERA["tiles"][tile.path()]))
        edge = tree.Frontier()
        for leaf in hashes:
            edge.add(leaf)
        assert [tree.leaf_hash(entry) for entry in bundle] == hashes, name
        assert edge.root() == stated.root, name


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_bundles_are_read_back(entries: list[bytes]) -> None:
    """A bundle is its entries; cut, lengthened or of another number it is refused."""
    tile = Tile(0, 7, len(entries))
    data = tiles.encode_bundle(entries)
    assert tiles.decode_bundle(tile, data) == entries
    for wrong in (data[:-1], data + b"\0", data + b"\0\0"):
        with pytest.raises(UnknownFormat):
            tiles.decode_bundle(tile, wrong)
    if len(entries) > 1:
        fewer = len(entries) - 1
        with pytest.raises(UnknownFormat, match=f"has {fewer} entries or more; expected {fewer}"):
            tiles.decode_bundle(Tile(0, 7, fewer), data)
    with pytest.raises(UnknownFormat, match=f"has {len(entries)} entries or more; expected {len(entries) + 1}"):
        tiles.decode_bundle(Tile(0, 7, len(entries) + 1), data)


def test_no_name_is_of_a_tile_that_no_tree_can_have() -> None:
    """Sizes are below 2^63, so no tile ends there."""
    last = (1 << 55) - 1
    assert tiles.decode_path(Tile(0, last, 255).path()) == (Tile(0, last, 255), False)
    for tile in (Tile(0, last), Tile(0, last + 1, 1), Tile(7, 0, 128)):
        with pytest.raises(UnknownFormat, match="as logs spell it"):
            tiles.decode_path(tile.path())
    assert tiles.decode_path(Tile(7, 0, 127).path())[0] == Tile(7, 0, 127)


def test_a_subtree_that_is_not_whole_has_no_hash() -> None:
    """What a tree does not hold whole cannot be in a tile."""
    with pytest.raises(InvalidInput, match="does not hold"):
        tiles.tile_with((1, 1), 3)
    with pytest.raises(UnknownFormat, match="expected 3 hashes"):
        tiles.decode_tile(Tile(0, 0, 3), bytes(95))


def test_a_tree_of_full_tiles_gains_no_empty_one() -> None:
    """Of 256 leaves one tile is full, and the hash over it is the first of the next level."""
    assert list(tiles.tiles_of(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles.tiles_of(255, 512)) == [Tile(0, 0), Tile(0, 1), Tile(1, 0, 2)]
