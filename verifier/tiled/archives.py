"""
Read an archive in parts: some tiles, some events, the checkpoints in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from blake3 import blake3

from ledger import foreign_json
from ledger.archiving.layout import CHAIN, CHECKPOINT, ChainFile
from ledger.archiving.stores import Folder, Store
from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint, segments, tiles
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile, leaf_tile
from verifier.report import Finding
from verifier.stored import Unreadable
from verifier.tiled.copies import cut

CHAIN_ID_BYTES: Final = 16


class Archive:
    """
    An archive, as far as its checkpoint says that it goes.
    """

    def __init__(self, store: Store) -> None:
        """
        Begin to read the archive in *store*.

        Raises:
            Unreadable: there is none.
        """
        self.name, self.requests, self._store = store.name, 0, store
        self._place = str(Path(store.name).resolve()) if isinstance(store, Folder) else store.name
        signed = self._read(CHECKPOINT)
        if signed is None:
            raise Unreadable(f"{store.name} holds no {CHECKPOINT}; name the place of an archive")
        self.signed = signed
        try:
            self._stated, _ = checkpoint.decode_note(signed)
            self._chain = foreign_json.decode(self._read(CHAIN) or b"", ChainFile)
            self._chain_id = bytes.fromhex(self._chain.chain_id)
            if len(self._chain_id) != CHAIN_ID_BYTES or self._chain.origin != self._stated.origin:
                raise UnknownFormat(f"found chain {self._chain.chain_id} of {self._chain.origin} in {CHAIN}; expected "
                                    f"an id of {CHAIN_ID_BYTES} bytes and origin {self._stated.origin}")  # fmt: skip
        except (LedgerError, ValueError) as error:
            raise Unreadable(f"{store.name} is no archive to be read in parts: {error}; verify it whole") from error

    @property
    def place(self) -> str:
        """Return where it is, however it was named."""
        return self._place

    @property
    def reigns_in(self) -> int | None:
        """Return None: an archive is nobody's primary."""
        return None

    @property
    def origin(self) -> str:
        """Return the chain's origin."""
        return self._stated.origin

    @property
    def chain_id(self) -> bytes:
        """Return the chain's id."""
        return self._chain_id

    @property
    def stated(self) -> Checkpoint:
        """
        Return what the archive's checkpoint states, its signatures unchecked.
        """
        return self._stated

    def _read(self, path: str) -> bytes | None:
        self.requests += 1
        return self._store.read(path)

    def size(self) -> int:
        """Return how many events the archive's checkpoint says that it holds."""
        return self._stated.size

    def end(self, size: int) -> list[Finding]:
        """Return nothing: what its checkpoint covers is what it is read for."""
        return []

    def tree_size(self) -> int:
        """Return how many leaves the tiles hold, which is as many."""
        return self._stated.size

    def tile_hashes(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Return the hashes of each tile that is there: of a wider one, as many as the tile asked for has."""
        found = {}
        for tile in wanted:
            there = self._stated.size >> HEIGHT * tile.level
            data = self._read(Tile(tile.level, tile.number, min(WIDTH, there - tile.number * WIDTH)).path())
            hashes = None if data is None else cut(data, tile)
            if hashes is not None:
                found[tile] = hashes
        return found

    def between(self, first: int, last: int) -> Iterator[RecordedEvent]:
        """
        Yield the events from seq *first* to *last*; the hash of each is made from its entry.

        Raises:
            Unreadable: a bundle or its segment is missing or broken, so that nothing can be compared.
        """
        for number in range((first - 1) // WIDTH, (min(last, self.size()) - 1) // WIDTH + 1):
            yield from (event for event in self._bundle(leaf_tile(number, self.size())) if first <= event.seq <= last)

    def _bundle(self, tile: Tile) -> list[RecordedEvent]:
        bundle, segment = self._read(tile.bundle_path()), self._read(segments.path(tile))
        try:
            if bundle is None or segment is None:
                raise UnknownFormat("found no such file")
            found = tiles.decode_bundle(tile, bundle)
            payloads = segments.decode(segment, [entries.parse(entry).payload_size for entry in found])
            return [
                entries.decode(entry, blake3(entry).digest(), salt, payload)
                for entry, (salt, payload) in zip(found, payloads.events, strict=True)
            ]
        except UnknownFormat as error:
            raise Unreadable(
                f"{self.name}/{tile.bundle_path()} or its segment cannot be read: {error}; verify the archive"
            ) from error
