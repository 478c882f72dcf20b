"""
Change what nobody may change, as the owner of the tables, and keep what was there before.

A table's own triggers are set aside for that and stand as before when the transaction ends, whatever happens; so do
foreign keys, which are asked once all is in place. Every row that goes is kept in `history_changes` with the reason.

Nothing here knows whether what it is given is true: `ledger.repairing` proves it first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from ledger.chain.link import ChainHead
from ledger.errors import Corrupt, NotPermitted, StateMismatch
from ledger.storage import evidence
from ledger.storage.chains import Head
from ledger.storage.database import Connection
from ledger.storage.upgrade import OWNER

PLAN = " (plan {})"
"""Ends the reason of the row that says which plan changed something."""
PLAN_OF_HISTORIES = " (plan {}, histories)"
"""The same where it was histories that changed."""


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


def check_temporary(connection: Connection) -> None:
    """
    Raise NotPermitted unless the login of *connection* may make temporary tables.
    """
    found = connection.execute(
        "SELECT session_user, current_database(), has_database_privilege(current_database(), 'TEMPORARY')"
    ).fetchone()
    connection.rollback()
    if found is None or not found[2]:
        login, name, _ = found or ("", "", False)
        raise NotPermitted(
            f"login {login} may make no temporary tables, in which copies are compared with what is stored: plan as "
            f'the owner\'s login, or GRANT TEMPORARY ON DATABASE "{name}" TO "{login}"'
        )


def may_append(connection: Connection) -> bool:
    """
    Return whether the login of *connection* may add events.
    """
    return connection.execute("SELECT has_table_privilege('ledger.events', 'INSERT')").fetchone() == (True,)


SPEAKING = {
    "acknowledgements": "seq", "commits": "last_seq", "state_digests": "seq", "idempotency_keys": "first_seq",
    "snapshots": "seq", "read_model_watermarks": "seq", "checkpoints": "size", "balance_history": "seq",
    "position_history": "seq",
}  # fmt: skip
"""The tables whose rows name an event that there has to be, and the column in which they do."""


def end(connection: Connection, chain: int, after: int) -> ChainHead:
    """
    Return up to which event they follow each other from the one *after* which to look, whatever the head says.
    """
    row = connection.execute(
        "SELECT max(seq) FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS number FROM ledger.events"
        " WHERE chain = %s AND seq > %s) t WHERE seq = %s + number",
        [chain, after, after],
    ).fetchone()
    seq = after if row is None or row[0] is None else int(row[0])
    return ChainHead(seq, hash_at(connection, chain, seq))


def hash_at(connection: Connection, chain: int, seq: int) -> bytes:
    """
    Return the hash that the row of event *seq* says; no bytes where there is none.
    """
    row = connection.execute("SELECT hash FROM ledger.events WHERE chain = %s AND seq = %s", [chain, seq]).fetchone()
    return b"" if row is None or row[0] is None else bytes(row[0])


def last_until(connection: Connection, chain: int, seq: int) -> int | None:
    """
    Return the seq of the last event up to *seq* that there is, or None.
    """
    row = connection.execute(
        "SELECT seq FROM ledger.events WHERE chain = %s AND seq BETWEEN 1 AND %s ORDER BY seq DESC LIMIT 1",
        [chain, seq],
    ).fetchone()
    return None if row is None else int(row[0])


def first_beyond(connection: Connection, chain: int, seq: int, but: Sequence[int]) -> int | None:
    """
    Return the seq of the first event after *seq* that there is, *but* these; None where there is none.
    """
    row = connection.execute(
        "SELECT min(seq) FROM ledger.events WHERE chain = %s AND seq > %s AND seq <> ALL(%s::bigint[])",
        [chain, seq, list(but)],
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def spoken(connection: Connection, chain: int) -> list[tuple[str, int]]:
    """
    Return the last event that rows of each table speak of, where there are any.
    """
    found = []
    for table, column in SPEAKING.items():
        row = connection.execute(f"SELECT max({column}) FROM ledger.{table} WHERE chain = %s", [chain]).fetchone()
        if row is not None and row[0] is not None:
            found.append((table, int(row[0])))
    # One tile far ahead is nobody's word; those that follow each other hold the hash of every event.
    leaves = evidence.leaves_in_row(connection, chain)
    return [*found, ("tiles", leaves)] if leaves else found


def mode(connection: Connection, chain: int) -> str:
    """
    Return which role the head says that this region has; nothing where there is no head, or two that say different.
    """
    found = connection.execute("SELECT DISTINCT mode FROM ledger.chain_heads WHERE chain = %s", [chain]).fetchall()
    return str(found[0][0] or "") if len(found) == 1 else ""


def said_mode(connection: Connection, chain: int) -> Literal["primary", "replica"] | None:
    """
    Return the same as one of the roles that there are, or None.
    """
    found = mode(connection, chain)
    return "primary" if found == "primary" else "replica" if found == "replica" else None


def mode_astray(connection: Connection, chain: int) -> str:
    """
    Return the mode that a head says which stands under another number, and is the head of this chain's events; nothing
    where none does, or several, or events of another chain stand there, or a place in a topic beside it says the
    opposite.
    """
    # Events that were moved there with it have no other in their places.
    found = connection.execute(
        "SELECT h.mode FROM ledger.chain_heads h JOIN ledger.events e ON (e.chain, e.seq, e.hash) = (%s, h.seq, h.hash)"
        " WHERE h.chain <> %s AND NOT EXISTS (SELECT FROM ledger.events o"
        " JOIN ledger.events s ON (s.chain, s.seq) = (e.chain, o.seq) AND s.hash <> o.hash"
        "  WHERE o.chain = h.chain AND o.seq > 1)"
        " AND NOT (h.mode = 'primary' AND EXISTS (SELECT FROM ledger.replica_state p WHERE p.chain = h.chain))",
        [chain, chain],
    ).fetchall()
    return str(found[0][0] or "") if len(found) == 1 else ""


def has_place(connection: Connection, chain: int) -> bool:
    """
    Return whether the region has a place in a topic, as one that applies what another publishes.
    """
    return connection.execute("SELECT FROM ledger.replica_state WHERE chain = %s", [chain]).fetchone() is not None


def commit_at(connection: Connection, chain: int, seq: int) -> bytes:
    """
    Return the digest that the commit which ends at *seq* says; no bytes where there is none.
    """
    row = connection.execute(
        "SELECT state_digest FROM ledger.commits WHERE chain = %s AND last_seq = %s", [chain, seq]
    ).fetchone()
    return b"" if row is None or row[0] is None else bytes(row[0])


def commits_of(connection: Connection, chain: int, digests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """
    Return where commits end that say one of these digests, each with it.
    """
    found = connection.execute(
        "SELECT last_seq, state_digest FROM ledger.commits WHERE chain = %s AND state_digest = ANY(%s)"
        " AND last_seq IS NOT NULL",
        [chain, list(digests)],
    )
    return [(int(seq), bytes(digest)) for seq, digest in found]


def lanes(connection: Connection, chain: int) -> tuple[int, bytes]:
    """
    Return the seq of the state digest and its lanes; 0 and no bytes where there is none.
    """
    row = connection.execute("SELECT seq, lanes FROM ledger.state_digests WHERE chain = %s", [chain]).fetchone()
    return (0, b"") if row is None or None in row else (int(row[0]), bytes(row[1]))


def snapshots_at(connection: Connection, chain: int, seq: str) -> list[tuple[bytes, bytes]]:
    """
    Return rows and digest of the snapshots at *seq*.
    """
    found = connection.execute(
        "SELECT rows, state_digest FROM ledger.snapshots WHERE chain = %s AND seq::text = %s", [chain, seq]
    ).fetchall()
    return [(bytes(rows or b""), bytes(digest or b"")) for rows, digest in found]


def snapshot_digests(connection: Connection, chain: int) -> list[tuple[int, bytes]]:
    """
    Return of each snapshot its seq and the digest that it says.
    """
    found = connection.execute(
        "SELECT seq, state_digest FROM ledger.snapshots WHERE chain = %s AND seq IS NOT NULL AND state_digest IS NOT"
        " NULL", [chain],
    )  # fmt: skip
    return [(int(seq), bytes(digest)) for seq, digest in found]


def act_as_owner(connection: Connection) -> None:
    """
    Have the owner's rights in this transaction.
    """
    connection.execute(f"SET LOCAL ROLE {OWNER}")


def disputed(said: int, seq: int) -> str:
    """
    Return that the head says *said* events, and they end at *seq*.
    """
    return f"the head says {said} events and there are {seq}: which of both is true cannot be proven"


def set_head(connection: Connection, chain: int, head: Head, vouched: int, reason: str) -> tuple[int, int]:
    """
    Let the head be this one; return how many rows went and came. *vouched* is how many events a checkpoint covers, or
    another region has as well.

    A second row goes, and a row under a number that no chain has which is this event's.

    Raises:
        StateMismatch: the head counts other events, and nobody else tells which is true.
    """
    found = connection.execute(
        "SELECT ctid::text, seq, hash, recorded_at, epoch, mode, unbalanced::text FROM ledger.chain_heads"
        " WHERE chain = %s ORDER BY ctid FOR UPDATE",
        [chain],
    ).fetchall()
    strays = connection.execute(
        "SELECT ctid::text FROM ledger.chain_heads h WHERE NOT EXISTS (SELECT FROM ledger.chains c"
        " WHERE c.chain = h.chain) AND (seq, hash) = (%s, %s)",
        [head.seq, head.hash],
    ).fetchall()
    wanted = (head.seq, head.hash, head.recorded_at, head.epoch, head.mode, None)
    there = {place: tuple(row) for place, *row in found}
    for said, of, *_ in there.values():
        if said != head.seq and of != head.hash and not (said or 0) < head.seq <= vouched:
            # A head that went back would hide what is missing; one that went on would take in what nobody vouches for.
            raise StateMismatch(
                f"{disputed(said or 0, head.seq)}; {vouched} of them were signed, or are known elsewhere; nothing was "
                "mended"
            )
    good = next((place for place, row in there.items() if row == wanted), None)
    kept = good or next(iter(there), None)
    surplus = [*(place for place in there if place != kept), *(place for (place,) in strays)]
    gone = surplus if good else [*there, *(place for (place,) in strays)]
    keep(connection, "chain_heads", f"{reason} (chain_heads)", "t.ctid = ANY(%s::text[]::tid[])", [gone])
    if surplus:
        with aside(connection, "chain_heads"):
            connection.execute("DELETE FROM ledger.chain_heads WHERE ctid = ANY(%s::text[]::tid[])", [surplus])
    if kept is None:
        connection.execute("INSERT INTO ledger.chain_heads VALUES (%s, %s, %s, %s, %s, %s, %s)", [chain, *wanted])
    elif not good:
        connection.execute(
            "UPDATE ledger.chain_heads SET (seq, hash, recorded_at, epoch, mode, unbalanced) = (%s, %s, %s, %s, %s, %s)"
            " WHERE chain = %s",
            [*wanted, chain],
        )
    stands = connection.execute(
        "SELECT seq, hash, recorded_at, epoch, mode, unbalanced::text FROM ledger.chain_heads WHERE chain = %s", [chain]
    ).fetchall()
    if stands != [wanted]:
        raise unwritten("chain_heads")
    return len(gone), int(not good)


def keep(connection: Connection, table: str, reason: str, condition: str, given: Sequence[object]) -> int:
    """
    Keep the rows of *table* for which the SQL condition holds, before they are changed; return how many.

    Raises:
        Corrupt: not all of them were kept.
    """
    row = connection.execute(f"SELECT count(*) FROM ledger.{table} t WHERE {condition}", [*given]).fetchone()
    kept = connection.execute(
        "INSERT INTO ledger.history_changes (changed_at, changed_by, reason, old_row)"
        f" SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, session_user, %s, row_to_json(t)::text"
        f" FROM ledger.{table} t WHERE {condition}",
        [reason, *given],
    ).rowcount
    if row != (kept,):
        raise unwritten("history_changes")
    return kept


def unwritten(table: str) -> Corrupt:
    """
    Return that *table* does not have what was written there.
    """
    return Corrupt(
        f"ledger.{table} does not have what was written there: a rule, a policy or a trigger takes it away, which "
        "tradeledger db check lists; nothing was mended"
    )


class Noted(NamedTuple):
    """
    When a plan changed something, in ns since 1970, and whether that was histories.
    """

    at: int
    histories: bool


def note_plan(connection: Connection, digest: str, reason: str, *, histories: bool = False) -> None:
    """
    Keep that a plan of this *digest* changed something, in the transaction in which it did: rows that were put where
    none had been leave no other trace.

    Raises:
        Corrupt: it was not kept.
    """
    before = noted(connection, digest)
    ends = PLAN_OF_HISTORIES if histories else PLAN
    connection.execute(
        "INSERT INTO ledger.history_changes (changed_at, changed_by, reason, old_row) VALUES"
        " ((extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, session_user, %s, 'null')",
        [f"{reason}{ends.format(digest)}"],
    )
    if len(noted(connection, digest)) != len(before) + 1:
        raise unwritten("history_changes")


def noted(connection: Connection, digest: str) -> list[Noted]:
    """
    Return when a plan of this *digest* changed something here, the last time first.
    """
    ends = [PLAN.format(digest), PLAN_OF_HISTORIES.format(digest)]
    found = connection.execute(
        "SELECT changed_at, starts_with(reverse(reason), reverse(%s)) FROM ledger.history_changes"
        " WHERE right(reason, %s) = %s OR right(reason, %s) = %s ORDER BY change DESC",
        [ends[1], len(ends[0]), ends[0], len(ends[1]), ends[1]],
    ).fetchall()
    return [Noted(int(at), bool(histories)) for at, histories in found]


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


def drop_snapshot(connection: Connection, chain: int, seq: str, reason: str) -> int:
    """
    Throw the snapshots at *seq* away, and return how many there were.
    """
    gone = keep(connection, "snapshots", f"{reason} (snapshots)", "t.chain = %s AND t.seq::text = %s", [chain, seq])
    deleted = connection.execute("DELETE FROM ledger.snapshots WHERE chain = %s AND seq::text = %s", [chain, seq])
    if deleted.rowcount != gone:
        raise unwritten("snapshots")
    return gone


def head_seq(connection: Connection, chain: int) -> int:
    """
    Return the seq of the head as it stands, of several the largest; 0 where there is no head.
    """
    row = connection.execute("SELECT max(seq) FROM ledger.chain_heads WHERE chain = %s", [chain]).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


@contextlib.contextmanager
def lent_head(connection: Connection, chain: int, end: ChainHead) -> Iterator[None]:
    """
    Have one head, at *end*, until the block ends, then none or whatever stood there: the door for events asks it how
    far the chain goes, and what stands may be what is to be mended.
    """
    there = connection.execute("SELECT seq, hash FROM ledger.chain_heads WHERE chain = %s", [chain]).fetchall()
    if there == [(end.seq, end.hash)]:
        yield
        return
    with aside(connection, "chain_heads"):
        connection.execute("CREATE TEMP TABLE lent ON COMMIT DROP AS SELECT * FROM ledger.chain_heads WHERE chain = %s",
                           [chain])  # fmt: skip
        connection.execute("DELETE FROM ledger.chain_heads WHERE chain = %s", [chain])
        connection.execute(
            "INSERT INTO ledger.chain_heads (chain, seq, hash, recorded_at, epoch, mode)"
            " VALUES (%s, %s, %s, 0, 1, 'replica')", [chain, end.seq, end.hash or bytes(32)],
        )  # fmt: skip
    yield
    with aside(connection, "chain_heads"):
        connection.execute("DELETE FROM ledger.chain_heads WHERE chain = %s", [chain])
        connection.execute("INSERT INTO ledger.chain_heads SELECT * FROM lent")
        connection.execute("DROP TABLE lent")


def has_head(connection: Connection, chain: int) -> bool:
    """
    Return whether there is a head, whatever it says.
    """
    return connection.execute("SELECT FROM ledger.chain_heads WHERE chain = %s", [chain]).fetchone() is not None
