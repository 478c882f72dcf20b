"""
Compare every read model, row by row and column by column, with what the events make of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.chain.digest import StateDigest
from ledger.domain import amounts
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import State
from verifier.report import Finding
from verifier.spill import Spill


def compare(
    table: str, stored: Iterable[Row], state: State, spill: Spill, digest: StateDigest
) -> tuple[int, list[Finding]]:
    """
    Return how many rows of *table* are stored, and every difference; stored rows are put into *digest*.
    """
    spec = TABLES[table]
    findings: list[Finding] = []
    seen = set()
    expected = state.table(table).rows
    for row in stored:
        key = tuple(getattr(row, name) for name in spec.key)
        seen.add(key)
        digest.put_in(table, row_bytes(spec, row))
        made = expected.get(key) or spill.load(table, key)
        if made is None:
            findings.append(Finding("PROJECTION_MISMATCH", "no such row", "a row", table=table, key=_key(key)))
        elif made != row:
            findings += [
                Finding("PROJECTION_MISMATCH", _shown(spec, name, made), _shown(spec, name, row), table=table,
                        key=_key(key), column=name)
                for name in spec.columns
                if getattr(made, name) != getattr(row, name)
            ]  # fmt: skip
    for made in (*expected.values(), *spill.rows(table)):
        key = tuple(getattr(made, name) for name in spec.key)
        if key not in seen:
            seen.add(key)
            findings.append(Finding("PROJECTION_MISMATCH", "a row", "no such row", table=table, key=_key(key)))
    return len(seen), findings


def _key(key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in key)


def _shown(spec: TableSpec, name: str, row: Row) -> str:
    value = getattr(row, name)
    if name in spec.amounts and value is not None:
        return amounts.render(value)
    return str(value)
