"""
See a ledger's database at one moment: which chain of it is meant, and rows of it as they are stored.

The transaction is read-only, and the login should be the auditor's. Rows are streamed through cursors of the database,
never held.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from ledger.chain.link import genesis
from ledger.domain.rows import TABLES
from ledger.errors import LedgerError
from verifier import absent, columns
from verifier.connection import by_no_index, first_line, open_connection
from verifier.stored import ChainRow, ChainsLost, Unreadable, unanswered

NO_HEAD: Final = (-1, b"", 0, 0, "missing", None)
"""What stands for a row of `chain_heads` where there is none."""
FETCH_ROWS = 2000
"""How many rows a cursor brings at once: what of a table is in memory at a time."""
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


def _began_as(row: ChainRow, origin: str) -> bool:
    """Whether the genesis that a row keeps is that of its id and a name."""
    try:
        return row.genesis == genesis(row.chain_id, origin)
    except LedgerError:
        return False


class Moment:
    """
    One chain's rows, as they are at one moment.
    """

    def __init__(self, dsn: str, origin: str | None, snapshot: str | None = None) -> None:
        self.dsn, self.wanted = dsn, origin
        self.cursors = itertools.count(1)
        self.connection = open_connection(dsn, snapshot)
        try:
            self.chain = self._find(origin)
        except Exception as error:
            self.connection.close()
            if (instead := columns.changed(dsn, origin or "unknown", error)) is not None:
                raise instead from error
            if isinstance(error, psycopg.OperationalError):
                raise unanswered(error) from error
            if isinstance(error, psycopg.Error):
                raise Unreadable(f"the database holds no ledger this login may read: {first_line(error)}") from error
            raise

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """
        Close the moment.

        Raises:
            ColumnsChanged: what ended the reading is that columns of the schema were changed.
            Unreadable: the database stopped answering.
        """
        self.connection.close()
        instead = None if error is None else columns.changed(self.dsn, self.chain.origin, error)
        if instead is not None:
            raise instead from error
        if isinstance(error, psycopg.Error):
            raise unanswered(error) from error

    def _find(self, origin: str | None) -> ChainRow:
        self.chains = [
            absent.row_of(ChainRow, (*row[1:6], *(row[6:] if row[0] else NO_HEAD)))
            for row in self.every(
                "SELECT h.chain IS NOT NULL, coalesce(c.chain, -1),"
                " coalesce(uuid_send(c.chain_id), decode(repeat('00', 16), 'hex')), coalesce(c.origin, ''),"
                " c.format_version, c.genesis, h.seq, h.hash, h.recorded_at, h.epoch, h.mode, h.unbalanced::text"
                " FROM ledger.chains c LEFT JOIN ledger.chain_heads h USING (chain)"
                " ORDER BY 2, h.seq DESC NULLS LAST"
            )
        ]
        meant = [row for row in self.chains if origin in (None, row.origin)]
        # Two rows of one chain, or two heads of it, are a finding, and no choice for whoever asks: the first is read,
        # of those under whose number the first event says this origin if there are any.
        chosen = [*{(row.chain, row.origin): row for row in reversed(meant)}.values()]
        if len({row.origin for row in chosen}) == 1:
            chosen = ([row for row in chosen if self._created(row.chain) == row.origin] or chosen)[-1:]
        if not chosen and origin is not None:
            # Its row may have another origin now; what the first event says, or the genesis, cannot be changed unseen.
            chosen = [row for row in self.chains if self._created(row.chain) == origin or _began_as(row, origin)]
        if len(chosen) != 1:
            strays = self.strays("events")
            if not chosen and strays:
                raise ChainsLost([row[0] for row in strays])
            if not self.chains:
                raise Unreadable(
                    "this database has no chain; make one with `tradeledger init --origin …`, or name another database"
                )
            present = ", ".join(dict.fromkeys(row.origin for row in self.chains))
            raise Unreadable(f"name one chain with --origin: this database has {present}")
        return chosen[0]

    def _created(self, number: int) -> str | None:
        row = self.connection.execute(
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
        counted = self.connection.execute(
            f"SELECT chain, count(*) FROM ledger.{table} WHERE {where} GROUP BY chain ORDER BY chain", given
        ).fetchall()
        shown = ", ".join(f'"{name}"::text' for name in _KEYS[table]) or "NULL"
        order = ", ".join(str(place) for place in range(1, len(_KEYS[table]) + 1)) or "1"
        found = []
        for number, count in counted:
            row = self.connection.execute(
                f"SELECT {shown} FROM ledger.{table} WHERE chain IS NOT DISTINCT FROM %s ORDER BY {order} LIMIT 1",
                [number],
            ).fetchone()
            found.append((number, count, tuple(str(part) for part in row or () if part is not None)))
        return found

    def read_as(self, number: int) -> None:
        """
        Read the rows under another chain number than the row of chains says.
        """
        head = self.connection.execute(
            "SELECT seq, hash, recorded_at, epoch, mode, unbalanced::text FROM ledger.chain_heads WHERE chain = %s",
            [number],
        ).fetchone()
        row = self.chain
        self.chain = absent.row_of(
            ChainRow, (number, row.chain_id, row.origin, row.format_version, row.genesis, *(head or NO_HEAD))
        )

    def snapshot(self) -> str:
        """
        Return the name of this moment, under which other connections may read it while this one is open.
        """
        return str(self.query("SELECT pg_export_snapshot()")[0][0])

    def stream(
        self, name: str, sql: str, *given: Any, rows: int | None = None, number: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """
        Yield the rows of a query, so many *rows* at once; its first parameter is the chain's *number*, or another's.
        """
        # A name of its own: what is read twice may not be read to its end the first time.
        with self.connection.cursor(f"{name}_{next(self.cursors)}", scrollable=False) as cursor:
            cursor.itersize = rows or FETCH_ROWS
            cursor.execute(sql, [self.chain.chain if number is None else number, *given])
            yield from cursor

    def stream_every(self, name: str, sql: str, *given: Any) -> Iterator[tuple[Any, ...]]:
        """
        Yield the rows of a query for all rows of the chain, whose number is its first parameter, whatever an index says
        of them.
        """
        with self.connection.cursor(f"{name}_{next(self.cursors)}", scrollable=False) as cursor:
            cursor.itersize = FETCH_ROWS
            with by_no_index(self.connection):
                cursor.execute(sql, [self.chain.chain, *given])
            yield from cursor

    def every(self, sql: typing.LiteralString, *given: Any) -> list[tuple[Any, ...]]:
        """
        Return the rows of a query for all rows of a table or of a chain, whatever an index says of them.
        """
        with by_no_index(self.connection):
            return self.connection.execute(sql, given).fetchall()

    def query(self, sql: typing.LiteralString) -> list[tuple[Any, ...]]:
        """
        Return the rows of a query that names its own tables.
        """
        return self.connection.execute(sql).fetchall()

    def now(self) -> int:
        """
        Return the database's clock (ns since 1970).
        """
        return int(self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint")[0][0])
