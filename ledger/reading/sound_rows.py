"""
Hold rows of the read models against what the ledger writes in them, before anything is made of them.

A cell that was edited may hold what is no JSON, no amount or no day, or name a row that is not there. Whoever reads it
is told which cell that is and what to do, and gets no answer that rests on it. That a row is what the events make of
it is not asked here: the verifier does.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Container, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events.reference import Cycle
from ledger.domain.profit_and_loss import CLOSING
from ledger.domain.rows import TABLES
from ledger.domain.rules import new_shares
from ledger.errors import InvalidAmount, StateMismatch, shown

R = TypeVar("R")
MEND: Final = "verify with `tradeledger-verify full`, and mend the books with `tradeledger repair`"


class _Terms(msgspec.Struct, forbid_unknown_fields=True):
    """What an amendment may say."""

    tick: str = "1"
    lot: str = "1"
    multiplier: str = "1"
    settlement_cycle: int = 0
    calendar: str | None = None
    product: str | None = None
    symbol: str | None = None
    isin: str | None = None


_AMENDMENTS: Final = msgspec.json.Decoder(list[tuple[str, _Terms]])
_CYCLES: Final = msgspec.json.Decoder(tuple[Cycle, ...])
_PARTS: Final = msgspec.json.Decoder(list[tuple[str, str, str]])
"""Of fees, kind, asset and amount; of what is held, account, asset and amount."""


def _check_terms(text: str) -> None:
    for _, terms in _AMENDMENTS.decode(text):
        for amount in (terms.tick, terms.lot, terms.multiplier):
            amounts.parse(amount)


def _check_parts(text: str) -> None:
    for _, _, amount in _PARTS.decode(text):
        amounts.parse(amount)


def _check_kind(text: str) -> None:
    if text not in (*CLOSING, "intraday"):
        raise ValueError("no kind of a mark")


_CHECKS: Final[dict[str, dict[str, Callable[[str], object]]]] = {
    "assets": {"splits": new_shares.applied},
    "calendars": {"cycles": _CYCLES.decode},
    "executions": {"fees": _check_parts},
    "holds": {"legs": _check_parts, "remaining": _check_parts},
    "instruments": {"amendments": _check_terms},
    "marks": {"kind": _check_kind},
    "movements": {"postings": postings.from_text},
}
"""By table and column, what fails of a text that the ledger never writes there."""
_EMPTY: Final = "[]"


def _days_of(table: str) -> list[str]:
    spec = TABLES[table]
    hints = typing.get_type_hints(spec.row_type)
    return [name for name in spec.columns if name in spec.dates and not isinstance(hints[name], types.UnionType)]


_LISTS: Final = {
    table: [name for name, hint in typing.get_type_hints(spec.row_type).items() if typing.get_origin(hint) is tuple]
    for table, spec in TABLES.items()
}
"""By table, the columns that are lists of text, none of it absent."""
_DAYS: Final = {table: _days_of(table) for table in TABLES}
"""By table, the columns that always have a day: one that calendars do not know, infinity, reads as none."""


def check_text(table: str, column: str, text: str, of: object) -> None:
    """
    Raise StateMismatch where *text*, in that column of the row *of*, is nothing that the ledger writes there.
    """
    if text == _EMPTY and column != "kind":
        return
    try:
        _CHECKS[table][column](text)
    except (msgspec.MsgspecError, InvalidAmount, ValueError) as error:
        raise StateMismatch(_wrong(table, column, text, of)) from error


def checked(table: str, rows: list[R]) -> list[R]:
    """
    Return *rows* of *table* as they are.

    Raises:
        StateMismatch: a cell of one has what the ledger never writes there.
    """
    texts, lists, days = _CHECKS.get(table, {}), _LISTS[table], _DAYS[table]
    for row in rows if texts or lists or days else ():
        for column in texts:
            check_text(table, column, getattr(row, column), _key(table, row))
        for column in lists:
            # An allocation is of one execution or more.
            if None in getattr(row, column) or (column == "exec_ids" and not getattr(row, column)):
                raise StateMismatch(_wrong(table, column, str(getattr(row, column)), _key(table, row)))
        for column in days:
            if getattr(row, column) is None:
                raise StateMismatch(_wrong(table, column, "infinity", _key(table, row)))
    return rows


def check_named(table: str, rows: Iterable[Any], column: str, known: Container[str], others: str) -> None:
    """
    Raise StateMismatch where *column* of one of *rows* of *table* names none of the *known* rows of *others*.
    """
    for row in rows:
        name = getattr(row, column)
        if name not in known:
            raise StateMismatch(
                f"found {shown(name)} in {table}.{column} of {_key(table, row)}, and no such row of {others}; {MEND}"
            )


def _key(table: str, row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in TABLES[table].key)


def _wrong(table: str, column: str, text: str, of: object) -> str:
    return f"found {shown(text)} in {table}.{column} of {of}, which the ledger never writes there; {MEND}"
