"""
Hold the boundaries of transactions against the chain: each follows the one before it and carries the digest there.

A boundary's time is that of its last event, and no two events share one: so a row whose `last_seq` was changed still
says where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ledger.chain.entry import RecordedEvent
from verifier.absent import shown
from verifier.report import Finding
from verifier.stored import CommitRow

TABLE = "commits"
Find = Callable[[int, int, int], int | None]
"""Finds the seq of the event recorded at a time, between two seqs."""

NEAR = 10_000
"""How far from its place the event of a moved boundary is looked for: more than a transaction holds."""


class CommitCheck:
    """
    The rows of `commits` in order, each met when the chain reaches its last seq.
    """

    def __init__(self, rows: Iterator[CommitRow], find: Find, after: int = 0) -> None:
        """
        Begin with the *rows* after the one that ends at *after*.
        """
        self._rows, self._find = rows, find
        self._row, self._next = next(rows, None), next(rows, None)
        self._any = self._row is not None or after > 0
        self._boundary = after
        self._seq: int | None = None
        self._gaps: dict[tuple[int, int], Finding] = {}
        self.findings: list[Finding] = []

    @property
    def boundary(self) -> int:
        """
        Return the last seq of the newest boundary that was met.
        """
        return self._boundary

    @property
    def is_clean(self) -> bool:
        """
        Return whether nothing was found so far.
        """
        return not self.findings and not self._gaps

    def _advance(self) -> None:
        self._row, self._next = self._next, next(self._rows, None)

    def reach(self, event: RecordedEvent, digest: Callable[[], bytes | None]) -> None:
        """
        Go past *event*; *digest* makes the digest of the state after it, None where that is not known.
        """
        self._seq = event.seq
        while self._row is not None and self._row.last_seq < event.seq:
            self._stray(self._row)
            self._advance()
        while self._row is not None and self._row.last_seq == event.seq:
            self._meet(self._row, event, digest())
            self._advance()

    def _meet(self, row: CommitRow, event: RecordedEvent, digest: bytes | None) -> None:
        wrong = {
            name: (expected, actual)
            for name, expected, actual in (
                ("state_digest", digest, row.state_digest), ("committed_at", event.recorded_at, row.committed_at),
            )
            if expected not in (None, actual)
        }  # fmt: skip
        if len(wrong) == (1 if digest is None else 2):
            if self._stray(row):
                return
            if self._next is not None and self._next.first_seq <= row.last_seq:
                # The next row spans this place and this one fits nothing: it is the one too many.
                self._found(row.last_seq, None, "no such row", f"a row from event {row.first_seq}")
                return
        self._follow(row)
        for name, (expected, actual) in wrong.items():
            self._found(row.last_seq, name, shown(expected), shown(actual))
        if event.group_index + 1 != event.group_size:
            # A replica would be told that the transaction ended in the middle of what belongs together.
            inside = f"event {event.group_index + 1} of {event.group_size} of its group"
            self._found(row.last_seq, "last_seq", "an event that ends its group", inside)

    def _stray(self, row: CommitRow) -> bool:
        """Name a row that stands at another seq than its own, where its time tells that; return whether it did."""
        place = self._find(row.committed_at, row.first_seq, row.first_seq + NEAR)
        fits_here = row.first_seq == self._boundary + 1 and self._next is not None and place == self._next.last_seq
        if place is None or place == row.last_seq or fits_here:
            if row.last_seq != self._seq:
                self._found(row.last_seq, None, "no such row", f"a row from event {row.first_seq}")
            return False
        self._found(row.last_seq, "last_seq", str(place), str(row.last_seq))
        # The hole it left before another row is explained by it.
        self._gaps.pop((row.first_seq, place), None)
        if place > self._boundary:
            self._follow(row, place)
        return True

    def _follow(self, row: CommitRow, place: int | None = None) -> None:
        first = self._boundary + 1
        if row.first_seq > first:
            # A row may be missing before this one, as well as this one's own first seq be another.
            expected = f"{first}, or a row of its own for events {first} to {row.first_seq - 1}"
            self._gaps[first, row.first_seq - 1] = _finding(row.last_seq, "first_seq", expected, str(row.first_seq))
        elif row.first_seq < first:
            self._found(row.last_seq, "first_seq", str(first), str(row.first_seq))
        self._boundary = place or row.last_seq

    def end(self, last_seq: int) -> list[Finding]:
        """
        Return every finding, once the chain has ended at *last_seq*.
        """
        if not self._any and last_seq:
            return [Finding("TRUNCATED", f"boundaries up to event {last_seq}", "no rows", table=TABLE, key=())]
        while self._row is not None:
            self._stray(self._row)
            self._advance()
        if self._boundary < last_seq:
            self._found(last_seq, None, f"a row from event {self._boundary + 1}", "no such row")
        return [*self.findings, *self._gaps.values()]

    def _found(self, last_seq: int, column: str | None, expected: str, actual: str) -> None:
        self.findings.append(_finding(last_seq, column, expected, actual))


def _finding(last_seq: int, column: str | None, expected: str, actual: str) -> Finding:
    return Finding("COMMIT_MISMATCH", expected, actual, table=TABLE, key=(str(last_seq),), column=column)
