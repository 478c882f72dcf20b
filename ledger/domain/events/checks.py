"""
Check the fields of an event, by what the annotation of each says it holds.

These checks run for every event that is made or read, so they stand apart from the classes that they are of: here they
can be compiled, which classes of messages cannot.
"""

from __future__ import annotations

import datetime
import functools
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from ledger.domain import amounts
from ledger.errors import InvalidEvent, shown

IDENTIFIER_LIMIT_BYTES: Final = 128

_IDENTIFIER: Final = re.compile(rf"[ -.0-~]{{1,{IDENTIFIER_LIMIT_BYTES}}}", re.ASCII)
_CANONICAL: Final = re.compile(r"(?!-0$)-?(0|[1-9][0-9]{0,29})(\.[0-9]{0,17}[1-9])?", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SURROGATES: Final = (chr(0xD800), chr(0xDFFF))

Check = Callable[[Any], Any]
"""Returns a value as it is kept, or raises InvalidEvent."""


def check_fields(made: msgspec.Struct) -> None:
    """
    Check every field of *made*, and put those that are kept otherwise than they were given.

    Raises:
        InvalidEvent: one holds what its annotation does not allow.
    """
    kind = type(made)
    for name, check, optional in _checks(kind):
        value = getattr(made, name)
        if value is None and optional:
            continue
        try:
            checked = check(value)
        except InvalidEvent as error:
            raise type(error)(f"{kind.__name__}.{name}: {error}") from None
        if checked is not value:
            msgspec.structs.force_setattr(made, name, checked)


def _plain(value: Any) -> str | None:
    """
    Return text as plain `str`, None for what is no text.

    Of another class, such as a word of an enumeration, it may be written out otherwise than it is compared and encoded.
    """
    return str.__str__(value) if isinstance(value, str) else None


def _identifier(value: Any) -> str:
    text = value if type(value) is str else _plain(value)
    if text is None or not _IDENTIFIER.fullmatch(text):
        raise InvalidEvent(
            f"found {shown(value)}; expected an identifier: printable ASCII without '/', 1 to "
            f"{IDENTIFIER_LIMIT_BYTES} characters"
        )
    return text


def _text(value: Any) -> str:
    text = value if type(value) is str else _plain(value)
    if text is None:
        raise InvalidEvent(f"found {shown(value)} ({type(value).__name__}); expected text")
    if "\0" in text or (not text.isascii() and any(_SURROGATES[0] <= c <= _SURROGATES[1] for c in text)):
        raise InvalidEvent("found U+0000 or a lone surrogate, which PostgreSQL cannot store; leave it out")
    return text


def _date(value: Any) -> str:
    text = value if type(value) is str else _plain(value)
    try:
        if text is None or not _DATE.fullmatch(text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError:
        raise InvalidEvent(f"found {shown(value)}; expected a date such as '2024-08-08'") from None
    return text


def _amount(value: Any) -> str:
    if type(value) is str and _CANONICAL.fullmatch(value):
        return value
    return amounts.canonical(value)


def _integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise InvalidEvent(f"found {shown(value)} ({type(value).__name__}); expected an integer of 64 bits")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise InvalidEvent(f"found {shown(value)}; expected true or false")
    return value


def _word(words: tuple[str, ...], value: Any) -> str:
    if value not in words:
        raise InvalidEvent(f"found {shown(value)}; expected one of {', '.join(words)}")
    return value if type(value) is str else words[words.index(value)]


def _part(kind: type[Any], value: Any) -> Any:
    # A class made from it could have fields more, which nobody could read again.
    if type(value) is not kind:
        raise InvalidEvent(f"found {shown(value)}; expected a {kind.__name__}")
    return value


def _each(check: Check, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise InvalidEvent(f"found {shown(value)}; expected a list")
    checked = tuple(check(item) for item in value)
    return checked


_BY_NAME: Final[dict[str, Check]] = {
    "identifier": _identifier, "text": _text, "date": _date, "amount": _amount,
}  # fmt: skip


def _check_of(hint: Any) -> Check:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _BY_NAME[arguments[1]]
    if origin is Literal:
        return functools.partial(_word, arguments)
    if origin is tuple:
        return functools.partial(_each, _check_of(arguments[0]))
    if hint is bool:
        return _flag
    if hint is int:
        return _integer
    return functools.partial(_part, hint)


def _as_left_out(check: Check, default: str) -> Check:
    """Return *check*, whose text is *default* itself where it equals it: only that is left out of the bytes."""

    def checked(value: Any) -> Any:
        found = check(value)
        return default if found == default else found

    return checked


@functools.cache
def _checks(kind: type[msgspec.Struct]) -> tuple[tuple[str, Check, bool], ...]:
    found = []
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if name not in kind.__struct_fields__:
            continue
        optional = typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)
        if optional:
            hint = next(option for option in typing.get_args(hint) if option is not type(None))
        check = _check_of(hint)
        if isinstance(defaults[name], str):
            check = _as_left_out(check, defaults[name])
        found.append((name, check, optional))
    return tuple(found)
