"""
Verify an archive from its files alone: no database, no network, and a policy that the auditor brings.

A range of bundles is checked by itself: each entry hashes to its leaf and to the next entry's link, each payload to
its entry, and the 256 leaves are the tile's. What a range cannot know, the link before its first event and the tree
above its tiles, is returned and joined where ranges meet. So ranges can be checked in any order and by any number of
workers, and every index is bound twice: by BLAKE3 to its neighbours, by SHA-256 to the signed root.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.archiving.layout import CHAIN, CHECKPOINT, POLICY, ChainFile
from ledger.archiving.stores import Store, open_store
from ledger.chain import entry as entries
from ledger.chain import event_id
from ledger.chain.entry import Entry
from ledger.chain.link import genesis
from ledger.errors import LedgerError, Rejected, SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, policy, segments, tiles, tree
from ledger.evidence.policy import Policy, QuorumUnmet, Trusted
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import Frontier
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report
from verifier.stored import Unreadable

RANGE_BUNDLES: Final = 64
"""How many bundles one worker checks before it says what it found: 16,384 events, a third of a second."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""

COVERED: Final = [
    "every byte of every entry, against the hash chain from the genesis of this origin and against the signed root",
    "every payload and salt, against its entry",
    "seqs, recorded times, event ids and groups",
    "every tile, against the entries below it",
    "every checkpoint in the archive: signatures, the policy's quorum for the newest, and its root",
]
NOT_COVERED: Final = [
    "whether a larger checkpoint was signed since: ask the witnesses of the policy",
    "request hashes, rules, balances and positions: verify the database, or replay the events",
    "events that were never appended: reconcile with the venue",
]
_CHECKPOINTS: Final = re.compile(r"checkpoints/(0|[1-9][0-9]{0,18})", re.ASCII)


class Seam(msgspec.Struct, frozen=True):
    """
    What has to fit where two ranges meet, of the first or the last event of one.
    """

    seq: int
    prev_hash: bytes
    hash: bytes
    recorded_at: int
    event_id: bytes
    group: tuple[bytes, int, int]


class Range(msgspec.Struct):
    """
    What came out of one range of bundles: what is wrong in it, its ends, and the hashes to grow the tree with.

    `ends` is None where an end could not be read; `roots` has one hash a full bundle, `rest` the leaves of one that is
    not full.
    """

    first: int
    findings: list[Finding]
    ends: tuple[Seam | None, Seam | None]
    roots: list[bytes | None]
    rest: list[bytes]
    events: int


def _finding(kind: str, expected: str, actual: str, path: str, seq: int | None = None, column: str = "") -> Finding:
    return Finding(kind, expected, actual, seq=seq, table="archive", key=(path,), column=column or None)


