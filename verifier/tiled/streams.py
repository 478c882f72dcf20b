"""
Check one stream: that its versions have no gap, and that each event of it stands in the root others have cosigned.

That no event of it is missing at its end, no proof of a few hashes can show while no map of all streams' heads is
sealed (docs/decisions/0024). Who has to know it has every entry hashed up to the cosigned root, which then holds
exactly the events that were read: `complete`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import ProofInvalid, Rejected, UnknownFormat, closest, shown
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.evidence.tiles import WIDTH
from ledger.evidence.tree import Frontier
from verifier import identity, indexes, spans
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report
from verifier.stored import Unreadable
from verifier.tiled import check, newest
from verifier.tiled.copies import CopyNodes
from verifier.tiled.databases import Region

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""

NOT_COVERED: Final = [
    "other streams, rules, keys, read models and guards: `full` checks them",
    indexes.NOT_LOOKED_UP,
    "whether a larger checkpoint was signed since: `open` asks the witnesses",
    "events that were never appended: reconcile with the venue",
]
NOT_COMPLETE: Final = (
    "that version {version} is the stream's last, and that the database's index hides none: this rests on the region's "
    "word; --complete hashes every event up to the cosigned root"
)
UNREAD: Final = "events: whose rows they are is not known"


class _Walk:
    """One walk along a stream."""

    def __init__(self, nodes: CopyNodes | None, stated: Checkpoint | None, findings: Findings) -> None:
        self._nodes, self._stated, self._findings = nodes, stated, findings
        self.version, self.seq, self.proven = 0, 0, 0
        self.places: dict[int, int] = {}
        """The version of each event of the stream, by its seq."""
        self.broken: list[int] = []

    def take(self, event: RecordedEvent) -> None:
        """Check the next event of the stream."""
        if event.stream_version == self.version:
            self._found("STREAM_GAP", "each version once", f"version {self.version} again", event.seq)
        elif event.stream_version != self.version + 1:
            missing = self.version + 1
            upto = f" to {event.stream_version - 1}" if event.stream_version > missing + 1 else ""
            self._found("STREAM_GAP", f"version {missing}{upto}", f"version {event.stream_version}", event.seq)
        if event.seq <= self.seq:
            self._found("STREAM_GAP", f"a seq after {self.seq}", str(event.seq), event.seq)
        self.version, self.seq = event.stream_version, event.seq
        self.places[event.seq] = event.stream_version
        try:
            entry = entries.encode(event)
        except Rejected:
            self.broken.append(event.seq)
            return
        if blake3(entry).digest() != event.hash:
            self.broken.append(event.seq)
        elif self._stated is not None and event.seq <= self._stated.size:
            self._prove(event, tree.leaf_hash(entry))

    def _found(self, kind: str, expected: str, actual: str, seq: int) -> None:
        self._findings.add([Finding(kind, expected, actual, seq=seq, column="stream_version")])

    def _prove(self, event: RecordedEvent, leaf: bytes) -> None:
        if self._stated is None or self._nodes is None:
            return
        index, size = event.seq - 1, self._stated.size
        try:
            proof = tree.prove_inclusion(self._nodes.read(), index, size)
            tree.check_inclusion(leaf, index, size, proof, self._stated.root)
            self.proven += 1
        except (UnknownFormat, ProofInvalid) as error:
            self._findings.add([Finding("TREE_MISMATCH", f"event {event.seq} in root {self._stated.root.hex()}",
                                        str(error), seq=event.seq)])  # fmt: skip


def verify(region: Region, stream: str, trust: Policy, is_complete: bool, tell: Tell) -> Report:
    """
    Return the report on one stream; *is_complete* has every event hashed that the newest accepted checkpoint covers.

    Raises:
        Unreadable: there is no such stream, no checkpoint, or the policy is for other logs.
    """
    started = time.monotonic()
    settled = identity.settle(region, trust.origins())
    found = newest.of_region(region, trust) if settled.readable else newest.Newest(None, [])
    findings = Findings()
    findings.add([*settled.findings, *found.findings])
    stated = None if found.trusted is None else found.trusted.checkpoint
    walk = _Walk(None if stated is None else CopyNodes(region, stated.size), stated, findings)
    for count, event in enumerate(region.of_stream(stream) if settled.readable else (), 1):
        walk.take(event)
        tell("checking events", count)
    findings.add(region.zeros)
    cut = _cut_off(region, stated) if settled.readable else []
    # Asked first: a stream of which nothing is here may be one that was renamed as a whole.
    missed = [*complete(region, stream, stated, walk.places, tell)] if stated is not None and is_complete else []
    if settled.readable and not walk.places and not (missed or cut):
        near = closest(stream, region.near_streams(stream))
        raise Unreadable(f"no event of {region.origin} is of stream {shown(stream)}{near}; streams are named as in "
                         "account/A-1 or order/O-17")  # fmt: skip
    for seq in walk.broken:
        findings.add(x for x in check.events(region, seq, seq).findings if x.actual != "zeros")
    findings.add([*cut, *missed])
    listed = findings.all(None)
    # That all events together make another root says that some were changed, and nothing of the checkpoint.
    seen = found.seen([one for one in listed if one not in missed])
    read = spans.of_seqs(walk.places)
    return Report(
        BROKEN if listed else VERIFIED, region.origin, region.chain.mode, len(walk.places),
        {"seq": region.chain.seq, "hash": region.chain.hash.hex()}, listed, {"events": len(walk.places)},
        _covered(stream, walk, found, is_complete, is_good=not listed) if walk.places else [],
        [*(_left(walk, stated, is_complete) if settled.readable else [UNREAD]), *NOT_COVERED], settled.assumed,
        spans.whole_up_to(read, listed),
        round(time.monotonic() - started, 3), checkpoints=seen, trusted=found.words(), spans=read,
    )  # fmt: skip


def _cut_off(region: Region, stated: Checkpoint | None) -> list[Finding]:
    """Return that the region has fewer events than a checkpoint covers or its head names: any may be of the stream."""
    size = region.size()
    cut = [] if stated is None else newest.cut_off(size, stated)
    return cut or [one for one in region.head(size) if one.kind == "TRUNCATED"]


def _covered(stream: str, walk: _Walk, found: newest.Newest, is_complete: bool, *, is_good: bool) -> list[str]:
    """Return what was checked: as what it came to where all *is_good*, else as what was asked."""
    versions = f"versions 1 to {walk.version}, each" if is_good else "whether its versions are each there"
    said = [
        f"stream {stream}: {versions} once, without a gap and in the order of the chain",
        "every column of these events, against its hash",
    ]
    if found.trusted is not None:
        size = found.trusted.checkpoint.size
        said += [f"that {walk.proven} of them stand in the cosigned root, by an inclusion proof each", found.sentence()]
        if is_complete and is_good:
            said.append(
                f"that events 1 to {size} have no other event of this stream: all of them make the cosigned root"
            )
        elif is_complete:
            said.append(f"whether events 1 to {size} make the cosigned root, and have no other event of this stream")
    return said


def _left(walk: _Walk, stated: Checkpoint | None, is_complete: bool) -> list[str]:
    size = 0 if stated is None else stated.size
    past = sum(seq > size for seq in walk.places)
    left = [] if is_complete and stated is not None else [NOT_COMPLETE.format(version=walk.version)]
    if past:
        left.append(f"the last {past} events of the stream, after event {size}: no accepted checkpoint covers them yet")
    elif is_complete:
        left.append(f"events of the stream after event {size}, should there be any that the index hides")
    return left


def complete(region: Region, stream: str, stated: Checkpoint, places: dict[int, int], tell: Tell) -> Iterable[Finding]:
    """
    Yield what is wrong once every event up to a checkpoint is hashed and asked for its stream.

    *places* has the version of each event of the stream that was found, by its seq.
    """
    edge, count = Frontier(), 0
    for event in region.between(1, stated.size):
        count += 1
        try:
            edge.add(tree.leaf_hash(entries.encode(event)))
        except Rejected:
            edge.add(tree.EMPTY_ROOT)  # as no leaf hashes: the root will not be the one that was signed
        if event.stream == stream and places.get(event.seq) != event.stream_version:
            yield Finding("STREAM_GAP", f"version {event.stream_version}", "the index does not lead to it",
                          seq=event.seq, column="stream")  # fmt: skip
        if count % WIDTH == 0:
            tell("hashing every event", count)
    if edge.root() != stated.root:
        yield Finding("TREE_MISMATCH", f"root {stated.root.hex()} of {stated.size} events, which was cosigned",
                      f"root {edge.root().hex()} of {count} events: one is missing or was changed, so that what this "
                      "stream had is not known; `full` names it", seq=stated.size)  # fmt: skip
