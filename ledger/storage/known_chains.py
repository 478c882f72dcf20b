"""
Find a chain that this program can read.

What a newer program wrote may mean something else than it says here. Every version of an event type after the first is
registered in the chain before it is used, with the hash of its fields, so that a few rows tell it of the whole chain.
"""

from __future__ import annotations

from ledger.domain import schemas
from ledger.storage import chains, read_models
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection


def find(connection: Connection, origin: str | None) -> ChainRow:
    """
    Return the chain of *origin*, as `chains.find` does.

    Raises:
        UnknownChain: there is none, or several and none was named.
        UnknownFormat, StateMismatch: its events are of types, versions or fields that this program does not know.
    """
    chain = chains.find(connection, origin)
    schemas.check_all(read_models.rows(connection, chain.chain, "schemas"))
    return chain
