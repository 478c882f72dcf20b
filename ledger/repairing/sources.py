"""
Fetch events and hashes from copies of a chain: another region's database, an archive, a topic.

What comes from here is believed by nobody: `proving` holds each event against the signed root. A copy that cannot be
read says why, as a sentence for the plan.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from blake3 import blake3

from ledger import foreign_json
from ledger.archiving.layout import CHAIN, CHECKPOINT, ChainFile
from ledger.archiving.places import open_store
from ledger.archiving.stores import Store
from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import LedgerError, Unavailable, UnknownFormat
from ledger.evidence import checkpoint, segments, tiles
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.repairing import lines
from ledger.storage import chains, database, evidence, repairs
from ledger.storage import events as stored
from ledger.storage.database import Connection

REPLICA: Final = "replica"
ARCHIVE: Final = "archive"
TOPIC: Final = "topic"
BACKUP: Final = "backup"
AT_ONCE: Final = 500
NOTES_AT_ONCE: Final = 1_000
CHAIN_ID_BYTES: Final = 16


class SourceUnread(Unavailable):
    """
    A copy from which something is to be mended cannot be read.
    """

    code = "source_unread"


class Source(Protocol):
    """
    A copy of the chain.
    """

    kind: str
    chain_id: bytes

    @property
    def mode(self) -> str:
        """
        Return which role a region says that it has, `primary` or `replica`; nothing where it is no region.
        """

    def newest(self, upto: int) -> RecordedEvent | None:
        """
        Return its last event up to seq *upto*, or None.

        Raises:
            LedgerError: it cannot be read; the message says why.
        """

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        """
        Return what the copy has at each of these seqs: nothing, an event, or several that claim the place.

        Raises:
            LedgerError: it cannot be read; the message says why.
        """

    def all_events(self, upto: int) -> Iterator[RecordedEvent]:
        """
        Yield its events up to seq *upto*, in order; none where to read all of them would show nothing more.
        """

    def tile(self, tile: Tile) -> bytes | None:
        """
        Return the bytes of a tile of the tree, or of the wider one that it has grown to; None where there is none.
        """

    def notes(self) -> Iterable[bytes]:
        """
        Return the signed checkpoints that the copy has, the largest first.
        """

    def note(self, size: int) -> bytes | None:
        """
        Return the signed checkpoint of *size* events, or None.
        """


class Database:
    """
    A chain in a database: that of another region, or the one that is to be mended.
    """

    def __init__(self, kind: str, connection: Connection, chain: int, chain_id: bytes) -> None:
        self.kind, self.chain_id = kind, chain_id
        self._connection, self._chain = connection, chain

    @property
    def mode(self) -> str:
        """Return which role the head says that the region has."""
        with self._reading():
            return repairs.mode(self._connection, self._chain)

    def newest(self, upto: int) -> RecordedEvent | None:
        """Return the last event up to seq *upto*."""
        with self._reading():
            seq = repairs.last_until(self._connection, self._chain, upto)
        return None if seq is None else next(iter(self.events([seq]).get(seq, [])), None)

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        """Return those of the events at these seqs that there are."""
        found: dict[int, list[RecordedEvent]] = {}
        with self._reading():
            for start in range(0, len(seqs), AT_ONCE):
                part = stored.read_seqs(
                    self._connection, self._chain, self.chain_id, seqs[start : start + AT_ONCE], as_found=True
                )
                found |= {seq: [event] for seq, event in part.items()}
        return found

    def all_events(self, upto: int) -> Iterator[RecordedEvent]:
        """Yield the events up to seq *upto*, in order."""
        with self._reading():
            yield from stored.read(self._connection, self._chain, self.chain_id, 0, upto, as_found=True)

    def tile(self, tile: Tile) -> bytes | None:
        """Return the hashes of the tile, if it is there."""
        with self._reading():
            return evidence.read_tiles(self._connection, self._chain, [tile]).get(tile)

    def notes(self) -> Iterable[bytes]:
        """Yield the notes of the checkpoints, the largest first by what they say, of so many rows at a time."""
        with self._reading():
            rows = evidence.largest_first(self._connection, self._chain)
            while found := [kept.note for kept in itertools.islice(rows, NOTES_AT_ONCE)]:
                yield from sorted(found, key=_size_of, reverse=True)

    def note(self, size: int) -> bytes | None:
        """Return the note of one checkpoint."""
        with self._reading():
            kept = evidence.covering(self._connection, self._chain, size)
        return kept.note if kept is not None and kept.size == size else None

    def is_in(self, connection: Connection) -> bool:
        """
        Return whether it is in the very database that *connection* is of, under whatever address and login.
        """
        with self._reading():
            found = database.place(self._connection) == database.place(connection)
        connection.rollback()
        return found

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except database.DriverError as error:
            raise SourceUnread(f"the {self.kind} cannot be read: {database.translated(error)}") from error


def _size_of(note: bytes) -> int:
    """Return how many events a checkpoint says that it is of; -1 where it is none."""
    with contextlib.suppress(UnknownFormat):
        return checkpoint.decode_note(note)[0].size
    return -1


@contextlib.contextmanager
def database_at(kind: str, dsn: str, origin: str) -> Iterator[Database]:
    """
    Yield the chain of *origin* in the database at *dsn*, which is a copy of this *kind*.

    Raises:
        LedgerError: it cannot be reached.
        SourceUnread: it does not have this chain.
    """
    with contextlib.closing(database.connect(dsn, "tradeledger repair")) as connection:
        # What is asked of it is asked one by one, and a statement that fails spoils no other.
        connection.autocommit = True
        try:
            found = chains.find(connection, origin)
        except LedgerError as error:
            raise SourceUnread(
                f"the database that was named with --{kind} has no {origin}, as it answers: {error}; name one that has"
            ) from error
        yield Database(kind, connection, found.chain, found.chain_id)


class Archived:
    """
    The chain in an archive, as far as its checkpoint says that it goes.
    """

    kind, mode = ARCHIVE, ""

    def __init__(self, store: Store, origin: str) -> None:
        """
        Begin to read the archive in *store*.

        Raises:
            SourceUnread: there is none of this chain.
        """
        self._store = store
        signed, identity = store.read(CHECKPOINT), store.read(CHAIN)
        if signed is None or identity is None:
            raise SourceUnread(f"{store.name} holds no archive: {CHECKPOINT} or {CHAIN} is missing; name its place")
        try:
            stated, _ = checkpoint.decode_note(signed)
            self.chain_id = bytes.fromhex(foreign_json.decode(identity, ChainFile).chain_id)
        except (LedgerError, ValueError) as error:
            raise SourceUnread(f"{store.name} is no archive to mend from: {error}; verify it") from error
        if stated.origin != origin or len(self.chain_id) != CHAIN_ID_BYTES:
            raise SourceUnread(f"{store.name} is an archive of {stated.origin}; expected one of {origin}")
        self._signed, self._size = signed, stated.size
        self._bundles: dict[int, dict[int, RecordedEvent]] = {}

    def newest(self, upto: int) -> RecordedEvent | None:
        """Return the last event up to seq *upto* that the archive covers."""
        seq = min(upto, self._size)
        return self.events([seq])[seq][0] if seq else None

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        """Return those of the events at these seqs that the archive covers."""
        found = {}
        for seq in seqs:
            if 1 <= seq <= self._size:
                number = (seq - 1) // WIDTH
                if number not in self._bundles:
                    # Seqs come in order, so one bundle at a time is enough.
                    self._bundles = {number: self._bundle(number)}
                found[seq] = [self._bundles[number][seq]]
        return found

    def _bundle(self, number: int) -> dict[int, RecordedEvent]:
        tile = tiles.leaf_tile(number, self._size)
        bundle, segment = self._store.read(tile.bundle_path()), self._store.read(segments.path(tile))
        try:
            if bundle is None or segment is None:
                raise UnknownFormat("found no such file")
            found = tiles.decode_bundle(tile, bundle)
            payloads = segments.decode(segment, [entries.parse(each).payload_size for each in found])
            return {
                seq: entries.decode(each, blake3(each).digest(), salt, payload)
                for seq, each, (salt, payload) in zip(
                    range(tile.start + 1, tile.end + 1), found, payloads.events, strict=True
                )
            }
        except UnknownFormat as error:
            raise SourceUnread(
                f"{self._store.name}/{tile.bundle_path()} or its segment cannot be read: {error}; verify the archive"
            ) from error

    def all_events(self, upto: int) -> Iterator[RecordedEvent]:
        """Yield the events up to seq *upto*, in order: where a tile has rotted, its entries show as much."""
        for start in range(0, min(upto, self._size), WIDTH):
            yield from self._bundle(start // WIDTH).values()

    def tile(self, tile: Tile) -> bytes | None:
        """Return the bytes of the tile as wide as the archive has it."""
        width = min(WIDTH, (self._size >> HEIGHT * tile.level) - tile.number * WIDTH)
        return self._store.read(Tile(tile.level, tile.number, width).path()) if width >= tile.width else None

    def notes(self) -> Iterable[bytes]:
        """Return the archive's own checkpoint."""
        return [self._signed]

    def note(self, size: int) -> bytes | None:
        """Return the archived checkpoint of *size* events."""
        return self._store.read(f"checkpoints/{size}")


