"""
Say what a finding means to somebody who is no programmer, what else it makes doubtful, and where a good copy is.

A finding names a class, a place, and what was expected and found. What follows from that is the same for every
finding of a class and place, so it is said here once, by functions of the finding: all forms of a report, and whoever
mends by a report, ask them. Nothing here reads a database: a source is where bytes may be had that can then be
checked by their hash, never a promise that they are good.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.domain.rows import TABLES
from verifier.report import Finding

REPLICA: Final = "replica"
TOPIC: Final = "topic"
ARCHIVE: Final = "archive"
BACKUP: Final = "backup"
REPLAY: Final = "replay"
WITNESS: Final = "witness"
MIGRATIONS: Final = "migrations"

SOURCES: Final = {
    REPLICA: "the database of another region, which holds the same chain",
    TOPIC: "the signed segments in the topic between the regions",
    ARCHIVE: "an archive, or another copy of this one",
    BACKUP: "a backup of the database",
    REPLAY: "the events themselves, from which it is made anew",
    WITNESS: "a witness, which keeps the newest checkpoint that it cosigned",
    MIGRATIONS: "this release's own schema: `tradeledger db check` says what differs",
}
"""Where a good copy may be, in words."""

_EVENT: Final = (REPLICA, TOPIC, ARCHIVE, BACKUP)
_DERIVED: Final = (REPLAY,)
_BY_TABLE: Final[dict[str, tuple[str, ...]]] = {
    "events": _EVENT,
    "commits": (REPLICA, TOPIC, BACKUP),
    "acknowledgements": (TOPIC,),
    "replica_state": (TOPIC,),
    "chains": (REPLICA, ARCHIVE, BACKUP),
    "catalogue": (MIGRATIONS,),
    "settings": (),
    "indexes": (),
    "tiles": (REPLAY, ARCHIVE),
    "checkpoints": (ARCHIVE, WITNESS, BACKUP),
    "topic": (REPLICA,),
    "receipts": _EVENT,
    "proof": (REPLICA, ARCHIVE),
    **dict.fromkeys(("chain_heads", "state_digests", "idempotency_keys", "snapshots", "balance_history",
                     "position_history", "read_model_watermarks"), _DERIVED),
    **dict.fromkeys(TABLES, _DERIVED),
}  # fmt: skip
"""By what the bytes are: those that nothing else gives have to come from a copy, those that follow are made anew."""

_BY_FILE: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("tile/entries/", (REPLICA, ARCHIVE)),
    ("segment/", (REPLICA, ARCHIVE)),
    ("tile/", (REPLAY, ARCHIVE)),
    ("checkpoint", (ARCHIVE, WITNESS)),
    ("chain.json", (REPLICA, ARCHIVE)),
)
"""Files of an archive, by how their names begin; the first that fits."""

_NOWHERE: Final = frozenset(
    {"CHECKPOINT_INCONSISTENT", "DIVERGENCE", "INCONSISTENT", "TWO_PRIMARIES", "UNKNOWN_FORMAT", "STRAY_ROWS"}
)
"""Classes that no copy mends: a log that contradicts itself, bytes of a newer program, rows of nobody."""

_TAINTING: Final = frozenset({"SEQ_GAP", "TRUNCATED", "CHAIN_BREAK", "STATE_MISMATCH", "UNKNOWN_FORMAT"})
"""Classes that, of an event, leave open what the events after it should have been."""

_ALWAYS_TAINTING: Final = frozenset({"ROLLBACK", "CHECKPOINT_INCONSISTENT", "DIVERGENCE", "INCONSISTENT"})

UNKNOWN_BYTES: Final = "bytes of hash "
"""How what was expected begins where an event's content is not known."""


class Meaning(msgspec.Struct, frozen=True):
    """
    What a class of findings says in plain words: a title, what it means, and what to do.
    """

    title: str
    means: str
    advice: str


_KEEP: Final = "Keep what is there as evidence"
_COPY: Final = f"{_KEEP}, fetch the event from a good copy, and let the security officer ask who had access."
_AGAIN: Final = "The books can be made anew from the events. Do not rely on these figures until that is done."

