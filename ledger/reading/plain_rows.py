"""
Show rows as plain values: exact amounts as decimal text, integers past 2^53 as text, lists as lists, and text that is
JSON as text that says so.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.ladder import Rung
from ledger.domain.rows import TABLES, Asset, Balance, Calendar, Execution, Hold, Instrument
from ledger.reading.views import BlotterLine, HistoryLine, View

_AMOUNTS: Final[dict[type[Any], frozenset[str]]] = {spec.row_type: spec.amounts for spec in TABLES.values()} | {
    Rung: frozenset({"due", "settled", "failed"})
}
_STRUCTURED: Final[dict[type[Any], frozenset[str]]] = {
    Asset: frozenset({"splits"}),
    BlotterLine: frozenset({"fees"}),
    Calendar: frozenset({"cycles"}),
    Execution: frozenset({"fees"}),
    HistoryLine: frozenset({"given", "derived"}),
    Hold: frozenset({"legs", "remaining"}),
    Instrument: frozenset({"amendments"}),
}
_SAFE: Final = 2**53
TIMES: Final = frozenset({"recorded_at", "occurred_at", "as_of", "expire_at", "expires_at"})
"""The columns of rows that are times, in ns; `replaced_at` is a seq."""


class Structured(str):
    """
    Text that is JSON, to the letter as it is recorded: a part of JSON as it is, text elsewhere.
    """


def safe(value: Any) -> Any:
    """
    Return *value*, made of structs, dicts and lists, ready for JSON that any program reads: integers past 2^53 as text.
    """
    if type(value) is int and abs(value) > _SAFE:
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {name: safe(one) for name, one in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {name: safe(one) for name, one in value.items()}
    return [safe(one) for one in value] if isinstance(value, list | tuple) else value


def columns(kind: type[Any]) -> tuple[str, ...]:
    """
    Return the names that `plain` gives a row of *kind*, in order.
    """
    names: tuple[str, ...] = kind.__struct_fields__
    return (*names, "total", "available") if kind is Balance else names


def _value(value: Any, is_amount: bool) -> Any:
    if is_amount and value is not None:
        return amounts.render(value)
    return safe(value)


def plain(row: Any) -> dict[str, Any]:
    """
    Return *row* by column name, ready for JSON.
    """
    exact = row.AMOUNTS if isinstance(row, View) else _AMOUNTS[type(row)]
    found = {name: _value(value, name in exact) for name, value in msgspec.structs.asdict(row).items()}
    for name in _STRUCTURED.get(type(row), ()):
        found[name] = Structured(found[name])
    if isinstance(row, Balance):
        found |= {"total": amounts.render(row.total), "available": amounts.render(row.available)}
    return found
