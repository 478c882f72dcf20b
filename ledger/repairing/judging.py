"""
Say of each finding what of a plan mends it, or why nothing does.

Pure: a plan's draft and a finding go in, and a judgement comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.repairing.draft import BESIDE, Draft, Place
from ledger.repairing.notes import AS_SIGNED, OTHERS
from ledger.repairing.plan import CHAINS, Judged
from ledger.repairing.reports import Found
from ledger.repairing.wanted import (
    CHECKPOINTS,
    EVENTS,
    HEAD,
    NEWER,
    NOBODY,
    OF_RECORD,
    SNAPSHOTS,
    STRAY_ROWS,
    UNKNOWN_FORMAT,
    Wanted,
    numbers,
)

OWN_ROW: Final = "the chain's own row is as it was signed"

REASONS: Final = 3
"""So many reasons are said of one finding; a cut tail would have thousands of the same."""

_Part = tuple[list[Place], list[str]]
"""Where a part of what a finding is about is mended, and why it is not."""


def judge(draft: Draft, finding: Found, want: Wanted, seqs: Sequence[int]) -> Judged:
    """
    Return what the plan makes of a finding, which is about these *seqs*.
    """
    if want.reason:
        return Judged(finding=finding, reason=want.reason)
    parts = [
        _events(draft, finding, want, seqs), _made_anew(draft, want), _snapshot(draft, want),
        _strays(draft, finding, want), _checkpoint(draft, finding, want), _own_row(draft, finding, want),
    ]  # fmt: skip
    writes = draft.writes.numbered(place for places, _ in parts for place in places)
    reasons = [reason for _, more in parts for reason in more if reason]
    if not any(parts[0][1]):
        reasons = [*_unlike_the_events(draft, want), *reasons]
    if want.doubt:
        reasons.append(want.doubt)
    if not writes and not reasons:
        writes, reasons = _by_what_it_rests_on(draft, finding)
    more = f" (and {len(reasons) - REASONS} more)" if len(reasons) > REASONS else ""
    return Judged(finding=finding, writes=writes, reason="; ".join(dict.fromkeys(reasons[:REASONS])) + more)


def _events(draft: Draft, finding: Found, want: Wanted, seqs: Sequence[int]) -> _Part:
    is_stray = finding.kind == STRAY_ROWS
    known = draft.reasons.copies | draft.reasons.events if is_stray else draft.reasons.events
    reasons = [known[seq] for seq in seqs if seq in known]
    if is_stray and want.seqs:
        return [], reasons
    places = [(EVENTS, str(seq)) for seq in seqs]
    if want.seqs or want.gap or want.onward:
        of = {*seqs}
        places += [place for write, place in draft.writes.copies() if write.seq in of]
    return places, reasons


def _made_anew(draft: Draft, want: Wanted) -> _Part:
    reasons = [draft.reasons.record] if {*want.tables} & {*OF_RECORD} else []
    reasons += [draft.reasons.head] if HEAD in want.tables else []
    return [(table, "") for table in want.tables], reasons


def _unlike_the_events(draft: Draft, want: Wanted) -> list[str]:
    """Return why tables and snapshots are not mended, where an event is not that the finding does not name."""
    missing = [table for table in want.tables if (table, "") not in draft.writes]
    if not draft.reasons.events or not (missing or want.snapshot is not None):
        return []
    return [f"made anew only of events that are all as signed: {next(iter(draft.reasons.events.values()))}"]


def _snapshot(draft: Draft, want: Wanted) -> _Part:
    if want.snapshot is None:
        return [], []
    # One of events that were missing is right once they are back.
    table = SNAPSHOTS if (SNAPSHOTS, want.snapshot) in draft.writes else EVENTS
    return [(table, want.snapshot)], [draft.reasons.snapshots.get(want.snapshot, "")]


def _strays(draft: Draft, finding: Found, want: Wanted) -> _Part:
    """Return what becomes of rows under a number that no chain has: a finding names one, and counts the others."""
    if finding.kind == STRAY_ROWS and want.seqs:
        number = (finding.key or ("",))[0].lower()
        places = [place for write, place in draft.writes.copies() if write.key is not None and write.key[0] == number]
        found = len(places)
    elif want.notes_under is not None:
        places, found = draft.brought.get(want.notes_under, ([], 0))
    else:
        return [], []
    count = next(iter(numbers(finding.actual.rpartition(": ")[2])), 1)
    return places, [f"{count - found} of {count}: {NOBODY}"] if found < count else []


def _checkpoint(draft: Draft, finding: Found, want: Wanted) -> _Part:
    if want.checkpoint is None:
        return [], []
    places = [(CHECKPOINTS, str(want.checkpoint)), (CHECKPOINTS, f"from {want.checkpoint}")]
    if any(place in draft.writes for place in places):
        return places, []
    reason = draft.reasons.checkpoints.get(want.checkpoint, "")
    if reason != AS_SIGNED:
        return [], [reason]
    # A good root was held against events of which some are to be mended, or none that is known.
    under = draft.writes.restored(want.checkpoint)
    return under, [] if under else [OTHERS if finding.column == "root" else AS_SIGNED]


def _own_row(draft: Draft, finding: Found, want: Wanted) -> _Part:
    if not want.identity:
        return [], []
    if draft.names is not None and finding.key and finding.key[0] not in draft.names:
        return [], [f"it is the row of another chain than {draft.origin}: {NOBODY}"]
    # Where it is the events that were moved, the row says where they belong.
    is_good = want.onward is not None and draft.reasons.row == OWN_ROW
    return [(CHAINS, ""), (CHAINS, BESIDE)], [] if is_good else [draft.reasons.row]


def _by_what_it_rests_on(draft: Draft, finding: Found) -> tuple[tuple[int, ...], list[str]]:
    """Return what mends a finding about what is good itself, or why nothing does."""
    if finding.after is not None:
        # It was held against events of which this one was missing or not known.
        writes = draft.writes.numbered([(EVENTS, str(finding.after))])
        why = draft.reasons.events.get(finding.after, "which is good")
        return writes, [] if writes else [f"it follows from event {finding.after}: {why}"]
    if draft.is_of_another_id:
        # It was read by an id with which no event was hashed.
        return draft.writes.numbered([(CHAINS, "")]), []
    if finding.kind == UNKNOWN_FORMAT:
        return (), [NEWER]
    if finding.kind == "SEQ_GAP":
        return (), [f"nothing that was signed covers event {finding.seq}"]
    return (), ["what stands there is what was signed, and no copy is another"]
