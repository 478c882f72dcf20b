"""
An event-sourced trade ledger with integrity guarantees.

`Ledger.open` opens a chain for appending; events to append are in `ledger.domain.events`. Every error is a
`LedgerError` of one of three families that say what to do: `Rejected`, `Unavailable`, `Corrupt`.
"""

from ledger.errors import Corrupt, LedgerError, Rejected, Unavailable
from ledger.journal.answers import Receipt
from ledger.journal.group import Group
from ledger.journal.ledger import Ledger
from ledger.journal.writer import WriterSettings

__all__ = ["Corrupt", "Group", "Ledger", "LedgerError", "Receipt", "Rejected", "Unavailable", "WriterSettings"]
