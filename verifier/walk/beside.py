"""
Check what stands beside the events in step with them: keys, commits, acknowledgements, and what is kept of the past.

Each of these is a stream in the order of seqs, and is taken along while the rules are applied: a digest is there only
once, after the event that it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.state import Change
from verifier.acknowledgements import AcknowledgementCheck
from verifier.commits import CommitCheck
from verifier.kept import KeptCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import Findings
from verifier.stored import ChainRow
from verifier.walk.books import Verified
from verifier.walk.kept_since import KeptSince
from verifier.walk.layout import End, Parsed
from verifier.walk.replaying import Doubt, NetReplay
from verifier.walk.requests import Requests

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""


class Kept(Protocol):
    """
    The check of what is kept for reads of the past.
    """

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to check."""

    @property
    def kept_to(self) -> int:
        """Return how far what is kept goes."""

    def wants(self, seq: int) -> bool:
        """Return whether there is a snapshot at *seq*."""

    def reach(self, event: RecordedEvent, changes: Sequence[Change], digest: bytes | None) -> None:
        """Take in an event, what it changed, and the digest after it where it was wanted."""

    def end(self) -> None:
        """Report what no event accounts for."""


class Beside(msgspec.Struct):
    """
    What stands beside the events and is checked in step with them.
    """

    keys: KeyCheck | None
    """Keys in the order of their groups; None where they are checked by themselves."""
    commits: CommitCheck
    acknowledged: AcknowledgementCheck
    kept: Kept
    findings: Findings
    notes: list[str] = []
    """What of it is not asked, as sentences."""


def from_the_start(reader: Reader, chain: ChainRow) -> Beside:
    """
    Return what stands beside a chain's events, but for the keys.
    """
    findings = Findings()
    acknowledged = AcknowledgementCheck(chain.chain_id, reader.acknowledgements(), reader.now())
    commits = CommitCheck(reader.commits(), reader.seq_recorded_at)
    return Beside(None, commits, acknowledged, KeptCheck(reader, findings), findings)


def since(reader: Reader, chain: ChainRow, before: Verified) -> Beside:
    """
    Return what stands beside the events after those that *before* is of, but for the keys.
    """
    at = before.at.end.seq
    # Nobody signs where commits end: a repair makes fewer of them, and another region takes several in at once.
    boundary = reader.boundary(before.boundary)
    commits = CommitCheck(reader.commits_after(boundary), reader.seq_recorded_at, boundary)
    acknowledged, notes = _acknowledged(reader, chain, at)
    return Beside(None, commits, acknowledged, KeptSince(reader, at), Findings(), notes)


def kept_late(before: Verified, reached: int) -> list[str]:
    """
    Return what has to be said where what is kept of the past *reached* over events that were verified without it.
    """
    last = min(before.at.end.seq, reached)
    if last <= before.kept_to:
        return []
    return [f"what is kept of the past at events {before.kept_to + 1} to {last}: it was written after they were "
            "verified"]  # fmt: skip


def _acknowledged(reader: Reader, chain: ChainRow, after: int) -> tuple[AcknowledgementCheck, list[str]]:
    """Return the check of acknowledgements, those of events before told from what was verified of them; and of which
    of these no commit says what the state was."""
    rows = reader.acknowledgements()
    check, unasked = AcknowledgementCheck(chain.chain_id, rows, reader.now()), list[str]()
    for seq in sorted({row.seq for row in rows if row.seq <= after}):
        commit, found = reader.commit_at(seq), next(reader.events(seq, seq), None)
        if found is None:
            raise Doubt("acknowledgements")
        check.pass_by(found)
        check.reach(found, None if commit is None else commit.state_digest)
        if commit is None:
            unasked.append(f"the state digest that a replica acknowledged at event {seq}: no commit ends there now")
    return check, unasked


def follow(
    replay: NetReplay,
    runs: Iterable[tuple[Parsed, End]],
    chain_id: bytes,
    beside: Beside,
    tell: Tell,
    *,
    across: int | None = None,
    keep: Callable[[End], None] = lambda end: None,
) -> End | None:
    """
    Apply every event, check what stands *beside* in step with them, and return the last one; *keep* hears of each run.

    With *across* request hashes are checked only of groups that stand across a border of ranges of so many events.

    Raises:
        Doubt: something does not fit.
    """
    requests, past = Requests(beside.keys, across), not beside.kept.idle
    acknowledged = beside.acknowledged

    def digest() -> bytes:
        return replay.digest().digest()

    end: End | None = None
    for parsed, end in runs:
        for event in parsed.events(chain_id):
            before = replay.state.begin()
            replay.apply(event, *requests.take(event))
            # Before anything asks for the digest, which forgets them.
            changes = replay.state.changes(before) if past else ()
            acknowledged.pass_by(event)
            if event.seq in acknowledged.seqs:
                acknowledged.reach(event, digest())
            beside.commits.reach(event, digest)
            if past:
                beside.kept.reach(event, changes, digest() if beside.kept.wants(event.seq) else None)
        tell("checking events", end.seq)
        keep(end)
    return end


def conclude(replay: NetReplay, beside: Beside, end: End) -> None:
    """
    Hold what no event accounts for against an end of the chain.

    Raises:
        Doubt: something does not fit.
    """
    if not end.closes:
        raise Doubt
    beside.kept.end()
    if beside.keys is not None:
        beside.findings.add(beside.keys.findings())
    beside.findings.add(beside.commits.end(end.seq))
    beside.findings.add(beside.acknowledged.findings(replay.state))
    if wrong := sorted({finding.table or "events" for finding in beside.findings.all(None)}):
        raise Doubt(wrong[0])
