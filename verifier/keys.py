"""
Hold the idempotency keys against the groups that used them, as two streams in the order of seq.

Both sides come sorted, so that nothing is held but what does not fit: a group whose key is not there, a key whose
group is not. At the end these are paired, to name the one column that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.chain.entry import RecordedEvent
from verifier.report import LISTED, Finding
from verifier.stored import KeyRow

Pair = tuple[str, str]
TABLE = "idempotency_keys"


class KeyCheck:
    """
    The rows that wait for their group, and what did not fit.
    """

    def __init__(self, rows: Iterator[KeyRow]) -> None:
        self._rows = rows
        self._ahead = next(rows, None)
        self._waiting: list[KeyRow] = []
        self._groups = 0
        self._without_row: dict[Pair, int] = {}
        self._without_group: dict[Pair, int] = {}
        self._unlisted = 0
        self._any = self._ahead is not None

    def _take(self, seq: int) -> None:
        while self._ahead is not None and self._ahead.first_seq <= seq:
            self._waiting.append(self._ahead)
            self._ahead = next(self._rows, None)

    def pair_at(self, seq: int) -> Pair | None:
        """
        Return the (source, key) whose row says that its group begins at *seq*: a witness.
        """
        self._take(seq)
        found = [(row.source, row.key) for row in self._waiting if row.first_seq == seq]
        return found[0] if len(found) == 1 else None

    def use(self, first: RecordedEvent) -> None:
        """
        Note the first event of the next group.
        """
        self._groups += 1
        self._take(first.seq)
        pair = (first.source, first.idempotency_key)
        waiting, self._waiting = self._waiting, []
        fits = [row for row in waiting if (row.source, row.key) == pair and row.first_seq == first.seq]
        for row in waiting:
            if not fits or row is not fits[0]:
                self._note(self._without_group, (row.source, row.key), row.first_seq)
        if not fits:
            self._note(self._without_row, pair, first.seq)

    def _note(self, which: dict[Pair, int], pair: Pair, seq: int) -> None:
        if len(which) < LISTED and pair not in which:
            which[pair] = seq
        else:
            self._unlisted += 1

    def findings(self) -> list[Finding]:
        """
        Return every row that is missing, too many or changed, once the chain has ended.
        """
        if not self._any and self._groups:
            return [Finding("TRUNCATED", f"{self._groups} rows", "no rows", table=TABLE, key=())]
        self._take(2**63)
        for row in self._waiting:
            self._note(self._without_group, (row.source, row.key), row.first_seq)
        found, rows = [], dict(self._without_group)
        by_seq = {seq: pair for pair, seq in rows.items()}
        for pair, seq in self._without_row.items():
            other = by_seq.get(seq)
            if pair in rows:
                found.append(_finding(pair, "first_seq", str(seq), str(rows.pop(pair))))
            elif other is not None and rows.pop(other, None) is not None:
                wrong = [n for n, name in enumerate(("source", "key")) if pair[n] != other[n]]
                column = " and ".join(("source", "key")[n] for n in wrong)
                expected, actual = (" ".join(str(row[n]) for n in wrong) for row in (pair, other))
                found.append(_finding(pair, column, expected, actual))
            else:
                found.append(_finding(pair, None, f"a row with first_seq {seq}", "no such row"))
        found += [_finding(pair, None, "no such row", f"a row with first_seq {seq}") for pair, seq in rows.items()]
        if self._unlisted:
            found.append(Finding("KEY_MISMATCH", "nothing more", f"{self._unlisted} more rows that do not fit",
                                 table=TABLE, key=()))  # fmt: skip
        return found


def _finding(pair: Pair, column: str | None, expected: str, actual: str) -> Finding:
    return Finding("KEY_MISMATCH", expected, actual, table=TABLE, key=tuple(map(str, pair)), column=column)
