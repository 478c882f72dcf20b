"""
Read the fields of an engine's event, and refuse by name what is not what it should be.

Numbers that count money or quantity come as text: a JSON number would have been a float somewhere. Names go into the
ledger without `/`, which separates the parts of its own names; `name` and `as_given` turn one into the other without
loss, so that `EUR/USD.SIM` is `EUR%2FUSD.SIM` in the ledger.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from ledger.domain import amounts
from ledger.errors import InvalidInput

Source = Mapping[str, Any]
_INT64: Final = 2**63


def text(source: Source, field: str) -> str:
    """
    Return a text that must be there.
    """
    value = source.get(field)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"found {field} {value!r:.80}; expected text")
    return value


def optional_text(source: Source, field: str) -> str | None:
    """
    Return a text that may be absent.
    """
    return None if source.get(field) is None else text(source, field)


def name(source: Source, field: str) -> str:
    """
    Return a text as the ledger may use it for a name.
    """
    return _as_name(text(source, field))


def optional_name(source: Source, field: str) -> str | None:
    """
    Return a name that may be absent.
    """
    return None if source.get(field) is None else name(source, field)


def _as_name(given: str) -> str:
    return given.replace("%", "%25").replace("/", "%2F")


def as_given(kept: str) -> str:
    """
    Return the engine's own text of a *kept* name.
    """
    return kept.replace("%2F", "/").replace("%25", "%")


def word(source: Source, field: str, words: Mapping[str, Any], default: Any) -> Any:
    """
    Return what *words* makes of a field, or *default* where it is absent.
    """
    value = source.get(field)
    if value is None:
        return default
    if not isinstance(value, str) or value not in words:
        raise InvalidInput(f"found {field} {value!r:.80}; expected one of {', '.join(words)}")
    return words[value]


def side(source: Source) -> Any:
    """
    Return `buy` or `sell`.
    """
    found = word(source, "order_side", {"BUY": "buy", "SELL": "sell"}, None)
    if found is None:
        raise InvalidInput("found no order_side; expected BUY or SELL")
    return found


def quantity(source: Source, field: str) -> str:
    """
    Return a quantity, which is more than 0.
    """
    found = text(source, field)
    if amounts.parse(amounts.canonical(found)) <= 0:
        raise InvalidInput(f"found {field} {found!r:.80}; expected more than 0")
    return found


def time(source: Source) -> int:
    """
    Return when the event happened, in ns since 1970.
    """
    value = source.get("ts_event")
    if type(value) is not int or not 0 <= value < _INT64:
        raise InvalidInput(f"found ts_event {value!r:.80}; expected nanoseconds since 1970")
    return value


def day(source: Source) -> str:
    """
    Return the day, in UTC, on which the event happened.
    """
    return datetime.datetime.fromtimestamp(time(source) // 10**9, datetime.UTC).date().isoformat()


def nanoseconds(source: Source, field: str) -> int | None:
    """
    Return a time that may be absent; 0 is absent too.
    """
    value = source.get(field) or None
    if value is not None and (type(value) is not int or not 0 < value < _INT64):
        raise InvalidInput(f"found {field} {value!r:.80}; expected nanoseconds since 1970")
    return value


def parts(source: Source, field: str) -> list[Source]:
    """
    Return a list of objects that may be absent.
    """
    value = source.get(field) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidInput(f"found {field} {value!r:.80}; expected a list of objects")
    return value


def part(source: Source, field: str) -> Source:
    """
    Return an object that may be absent.
    """
    value = source.get(field) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"found {field} {value!r:.80}; expected an object")
    return value


def money(source: Source, field: str) -> tuple[str, str]:
    """
    Return (amount, currency) of a text such as `0.574 USDT`.
    """
    found = text(source, field)
    amount, _, asset = found.partition(" ")
    if not asset:
        raise InvalidInput(f"found {field} {found!r:.80}; expected an amount and its currency, such as '0.574 USDT'")
    return amount, _as_name(asset)


def decimals(amount: str) -> int:
    """
    Return how many decimals a text has.
    """
    return len(amount.partition(".")[2])
