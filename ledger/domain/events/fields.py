"""
Have the fields of an event checked as it is made, whoever makes it.

A field's annotation says what it holds: an identifier, free text, an exact amount, a date, one word of a list, or
parts of their own. The check runs in the constructor and on decoding alike, so that an event that exists is
well-formed, and its amounts are canonical text. Whether it may happen now is for the rules.
"""

from __future__ import annotations

import typing
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from ledger.domain.events.checks import check_fields

Identifier = Annotated[str, "identifier"]
"""Printable ASCII without `/`, 1 to 128 bytes."""
NAME_LIMIT_BYTES: Final = 300
"""No stream has a longer name, nor anything else that is asked for by name."""
Text = Annotated[str, "text"]
"""UTF-8 without U+0000 and lone surrogates."""
Date = Annotated[str, "date"]
"""ISO text: `2024-08-08`."""
if typing.TYPE_CHECKING:
    Amount = str | int | Decimal
else:
    Amount = Annotated[str, "amount"]
"""Exact; given as text, int or Decimal, kept as canonical decimal text."""


class Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """
    What events and their parts share: the check of every field.
    """

    def __post_init__(self) -> None:
        check_fields(self)


class Event(Fields, frozen=True, kw_only=True):
    """
    What happened, as the caller gives it.

    `KIND` says who may be refused: a `command` may, a `fact` from outside is recorded or quarantined, and
    `control` events are the ledger's own.
    """

    KIND: ClassVar[Literal["command", "fact", "control"]]
    SCHEMA_VERSION: ClassVar[int] = 1
