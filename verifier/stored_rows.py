"""
Turn what the database stores in a read model into rows as the rules make them, with code of the verifier's own.
"""

from __future__ import annotations

import contextlib
import functools
import typing
from collections.abc import Sequence
from typing import Any

from ledger.domain import amounts
from ledger.domain.rows import Row, TableSpec


def columns_of(spec: TableSpec, of: str = "") -> str:
    """
    Return the columns of a read model as SQL lists them, amounts and dates as text; *of* is the table's name there.
    """
    table, kinds = f"{of}." if of else "", _kinds(spec.row_type)
    return ", ".join(_column(f'{table}"{name}"', name, spec, kinds[name]) for name in spec.columns)


@functools.cache
def _kinds(row_type: type[Row]) -> dict[str, Any]:
    return typing.get_type_hints(row_type)


def _column(place: str, name: str, spec: TableSpec, kind: Any) -> str:
    if name in spec.amounts or name in spec.dates:
        return f"{place}::text"
    if typing.get_origin(kind) is tuple:
        # Which number its first element has is part of an array, and no ledger writes another than 1: so it is shown.
        return f"CASE WHEN array_lower({place}, 1) <> 1 THEN ARRAY[ARRAY[{place}::text]] ELSE {place} END"
    return place


def row_of(spec: TableSpec, values: Sequence[Any]) -> Row:
    """
    Return the row that *values* of `columns_of` are; what no ledger writes stays what it is, and equals nothing.
    """
    return spec.row_type(
        *(
            amount_of(value) if name in spec.amounts and value is not None
            else _frozen(value)
            for name, value in zip(spec.columns, values, strict=True)
        )
    )  # fmt: skip


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


def amount_of(text: str) -> int | str:
    """
    Return the amount that a text of the database is, in units of 10^-18, or the text where no ledger writes it so.
    """
    # Sums may pass the limit of a single amount, so this is not `amounts.parse`. What is no number in units of 10^-18
    # (NaN, an infinity, more decimals) stays text, which equals no amount; so does one with zeros at its end, which
    # PostgreSQL keeps and no ledger writes.
    whole, _, fraction = text.partition(".")
    with contextlib.suppress(ValueError):
        amount = int(whole + fraction[: amounts.SCALE].ljust(amounts.SCALE, "0"))
        if amounts.render(amount) == text:
            return amount
    return text
