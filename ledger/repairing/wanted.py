"""
Say what a finding is about: which events to hold against a copy, which tables to make anew, or why neither.

Pure: a finding goes in, and what to look at comes out. A finding names a place, and what is wrong may stand at another
one as well (a moved row is missing where it was), so the numbers that it expected and found are looked at too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.domain.rows import TABLES
from ledger.repairing.plan import CHAINS
from ledger.repairing.reports import Found

INDEX_MISMATCH: Final = "INDEX_MISMATCH"
STRAY_ROWS: Final = "STRAY_ROWS"
UNKNOWN_FORMAT: Final = "UNKNOWN_FORMAT"
EVENTS: Final = "events"
CHECKPOINTS: Final = "checkpoints"
SNAPSHOTS: Final = "snapshots"
TILES: Final = "tiles"
HEAD: Final = "chain_heads"
HISTORIES: Final = "histories"

FOLDED: Final = (*TABLES, "state_digests", "commits")
"""What only the rules can make of the events."""
MADE_ANEW: Final = (*FOLDED, "idempotency_keys", HEAD, TILES, HISTORIES)
"""Everything that follows from the events, in the order in which it is made."""
OF_RECORD: Final = (*FOLDED, "idempotency_keys", HISTORIES)
"""What is made to fit no events that the region's own record is against."""
_SEEN: Final = re.compile("(?:at least )?([0-9]{1,19}) events, ")
"""How many events there were, by a checkpoint that was brought, a witness, a state, or the tiles of the region."""
_HISTORIES: Final = ("balance_history", "position_history", "read_model_watermarks")

_ADMINISTERED: Final = (
    "it is around the schema: whoever administers the server sets it back, as tradeledger db check says"
)
_TO_THE_END: Final = ("TRUNCATED", "ROLLBACK")
_NO_COPY: Final = "no copy mends it: "
NEWER: Final = f"{_NO_COPY}it may be by a newer program; verify with the newest release"
_NOT_HERE: Final = {
    "CHECKPOINT_INCONSISTENT": f"{_NO_COPY}two signed histories; keep both as evidence",
    "INCONSISTENT": f"{_NO_COPY}the history is another than a checkpoint that was kept; keep both as evidence",
    "DIVERGENCE": f"{_NO_COPY}two histories; verify each copy by itself",
    "TWO_PRIMARIES": f"{_NO_COPY}two regions say that they are primary; find out which is",
    UNKNOWN_FORMAT: NEWER,
    "QUORUM_UNMET": "witnesses vouch, not copies: ask them to cosign (tradeledger seal)",
    "STALE": "a newer checkpoint is needed: tradeledger seal",
    "GUARD_CHANGED": "guards are the schema's: tradeledger db check says what differs",
    "RECEIPT_MISMATCH": "a receipt is evidence and is not mended; verify the database that it was held against",
}
_AROUND: Final = re.compile(
    "(event trigger|default privileges|subscription|role|database|right to set|setting)\\b|function .* with the rights "
)
"""How the names of guards begin that are no part of the schema: the owner of its tables cannot set them back."""
NOBODY: Final = "rows of nobody, on which nothing rests: find out whose they were before they are removed"
_PERHAPS: Final = (
    "rows that are in all else those which follow from the events are taken away, which is known when they are made "
    f"anew; others are {NOBODY}"
)
PLACE: Final = "the replica finds its place anew: run tradeledger-replicator apply"
_TABLES_NOT_HERE: Final = {
    "acknowledgements": "the replica says it again: run its tradeledger-replicator apply",
    "replica_state": PLACE,
    "catalogue": "guards are the schema's: tradeledger db check says what differs",
    "settings": _ADMINISTERED,
    "indexes": "rows may be there and not be found: make the index anew as its finding says, and verify again first",
    "archive": "an archive is written once: keep it as evidence, and write another with tradeledger archive",
    "topic": "records of a topic stay; publish again with tradeledger-replicator publish --again-after",
    "receipts": "a receipt is evidence and is not mended",
    "proof": "a proof is made anew from the tree, not mended",
}


class Wanted(msgspec.Struct, frozen=True):
    """
    What a finding is about: seqs to look at, from which seq on all of them, tables to make anew, or why nothing.

    `strays` is a number that no chain has, under which other events stand than the one that is named; `notes_under` one
    under which checkpoints do. Where `signed`, an event that nobody signed is not asked for. `doubt` is why it is not
    known before whether that mends it.
    """

    seqs: tuple[int, ...] = ()
    strays: int | None = None
    onward: int | None = None
    gap: int | None = None
    tables: tuple[str, ...] = ()
    checkpoint: int | None = None
    notes_under: int | None = None
    snapshot: str | None = None
    identity: bool = False
    signed: bool = False
    doubt: str = ""
    reason: str = ""


