"""
Collect findings, and say what was checked and what was not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

VERIFIED: Final = "verified"
BROKEN: Final = "broken"
NOT_VERIFIED: Final = "could not verify"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One thing that is wrong: its class, where it is, and what was expected and found there.

    `where` is an event's seq, or a table; `key` is the row's. `column` may name several suspects, where the bytes
    cannot tell them apart.
    """

    kind: str
    expected: str
    actual: str
    seq: int | None = None
    table: str | None = None
    key: tuple[str, ...] | None = None
    column: str | None = None

    def sentence(self) -> str:
        """
        Return the finding as one line of text.
        """
        place = f"event {self.seq}" if self.table is None else f"{self.table} {'/'.join(self.key or ())}"
        column = f", column {self.column}" if self.column else ""
        return f"{self.kind}: {place}{column}: expected {_short(self.expected)}, found {_short(self.actual)}"


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


class Report(msgspec.Struct):
    """
    What a verification found and covered.
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
    last_good_seq: int
    seconds: float
    schema_version: int = 1

    def by_kind(self) -> Counter[str]:
        """
        Return how many findings there are of each class.
        """
        return Counter(finding.kind for finding in self.findings)


COVERED: Final = [
    "every column of every event, against its hash and the hash chain from the genesis of this origin",
    "seqs, recorded times, event ids, groups, stream versions, idempotency keys and request hashes",
    "every rule and consequence, by replaying the fold",
    "every row and column of every read model, the state digest, commits and the head",
    "what replicas acknowledged: signatures, hashes and state digests",
    "triggers, functions, grants and constraints of the schema",
]
NOT_COVERED: Final = [
    "a rewrite of all rows, chain and read models alike: compare the head with one that was kept outside",
    "rows that only this region vouches for: which login may write for which source, how far a replica has read, "
    "when an acknowledgement arrived, and whether the region is primary",
    "events that were never appended: reconcile with the venue",
    "other regions and the topic between them: verify each, and compare their heads",
]
