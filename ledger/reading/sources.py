"""
Give the same rows of now and of the past: from the read models, or from a state that was folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from ledger.domain.events.settlement import TradeSettled
from ledger.domain.order_status import leaves
from ledger.domain.rows import TABLES, Allocation, Execution, Mark, Movement, Order
from ledger.domain.state import Key, State
from ledger.errors import NotFound
from ledger.reading.known_days.misfits import Misfit
from ledger.reading.sound_rows import checked
from ledger.storage import read_models
from ledger.storage.database import Connection

SETTLEMENT: Final = "settlement"
"""The kind of the movements that settlements are."""


class Source(Protocol):
    """
    The rows of the read models, all true at `seq`.
    """

    @property
    def seq(self) -> int:
        """
        Return the seq of the last event taken into account.
        """

    @property
    def by(self) -> str:
        """
        Return what the rows are read from.
        """

    def rows(self, table: str, **equal: Any) -> list[Any]:
        """
        Return the rows of *table* whose columns are as given, in order of their keys; None gives any.
        """

    def named(self, table: str, keys: Sequence[Key]) -> list[Any]:
        """
        Return the rows of *table* that have one of *keys*, which rows that are there name; in no order of their own.
        """

    def allocations_taken_back(self, account: str) -> list[Allocation]:
        """
        Return the allocations of the block account *account* that were reversed.
        """

    def versions(self) -> list[Execution]:
        """
        Return the execution reports, each of what traded alone: that none of it has settled says nothing.
        """

    def open_orders(self, account: str | None) -> list[Order]:
        """
        Return the orders of *account*, or of all, that may still fill.
        """

    def settlements(self, account: str | None) -> list[Movement]:
        """
        Return the movements of settlements, those of *account*, or of all, among them; others may be too.
        """

    def newest_marks(self) -> list[Mark]:
        """
        Return the marks of each subject's newest day.
        """


def _in_order(table: str, rows: list[Any]) -> list[Any]:
    key = TABLES[table].key
    return sorted(rows, key=lambda row: tuple(getattr(row, name) for name in key))


def _unsettled(executions: list[Execution]) -> list[Execution]:
    return [msgspec.structs.replace(row, settled_qty=0, settled_gross=0, settled_days=()) for row in executions]


class Stored:
    """
    The read models as they are stored, in one snapshot of the database.
    """

    by = "books"
    _NEWEST = (
        "(subject, day) IN (SELECT m.subject, max(m.day) FROM ledger.marks m WHERE m.chain = %s GROUP BY m.subject)"
    )
    _LIVE = "terminal IS NULL AND cum_qty < qty AND (NOT done_for_day OR tif IN ('gtc', 'gtd'))"

    def __init__(self, connection: Connection, chain: int, seq: int) -> None:
        self._connection = connection
        self._chain = chain
        self.seq = seq

    def rows(self, table: str, **equal: Any) -> list[Any]:
        """
        Return the rows of *table* whose columns are as given.
        """
        given = {name: value for name, value in equal.items() if value is not None}
        return _in_order(table, checked(table, read_models.rows_equal(self._connection, self._chain, table, given)))

    def named(self, table: str, keys: Sequence[Key]) -> list[Any]:
        """
        Return the rows of *table* that have one of *keys*.
        """
        return checked(table, read_models.load_all(self._connection, self._chain, table, keys))

    def allocations_taken_back(self, account: str) -> list[Allocation]:
        """
        Return the reversed allocations of *account*.
        """
        return self._where("allocations", "account = %s AND reversed_by IS NOT NULL", [account])

    def versions(self) -> list[Execution]:
        """
        Return the execution reports, of what traded alone.
        """
        return _unsettled(self.rows("executions"))

    def open_orders(self, account: str | None) -> list[Order]:
        """
        Return the orders that may still fill.
        """
        where, given = (self._LIVE, []) if account is None else (f"{self._LIVE} AND account = %s", [account])
        return self._where("orders", where, given)

    def settlements(self, account: str | None) -> list[Movement]:
        """
        Return the movements of settlements, of whichever account.
        """
        return self.rows("movements", kind=SETTLEMENT)

    def newest_marks(self) -> list[Mark]:
        """
        Return the marks of each subject's newest day.
        """
        return self._where("marks", self._NEWEST, [self._chain])

    def _where(self, table: str, where: str, given: Sequence[Any]) -> list[Any]:
        found = read_models.rows(self._connection, self._chain, table, where, given)
        return _in_order(table, checked(table, found))


def check_told(table: str, misfits: list[Misfit], **equal: Any) -> None:
    """
    Raise NotFound where rows of *table* whose columns are as given (None: any) lack an event that found no ground.
    """
    lacking = [misfit for misfit in misfits if misfit.concerns(table, equal)]
    if lacking:
        first = lacking[0]
        raise NotFound(
            f"{table} cannot be told for these days: event {first.seq} ({first.event_type}) counts for them, and what "
            f"it is about does not (by these days alone its rule would say {first.rule}: {first.detail}); "
            f"{len(lacking)} such: ask by seq, or for a later day"
        )


class Folded:
    """
    A state that was folded from the events.
    """

    by = "replay"

    def __init__(self, state: State, seq: int, misfits: list[Misfit]) -> None:
        self._state = state
        self._misfits = misfits
        self.seq = seq

    def rows(self, table: str, **equal: Any) -> list[Any]:
        """
        Return the rows of *table* whose columns are as given.

        Raises:
            NotFound: the days asked about do not hold what the events of these rows are about.
        """
        check_told(table, self._misfits, **equal)
        given = {name: value for name, value in equal.items() if value is not None}
        rows = self._state.table(table).rows.values()
        return _in_order(table, [x for x in rows if all(getattr(x, name) == value for name, value in given.items())])

    def named(self, table: str, keys: Sequence[Key]) -> list[Any]:
        """
        Return the rows of *table* that have one of *keys*.
        """
        rows = self._state.table(table).rows
        return [rows[key] for key in keys if key in rows]

    def allocations_taken_back(self, account: str) -> list[Allocation]:
        """
        Return the reversed allocations of *account*.
        """
        rows = self._state.allocations.rows.values()
        return _in_order("allocations", [x for x in rows if x.account == account and x.reversed_by is not None])

    def versions(self) -> list[Execution]:
        """
        Return the execution reports, of what traded alone, also of days that lack how much of them settled.

        Raises:
            NotFound: as `rows`.
        """
        check_told("executions", [x for x in self._misfits if x.event_type != TradeSettled.__name__])
        return _unsettled(_in_order("executions", list(self._state.executions.rows.values())))

    def open_orders(self, account: str | None) -> list[Order]:
        """
        Return the orders that may still fill.
        """
        return [order for order in self.rows("orders", account=account) if leaves(order) > 0]

    def settlements(self, account: str | None) -> list[Movement]:
        """
        Return the movements of settlements that are known of the days, once those of *account* are.

        Raises:
            NotFound: as `rows`.
        """
        check_told("movements", self._misfits, kind=SETTLEMENT, account=account)
        rows = [row for row in self._state.movements.rows.values() if row.kind == SETTLEMENT]
        return _in_order("movements", rows)

    def newest_marks(self) -> list[Mark]:
        """
        Return the marks of each subject's newest day.
        """
        marks: list[Mark] = self.rows("marks")
        newest = {mark.subject: mark.day for mark in marks}  # in order of the days
        return [mark for mark in marks if mark.day == newest[mark.subject]]
