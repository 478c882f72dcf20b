"""
Collect findings, and say what was checked and what was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

VERIFIED: Final = "verified"
BROKEN: Final = "broken"
NOT_VERIFIED: Final = "could not verify"


LISTED: Final = 1000
"""How many findings of one class in one table are listed; more are counted, so that memory and reader can bear it."""

_CONSEQUENT: Final = frozenset(
    {
        "GROUP_PARTIAL",
        "KEY_MISMATCH",
        "STATE_MISMATCH",
        "PROJECTION_MISMATCH",
        "HELD_MISMATCH",
        "COMMIT_MISMATCH",
        "ACK_MISMATCH",
    }
)
"""Classes that a missing event brings about by itself, wherever the history is followed past it."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One thing that is wrong: its class, where it is, and what was expected and found there.

    Where it is says `seq`, or `table` and `key`; no column means the whole row. `column` may name several suspects,
    where the bytes cannot tell them apart. `after` is the seq of an event that is missing or whose content is not
    known: the finding may follow from that alone.
    """

    kind: str
    expected: str
    actual: str
    seq: int | None = None
    table: str | None = None
    key: tuple[str, ...] | None = None
    column: str | None = None
    after: int | None = None

    def place(self) -> str:
        """
        Return where it is as words: the event, or the table and the row's key, and the column.
        """
        place = f"event {self.seq}" if self.table is None else f"{self.table} {'/'.join(self.key or ())}".rstrip()
        if self.table is not None and self.seq is not None:
            place = f"{place}, event {self.seq}"
        return f"{place}, column {self.column}" if self.column else place

    def sentence(self) -> str:
        """
        Return the finding as one line of text.
        """
        actual = short(self.actual).removeprefix("found ")
        return f"{self.kind}: {self.place()}: expected {short(self.expected)}, found {actual}"


def short(text: str) -> str:
    """
    Return *text*, or its beginning and its length where it is too long to be read in a line.
    """
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


class Findings:
    """
    All that is wrong, by class and table no more than `LISTED` of it word for word.
    """

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, found: Iterable[Finding]) -> None:
        """
        Take in findings.
        """
        for finding in found:
            place = (finding.kind, finding.table or "events")
            self._counts[place] += 1
            if self._counts[place] <= LISTED:
                self._listed.append(finding)

    def take(self, others: Findings) -> None:
        """
        Take in all that *others* have, counted as there.
        """
        self.add(others._listed)
        for place, count in others._counts.items():
            self._counts[place] += max(0, count - LISTED)

    def all(self, lost: int | None) -> list[Finding]:
        """
        Return them, first those that stand by themselves; *lost* is the first event whose content is not known.
        """
        found = [
            msgspec.structs.replace(x, after=lost)
            if lost is not None and x.kind in _CONSEQUENT and (x.seq is None or x.seq >= lost) else x
            for x in self._listed
        ]  # fmt: skip
        # Of those that are counted it is not known where they are: they follow where all that are listed do.
        own = {(x.kind, x.table or "events") for x in found if x.after is None}
        found += [
            Finding(kind, "nothing more", f"{count - LISTED} more of this class", table=table, key=(),
                    after=None if (kind, table) in own else lost)
            for (kind, table), count in self._counts.items()
            if count > LISTED
        ]  # fmt: skip
        return sorted(found, key=lambda finding: finding.after is not None)


class Cosigned(msgspec.Struct, frozen=True):
    """
    Who cosigned a checkpoint, by the policy's name for them, and when: seconds since 1970.
    """

    name: str
    seconds: int


class SeenCheckpoint(msgspec.Struct, frozen=True):
    """
    A checkpoint that a verification met: the size and root (hexadecimal) that it states and who cosigned it.

    `accepted` says that the policy accepts it and that the events have this root.
    """

    size: int
    root: str
    cosigned: tuple[Cosigned, ...] = ()
    accepted: bool = True


class Report(msgspec.Struct):
    """
    What a verification found and covered; `vouched` is what only the region itself says, for the auditor to judge.

    `trusted` says on whose word it rests, `proven` what follows from it that is not said by `covered`, as sentences.
    `spans` are the first and last seqs of the runs of events that were read; None where that is all of them.
    """

    verdict: str
    origin: str
    region_mode: str
    events: int
    head: dict[str, Any]
    findings: list[Finding]
    rows: dict[str, int]
    covered: list[str]
    not_covered: list[str]
    vouched: list[str]
    last_good_seq: int
    seconds: float
    schema_version: int = 1
    checkpoints: list[SeenCheckpoint] = msgspec.field(default_factory=list)
    trusted: list[str] = msgspec.field(default_factory=list)
    proven: list[str] = msgspec.field(default_factory=list)
    spans: list[tuple[int, int]] | None = None

    def split(self) -> tuple[list[Finding], list[Finding]]:
        """
        Return the findings that stand by themselves, and those that may only follow from an event that is not known.
        """
        own = [finding for finding in self.findings if finding.after is None]
        return own, [finding for finding in self.findings if finding.after is not None]

    def by_kind(self) -> Counter[str]:
        """
        Return how many findings there are of each class.
        """
        return Counter(finding.kind for finding in self.findings)


class Ended(msgspec.Struct, frozen=True):
    """
    A verification that came to no report: its verdict, a stable code, and what was found and what to do.
    """

    verdict: str
    code: str
    message: str
    schema_version: int = 1


Outcome = Report | Ended

HELD: Final = "that what accounts hold is what their open orders and holds do"
TREE: Final = (
    "every hash of the tree over the events, as far as its tiles have it, and every checkpoint: its root, what it says "
    "and that a key which the chain names for checkpoints signed it"
)
AROUND: Final = [
    "rows of chain numbers that no chain of this database has",
    "tables, columns, triggers, functions, grants, constraints, policies and rules of the schema; event triggers, the "
    "roles that may write, and settings that would turn guards off",
]
"""What is checked whoever's the events are."""
EVENTS: Final = [
    "every column of every event, against its hash and the hash chain from the genesis of this origin",
    "seqs, recorded times, event ids, groups, stream versions, idempotency keys and request hashes",
]
COVERED: Final = [
    *EVENTS,
    "every rule and consequence, by replaying the fold",
    HELD,
    "every row and column of every read model, the state digest, commits, the head and the chain's own row",
    "what is kept for reads of the past: every version of every row up to its watermark, and the rows of snapshots",
    TREE,
    "what replicas acknowledged: signatures, hashes and state digests",
    *AROUND,
]
COVERED_BEFORE: Final = [
    *EVENTS,
    "every rule of the events before {0}, by replaying the fold; the state digests of commits before it",
    "every version up to its watermark that the events before {0} made, and the snapshots before it",
    "where commits end, the head and the chain's own row",
    "every hash of the tree over the events, as far as its tiles have it, and every checkpoint: its root and what it "
    "says",
    "what replicas acknowledged under keys that events before {0} name: signatures, hashes and state digests before it",
    *AROUND,
]
"""What is checked where event {0} is one that only a newer program knows."""
NO_POLICY: Final = (
    "a rewrite of all rows, chain, tree and read models alike, under whatever keys: no policy was given, so nobody "
    "outside was believed; give --policy"
)
NOT_COVERED: Final = [
    "events after the newest checkpoint that others have cosigned, should all rows be rewritten: compare with receipts",
    "that a checkpoint is missing or when exactly it was sealed, and how far tiles and checkpoints should be by now",
    "rows that only this region vouches for, listed under what it says of itself: which login may write for which "
    "source (source_logins), how far a replica has read (replica_state), what was repaired (history_changes), and "
    "whether the region is primary (chain_heads.mode)",
    "that an acknowledgement is missing or older than the replica's last, and the exact time when one arrived",
    "that a snapshot is missing or when it was made (snapshots.made_at), and how far histories should be by now",
    "where one transaction ended and the next began, as long as both boundaries are of this history",
    "logins that are superusers or own the server's files: no guard inside the database stops them, and they may have "
    "exchanged PostgreSQL's own programs, operators and functions",
    "events that were never appended: reconcile with the venue",
    "other regions and the topic between them: verify each, and compare their heads",
]
