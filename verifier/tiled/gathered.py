"""
Gather the signatures under each checkpoint, those kept in a region and those shown outside, until the policy is met.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Final

from ledger.errors import LedgerError
from ledger.evidence import note, policy
from ledger.evidence.note import Note, NoteSignature
from ledger.evidence.policy import Policy, Trusted
from verifier.report import Finding
from verifier.stored import CheckpointRow
from verifier.tiled.newest import of_its_row
from verifier.tiled.outside import Shown

LOOKED_AT: Final = 1_000
"""So many of the newest are read although one is accepted: a few minutes' where one is sealed each second."""
_Notes = dict[tuple[int, str], list[NoteSignature]]
"""Signatures by the size and the text that they are under."""


def newest(
    trust: Policy, rows: Iterable[CheckpointRow], origin: str, shown: Sequence[Shown]
) -> tuple[Trusted | None, list[Finding]]:
    """
    Return the newest checkpoint that *trust* accepts, if any, and which of the newest kept ones are no notes of theirs.

    *rows* are those that the region of *origin* keeps, the largest first, and *shown* what others show.
    """
    outside: _Notes = {}
    findings: list[Finding] = []
    # One of no events is what a witness shows of every log at first; it says nothing of any.
    for said in (one for one in shown if one.stated.size):
        signed = note.decode(said.signed)
        outside.setdefault((said.stated.size, signed.text), []).extend(_true(trust, signed))
    found: Trusted | None = None
    for number, row in enumerate(rows):
        if found is not None and number >= LOOKED_AT:
            break
        found = found or _first(trust, {key: outside.pop(key) for key in list(outside) if key[0] > row.size})
        kept = of_its_row(row, origin)
        if isinstance(kept, Finding):
            findings.append(kept)
        elif found is None:
            signatures = [*kept.signatures, *outside.pop((row.size, kept.text), ())]
            found = _first(trust, {(row.size, kept.text): signatures})
    return found or _first(trust, outside), findings


def _first(trust: Policy, notes: _Notes) -> Trusted | None:
    """Return the largest of *notes* that the policy accepts."""
    for (_, text), signatures in sorted(notes.items(), key=lambda item: -item[0][0]):
        lines = list(dict.fromkeys(signatures))[: note.SIGNATURES_LIMIT]
        with contextlib.suppress(LedgerError):
            return policy.check(trust, note.with_signatures(text, lines).encode())
    return None


def _true(trust: Policy, signed: Note) -> list[NoteSignature]:
    """Return the signatures that are true: a false line beside them is anybody's, and takes nothing away."""
    keys = [*(log.key for log in trust.logs), *(witness.key for witness in trust.witnesses)]
    found = []
    for line in signed.signatures:
        for key in keys:
            if line.claims(key):
                with contextlib.suppress(LedgerError):
                    note.check_signature(signed.text, line, key)
                    found.append(line)
    return found
