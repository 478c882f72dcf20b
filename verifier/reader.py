"""
Read a ledger's database: all of it at one moment, with code of the verifier's own.

The ledger's storage code is not used on purpose: a fault in how it reads would hide itself. The transaction is
read-only, and the login should be the auditor's. Rows are streamed through cursors of the database, never held. What
no ledger could have written (a NULL, an infinite date, a number that is none) is read as something that no hash and
no rule will confirm, so that it ends as a finding.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import psycopg

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import Key
from ledger.errors import LedgerError
from verifier.connection import first_line, open_connection
from verifier.stored import AcknowledgementRow, ChainRow, ChainsLost, CheckpointRow, CommitRow, KeyRow, Unreadable
from verifier.stored_rows import columns_of, row_of

FETCH_ROWS = 2000
"""How many rows a cursor brings at once: what of a table is in memory at a time."""
FETCH_TILES = 16
REPAIRS_LISTED: Final = 100
"""So many reasons for repairs are listed, the newest first."""

_EVENT_COLUMNS: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name != "chain_id")
_SHOWN: Final = {
    "event_id": "uuid_send(event_id)", "group_id": "uuid_send(group_id)", "correlation_id": "uuid_send(correlation_id)",
    "causation_id": "uuid_send(causation_id)",
    # No ledger writes an infinite date; it still has to be read, to be found.
    "effective_on": "CASE WHEN isfinite(effective_on) THEN effective_on - date '1970-01-01' ELSE 2147483647 END",
    "payload": "convert_to(payload::text, 'UTF8')",
}  # fmt: skip
_OPTIONAL: Final = ("correlation_id", "causation_id")
_IMPOSSIBLE: Final[dict[str, Any]] = {"str": "\0", "bytes": b"", "int": -1}
"""What stands for a NULL where none can be, by the type of the column."""
HISTORIES: Final = {"balances": "balance_history", "positions": "position_history"}
"""The read models whose every version is kept, and where."""
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "chain_heads": (), "state_digests": (), "replica_state": (), "events": ("seq",), "commits": ("last_seq",),
    "idempotency_keys": ("source", "key"), "acknowledgements": ("replica",), "snapshots": ("seq",),
    "read_model_watermarks": ("name",), "tiles": ("level", "number"), "checkpoints": ("size",),
    **{name: (*TABLES[of].key, "seq") for of, name in HISTORIES.items()},
    **{name: spec.key for name, spec in TABLES.items()},
}  # fmt: skip
"""Every table that has rows by chain, with the rest of its key."""


class Reader:
    """
    One consistent view of one chain's rows.
    """

    def __init__(self, dsn: str, origin: str | None, snapshot: str | None = None) -> None:
        self.dsn, self._wanted = dsn, origin
        self._cursors = itertools.count(1)
        self.zero_ids: list[tuple[int, str]] = []
        """(seq, column) of ids stored as zeros, as `events` met them: they hash like absent ones."""
        self._connection = open_connection(dsn, snapshot)
        try:
            self.chain = self._find(origin)
        except psycopg.Error as error:
            self._connection.close()
            raise Unreadable(f"the database holds no ledger this login may read: {first_line(error)}") from error
        except LedgerError:
            self._connection.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._connection.close()
        if isinstance(error, psycopg.Error):
            raise Unreadable(f"the database stopped answering: {first_line(error)}; nothing was verified") from error

    def _find(self, origin: str | None) -> ChainRow:
        self.chains = [
            ChainRow(*row)
            for row in self._connection.execute(
                "SELECT c.chain, uuid_send(c.chain_id), c.origin, c.format_version, c.genesis, coalesce(h.seq, -1),"
                " coalesce(h.hash, ''), coalesce(h.recorded_at, 0), coalesce(h.epoch, 0), coalesce(h.mode, 'missing'),"
                " h.unbalanced::text FROM ledger.chains c LEFT JOIN ledger.chain_heads h USING (chain) ORDER BY c.chain"
            )
        ]
        chosen = [row for row in self.chains if origin in (None, row.origin)]
        if not chosen and origin is not None:
            # Its row may have another origin now; what the first event says cannot be changed unseen.
            chosen = [row for row in self.chains if self._created(row.chain) == origin]
        if len(chosen) != 1:
            strays = self.strays("events")
            if not chosen and strays:
                raise ChainsLost([row[0] for row in strays])
            if not self.chains:
                raise Unreadable(
                    "this database has no chain; make one with `tradeledger init --origin …`, or name another database"
                )
            present = ", ".join(row.origin for row in self.chains)
            raise Unreadable(f"name one chain with --origin: this database has {present}")
        return chosen[0]

    def _created(self, number: int) -> str | None:
        row = self._connection.execute(
            "SELECT payload #>> '{given,origin}' FROM ledger.events WHERE chain = %s AND seq = 1", [number]
        ).fetchone()
        return None if row is None else row[0]

    def strays(self, table: str) -> list[tuple[int | None, int, tuple[str, ...]]]:
        """
        Return (number, rows, least key) of each chain number in *table* that no row of chains has.
        """
        known = sorted({row.chain for row in self.chains})
        # Ranges around the known numbers, so that the primary key can answer without a scan.
        parts = ["chain IS NULL", "NOT (chain BETWEEN %s AND %s)", *("(chain > %s AND chain < %s)" for _ in known[1:])]
        given = [known[0], known[-1], *(bound for pair in itertools.pairwise(known) for bound in pair)] if known else []
        where = " OR ".join(parts) if known else "true"
        counted = self._connection.execute(
            f"SELECT chain, count(*) FROM ledger.{table} WHERE {where} GROUP BY chain ORDER BY chain", given
        ).fetchall()
        shown = ", ".join(f'"{name}"::text' for name in _KEYS[table]) or "NULL"
        order = ", ".join(str(place) for place in range(1, len(_KEYS[table]) + 1)) or "1"
        found = []
        for number, count in counted:
            row = self._connection.execute(
                f"SELECT {shown} FROM ledger.{table} WHERE chain IS NOT DISTINCT FROM %s ORDER BY {order} LIMIT 1",
                [number],
            ).fetchone()
            found.append((number, count, tuple(str(part) for part in row or () if part is not None)))
        return found

    def read_as(self, number: int) -> None:
        """
        Read the rows under another chain number than the row of chains says.
        """
        head = self._connection.execute(
            "SELECT seq, hash, recorded_at, epoch, mode, unbalanced::text FROM ledger.chain_heads WHERE chain = %s",
            [number],
        ).fetchone()
        seq, digest, recorded_at, epoch, mode, unbalanced = head or (-1, b"", 0, 0, "missing", None)
        self.chain = msgspec.structs.replace(
            self.chain, chain=number, seq=seq, hash=digest, recorded_at=recorded_at, epoch=epoch, mode=mode,
            unbalanced=unbalanced,
        )  # fmt: skip

    def snapshot(self) -> str:
        """
        Return the name of this moment, under which other connections may read it while this one is open.
        """
        return str(self.query("SELECT pg_export_snapshot()")[0][0])

    def last_seq(self) -> int | None:
        """
        Return the largest seq of an event that is stored, or None where there is none.
        """
        row = self._connection.execute(
            "SELECT max(seq) FROM ledger.events WHERE chain = %s", [self.chain.chain]
        ).fetchone()
        return None if row is None else row[0]

    def count(self, first: int, last: int) -> int:
        """
        Return how many events with seqs from *first* to *last* are stored.
        """
        found = self._connection.execute(
            "SELECT count(*) FROM ledger.events WHERE chain = %s AND seq BETWEEN %s AND %s",
            [self.chain.chain, first, last],
        ).fetchone()
        return 0 if found is None else int(found[0])

    def events_before_first(self) -> bool:
        """
        Return whether there are events with a seq below 1, which none can have.
        """
        return bool(
            self._connection.execute(
                "SELECT EXISTS (SELECT FROM ledger.events WHERE chain = %s AND seq < 1)", [self.chain.chain]
            ).fetchall()[0][0]
        )

    def events(self, first: int = -(2**63), last: int = 2**63 - 1) -> Iterator[RecordedEvent]:
        """
        Yield every event from seq *first* to *last* in order, column by column as stored.
        """
        self.zero_ids.clear()
        for values in self._event_rows("events", "AND seq BETWEEN %s AND %s ORDER BY seq", [first, last]):
            for name in _OPTIONAL:
                if values[name] == NO_ID:
                    self.zero_ids.append((values["seq"], name))
                elif values[name] is None:
                    values[name] = NO_ID
            yield self._event(values)

    def first_events(self, number: int, count: int = 3) -> list[RecordedEvent]:
        """
        Return the first events under a chain number.
        """
        shown = self._event_rows("first_events", "ORDER BY seq LIMIT %s", [count], number)
        return [
            self._event({name: NO_ID if x is None and name in _OPTIONAL else x for name, x in v.items()}) for v in shown
        ]

    def events_at(self, seqs: Sequence[int]) -> Iterator[RecordedEvent]:
        """
        Yield the events at these seqs that there are, column by column as stored.
        """
        for values in self._event_rows("events_at", "AND seq = ANY(%s) ORDER BY seq", [list(seqs)]):
            yield self._event({
                name: NO_ID if value is None and name in _OPTIONAL else value for name, value in values.items()
            })  # fmt: skip

    def _event_rows(
        self, cursor_name: str, rest: str, given: list[Any], number: int | None = None
    ) -> Iterator[dict[str, Any]]:
        shown = ", ".join(_SHOWN.get(name, name) for name in _EVENT_COLUMNS)
        with self._connection.cursor(f"{cursor_name}_{next(self._cursors)}", scrollable=False) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(
                f"SELECT {shown} FROM ledger.events WHERE chain = %s {rest}",
                [self.chain.chain if number is None else number, *given],
            )
            for row in cursor:
                yield dict(zip(_EVENT_COLUMNS, row, strict=True))

    def _event(self, values: dict[str, Any]) -> RecordedEvent:
        for name, value in values.items():
            if value is None:
                values[name] = _IMPOSSIBLE[RecordedEvent.__annotations__[name]]
        return RecordedEvent(chain_id=self.chain.chain_id, **values)

    def seq_recorded_at(self, recorded_at: int, low: int, high: int) -> int | None:
        """
        Return the seq of the event of that time between two seqs, or None.
        """
        row = self._connection.execute(
            "SELECT seq FROM ledger.events WHERE chain = %s AND seq BETWEEN %s AND %s AND recorded_at = %s",
            [self.chain.chain, low, high, recorded_at],
        ).fetchone()
        return None if row is None else int(row[0])

    def _stream(self, name: str, sql: str, *given: Any, rows: int | None = None) -> Iterator[tuple[Any, ...]]:
        # A name of its own: what is read twice may not be read to its end the first time.
        with self._connection.cursor(f"{name}_{next(self._cursors)}", scrollable=False) as cursor:
            cursor.itersize = rows or FETCH_ROWS
            cursor.execute(sql, [self.chain.chain, *given])
            yield from cursor

    def keys(self, first: int = -(2**63), last: int = 2**63 - 1) -> Iterator[KeyRow]:
        """
        Yield the idempotency keys of groups that begin at seq *first* to *last*, in that order; the database sorts.
        """
        sql = (
            "SELECT source, key, first_seq FROM ledger.idempotency_keys"
            " WHERE chain = %s AND first_seq BETWEEN %s AND %s ORDER BY first_seq"
        )
        for row in self._stream("keys", sql, first, last):
            yield KeyRow(*row)

    def keys_of_groups(self, after: int) -> Iterator[KeyRow]:
        """
        Yield the idempotency keys that the groups after seq *after* used, in order of what their rows say.

        A row whose key no such group used is not among them.
        """
        # Looked up one by one: a join would read all keys there are.
        sql = (
            "SELECT k.source, k.key, k.first_seq FROM ledger.events e CROSS JOIN LATERAL (SELECT source, key, first_seq"
            " FROM ledger.idempotency_keys WHERE chain = e.chain AND source = e.source AND key = e.idempotency_key"
            " OFFSET 0) k WHERE e.chain = %s AND e.seq > %s AND e.group_index = 0 ORDER BY k.first_seq"
        )
        for row in self._stream("keys", sql, after):
            yield KeyRow(*row)

    def commits(self, after: int = -(2**63)) -> Iterator[CommitRow]:
        """
        Yield every commit that ends after seq *after*, in order.
        """
        sql = (
            "SELECT first_seq, last_seq, state_digest, committed_at FROM ledger.commits"
            " WHERE chain = %s AND last_seq > %s ORDER BY last_seq"
        )
        for row in self._stream("commits", sql, after):
            yield CommitRow(*row)

    def commit_at(self, seq: int) -> CommitRow | None:
        """
        Return the commit that ends at *seq*, or None.
        """
        row = self._connection.execute(
            "SELECT first_seq, last_seq, state_digest, committed_at FROM ledger.commits"
            " WHERE chain = %s AND last_seq = %s", [self.chain.chain, seq],
        ).fetchone()  # fmt: skip
        return None if row is None else CommitRow(*row)

    def acknowledgements(self) -> list[AcknowledgementRow]:
        """
        Return what each replica acknowledged last.
        """
        shown = ", ".join(AcknowledgementRow.__struct_fields__)
        found = self._connection.execute(
            f"SELECT {shown} FROM ledger.acknowledgements WHERE chain = %s ORDER BY replica",
            [self.chain.chain],
        )
        return [AcknowledgementRow(*row) for row in found]

    def tree_size(self) -> int:
        """
        Return how many leaves the tiles hold by the last of level 0.
        """
        row = self._connection.execute(
            "SELECT number * 256 + octet_length(hashes) / 32 FROM ledger.tiles WHERE chain = %s AND level = 0"
            " ORDER BY chain DESC, level DESC, number DESC LIMIT 1",
            [self.chain.chain],
        ).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    def tiles(self, level: int, first: int | None = None) -> Iterator[tuple[int, bytes]]:
        """
        Yield (number, hashes) of every tile of a level, in order, from the *first* on where that is given.
        """
        onward = "" if first is None else f" AND number >= {int(first)}"
        sql = (
            f"SELECT number, hashes FROM ledger.tiles WHERE chain = %s AND level = {int(level)}{onward} ORDER BY number"
        )
        # A tile is 8 KiB, so few of them at once.
        for row in self._stream(f"tiles_{level}", sql, rows=FETCH_TILES):
            yield row[0], bytes(row[1] or b"")

    def checkpoints(self, name: str, above: int | None = None) -> Iterator[CheckpointRow]:
        """
        Yield every checkpoint, or those *above* a size, in order of size; *name* tells this reading from others that go
        on at the same time.
        """
        onward = "" if above is None else f" AND size > {int(above)}"
        sql = (
            "SELECT size, coalesce(root, ''), coalesce(convert_to(note, 'UTF8'), ''), coalesce(sealed_at, -1)"
            f" FROM ledger.checkpoints WHERE chain = %s{onward} ORDER BY size"
        )
        for row in self._stream(f"checkpoints_{name}", sql):
            yield CheckpointRow(row[0], bytes(row[1]), bytes(row[2]), row[3])

    def positions(self) -> list[tuple[str, str, int]]:
        """
        Return (topic, topic id, next offset) of the chain's rows in replica_state: one in a replica, else none.
        """
        sql = "SELECT topic, topic_id, next_offset FROM ledger.replica_state WHERE chain = %s"
        return self._connection.execute(sql, [self.chain.chain]).fetchall()

    def vouched(self) -> list[str]:
        """
        Return, as sentences, what the database says of itself and nothing else can confirm.
        """
        said = [f"the region is {self.chain.mode}"]
        for login, source in self.query("SELECT login, source FROM ledger.source_logins ORDER BY 1, 2"):
            said.append(f"login {login} may write for source {source}")
        for topic, topic_id, offset in self.positions():
            said.append(f"topic {topic}, whose id is {topic_id}, was read up to offset {offset}")
        repairs = self.query(
            "SELECT min(change), max(change), count(*), changed_by, reason FROM ledger.history_changes"
            " GROUP BY changed_by, reason ORDER BY 2 DESC"
        )
        for first, last, count, by, reason in repairs[:REPAIRS_LISTED]:
            which = f"repair {first} was" if count == 1 else f"{count} repairs, {first} to {last}, were"
            said.append(f"{which} made by {by}: {reason}")
        if len(repairs) > REPAIRS_LISTED:
            said.append(f"{len(repairs) - REPAIRS_LISTED} older reasons for repairs are in history_changes")
        for row in self.query("SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY 1"):
            said.append(f"role {row[0]} is a superuser, whom no guard of the database stops")
        return said

    def now(self) -> int:
        """
        Return the database's clock (ns since 1970).
        """
        return int(self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint")[0][0])

    def lanes(self) -> tuple[int, bytes] | None:
        """
        Return the stored state digest's seq and accumulator.
        """
        found = self._connection.execute(
            "SELECT seq, lanes FROM ledger.state_digests WHERE chain = %s", [self.chain.chain]
        ).fetchone()
        return None if found is None else (found[0], found[1])

    def rows(self, table: str) -> Iterator[Row]:
        """
        Yield every row of a read model.
        """
        spec = TABLES[table]
        for row in self._stream(f"rows_{table}", f"SELECT {columns_of(spec)} FROM ledger.{table} WHERE chain = %s"):
            yield row_of(spec, row)

    def rows_at(self, table: str, keys: Sequence[Key]) -> Iterator[Row]:
        """
        Yield the rows of a read model that have one of these *keys*.
        """
        spec = TABLES[table]
        sql = f"SELECT {columns_of(spec, 't')} FROM ledger.{table} t {_at(spec)} WHERE t.chain = %s"
        for row in self._connection.execute(sql, [*_columns(keys), self.chain.chain]):
            yield row_of(spec, row)

    def versions_at(self, table: str, keys: Sequence[Key], first: int, last: int) -> Iterator[tuple[int, Row]]:
        """
        Yield (seq, row) of each version at seq *first* to *last* of the rows of a read model that have one of *keys*.
        """
        spec = TABLES[table]
        sql = (
            f"SELECT t.seq, {columns_of(spec, 't')} FROM ledger.{HISTORIES[table]} t {_at(spec)}"
            " WHERE t.chain = %s AND t.seq BETWEEN %s AND %s"
        )
        for row in self._connection.execute(sql, [*_columns(keys), self.chain.chain, first, last]):
            yield row[0], row_of(spec, row[1:])

    def versions(self, table: str) -> Iterator[tuple[int, Row]]:
        """
        Yield (seq, row) of every version that the history of a read model holds, in order of seq.
        """
        spec, name = TABLES[table], HISTORIES[table]
        sql = f"SELECT coalesce(seq, -1), {columns_of(spec)} FROM ledger.{name} WHERE chain = %s ORDER BY 1"
        for row in self._stream(f"versions_{table}", sql):
            yield row[0], row_of(spec, row[1:])

    def watermarks(self) -> dict[str, tuple[int, bytes]]:
        """
        Return (seq, hash) of the last event that each history holds, by the history's name.
        """
        found = self._connection.execute(
            "SELECT coalesce(name, ''), coalesce(seq, -1), coalesce(hash, '') FROM ledger.read_model_watermarks"
            " WHERE chain = %s ORDER BY name",
            [self.chain.chain],
        )
        return {name: (seq, digest) for name, seq, digest in found}

    def snapshots(self) -> dict[int, bytes]:
        """
        Return the digest that each snapshot says it has, by its seq.
        """
        found = self._connection.execute(
            "SELECT coalesce(seq, -1), coalesce(state_digest, '') FROM ledger.snapshots WHERE chain = %s ORDER BY seq",
            [self.chain.chain],
        )
        return dict(found.fetchall())

    def snapshot_rows(self, seq: int) -> bytes:
        """
        Return the bytes of the snapshot at *seq*.
        """
        row = self._connection.execute(
            "SELECT coalesce(rows, '') FROM ledger.snapshots WHERE chain = %s AND seq = %s", [self.chain.chain, seq]
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def query(self, sql: typing.LiteralString) -> list[tuple[Any, ...]]:
        """
        Return the rows of a query that names its own tables.
        """
        return self._connection.execute(sql).fetchall()


def _at(spec: TableSpec) -> str:
    """Return the join of a read model, `t`, with keys that come as one array a column."""
    hints = typing.get_type_hints(spec.row_type)
    kinds = ["bigint" if hints[name] is int else "text" for name in spec.key]
    given = ", ".join(f"%s::{kind}[]" for kind in kinds)
    names = ", ".join(f"k{place}" for place in range(len(kinds)))
    equal = " AND ".join(
        f't."{name}" = k.k{place}{"::date" if name in spec.dates else ""}' for place, name in enumerate(spec.key)
    )
    return f"JOIN unnest({given}) AS k({names}) ON {equal}"


def _columns(keys: Sequence[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
