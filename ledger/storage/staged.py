"""
Lay beside a table what is to be there, compare, and write what differs.

The database compares, value by value as text, since what somebody wrote there may be nothing that this program could
read. What is staged lasts as long as the transaction. Events go back through the door of the schema,
`ledger.restore_events`; rows that follow from events are replaced while the triggers of their table are aside
(`ledger.storage.repairs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES
from ledger.storage import events as stored
from ledger.storage.database import Connection
from ledger.storage.repairs import keep, unwritten
from ledger.storage.tables import SCHEMA, metadata

KEYS: Final = {
    "chain_heads": (), "state_digests": (), "commits": ("last_seq",), "idempotency_keys": ("source", "key"),
    "tiles": ("level", "number"), "chains": (), "checkpoints": ("size",),
}  # fmt: skip
"""The keys, beside the chain, of tables that are no read models."""


class Standing(msgspec.Struct, frozen=True):
    """
    How the row at the place of a staged event stands: the columns that differ, None where there is no such row.
    """

    seq: int
    columns: tuple[str, ...] | None


class Misplaced(msgspec.Struct, frozen=True):
    """
    A row of events where none can stand, which has the bytes of the staged event *seq*: where it lies, and its key.
    """

    ctid: str
    key: tuple[str, ...]
    seq: int


def stage(connection: Connection, chain: int, events: Iterable[RecordedEvent]) -> None:
    """
    Lay *events* beside the table, to be compared with it and to be restored; they go when the transaction ends.
    """
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS staged_events (LIKE ledger.events INCLUDING DEFAULTS) ON COMMIT DROP"
    )
    connection.execute("TRUNCATE staged_events")
    # Named, since somebody may have given the table a column more, of which nothing was signed: it has its default.
    copying = f"COPY staged_events ({', '.join(stored.COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        copy.write(stored.HEADER + b"".join(stored.rows_of(chain, events)) + stored.TRAILER)


def _columns(table: str) -> list[str]:
    """Return the columns that this release gives a table: one that its operator added is the operator's."""
    return [column.name for column in metadata.tables[f"{SCHEMA}.{table}"].columns]


def standing(connection: Connection, chain: int) -> list[Standing]:
    """
    Return how the rows at the places of the staged events stand, in order of seq.
    """
    differing = ", ".join(
        f"CASE WHEN e.{name}::text IS DISTINCT FROM s.{name}::text THEN '{name}' END" for name in stored.COLUMNS
    )
    found = connection.execute(
        f"SELECT s.seq, e.ctid IS NOT NULL, array_remove(ARRAY[{differing}], NULL) FROM staged_events s"
        " LEFT JOIN ledger.events e ON e.chain = %s AND e.seq = s.seq ORDER BY s.seq",
        [chain],
    )
    made: dict[int, Standing] = {}
    for seq, is_there, names in found:
        # Two rows at one place: both go, and one comes.
        columns_of = ("seq",) if seq in made else tuple(names) if is_there else None
        made[seq] = Standing(seq, columns_of)
    return list(made.values())


def misplaced(connection: Connection, chain: int) -> list[Misplaced]:
    """
    Return the rows of events under a number that no chain has, or at a seq that none of *chain* can have, which are
    copies of staged events in all else.
    """
    same = " AND ".join(
        f"e.{name}::text IS NOT DISTINCT FROM s.{name}::text" for name in stored.COLUMNS if name not in ("chain", "seq")
    )
    # The few that stand nowhere are found first: what they are compared by is no key of anything.
    found = connection.execute(
        "WITH strays AS MATERIALIZED (SELECT e.ctid AS place, e.* FROM ledger.events e WHERE NOT EXISTS"
        " (SELECT FROM ledger.chains c WHERE c.chain = e.chain) OR e.chain = %s AND coalesce(e.seq < 1 OR"
        " e.seq > greatest((SELECT max(h.seq) FROM ledger.chain_heads h WHERE h.chain = %s),"
        " (SELECT max(seq) FROM staged_events)), true))"
        f" SELECT e.place::text, e.chain::text, e.seq::text, s.seq FROM strays e JOIN staged_events s ON {same}"
        " ORDER BY e.chain, e.seq",
        [chain, chain],
    )
    return [Misplaced(ctid, (number or "none", seq or "none"), of) for ctid, number, seq, of in found]


