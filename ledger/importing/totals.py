"""
Follow the chain during an import: what its postings sum to, and which breaks stand, as of some seq.

A statement of the engine is compared with the books as they were at its place in the file. So the sums are taken from
the chain itself, in the order of its seqs, and brought up to the request that came before the statement.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import amounts, postings, registry
from ledger.domain.events.control import Difference, ReconciliationRecorded
from ledger.journal.ledger import Ledger
from ledger.reading.posted import posted

SEPARATOR: Final = ":reconciled"
"""Between the engine's event id and what the key of a reconciliation says besides."""
Standing = dict[str, Difference]


class Totals:
    """
    What the chain's postings sum to, and which breaks stand, as of some seq.
    """

    def __init__(self, ledger: Ledger, origin: str) -> None:
        self._ledger = ledger
        self._origin = origin
        self._read = 0
        self._waiting: deque[RecordedEvent] = deque()
        self.kinds: dict[int, str] = {}
        self.sums: dict[tuple[str, str], int] = defaultdict(int)
        self.assets: dict[str, set[str]] = defaultdict(set)
        self.standing: Standing = {}

    def start_at(self, seq: int) -> None:
        """
        Take in the chain up to *seq*, before the import's own first event.
        """
        for event in self._ledger.events(0, seq):
            self._take(event)
            if event.event_type == "ReconciliationRecorded":
                given = split_payload(event.payload)[1]
                found = registry.decode_given(event.event_type, event.schema_version, given)
                if isinstance(found, ReconciliationRecorded) and found.origin == self._origin:
                    self.standing = {one.key: one for one in found.breaks}
        self._read = seq

    def read_to(self, seq: int) -> None:
        """
        Read the chain on to *seq*; `kinds` has the types of what was read last.
        """
        if seq > self._read:
            found = list(self._ledger.events(self._read, seq - self._read))
            self._waiting.extend(found)
            self._read = seq
            self.kinds = {event.seq: event.event_type for event in found}

    def advance(self, seq: int) -> None:
        """
        Bring the sums to *seq*.
        """
        while self._waiting and self._waiting[0].seq <= seq:
            self._take(self._waiting.popleft())

    def _take(self, event: RecordedEvent) -> set[str]:
        moved = set()
        for line in posted(event):
            if not postings.is_system(line.account):
                self.sums[line.account, line.asset] += line.amount
                self.assets[line.account].add(line.asset)
                moved.add(line.account)
        return moved

    def moved_since(self, is_ours: Callable[[str], bool]) -> set[str] | None:
        """
        Return the accounts that moved after what was read; None where a statement that is not ours was compared since.

        *is_ours* tells of a statement's event id whether it is of this import.
        """
        moved: set[str] = set()
        for event in self._ledger.events(self._read):
            moved |= self._take(event)
            compared = event.event_type == "ReconciliationRecorded" and event.source == self._origin
            if compared and not is_ours(event.idempotency_key.partition(SEPARATOR)[0]):
                return None
        return moved


def standing_after(before: Standing, compared: dict[str, tuple[int, int]]) -> Standing:
    """
    Return the differences that stand after a comparison of {key: (ours, theirs)}.
    """
    standing = dict(before)
    for key, (ours, theirs) in compared.items():
        if ours == theirs:
            standing.pop(key, None)
        else:
            standing[key] = Difference(key=key, ledger=amounts.render(ours), external=amounts.render(theirs))
    return standing
