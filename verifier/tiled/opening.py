"""
Say at each start whether this database is the one that others have seen: not an older copy of it, and not another.

Whoever starts a region from a backup has a history that is whole and too short. Nothing in it shows that; the signer
and the witnesses do, who remember the newest checkpoint. So they are asked, and what they show is held against the
head, the tiles and the checkpoints here. It takes milliseconds and reads no more than a few rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from ledger.chain import entry as entries
from ledger.errors import Rejected, UnknownFormat
from ledger.evidence import tree
from ledger.evidence.policy import Policy, Trusted
from ledger.evidence.tree import Frontier
from ledger.evidence.witness import Evidence
from verifier import absent, identity, indexes
from verifier.conviction import hashes_to
from verifier.region import doubled
from verifier.report import BROKEN, VERIFIED, Finding, Report
from verifier.sealed import not_here_yet
from verifier.stored import Unreadable
from verifier.tiled import gathered, newest
from verifier.tiled.copies import CopyNodes
from verifier.tiled.databases import Region
from verifier.tiled.outside import Answers, Shown
from verifier.tiled.rotten import Rotten

TAIL_LIMIT: Final = 100_000
"""How many events past the tiles are hashed to know a root, a second's worth; who has more lets the sealer go on."""
CLOCKS_NS: Final = 10**9
"""How far the clocks of this process and of the database may differ, as for an append."""
AHEAD_NS: Final = 5 * 10**9
"""How far the head may be ahead of the database's clock, as for an append."""
OLDEST_VERSION: Final = 150_000
SAFE: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    "data_checksums": ("on",),
    "server_encoding": ("UTF8",),
    "session_replication_role": ("origin",),
    "ignore_checksum_failure": ("off",),
    "zero_damaged_pages": ("off",),
}
"""The settings without which a commit can be lost, text change, or a guard be passed by, and what each may be."""

NOT_COVERED: Final = [
    "the events themselves: `full`, `scrub` and `sample` read them",
    "what witnesses have seen who did not answer, where those who did make up the quorum without them",
    "triggers, grants and functions: `full` checks them",
    indexes.NOT_LOOKED_UP,
    "events that were never appended: reconcile with the venue",
]


class Opened(msgspec.Struct):
    """
    The report on the start, and what convicts a log that was shown with another history than is here.
    """

    report: Report
    evidence: list[Evidence]


