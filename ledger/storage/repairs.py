"""
Put rows back through the guards, as the owner of the tables, and keep what was there before.

What is to be there is staged beside the table and compared by the database, value by value as text, since what somebody
wrote there may be nothing that this program could read. Only rows that differ are written. A table's own triggers are
set aside for that and stand as before when the transaction ends, whatever happens; so do foreign keys, which are asked
once all is in place.

Nothing here knows whether what it is given is true: `ledger.repairing` proves it first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.errors import Corrupt, NotPermitted, StateMismatch
from ledger.storage import events as stored
from ledger.storage.database import Connection
from ledger.storage.upgrade import OWNER

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


def check_owner(connection: Connection) -> None:
    """
    Raise NotPermitted unless the login of *connection* is a member of the tables' owner.
    """
    found = connection.execute("SELECT session_user, pg_has_role(session_user, %s, 'MEMBER')", [OWNER]).fetchone()
    connection.rollback()
    if found is None or not found[1]:
        raise NotPermitted(
            f"login {found[0] if found else ''} is not a member of {OWNER}, and only the owner of the tables may mend "
            "them: connect as one that is"
        )


def act_as_owner(connection: Connection) -> None:
    """
    Have the owner's rights in this transaction.
    """
    connection.execute(f"SET LOCAL ROLE {OWNER}")


def stage(connection: Connection, chain: int, events: Iterable[RecordedEvent]) -> None:
    """
    Lay *events* beside the table, to be compared with it and to be restored; they go when the transaction ends.
    """
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS staged_events (LIKE ledger.events) ON COMMIT DROP")
    connection.execute("TRUNCATE staged_events")
    with connection.cursor() as cursor, cursor.copy("COPY staged_events FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(stored.HEADER + b"".join(stored.rows_of(chain, events)) + stored.TRAILER)


def _columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        [f"ledger.{table}"],
    )
    return [row[0] for row in found]


def standing(connection: Connection, chain: int) -> list[Standing]:
    """
    Return how the rows at the places of the staged events stand, in order of seq.
    """
    columns = _columns(connection, "events")
    differing = ", ".join(
        f"CASE WHEN e.\"{name}\"::text IS DISTINCT FROM s.\"{name}\"::text THEN '{name}' END" for name in columns
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
        f'e."{name}"::text IS NOT DISTINCT FROM s."{name}"::text'
        for name in _columns(connection, "events")
        if name not in ("chain", "seq")
    )
    found = connection.execute(
        f"SELECT e.ctid::text, e.chain::text, e.seq::text, s.seq FROM ledger.events e JOIN staged_events s ON {same}"
        " LEFT JOIN ledger.chain_heads h ON h.chain = %s WHERE NOT EXISTS"
        " (SELECT FROM ledger.chains c WHERE c.chain = e.chain) OR e.chain = %s AND coalesce(e.seq < 1 OR"
        " e.seq > greatest(h.seq, (SELECT max(seq) FROM staged_events)), true) ORDER BY e.chain, e.seq",
        [chain, chain],
    )
    return [Misplaced(ctid, (number or "none", seq or "none"), of) for ctid, number, seq, of in found]


def restore(connection: Connection, chain: int, seqs: Sequence[int], strays: Sequence[str], reason: str) -> None:
    """
    Put the staged events of these seqs back, and take the rows at these places away, through the door of the schema.
    """
    connection.execute(
        "SELECT ledger.restore_events(%s::smallint, (SELECT coalesce(array_agg(ROW(s.*)::ledger.events ORDER BY seq),"
        " '{}') FROM staged_events s WHERE seq = ANY(%s)), %s::text[]::tid[], %s)",
        [chain, list(seqs), list(strays), reason],
    )


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


def set_head(
    connection: Connection, chain: int, seq: int, digest: bytes, recorded_at: int, epoch: int, signed: int
) -> bool:
    """
    Let the head be this event's, its mode as it stands or, where none does, as the region's rows say; return whether it
    was another. *signed* is how many events a checkpoint covers.

    Raises:
        StateMismatch: the head counts other events, and no signature tells which is true.
    """
    there = connection.execute(
        "SELECT seq, hash, recorded_at, epoch, mode FROM ledger.chain_heads WHERE chain = %s FOR UPDATE", [chain]
    ).fetchone()
    if there is not None and there[4] in ("primary", "replica"):
        mode = there[4]
    else:
        follows = connection.execute("SELECT FROM ledger.replica_state WHERE chain = %s", [chain]).fetchone()
        mode = "primary" if follows is None else "replica"
    wanted = (seq, digest, recorded_at, epoch, mode)
    if there == wanted:
        return False
    if there is not None and there[0] != seq and there[1] != digest and not there[0] < seq <= signed:
        # A head that went back would hide what is missing; one that went on would take in what nobody vouches for.
        raise StateMismatch(
            f"the head says {there[0]} events and there are {seq}, of which {signed} were signed: which of both is true "
            "cannot be proven, so the head is not mended, and nothing was"
        )
    if there is None:
        connection.execute("INSERT INTO ledger.chain_heads VALUES (%s, %s, %s, %s, %s, %s)", [chain, *wanted])
    else:
        connection.execute(
            "UPDATE ledger.chain_heads SET (seq, hash, recorded_at, epoch, mode) = (%s, %s, %s, %s, %s)"
            " WHERE chain = %s",
            [*wanted, chain],
        )
    return True


def keep(connection: Connection, table: str, reason: str, condition: str, given: Sequence[object]) -> int:
    """
    Keep the rows of *table* for which the SQL condition holds, before they are changed; return how many.
    """
    return connection.execute(
        "INSERT INTO ledger.history_changes (changed_at, changed_by, reason, old_row)"
        f" SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, session_user, %s, row_to_json(t)::text"
        f" FROM ledger.{table} t WHERE {condition}",
        [reason, *given],
    ).rowcount


def guards(connection: Connection) -> list[tuple[object, ...]]:
    """
    Return every trigger and foreign key of the schema, and how it stands.
    """
    return connection.execute(
        "SELECT tgrelid::regclass::text, tgname, tgenabled::text, tgdeferrable, tginitdeferred FROM pg_trigger"
        " JOIN pg_class c ON c.oid = tgrelid WHERE c.relnamespace = 'ledger'::regnamespace"
        " UNION ALL SELECT conrelid::regclass::text, conname, contype::text, condeferrable, condeferred"
        " FROM pg_constraint WHERE connamespace = 'ledger'::regnamespace ORDER BY 1, 2, 3"
    ).fetchall()


@contextlib.contextmanager
def aside(connection: Connection, table: str) -> Iterator[None]:
    """
    Set the triggers of *table* aside, and let its foreign keys wait until the block ends.

    A block that raises has to be rolled back, which puts them back as well.
    """
    states = {"A": "ENABLE ALWAYS", "O": "ENABLE", "R": "ENABLE REPLICA", "D": "DISABLE"}
    triggers = connection.execute(
        "SELECT quote_ident(tgname), tgenabled::text FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
        [f"ledger.{table}"],
    ).fetchall()
    waiting = connection.execute(
        "SELECT quote_ident(conname) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
        " AND NOT condeferrable",
        [f"ledger.{table}"],
    ).fetchall()
    connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER")
    for (name,) in waiting:
        connection.execute(f"ALTER TABLE ledger.{table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED")
    yield
    for (name,) in waiting:
        # Asked now: a table whose keys still wait to be asked cannot be altered.
        connection.execute(f"SET CONSTRAINTS ledger.{name} IMMEDIATE")
        connection.execute(f"ALTER TABLE ledger.{table} ALTER CONSTRAINT {name} NOT DEFERRABLE")
    for name, state in triggers:
        connection.execute(f"ALTER TABLE ledger.{table} {states[state]} TRIGGER {name}")


def check_guards(connection: Connection, before: list[tuple[object, ...]]) -> None:
    """
    Raise Corrupt unless the guards stand as they did *before*.
    """
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    if changed := sorted(map(str, set(guards(connection)) ^ set(before))):
        raise Corrupt(f"guards would stand otherwise than before: {'; '.join(changed[:4])}; nothing was changed")


def expect(connection: Connection, table: str) -> str:
    """
    Make an empty table like *table* for the rows that are to be there, and return its name.
    """
    name = f"expected_{table}"
    connection.execute(f"CREATE TEMP TABLE {name} (LIKE ledger.{table} INCLUDING INDEXES) ON COMMIT DROP")
    return name


def replace(connection: Connection, chain: int, table: str, key: Sequence[str], reason: str) -> tuple[int, int]:
    """
    Let *table* have for *chain* the rows that are expected of it and no others; return how many went and came.

    A row under a number that no chain has goes as well where it is one of the expected ones in all else.
    """
    columns = _columns(connection, table)
    keys = " AND ".join(f't."{name}" = e."{name}"' for name in key) or "true"
    same = _same(columns)
    connection.execute(
        f"CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT t.ctid AS place FROM ledger.{table} t"
        f" LEFT JOIN expected_{table} e ON {keys} AND {same} WHERE t.chain = %s AND e.chain IS NULL"
        # Of rows that stand twice, which no key kept apart, all but one.
        f" UNION SELECT d.place FROM (SELECT ctid AS place, row_number() OVER (PARTITION BY {_listed(key)} ORDER BY"
        f" ctid) AS number FROM ledger.{table} WHERE chain = %s) d WHERE d.number > 1"
        f" UNION SELECT t.ctid FROM ledger.{table} t JOIN expected_{table} e ON {keys} AND"
        f" {_same([name for name in columns if name != 'chain'])} WHERE NOT EXISTS"
        " (SELECT FROM ledger.chains c WHERE c.chain = t.chain)",
        [chain, chain],
    )
    gone = keep(connection, table, f"{reason} ({table})", "t.ctid IN (SELECT place FROM gone)", [])
    if gone:
        connection.execute(f"DELETE FROM ledger.{table} WHERE ctid IN (SELECT place FROM gone)")
    connection.execute("DROP TABLE gone")
    came = connection.execute(
        f"INSERT INTO ledger.{table} SELECT e.* FROM expected_{table} e LEFT JOIN ledger.{table} t"
        f" ON t.chain = %s AND {keys} WHERE t.chain IS NULL",
        [chain],
    ).rowcount
    return gone, came


def _same(columns: Sequence[str]) -> str:
    """Return that a row `t` is the row `e`, whatever types somebody may have made of its columns."""
    return " AND ".join(f't."{name}" IS NOT DISTINCT FROM e."{name}"' for name in columns)


def _listed(key: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in ("chain", *key))


def boundaries(connection: Connection, chain: int, after: int, last: int) -> set[int]:
    """
    Return the seqs after *after* and up to *last* at which a commit is said to end.
    """
    found = connection.execute(
        "SELECT last_seq FROM ledger.commits WHERE chain = %s AND last_seq > %s AND last_seq <= %s", [chain, after, last]
    )
    return {row[0] for row in found}


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


def genesis_of(connection: Connection, chain: int) -> bytes:
    """
    Return the genesis hash as the chain's row has it.
    """
    row = connection.execute("SELECT genesis FROM ledger.chains WHERE chain = %s", [chain]).fetchone()
    return b"" if row is None or row[0] is None else bytes(row[0])


def put_identity(
    connection: Connection, chain: int, chain_id: bytes, origin: str, genesis: bytes, version: int, reason: str
) -> None:
    """
    Let the chain's own row say who it is.
    """
    keep(connection, "chains", f"{reason} (chains)", "t.chain = %s", [chain])
    with aside(connection, "chains"):
        connection.execute(
            "UPDATE ledger.chains SET (chain_id, origin, format_version, genesis) = (%s::uuid, %s, %s, %s)"
            " WHERE chain = %s",
            [chain_id.hex(), origin, version, genesis, chain],
        )


def put_note(connection: Connection, chain: int, size: int, root: bytes, note: bytes, reason: str) -> None:
    """
    Let the checkpoint of *size* events have this root and note; when it was sealed stays as it stands.
    """
    keep(connection, "checkpoints", f"{reason} (checkpoints)", "t.chain = %s AND t.size = %s", [chain, size])
    with aside(connection, "checkpoints"):
        connection.execute(
            "UPDATE ledger.checkpoints SET (root, note) = (%s, %s) WHERE chain = %s AND size = %s",
            [root, note.decode(), chain, size],
        )


def stored_note(connection: Connection, chain: int, size: int) -> tuple[bytes, bytes] | None:
    """
    Return root and note of the checkpoint of *size* events as they stand, None where there is no such row.
    """
    row = connection.execute(
        "SELECT coalesce(root, ''), convert_to(coalesce(note, ''), 'UTF8') FROM ledger.checkpoints"
        " WHERE chain = %s AND size = %s",
        [chain, size],
    ).fetchone()
    return None if row is None else (bytes(row[0]), bytes(row[1]))


def drop_snapshot(connection: Connection, chain: int, seq: str, reason: str) -> int:
    """
    Throw the snapshots at *seq* away, and return how many there were.
    """
    gone = keep(connection, "snapshots", f"{reason} (snapshots)", "t.chain = %s AND t.seq::text = %s", [chain, seq])
    connection.execute("DELETE FROM ledger.snapshots WHERE chain = %s AND seq::text = %s", [chain, seq])
    return gone


def forget_watermarks(connection: Connection, chain: int) -> None:
    """
    Forget how far the histories are: they are made anew from the first event, whatever was said of them.
    """
    connection.execute("DELETE FROM ledger.read_model_watermarks WHERE chain = %s", [chain])


def head_seq(connection: Connection, chain: int) -> int:
    """
    Return the seq of the head as it stands; 0 where there is no head.
    """
    row = connection.execute("SELECT seq FROM ledger.chain_heads WHERE chain = %s", [chain]).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])
