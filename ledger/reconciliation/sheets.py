"""
Read the bytes of a statement as rows of text, CSV or JSON, and say exactly where they are wrong.

A row is a mapping of column to text with the place it came from. Nothing is guessed: a column that is not known, a
number that JSON would make a float of, and a key that stands twice are errors. What the columns mean is for
`statement.py`; nothing here knows the ledger.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, NoReturn

import msgspec

from ledger.errors import InvalidInput, closest
from ledger.once import once

LIMIT_BYTES: Final = 64 << 20
"""Largest statement that is read: about half a million rows."""
LIMIT_DIGITS: Final = 32
"""Of a number in JSON: those of 10^30, and a sign."""

SECTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "balances": (("account", "asset"), ("total", "settled", "unsettled", "held", "available")),
    "positions": (("account", "instrument", "qty"), ("cost",)),
    "trades": (
        ("venue", "trade_date", "exec_id", "account", "instrument", "side", "qty", "price"), ("gross", "settle_date"),
    ),
}  # fmt: skip
"""The columns that each section must have, and those that it may have besides."""
_TOLD: Final = ("issuer", "as_of", "accounts", "venues", "trades_from", "trades_to")


class Line(msgspec.Struct, frozen=True):
    """
    One row of a statement: where it stands, and its cells by column.
    """

    where: str
    cells: dict[str, str]


class Sheet(msgspec.Struct, frozen=True):
    """
    A statement as it was read: its rows by section, and what a JSON statement says of itself.
    """

    sections: dict[str, list[Line]]
    told: dict[str, Any]


def read(name: str, content: bytes) -> Sheet:
    """
    Return the rows of a statement whose file is called *name*: `….json`, or `….csv`.

    Raises:
        InvalidInput: it cannot be read as what its name says; the message says where and what to do.
    """
    if len(content) > LIMIT_BYTES:
        raise InvalidInput(f"{name} has {len(content)} bytes; at most {LIMIT_BYTES} are read: split it by account")
    text = _text(name, content)
    if not text.strip():
        raise InvalidInput(f"{name} is empty; a statement has a header, or is a JSON object: get the file anew")
    if name.lower().endswith(".json"):
        return _json(name, text)
    if name.lower().endswith(".csv"):
        return _csv(name, text)
    raise InvalidInput(f"{name} is of no kind that is read; name it ….csv or ….json after what it is")


def _text(name: str, content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput(f"{name} is UTF-16; expected UTF-8: save the file so")
    try:
        # Spreadsheets put the mark of UTF-8 in front, and it changes nothing.
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{name}:{line}: found the byte 0x{content[error.start]:02x}, which is no UTF-8 there; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise InvalidInput(f"{name}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: found U+0000; get the file anew")
    return text


def section_of(name: str, columns: Iterable[str]) -> str:
    """
    Return the section that has *columns*.

    Raises:
        InvalidInput: none has them all, or one that it must have is missing.
    """
    given = list(columns)
    twice = sorted({column for column in given if given.count(column) > 1})
    if twice:
        raise InvalidInput(f"{name}: found the column {twice[0]!r} twice; name each once")
    # The columns that only one section has decide which is meant; of none, the one that most of them fit.
    section = max(SECTIONS, key=lambda x: sum(c in (*SECTIONS[x][0], *SECTIONS[x][1]) for c in given))
    required, optional = SECTIONS[section]
    strange = [column for column in given if column not in (*required, *optional)]
    missing = [column for column in required if column not in given]
    if strange:
        hint = closest(strange[0], [c for c in (*required, *optional) if c not in given])
        raise InvalidInput(
            f"{name}: found the column {strange[0][:60]!r}{hint}; {section} have {', '.join(required)}, and may have "
            f"{', '.join(optional)}"
        )
    if missing:
        raise InvalidInput(f"{name}: the column {missing[0]!r} is missing; {section} have {', '.join(required)}")
    if section == "balances" and not set(given) & set(optional):
        raise InvalidInput(f"{name}: no figure to compare; balances have one or more of {', '.join(optional)}")
    return section


def _csv(name: str, text: str) -> Sheet:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[Line] = []
    try:
        header = [cell.strip() for cell in next(rows)]
        if len(header) == 1 and (other := next((c for c in ";\t|" if c in header[0]), None)):
            raise InvalidInput(f"{name}:1: found columns parted by {other!r}; expected commas")
        section = section_of(f"{name}:1", header)
        for cells in rows:
            where = f"{name}:{rows.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise InvalidInput(
                    f"{where}: found {len(cells)} cells under {len(header)} columns; is a comma missing, or one inside "
                    "an amount? Amounts have no thousands separators"
                )
            lines.append(Line(where, dict(zip(header, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise InvalidInput(f"{name}:{rows.line_num}: {error}; is the file cut off, or a quote not closed?") from None
    return Sheet({section: lines}, {})


def _no_float(text: str) -> NoReturn:
    raise ValueError(f'found the number {text[:40]}, which programs read inexactly; write it as text: "{text[:40]}"')


def _integer(text: str) -> int | Decimal:
    if len(text) > LIMIT_DIGITS:
        raise ValueError(f"found a number of {len(text)} digits, {text[:20]}…; amounts go up to 10^30")
    # An integer has no zero with a sign, and would hide that one stood there.
    return Decimal(text) if text == "-0" else int(text)


def _json(name: str, text: str) -> Sheet:
    try:
        found = json.loads(
            text, parse_float=_no_float, parse_constant=_no_float, parse_int=_integer, object_pairs_hook=once
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{name}:{error.lineno}: {error.msg}; is the file cut off, or of another kind?") from None
    except RecursionError:
        raise InvalidInput(f"{name}: nested too deep to be a statement") from None
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{name}: found a JSON {type(found).__name__}; expected an object with {', '.join(SECTIONS)}"
        )
    for key in found:
        if key not in (*_TOLD, *SECTIONS):
            known = (*_TOLD, *SECTIONS)
            raise InvalidInput(f"{name}: found the key {key[:60]!r}{closest(key, known)}; known are {', '.join(known)}")
    sections = {section: _lines(name, section, found[section]) for section in SECTIONS if section in found}
    if not sections:
        raise InvalidInput(f"{name}: states nothing; give one or more of {', '.join(SECTIONS)}")
    return Sheet(sections, {key: found[key] for key in _TOLD if key in found})


def _lines(name: str, section: str, rows: Any) -> list[Line]:
    if not isinstance(rows, list):
        raise InvalidInput(f"{name}: found {section} that are no list; expected a list of objects")
    lines = []
    for number, row in enumerate(rows, 1):
        where = f"{name}, {section} {number}"
        if not isinstance(row, dict):
            raise InvalidInput(f"{where}: found a JSON {type(row).__name__}; expected an object")
        meant = section_of(where, row)
        if meant != section:
            raise InvalidInput(f"{where}: found the columns of {meant}; expected those of {section}")
        lines.append(Line(where, {column: _cell(where, column, value) for column, value in row.items()}))
    return lines


def _cell(where: str, column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int or isinstance(value, Decimal):
        return str(value)
    raise InvalidInput(f"{where}: found {column} {str(value)[:40]!r} ({type(value).__name__}); expected text")
