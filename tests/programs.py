"""
Find the programs of other people that some tests run: `.ci/programs` builds them into build/programs.
"""

from __future__ import annotations

from pathlib import Path

BUILT = Path(__file__).parents[1] / "build" / "programs"


def path_of(name: str) -> Path | None:
    """Return where a program is, or None where nobody built it."""
    found = BUILT / name
    return found if found.exists() else None
