"""
Grow the tree over a region's events, tile by tile, behind the writer's back.

Each event is hashed twice from one entry: into the chain, where it must follow the event before it and have the hash
that is stored; and into the tree. So every index is bound by both, and a leaf is never made of what the chain does not
hold. The tiles are committed in batches, so that a long way can be stopped anywhere and gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.errors import HashMismatch, Rejected, SequenceGap, Unavailable
from ledger.evidence import tiles, tree
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import HEIGHT, WIDTH
from ledger.evidence.tree import Frontier, ReadNodes
from ledger.sealing import tile_proofs
from ledger.sealing.tile_proofs import TilesBroken
from ledger.storage import chains, events, evidence
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

BATCH: Final = 16 * WIDTH
"""How many leaves are committed at once: 4,096 events, a twentieth of a second."""

Tell = Callable[[int], None]
"""Hear how many leaves there are now."""


class Growth:
    """
    The tree of one chain in one region, as far as its tiles have it, and the one process that extends them.
    """

    def __init__(self, connection: Connection, chain: ChainRow) -> None:
        """
        Take up the tree where its tiles end.

        Raises:
            Unavailable: another process extends them.
            TilesBroken: they are not whole.
        """
        self._connection, self._chain = connection, chain
        holder = evidence.lock(connection, chain.chain)
        if holder is not None:
            who = f"process {holder.process} of login {holder.login}"
            raise Unavailable(
                f"another process seals {chain.origin} in this region, {who}; stop it first"
                if holder.may_seal
                else f"{who}, which may not seal, holds the lock that whoever seals {chain.origin} takes; end its "
                f"session (SELECT pg_terminate_backend({holder.process})) and find out what it is for"
            )
        sizes = evidence.tree_sizes(connection, chain.chain)
        self.size = sizes[0]
        for level, size in enumerate(sizes):
            if size != self.size >> HEIGHT * level:
                raise TilesBroken(
                    f"the tiles hold {self.size} leaves and {size} hashes of level {level}; expected "
                    f"{self.size >> HEIGHT * level}: verify, and repair them"
                )
        edge = tiles.edge_of(self.size)
        found = evidence.read_tiles(connection, chain.chain, edge)
        if len(found) < len(edge):
            missing = ", ".join(tile.path() for tile in edge if tile not in found)
            raise TilesBroken(f"the tiles hold {self.size} leaves and not {missing}; verify, and repair them")
        partial = {tile: tiles.decode_tile(tile, hashes) for tile, hashes in found.items()}
        whole = self.size // WIDTH * WIDTH
        try:
            self._edge = TileEdge(
                Frontier(whole, self.nodes()(tree.complete_nodes(0, whole)) if whole else ()), partial
            )
        except KeyError as error:
            raise TilesBroken(f"tile {error.args[0].path()} is missing or cut; verify, and repair it") from error
        self._before = self._hash_before()

    def _hash_before(self) -> bytes:
        if self.size == 0:
            return genesis(self._chain.chain_id, self._chain.origin)
        last = events.read_seqs(self._connection, self._chain.chain, self._chain.chain_id, [self.size])
        if not last:
            raise TilesBroken(f"the tiles hold {self.size} leaves, and there is no event {self.size}: verify the chain")
        return last[self.size].hash

    def nodes(self) -> ReadNodes:
        """
        Return what reads complete subtrees of the tree from its tiles.
        """
        return evidence.nodes(self._connection, self._chain.chain, self.size)

    def root(self) -> bytes:
        """
        Return the root of the tree as it is.
        """
        return self._edge.root()

    def root_at(self, size: int) -> bytes:
        """
        Return the root that the tree had at an earlier *size*.

        Raises:
            TilesBroken: the tiles that are needed for it are missing, or do not lead to the root of now.
        """
        if size == self.size:
            return self.root()
        return tile_proofs.join(self._connection, self._chain.chain, size, self.size, self.root())[0]

    def catch_up(self, tell: Tell = lambda count: None) -> None:
        """
        Add the events that are committed and not in the tree yet.

        Raises:
            SequenceGap, HashMismatch: as `up_to`.
        """
        self.up_to(chains.head(self._connection, self._chain.chain).seq, tell)

    def up_to(self, seq: int, tell: Tell = lambda count: None) -> None:
        """
        Add the events up to *seq*, which are committed.

        Raises:
            SequenceGap, HashMismatch: an event is missing, was changed, or does not follow the one before it.
            TilesBroken: the tree has more leaves already.
        """
        if self.size > seq:
            raise TilesBroken(f"the tiles hold {self.size} leaves, and the chain ends at {seq}: verify, and restore it")
        while self.size < seq:
            count = min(BATCH, seq - self.size)
            found = events.read(self._connection, self._chain.chain, self._chain.chain_id, self.size, count)
            self._add(found, count)
            tell(self.size)

    def _add(self, found: Iterable[RecordedEvent], count: int) -> None:
        leaves, before = [], self._before
        for seq, event in enumerate(found, self.size + 1):
            leaves.append(_leaf(event, seq, before))
            before = event.hash
        if len(leaves) < count:
            raise SequenceGap(
                f"found no event {self.size + len(leaves) + 1}, and the head is past it: verify the chain"
            )
        edge = self._edge.copy()
        with self._connection.transaction():
            evidence.grow(self._connection, self._chain.chain, self.size, edge.extend(leaves))
        self.size, self._before, self._edge = edge.size, before, edge


def _leaf(event: RecordedEvent, seq: int, before: bytes) -> bytes:
    if event.seq != seq:
        raise SequenceGap(f"found event {event.seq} where event {seq} is expected: verify the chain")
    try:
        entry = entries.encode(event)
    except Rejected as error:
        raise HashMismatch(f"event {seq} is stored with what no entry can hold: {error}: verify the chain") from error
    if event.prev_hash != before or blake3(entry).digest() != event.hash:
        raise HashMismatch(f"event {seq} was changed, or does not follow the one before: verify the chain")
    return tree.leaf_hash(entry)
