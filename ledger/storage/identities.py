"""
Read and mend the rows of `chains`, of which each chain is to have one.

Nothing here knows which row is true: `ledger.repairing` proves it first. Every row that goes is kept, as by `repairs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ledger.storage import repairs
from ledger.storage.database import Connection


class Standing(msgspec.Struct, frozen=True):
    """
    One row of `chains` as it stands at the place *ctid*, whatever it says.
    """

    ctid: str
    chain: int | None
    chain_id: bytes | None
    origin: str | None
    format_version: int | None
    genesis: bytes | None


def standing(connection: Connection) -> list[Standing]:
    """
    Return every row of `chains`, by its number.
    """
    found = connection.execute(
        "SELECT ctid::text, chain, uuid_send(chain_id), origin, format_version, genesis FROM ledger.chains"
        " ORDER BY chain, ctid"
    )
    return [
        Standing(ctid, chain, _bytes(chain_id), origin, version, _bytes(genesis))
        for ctid, chain, chain_id, origin, version, genesis in found
    ]


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)


def numbers(connection: Connection) -> list[int]:
    """
    Return the numbers under which events stand.
    """
    # From number to number by the key: a chain of millions of events is passed over in one step.
    found = connection.execute(
        "WITH RECURSIVE n AS (SELECT min(chain) AS chain FROM ledger.events UNION ALL"
        " SELECT (SELECT min(e.chain) FROM ledger.events e WHERE e.chain > n.chain) FROM n WHERE n.chain IS NOT NULL)"
        " SELECT chain FROM n WHERE chain IS NOT NULL ORDER BY chain"
    )
    return [int(row[0]) for row in found]


def unnamed(connection: Connection) -> list[int]:
    """
    Return the numbers of events that no row of `chains` has.
    """
    named = {row[0] for row in connection.execute("SELECT chain FROM ledger.chains")}
    return [number for number in numbers(connection) if number not in named]


def has_events(connection: Connection, chain: int) -> bool:
    """
    Return whether there are events under a number.
    """
    return connection.execute("SELECT FROM ledger.events WHERE chain = %s LIMIT 1", [chain]).fetchone() is not None


def has_rows(connection: Connection, chain: int) -> bool:
    """
    Return whether anything stands under a number that a chain without events has, too.
    """
    return has_events(connection, chain) or any(
        connection.execute(f"SELECT FROM ledger.{table} WHERE chain = %s LIMIT 1", [chain]).fetchone() is not None
        for table in ("chain_heads", "state_digests", "replica_state")
    )


def topic_ids(connection: Connection, chain: int) -> list[bytes]:
    """
    Return the chain ids that the region's places in topics name, which are named after the chain.
    """
    found = connection.execute("SELECT topic FROM ledger.replica_state WHERE chain = %s ORDER BY topic", [chain])
    named = (re.fullmatch(r"ledger\.([0-9a-f]{32})\.segments\.v[0-9]+", topic or "") for (topic,) in found)
    return [bytes.fromhex(match[1]) for match in named if match is not None]


def put(
    connection: Connection, row: str | None, chain: int, chain_id: bytes, origin: str, genesis: bytes, version: int,
    reason: str,
) -> None:  # fmt: skip
    """
    Let the row at the place *row* say which chain it is, or a new one where there is none.
    """
    values = [chain, chain_id.hex(), origin, version, genesis]
    with repairs.aside(connection, "chains"):
        if row is None:
            connection.execute(
                "INSERT INTO ledger.chains (chain, chain_id, origin, format_version, genesis)"
                " VALUES (%s, %s::uuid, %s, %s, %s)", values,
            )  # fmt: skip
            return
        repairs.keep(connection, "chains", f"{reason} (chains)", "t.ctid = %s::tid", [row])
        connection.execute(
            "UPDATE ledger.chains SET (chain, chain_id, origin, format_version, genesis) = (%s, %s::uuid, %s, %s, %s)"
            " WHERE ctid = %s::tid",
            [*values, row],
        )


def remove(connection: Connection, rows: Sequence[str], reason: str) -> None:
    """
    Take the rows at these places away.
    """
    repairs.keep(connection, "chains", f"{reason} (chains)", "t.ctid = ANY(%s::text[]::tid[])", [list(rows)])
    with repairs.aside(connection, "chains"):
        connection.execute("DELETE FROM ledger.chains WHERE ctid = ANY(%s::text[]::tid[])", [list(rows)])
