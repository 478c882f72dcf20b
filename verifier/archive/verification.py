"""
Verify a whole archive, or a run of its bundles, and make the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from ledger.archiving.layout import CHECKPOINT
from ledger.archiving.places import open_store
from ledger.archiving.stores import Readable, TooLong
from ledger.errors import InvalidInput, UnknownFormat
from ledger.evidence import segments, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, VerifierKey
from ledger.evidence.policy import Policy
from ledger.evidence.tiles import WIDTH, leaf_tile
from verifier import processes
from verifier.archive import checkpoints
from verifier.archive.joining import Joining
from verifier.archive.ranges import RANGE_BUNDLES, Range, check_range, is_of_segment, without_payloads
from verifier.archive.resuming import Kept, Task
from verifier.archive.seams import finding
from verifier.archive.signed_tree import nodes_of
from verifier.archive.unread import Noting, Unread, sentence
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report, SeenCheckpoint
from verifier.revocations import KeyHistory
from verifier.spans import first_of
from verifier.stored import Unreadable, worker_ended
from verifier.vouching import Judged, before_its_events

_BUNDLES: Final = "tile/entries/"
AHEAD: Final = 3
"""How many ranges a worker may have done or in hand that wait for an earlier one: what they found is in memory."""

SPARE_BUNDLES: Final = 1000
"""How many more bundles are looked for than there are files of bundles; so many may be missing and are named."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""

COVERED: Final = [
    "every byte of every entry, against the hash chain from the genesis of this origin and against the signed root",
    "every payload and salt, against its entry, and what was given against its group's request hash",
    "seqs, recorded times, event ids and groups",
    "every tile of this size, against the entries below it",
    "every checkpoint in the archive: signatures, by keys that neither policy nor events have revoked, the policy's "
    "quorum for the newest, and its root",
]
NOT_COVERED: Final = [
    "whether a larger checkpoint was signed since: ask the witnesses of the policy",
    "that an older checkpoint of the archive is missing",
    "rules, balances and positions: verify the database, or replay the events",
    "events that were never appended: reconcile with the venue",
]


UNREAD: Final = "what could not be read, and all that is in it"
UNKNOWN_KEYS: Final = "which keys were revoked by events whose content is not known: what those keys signed counts here"
_CONTENT: Final = ("ARCHIVE_MISSING", "BYTES_MODIFIED", "PAYLOAD_MISMATCH")
"""Classes of findings about entries and payloads after which it is not known what an event says."""


class Wanted(msgspec.Struct, frozen=True):
    """
    What of an archive is to be verified, and how: by so many worker processes, from *first* to *last* seq (all of it,
    where they are not said), with earlier checkpoints to expect (file and bytes), and a file to resume from.
    """

    jobs: int = 1
    first: int | None = None
    last: int | None = None
    expected: tuple[tuple[str, bytes], ...] = ()
    state: Path | None = None


