"""
An event-sourced trade ledger with integrity guarantees.

`Ledger.open` opens a chain for appending; events to append are in `ledger.domain.events`. Reads take `at=` a past
moment: `Seq`, `RecordedAt` or `Known`. Every error is a
`LedgerError` of one of three families that say what to do: `Rejected`, `Unavailable`, `Corrupt`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.errors import Corrupt, LedgerError, Rejected, Unavailable
    from ledger.journal.answers import Receipt
    from ledger.journal.group import Group
    from ledger.journal.ledger import Ledger
    from ledger.journal.writer import WriterSettings
    from ledger.reading.moment import At, Known, RecordedAt, Seq
    from ledger.throughput import for_throughput

__all__ = [
    "At", "Corrupt", "Group", "Known", "Ledger", "LedgerError", "Receipt", "RecordedAt", "Rejected", "Seq",
    "Unavailable", "WriterSettings", "for_throughput",
]  # fmt: skip

# Loaded when they are asked for: a program must be able to take a Ctrl-C before the database driver is there.
_PLACES = {
    "ledger.errors": ("Corrupt", "LedgerError", "Rejected", "Unavailable"),
    "ledger.journal.answers": ("Receipt",),
    "ledger.journal.group": ("Group",),
    "ledger.journal.ledger": ("Ledger",),
    "ledger.journal.writer": ("WriterSettings",),
    "ledger.reading.moment": ("At", "Known", "RecordedAt", "Seq"),
    "ledger.throughput": ("for_throughput",),
}


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(place), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
