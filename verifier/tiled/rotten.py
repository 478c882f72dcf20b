"""
Tell tiles that rotted from another history, where they lead to another root than was signed.

A hash of a tile is that of the whole tile below it, and a leaf that of its event. So where one is another, it is the
tile that is wrong, and says nothing of what was signed; where all are, it is the events that are others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ledger.evidence import tiles
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Node
from verifier.report import Finding
from verifier.tiled import check
from verifier.tiled.copies import CopyNodes
from verifier.tiled.databases import Region


class Rotten:
    """
    The hashes of a region's tiles that were held against what is below them, in the tree of *size* leaves.
    """

    def __init__(self, region: Region, nodes: CopyNodes, size: int) -> None:
        self._region, self._nodes, self._size = region, nodes, size
        self._held: dict[Node, list[Finding]] = {}

    def among(self, wanted: Iterable[Node]) -> list[Finding]:
        """
        Return what is wrong with the hashes, or with the events, that these complete subtrees are made from.
        """
        found: list[Finding] = []
        for node in wanted:
            if node not in self._held:
                self._held[node] = list(self._hold(node))
            found += (finding for finding in self._held[node] if finding not in found)
        return found

    def _hold(self, node: Node) -> Iterator[Finding]:
        tile, height = tiles.tile_with(node, self._size), node[0] % HEIGHT
        first = node[1] << height
        count = 1 << height
        stored = self._nodes.tile(tile) or []
        shown = stored[first % WIDTH : first % WIDTH + count]
        if tile.level == 0:
            done = check.events(self._region, first + 1, first + count)
            yield from done.findings
            made = [done.leaves.get(seq) for seq in range(first + 1, first + count + 1)]
        else:
            below = (self._nodes.tile(Tile(tile.level - 1, place, WIDTH)) for place in range(first, first + count))
            made = [None if hashes is None else tiles.subtree_hash(hashes) for hashes in below]
        for place, (expected, actual) in enumerate(zip(made, shown, strict=False), first):
            if expected is not None and expected != actual:
                seq = place + 1 if tile.level == 0 else None
                yield check.of_tile(tile, expected.hex(), actual.hex(), place % WIDTH, seq)
