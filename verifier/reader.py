"""
Read a ledger's database: all of it at one moment, with code of the verifier's own.

The ledger's storage code is not used on purpose: a fault in how it reads would hide itself. The transaction is
read-only, and the login should be the auditor's.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import psycopg

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row
from ledger.errors import LedgerError, Unavailable

_EVENT_COLUMNS: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name != "chain_id")
_SHOWN: Final = {
    "event_id": "uuid_send(event_id)", "group_id": "uuid_send(group_id)", "correlation_id": "uuid_send(correlation_id)",
    "causation_id": "uuid_send(causation_id)",
    # No ledger writes an infinite date; it still has to be read, to be found.
    "effective_on": "CASE WHEN isfinite(effective_on) THEN effective_on - date '1970-01-01' ELSE 2147483647 END",
    "payload": "convert_to(payload::text, 'UTF8')",
}  # fmt: skip


class Unreadable(Unavailable):
    """
    The ledger cannot be read, so nothing can be said about it.
    """

    code = "could_not_verify"
    exit_status = 4


class ChainRow(msgspec.Struct, frozen=True):
    """
    What the database says a chain is.
    """

    chain: int
    chain_id: bytes
    origin: str
    format_version: int
    genesis: bytes
    seq: int
    hash: bytes
    recorded_at: int
    epoch: int
    mode: str


class CommitRow(msgspec.Struct, frozen=True):
    """
    The boundary of one transaction.
    """

    first_seq: int
    last_seq: int
    state_digest: bytes
    committed_at: int


class AcknowledgementRow(msgspec.Struct, frozen=True):
    """
    What the database says a replica said last; `received_at` is the region's own word, the rest is signed.
    """

    replica: str
    epoch: int
    seq: int
    hash: bytes
    state_digest: bytes
    applied_at: int
    received_at: int
    signature: bytes


class Reader:
    """
    One consistent view of one chain's rows.
    """

    def __init__(self, dsn: str, origin: str | None) -> None:
        try:
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                dsn, application_name="tradeledger-verify", connect_timeout=10, client_encoding="utf8"
            )
        except psycopg.Error as error:
            raise Unreadable(f"the database cannot be reached: {_first(error)}; give the auditor's address") from error
        try:
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.chain = self._find(origin)
        except psycopg.Error as error:
            self._connection.close()
            raise Unreadable(f"the database holds no ledger this login may read: {_first(error)}") from error
        except LedgerError:
            self._connection.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _find(self, origin: str | None) -> ChainRow:
        found = [
            ChainRow(*row)
            for row in self._connection.execute(
                "SELECT c.chain, uuid_send(c.chain_id), c.origin, c.format_version, c.genesis, coalesce(h.seq, -1),"
                " coalesce(h.hash, ''), coalesce(h.recorded_at, 0), coalesce(h.epoch, 0), coalesce(h.mode, 'missing')"
                " FROM ledger.chains c LEFT JOIN ledger.chain_heads h USING (chain) ORDER BY c.chain"
            )
        ]
        chosen = [row for row in found if origin in (None, row.origin)]
        if len(chosen) != 1:
            present = ", ".join(row.origin for row in found) or "none"
            raise Unreadable(f"name one chain with --origin: this database has {present}")
        return chosen[0]

    def events(self) -> Iterator[RecordedEvent]:
        """
        Yield every event in order of seq, column by column as stored.
        """
        shown = ", ".join(_SHOWN.get(name, name) for name in _EVENT_COLUMNS)
        with self._connection.cursor("events", scrollable=False) as cursor:
            cursor.itersize = 2000
            cursor.execute(f"SELECT {shown} FROM ledger.events WHERE chain = %s ORDER BY seq", [self.chain.chain])
            for row in cursor:
                values = dict(zip(_EVENT_COLUMNS, row, strict=True))
                for name in ("correlation_id", "causation_id"):
                    values[name] = NO_ID if values[name] is None else values[name]
                yield RecordedEvent(chain_id=self.chain.chain_id, **values)

    def zero_ids(self) -> list[tuple[int, str]]:
        """
        Return (seq, column) of ids stored as zeros: they hash like absent ones, so the hash cannot tell.
        """
        found = []
        for column in ("correlation_id", "causation_id"):
            found += [
                (row[0], column)
                for row in self._connection.execute(
                    f"SELECT seq FROM ledger.events WHERE chain = %s AND {column} = uuid '{'0' * 32}'",
                    [self.chain.chain],
                )
            ]
        return found

    def keys(self) -> dict[tuple[str, str], int]:
        """
        Return the first seq of each (source, idempotency key).
        """
        found = self._connection.execute(
            "SELECT source, key, first_seq FROM ledger.idempotency_keys WHERE chain = %s", [self.chain.chain]
        )
        return {(source, key): seq for source, key, seq in found}

    def commits(self) -> Iterator[CommitRow]:
        """
        Yield every commit, in order.
        """
        for row in self._connection.execute(
            "SELECT first_seq, last_seq, state_digest, committed_at FROM ledger.commits WHERE chain = %s"
            " ORDER BY last_seq",
            [self.chain.chain],
        ):
            yield CommitRow(*row)

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
        shown = ", ".join(
            f'"{name}"::text' if name in spec.amounts or name in spec.dates else f'"{name}"' for name in spec.columns
        )
        with self._connection.cursor(f"rows_{table}") as cursor:
            cursor.itersize = 2000
            cursor.execute(f"SELECT {shown} FROM ledger.{table} WHERE chain = %s", [self.chain.chain])
            for row in cursor:
                yield spec.row_type(
                    *(
                        _amount(value) if name in spec.amounts and value is not None
                        else tuple(value) if isinstance(value, list) else value
                        for name, value in zip(spec.columns, row, strict=True)
                    )
                )  # fmt: skip

    def query(self, sql: typing.LiteralString) -> list[tuple[Any, ...]]:
        """
        Return the rows of a query about the catalogue.
        """
        return self._connection.execute(sql).fetchall()


def _amount(text: str) -> int:
    try:
        return amounts.parse(text)
    except LedgerError:
        # A value no ledger could have written still has to be compared and shown.
        whole = text.partition(".")[0]
        return (int(whole) if whole.lstrip("-").isdecimal() else 2 * amounts.LIMIT) * amounts.UNIT + 1


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
