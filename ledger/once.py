"""
Read JSON objects in which each key stands once: of two that are alike, no two programs need choose the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Return the object that *pairs* are, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, _ in pairs if counts[key] > 1)
        raise ValueError(f"found the key {twice[:60]!r} twice in one object; name it once")
    return found
