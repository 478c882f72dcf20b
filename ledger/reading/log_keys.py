"""
Read which keys a chain names for checkpoints, as policies write them.

A region's rows say it, which follow from events: good enough to know one's own signature again, and no root of trust.
"""

from __future__ import annotations

import contextlib
from typing import Final

from ledger.domain.rows import ChainKey
from ledger.errors import LedgerError
from ledger.evidence.note import ED25519, VerifierKey
from ledger.storage import read_models
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

PURPOSE: Final = "checkpoint"


def in_force(connection: Connection, chain: ChainRow) -> list[VerifierKey]:
    """
    Return the keys that the chain names for checkpoints and has not revoked.
    """
    return [key for key, row in named(connection, chain) if not row.revoked]


def named(connection: Connection, chain: ChainRow) -> list[tuple[VerifierKey, ChainKey]]:
    """
    Return every key that the chain has ever named for checkpoints, and what it says of it.
    """
    found = []
    for row in read_models.rows(connection, chain.chain, "chain_keys"):
        if isinstance(row, ChainKey) and row.purpose == PURPOSE:
            with contextlib.suppress(LedgerError):
                found.append((VerifierKey(chain.origin, ED25519, bytes.fromhex(row.public_key)), row))
    return found