def restore(connection: Connection, chain: int, seqs: Sequence[int], strays: Sequence[str], reason: str) -> None:
    """
    Put the staged events of these seqs back, and take the rows at these places away, through the door of the schema.

    Raises:
        Corrupt: what is there now is not that, or what was there was not kept.
    """
    kept = _kept_now(connection)
    connection.execute(
        "SELECT ledger.restore_events(%s::smallint, (SELECT coalesce(array_agg(ROW(s.*)::ledger.events ORDER BY seq),"
        " '{}') FROM staged_events s WHERE seq = ANY(%s)), %s::text[]::tid[], %s)",
        [chain, list(seqs), list(strays), reason],
    )
    if _kept_now(connection) - kept < len(seqs) + len(strays):
        raise unwritten("history_changes")
    # A row that was taken away is nowhere: a place is not used again as long as its transaction goes on.
    left = connection.execute("SELECT FROM ledger.events WHERE ctid = ANY(%s::text[]::tid[])", [list(strays)])
    if left.rowcount or any(one.columns != () for one in standing(connection, chain) if one.seq in {*seqs}):
        raise unwritten("events")


def _kept_now(connection: Connection) -> int:
    """Return how many rows this transaction has kept."""
    row = connection.execute(
        "SELECT count(*) FROM ledger.history_changes WHERE xmin = pg_current_xact_id()::xid"
    ).fetchone()
    return 0 if row is None else int(row[0])


def missing_from(connection: Connection, chain: int, seq: int) -> int:
    """
    Return the last of the seqs from *seq* on that have no row: *seq* - 1 where it has one; all that a head could count
    where none follows.
    """
    row = connection.execute(
        "SELECT min(seq) FROM ledger.events WHERE chain = %s AND seq >= %s", [chain, seq]
    ).fetchone()
    return 2**63 - 1 if row is None or row[0] is None else int(row[0]) - 1


