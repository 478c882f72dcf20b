"""
Replay every event, and hold each against what the rules make of it.
"""

from __future__ import annotations

from typing import Any

from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import fold
from ledger.domain.fold import Context, DuplicateFact
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State
from ledger.errors import LedgerError, UnknownFormat
from ledger.spill.spill import Spill
from verifier import conviction
from verifier.absent import is_absent
from verifier.report import Finding, Findings


class Replay:
    """
    The state as the events make it, and the digest of it after each commit.
    """

    def __init__(self, spill: Spill, findings: Findings) -> None:
        self._spill, self.findings = spill, findings
        self.state = State(spill.load, certain=True)
        self.digest = StateDigest()
        self.changes: list[Change] = []
        """What the last event changed."""
        self.stopped: int | None = None
        """The first event of a type or version that this program does not know: the state is that before it."""

    def apply(self, event: RecordedEvent) -> None:
        """
        Apply a stored event, and note where it is not by the rules.

        What an event does that a newer program has recorded nobody here can say, nor what any after it does: from it
        on nothing is applied, so that no honest row is held against a guess.
        """
        self.changes = []
        if self.stopped is not None:
            return
        mark = self.state.begin()
        context = Context(event.seq, event.recorded_at, event.occurred_at)
        try:
            derived, given = split_payload(event.payload)
        except LedgerError as error:
            self._found("STATE_MISMATCH", "a payload", str(error), event.seq, "payload")
            return
        stored = (event.stream, event.stream_version, event.effective_on)
        try:
            mismatches = fold.replay(
                self.state, event.event_type, event.schema_version, given, derived, stored, context
            )  # fmt: skip
        except UnknownFormat as error:
            known = "a type and version that this program knows"
            self._found("UNKNOWN_FORMAT", known, str(error), event.seq, "schema_version")
            # Where the bytes are not those that were hashed it is damaged, and says nothing of any program.
            if conviction.hashes_to(event, event.hash):
                self.stopped = event.seq
            return
        for wrong in mismatches:
            if wrong.column == "effective_on" and is_absent(event.occurred_at):
                continue  # the day would follow from a time that is not there
            self._found("STATE_MISMATCH", wrong.expected, wrong.actual, event.seq, wrong.column)
        self.changes = self.state.changes(mark)
        for change in self.changes:
            spec = TABLES[change.table]
            if change.old is not None:
                self.digest.take_out(change.table, row_bytes(spec, change.old))
            self.digest.put_in(change.table, row_bytes(spec, change.new))
        self._spill.keep_closed(self.state, mark)
        self.state.durable(self.state.begin())

    def state_digest(self) -> bytes | None:
        """
        Return the digest of the state after the last event; None where what that event did is not known.
        """
        return self.digest.digest() if self.stopped is None else None

    def _found(self, kind: str, expected: str, actual: str, seq: int, column: str) -> None:
        self.findings.add([Finding(kind, expected, actual, seq=seq, column=column)])

    def foresee(self, event: RecordedEvent) -> dict[str, list[Any]]:
        """
        Return what the rules would make of the event: candidates for the columns that they derive.
        """
        if self.stopped is not None:
            return {}
        mark = self.state.begin()
        try:
            _, given = split_payload(event.payload)
            asked, written = fold.asked(event.event_type, event.schema_version, given)
            made = fold.record(self.state, asked, Context(event.seq, event.recorded_at, event.occurred_at), written)
        except (LedgerError, DuplicateFact, ValueError, OverflowError):
            return {}
        finally:
            self.state.rollback(mark)
        return {
            "stream": [made.stream],
            "stream_version": [made.stream_version],
            "effective_on": [made.effective_on],
            "payload": [b'{"derived":' + made.derived + b',"given":' + made.given + b"}"],
            "event_type": [made.event_type],
            "schema_version": [made.schema_version],
        }