def archived(place: str, origin: str) -> Archived:
    """
    Return the archive of the chain of *origin* at *place*.

    Raises:
        LedgerError: there is none.
    """
    return Archived(open_store(place), origin)


class Topic:
    """
    The events in the topic between the regions, as the program that speaks to it hands them over.
    """

    kind, mode = TOPIC, ""

    def __init__(self, bootstrap: str, chain_id: bytes) -> None:
        self._bootstrap, self.chain_id = bootstrap, chain_id

    def newest(self, upto: int) -> RecordedEvent | None:
        """Return nothing: whatever is newest there, anybody may have written."""
        return None

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        """Return what the topic has at these seqs; anybody may have written there, so it can be several."""
        if not seqs:
            return {}
        words = ("-m", "replicator", "events", "--kafka", self._bootstrap, "--chain-id", self.chain_id.hex())
        done = subprocess.run(
            [sys.executable, *words],
            input="".join(f"{seq}\n" for seq in seqs).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise SourceUnread(f"the topic cannot be read: {done.stderr.decode(errors='replace').strip()}")
        found: dict[int, list[RecordedEvent]] = {}
        for line in done.stdout.splitlines():
            event = lines.decode(line)
            if event not in found.setdefault(event.seq, []):
                found[event.seq].append(event)
        return found

    def all_events(self, upto: int) -> Iterator[RecordedEvent]:
        """Yield nothing: of several that claim a place, the tree tells which it is."""
        return iter(())

    def tile(self, tile: Tile) -> bytes | None:
        """Return nothing: there are no tiles in a topic."""
        return None

    def notes(self) -> Iterable[bytes]:
        """Return nothing: there are no checkpoints in a topic."""
        return []

    def note(self, size: int) -> bytes | None:
        """Return nothing: there are no checkpoints in a topic."""
        return None
