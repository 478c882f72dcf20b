"""
Read and mend the rows of `chains`, of which each chain is to have one.

Nothing here knows which row is true: `ledger.repairing` proves it first. Every row that goes is kept, as by `repairs`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ledger.domain.rows import TABLES
from ledger.storage import repairs
from ledger.storage.database import Connection

OF_REGION: Final = ("chain_heads", "state_digests", "replica_state")
"""What refers to the row of a chain by its number."""
SEALED: Final = ("checkpoints", "tiles")
"""What was signed of a chain's events, and leads to it."""
KEPT: Final = ("snapshots", "balance_history", "position_history", "read_model_watermarks")
"""What is kept of a chain's states, and no event is needed for."""
ASKED: Final = 8
"""How many events are asked at either end whose they are."""

NOTES_ASKED: Final = 100
"""How many notes are asked whose they are."""


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


def counts(connection: Connection) -> list[dict[int, int]]:
    """
    Return how many rows each number has, of heads, checkpoints, tiles, events, and of all that follows from these.
    """
    books = [*TABLES, "commits", "idempotency_keys", "state_digests"]
    kinds = [["chain_heads"], *([table] for table in SEALED), ["events"], books]
    found = []
    for tables in kinds:
        each = " UNION ALL ".join(
            f"SELECT chain, count(*) AS rows FROM ledger.{table} GROUP BY chain" for table in tables
        )
        counted = connection.execute(f"SELECT chain, sum(rows) FROM ({each}) t WHERE chain IS NOT NULL GROUP BY chain")
        found.append({int(chain): int(rows) for chain, rows in counted})
    return found


def count_events(connection: Connection, chain: int) -> int:
    """
    Return how many events stand under a number.
    """
    found = connection.execute("SELECT count(*) FROM ledger.events WHERE chain = %s", [chain]).fetchone()
    return 0 if found is None else int(found[0])


def sealed_numbers(connection: Connection) -> list[int]:
    """
    Return the numbers under which checkpoints or tiles stand.
    """
    asked = " UNION ".join(f"SELECT chain FROM ledger.{table}" for table in SEALED)
    return sorted(int(row[0]) for row in connection.execute(asked) if row[0] is not None)


def seqs_under(connection: Connection, chain: int, upto: int, limit: int) -> list[int]:
    """
    Return the seqs of events under a number, up to one and so many at most, in order.
    """
    found = connection.execute(
        "SELECT seq FROM ledger.events WHERE chain = %s AND seq BETWEEN 1 AND %s ORDER BY seq LIMIT %s",
        [chain, upto, limit],
    )
    return [int(row[0]) for row in found]


def outermost(connection: Connection, chain: int) -> list[int]:
    """
    Return the seqs of the first events under a number and of the last.
    """
    found = connection.execute(
        "(SELECT seq FROM ledger.events WHERE chain = %(chain)s ORDER BY seq LIMIT %(asked)s) UNION"
        " (SELECT seq FROM ledger.events WHERE chain = %(chain)s ORDER BY seq DESC LIMIT %(asked)s) ORDER BY seq",
        {"chain": chain, "asked": ASKED},
    )
    return [int(row[0]) for row in found]


def has_rows(connection: Connection, chain: int) -> bool:
    """
    Return whether anything stands under a number that a chain without events has, too.
    """
    return has_events(connection, chain) or any(
        connection.execute(f"SELECT FROM ledger.{table} WHERE chain = %s LIMIT 1", [chain]).fetchone() is not None
        for table in OF_REGION
    )


def all_numbers(connection: Connection) -> list[int]:
    """
    Return the numbers under which events stand, what was signed of them, or what refers to the row of a chain.
    """
    asked = " UNION ".join(f"SELECT chain FROM ledger.{table}" for table in OF_REGION)
    found = {int(row[0]) for row in connection.execute(asked) if row[0] is not None}
    return sorted({*found, *numbers(connection), *sealed_numbers(connection)})


