"""
Read the hashes of complete subtrees from tiles: what proofs are made of.

A proof needs a handful of hashes and each tile holds 256, so the hashes between are made here, and kept for as long as
somebody may ask for them again: the tiles above the leaves are few, the same for most proofs, and never change. A tile
at the right edge grows in place; what it held it still holds in front, so a wider one serves every smaller tree.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import UnknownFormat
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import HASH_BYTES, Node

ReadTile = Callable[[Tile], bytes | None]
"""What returns the bytes of a tile, or of the wider one that it has grown to; None where there is none."""

LEAF_TILES: Final = 4
UPPER_TILES: Final = 256
"""How many tiles are kept, of leaves and of those above; a tile with all its inner hashes takes 40 kB or so."""


Place = tuple[int, int, int]
"""Level, number and width of a tile."""

NOWHERE: Final = (-1, -1, -1)
_PAIR: Final = struct.Struct(f"{2 * HASH_BYTES}s")


class _Row:
    """One tile's hashes, and those between them and its root that were asked for."""

    __slots__ = ("_data", "_made")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._made: dict[tuple[int, int], bytes] = {}

    def at(self, height: int, place: int) -> bytes:
        """Return the hash of the 2^height hashes of the tile from place · 2^height."""
        if height == 0:
            return self._data[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        found = self._made.get((height, place))
        if found is None:
            span = HASH_BYTES << height
            found = self._made[height, place] = _root(self._data[place * span : (place + 1) * span])
        return found


def _root(row: bytes) -> bytes:
    """Return the root over hashes that lie one behind the other, as two children do under their parent."""
    while len(row) > HASH_BYTES:
        row = b"".join([sha256(b"\x01" + pair).digest() for (pair,) in _PAIR.iter_unpack(row)])
    return row


class TileNodes:
    """
    The complete subtrees of a tree that grows, from its tiles.
    """

    def __init__(self, read: ReadTile) -> None:
        self._read = read
        self._rows: tuple[dict[Place, _Row], dict[Place, _Row]] = ({}, {})
        self._place, self._row = NOWHERE, _Row(b"")

    def of(self, size: int) -> Callable[[Sequence[Node]], list[bytes]]:
        """
        Return what reads the subtrees of the tree of *size* leaves: `tree.ReadNodes`.

        It raises UnknownFormat where a tile is missing or too short.
        """

        def read(nodes: Sequence[Node]) -> list[bytes]:
            return [self._hash(node, size) for node in nodes]

        return read

    def forget(self) -> None:
        """
        Forget every tile, so that the next are read anew.
        """
        self._place = NOWHERE
        for rows in self._rows:
            rows.clear()

    def _hash(self, node: Node, size: int) -> bytes:
        level, index = node
        row, height = divmod(level, HEIGHT)
        number = index >> HEIGHT - height
        width = min(WIDTH, (size >> HEIGHT * row) - number * WIDTH)
        place = (row, number, width)
        # A proof asks for all that it needs of a tile in a row.
        if place != self._place:
            self._row, self._place = self._taken(place), place
        return self._row.at(height, index - (number << HEIGHT - height))

    def _taken(self, place: Place) -> _Row:
        rows, most = (self._rows[0], LEAF_TILES) if place[0] == 0 else (self._rows[1], UPPER_TILES)
        found = rows.pop(place, None)
        if found is None:
            tile = Tile(*place)
            data, needed = self._read(tile), tile.width * HASH_BYTES
            if data is None or len(data) < needed or len(data) % HASH_BYTES:
                there = "no such tile" if data is None else f"{len(data)} bytes"
                raise UnknownFormat(f"found {there} for {tile.path()}; expected {tile.width} hashes")
            found = _Row(data[:needed])
            if len(rows) >= most:
                del rows[next(iter(rows))]
        # At the end: what was asked for longest ago makes room first.
        rows[place] = found
        return found
