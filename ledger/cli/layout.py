"""
Lay out a table as lines of text: columns as wide as their widest value, words that go on in the next line, and every
figure in one piece.

A read may have a million rows, so each value is only measured, padded and joined; what lays out any text at all takes
a hundred times as long. Where a table does not fit, each row stands by itself, a value a line. Whether there is a
terminal, and how wide it is, the caller says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.box import Box
from rich.cells import cell_len

_FRAME: Final = 3
"""Columns that a frame and the space on both sides of a value take."""
_WIDEST: Final = 200
"""No column is padded further where nothing has to fit: one long value would make every line as long."""
_PROSE: Final = 20
"""So many columns are enough for words that go on in the next line."""

Row = tuple[str, ...]


def in_columns(columns: Row, rows: Sequence[Row]) -> Iterator[str]:
    """
    Yield a table without a frame, a line a row, where nothing has to fit.
    """
    rows = _clean(rows)
    widths = [min(widest, _WIDEST) for widest in _widths(columns, rows)]
    for row in (columns, *rows):
        yield "  ".join(map(_padded, row, widths)).rstrip()


def framed(columns: Row, rows: Sequence[Row], width: int, box: Box) -> Iterator[str]:
    """
    Yield a table of one row at least in a frame, no line wider than *width* columns, or its rows one by one where it
    cannot be so narrow.
    """
    rows = _clean(rows)
    natural = _widths(columns, rows)
    least = [
        min(widest, max(_PROSE, _cells(column), max(_longest(row[place]) for row in rows)))
        for place, (column, widest) in enumerate(zip(columns, natural, strict=True))
    ]
    room = width - 1 - _FRAME * len(columns)
    if sum(least) > room:
        yield from _one_by_one(columns, rows)
        return
    widths = _shared(natural, least, room)
    with_space = [one + 2 for one in widths]
    yield box.get_top(with_space)
    yield _line(columns, widths, (box.head_left, box.head_vertical, box.head_right))
    yield box.get_row(with_space, "head")
    sides = (box.mid_left, box.mid_vertical, box.mid_right)
    for row in rows:
        if widths == natural:
            yield _line(row, widths, sides)
            continue
        parts = [_wrapped(value, widest) for value, widest in zip(row, widths, strict=True)]
        for number in range(max(map(len, parts))):
            yield _line([part[number] if number < len(part) else "" for part in parts], widths, sides)
    yield box.get_bottom(with_space)


def _one_by_one(columns: Row, rows: Sequence[Row]) -> Iterator[str]:
    width = max(map(_cells, columns))
    names = [_padded(column, width) for column in columns]
    for number, row in enumerate(rows, 1):
        yield f"{number} of {len(rows)}"
        for name, value in zip(names, row, strict=True):
            yield f"    {name}  {value}".rstrip()


def _clean(rows: Sequence[Row]) -> Sequence[Row]:
    """Return *rows* with what does not show, or would move what stands beside it, as its escape, such as \\n."""
    return [row if all(map(str.isprintable, row)) else tuple(map(_escaped, row)) for row in rows]


def _escaped(value: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)


def _cells(value: str) -> int:
    """Return how many columns of a terminal a value takes: some letters take two, and accents none."""
    return len(value) if value.isascii() else cell_len(value)


def _longest(value: str) -> int:
    """Return the columns of the longest word of a value; a word is never in two lines."""
    return max(map(_cells, value.split(" "))) if " " in value else _cells(value)


def _widths(columns: Row, rows: Sequence[Row]) -> list[int]:
    return [
        max(_cells(column), max((_cells(row[place]) for row in rows), default=0))
        for place, column in enumerate(columns)
    ]


def _shared(natural: list[int], least: list[int], room: int) -> list[int]:
    """Return widths that fit into *room*: the widest columns give way first, none below its least."""
    widths, limit = natural, min(max(natural), room)
    while sum(widths) > room:
        widths = [max(low, min(widest, limit)) for low, widest in zip(least, natural, strict=True)]
        limit -= 1
    return widths


def _padded(value: str, width: int) -> str:
    return value.ljust(width) if value.isascii() else value + " " * (width - cell_len(value))


def _line(values: Sequence[str], widths: Sequence[int], sides: tuple[str, str, str]) -> str:
    left, between, right = sides
    return f"{left} {f' {between} '.join(map(_padded, values, widths))} {right}"


def _wrapped(value: str, width: int) -> list[str]:
    """Return the lines that a value of words takes in a column, which is as wide as the longest of them at least."""
    if _cells(value) <= width:
        return [value]
    first, *words = value.split(" ")
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if _cells(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
