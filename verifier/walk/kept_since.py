"""
Hold what is kept for reads of the past against the events since an earlier verification.

Only the rows that these events changed are looked at, so the cost follows them and not the length of the histories.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES, Row
from ledger.domain.snapshot_bytes import decode, digest_of
from ledger.domain.state import Change, Key
from verifier.moment import HISTORIES
from verifier.reader import Reader
from verifier.walk.replaying import Doubt

_SOME: Final = 20_000
"""So many versions are held before they are looked up."""
_KEYS: Final = 1000
"""So many keys are asked for at once."""


class KeptSince:
    """
    The check of versions and snapshots after event *after*.
    """

    def __init__(self, reader: Reader, after: int) -> None:
        self._reader, self._first = reader, after + 1
        self._marks = reader.watermarks()
        self._snapshots = {seq: digest for seq, digest in reader.snapshots().items() if seq > after}
        self._made: dict[str, dict[tuple[Key, int], Row]] = {table: {} for table in HISTORIES}
        self._seq = after
        self._hashes: dict[int, bytes] = {}
        if self._marks and set(self._marks) != set(HISTORIES.values()):
            raise Doubt

    @property
    def idle(self) -> bool:
        """
        Return whether nothing is kept.
        """
        return not (self._marks or self._snapshots)

    @property
    def kept_to(self) -> int:
        """
        Return how far what is kept goes.
        """
        return min((seq for seq, _ in self._marks.values()), default=0)

    def wants(self, seq: int) -> bool:
        """
        Return whether there is a snapshot at *seq*.
        """
        return seq in self._snapshots

    def reach(self, event: RecordedEvent, changes: Sequence[Change], digest: bytes | None) -> None:
        """
        Take in an event, what it changed, and the digest after it where there is a snapshot.

        Raises:
            Doubt: something does not fit.
        """
        self._seq = event.seq
        for table, name in HISTORIES.items():
            mark = self._marks.get(name)
            if mark is not None and event.seq <= mark[0]:
                self._made[table].update({(x.key, event.seq): x.new for x in changes if x.table == table})
                if event.seq == mark[0] and event.hash != mark[1]:
                    raise Doubt
        if digest is not None and (self._snapshots.pop(event.seq) != digest or self._unpacked(event.seq) != digest):
            raise Doubt
        if sum(map(len, self._made.values())) >= _SOME:
            self._compare()

    def _unpacked(self, seq: int) -> bytes:
        try:
            return digest_of(decode(self._reader.snapshot_rows(seq)))
        except (ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise Doubt from error

    def _compare(self) -> None:
        for table, made in self._made.items():
            names = TABLES[table].key
            keys = sorted({key for key, _ in made})
            for start in range(0, len(keys), _KEYS):
                some = keys[start : start + _KEYS]
                for seq, row in self._reader.versions_at(table, some, self._first, self._seq):
                    if made.pop((tuple(getattr(row, name) for name in names), seq), None) != row:
                        raise Doubt
            if made:
                raise Doubt
        self._first = self._seq + 1

    def end(self) -> None:
        """
        Compare what is left.

        Raises:
            Doubt: something does not fit.
        """
        self._compare()
        if self._snapshots:
            raise Doubt
        for seq, stored in self._marks.values():
            if seq > self._seq or (seq and seq < self._first and self._hash_at(seq) != stored):
                raise Doubt

    def _hash_at(self, seq: int) -> bytes:
        found = next(self._reader.events(seq, seq), None)
        return b"" if found is None else found.hash
