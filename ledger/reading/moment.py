"""
Name the moment that a read is about.

`Seq` counts events, `RecordedAt` is the ledger's own clock, and `Known` tells two times apart: what was recorded by
then of the days up to one. No moment means now. This module knows no database.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Final, Generic, TypeVar

import msgspec

from ledger.domain.times import EPOCH, time_text
from ledger.errors import InvalidInput, shown

T = TypeVar("T")
_FINE: Final = re.compile(r"([^.,]*[.,][0-9]{6})([0-9]{1,3})([^0-9.,][^.,]*)", re.ASCII)
"""ISO text with more of a second than Python's own reader takes in: it drops what is finer than a microsecond."""
_TOO_FINE: Final = re.compile(r"[.,][0-9]{7,}")
_FIRST_NS: Final = -(2**63)
_LAST_NS: Final = 2**63 - 1
"""The ends of what 64 bits of nanoseconds can tell: late in 1677 and early in 2262."""


class At(msgspec.Struct, Generic[T], frozen=True):
    """
    A value, the seq of the last event it takes into account, and what it was read from.

    `by` is `books` (the rows of now), `history` (an asynchronous read model) or `replay` (the events).
    """

    seq: int
    value: T
    by: str = "books"


class Seq(msgspec.Struct, frozen=True):
    """
    After the event at this seq.
    """

    seq: int


class RecordedAt(msgspec.Struct, frozen=True):
    """
    After the last event recorded at this time or before it: nanoseconds since 1970-01-01 UTC.

    An event is stamped shortly before it is committed, so that one of the last moments may still appear; the seq of
    the answer says which are in it.
    """

    nanoseconds: int


class Known(msgspec.Struct, frozen=True):
    """
    What was known at a recorded time about a day: the fold, in the order (effective_on, seq), of the events recorded
    by then that count for days up to that one.

    Assets, instruments, calendars, accounts and keys count as they were known, whatever day they are of: they say what
    the books are written in, not what is in them.
    """

    recorded_at: int
    effective_on: datetime.date


Moment = Seq | RecordedAt | Known
_NUMBERS: Final[dict[type[Any], str]] = {Seq: "seq", RecordedAt: "nanoseconds", Known: "recorded_at"}


def parse_time(text: str) -> int:
    """
    Return the nanoseconds since 1970 that *text* writes: digits, or ISO 8601 with its offset from UTC.

    Raises:
        InvalidInput: neither, or finer than a nanosecond, or before or after what 64 bits of them can tell.
    """
    found = int(text) if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) else _parse_iso(text)
    if not _FIRST_NS <= found <= _LAST_NS:
        reach = f"{time_text(_FIRST_NS)} to {time_text(_LAST_NS)}"
        raise InvalidInput(f"found the time {text[:60]!r}; expected one from {reach}")
    return found


def _parse_iso(text: str) -> int:
    try:
        if text.isdigit():
            raise ValueError("it has more than 19 digits")
        fine = _FINE.fullmatch(text)
        whole, rest = (fine[1] + fine[3], fine[2]) if fine else (text, "0")
        if _TOO_FINE.search(whole):
            raise ValueError("it is finer than a nanosecond")
        found = datetime.datetime.fromisoformat(whole)
        if found.tzinfo is None:
            raise ValueError("it has no offset from UTC")
    except ValueError as error:
        raise InvalidInput(
            f"found the time {text[:60]!r}: {error}; expected nanoseconds since 1970, or such as 2024-08-08T12:00:00Z"
        ) from None
    passed = found - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1000 + int(rest.ljust(3, "0"))


def parse_day(text: str) -> datetime.date:
    """
    Return the date that ISO *text* writes.

    Raises:
        InvalidInput: it is none.
    """
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            raise ValueError
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"found {text[:40]!r}; expected a date such as 2024-08-08") from None


def days(date: datetime.date) -> int:
    """
    Return *date* in days since 1970-01-01, as `effective_on` is kept.
    """
    return (date - EPOCH.date()).days


def day_text(number: int) -> str:
    """
    Return the ISO text of a day that `days` counted.
    """
    return (EPOCH.date() + datetime.timedelta(days=number)).isoformat()


def check_integers(least: int = -(2**63), /, **named: Any) -> None:
    """
    Raise InvalidInput where one of the numbers, each given as what it is, is below *least* or not of 64 bits.
    """
    for what, number in named.items():
        if type(number) is not int or not least <= number < 2**63:
            above = "" if least < 0 else f" from {least}"
            raise InvalidInput(f"found {shown(number)} as {what}; expected an integer of 64 bits{above}")


def check(moment: Any) -> None:
    """
    Raise InvalidInput unless *moment* is one, with numbers in it.
    """
    whole = _NUMBERS.get(type(moment))
    if whole is None:
        raise InvalidInput(f"found {shown(moment)}; expected at=Seq(…), RecordedAt(…) or Known(…, …)")
    check_integers(**{whole: getattr(moment, whole)})
    if isinstance(moment, Known) and type(moment.effective_on) is not datetime.date:
        raise InvalidInput(f"found {shown(moment.effective_on)} as effective_on; expected a datetime.date")
