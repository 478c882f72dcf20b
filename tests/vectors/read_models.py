"""
Read the list of read models from docs/FORMAT.md: what a stranger has of them.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "FORMAT.md"
_COLUMN = re.compile(r"(\w+)(\*?) (text|integer|amount|boolean|date|list)(\??)")


def read_models(page: str) -> dict[str, list[tuple[str, str, bool]]]:
    """
    Return (column, kind, may be NULL) of every table, in order.
    """
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for line in block(page).split("\n\n"):
        name, columns = " ".join(line.split()).split(": ")
        parts = [_COLUMN.fullmatch(part) for part in columns.split(", ")]
        found[name] = [(part[1], part[3], bool(part[4])) for part in parts if part]
        if None in parts:
            raise ValueError(f"docs/FORMAT.md has a column of {name} that is not `name type`: {columns}")
    return found


def block(page: str) -> str:
    """
    Return the page's list of read models, as it stands.
    """
    found = re.search(r"^```columns\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError("docs/FORMAT.md has no list of the read models' columns")
    return found[1]


READ_MODELS = read_models(PAGE.read_text())
