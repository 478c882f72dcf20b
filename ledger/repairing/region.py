"""
Find the chain that is to be mended, also where its own row was changed.

A row of `chains` that was changed would make every event look broken, so the row is taken by its origin or, where that
was changed, as the only one there is; what it should be is settled by an event that is proven to be signed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger.chain.link import genesis
from ledger.errors import UnknownChain
from ledger.repairing.proving import Prover, fetch
from ledger.repairing.sources import Database, Source
from ledger.storage import chains, repairs
from ledger.storage.chains import FORMAT_VERSION, ChainRow
from ledger.storage.database import Connection

HERE = "database"


class Identity(msgspec.Struct, frozen=True):
    """
    The chain as it is signed, and which columns of its row are others here.
    """

    chain: ChainRow
    columns: tuple[str, ...]
    source: str = ""
    by: str = ""


def find(connection: Connection, origin: str) -> ChainRow:
    """
    Return the row of the chain of *origin*, or the only one there is.

    Raises:
        UnknownChain: there are several, and none has this origin.
    """
    there = chains.all_chains(connection)
    found = [row for row in there if row.origin == origin] or there
    if len(found) != 1:
        present = ", ".join(row.origin for row in there) or "no chain"
        raise UnknownChain(f"found no chain of origin {origin!r}; this database has {present}")
    return found[0]


def here(connection: Connection, chain: ChainRow) -> Database:
    """
    Return the chain that is to be mended as a copy: what is good of it proves the rest.
    """
    return Database(HERE, connection, chain.chain, chain.chain_id)


def settle(
    connection: Connection, row: ChainRow, origin: str, local: Source, sources: Sequence[Source], prover: Prover
) -> Identity | str:
    """
    Return who the chain is, by its first event in any copy, this one first; or why nothing shows it.
    """
    proven, reasons = fetch([1], [local, *sources], prover)
    if 1 not in proven:
        return reasons[1]
    event = proven[1].event
    true = ChainRow(row.chain, event.chain_id, origin, FORMAT_VERSION)
    start = genesis(true.chain_id, origin)
    wanted = {"chain_id": true.chain_id, "origin": origin, "format_version": FORMAT_VERSION, "genesis": start}
    stored = {
        "chain_id": row.chain_id, "origin": row.origin, "format_version": row.format_version,
        "genesis": repairs.genesis_of(connection, row.chain),
    }  # fmt: skip
    differing = tuple(name for name, value in wanted.items() if stored[name] != value)
    return Identity(true, differing, proven[1].source, proven[1].by)
