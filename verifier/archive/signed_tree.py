"""
Tell which of two answers is the signed tree's: the one from which the tiles around it lead to the signed root.

Files contradict each other when any of them rotted, and the one that was looked at first is no better than the other.
The signed root decides, for no two trees have it: what leads there is what was signed, whatever lies beside it.

What does not lead there is not thereby false, since a tile on the way may be the rotten one. So there is an answer
only where something is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger.archiving.stores import Readable, TooLong
from ledger.errors import ProofInvalid, UnknownFormat
from ledger.evidence import tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Frontier, Node, ReadNodes
from verifier.archive.unread import Unread


def nodes_of(store: Readable, size: int) -> ReadNodes:
    """
    Return what reads complete subtrees of the tree of *size* leaves from the archive's tiles.

    Only the tiles that an archive of this size has are read, those that are checked: a wider one beside them, which
    nothing holds against the entries, could have been put there to lead elsewhere. It raises UnknownFormat where a tile
    is missing or of another length, and Unread where one cannot be read.
    """

    def read(tile: Tile) -> bytes | None:
        try:
            data = store.read(tile.path())
            return None if data is None else tiles.encode_tile(tiles.decode_tile(tile, data))
        except TooLong:
            return None

    return TileNodes(read).of(size)


def leads(read: ReadNodes, stated: Checkpoint, tile: Tile, hashes: Sequence[bytes]) -> bool | None:
    """
    Whether the signed tree has *hashes* at the place of *tile*: with them the tiles around it have the signed root.

    None where one of those tiles cannot be read.
    """

    def one(node: Node) -> bytes:
        level, index = node
        start, end = index << level, index + 1 << level
        within = level - HEIGHT * tile.level
        if tile.start <= start and end <= tile.end and within >= 0:
            place = start - tile.start >> HEIGHT * tile.level
            return tiles.subtree_hash(hashes[place : place + (1 << within)])
        if start <= tile.start < end and within > 0:
            return tree.node_hash(one((level - 1, 2 * index)), one((level - 1, 2 * index + 1)))
        return read([node])[0]

    try:
        return tree.root_of(lambda nodes: [one(node) for node in nodes], stated.size) == stated.root
    except UnknownFormat:
        return False
    except Unread:
        return None


class Held(msgspec.Struct, frozen=True):
    """
    Whether the signed tree begins with an earlier root, and which root it has there instead.

    `follows` is None where neither tiles nor entries tell; `reason` then says why, and `is_unread` that some of them
    could not be read.
    """

    follows: bool | None
    root: bytes = b""
    reason: str = ""
    is_unread: bool = False


def hold(store: Readable, stated: Checkpoint, earlier: Sequence[tuple[int, bytes]]) -> list[Held]:
    """
    Hold sizes and roots from before against the tree that was signed last, and return what comes of each.

    Tiles are asked first. Only where they lead nowhere all entries are hashed once more, to know whether a root from
    before is another history's or a tile rotted.
    """
    read = nodes_of(store, stated.size)
    found = [_by_tiles(read, stated, size, root) for size, root in earlier]
    open_sizes = {size for (size, _), held in zip(earlier, found, strict=True) if held.follows is None}
    try:
        made = _by_entries(store, stated, open_sizes)
    except Unread as error:
        return [Held(None, reason=str(error), is_unread=True) if held.follows is None else held for held in found]
    return [
        held if made.get(size) is None else Held(made[size] == root, made[size])
        for (size, root), held in zip(earlier, found, strict=True)
    ]


def _by_tiles(read: ReadNodes, stated: Checkpoint, size: int, root: bytes) -> Held:
    if size == stated.size:
        return Held(root == stated.root, stated.root)
    try:
        proof, made = tree.prove_consistency(read, size, stated.size), tree.root_of(read, size)
    except UnknownFormat as error:
        return Held(None, reason=str(error))
    except Unread as error:
        return Held(None, reason=str(error), is_unread=True)
    for candidate in (root, made):
        try:
            tree.check_consistency(size, candidate, stated.size, stated.root, proof)
        except ProofInvalid:
            continue
        return Held(candidate == root, candidate)
    return Held(None, made, f"tiles that have root {made.hex()} there, and lead to another than the newest root")


def _by_entries(store: Readable, stated: Checkpoint, sizes: set[int]) -> dict[int, bytes]:
    """Return the roots of these sizes as the entries make them; none unless they make the signed root as well."""
    edge, roots = Frontier(), dict[int, bytes]()
    try:
        while sizes and edge.size < stated.size:
            tile = tiles.leaf_tile(edge.size // WIDTH, stated.size)
            for entry in tiles.decode_bundle(tile, store.read(tile.bundle_path()) or b""):
                edge.add(tree.leaf_hash(entry))
                if edge.size in sizes:
                    roots[edge.size] = edge.root()
    except (UnknownFormat, TooLong):
        return {}
    return roots if edge.root() == stated.root else {}