class _Opening:
    """What is known of one region at its start, and what is wrong."""

    def __init__(self, region: Region, *, readable: bool) -> None:
        """Begin with a region; it is not *readable* where nobody knows whose events these are."""
        self._region, self._readable = region, readable
        self.size, self._leaves = region.size(), region.tree_size()
        self.row = next(region.newest_checkpoints(), None)
        self.findings: list[Finding] = []
        self.evidence: list[Evidence] = []
        self._roots: dict[int, bytes] = {}
        self.unknown: list[str] = []
        """What others have seen signed and cannot be told of this region, as sentences."""

    def found(self, kind: str, expected: str, actual: str, **place: object) -> None:
        self.findings.append(Finding(kind, expected, actual, **place))  # type: ignore[arg-type]

    def head(self) -> None:
        """Hold the head's row against the last event."""
        chain, key = self._region.chain, (self._region.origin,)
        self.findings += doubled(self._region, chain)
        if wrong := self._region.head(self.size):
            self.findings += wrong
            return
        event = next(self._region.between(self.size, self.size), None)
        if event is None:
            return
        if self._readable and not hashes_to(event, event.hash):
            self.found("BYTES_MODIFIED", f"bytes of hash {event.hash.hex()}", "other bytes", seq=event.seq)
        for column in ("hash", "recorded_at", "epoch"):
            expected, actual = getattr(event, column), getattr(chain, column)
            if expected != actual:
                self.found("HEAD_MISMATCH", absent.shown(expected), absent.shown(actual), table="chain_heads", key=key,
                           column=column)  # fmt: skip

    def surroundings(self, now_ns: int) -> None:
        """Check the server's settings and the clocks."""
        settings = self._region.settings()
        for name, good in SAFE.items():
            actual = settings.get(name, "unknown")
            if actual not in good:
                self.found("GUARD_CHANGED", good[0], actual, table="settings", key=(name,))
        if int(settings["server_version_num"]) < OLDEST_VERSION:
            self.found("GUARD_CHANGED", "version 15 or newer", settings["server_version_num"], table="settings",
                       key=("server_version_num",))  # fmt: skip
        clock = self._region.now()
        if abs(clock - now_ns) > CLOCKS_NS:
            self.found("CLOCK", f"the time {now_ns} of this machine, give or take {CLOCKS_NS} ns", str(clock),
                       table="settings", key=("clock_timestamp",))  # fmt: skip
        if self._region.chain.recorded_at > clock + AHEAD_NS:
            self.found("CLOCK", f"at most {clock + AHEAD_NS}", str(self._region.chain.recorded_at), table="chain_heads",
                       key=(self._region.origin,), column="recorded_at")  # fmt: skip

    def root_at(self, size: int) -> bytes:
        """
        Return the root of the first *size* events, from the tiles, and past them from the events.

        Raises:
            UnknownFormat: a tile is missing, or an event has no entry.
            Unreadable: too many events are past the tiles.
        """
        if size not in self._roots:
            self._roots[size] = self._root_at(size)
        return self._roots[size]

    def _root_at(self, size: int) -> bytes:
        covered = min(self._leaves, size)
        if size - covered > TAIL_LIMIT:
            raise Unreadable(
                f"the tiles end at {covered} events and a checkpoint of {size} is to be held against them: let "
                "`tradeledger seal` or `tradeledger cosign` go on, or verify with `full --expect`"
            )
        nodes = CopyNodes(self._region, covered)
        edge = Frontier(covered, nodes.read()(tree.complete_nodes(0, covered)) if covered else ())
        for event in self._region.between(covered + 1, size) if size > covered else ():
            try:
                edge.add(tree.leaf_hash(entries.encode(event)))
            except Rejected as error:
                raise UnknownFormat(f"found event {event.seq} without an entry: {error}") from error
        if edge.size != size:
            raise UnknownFormat(f"found {edge.size} of {size} events")
        return edge.root()

    def beside(self, size: int) -> str:
        """
        Return what is said beside a checkpoint of *size* that is shown outside and that the region does not keep.

        A moment later it may: it is kept once all have cosigned it. So nobody is accused, and whoever reads it can ask
        again. A replica keeps none.
        """
        if not 0 < size <= self.size or self._region.chain.mode == "replica" or self._region.checkpoint_of(size):
            return ""
        return ", which is not kept here"

    def kept(self) -> None:
        """Hold the largest checkpoint that the region keeps against the events and the tiles."""
        row = self.row
        if row is None:
            return
        if row.size > self.size:
            self.found("TRUNCATED", f"{row.size} events, which a checkpoint covers", f"{self.size} events",
                       seq=self.size + 1, table="checkpoints", key=(str(row.size),), column="size")  # fmt: skip
            return
        self._root(row.size, row.root, "the checkpoint that is kept here", None)

    def shown(self, said: Shown) -> None:
        """Hold what somebody outside shows against what is here."""
        stated = said.stated
        if stated.size > self.size and self._region.chain.mode == "replica":
            seen = f"the {stated.size} that {said.who} has seen signed"
            self.unknown.append(not_here_yet(self.size, stated.size, seen))
            return
        if stated.size > self.size:
            self.found("ROLLBACK", f"{stated.size} events, which {said.who} has seen signed: {said.signed.decode()}",
                       f"{self.size} events", seq=self.size + 1)  # fmt: skip
            return
        self._root(stated.size, stated.root, said.who, said.signed)

    def _root(self, size: int, root: bytes, who: str, signed: bytes | None) -> None:
        if not self._readable and size > self._leaves:
            self.unknown.append(f"events {self._leaves + 1} to {size}, which no tile holds: whose rows they are is not "
                                "known")  # fmt: skip
            return
        try:
            made = self.root_at(size)
        except UnknownFormat as error:
            self.found("TREE_MISMATCH", f"a root of {size} events", str(error), table="tiles", key=())
            return
        if made == root:
            return
        mine = self._region.checkpoint_of(size)
        if signed is None or (mine is not None and mine.root == root):
            # What was signed is agreed upon; the tiles here, or the events below them, are not what was signed.
            self.found("TREE_MISMATCH", f"root {root.hex()}, as {who} says", f"root {made.hex()}, by the tiles",
                       seq=size, table="tiles", key=())  # fmt: skip
            return
        covered = min(self._leaves, size)
        nodes = CopyNodes(self._region, covered)
        rotten = Rotten(self._region, nodes, covered).among(tree.complete_nodes(0, covered)) if mine is None else []
        if rotten:
            self.findings += (finding for finding in rotten if finding not in self.findings)
            self.unknown.append(f"whether these are the {size} events that {who} has seen signed: tiles that would "
                                "show it are broken, so mend them and ask again")  # fmt: skip
            return
        here = mine if mine is not None else self.row
        said = "" if here is None else f", in: {here.note.decode(errors='replace')}"
        self.found("INCONSISTENT", f"root {root.hex()} of {size} events, as {who} has seen signed: {signed.decode()}",
                   f"root {made.hex()}{said}", seq=size)  # fmt: skip
        if here is not None:
            self.evidence.append(Evidence(signed, here.note, ()))


