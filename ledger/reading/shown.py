"""
Show rows as plain values: exact amounts as decimal text, integers past 2^53 as text, lists as lists.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.ladder import Rung
from ledger.domain.rows import TABLES, Balance
from ledger.reading.views import View

_AMOUNTS: Final[dict[type[Any], frozenset[str]]] = {spec.row_type: spec.amounts for spec in TABLES.values()} | {
    Rung: frozenset({"due", "settled", "failed"})
}
_SAFE: Final = 2**53


def columns(kind: type[Any]) -> tuple[str, ...]:
    """
    Return the names that `plain` gives a row of *kind*, in order.
    """
    names: tuple[str, ...] = kind.__struct_fields__
    return (*names, "total", "available") if kind is Balance else names


def _value(value: Any, is_amount: bool) -> Any:
    if is_amount and value is not None:
        return amounts.render(value)
    if isinstance(value, tuple):
        return list(value)
    if type(value) is int and abs(value) > _SAFE:
        return str(value)
    return value


def plain(row: Any) -> dict[str, Any]:
    """
    Return *row* by column name, ready for JSON.
    """
    exact = row.AMOUNTS if isinstance(row, View) else _AMOUNTS[type(row)]
    found = {name: _value(value, name in exact) for name, value in msgspec.structs.asdict(row).items()}
    if isinstance(row, Balance):
        found |= {"total": amounts.render(row.total), "available": amounts.render(row.available)}
    return found
