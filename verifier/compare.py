"""
Compare every read model, row by row and column by column, with what the events make of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import Key, State
from ledger.spill.spill import Spill
from verifier.absent import shown
from verifier.report import LISTED, Finding


def compare(table: str, stored: Iterable[Row], state: State, spill: Spill) -> tuple[int, list[Finding]]:
    """
    Return how many rows of *table* are stored, and what is wrong.

    Rows are streamed; what is held is what is open, and what is wrong, up to `LISTED` of it.
    """
    found = _Differences(TABLES[table])
    spec, count, seen = TABLES[table], 0, set()
    expected = state.table(table).rows
    for row in stored:
        count += 1
        key = tuple(getattr(row, name) for name in spec.key)
        made = expected.get(key)
        if made is not None:
            again = key in seen
            seen.add(key)
        else:
            made, again = spill.meet(table, key)
        if made is None or again:
            found.too_many(key, row, twice=again)
        elif made != row:
            found.changed(key, made, row)
    for key, made in expected.items():
        if key not in seen:
            found.missing(key, made)
    for made in spill.not_met(table):
        key = tuple(getattr(made, name) for name in spec.key)
        if key not in expected:
            found.missing(key, made)
    return count, found.findings(empty=not count)


class _Differences:
    """
    What is wrong in one table. A row too many and one less that agree in all else are one row with another key.
    """

    def __init__(self, spec: TableSpec) -> None:
        self._spec = spec
        self._changed: list[Finding] = []
        self._more: list[tuple[Key, Row, bool]] = []
        self._less: list[tuple[Key, Row]] = []
        self._counts = [0, 0, 0]

    def changed(self, key: Key, made: Row, row: Row) -> None:
        self._counts[0] += 1
        if self._counts[0] <= LISTED:
            self._changed += [
                self._finding(key, _shown(self._spec, name, made), _shown(self._spec, name, row), name)
                for name in self._spec.columns
                if getattr(made, name) != getattr(row, name)
            ]

    def too_many(self, key: Key, row: Row, *, twice: bool) -> None:
        self._counts[1] += 1
        if self._counts[1] <= LISTED:
            self._more.append((key, row, twice))

    def missing(self, key: Key, made: Row) -> None:
        self._counts[2] += 1
        if self._counts[2] <= LISTED:
            self._less.append((key, made))

    def findings(self, *, empty: bool) -> list[Finding]:
        if empty and self._counts[2]:
            return [Finding("TRUNCATED", f"{self._counts[2]} rows", "no rows", table=self._spec.name, key=())]
        found = self._changed
        gone: dict[tuple[object, ...], list[tuple[Key, Row]]] = {}
        for key, made in self._less:
            gone.setdefault(self._rest(made), []).append((key, made))
        for key, row, twice in self._more:
            alike = [] if twice else gone.get(self._rest(row), [])
            if not alike:
                found.append(self._finding(key, "one row" if twice else "no such row", "two" if twice else "a row"))
                continue
            other = min(alike, key=lambda less: sum(a != b for a, b in zip(less[0], key, strict=True)))
            alike.remove(other)
            found += [
                self._finding(other[0], shown(a), shown(b), name)
                for name, a, b in zip(self._spec.key, other[0], key, strict=True)
                if a != b
            ]
        found += [self._finding(key, "a row", "no such row") for rows in gone.values() for key, _ in rows]
        unlisted = sum(max(0, count - LISTED) for count in self._counts)
        if unlisted:
            found.append(self._finding((), "nothing more", f"{unlisted} more rows that differ"))
        return found

    def _rest(self, row: Row) -> tuple[object, ...]:
        return tuple(getattr(row, name) for name in self._spec.columns if name not in self._spec.key)

    def _finding(self, key: Key, expected: str, actual: str, column: str | None = None) -> Finding:
        return Finding("PROJECTION_MISMATCH", expected, actual, table=self._spec.name, key=_key(key), column=column)


def _key(key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(shown(part) for part in key)


def _shown(spec: TableSpec, name: str, row: Row) -> str:
    value = getattr(row, name)
    if name in spec.amounts and isinstance(value, int):
        return amounts.render(value)
    return shown(value)
