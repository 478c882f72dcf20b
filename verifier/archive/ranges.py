"""
Check a run of consecutive bundles by themselves: entries, leaves, payloads, links, times and groups.

Each entry hashes to its leaf and to the next entry's link, each payload to its entry, and the 256 leaves are the
tile's. Where they are not, the signed root decides whether tile or entry is another than it was. What an entry that is
another brings with it, such as a link of the next one that does not fit, is said to follow from it. One bundle is in
memory at a time, so a range needs no more of it than its largest bundle does.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.archiving.places import open_store
from ledger.archiving.stores import Readable, TooLong
from ledger.chain import entry as entries
from ledger.chain import event_id
from ledger.chain.entry import Entry
from ledger.errors import Rejected, UnknownFormat
from ledger.evidence import segments, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import WIDTH, Tile, leaf_tile
from verifier.archive.ahead import Read, reading
from verifier.archive.groups import Ends, GroupCheck
from verifier.archive.seams import Seam, finding, misfits, seam_of
from verifier.archive.signed_tree import leads, nodes_of
from verifier.archive.unread import Noting, Unread
from verifier.report import Finding
from verifier.revocations import KINDS

RANGE_BUNDLES: Final = 64
"""How many bundles one worker checks before it says what it found: 16,384 events, a third of a second."""

_OF_LINKS: Final = frozenset({"CHAIN_BREAK", "CLOCK", "STATE_MISMATCH"})
"""What is found between an event and the next may follow from either."""
_OF_GROUPS: Final = frozenset({"GROUP_PARTIAL", "REQUEST_MISMATCH"})
"""What is found of a group may follow from any event of it."""

Payloads = Sequence[tuple[bytes, bytes] | None]
"""Salt and payload of each event of a bundle, None where they are not the ones that its entry names."""


class KeyEvent(msgspec.Struct, frozen=True):
    """
    An event that says which keys of the chain count, and what was given of it.
    """

    seq: int
    event_type: str
    schema_version: int
    given: bytes


class Doubt(msgspec.Struct, frozen=True):
    """
    A bundle and its tile that contradict each other, where neither is shown to be what was signed.

    What is wrong is `of_tile` if all entries together turn out to have the signed root, and `of_entries` if not.
    """

    of_tile: list[Finding]
    of_entries: list[Finding]


class Range(msgspec.Struct):
    """
    What came out of one range of bundles, from number *first* on.

    `ends` are its first and its last event, None where one could not be read, or is shown to be another than it was.
    `roots` has the hash of each full bundle as its entries make it, or the tile where that is shown to be right,
    `above` the hashes of which the tile above has to have one: its entries' or its tile's, both in doubt, none where
    nothing is known. `rest` has the leaves of a bundle that is not full. `keys` has the events about keys. `astray` has
    the numbers of bundles that do not lead to the signed root by the tiles above them, and neither do their tiles; in a
    part of an archive each is asked. `unread` has the numbers of those of whose payloads none was held against its
    entry. `noted` has the files that could not be read, and what the store said.
    """

    first: int
    findings: list[Finding]
    ends: tuple[Seam | None, Seam | None]
    roots: list[bytes | None]
    above: list[list[bytes]]
    rest: list[bytes]
    groups: Ends
    events: int
    keys: list[KeyEvent] = msgspec.field(default_factory=list)
    doubts: list[Doubt] = msgspec.field(default_factory=list)
    astray: list[int] = msgspec.field(default_factory=list)
    unread: list[int] = msgspec.field(default_factory=list)
    noted: dict[str, str] = msgspec.field(default_factory=dict)


def without_payloads(numbers: Sequence[int], size: int) -> list[str]:
    """
    Return, as a sentence, of which events no payload was read: of those in the bundles of these numbers.
    """
    if not numbers:
        return []
    first = leaf_tile(numbers[0], size)
    more = f" and {len(numbers) - 1} more such runs" if len(numbers) > 1 else ""
    return [f"payloads of events {first.start + 1} to {first.end}{more}: their segment is not there, or is none, or it "
            "or their entries cannot be read, or an entry does not say how long its payload is"]  # fmt: skip


class _RangeCheck:
    """One walk through a range of bundles."""

    def __init__(self, read: Read, store: Noting, stated: Checkpoint, chain_id: bytes, is_part: bool) -> None:
        self._read_file, self._stated, self._chain_id, self._is_part = read, stated, chain_id, is_part
        self._noted = store.noted
        self._nodes = nodes_of(store, stated.size)
        self._findings: list[Finding] = []
        self._doubts: list[Doubt] = []
        self._astray: list[int] = []
        self._unread: list[int] = []
        self._groups = GroupCheck()
        self._keys: list[KeyEvent] = []
        self._before: Seam | None = None
        self._first: Seam | None = None
        """The first event of the bundle that was checked last."""

    def run(self, numbers: Sequence[int]) -> Range:
        found = Range(
            numbers[0], self._findings, (None, None), [], [], [], Ends(None, False, None), 0, self._keys, self._doubts,
            self._astray, self._unread, self._noted,
        )  # fmt: skip
        first: Seam | None = None
        for place, number in enumerate(numbers):
            tile = leaf_tile(number, self._stated.size)
            found.events += tile.width
            stated, before = self._leaves(tile), len(self._findings)
            read = self._entries(tile)
            leaves = stated if read is None else self._check(tile, read)
            if leaves is not None and (others := self._others(tile, stated, leaves)):
                self._follow_from(tile, others, before)
                leaves = stated
            signed = self._compare(tile, stated, leaves)
            if place == 0:
                first = self._first
            if tile.width < WIDTH:
                found.rest = leaves or []
                continue
            found.roots.append(None if leaves is None else tiles.subtree_hash(leaves))
            # Where the two agree, as they nearly always do, the hash is not made twice.
            root = found.roots[-1]
            found.above.append([root if one is leaves and root else tiles.subtree_hash(one) for one in signed])
        found.ends, found.groups = (first, self._before), self._groups.ends()
        return found

    def _found(self, kind: str, expected: str, actual: str, path: str, **place: Any) -> None:
        self._findings.append(finding(kind, expected, actual, path, **place))

    def _read(self, path: str) -> bytes | None:
        try:
            data = self._read_file(path)
        except Unread:
            return None
        except TooLong as error:
            self._found("BYTES_MODIFIED", "a file of an archive", str(error), path)
            return None
        if data is None:
            self._found("ARCHIVE_MISSING", "a file", "none", path)
        return data

    def _leaves(self, tile: Tile) -> list[bytes] | None:
        data = self._read(tile.path())
        try:
            return None if data is None else tiles.decode_tile(tile, data)
        except UnknownFormat as error:
            self._found("TREE_MISMATCH", f"{tile.width} hashes", str(error), tile.path())
            return None

    def _entries(self, tile: Tile) -> list[bytes] | None:
        path = tile.bundle_path()
        data = self._read(path)
        try:
            if data is not None:
                return tiles.decode_bundle(tile, data)
        except UnknownFormat as error:
            self._found("BYTES_MODIFIED", f"{tile.width} entries", str(error), path)
        if path in self._noted:
            # No finding says of its events that nothing is known of them.
            self._unread.append(tile.number)
        self._before = self._first = None
        self._groups.lose()
        return None

    def _others(self, tile: Tile, stated: list[bytes] | None, made: list[bytes]) -> list[int]:
        """Return which entries are shown to be others than were signed: the tile leads to the signed root, and has not
        their leaves; by their places."""
        if stated is None or stated == made or leads(self._nodes, self._stated, tile, made):
            return []
        if not leads(self._nodes, self._stated, tile, stated):
            return []
        differing = [place for place, pair in enumerate(zip(stated, made, strict=True)) if pair[0] != pair[1]]
        for place in differing:
            expected, actual = stated[place].hex(), made[place].hex()
            path, seq = tile.bundle_path(), tile.start + 1 + place
            self._found("TREE_MISMATCH", expected, actual, path, seq=seq, column="leaf")
        return differing

    def _follow_from(self, tile: Tile, others: list[int], before: int) -> None:
        """Say of what was found in a bundle since *before* that it may follow from entries that are others."""
        seqs = [tile.start + 1 + place for place in others]
        for at in range(before, len(self._findings)):
            near = [seq for seq in seqs if _may_follow(self._findings[at], seq, tile)]
            if near:
                self._findings[at] = msgspec.structs.replace(self._findings[at], after=near[0])
        for seq in seqs:
            self._groups.lose_with(seq)
        if tile.width - 1 in others:
            # What links to it is held by its own leaf.
            self._before = None
        if 0 in others:
            self._first = None

    def _compare(self, tile: Tile, stated: list[bytes] | None, made: list[bytes] | None) -> list[list[bytes]]:
        """Hold a tile's leaves against those that its entries make; return what may have been signed, in doubt both."""
        if stated is None or made is None or stated == made:
            leaves = made or stated
            # The leaves in hand are what is shown, not a tile that is read once more and may be another by then.
            if self._is_part and leaves is not None and leads(self._nodes, self._stated, tile, leaves) is False:
                self._astray.append(tile.number)
            return [] if leaves is None else [leaves]
        differing = [(place, *pair) for place, pair in enumerate(zip(stated, made, strict=True)) if pair[0] != pair[1]]
        of_tile = [
            finding("TREE_MISMATCH", entry.hex(), leaf.hex(), tile.path(), column=f"hash {place}")
            for place, leaf, entry in differing
        ]
        of_entries = [
            finding("TREE_MISMATCH", leaf.hex(), entry.hex(), tile.bundle_path(), tile.start + 1 + place, "leaf")
            for place, leaf, entry in differing
        ]
        is_signed = leads(self._nodes, self._stated, tile, made)
        if is_signed:
            self._findings += of_tile
            return [made]
        self._doubts.append(Doubt(of_tile, of_entries))
        if is_signed is False:
            self._astray.append(tile.number)
        return [made, stated]

    def _check(self, tile: Tile, found: list[bytes]) -> list[bytes]:
        """Check one bundle of entries; return the leaves that they make."""
        path = tile.bundle_path()
        parsed = [self._parsed(path, seq, entry) for seq, entry in enumerate(found, tile.start + 1)]
        digests = [blake3(entry).digest() for entry in found]
        for place, (fields, digest, content) in enumerate(
            zip(parsed, digests, self._payloads(tile, parsed, digests[-1]), strict=True)
        ):
            self._follow(path, fields, digest)
            if place == 0:
                self._first = self._before
            if fields is None or content is None:
                self._groups.lose()
            else:
                self._findings += self._groups.take(fields, *content, path)
                self._note(fields, content[1])
        return [tree.leaf_hash(entry) for entry in found]

    def _parsed(self, path: str, seq: int, entry: bytes) -> Entry | None:
        try:
            fields = entries.parse(entry)
        except UnknownFormat as error:
            self._found("BYTES_MODIFIED", "an entry", str(error), path, seq=seq)
            return None
        if fields.seq != seq:
            self._found("BYTES_MODIFIED", str(seq), str(fields.seq), path, seq=seq, column="seq")
        if fields.chain_id != self._chain_id:
            expected, actual = self._chain_id.hex(), fields.chain_id.hex()
            self._found("BYTES_MODIFIED", expected, actual, path, seq=seq, column="chain_id")
        return fields

    def _payloads(self, tile: Tile, parsed: Sequence[Entry | None], last_hash: bytes) -> Payloads:
        """Check the segment of payloads against the entries, which say how large each is and what it hashes to."""
        path = segments.path(tile)
        data = self._read(path)
        named = [fields for fields in parsed if fields is not None]
        if data is None or len(named) < len(parsed):
            self._unread.append(tile.number)
            return [None] * len(parsed)
        try:
            segment = segments.decode(data, [fields.payload_size for fields in named])
        except UnknownFormat as error:
            self._found("PAYLOAD_MISMATCH", "the payloads that the entries name", str(error), path)
            self._unread.append(tile.number)
            return [None] * len(parsed)
        for name, expected, actual in (
            ("chain_id", self._chain_id.hex(), segment.chain_id.hex()),
            ("first_seq", str(tile.start + 1), str(segment.first_seq)),
            ("prev_hash", named[0].prev_hash.hex(), segment.prev_hash.hex()),
            ("last_hash", last_hash.hex(), segment.last_hash.hex()),
        ):
            if expected != actual:
                self._found("BYTES_MODIFIED", expected, actual, path, column=name)
        good: list[tuple[bytes, bytes] | None] = []
        for seq, (fields, content) in enumerate(zip(named, segment.events, strict=True), tile.start + 1):
            hashed = entries.payload_hash(*content)
            good.append(content if hashed == fields.payload_hash else None)
            if good[-1] is None:
                expected = fields.payload_hash.hex()
                self._found("PAYLOAD_MISMATCH", expected, hashed.hex(), path, seq=seq, column="payload")
        return good

    def _note(self, fields: Entry, payload: bytes) -> None:
        """Keep what an event says of keys."""
        if fields.event_type in KINDS:
            # What is no payload has been found already, as one of which nothing follows.
            with contextlib.suppress(UnknownFormat):
                given = entries.split_payload(payload)[1]
                self._keys.append(KeyEvent(fields.seq, fields.event_type, fields.schema_version, given))

    def _follow(self, path: str, fields: Entry | None, digest: bytes) -> None:
        """Check an entry against the one before it."""
        if fields is None:
            self._before = None
            return
        after = seam_of(fields, digest)
        if self._before is not None:
            self._findings += misfits(self._before, after, path)
        try:
            said = str(event_id.recorded_at(fields.event_id))
        except Rejected as error:
            said = str(error)
        if said != str(fields.recorded_at):
            expected = f"an id of {fields.recorded_at}"
            self._found("CLOCK", expected, said, path, seq=fields.seq, column="event_id")
        self._before = after


