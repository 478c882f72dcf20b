"""
Find an instrument's terms on a day: tick, lot, multiplier, settlement cycle, calendar and product.

An amendment counts from a day on, which may be before or after the one on which it is recorded. What one leaves out
stays as it was on its day; of two for one day the later recorded goes over the other. The row has the terms of the
newest day, and all that went into them, so that a trade of any day is held to the terms of that day.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.rows import Instrument

AMOUNTS: Final = ("tick", "lot", "multiplier")
NAMES: Final = (*AMOUNTS, "settlement_cycle", "calendar", "product", "symbol", "isin")
NONE: Final = "[]"
"""What a row has as amendments while its terms are those it was defined with."""
Changes = dict[str, Any]
_HISTORY: Final = msgspec.json.Decoder(list[tuple[str, Changes]])


def _applied(row: Instrument, changes: Sequence[Changes]) -> Instrument:
    merged: Changes = {}
    for each in changes:
        merged |= each
    given = {name: amounts.parse(value) if name in AMOUNTS else value for name, value in merged.items()}
    return msgspec.structs.replace(row, **given)


@functools.lru_cache(4096)
def _on(row: Instrument, day: str) -> Instrument:
    return _applied(row, [changes for since, changes in _HISTORY.decode(row.amendments) if since <= day])


def terms_on(row: Instrument, day: str) -> Instrument:
    """
    Return *row* with the terms that are in force on *day*.
    """
    return row if row.amendments == NONE else _on(row, day)


def amended(row: Instrument, since: str, changes: Changes) -> Instrument:
    """
    Return *row* once *changes* are in force from the day *since* on, whatever is amended for later days.
    """
    history = _HISTORY.decode(row.amendments)
    if not history:
        # Before any day that has a date, what the instrument was defined with.
        first = {name: getattr(row, name) for name in NAMES}
        history = [("", {name: amounts.render(x) if name in AMOUNTS else x for name, x in first.items()})]
    written = {name: amounts.render(x) if name in AMOUNTS else x for name, x in changes.items()}
    place = sum(day <= since for day, _ in history)
    history.insert(place, (since, written))
    text = msgspec.json.encode(history, order="sorted").decode()
    return _applied(msgspec.structs.replace(row, amendments=text), [each for _, each in history])


def days_from(row: Instrument, since: str) -> list[str]:
    """
    Return the days, from *since* on, from which other terms are in force.
    """
    return [day for day, _ in _HISTORY.decode(row.amendments) if day >= since]