class _RangeCheck:
    """One walk through a range of bundles."""

    def __init__(self, store: Store, size: int, chain_id: bytes) -> None:
        self._store, self._size, self._chain_id = store, size, chain_id
        self._findings: list[Finding] = []
        self._before: Seam | None = None
        self._first: Seam | None = None

    def run(self, numbers: Sequence[int]) -> Range:
        roots: list[bytes | None] = []
        rest: list[bytes] = []
        count = 0
        for place, number in enumerate(numbers):
            tile = Tile(0, number, min(WIDTH, self._size - number * WIDTH))
            count += tile.width
            leaves = self._bundle(tile, place == 0)
            if tile.width < WIDTH:
                rest = leaves or []
            roots.append(tiles.subtree_hash(leaves) if leaves is not None and tile.width == WIDTH else None)
        return Range(numbers[0], self._findings, (self._first, self._before), roots, rest, count)

    def _found(self, kind: str, expected: str, actual: str, path: str, **place: Any) -> None:
        self._findings.append(_finding(kind, expected, actual, path, **place))

    def _read(self, path: str) -> bytes | None:
        data = self._store.read(path)
        if data is None:
            self._found("ARCHIVE_MISSING", "a file", "none", path)
        return data

    def _bundle(self, tile: Tile, begins: bool) -> list[bytes] | None:
        """Check one bundle; return the leaves that its entries make, or those of its tile if it cannot be read."""
        stated = self._leaves(tile)
        data = self._read(tile.bundle_path())
        try:
            found = None if data is None else tiles.decode_bundle(tile, data)
        except UnknownFormat as error:
            self._found("BYTES_MODIFIED", f"{tile.width} entries", str(error), tile.bundle_path())
            found = None
        if found is None:
            self._before = None
            return stated
        leaves = [tree.leaf_hash(entry) for entry in found]
        if stated is not None:
            for place, (expected, actual) in enumerate(zip(stated, leaves, strict=True)):
                if expected != actual:
                    self._found("TREE_MISMATCH", expected.hex(), actual.hex(), tile.bundle_path(),
                                seq=tile.start + place + 1, column="leaf")  # fmt: skip
        parsed = [self._parsed(tile, place, entry) for place, entry in enumerate(found)]
        self._payloads(tile, parsed, blake3(found[-1]).digest())
        for place, (entry, fields) in enumerate(zip(found, parsed, strict=True)):
            self._follow(tile, fields, blake3(entry).digest())
            if begins and place == 0:
                self._first = self._before
        return leaves

    def _parsed(self, tile: Tile, place: int, entry: bytes) -> Entry | None:
        seq = tile.start + place + 1
        try:
            fields = entries.parse(entry)
        except UnknownFormat as error:
            self._found("BYTES_MODIFIED", "an entry", str(error), tile.bundle_path(), seq=seq)
            return None
        stated = (("seq", str(seq), str(fields.seq)), ("chain_id", self._chain_id.hex(), fields.chain_id.hex()))
        for name, expected, actual in stated:
            if expected != actual:
                self._found("BYTES_MODIFIED", expected, actual, tile.bundle_path(), seq=seq, column=name)
        return fields

    def _leaves(self, tile: Tile) -> list[bytes] | None:
        data = self._read(tile.path())
        try:
            return None if data is None else tiles.decode_tile(tile, data)
        except UnknownFormat as error:
            self._found("TREE_MISMATCH", f"{tile.width} hashes", str(error), tile.path())
            return None

    def _payloads(self, tile: Tile, parsed: Sequence[Entry | None], last_hash: bytes) -> None:
        """Check the segment of payloads against the entries, which say how large each is and what it hashes to."""
        path = segments.path(tile)
        data = self._read(path)
        named = [fields for fields in parsed if fields is not None]
        if data is None or len(named) < len(parsed):
            return
        try:
            segment = segments.decode(data, [fields.payload_size for fields in named])
        except UnknownFormat as error:
            self._found("PAYLOAD_MISMATCH", "the payloads that the entries name", str(error), path)
            return
        for name, expected, actual in (
            ("chain_id", self._chain_id.hex(), segment.chain_id.hex()),
            ("first_seq", str(tile.start + 1), str(segment.first_seq)),
            ("prev_hash", named[0].prev_hash.hex(), segment.prev_hash.hex()),
            ("last_hash", last_hash.hex(), segment.last_hash.hex()),
        ):
            if expected != actual:
                self._found("BYTES_MODIFIED", expected, actual, path, column=name)
        for place, (fields, (salt, payload)) in enumerate(zip(named, segment.events, strict=True)):
            hashed = entries.payload_hash(salt, payload)
            if hashed != fields.payload_hash:
                seq = tile.start + place + 1
                self._found(
                    "PAYLOAD_MISMATCH", fields.payload_hash.hex(), hashed.hex(), path, seq=seq, column="payload"
                )

    def _follow(self, tile: Tile, fields: Entry | None, digest: bytes) -> None:
        """Check an entry against the one before it."""
        if fields is None:
            self._before = None
            return
        path = tile.bundle_path()
        after = Seam(
            fields.seq, fields.prev_hash, digest, fields.recorded_at, fields.event_id,
            (fields.group_id, fields.group_index, fields.group_size),
        )  # fmt: skip
        if self._before is not None:
            self._findings += seam(self._before, after, path)
        try:
            said = str(event_id.recorded_at(fields.event_id))
        except Rejected as error:
            said = str(error)
        if said != str(fields.recorded_at):
            self._found("CLOCK", f"an id of {fields.recorded_at}", said, path, seq=fields.seq, column="event_id")
        self._before = after


