"""
Stand in for a value that no ledger could have written, and say what stands in its place.

Whoever owns the tables can let a column be without a value, or give it one that is none: a date that is not finite,
something of another type. The row has to be read to its end all the same. So the value is read as one of the column's
own kind, which no hash and no rule confirms, and which shows itself, as `str` or `hex`, as what the database has there:
whoever looks for the row by what a finding says it holds finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self, TypeVar

import msgspec

NULL: Final = "NULL"
NOT_FINITE: Final = "not finite"
Kind = TypeVar("Kind", bound=msgspec.Struct)


class NoNumber(int):
    """
    What is read where a number belongs and none stands.
    """

    said: str

    def __new__(cls, said: str) -> Self:
        made = super().__new__(cls, -1)
        made.said = said
        return made

    def __str__(self) -> str:
        return self.said


class NoText(str):
    """
    What is read where a text belongs and none stands: a character that PostgreSQL cannot hold.
    """

    def __str__(self) -> str:
        return NULL


class NoBytes(bytes):
    """
    What is read where bytes belong and none stand: none at all.
    """

    def hex(self, *_: Any) -> str:
        """Return that there are none, where others return their digits."""
        return NULL


_INSTEAD: Final[dict[str, Any]] = {"int": NoNumber(NULL), "str": NoText("\0"), "bytes": NoBytes()}
"""What stands for a NULL where none can be, by the type of the field."""


def is_absent(value: object) -> bool:
    """
    Return whether *value* stands for one that no ledger could have written.
    """
    return isinstance(value, NoNumber | NoText | NoBytes)


def instead(kind: type[msgspec.Struct], name: str, value: Any) -> Any:
    """
    Return what stands for a *value* that the field *name* of a *kind* of row cannot have.
    """
    needed = kind.__annotations__[name]
    if value is not None and needed == "int":
        return NoNumber(f"{value}, of another type")
    return _INSTEAD.get(needed)


def row_of(kind: type[Kind], values: Sequence[Any]) -> Kind:
    """
    Return the *kind* of row that the *values* of the database are, in the order of its fields.
    """
    if None not in values:
        return kind(*values)
    named = zip(kind.__struct_fields__, values, strict=False)
    return kind(*(instead(kind, name, None) if value is None else value for name, value in named))


def number(value: int | None) -> int:
    """
    Return a number of the database, or what stands for it.
    """
    return NoNumber(NULL) if value is None else value


def data(value: bytes | None) -> bytes:
    """
    Return bytes of the database, or what stands for them.
    """
    return NoBytes() if value is None else value


def plain(value: object) -> object:
    """
    Return a value as JSON has it: for one that stands for another, the number or what it says.
    """
    return int(value) if isinstance(value, NoNumber) else shown(value)


def shown(value: object) -> str:
    """
    Return a value as a finding shows it: bytes in hexadecimal, and as NULL what is none.
    """
    if value is None:
        return NULL
    return value.hex() if isinstance(value, bytes) else str(value)
