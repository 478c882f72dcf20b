"""
Read examples/break_invariants.sql, whose headers say what each block breaks and what stops it.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

SQL = Path(__file__).parents[2] / "examples" / "break_invariants.sql"
_HEADER = re.compile(r"^-- (I[0-9]+) (?:(writer) (taken|[0-9A-Z]{5} \w+)|(intruder) ([A-Z_]+))$", re.MULTILINE)


class Block(msgspec.Struct, frozen=True):
    """
    One block: the invariant, who runs it, and what should come of it.
    """

    invariant: str
    who: str
    expected: str
    sql: str


def read() -> list[Block]:
    text = SQL.read_text()
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return [
        Block(header[1], header[2] or header[4], header[3] or header[5], text[header.end() : end].strip())
        for header, end in zip(headers, ends, strict=True)
    ]


def of(who: str) -> list[Block]:
    return [block for block in read() if block.who == who]


def name(block: Block) -> str:
    return f"{block.invariant}-{block.expected.replace(' ', '-')}"
