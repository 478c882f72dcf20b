"""
Read the books: balances, positions, orders, quarantine and breaks, each with the seq at which it is true.

Every read is one snapshot of the database: what it returns was all true together, at `At.seq`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain import rows
from ledger.domain.ladder import Rung, ladder
from ledger.storage import chains, database, events, read_models
from ledger.storage.database import Connection

T = TypeVar("T")


class At(msgspec.Struct, Generic[T], frozen=True):
    """
    A value, and the seq of the last event it takes into account.
    """

    seq: int
    value: T


class Books:
    """
    The read models of one chain, for reading; use it in a `with` block.
    """

    def __init__(self, dsn: str, origin: str | None = None) -> None:
        self._connection = database.connect(dsn, "ledger queries")
        try:
            self.chain = chains.find(self._connection, origin)
            self._connection.rollback()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Books:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        connection = self._connection
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield connection, chains.head(connection, self.chain.chain).seq
        finally:
            connection.rollback()

    def _rows(self, table: str, where: str = "", *given: object) -> At[list[Any]]:
        with self._snapshot() as (connection, seq):
            return At(seq, read_models.rows(connection, self.chain.chain, table, where, given))

    def head(self) -> ChainHead:
        """
        Return the last link of the chain.
        """
        with self._snapshot() as (connection, _):
            found = chains.head(connection, self.chain.chain)
        return ChainHead(found.seq, found.hash)

    def balances(self, account: str | None = None) -> At[list[rows.Balance]]:
        """
        Return the balances of *account*, or of all accounts, the ledger's own included.
        """
        return self._rows("balances", "account = %s", account) if account else self._rows("balances")

    def positions(self, account: str | None = None) -> At[list[rows.Position]]:
        """
        Return the positions of *account*, or of all.
        """
        return self._rows("positions", "account = %s", account) if account else self._rows("positions")

    def order(self, order_id: str) -> At[rows.Order | None]:
        """
        Return one order, or None.
        """
        found = self._rows("orders", "order_id = %s", order_id)
        return At(found.seq, found.value[0] if found.value else None)

    def open_orders(self, account: str | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, that may still fill.
        """
        live = "terminal IS NULL AND cum_qty < qty AND (NOT done_for_day OR tif IN ('gtc', 'gtd'))"
        return self._rows("orders", f"{live} AND account = %s", account) if account else self._rows("orders", live)

    def quarantine(self) -> At[list[rows.Quarantined]]:
        """
        Return the facts that wait for a decision.
        """
        return self._rows("quarantine", "status = 'open'")

    def quarantined(self, seq: int) -> At[tuple[rows.Quarantined, RecordedEvent] | None]:
        """
        Return the quarantined fact recorded at *seq* and what became of it, or None.
        """
        with self._snapshot() as (connection, at):
            found = read_models.rows(connection, self.chain.chain, "quarantine", "seq = %s", [seq])
            stored = events.read_seqs(connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
        row = found[0] if found else None
        if not isinstance(row, rows.Quarantined) or stored is None:
            return At(at, None)
        return At(at, (row, stored))

    def settlement_ladder(self, account: str | None = None) -> At[list[Rung]]:
        """
        Return what is due, has settled and failed, by day, account and asset, of *account* or of all.
        """
        chain = self.chain.chain
        with self._snapshot() as (connection, seq):
            scales = {row.asset: row.scale for row in read_models.rows(connection, chain, "assets")}  # type: ignore[attr-defined]
            waiting = "live AND bucket = 'unsettled' AND settled_qty < qty"
            rungs = ladder(
                read_models.rows(connection, chain, "executions", waiting),  # type: ignore[arg-type]
                read_models.rows(connection, chain, "settlement_fails"),  # type: ignore[arg-type]
                read_models.rows(connection, chain, "movements", "kind = 'settlement'"),  # type: ignore[arg-type]
                scales,
            )
        return At(seq, [rung for rung in rungs if account in (None, rung.account)])

    def expired_holds(self, now: int) -> At[list[rows.Hold]]:
        """
        Return the open holds whose time ran out by *now* (ns): each may be released as `expired`.
        """
        return self._rows("holds", "status = 'open' AND expires_at <= %s", now)

    def breaks(self) -> At[list[rows.Break]]:
        """
        Return the differences to outside sources that stand.
        """
        return self._rows("breaks", "closed_seq IS NULL")

    def table(self, name: str) -> At[list[Any]]:
        """
        Return every row of the read model *name*.
        """
        return self._rows(name)
