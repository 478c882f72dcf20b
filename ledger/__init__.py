"""
An event-sourced trade ledger with integrity guarantees.

`Ledger.open` opens a chain for appending; events to append are in `ledger.domain.events`. Reads take `at=` a past
moment: `Seq`, `RecordedAt` or `Known`. Every error is a
`LedgerError` of one of three families that say what to do: `Rejected`, `Unavailable`, `Corrupt`.
"""

from ledger.errors import Corrupt, LedgerError, Rejected, Unavailable
from ledger.journal.answers import Receipt
from ledger.journal.group import Group
from ledger.journal.ledger import Ledger
from ledger.journal.writer import WriterSettings
from ledger.reading.moment import At, Known, RecordedAt, Seq

__all__ = [
    "At", "Corrupt", "Group", "Known", "Ledger", "LedgerError", "Receipt", "RecordedAt", "Rejected", "Seq",
    "Unavailable", "WriterSettings",
]  # fmt: skip
