"""
Follow rows that name each other, and stop where they lead back.

The ledger never writes such a ring, but a cell that was edited makes one, and who follows it would never end.
"""

from __future__ import annotations

from typing import TypeVar

from ledger.errors import StateMismatch

K = TypeVar("K")


def pass_by(passed: set[K], key: K, column: str) -> None:
    """
    Add *key* to those that a walk along *column* has *passed*.

    Raises:
        StateMismatch: it has passed it before.
    """
    if key in passed:
        raise StateMismatch(
            f"found that {column} leads from {key!r} back to itself, as the ledger never writes it; verify the ledger"
        )
    passed.add(key)