def _may_follow(one: Finding, seq: int, tile: Tile) -> bool:
    """Return whether *one*, found in a bundle, may follow from its entry at *seq* being another than it was."""
    if one.column == "leaf" or one.kind == "ARCHIVE_MISSING":
        return False
    if one.kind in _OF_GROUPS:
        return True
    if one.kind in _OF_LINKS:
        return one.seq in (seq, seq + 1)
    if one.seq is not None:
        return one.seq == seq
    # Of the segment: an entry says how long its payload is, and the ends are named by their links.
    return is_of_segment(one) or {"prev_hash": tile.start + 1, "last_hash": tile.end}.get(one.column or "") == seq


def is_of_segment(one: Finding) -> bool:
    """
    Return whether *one* says that a whole segment is not the payloads that its entries name.
    """
    return one.kind == "PAYLOAD_MISMATCH" and one.seq is None


@functools.lru_cache(maxsize=1)
def _store(where: str) -> Readable:
    """Return the store of a worker, which keeps its connections from range to range."""
    return open_store(where)


def check_range(
    where: str, stated: Checkpoint, chain_id: bytes, numbers: Sequence[int], is_part: bool = False
) -> Range:
    """
    Return what came out of the bundles of these consecutive *numbers* in the archive at *where*, which *stated* is of.

    Where they are a part of what is verified, each is held against the signed root by the tiles above it; all bundles
    together make that root by themselves.

    Raises:
        Unavailable: the whole store cannot be read.
    """
    store, bundles = Noting(_store(where)), (leaf_tile(number, stated.size) for number in numbers)
    paths = (path for tile in bundles for path in (tile.path(), tile.bundle_path(), segments.path(tile)))
    with reading(store, paths) as read:
        return _RangeCheck(read, store, stated, chain_id, is_part).run(numbers)