def of_region(
    connection: Connection, chain: int
) -> tuple[list[tuple[int, bytes, int]], list[tuple[int, bytes]], list[str]]:
    """
    Return what refers to the row of a chain by a number: heads (seq, hash, time of the event), state digests (seq,
    lanes), and the topics in which the region has a place.
    """
    heads = connection.execute("SELECT seq, hash, recorded_at FROM ledger.chain_heads WHERE chain = %s", [chain])
    digests = connection.execute("SELECT seq, lanes FROM ledger.state_digests WHERE chain = %s", [chain])
    topics = connection.execute("SELECT topic FROM ledger.replica_state WHERE chain = %s", [chain])
    return (
        [(seq or 0, bytes(hash or b""), at or 0) for seq, hash, at in heads],
        [(seq or 0, bytes(lanes or b"")) for seq, lanes in digests],
        [str(topic) for (topic,) in topics],
    )


def commits_at(connection: Connection, chain: int, seq: int) -> list[tuple[bytes, int]]:
    """
    Return state and time of the commits under a number that end at *seq*.
    """
    found = connection.execute(
        "SELECT state_digest, committed_at FROM ledger.commits WHERE chain = %s AND last_seq = %s", [chain, seq]
    )
    return [(bytes(digest or b""), at or 0) for digest, at in found]


def notes_but(connection: Connection, chain: int, origin: str) -> list[tuple[bytes, bytes]]:
    """
    Return root and note of checkpoints under a number which do not begin with an origin, so many at most.
    """
    found = connection.execute(
        "SELECT coalesce(root, ''), convert_to(note, 'UTF8') FROM ledger.checkpoints"
        " WHERE chain = %s AND NOT starts_with(note, %s) ORDER BY size LIMIT %s",
        [chain, f"{origin}\n", NOTES_ASKED],
    )
    return [(bytes(root), bytes(note)) for root, note in found]


def topic_ids(connection: Connection, chain: int) -> list[bytes]:
    """
    Return the chain ids that the region's places in topics name, which are named after the chain.
    """
    found = connection.execute("SELECT topic FROM ledger.replica_state WHERE chain = %s ORDER BY topic", [chain])
    named = (re.fullmatch(r"ledger\.([0-9a-f]{32})\.segments\.v[0-9]+", topic or "") for (topic,) in found)
    return [bytes.fromhex(match[1]) for match in named if match is not None]


@contextlib.contextmanager
def opened(connection: Connection, astray: Sequence[int], chain: int, reason: str) -> Iterator[None]:
    """
    Let the block `put` and `remove` rows of `chains`; what refers to one by a number that is *astray* gets that of the
    *chain*, or goes where the chain has such a row already.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(repairs.aside(connection, "chains"))
        for table in OF_REGION if astray else ():
            repairs.keep(connection, table, f"{reason} ({table})", "t.chain = ANY(%s)", [list(astray)])
            stack.enter_context(repairs.aside(connection, table))
            connection.execute(
                f"UPDATE ledger.{table} SET chain = %(chain)s WHERE ctid = (SELECT ctid FROM ledger.{table}"
                f" WHERE chain = ANY(%(astray)s) AND NOT EXISTS (SELECT FROM ledger.{table} WHERE chain = %(chain)s)"
                " ORDER BY ctid LIMIT 1)",
                {"chain": chain, "astray": list(astray)},
            )
            connection.execute(f"DELETE FROM ledger.{table} WHERE chain = ANY(%s)", [list(astray)])
        yield
        # What refers to them is asked now: a table whose keys still wait to be asked cannot be altered.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def bring_kept(connection: Connection, led: Sequence[int], chain: int) -> list[str]:
    """
    Let snapshots and histories under the numbers *led* be the *chain*'s where it has none, and return the tables of
    those that are.
    """
    brought = []
    for number in led:
        for table in KEPT:
            with repairs.aside(connection, table):
                moved = connection.execute(
                    f"UPDATE ledger.{table} SET chain = %(chain)s WHERE chain = %(number)s AND NOT EXISTS"
                    f" (SELECT FROM ledger.{table} WHERE chain = %(chain)s)",
                    {"chain": chain, "number": number},
                )
            brought += [table] if moved.rowcount else []
    return brought


def put(
    connection: Connection, row: str | None, chain: int, chain_id: bytes, origin: str, genesis: bytes, version: int,
    reason: str,
) -> None:  # fmt: skip
    """
    Let the row at the place *row* say which chain it is, or a new one where there is none.
    """
    values = [chain, chain_id.hex(), origin, version, genesis]
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
    connection.execute("DELETE FROM ledger.chains WHERE ctid = ANY(%s::text[]::tid[])", [list(rows)])