def numbers(text: str) -> tuple[int, ...]:
    """
    Return the numbers below 2^63 that stand in *text* by themselves.
    """
    found = (int(word) for word in re.findall(r"(?<![0-9a-zA-Z.-])[0-9]{1,19}(?![0-9a-zA-Z.])", text))
    return tuple(number for number in found if number < 2**63)


def is_after(seq: str, size: int) -> bool:
    """
    Return whether *seq*, the key of a snapshot as whoever made a report or a plan wrote it, is a seq after *size*.
    """
    return re.fullmatch("[0-9]{1,19}", seq) is not None and int(seq) > size


def number_of(text: str) -> int | None:
    """
    Return the number of a chain that *text* is, also one that no chain can have; None where it is none.
    """
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else None


def wanted(finding: Found) -> Wanted:
    """
    Return what *finding* is about.
    """
    table = finding.table or EVENTS
    if table == "catalogue" and finding.expected == "nothing" and _AROUND.match((finding.key or ("",))[0]):
        return Wanted(reason=_ADMINISTERED)
    if table in _TABLES_NOT_HERE:
        return Wanted(reason=_TABLES_NOT_HERE[table])
    if finding.kind == UNKNOWN_FORMAT and finding.table is None and finding.seq is not None:
        return Wanted(seqs=(finding.seq,), signed=True)
    if finding.kind in _NOT_HERE:
        return Wanted(reason=_NOT_HERE[finding.kind])
    if finding.kind == STRAY_ROWS:
        # The key is the strange chain number, and the row's own key.
        if table == EVENTS:
            key = finding.key or ("",)
            return Wanted(seqs=_seqs(key), strays=number_of(key[0]), reason="" if _seqs(key) else NOBODY)
        if table == CHECKPOINTS and (number := number_of((finding.key or ("",))[0])) is not None:
            return Wanted(notes_under=number)
        # Of histories it is not known which rows they are to have.
        tables = _anew(table) if table not in _HISTORIES else ()
        return Wanted(tables=tables, doubt=_PERHAPS) if tables else Wanted(reason=NOBODY)
    if finding.kind in _TO_THE_END and table in (EVENTS, CHECKPOINTS) and finding.seq is not None:
        return Wanted(onward=finding.seq, tables=(*MADE_ANEW,))
    if _seen(finding):
        return Wanted(onward=_seen(finding), tables=(*MADE_ANEW,))
    if table == EVENTS:
        return _of_event(finding)
    if table == CHECKPOINTS:
        size = numbers((finding.key or ("",))[0])
        return Wanted(checkpoint=size[0]) if size else Wanted(reason="the finding names no checkpoint")
    if table == SNAPSHOTS:
        return Wanted(snapshot=(finding.key or ("",))[-1])
    if table == CHAINS:
        return Wanted(identity=True)
    if table == TILES and finding.seq is not None:
        # The leaf of an event is another: whether the tile is wrong or the event, a copy of the event tells.
        return Wanted(tables=(TILES,), seqs=(finding.seq,))
    return _of_table(table)


def seen(findings: Sequence[Found]) -> int:
    """
    Return how many events there were once, as the report knows; 0 where nothing says more than the rows of events do.
    """
    return max(map(_seen, findings), default=0)


def _seen(finding: Found) -> int:
    if finding.kind not in _TO_THE_END or finding.table not in (None, HEAD):
        return 0
    found = _SEEN.match(finding.expected)
    return next(iter(numbers(found[1])), 0) if found is not None else 0


def all_wanted(findings: Sequence[Found]) -> list[Wanted]:
    """
    Return what each of *findings* is about: nothing, where an index does not lead to every row.

    A row put back where the index shows none would be a second one beside the one that is there.
    """
    if any(finding.kind == INDEX_MISMATCH for finding in findings):
        return [Wanted(reason=_TABLES_NOT_HERE["indexes"])] * len(findings)
    return [wanted(finding) for finding in findings]


def _seqs(key: tuple[str, ...]) -> tuple[int, ...]:
    return numbers(key[1]) if len(key) > 1 else ()


def _anew(table: str) -> tuple[str, ...]:
    if table in _HISTORIES:
        return (HISTORIES,)
    return (table,) if table in MADE_ANEW else ()


def _of_table(table: str) -> Wanted:
    tables = _anew(table)
    return Wanted(tables=tables) if tables else Wanted(reason=f"nothing here knows how to mend {table}")


def _of_event(finding: Found) -> Wanted:
    if finding.seq is None:
        return Wanted(reason="the finding names no event")
    if finding.kind == "SEQ_GAP":
        return Wanted(gap=finding.seq)
    more = numbers(finding.expected) + numbers(finding.actual) if finding.column == "seq" else ()
    if finding.kind == "CHAIN_BREAK" and finding.seq > 1:
        # The link is that of two, and either may be the one that was edited.
        more = (*more, finding.seq - 1)
    return Wanted(seqs=(finding.seq, *more))
