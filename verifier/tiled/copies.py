"""
Name what a copy of a chain is for those who check it in parts: a region's database, or an archive.

A copy says nothing of itself that is believed. Its tiles are hashes to be held against its events; its checkpoints are
notes to be judged by the auditor's policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from ledger.chain.entry import RecordedEvent
from ledger.errors import UnknownFormat
from ledger.evidence import tiles, tree
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import HASH_BYTES, Node, ReadNodes
from verifier.report import Finding

KEPT_TILES: Final = 256
"""How many tiles above the leaves are kept to be asked again, 8 KiB each: with them 16 million events are proven."""


class Copy(Protocol):
    """
    One copy of one chain.
    """

    name: str
    requests: int
    """How often the database or the store was asked."""

    @property
    def place(self) -> str:
        """Return where it is, however it was named."""

    @property
    def reigns_in(self) -> int | None:
        """Return the epoch in which it says that it is the primary; None where it does not say so."""

    @property
    def origin(self) -> str:
        """Return the chain's origin."""

    @property
    def chain_id(self) -> bytes:
        """Return the chain's id, 16 bytes."""

    def size(self) -> int:
        """
        Return the seq of the last event.
        """

    def end(self, size: int) -> list[Finding]:
        """
        Return what is wrong with what it says itself of how many events it has, where the last is *size*.
        """

    def tree_size(self) -> int:
        """
        Return how many leaves its tiles hold.
        """

    def tile_hashes(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """
        Return the hashes of each tile that is there, as many as the tile asked for has.
        """

    def between(self, first: int, last: int) -> Iterator[RecordedEvent]:
        """
        Yield the events from seq *first* to *last*, in order, as they are stored.
        """


class CopyNodes:
    """
    The complete subtrees of the tree over the first *size* events of a copy, from its tiles.

    The tiles above the leaves are kept: most proofs need the same few.
    """

    def __init__(self, copy: Copy, size: int) -> None:
        self._copy, self._size = copy, size
        self._kept: dict[Tile, list[bytes]] = {}

    def tile(self, wanted: Tile) -> list[bytes] | None:
        """
        Return the hashes of one tile, or None where it is not there, or shorter.
        """
        return self._read([wanted]).get(wanted)

    def _read(self, wanted: Sequence[Tile]) -> dict[Tile, list[bytes]]:
        found = {tile: self._kept[tile] for tile in wanted if tile in self._kept}
        missing = {tile for tile in wanted if tile not in found}
        for tile, data in (self._copy.tile_hashes(missing) if missing else {}).items():
            found[tile] = tiles.decode_tile(tile, data)
            if tile.level:
                if len(self._kept) >= KEPT_TILES:
                    del self._kept[next(iter(self._kept))]
                self._kept[tile] = found[tile]
        return found

    def read(self) -> ReadNodes:
        """
        Return what reads complete subtrees; it raises UnknownFormat where a tile is missing.
        """

        def hashes(wanted: Sequence[Node]) -> list[bytes]:
            places = [tiles.tile_with(node, self._size) for node in wanted]
            found = self._read(places)
            lacking = sorted({tile.path() for tile in places if tile not in found})
            if lacking:
                raise UnknownFormat(f"found no {', '.join(lacking[:3])} of {self._size} leaves; expected whole tiles")
            return [tiles.hash_in(tile, found[tile], node) for tile, node in zip(places, wanted, strict=True)]

        return hashes

    def root(self) -> bytes:
        """
        Return the root of the tree, by the tiles.

        Raises:
            UnknownFormat: a tile is missing.
        """
        return tree.root_of(self.read(), self._size)


def count_of(size: int) -> int:
    """
    Return how many tiles of leaves a tree of *size* leaves has, the partial one among them.
    """
    return -(-size // WIDTH)


def upper(number: int) -> tuple[Tile, int]:
    """
    Return the tile above full tile *number* of leaves, and its place in it.
    """
    return Tile(1, number >> HEIGHT), number % WIDTH


def cut(data: bytes, tile: Tile) -> bytes | None:
    """
    Return as many hashes of *data* as *tile* has, or None where there are fewer.
    """
    hashes = data[: tile.width * HASH_BYTES]
    return hashes if len(hashes) == tile.width * HASH_BYTES else None
