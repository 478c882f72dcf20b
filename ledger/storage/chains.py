"""
Find the chains of a database, and their heads.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
import psycopg

from ledger.errors import SequenceGap, UnknownChain, UnknownFormat

FORMAT_VERSION: Final = 1

Connection = psycopg.Connection[Any]


class ChainRow(msgspec.Struct, frozen=True):
    """
    One chain: its small number in tables, and who it is to the world.
    """

    chain: int
    chain_id: bytes
    origin: str
    format_version: int


class Head(msgspec.Struct, frozen=True):
    """
    The newest link of a chain in this region, and whether the region may append.
    """

    seq: int
    hash: bytes
    recorded_at: int
    epoch: int
    mode: Literal["primary", "replica"]


def create(connection: Connection, chain_id: bytes, origin: str, genesis: bytes, mode: str) -> ChainRow:
    """
    Insert a chain without events, and return it.
    """
    row = connection.execute("SELECT coalesce(max(chain), 0) + 1 FROM ledger.chains").fetchone()
    chain = int(row[0]) if row else 1
    connection.execute(
        "INSERT INTO ledger.chains VALUES (%s, %s::uuid, %s, %s, %s)",
        [chain, chain_id.hex(), origin, FORMAT_VERSION, genesis],
    )
    connection.execute("INSERT INTO ledger.chain_heads VALUES (%s, 0, %s, 0, 1, %s)", [chain, genesis, mode])
    connection.execute("INSERT INTO ledger.state_digests VALUES (%s, 0, %s)", [chain, bytes(2048)])
    return ChainRow(chain, chain_id, origin, FORMAT_VERSION)


def all_chains(connection: Connection) -> list[ChainRow]:
    """
    Return every chain of the database, by its number.
    """
    found = connection.execute(
        "SELECT chain, uuid_send(chain_id), origin, format_version FROM ledger.chains ORDER BY chain"
    )
    return [ChainRow(*row) for row in found]


def find(connection: Connection, origin: str | None) -> ChainRow:
    """
    Return the chain of *origin*; without one, the only chain there is.

    Raises:
        UnknownChain: there is none, or several and none was named; those present are listed.
        UnknownFormat: it is of another format than this program writes and reads.
    """
    found = _named(connection, origin)
    if found.format_version != FORMAT_VERSION:
        raise UnknownFormat(
            f"chain {found.origin} is of format version {found.format_version}; this program knows {FORMAT_VERSION}: "
            "use the release that made it, or a newer one"
        )
    return found


def _named(connection: Connection, origin: str | None) -> ChainRow:
    there = all_chains(connection)
    if not there:
        raise UnknownChain("this database has no chain; make one with `tradeledger init --origin …`")
    present = ", ".join(chain.origin for chain in there)
    if origin is None:
        if len(there) == 1:
            return there[0]
        raise UnknownChain(f"name the chain (--origin): this database has {present}")
    for chain in there:
        if chain.origin == origin:
            return chain
    raise UnknownChain(f"found no chain of origin {origin!r}; this database has {present}")


def _head(connection: Connection, chain: int, lock: str) -> Head:
    row = connection.execute(
        f"SELECT seq, hash, recorded_at, epoch, mode FROM ledger.chain_heads WHERE chain = %s {lock}", [chain]
    ).fetchone()
    if row is None:
        raise SequenceGap(f"chain {chain} has no head row; it was deleted: verify, and restore it")
    return Head(*row)


def head(connection: Connection, chain: int) -> Head:
    """
    Return the chain's head as last committed.
    """
    return _head(connection, chain, "")


def lock_head(connection: Connection, chain: int) -> Head:
    """
    Return the chain's head and keep every other writer waiting until this transaction ends.
    """
    return _head(connection, chain, "FOR UPDATE")


def lock_head_and_clock(connection: Connection, chain: int) -> tuple[Head, int]:
    """
    As `lock_head`, with the server's clock (ns since 1970) at the moment the lock was had.
    """
    row = connection.execute(
        "WITH head AS MATERIALIZED ("
        " SELECT seq, hash, recorded_at, epoch, mode FROM ledger.chain_heads WHERE chain = %s FOR UPDATE)"
        " SELECT *, (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint FROM head",
        [chain],
    ).fetchone()
    if row is None:
        raise SequenceGap(f"chain {chain} has no head row; it was deleted: verify, and restore it")
    return Head(*row[:5]), row[5]


def fence(connection: Connection, chain: int) -> None:
    """
    Write the locked head's row anew, as it is: what was sent before and names the row's old version does nothing now.

    Until this transaction ends such a call waits for the lock. See `small_transactions`.
    """
    connection.execute("UPDATE ledger.chain_heads SET seq = seq WHERE chain = %s", [chain])


def advance(connection: Connection, chain: int, seq: int, digest: bytes, recorded_at: int, epoch: int) -> int:
    """
    Move the locked head to the event that will be the last; the events follow in the same transaction.

    Return the version that the head's row has from then on.
    """
    row = connection.execute(
        "UPDATE ledger.chain_heads SET seq = %s, hash = %s, recorded_at = %s, epoch = %s WHERE chain = %s"
        " RETURNING xmin::text::bigint",
        [seq, digest, recorded_at, epoch, chain],
    ).fetchone()
    return int(row[0]) if row else 0


def read_lanes(connection: Connection, chain: int) -> tuple[int, bytes]:
    """
    Return the state digest's accumulator and the seq it stands for.
    """
    row = connection.execute("SELECT seq, lanes FROM ledger.state_digests WHERE chain = %s", [chain]).fetchone()
    if row is None:
        raise SequenceGap(f"chain {chain} has no state digest; its row was deleted: verify, and restore it")
    return row[0], row[1]


def write_lanes(connection: Connection, chain: int, seq: int, lanes: bytes) -> None:
    """
    Store the state digest's accumulator for *seq*.
    """
    connection.execute("UPDATE ledger.state_digests SET seq = %s, lanes = %s WHERE chain = %s", [seq, lanes, chain])


def insert_commit(
    connection: Connection, chain: int, first_seq: int, last_seq: int, digest: bytes, committed_at: int
) -> None:
    """
    Note the boundary of this transaction, with the digest of the state after it.
    """
    connection.execute(
        "INSERT INTO ledger.commits VALUES (%s, %s, %s, %s, %s)", [chain, last_seq, first_seq, digest, committed_at]
    )


def clock(connection: Connection) -> int:
    """
    Return the server's clock, in ns since 1970.
    """
    row = connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint").fetchone()
    return int(row[0]) if row else 0


def sources_of_login(connection: Connection) -> list[str]:
    """
    Return the sources for which the connection's login may append.
    """
    found = connection.execute("SELECT source FROM ledger.source_logins WHERE login = session_user ORDER BY source")
    return [row[0] for row in found]


def is_login(connection: Connection, name: str) -> bool:
    """
    Return whether the server lets somebody log in as *name*.
    """
    found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", [name])
    return found.fetchone() is not None


def may_append(connection: Connection, login: str) -> bool:
    """
    Return whether *login*, which is one, has the role that writers have.
    """
    found = connection.execute("SELECT pg_has_role(%s, 'ledger_writer', 'MEMBER')", [login]).fetchone()
    return found == (True,)


def bind_source(connection: Connection, login: str, source: str) -> None:
    """
    Let *login* append as *source*; only the owner of the tables may say so.
    """
    connection.execute("INSERT INTO ledger.source_logins VALUES (%s, %s) ON CONFLICT DO NOTHING", [login, source])