def seam(before: Seam, after: Seam, path: str) -> list[Finding]:
    """
    Return what does not fit between an event and the next.
    """
    found = []
    if after.prev_hash != before.hash:
        found.append(_finding("CHAIN_BREAK", before.hash.hex(), after.prev_hash.hex(), path, after.seq, "prev_hash"))
    if after.recorded_at <= before.recorded_at or after.event_id <= before.event_id:
        expected, actual = f"later than {before.recorded_at}", str(after.recorded_at)
        found.append(_finding("CLOCK", expected, actual, path, after.seq, "recorded_at"))
    (group, index, size), (found_group, found_index, found_size) = before.group, after.group
    goes_on = index + 1 < size
    if goes_on and (found_group, found_index, found_size) != (group, index + 1, size):
        found.append(
            _finding("GROUP_PARTIAL", f"event {index + 1} of {size} of group {group.hex()}",
                     f"event {found_index} of {found_size} of group {found_group.hex()}", path, after.seq, "group_id")
        )  # fmt: skip
    if not goes_on and (found_index != 0 or found_group == group):
        found.append(
            _finding("GROUP_PARTIAL", "the first event of a group",
                     f"event {found_index} of {found_size} of group {found_group.hex()}", path, after.seq, "group_id")
        )  # fmt: skip
    return found


def check_range(where: str, size: int, chain_id: bytes, numbers: Sequence[int]) -> Range:
    """
    Return what came out of the bundles of these consecutive *numbers* in the archive at *where*.
    """
    return _RangeCheck(open_store(where), size, chain_id).run(numbers)


def _ranges(count: int) -> Iterator[range]:
    for start in range(0, count, RANGE_BUNDLES):
        yield range(start, min(start + RANGE_BUNDLES, count))


