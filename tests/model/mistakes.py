"""
Change one field of a request to something nearly right, so that every rule that looks at a field is asked about it.

The requests err where somebody thought of it; this errs everywhere: another number, a neighbouring day, somebody else's
name, a list that is empty or has something twice.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.fields import Event, Fields
from ledger.domain.events.orders import OrderPlaced
from ledger.errors import LedgerError
from tests.model.dice import Dice
from tests.model.history import History

NUMBERS = ("0", "1", "-1", "0.5", "10", "0.01", "-0.05", "3", "7.25", "100", "0.000000001", "2")
NAMES = (
    "A",
    "F",
    "M",
    "BLOCK",
    "XYZ",
    "USD",
    "EUR",
    "BTC",
    "FUT",
    "XYZ.N",
    "BTC-USD",
    "N",
    "V",
    "~fees",
    "nobody",
    "us",
)
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def with_a_mistake(event: Event, history: History, dice: Dice) -> Event:
    """Return *event* with one field changed, or as it is where the change could not even be written down."""
    try:
        return _with_a_mistake(event, _ids(history), dice)
    except (LedgerError, TypeError, ValueError):
        return event


def _ids(history: History) -> list[str]:
    """Return the ids that events were given, of whatever kind."""
    every = (
        getattr(x.event, name) for x in history.entries for name in x.event.__struct_fields__ if name[-3:] == "_id"
    )
    return sorted({x for x in every if isinstance(x, str)})


def _with_a_mistake(given: Any, ids: Sequence[str], dice: Dice) -> Any:
    fields = {name: getattr(given, name) for name in given.__struct_fields__}
    name = dice.choice([x for x in fields if x not in _kept(given)])
    fields[name] = _other(fields[name], ids, dice)
    return type(given)(**fields)


def _kept(given: Any) -> tuple[str, ...]:
    """
    Return the fields that stay: what the model leaves out on purpose.

    A hold that the caller sets is of an amount whose parts are exact, for how they are rounded is nobody's promise, and
    of an instrument that does not split.
    """
    if isinstance(given, OrderPlaced) and given.hold is not None:
        return ("hold", "qty", "instrument")
    return ("instrument",) if isinstance(given, SplitApplied) else ()


def _other(value: Any, ids: Sequence[str], dice: Dice) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.of(-1, 1, -10, 10)
    if value is None:
        return dice.choice([*NUMBERS, *NAMES, *ids])
    if isinstance(value, tuple):
        return _other_list(value, ids, dice)
    if isinstance(value, Fields):
        return _with_a_mistake(value, ids, dice)
    if DAY.fullmatch(str(value)):
        return (datetime.date.fromisoformat(str(value)) + datetime.timedelta(days=dice.of(-5, -2, -1, 1))).isoformat()
    if NUMBER.fullmatch(str(value)):
        return dice.of(*NUMBERS, f"{value}1" if "." in str(value) else f"{value}.5")
    return dice.choice([*NAMES, *ids])


def _other_list(value: tuple[Any, ...], ids: Sequence[str], dice: Dice) -> tuple[Any, ...]:
    if not value:
        return value
    how, place = dice.of("empty", "twice", "one", "one"), dice.randrange(len(value))
    if how == "empty":
        return ()
    if how == "twice":
        return (*value, value[0])
    return (*value[:place], _other(value[place], ids, dice), *value[place + 1 :])
