"""
Write what a checkpoint covers and the archive does not hold yet.

The events are read twice. First every hash is made anew and the root compared with the checkpoint's: what was signed
is what is archived, and nothing is written of a history that is another. Then they are written, each subtree compared
with what the first reading made of it. The checkpoint is moved when all that is there: where writing was stopped, the
archive stands at the one before, and going on writes the same files again. Only then is it recorded beside the older
ones: a larger one there than the newest would say that the archive was cut back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec
from blake3 import blake3

from ledger.archiving.layout import CHAIN, CHECKPOINT, POLICY, ChainFile
from ledger.archiving.stores import ArchiveDiffers, Store
from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.errors import Corrupt, Divergence, HashMismatch, InvalidInput, Rejected, SequenceGap
from ledger.evidence import checkpoint, note, segments, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Frontier

Read = Callable[[int], Iterable[RecordedEvent]]
"""What returns the chain's events after a seq, in order."""

WRITERS: Final = 8
"""How many files are written at once: each waits for a disk or a network, and compressing needs no interpreter lock."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""


class Bundle(msgspec.Struct, frozen=True):
    """
    Up to 256 consecutive events as they are archived: their place, entries, leaves and the segment of payloads.
    """

    tile: Tile
    entries: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    segment: segments.Segment


def bundles(
    chain_id: bytes, prev_hash: bytes, start: int, size: int, events: Iterable[RecordedEvent]
) -> Iterator[Bundle]:
    """
    Return the events after seq *start*, a multiple of 256, up to *size* in bundles, their hashes and links checked.

    Raises:
        SequenceGap, HashMismatch: the events are not the next of this chain.
    """
    waiting: list[tuple[bytes, RecordedEvent]] = []
    before, seq = prev_hash, start
    stream = iter(events)
    while seq < size:
        event = next(stream, None)
        seq += 1
        if event is None or event.seq != seq:
            raise SequenceGap(f"found {f'event {event.seq}' if event else 'no event'}; expected event {seq}")
        try:
            laid_out = entries.encode(event)
        except Rejected as error:
            raise HashMismatch(f"event {seq} is stored with what no entry can hold: {error}") from error
        if event.prev_hash != before or event.chain_id != chain_id or blake3(laid_out).digest() != event.hash:
            raise HashMismatch(f"event {seq} was changed, or does not follow the one before: verify the database")
        before = event.hash
        waiting.append((laid_out, event))
        if len(waiting) == WIDTH or seq == size:
            yield _bundle(chain_id, waiting)
            waiting = []


def _bundle(chain_id: bytes, events: list[tuple[bytes, RecordedEvent]]) -> Bundle:
    first, last = events[0][1], events[-1][1]
    payloads = tuple((event.salt, event.payload) for _, event in events)
    return Bundle(
        Tile(0, (first.seq - 1) // WIDTH, len(events)),
        tuple(laid_out for laid_out, _ in events),
        tuple(tree.leaf_hash(laid_out) for laid_out, _ in events),
        segments.Segment(chain_id, first.seq, first.prev_hash, last.hash, payloads),
    )


class Archive:
    """
    An archive of one chain in a store.
    """

    def __init__(self, store: Store, chain_id: bytes, origin: str) -> None:
        """
        Use what is in *store*, if anything.

        Raises:
            ArchiveDiffers: it holds another chain.
        """
        self._store, self._chain_id, self._origin = store, chain_id, origin
        said = ChainFile(chain_id.hex(), origin, 1).encode()
        found = store.read(CHAIN)
        if found is not None and found != said:
            raise ArchiveDiffers(
                f"{store.name} is the archive of another chain: {found[:300]!r}; name an empty place for {origin}"
            )
        self._identity = said

    def size(self) -> int:
        """
        Return how many events the archive's newest checkpoint covers; 0 where there is none.

        Raises:
            ArchiveDiffers: its checkpoint is not one of this chain.
        """
        return self._stands(self._store.read(CHECKPOINT)).size

    def _stands(self, data: bytes | None) -> Checkpoint:
        """Return the checkpoint in *data*, at which the archive stands."""
        if data is None:
            return Checkpoint(self._origin, 0, tree.EMPTY_ROOT)
        try:
            stated, _ = checkpoint.decode_note(data)
        except Corrupt as error:
            raise ArchiveDiffers(f"{self._store.name}/{CHECKPOINT} is no checkpoint: {error}") from error
        if stated.origin != self._origin:
            raise ArchiveDiffers(f"{self._store.name}/{CHECKPOINT} is of {stated.origin}; expected {self._origin}")
        return stated

    def extend(self, signed: bytes, read: Read, policy: bytes, tell: Tell, *, dry_run: bool = False) -> int:
        """
        Write what the checkpoint *signed* covers beyond the archive's own, and return how many events those are.

        Who signed it is its caller's to check. *policy* is the file by which the archive can be checked, for whoever
        has none; an auditor brings another. With *dry_run* everything is read and compared, and nothing written.

        Raises:
            InvalidInput: the checkpoint is of another chain, of no events, or smaller than the archive's; or a file
                stands there that is no archive's.
            Divergence: the events are not the ones that were signed, or not the ones archived before.
            SequenceGap, HashMismatch: the chain is broken.
            ArchiveDiffers: a file holds something else; nothing is written over.
            MovedMeanwhile: another process archives to the same place.
        """
        stated, _ = checkpoint.decode_note(signed)
        standing, policy_before = self._store.read(CHECKPOINT), self._store.read(POLICY)
        before = self._stands(standing)
        if standing is None and policy_before not in (None, policy) and self._store.read(CHAIN) is None:
            raise InvalidInput(
                f"{self._store.name}/{POLICY} is there and no archive is: nothing was written over; name an empty "
                "place, or move that file away"
            )
        if stated.origin != self._origin or stated.size < max(before.size, 1):
            raise InvalidInput(
                f"found a checkpoint of {stated.size} events of {stated.origin}; expected one of at least "
                f"{max(before.size, 1)} of {self._origin}, of whom {self._store.name} holds {before.size}"
            )
        if stated != before:
            made = self._made(before, stated, read, tell)
            if not dry_run:
                self._write_all(before, stated, made, read, tell)
        if not dry_run:
            if standing is not None:
                # A run that was stopped may have moved it and not recorded it.
                self._record(before, standing)
            if policy != policy_before:
                self._store.move(POLICY, policy, policy_before)
            if standing is not None and stated == before:
                signed = _together(standing, signed)
            if signed != standing:
                self._store.move(CHECKPOINT, signed, standing)
                self._record(stated, signed)
        return stated.size - before.size

    def _write_all(self, before: Checkpoint, stated: Checkpoint, made: list[bytes], read: Read, tell: Tell) -> None:
        """Write every file but the checkpoints, each bundle once it is seen to be what *made* has of it."""
        self._store.create(CHAIN, self._identity)
        start = before.size // WIDTH * WIDTH
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(WRITERS) as pool:
            try:
                for bundle in bundles(self._chain_id, self._hash_before(start), start, stated.size, read(start)):
                    if made[bundle.tile.number - start // WIDTH] != _joined(bundle.leaves):
                        raise Divergence(f"events changed while they were archived, near {bundle.segment.first_seq}")
                    waiting.append(pool.submit(self._write, bundle))
                    if len(waiting) > 2 * WRITERS:
                        waiting.popleft().result()
                    tell("archiving events", bundle.tile.end)
                while waiting:
                    waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)
        self._write_upper(before.size, stated.size)

    def _record(self, stated: Checkpoint, signed: bytes) -> None:
        path = f"checkpoints/{stated.size}"
        try:
            self._store.create(path, signed)
        except ArchiveDiffers:
            # Left by a run that was stopped, of the same tree with other cosignatures: either will do.
            if checkpoint.decode_note(self._need(path))[0] != stated:
                raise

    def _made(self, before: Checkpoint, stated: Checkpoint, read: Read, tell: Tell) -> list[bytes]:
        """Return the root of each bundle, once both checkpoints' roots have come out."""
        start = before.size // WIDTH * WIDTH
        edge, made = self._edge(start), []
        if start == before.size and edge.root() != before.root:
            raise Divergence(f"the tiles of {self._store.name} have another root than its checkpoint: verify it")
        for bundle in bundles(self._chain_id, self._hash_before(start), start, stated.size, read(start)):
            made.append(_joined(bundle.leaves))
            inside = bundle.tile.start < before.size < bundle.tile.end
            if bundle.tile.width == WIDTH and not inside:
                edge.add_complete(HEIGHT, made[-1])
            for leaf in bundle.leaves if edge.size == bundle.tile.start else ():
                edge.add(leaf)
                if edge.size == before.size and edge.root() != before.root:
                    raise Divergence(f"the first {before.size} events are not those that {self._store.name} holds")
            tell("hashing events", edge.size)
        if edge.root() != stated.root:
            raise Divergence(
                f"the first {stated.size} events have root {edge.root().hex()}; signed was {stated.root.hex()}: "
                "they were changed since; nothing was archived"
            )
        return made

    def _edge(self, start: int) -> Frontier:
        """Return the edge of the tree at *start*, a multiple of 256, from the archive's own tiles."""
        hashes = []
        for node in tree.complete_nodes(0, start):
            tile = tiles.tile_with(node, start)
            hashes.append(tiles.hash_in(tile, tiles.decode_tile(tile, self._need(tile.path())), node))
        return Frontier(start, hashes)

    def _hash_before(self, start: int) -> bytes:
        """Return the hash of the event before *start*, from the archive's own entries."""
        if start == 0:
            return genesis(self._chain_id, self._origin)
        last = Tile(0, start // WIDTH - 1)
        return blake3(tiles.decode_bundle(last, self._need(last.bundle_path()))[-1]).digest()

    def _need(self, path: str) -> bytes:
        data = self._store.read(path)
        if data is None:
            raise ArchiveDiffers(f"{self._store.name}/{path} is missing; verify the archive, and begin another")
        return data

    def _write(self, bundle: Bundle) -> None:
        self._store.create(bundle.tile.bundle_path(), tiles.encode_bundle(bundle.entries))
        self._store.create(segments.path(bundle.tile), segments.encode(bundle.segment))
        self._store.create(bundle.tile.path(), tiles.encode_tile(bundle.leaves))

    def _write_upper(self, old: int, new: int) -> None:
        """Write the tiles above the leaves, from those below them, level by level."""
        for tile in tiles.tiles_of(old, new):
            if tile.level:
                below = (Tile(tile.level - 1, tile.number * WIDTH + place) for place in range(tile.width))
                row = [tiles.subtree_hash(tiles.decode_tile(child, self._need(child.path()))) for child in below]
                self._store.create(tile.path(), tiles.encode_tile(row))


def _together(standing: bytes, signed: bytes) -> bytes:
    """Return one checkpoint under the signatures of both notes, since others may have cosigned since."""
    before, after = note.decode(standing), note.decode(signed)
    if set(after.signatures) <= set(before.signatures):
        return standing
    whole = note.with_signatures(after.text, (*before.signatures, *after.signatures))
    return whole.encode() if len(whole.signatures) <= note.SIGNATURES_LIMIT else signed


def _joined(leaves: tuple[bytes, ...]) -> bytes:
    edge = Frontier()
    for leaf in leaves:
        edge.add(leaf)
    return edge.root()