def links(connection: Connection, chain: int, seqs: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
    """
    Return (prev hash, hash) as stored at these seqs.
    """
    found = connection.execute(
        "SELECT seq, prev_hash, hash FROM ledger.events WHERE chain = %s AND seq = ANY(%s)", [chain, list(seqs)]
    )
    return {seq: (before or b"", digest or b"") for seq, before, digest in found}


def expect(connection: Connection, table: str) -> str:
    """
    Make an empty table like *table* for the rows that are to be there, and return its name.

    Its key is the one that the table should have: whoever edited rows may have dropped it first. Nor has it a column
    that somebody added.
    """
    name = f"expected_{table}"
    key = TABLES[table].key if table in TABLES else KEYS[table]
    connection.execute(
        f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {_listed(_columns(table))} FROM ledger.{table} WITH NO DATA"
    )
    connection.execute(f"ALTER TABLE {name} ADD UNIQUE ({_listed(['chain', *key])})")
    return name


def replace(
    connection: Connection, chain: int, table: str, key: Sequence[str], others: Sequence[int], reason: str
) -> tuple[int, int]:
    """
    Let *table* have for *chain* the rows that are expected of it and no others; return how many went and came.

    A row under a number that no chain has goes as well where it is one of the expected ones in all else, but for the
    numbers of *others*, whose rows may be the same.

    Raises:
        Corrupt: the table has others all the same, or what was there was not kept.
    """
    columns = _columns(table)
    rows = _listed(["chain", *key])
    keys = " AND ".join(f't."{name}" = e."{name}"' for name in key) or "true"
    same = _same(columns)
    differing = (
        f"SELECT t.ctid AS place FROM ledger.{table} t"
        f" LEFT JOIN expected_{table} e ON {keys} AND {same} WHERE t.chain = %s AND e.chain IS NULL"
        # Of rows that stand twice, which no key kept apart, all but one.
        f" UNION SELECT d.place FROM (SELECT ctid AS place, row_number() OVER (PARTITION BY {rows} ORDER BY ctid)"
        f" AS number FROM ledger.{table} WHERE chain = %s) d WHERE d.number > 1"
        f" UNION SELECT t.ctid FROM ledger.{table} t JOIN expected_{table} e ON {keys} AND"
        f" {_same([name for name in columns if name != 'chain'])} WHERE NOT EXISTS"
        " (SELECT FROM ledger.chains c WHERE c.chain = t.chain) AND (t.chain = ANY(%s)) IS NOT TRUE"
    )
    missing = (
        f"SELECT e.* FROM expected_{table} e LEFT JOIN ledger.{table} t ON t.chain = %s AND {keys}"
        " WHERE t.chain IS NULL"
    )
    given = [chain, chain, list(others)]
    connection.execute(f"CREATE TEMP TABLE gone ON COMMIT DROP AS {differing}", given)
    gone = keep(connection, table, f"{reason} ({table})", "t.ctid IN (SELECT place FROM gone)", [])
    if gone:
        connection.execute(f"DELETE FROM ledger.{table} WHERE ctid IN (SELECT place FROM gone)")
    connection.execute("DROP TABLE gone")
    # A column that is not named has its default.
    came = connection.execute(f"INSERT INTO ledger.{table} ({_listed(columns)}) {missing}", [chain]).rowcount
    is_other = f"SELECT EXISTS ({differing}) OR EXISTS ({missing})"
    if connection.execute(is_other, [*given, chain]).fetchone() != (False,):
        raise unwritten(table)
    return gone, came


def _same(columns: Sequence[str]) -> str:
    """Return that a row `t` is the row `e`, whatever types somebody may have made of its columns."""
    return " AND ".join(f't."{name}" IS NOT DISTINCT FROM e."{name}"' for name in columns)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def boundaries(connection: Connection, chain: int, after: int, last: int) -> set[int]:
    """
    Return the seqs after *after* and up to *last* at which a commit is said to end.
    """
    found = connection.execute(
        "SELECT last_seq FROM ledger.commits WHERE chain = %s AND last_seq > %s AND last_seq <= %s",
        [chain, after, last],
    )
    return {row[0] for row in found}


def boundaries_astray(connection: Connection, others: Sequence[int]) -> set[tuple[str, str]]:
    """
    Return where commits under a number that no chain has, and that is none of *others*, are said to end, each with the
    state after it, as text.
    """
    found = connection.execute(
        "SELECT last_seq::text, encode(state_digest, 'hex') FROM ledger.commits t WHERE NOT EXISTS"
        " (SELECT FROM ledger.chains c WHERE c.chain = t.chain) AND (t.chain = ANY(%s)) IS NOT TRUE",
        [list(others)],
    )
    return {(seq, digest) for seq, digest in found}


def expect_keys(connection: Connection, chain: int) -> None:
    """
    Expect of the idempotency keys those that the groups of the chain used.
    """
    name = expect(connection, "idempotency_keys")
    connection.execute(
        f"INSERT INTO {name} SELECT chain, source, idempotency_key, seq FROM ledger.events"
        " WHERE chain = %s AND group_index = 0",
        [chain],
    )


def expect_commits(connection: Connection, chain: int, rows: Sequence[tuple[int, int, bytes, int]]) -> None:
    """
    Expect commits: first seq, last seq, state digest, time of the last event (ns).
    """
    connection.cursor().executemany(
        "INSERT INTO expected_commits (chain, first_seq, last_seq, state_digest, committed_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        [(chain, *row) for row in rows],
    )


def expect_digest(connection: Connection, chain: int, seq: int, lanes: bytes) -> None:
    """
    Expect of the state digest this accumulator at *seq*.
    """
    name = expect(connection, "state_digests")
    connection.execute(f"INSERT INTO {name} (chain, seq, lanes) VALUES (%s, %s, %s)", [chain, seq, lanes])
