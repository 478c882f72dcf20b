"""
Prove from a region's tiles, and only what they do lead to.

A proof that is made of a tile that rotted is false, and a witness keeps it as evidence against the log. So each is
checked here before it leaves, against the roots that were signed or grown; where it does not hold, the tile is named
and nobody is asked anything. The tiles follow from the events: they can be made anew, and no key is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.errors import Corrupt, ProofInvalid
from ledger.evidence import tiles, tree
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Node
from ledger.storage import evidence
from ledger.storage.database import Connection

MEND: Final = "verify with `tradeledger-verify full`, mend the tiles with `tradeledger repair`, and then go on"


class TilesBroken(Corrupt):
    """
    The tiles are not those of a tree over the events that are there.
    """

    code = "tiles_broken"


def join(connection: Connection, chain: int, old: int, size: int, root: bytes) -> tuple[bytes, list[bytes]]:
    """
    Return the root that the tree of *size* leaves with this *root* had at *old*, and the consistency proof from there.

    Raises:
        TilesBroken: the tiles lead to another root than *root*, or one that is needed is missing or cut.
    """
    read = evidence.nodes(connection, chain, size)
    asked: list[Node] = []

    def reading(nodes: Sequence[Node]) -> Sequence[bytes]:
        asked.extend(nodes)
        return read(nodes)

    try:
        before, proof = tree.root_of(reading, old), tree.prove_consistency(reading, old, size)
    except KeyError as error:
        raise TilesBroken(
            f"tile {error.args[0].path()} is missing or cut, and the proof from {old} to {size} events needs it: {MEND}"
        ) from error
    try:
        tree.check_consistency(old, before, size, root, proof)
    except ProofInvalid as error:
        rotten = _rotten(connection, chain, {tiles.tile_with(node, size) for node in asked}, size)
        raise TilesBroken(
            f"the tiles do not lead to the root of {size} events, {root.hex()}, from {old}: found {rotten}: {MEND}"
        ) from error
    return before, proof


def check_kept(old: int, found: bytes, kept: bytes) -> None:
    """
    Raise TilesBroken where the tiles lead to another root of *old* events than the checkpoint has that is *kept*.
    """
    if found != kept:
        raise TilesBroken(
            f"the tiles lead to root {found.hex()} of {old} events; expected {kept.hex()}, which was signed and is "
            f"kept here. The tiles were changed, or the events are not those that were signed: {MEND}"
        )


def _rotten(connection: Connection, chain: int, read: set[Tile], size: int) -> str:
    """Return, as words, which of the tiles *read* in a tree of *size* do not agree with the tiles above them."""
    todo, pairs = list(read), set()
    while todo:
        tile = todo.pop()
        above = _above(tile, size)
        if above is not None and (tile, above) not in pairs:
            pairs.add((tile, above))
            todo.append(above)
    found = evidence.read_tiles(connection, chain, {tile for pair in pairs for tile in pair})
    wrong = []
    for tile, above in sorted(pairs, key=lambda pair: (pair[0].level, pair[0].number)):
        hashes = found.get(tile), found.get(above)
        if None in hashes:
            wrong.append(f"{(tile if hashes[0] is None else above).path()} missing or cut")
        elif tiles.subtree_hash(tiles.decode_tile(tile, found[tile])) != _hash_of(tile, above, found[above]):
            wrong.append(f"{tile.path()} and its hash in {above.path()} to differ")
    # Those at the right edge stand below no other tile: nothing but the root tells of them.
    edge = ", ".join(sorted(tile.path() for tile in read if _above(tile, size) is None))
    return ", ".join(wrong) or f"another hash in one of {edge}"


def _above(tile: Tile, size: int) -> Tile | None:
    """Return the tile that has the hash of a whole one in a tree of *size*, if it is whole."""
    if tile.width < WIDTH or tile.level + 1 >= tiles.LEVELS:
        return None
    return tiles.tile_with(((tile.level + 1) * HEIGHT, tile.number), size)


def _hash_of(tile: Tile, above: Tile, hashes: bytes) -> bytes:
    return tiles.hash_in(above, tiles.decode_tile(above, hashes), ((tile.level + 1) * HEIGHT, tile.number))
