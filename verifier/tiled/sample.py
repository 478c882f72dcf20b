"""
Check tiles that nobody could foresee, and that they stand in the root which others have cosigned.

Each tile is checked in full, and a proof of a few hashes leads from it to the cosigned root; so a copy that was
rewritten in all its places at once shows in any tile, and one that was changed here and there with the probability
that the report states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Final

import msgspec

from ledger.archiving.places import open_store
from ledger.archiving.stores import Store
from ledger.errors import ProofInvalid, UnknownFormat
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.evidence.tiles import WIDTH, leaf_tile
from verifier import identity, indexes, spans
from verifier.archive.ranges import check_range, without_payloads
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report
from verifier.stored import CheckpointRow, Unreadable
from verifier.tiled import check, draw, newest, workers
from verifier.tiled.archives import Archive
from verifier.tiled.copies import CopyNodes, count_of
from verifier.tiled.databases import Region, View
from verifier.tiled.newest import Newest
from verifier.tiled.rotten import Rotten

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""
PROVEN: Final = "that each of these tiles stands in the root that was cosigned, by an inclusion proof"
COVERED: Final = [
    "every column of the events in these tiles, against its hash; links to the event before; times and event ids",
    PROVEN,
]
IN_ARCHIVE: Final = [
    "every byte of the entries and payloads in these tiles; links, times, event ids and groups inside each tile",
    PROVEN,
]
NOT_COVERED: Final = [
    "the head, and events that are gone from the end: `open` and `chain` ask for them",
    "when events were recorded, against when witnesses had seen them: `full` and a whole `archive` check it",
    "rules, keys, commits, read models and guards: `full` checks them",
    "whether a larger checkpoint was signed since: `open` asks the witnesses",
    "events that were never appended: reconcile with the venue",
]


class Tested(msgspec.Struct, frozen=True):
    """
    What came out of one tile: what is wrong with it or on the way from it to the root, and how many events were read.

    Where it was not led to the root, or not read whole, nothing is said of any event in it; `unread` are the numbers of
    bundles without payloads.
    """

    findings: list[Finding]
    count: int
    is_whole: bool = True
    unread: list[int] = []


class Drawn(msgspec.Struct):
    """
    The numbers of the tiles that were drawn, in order, how many events were read in them, which of the tiles are not
    whole, and of which bundles no payload was read.
    """

    numbers: list[int] = msgspec.field(default_factory=list)
    events: int = 0
    partial: list[int] = msgspec.field(default_factory=list)
    unread: list[int] = msgspec.field(default_factory=list)


class Draw(msgspec.Struct, frozen=True):
    """
    How many tiles to draw and with which nonce, and of which share of changed tiles the report is to speak.
    """

    count: int
    nonce: bytes
    share: Decimal


def of_region(region: Region, trust: Policy, wanted: Draw, tell: Tell, jobs: int = 1) -> Report:
    """
    Return the report on tiles of a region's chain, checked by so many processes.

    Raises:
        Unreadable: there is no checkpoint, or the policy is for other logs.
    """
    started = time.monotonic()
    settled = identity.settle(region, trust.origins())
    found = newest.of_region(region, trust) if settled.readable else newest.Newest(None, [])
    findings, size = Findings(), region.size()
    findings.add([*settled.findings, *found.findings])
    drawn = Drawn()
    if found.trusted is not None and settled.readable:
        stated = found.trusted.checkpoint
        _need_events(stated.size)
        findings.add(newest.cut_off(size, stated))
        drawn = _drawn(stated, wanted)
        make = partial(_of_view, region.view() if jobs > 1 else None, stated, size)
        _take(drawn, workers.each(drawn.numbers, _OfRegion(region, stated, size), make, jobs), findings, tell)
    report = _report(found, wanted, drawn, findings, COVERED, size, started)
    report.origin, report.region_mode, report.vouched = region.origin, region.chain.mode, settled.assumed
    report.head = {"seq": region.chain.seq, "hash": region.chain.hash.hex()}
    report.not_covered.append(indexes.NOT_LOOKED_UP)
    return report


def of_archive(store: Store, trust: Policy, wanted: Draw, tell: Tell, jobs: int = 1) -> Report:
    """
    Return the report on tiles of an archive, checked by so many processes.

    Raises:
        Unreadable: there is no archive, or the policy is for other logs.
    """
    started = time.monotonic()
    archive = Archive(store)
    stated = archive.stated
    _need_events(stated.size)
    found = newest.find([CheckpointRow(stated.size, stated.root, archive.signed, 0)], trust, archive.origin)
    findings = Findings()
    findings.add(found.findings)

    drawn = Drawn()
    if found.trusted is not None:
        drawn = _drawn(stated, wanted)
        make = partial(_of_place, store.name, stated)
        _take(drawn, workers.each(drawn.numbers, _OfArchive(archive, stated), make, jobs), findings, tell)
    report = _report(found, wanted, drawn, findings, IN_ARCHIVE, stated.size, started)
    report.origin, report.region_mode = archive.origin, "archive"
    report.head = {"seq": stated.size, "root": stated.root.hex()}
    return report


def _need_events(size: int) -> None:
    if not size:
        raise Unreadable("the newest checkpoint covers no events, so there is nothing to draw from")


def _drawn(stated: Checkpoint, wanted: Draw) -> Drawn:
    return Drawn(sorted(draw.draw(stated.root, wanted.nonce, count_of(stated.size), wanted.count)))


def _take(drawn: Drawn, tested: Iterable[Tested], findings: Findings, tell: Tell) -> None:
    """Take in what came of each tile; what several of them lead past is told once."""
    named: set[Finding] = set()
    for number, one in zip(drawn.numbers, tested, strict=True):
        findings.add(finding for finding in one.findings if finding not in named)
        named.update(one.findings)
        drawn.events += one.count
        drawn.partial += [] if one.is_whole else [number]
        drawn.unread += one.unread
        tell("checking events", drawn.events)


class _OfRegion:
    """The check of one tile of a region whose last event is *size*, by its number."""

    def __init__(self, region: Region, stated: Checkpoint, size: int) -> None:
        self._region, self._stated, self._size = region, stated, size
        self._nodes = CopyNodes(region, stated.size)
        self._rotten = Rotten(region, self._nodes, stated.size)

    def __call__(self, number: int) -> Tested:
        tile = leaf_tile(number, self._stated.size)
        if tile.start >= self._size:
            return Tested([], 0, is_whole=False)
        done = check.events(self._region, tile.start + 1, min(tile.end, self._size))
        stored = self._nodes.tile(tile)
        wrong = [*done.findings, *check.leaves(tile, done.leaves, stored)]
        if stored is not None:
            # Of an event that is not there the leaf that is stored is the best word: without any of them nothing would
            # lead from the others of the tile to the root, and who rewrote those need only take one away.
            seqs = range(tile.start + 1, tile.end + 1)
            made = [done.leaves.get(seq, hashed) for seq, hashed in zip(seqs, stored, strict=True)]
            kind = "INCONSISTENT" if all(seq in done.leaves for seq in seqs) else "TREE_MISMATCH"
            wrong += _led(self._nodes, self._stated, number, check.hash_of_tile(made), kind, self._rotten)
        elif len(done.leaves) == tile.width:
            made = [done.leaves[seq] for seq in range(tile.start + 1, tile.end + 1)]
            wrong += _led(self._nodes, self._stated, number, check.hash_of_tile(made), "INCONSISTENT", self._rotten)
        return Tested(wrong, done.count, stored is not None or len(done.leaves) == tile.width)


def _of_view(view: View | None, stated: Checkpoint, size: int) -> _OfRegion:
    """Make the check in another process."""
    assert view is not None
    return _OfRegion(Region.of(view), stated, size)


class _OfArchive:
    """The check of one tile of an archive, by its number."""

    def __init__(self, archive: Archive, stated: Checkpoint) -> None:
        self._archive, self._stated = archive, stated
        self._nodes = CopyNodes(archive, stated.size)

    def __call__(self, number: int) -> Tested:
        done = check_range(self._archive.name, self._stated, self._archive.chain_id, [number])
        wrong = [*done.findings, *(one for doubt in done.doubts for one in doubt.of_entries)]
        made = check.hash_of_tile(done.rest) if done.rest else done.roots[0] if done.roots else None
        # Entries that are not their tile's lead to another root, which is no second history.
        if made is not None and not any(one.column == "leaf" for one in wrong):
            # Of files, one that rotted is likelier than another history: verified whole, the archive says which it is.
            wrong += _led(self._nodes, self._stated, number, made, "TREE_MISMATCH")
        is_whole = made is not None and not (done.unread or done.doubts or done.astray)
        return Tested(wrong, done.events, is_whole, done.unread)


def _of_place(where: str, stated: Checkpoint) -> _OfArchive:
    """Make the check in another process."""
    return _OfArchive(Archive(open_store(where)), stated)


def _led(
    nodes: CopyNodes, stated: Checkpoint, number: int, made: bytes, kind: str, rotten: Rotten | None = None
) -> list[Finding]:
    """
    Return what is wrong on the way from a tile of hash *made* to the root; it is of *kind* where *rotten* does not name
    the tiles on the way that are to blame.
    """
    try:
        proof = check.proof_of_tile(nodes, number, stated.size)
        tree.check_inclusion(made, number, count_of(stated.size), proof, stated.root)
    except UnknownFormat as error:
        return [Finding("TREE_MISMATCH", f"the tiles that lead from tile {number} to the root", str(error),
                        seq=number * WIDTH + 1, table="tiles", key=("0", str(number)))]  # fmt: skip
    except ProofInvalid:
        led = [node for first, end in tree.inclusion_ranges(number, count_of(stated.size))
               for node in tree.complete_nodes(first * WIDTH, min(end * WIDTH, stated.size))]  # fmt: skip
        wrong = [] if rotten is None else rotten.among(led)
        return wrong or [
            Finding(kind, f"a tile in root {stated.root.hex()} of {stated.size} events",
                    f"a tile of hash {made.hex()}, from which the tiles lead to another root", seq=number * WIDTH + 1,
                    table="tiles", key=("0", str(number)))
        ]  # fmt: skip
    return []


def _report(
    found: Newest, wanted: Draw, drawn: Drawn, findings: Findings, covered: list[str], size: int, started: float
) -> Report:
    listed = findings.all(None)
    read = spans.of_tiles(drawn.numbers, 0 if found.trusted is None else found.trusted.checkpoint.size)
    said: list[str] = []
    left: list[str] = []
    tiles = len(drawn.numbers)
    if found.trusted is not None:
        stated = found.trusted.checkpoint
        count = count_of(stated.size)
        said = [found.sentence(), *_chances(wanted, tiles, count), *covered]
        left += without_payloads(drawn.unread, stated.size)
        if tiles < count:
            left.append(f"{count - tiles} of {count} tiles, which were not drawn")
        if size > stated.size:
            left.append(f"events {stated.size + 1} to {size}, which no checkpoint that the policy accepts covers yet")
    whole = min([spans.whole_up_to(read, listed), *(number * WIDTH for number in drawn.partial[:1])])
    return Report(
        BROKEN if listed else VERIFIED, "", "", drawn.events, {}, listed, {"tiles": tiles}, said,
        [*left, *NOT_COVERED], [], whole, round(time.monotonic() - started, 3),
        checkpoints=found.seen(listed), trusted=found.words(), spans=read,
    )  # fmt: skip


def _chances(wanted: Draw, drawn: int, count: int) -> list[str]:
    """Return what was drawn, how it can be drawn again, and what it would have shown."""
    said = [
        f"{drawn} of {count} tiles of 256 events, drawn from that root with nonce {wanted.nonce.hex() or 'of 0 bytes'}"
    ]
    if drawn == count:
        return [*said, "every tile: whatever was changed in any is found"]
    share = f"{wanted.share.normalize():f}"
    return [
        *said,
        f"had a share of {share} of the tiles been changed, one of them would have been drawn with a probability of at "
        f"least 1 - (1 - {share})^{drawn} = {draw.percent(draw.detection(wanted.share, drawn))}",
        f"had one tile alone been changed, with {draw.percent(Decimal(drawn) / Decimal(count))}",
    ]