def verify(
    region: Region,
    trust: Policy,
    ask: Callable[[Trusted | None], Answers],
    max_age: int | None,
    now_ns: Callable[[], int],
) -> Opened:
    """
    Return the report on a region at its start, and evidence against its log if others were shown another history.

    *ask* asks those outside, given the newest accepted checkpoint that is kept here; *max_age* is for how many seconds
    a cosignature is fresh; *now_ns* returns this machine's time in nanoseconds since 1970.

    Raises:
        Unreadable: there is nothing to check, or too few answer for anything to be known.
    """
    started = time.monotonic()
    settled = identity.settle(region, trust.origins())
    if settled.readable:
        newest.check_origin(trust, region.origin)
    opening = _Opening(region, readable=settled.readable)
    opening.findings += settled.findings
    opening.head()
    opening.surroundings(now_ns())
    opening.kept()
    kept, _ = gathered.newest(trust, region.newest_checkpoints(), region.origin, ())
    answers = ask(kept)
    for said in answers.shown:
        opening.shown(said)
    trusted, wrong = gathered.newest(trust, region.newest_checkpoints(), region.origin, answers.shown)
    opening.findings += wrong
    known = trust.is_met(answers.answered) and bool(answers.answered or answers.has_signer)
    if trusted is None and known and (opening.row or any(said.stated.size for said in answers.shown)):
        opening.findings.append(newest.unmet(trust, "none of those that are kept here or shown outside"))
    if trusted is not None and max_age is not None:
        _age(opening, trusted, max_age, now_ns() // 10**9)
    if not opening.findings:
        _must_be_known(opening, trusted, answers, known, trust)
    found = opening.findings
    counted = {"checkpoints": int(opening.row is not None)}
    rests_on = newest.Newest(trusted, [])
    report = Report(
        BROKEN if found else VERIFIED, region.origin, region.chain.mode, opening.size,
        {"seq": region.chain.seq, "hash": region.chain.hash.hex()}, found, counted,
        _covered(opening, trusted, answers), _not_covered(opening, trusted, answers, max_age),
        [f"the region is {region.chain.mode}"],
        0, round(time.monotonic() - started, 3), checkpoints=rests_on.seen(found),
        trusted=rests_on.words(), spans=[],
    )  # fmt: skip
    return Opened(report, opening.evidence)


def _age(opening: _Opening, trusted: Trusted, max_age: int, now: int) -> None:
    last = max((seconds for _, seconds in trusted.witnesses), default=None)
    if last is None or now - last > max_age:
        actual = "no cosignature" if last is None else f"the newest is of {last}, {now - last} s ago"
        opening.found("STALE", f"a cosignature of the last {max_age} s", actual, table="checkpoints",
                      key=(str(trusted.checkpoint.size),))  # fmt: skip


def _must_be_known(opening: _Opening, trusted: Trusted | None, answers: Answers, known: bool, trust: Policy) -> None:
    """Raise Unreadable where nothing is wrong for the reason that too little is known, or is here."""
    if opening.unknown:
        raise Unreadable(f"nothing is wrong with this replica but that it lacks {opening.unknown[0]}; let it catch "
                         "up and ask again, or start read-only")  # fmt: skip
    if not known:
        silent = "; ".join(answers.silent) or "the policy lists no witness and no --signer is given"
        raise Unreadable(f"too few of those answer who would know of more events than the {opening.size} here, and the "
                         f"policy's quorum is {trust.quorum}: {silent}; start read-only, or ask again")  # fmt: skip
    if trusted is None:
        raise Unreadable("no checkpoint of this chain is kept here, and nobody who answered has seen one: seal it "
                         "first, with `tradeledger seal`")  # fmt: skip


def _covered(opening: _Opening, trusted: Trusted | None, answers: Answers) -> list[str]:
    said = [
        f"{shown.who} shows a checkpoint of {shown.stated.size} events{opening.beside(shown.stated.size)}"
        for shown in answers.shown
    ]
    said += answers.without
    if trusted is not None:
        said.append(newest.Newest(trusted, []).sentence())
    return [
        "the head's row, against the last event and its bytes",
        "that no larger checkpoint, and none of another root, is kept here or known to those who were asked",
        *said,
        "the settings of the server that could lose a commit, and its clock",
    ]


def _not_covered(opening: _Opening, trusted: Trusted | None, answers: Answers, max_age: int | None) -> list[str]:
    left = [*opening.unknown, *(f"what it has seen: {said}" for said in answers.silent)]
    if trusted is not None and trusted.checkpoint.size < opening.size:
        left.append(f"events {trusted.checkpoint.size + 1} to {opening.size}, which no accepted checkpoint covers yet: "
                    "should they be gone or others, receipts show it")  # fmt: skip
    if max_age is None:
        left.append("how old the newest cosignature is: give --max-age")
    return [*left, *NOT_COVERED]
