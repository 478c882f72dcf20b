"""
Hold what a region keeps for reads of the past against the replay: histories, their watermarks, snapshots.

Each version of a row stands in its history at the seq of the event that made it, up to the watermark and not beyond.
Histories are read in step with the events, so that nothing is held but the rows of one event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row
from ledger.domain.snapshot_bytes import decode, digest_of
from ledger.domain.state import Change, Key
from verifier.absent import shown
from verifier.moment import HISTORIES
from verifier.reader import Reader
from verifier.report import Finding, Findings

KIND: Final = "PROJECTION_MISMATCH"
WATERMARKS: Final = "read_model_watermarks"


class HistoryCheck:
    """
    The check of one history, event by event.
    """

    def __init__(self, reader: Reader, table: str, watermark: int, findings: Findings) -> None:
        self._table, self._name = table, HISTORIES[table]
        self._versions: Iterator[tuple[int, Row]] = reader.versions(table)
        self._next = next(self._versions, None)
        self._watermark = watermark
        self._findings = findings
        self.rows = 0

    @property
    def ahead(self) -> bool:
        """
        Return whether there is a version that no event has met yet.
        """
        return self._next is not None

    def reach(self, seq: int, changes: Sequence[Change]) -> None:
        """
        Hold the versions at *seq* against what the event there changed.
        """
        made: dict[Key, Row] = {}
        if seq <= self._watermark:
            made = {change.key: change.new for change in changes if change.table == self._table}
        # In order of seq: what is left of an earlier one belongs to no event that there is.
        while self._next is not None and self._next[0] <= seq:
            at, row = self._next
            self._next = next(self._versions, None)
            self.rows += 1
            key = tuple(getattr(row, name) for name in TABLES[self._table].key)
            expected = made.pop(key, None) if at == seq else None
            if expected is None:
                self._found("no such row", "a row", key, at)
            elif expected != row:
                self._differs(expected, row, key, at)
        for key in made:
            self._found("a row", "no such row", key, seq)

    def _differs(self, expected: Row, row: Row, key: Key, seq: int) -> None:
        spec = TABLES[self._table]
        for name in spec.columns:
            made, found = getattr(expected, name), getattr(row, name)
            if made != found:
                self._found(_shown(made, name in spec.amounts), _shown(found, name in spec.amounts), key, seq, name)

    def _found(self, expected: str, actual: str, key: Key, seq: int, column: str | None = None) -> None:
        place = (*(shown(part) for part in key), str(seq))
        self._findings.add([Finding(KIND, expected, actual, table=self._name, key=place, column=column)])


def _shown(value: object, is_amount: bool) -> str:
    return amounts.render(value) if is_amount and isinstance(value, int) else shown(value)


class KeptCheck:
    """
    The check of all that is kept, event by event and at the end.
    """

    def __init__(self, reader: Reader, findings: Findings) -> None:
        self._reader = reader
        self._findings = findings
        self._marks = reader.watermarks()
        self._snapshots = reader.snapshots()
        # They move together: where one is lost, the other says how far both are.
        reached = max((seq for seq, _ in self._marks.values()), default=0)
        self._histories = [
            HistoryCheck(reader, table, self._marks.get(name, (reached, b""))[0], findings)
            for table, name in HISTORIES.items()
        ]
        self._seq = 0
        self._stopped: int | None = None
        self._hashes: dict[int, bytes] = {0: genesis(reader.chain.chain_id, reader.chain.origin)}
        """The true hash at each watermark's seq."""
        self._places: dict[bytes, int] = {}
        """The true seq of each watermark's hash."""

    @property
    def idle(self) -> bool:
        """
        Return whether nothing is kept of the past, so that no event needs to be taken in.
        """
        return not (self._marks or self._snapshots or any(history.ahead for history in self._histories))

    @property
    def kept_to(self) -> int:
        """
        Return how far what is kept goes.
        """
        return min((seq for seq, _ in self._marks.values()), default=0)

    def reach(self, event: RecordedEvent, changes: Sequence[Change], digest: bytes | None) -> None:
        """
        Take in an event, what it changed, and the digest after it where `wants` asked for one.
        """
        self._seq = event.seq
        if self._stopped is None:
            for history in self._histories:
                history.reach(event.seq, changes)
        for seq, stored in self._marks.values():
            if seq == event.seq:
                self._hashes[seq] = event.hash
            if stored == event.hash:
                self._places[stored] = event.seq
        if digest is not None:
            stored = self._snapshots.pop(event.seq)
            if stored != digest:
                self._snapshot(digest.hex(), stored.hex(), event.seq, "state_digest")
            self._unpack(event.seq, digest)

    def stop(self, seq: int) -> None:
        """
        Hold no version or snapshot of event *seq* or after it against anything: what these events do is not known.
        """
        self._stopped = seq
        for history in self._histories:
            history.reach(seq - 1, ())
        self._snapshots = {at: digest for at, digest in self._snapshots.items() if at < seq}

    def wants(self, seq: int) -> bool:
        """
        Return whether there is a snapshot at *seq*.
        """
        return seq in self._snapshots

    def _unpack(self, seq: int, digest: bytes) -> None:
        try:
            made = digest_of(decode(self._reader.snapshot_rows(seq))).hex()
        except (ValueError, AttributeError, msgspec.MsgspecError) as error:
            made = f"no rows: {error}"
        if made != digest.hex():
            self._snapshot(digest.hex(), made, seq, "rows")

    def end(self) -> None:
        """
        Report what no event accounts for.
        """
        if self._stopped is None:
            for history in self._histories:
                history.reach(2**63 - 1, ())
        for seq in self._snapshots:
            self._snapshot("no such row", "a row", seq, None)
        for name, (seq, stored) in self._marks.items():
            if name not in HISTORIES.values():
                self._mark("no such row", "a row", name, None)
            elif stored in self._places and self._places[stored] != seq:
                self._mark(str(self._places[stored]), str(seq), name, "seq")
            elif seq not in self._hashes:
                self._mark(f"0 to {self._seq}", str(seq), name, "seq")
            elif stored != self._hashes[seq]:
                self._mark(self._hashes[seq].hex(), stored.hex(), name, "hash")
        if self._marks:
            for name in sorted({*HISTORIES.values()} - {*self._marks}):
                self._mark("a row", "no such row", name, None)

    def _mark(self, expected: str, actual: str, name: str, column: str | None) -> None:
        self._findings.add([Finding(KIND, expected, actual, table=WATERMARKS, key=(name,), column=column)])

    def _snapshot(self, expected: str, actual: str, seq: int, column: str | None) -> None:
        self._findings.add([Finding(KIND, expected, actual, table="snapshots", key=(str(seq),), column=column)])