def verify(where: str, trust: Policy, tell: Tell, jobs: int = 1) -> Report:
    """
    Return the report on the archive at *where*, judged by the auditor's policy, with so many worker processes.

    Raises:
        Unreadable: there is no archive, or the store cannot be read.
    """
    started = time.monotonic()
    store = open_store(where)
    signed, said = store.read(CHECKPOINT), store.read(CHAIN)
    if signed is None:
        raise Unreadable(f"{where} holds no {CHECKPOINT}, so there is nothing to verify; name the folder of an archive")
    findings = Findings()
    trusted, stated = _trusted(trust, signed, findings)
    if stated is None:
        raise Unreadable(f"{where}/{CHECKPOINT} is no checkpoint, so nothing says what the archive holds")
    chain_id = _chain_id(store, said, stated.origin, findings)
    count = -(-stated.size // WIDTH)
    edge, before, events, last_good = Frontier(), None, 0, 0
    roots: list[bytes | None] = []
    broken_tree = False
    for done in _checked(where, stated.size, chain_id, count, jobs):
        findings.add(done.findings)
        first, last = done.ends
        path = Tile(0, done.first).bundle_path()
        if before is None and first is not None and first.seq == 1:
            expected = genesis(chain_id, stated.origin)
            if first.prev_hash != expected:
                findings.add([_finding("CHAIN_BREAK", expected.hex(), first.prev_hash.hex(), path, 1, "prev_hash")])
        elif before is not None and first is not None:
            findings.add(seam(before, first, path))
        before = last
        for place, root in enumerate(done.roots):
            full = (done.first + place + 1) * WIDTH <= stated.size
            if full and (root is None or broken_tree):
                broken_tree = True
            elif full and root is not None:
                edge.add_complete(8, root)
        roots += done.roots
        for leaf in done.rest:
            if not broken_tree:
                edge.add(leaf)
        events += done.events
        if not findings.all(None):
            last_good = events
        tell("checking events", events)
    if before is not None and before.group[1] + 1 != before.group[2]:
        findings.add([_finding("GROUP_PARTIAL", f"all {before.group[2]} events of the last group",
                               f"{before.group[1] + 1}", CHECKPOINT, before.seq, "group_size")])  # fmt: skip
    if broken_tree or edge.size != stated.size:
        findings.add([_finding("TREE_MISMATCH", f"a root of {stated.size} entries", "entries are missing", CHECKPOINT)])
    elif edge.root() != stated.root:
        findings.add([_finding("TREE_MISMATCH", stated.root.hex(), edge.root().hex(), CHECKPOINT, column="root")])
    tell("checking tiles", 0)
    findings.add(_upper(store, stated.size))
    extra = _others(store, trust, stated, findings)
    found = findings.all(None)
    covered, not_covered = list(COVERED), [*NOT_COVERED, *extra]
    if trusted is not None:
        witnesses = ", ".join(f"{witness.name} at {seconds}" for witness, seconds in trusted.witnesses) or "nobody"
        covered.append(f"the newest checkpoint is signed by {stated.origin} and cosigned by {witnesses}")
    return Report(
        VERIFIED if not found else BROKEN, stated.origin, "archive", events,
        {"seq": stated.size, "hash": before.hash.hex() if before else "", "root": stated.root.hex()},
        found, {"bundles": count}, covered, not_covered, [], last_good, round(time.monotonic() - started, 3),
    )  # fmt: skip


def _checked(where: str, size: int, chain_id: bytes, count: int, jobs: int) -> Iterator[Range]:
    """Yield what came out of each range, in order, checked by so many processes."""
    if jobs <= 1:
        for numbers in _ranges(count):
            yield check_range(where, size, chain_id, numbers)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting: dict[int, Range] = {}
        following = 0
        futures = [pool.submit(check_range, where, size, chain_id, numbers) for numbers in _ranges(count)]
        try:
            for future in as_completed(futures):
                done = future.result()
                waiting[done.first] = done
                while following in waiting:
                    yield waiting.pop(following)
                    following += RANGE_BUNDLES
        finally:
            for future in futures:
                future.cancel()


def _trusted(trust: Policy, signed: bytes, findings: Findings) -> tuple[Trusted | None, checkpoint.Checkpoint | None]:
    try:
        trusted = policy.check(trust, signed)
    except QuorumUnmet as error:
        findings.add([_finding("QUORUM_UNMET", f"the quorum {trust.quorum}", str(error), CHECKPOINT)])
    except SignatureInvalid as error:
        findings.add([_finding("CHECKPOINT_SIG", "a checkpoint signed by a log of the policy", str(error), CHECKPOINT)])
    except UnknownFormat:
        return None, None
    else:
        return trusted, trusted.checkpoint
    return None, checkpoint.decode_note(signed)[0]


def _chain_id(store: Store, said: bytes | None, origin: str, findings: Findings) -> bytes:
    """Return the chain's id as the file of the chain says it; the genesis binds it to the origin."""
    try:
        if said is None:
            raise UnknownFormat("no file")
        file = msgspec.json.decode(said, type=ChainFile)
        chain_id = bytes.fromhex(file.chain_id)
        if file.encode() != said or len(chain_id) != 16 or file.format_version != 1 or file.origin != origin:
            raise UnknownFormat(said[:300].decode(errors="replace"))
        return chain_id
    except (LedgerError, msgspec.MsgspecError, ValueError) as error:
        findings.add([_finding("BYTES_MODIFIED", f"the chain file of {origin}", str(error), CHAIN)])
    first = store.read(Tile(0, 0).bundle_path()) or store.read(Tile(0, 0, 1).bundle_path()) or bytes(34)
    return first[18:34]


def _upper(store: Store, size: int) -> Iterator[Finding]:
    """Yield what is wrong with the tiles above the leaves: each is made of those below it."""
    for tile in tiles.tiles_of(0, size):
        if tile.level == 0:
            continue
        data = store.read(tile.path())
        if data is None:
            yield _finding("ARCHIVE_MISSING", "a tile", "none", tile.path())
            continue
        try:
            hashes = tiles.decode_tile(tile, data)
        except UnknownFormat as error:
            yield _finding("TREE_MISMATCH", f"{tile.width} hashes", str(error), tile.path())
            continue
        for place, found in enumerate(hashes):
            child = Tile(tile.level - 1, tile.number * WIDTH + place)
            below = store.read(child.path())
            try:
                expected = tiles.subtree_hash(tiles.decode_tile(child, below or b""))
            except UnknownFormat:
                continue  # already told, where that tile was checked
            if found != expected:
                yield _finding("TREE_MISMATCH", expected.hex(), found.hex(), tile.path(), column=f"hash {place}")


def _others(store: Store, trust: Policy, stated: checkpoint.Checkpoint, findings: Findings) -> list[str]:
    """Check the older checkpoints, and return what is in the archive and was not checked."""
    unknown = []
    sizes = []
    for name in store.names():
        match = _CHECKPOINTS.fullmatch(name)
        if match:
            sizes.append(int(match[1]))
        elif name not in (CHECKPOINT, CHAIN, POLICY) and not _belongs(name, stated.size):
            unknown.append(name)
    reader = _tile_reader(store)
    for size in sorted(sizes):
        path = f"checkpoints/{size}"
        data = store.read(path) or b""
        try:
            older, signed = checkpoint.decode_note(data)
            logs = [log.key for log in trust.logs_of(stated.origin)]
            signers = note.verify(signed, [*logs, *(witness.key for witness in trust.witnesses)])
            if not any(signer.key in logs for signer in signers):
                raise SignatureInvalid("no signature of its log")
            if older.origin != stated.origin or older.size != size:
                raise UnknownFormat(f"a checkpoint of {older.size} entries of {older.origin}")
            expected = (
                stated.root if size == stated.size else tree.root_of(reader, size) if size < stated.size else None
            )
        except LedgerError as error:
            findings.add([_finding("CHECKPOINT_SIG", f"a signed checkpoint of {size} entries", str(error), path)])
            continue
        if expected is None:
            findings.add([_finding("ROLLBACK", f"at most {stated.size} entries, as the newest checkpoint says",
                                   f"a signed checkpoint of {size}", path)])  # fmt: skip
        elif expected != older.root:
            findings.add([_finding("CHECKPOINT_INCONSISTENT", expected.hex(), older.root.hex(), path, column="root")])
    return [f"files that belong to no archive: {', '.join(sorted(unknown)[:20])}"] if unknown else []


def _tile_reader(store: Store) -> tree.ReadNodes:
    def read(nodes: Sequence[tree.Node]) -> list[bytes]:
        found = []
        for level, index in nodes:
            # The tile may have grown since: the widest that is there serves all the smaller trees.
            row, number = level // tiles.HEIGHT, index >> tiles.HEIGHT - level % tiles.HEIGHT
            needed = ((index + 1) << level % tiles.HEIGHT) - number * WIDTH
            for width in (WIDTH, *range(WIDTH - 1, needed - 1, -1)):
                tile = Tile(row, number, width)
                data = store.read(tile.path())
                if data is not None:
                    found.append(tiles.hash_in(tile, tiles.decode_tile(tile, data), (level, index)))
                    break
            else:
                raise UnknownFormat(f"no tile has subtree {index} of level {level}")
        return found

    return read


def _belongs(name: str, size: int) -> bool:
    """Whether a file is one that an archive of this or a smaller size has."""
    try:
        if name.startswith("segment/"):
            name = "tile/entries/" + name.removeprefix("segment/")
        tile, _ = tiles.decode_path(name)
    except UnknownFormat:
        return False
    return tile.end <= size
