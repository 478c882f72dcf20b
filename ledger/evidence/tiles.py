"""
Cut a tree and its entries into tiles that never change, each under a name of its own: C2SP tlog-tiles.

A tile is 256 hashes of one level in a row, of leaves at level 0, of whole tiles of the level below at the next. The
tree of any size is so many full tiles and, at its right edge, a partial one a level, which is never hashed upward.
Entries are bundled by the same 256, each behind its length in two bytes. What is between the levels is hashed when it
is asked for.

This module makes names and bytes and reads them; where they are kept is its caller's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.errors import InvalidInput, UnknownFormat, shown
from ledger.evidence.tree import HASH_BYTES, SIZE_LIMIT, Node, node_hash

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
LEVELS: Final = 8
"""Sizes are below 2^63, so eight levels of tiles are enough."""

_LENGTH: Final = struct.Struct(">H")
_PARTIAL: Final = ".p"


class Tile(msgspec.Struct, frozen=True, order=True):
    """
    The place of a tile: its level, its number in that level, and how many hashes it has (256: full).

    Bundles of entries have the places of level 0.
    """

    level: int
    number: int
    width: int = WIDTH

    def path(self) -> str:
        """
        Return the name under which the tile is kept.
        """
        return f"tile/{self.level}/{_number(self.number)}{_suffix(self.width)}"

    def bundle_path(self) -> str:
        """
        Return the name of the bundle with the entries of this tile of level 0.
        """
        return f"tile/entries/{_number(self.number)}{_suffix(self.width)}"

    @property
    def start(self) -> int:
        """
        Return the index of the first leaf under the tile.
        """
        return self.number << HEIGHT * (self.level + 1)

    @property
    def end(self) -> int:
        """
        Return the index after the last leaf under the tile.
        """
        return (self.number * WIDTH + self.width) << HEIGHT * self.level


def _number(number: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))


def _suffix(width: int) -> str:
    return "" if width == WIDTH else f"{_PARTIAL}/{width}"


def decode_path(path: str) -> tuple[Tile, bool]:
    """
    Return the tile that a name is of, and whether it is that of its entries.

    Raises:
        UnknownFormat: it is the name of no tile, or spelt as no log spells it.
    """
    parts = path.split("/")
    entries = parts[1:2] == ["entries"]
    try:
        level = 0 if entries else int(parts[1])
        width = WIDTH
        if len(parts) > 3 and parts[-2].endswith(_PARTIAL):
            width = int(parts[-1])
            parts = [*parts[:-2], parts[-2].removesuffix(_PARTIAL)]
        number = 0
        for part in parts[2:]:
            number = number * 1000 + int(part.removeprefix("x"))
    except (IndexError, ValueError) as error:
        raise UnknownFormat(f"found {shown(path)}; expected a tile's name: tile/<level>/<number>") from error
    tile = Tile(level, number, width)
    spelt = tile.bundle_path() if entries else tile.path()
    in_range = 0 <= level < LEVELS and 1 <= width <= WIDTH and number >= 0 and tile.end < SIZE_LIMIT
    if not in_range or spelt != path:
        raise UnknownFormat(f"found {shown(path)}; expected a tile's name as logs spell it")
    return tile, entries


def tiles_of(old: int, new: int) -> Iterator[Tile]:
    """
    Return the tiles that a tree has when it has grown from *old* to *new* leaves and had not before, level by level.
    """
    for level in range(LEVELS):
        before, after = old >> HEIGHT * level, new >> HEIGHT * level
        if after == 0:
            return
        for number in range(before // WIDTH, after // WIDTH):
            yield Tile(level, number)
        if after % WIDTH and after != before:
            yield Tile(level, after // WIDTH, after % WIDTH)


def edge_of(size: int) -> list[Tile]:
    """
    Return the partial tiles at the right edge of a tree of *size* leaves, the lowest level first.
    """
    edge = ((level, size >> HEIGHT * level) for level in range(LEVELS))
    return [Tile(level, count // WIDTH, count % WIDTH) for level, count in edge if count % WIDTH]


def leaf_tile(number: int, size: int) -> Tile:
    """
    Return tile *number* of the leaves of a tree of *size* leaves.
    """
    return Tile(0, number, min(WIDTH, size - number * WIDTH))


def tile_with(node: Node, size: int) -> Tile:
    """
    Return the tile that the hash of complete subtree *node* is made from, in a tree of *size* leaves.

    Raises:
        InvalidInput: the tree does not hold the whole of it.
    """
    level, index = node
    if level < 0 or index < 0 or (index + 1) << level > size:
        raise InvalidInput(f"found subtree {index} of level {level}; a tree of {size} leaves does not hold all of it")
    row = level // HEIGHT
    number = index >> HEIGHT - level % HEIGHT
    return Tile(row, number, min(WIDTH, (size >> HEIGHT * row) - number * WIDTH))


def hash_in(tile: Tile, hashes: Sequence[bytes], node: Node) -> bytes:
    """
    Return the hash of complete subtree *node* from the *hashes* of the tile that `tile_with` names.
    """
    level, index = node
    height = level % HEIGHT
    start = (index << height) - tile.number * WIDTH
    return subtree_hash(hashes[start : start + (1 << height)])


def subtree_hash(hashes: Sequence[bytes]) -> bytes:
    """
    Return the hash of the complete subtree over 2^k *hashes*: of a whole tile, its hash in the tile above.
    """
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def encode_tile(hashes: Iterable[bytes]) -> bytes:
    """
    Return a tile's bytes.
    """
    return b"".join(hashes)


def decode_tile(tile: Tile, data: bytes) -> list[bytes]:
    """
    Return the hashes in a tile's bytes.

    Raises:
        UnknownFormat: there are not as many as the tile is wide.
    """
    if len(data) != tile.width * HASH_BYTES:
        raise UnknownFormat(f"found {len(data)} bytes in {tile.path()}; expected {tile.width} hashes of {HASH_BYTES}")
    return [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """
    Return a bundle's bytes: each entry behind its length.
    """
    return b"".join(part for entry in entries for part in (_LENGTH.pack(len(entry)), entry))


def decode_bundle(tile: Tile, data: bytes) -> list[bytes]:
    """
    Return the entries in the bytes of the bundle at *tile*.

    Raises:
        UnknownFormat: it ends in the middle of an entry, or holds fewer or more than the tile is wide.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) < tile.width:
        if place + _LENGTH.size > len(data):
            raise UnknownFormat(f"{tile.bundle_path()} ends in the middle of a length")
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size + length
        if place > len(data):
            raise UnknownFormat(f"{tile.bundle_path()} ends in the middle of entry {len(entries)}")
        entries.append(data[place - length : place])
    if place != len(data) or len(entries) != tile.width:
        raise UnknownFormat(f"{tile.bundle_path()} has {len(entries)} entries or more; expected {tile.width}")
    return entries