MEANINGS: Final[dict[str, Meaning]] = {
    "BYTES_MODIFIED": Meaning(
        "A recorded event was changed", "What is stored is not what was sealed when the event was recorded.", _COPY
    ),
    "CHAIN_BREAK": Meaning(
        "The chain is broken", "An event does not follow the one before it: the history was cut and joined.", _COPY
    ),
    "SEQ_GAP": Meaning("Events are missing", "Events that were recorded are no longer there.", _COPY),
    "SEQ_DUP": Meaning("An event is there twice", "A place in the history holds a copy or a second event.", _COPY),
    "TRUNCATED": Meaning(
        "The end is missing", "The history was longer once: what was recorded last is no longer there.", _COPY
    ),
    "STREAM_GAP": Meaning("A part of one history is missing", "Events of one order or account are left out.", _COPY),
    "GROUP_PARTIAL": Meaning(
        "A group of events is not whole", "Events that were recorded together are no longer all there.", _COPY
    ),
    "CLOCK": Meaning(
        "A recorded time cannot be true",
        "Recorded times only go forward, and nobody sees an event before it is recorded; here a time does not fit, or "
        "was changed.", _COPY
    ),
    "REQUEST_MISMATCH": Meaning(
        "A request is not what was asked", "What is recorded is not what the caller had asked for.", _COPY
    ),
    "KEY_MISMATCH": Meaning(
        "The list of requests is wrong", "Which request was recorded where was changed; one could be taken twice.",
        "The list can be made anew from the events; stop the writers until then.",
    ),
    "STATE_MISMATCH": Meaning(
        "An event does not follow by the rules", "By the ledger's rules something else should have been recorded.",
        f"{_KEEP}, and hold the event against the venue's own records.",
    ),
    "PROJECTION_MISMATCH": Meaning(
        "A figure in the books is wrong", "Balances, positions or orders are not what the recorded events give.", _AGAIN
    ),
    "HELD_MISMATCH": Meaning("What is held back is wrong", "Held money is not what open orders need.", _AGAIN),
    "COMMIT_MISMATCH": Meaning(
        "The list of transactions is wrong", "Where a transaction ended, or the books after it, was changed.",
        "Fetch the list from another region; the events themselves are not concerned.",
    ),
    "ACK_MISMATCH": Meaning(
        "A region's receipt does not fit",
        "What another region is said to have received is not what stands here: the receipt was changed, or the events "
        "were, and then that region holds the good copy.",
        "Verify both, and compare them (`tradeledger-verify diff`), before either is taken for good. Do not count on "
        "the receipt until the region has said again what it has.",
    ),
    "POSITION_MISMATCH": Meaning(
        "The place in the stream is wrong", "From where this region goes on receiving was changed.",
        "Let the region find its place anew from the stream.",
    ),
    "HEAD_MISMATCH": Meaning(
        "The end of the chain is told wrongly", "The row that says which event is the last was changed.",
        "It can be made anew from the last event; stop the writers until then.",
    ),
    "CHAIN_MISMATCH": Meaning(
        "The ledger's own name was changed", "The row that says which ledger this is, is not the one it began with.",
        f"{_KEEP}, and compare it with another region's before anything is written.",
    ),
    "STRAY_ROWS": Meaning(
        "There are rows of no ledger", "Rows stand under a number that no ledger of this database has.",
        "Find out who put them there; nothing of this ledger rests on them.",
    ),
    "GUARD_CHANGED": Meaning(
        "A lock of the database was changed", "A guard, right or setting that keeps history from being edited differs.",
        "Put it back, and verify everything that was recorded since.",
    ),
    "INDEX_MISMATCH": Meaning(
        "Rows that are there are not found",
        "An index, by which rows are looked up, does not lead to all of them: it was damaged, or text has another "
        "order since the system was updated. Whoever looks up a balance may be shown none.",
        "Have the index made anew before anything else is mended or written; the rows themselves are as found here.",
    ),
    "UNKNOWN_FORMAT": Meaning(
        "Something is in a form not known here", "A newer program may have written it, or it was changed.",
        "Verify with the newest release before anything is concluded.",
    ),
    "TREE_MISMATCH": Meaning(
        "The sealed summary does not fit the events",
        "An event, or a number made of events, is not the one that was sealed and signed; the place says which.",
        f"{_KEEP}, fetch what is named from a good copy, and let the security officer ask who had access. Numbers "
        "alone can be made anew from the events.",
    ),
    "PAYLOAD_MISMATCH": Meaning(
        "An event's content was changed", "The content that is kept is not the one that was sealed.", _COPY
    ),
    "PAYLOAD_MISSING": Meaning(
        "An event's content is missing", "It is gone, and nothing in the ledger says that it was to be destroyed.",
        _COPY,
    ),
    "ARCHIVE_MISSING": Meaning(
        "A file of the archive is missing", "The archive is not whole.", "Write the file again from a good copy."
    ),
    "CHECKPOINT_SIG": Meaning(
        "A seal is not by whom it should be", "A checkpoint was not signed by those whom the auditor trusts.",
        f"{_KEEP}; a key may be stolen, or the wrong file was checked. Trust nothing that rests on this seal.",
    ),
    "QUORUM_UNMET": Meaning(
        "Too few witnesses vouch for the seal", "The ledger signed, and too few outsiders have seen it.",
        "Ask the witnesses; until enough of them answer, the ledger's own word is all there is.",
    ),
    "CHECKPOINT_INCONSISTENT": Meaning(
        "There are two histories", "A signed checkpoint and these events contradict each other.",
        f"{_KEEP}, both of them: together they prove it to anybody. No copy mends this.",
    ),
    "INCONSISTENT": Meaning(
        "There are two histories", "A checkpoint that was kept outside and these events contradict each other.",
        f"{_KEEP}, with that checkpoint: they show that history was written anew. No copy mends this.",
    ),
    "ROLLBACK": Meaning(
        "The history went back", "A larger history was sealed before than is shown now.",
        f"{_KEEP}; an old backup may have been put back, or the end cut off.",
    ),
    "STALE": Meaning(
        "The seal is old", "The newest checkpoint is older than the auditor allows.",
        "Ask the operator for a newer one, and the witnesses what they have seen.",
    ),
    "DIVERGENCE": Meaning(
        "Two copies hold different histories", "From one event on, the two copies are not of the same history.",
        f"{_KEEP}, of both; verify each by itself, and hold each against the newest checkpoint that others cosigned.",
    ),
    "TWO_PRIMARIES": Meaning(
        "Two regions say that they alone record events",
        "Each could record events that the other does not know: the history would go on as two.",
        "Stop the writers of both; find out which was promoted or restored, and make the other a replica. A backup to "
        "which nothing writes is named with `--backup`.",
    ),
    "RECEIPT_MISMATCH": Meaning(
        "A receipt does not fit the history", "The engine was told that something else was recorded.",
        f"{_KEEP}; the receipt is evidence: the history was changed after it was given.",
    ),
}  # fmt: skip

