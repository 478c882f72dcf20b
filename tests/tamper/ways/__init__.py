"""
Declare every way to tamper, one module a part of the ledger; importing this package fills `WAYS`.
"""

from tests.tamper.way import WAYS
from tests.tamper.ways import (
    appends,
    archives,
    checkpoints,
    clocks,
    consistent,
    copies,
    events,
    guards,
    histories,
    rehashed,
    repairs,
    rows,
    surroundings,
    topics,
    undetectable,
    verifiers,
)

__all__ = [
    "WAYS", "appends", "archives", "checkpoints", "clocks", "consistent", "copies", "events", "guards", "histories",
    "rehashed", "repairs", "rows", "surroundings", "topics", "undetectable", "verifiers",
]  # fmt: skip
