"""
Turn what the database stores in a read model into rows as the rules make them, with code of the verifier's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ledger.domain import amounts
from ledger.domain.rows import Row, TableSpec


def columns_of(spec: TableSpec) -> str:
    """
    Return the columns of a read model as SQL lists them, amounts and dates as text.
    """
    return ", ".join(
        f'"{name}"::text' if name in spec.amounts or name in spec.dates else f'"{name}"' for name in spec.columns
    )


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