def verify(where: str, trust: Policy, tell: Tell, wanted: Wanted | None = None) -> Report:
    """
    Return the report on the archive at *where*, judged by the auditor's policy.

    Raises:
        Unreadable: there is no archive, or nothing that can be verified, or nothing is wrong but that some of it could
            not be read.
        Unavailable: the whole store cannot be read.
        InvalidInput: the archive has no events of the seqs that are wanted.
    """
    started, asked = time.monotonic(), wanted or Wanted()
    store = Noting(open_store(where))
    try:
        signed = store.read(CHECKPOINT)
    except TooLong as error:
        raise Unreadable(f"{error}, so there is nothing to verify") from error
    if signed is None:
        raise Unreadable(f"{where} holds no {CHECKPOINT}, so there is nothing to verify; name the place of an archive")
    findings, judged = Findings(), checkpoints.judge(store, trust, signed)
    stated = judged.stated
    findings.add(judged.findings)
    for name, known in asked.expected:
        findings.add(checkpoints.compare(store, name, known, signed, judged))
    chain_id = checkpoints.chain_id_of(store, stated, findings)
    numbers, wrong = _borne_out(store, stated, _bundles(asked, stated.size))
    findings.add(wrong)
    kept = Kept(asked.state, Task(store.place, sha256(signed).hexdigest(), numbers.start, numbers.stop))
    joining, good = Joining(store, stated, chain_id, numbers.start), _Good(not len(findings))
    keys, unread, lost = KeyHistory(), list[int](), list[int]()
    for done in _checked(where, stated, chain_id, numbers, asked.jobs, kept):
        wrong = joining.add(done)
        findings.add(wrong)
        good.take(done, wrong, joining.events)
        unread += done.unread
        store.noted |= done.noted
        lost = sorted([*lost, *_lost(done, wrong)])[:1]
        for event in done.keys:
            keys.take(event.seq, event.event_type, event.schema_version, event.given)
        tell("checking events", joining.events)
    findings.add(joining.end())
    findings.take(joining.settled())
    whole = joining.events == stated.size
    if whole:
        trust, before = trust.revoking(keys.revoked()), judged
        findings.add(_of_keys(keys, stated.size, lost))
        judged = checkpoints.judge(store, trust, signed)
        findings.add(one for one in judged.findings if one not in before.findings)
        if joining.last is not None:
            place = segments.path(leaf_tile((stated.size - 1) // WIDTH, stated.size))
            findings.add(before_its_events(trust, judged.trusted, stated.size, joining.last.recorded_at,
                                           table="archive", key=(place,)))  # fmt: skip
    elif joining.astray is not None:
        told = {(one.kind, one.key, one.column) for one in findings.all(None)}
        wrong = list(_gone_astray(store, stated, joining.astray))
        findings.add(one for one in wrong if (one.kind, one.key, one.column) not in told)
    tell("checking checkpoints", 0)
    beside = _others(
        store, trust, signed, judged, findings, keys if whole else KeyHistory(), is_known=whole and not lost
    )
    found = findings.all(None)
    if store.noted and not found:
        raise Unreadable(
            f"nothing is wrong with what could be read of {where}, and {len(store.noted)} of its files could not be: "
            f"{sentence(store.noted)}; see that they can be read, or verify another copy"
        )
    if not store.noted:
        kept.forget()
    first, last = numbers.start * WIDTH + 1, numbers.start * WIDTH + joining.events
    return Report(
        BROKEN if found else VERIFIED, stated.origin, "archive", joining.events, _head(stated, joining), found,
        {"bundles": len(numbers)}, list(COVERED) if whole else _covered(first, last),
        [*NOT_COVERED, *([f"{UNREAD}: {sentence(store.noted)}"] if store.noted else []),
         *without_payloads(unread, stated.size), *([UNKNOWN_KEYS] if whole and lost else []), *beside,
         *_left_out(stated, first, last, kept.events)],
        [],
        good.events(joining) if first == 1 and not _is_forked(found) else 0, round(time.monotonic() - started, 3),
        checkpoints=[_seen(judged, found, store.noted)], trusted=judged.sentences(trust),
        spans=None if whole else [(first, last)],
    )  # fmt: skip


def _others(
    store: Noting,
    trust: Policy,
    signed: bytes,
    judged: Judged,
    findings: Findings,
    keys: KeyHistory,
    *,
    is_known: bool,
) -> list[str]:
    """
    Judge what lies beside the newest checkpoint and its events; return what of it was not checked.

    Of the *keys* that the chain names all are known, or some: then one that is not among them may be its own.
    """
    size = judged.stated.size
    newer, wrong = checkpoints.grown(store, trust, signed, judged.stated)
    findings.add(wrong)
    named = [checkpoints.NamedKey(VerifierKey(judged.stated.origin, ED25519, key), first, last)
             for key, first, last in keys.checkpoint_keys()]  # fmt: skip
    wrong, unknown = checkpoints.older(store, trust, judged, newer, named if is_known else None)
    findings.add(wrong)
    since = [] if newer is None else [f"events {size + 1} to {newer.size}, which were archived meanwhile"]
    return [*checkpoints.other_policy(store.files, trust, keys.revoked()), *unknown, *since]


class _Good:
    """How many events from the first are whole, as ranges come in; what is wrong with a tile is wrong with no event."""

    def __init__(self, begins: bool) -> None:
        self._goes_on = self._sure = begins
        self._events = self._sure_of = 0

    def take(self, done: Range, found: list[Finding], reached: int) -> None:
        """Take what is wrong in a range and before it, after which so many events were checked."""
        wrong = [one for one in found if not _of_a_tile(one)]
        # What follows from another event adds nothing to that; of a segment that is none, no payload was read.
        # Where none is named, none is safe.
        firsts = [first_of(one) or 1 for one in wrong if one.after is None or is_of_segment(one)]
        firsts += [number * WIDTH + 1 for number in done.unread]
        if self._goes_on and firsts:
            # All before the first event of which anything is wrong are whole.
            self._events = max(self._events, min(firsts) - 1)
        self._goes_on &= not wrong and not done.unread
        self._sure &= self._goes_on and not done.doubts
        self._events = reached if self._goes_on else self._events
        self._sure_of = reached if self._sure else self._sure_of

    def events(self, joining: Joining) -> int:
        """Return how many, once all is joined: none where nothing is wrong but that they lead to another root."""
        count = self._events if joining.is_signed else self._sure_of
        return count if joining.is_rooted or count < joining.events else 0


def _is_forked(found: Sequence[Finding]) -> bool:
    """Whether the log's key has signed another history as well: then nothing tells which of both is true."""
    return any(one.kind == "CHECKPOINT_INCONSISTENT" for one in found)


def _of_a_tile(one: Finding) -> bool:
    path = (one.key or ("",))[0]
    return path.startswith("tile/") and not path.startswith(_BUNDLES)


def _lost(done: Range, wrong: Sequence[Finding]) -> Iterator[int]:
    """Yield the first event of each place in a range where it is not known what an event says, as of keys."""
    yield from (number * WIDTH + 1 for number in done.unread)
    yield from (first_of(one) or 1 for one in wrong if one.kind in _CONTENT and not _of_a_tile(one))


def _of_keys(keys: KeyHistory, size: int, lost: Sequence[int]) -> Iterator[Finding]:
    """
    Yield what is wrong with events about keys, as findings of the segments that hold them: it may follow from one
    before that is *lost*, such as the one that names the key.
    """
    for one in keys.findings:
        tile = leaf_tile(((one.seq or 1) - 1) // WIDTH, size)
        after = next((seq for seq in lost if seq < (one.seq or 1)), None)
        yield msgspec.structs.replace(one, table="archive", key=(segments.path(tile),), after=after)


def _seen(judged: Judged, found: list[Finding], noted: Mapping[str, str]) -> SeenCheckpoint:
    """Return the newest checkpoint as it was met: accepted where the policy takes it and the files have its root."""
    seen = judged.seen()
    # Of what could not be read it is not known.
    rooted = not noted and not any(one.kind == "TREE_MISMATCH" and one.key == (CHECKPOINT,) for one in found)
    return msgspec.structs.replace(seen, accepted=seen.accepted and rooted)


def _bundles(asked: Wanted, size: int) -> range:
    first, last = asked.first or 1, size if asked.last is None else asked.last
    if not 1 <= first <= last <= size:
        raise InvalidInput(f"found events {first} to {last} to verify; the archive holds 1 to {size}")
    return range((first - 1) // WIDTH, (last - 1) // WIDTH + 1)


def _borne_out(store: Noting, stated: Checkpoint, numbers: range) -> tuple[range, list[Finding]]:
    """
    Return which bundles to look for, and what is wrong where the files bear out far fewer than the checkpoint says.

    Any size can be signed, or written without a signature; only what is there costs whoever put it there something.
    """
    there = sum(name.startswith(_BUNDLES) for name in store.names())
    if len(numbers) <= there + SPARE_BUNDLES:
        return numbers, []
    looked_for = numbers[: there + SPARE_BUNDLES]
    if not store.is_listed:
        return looked_for, []
    expected = f"{len(numbers)} bundles of entries, for {stated.size} events"
    actual = f"{there} files of bundles; none was looked for from bundle {looked_for.stop} on"
    return looked_for, [finding("ARCHIVE_MISSING", expected, actual, CHECKPOINT, column="size")]


def _head(stated: Checkpoint, joining: Joining) -> dict[str, object]:
    last = joining.last
    at_end = last is not None and last.seq == stated.size
    return {"seq": stated.size, "hash": last.hash.hex() if last and at_end else "", "root": stated.root.hex()}


def _gone_astray(store: Readable, stated: Checkpoint, number: int) -> Iterator[Finding]:
    """Yield what is wrong where bundle *number* does not lead to the signed root: the tiles above, or else it."""
    try:
        made = tree.root_of(nodes_of(store, stated.size), stated.size)
    except UnknownFormat as error:
        yield finding("ARCHIVE_MISSING", f"tiles that make the root of {stated.size} entries", str(error), CHECKPOINT)
        return
    except Unread:
        return
    if made != stated.root:
        yield finding("TREE_MISMATCH", stated.root.hex(), made.hex(), CHECKPOINT, column="root")
    else:
        path, expected = (
            leaf_tile(number, stated.size).bundle_path(),
            f"entries of the tree with root {stated.root.hex()}",
        )
        yield finding("TREE_MISMATCH", expected, "others", path, column="root")


def _covered(first: int, last: int) -> list[str]:
    """Return what was checked of events *first* to *last* alone."""
    return [
        f"of events {first} to {last}: every byte of every entry, against the links between them and, by the tiles "
        "above, the signed root",
        f"of events {first} to {last}: payloads and salts, against their entries; seqs, times, event ids, groups and "
        "request hashes",
        "every checkpoint in the archive: signatures, by keys that the policy has not revoked, the policy's quorum for "
        "the newest, and its root",
    ]


def _left_out(stated: Checkpoint, first: int, last: int, resumed: int) -> list[str]:
    """Return what was not checked because it was not asked for, or was checked at another time."""
    said = []
    if first > 1:
        said.append(f"events 1 to {first - 1}, and the link of event {first} to them")
    if last < stated.size:
        said.append(f"events {last + 1} to {stated.size}")
    if first > 1 or last < stated.size:
        said.append("which keys the chain's own events have revoked: only those of the policy's lines were known")
        said.append("when events were recorded, against when witnesses had seen them: the whole archive is needed")
    if resumed:
        said.append(f"whether files of the {resumed} events that an interrupted run had checked were changed since")
    return said


def _checked(where: str, stated: Checkpoint, chain_id: bytes, numbers: range, jobs: int, kept: Kept) -> Iterator[Range]:
    """Yield what came out of each range, in order; those that were not kept are checked by so many processes."""
    is_part = numbers.stop * WIDTH < stated.size or numbers.start > 0
    ranges = [numbers[place : place + RANGE_BUNDLES] for place in range(0, len(numbers), RANGE_BUNDLES)]
    left = (one for one in ranges if one.start not in kept.firsts)
    if jobs == 1 or len(ranges) - len(kept.firsts) <= 1:
        for one in ranges:
            yield kept.take(one.start) or kept.keep(check_range(where, stated, chain_id, one, is_part))
        return
    with processes.pool(jobs) as pool:
        # Those that are left are given up with the pool.
        waiting: dict[int, Future[Range]] = {}
        try:
            for one in ranges:
                while len(waiting) < jobs * AHEAD and (further := next(left, None)) is not None:
                    waiting[further.start] = pool.submit(check_range, where, stated, chain_id, further, is_part)
                yield kept.take(one.start) or kept.keep(waiting.pop(one.start).result())
        except BrokenProcessPool as error:
            raise worker_ended() from error