_OTHER: Final = Meaning(
    "Something is not as it should be", "What was found differs from what was expected.", f"{_KEEP}, and ask."
)


def meaning(kind: str) -> Meaning:
    """
    Return what findings of the class *kind* mean; a class that is not known here has a general meaning.
    """
    return MEANINGS.get(kind, _OTHER)


def taints(finding: Finding) -> bool:
    """
    Return whether what comes after the place of *finding* is doubtful too; else it stands by itself.
    """
    if finding.kind in _ALWAYS_TAINTING:
        return True
    if finding.table is not None:
        return False
    unknown = finding.kind == "BYTES_MODIFIED" and finding.expected.startswith(UNKNOWN_BYTES)
    return unknown or finding.kind in _TAINTING


def sources(finding: Finding) -> tuple[str, ...]:
    """
    Return where bytes may be had that mend *finding*, the nearest first; none where no copy does.
    """
    if finding.kind in _NOWHERE:
        return ()
    if finding.kind == "QUORUM_UNMET":
        return (WITNESS,)
    if finding.table == "archive":
        name = (finding.key or ("",))[0]
        return next((found for begin, found in _BY_FILE if name.startswith(begin)), (ARCHIVE,))
    return _BY_TABLE.get(finding.table or "events", (BACKUP,))
