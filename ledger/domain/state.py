"""
Hold the read models in memory, with an undo log that makes every change a step that can be taken back.

The log of (table, key, old row, new row) is the one mechanism behind savepoints (a group that breaks a rule fails
alone), speculation (a transaction that did not commit is forgotten), the rows to write, and the state digest's
net changes. Memory follows what is open: rows that are closed are forgotten once they are durable, and a `loader`
brings them back when something asks for them.

A key that should be new is looked for in memory only (`fresh`), because asking the store each time would cost more
than all else; the store's own constraints catch the rare mistake, and then everything is looked up (`certain`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec

from ledger.domain import order_status, rows
from ledger.domain.rows import TABLES, Row
from ledger.values import Value

Key = tuple[Any, ...]
Loader = Callable[[str, Key], Row | None]
RunLoader = Callable[[str, Key, int], Iterable[Row]]
"""Gives the row of a key and those that come before it in its run, so many in all: lots by number, executions by what
each follows."""
FIRST_RUN: Final = 64
LONGEST_RUN: Final = 4_096
"""How many rows of a run are asked for at once, at first and at most: most look-backs end soon."""
R = TypeVar("R", bound=Row)

RESIDENT: Final = frozenset(
    {
        "assets",
        "instruments",
        "calendars",
        "accounts",
        "account_limits",
        "balances",
        "positions",
        "lot_queues",
        "closed_periods",
        "divergent_tails",
        "chain_keys",
        "controls",
        "schemas",
    }
)
"""Tables kept in memory whole: reference data and the books, which grow with accounts and not with time."""

SUBJECT_KEY: Final = "subject-key/"
"""How the streams begin that end with their first event: nothing but its repetition will ask for them."""


class Change(Value, frozen=True):
    """
    What became of one row: `old` is None where it is new.
    """

    table: str
    key: Key
    old: Row | None
    new: Row


class Waiting(msgspec.Struct):
    """
    Where quarantined facts wait: their seqs by subject, and how many there are. It follows from the rows, which decide.
    """

    count: int
    seqs: dict[str, list[int]]


class OfAsset(msgspec.Struct):
    """
    The keys of instruments by asset, when there were so many and this was the last.
    """

    count: int
    last: rows.Instrument | None
    keys: dict[str, list[Key]]


def is_closed(table: str, row: Row) -> bool:
    """
    Return whether memory may forget *row*: nothing that usually happens will ask for it again.
    """
    if table in RESIDENT:
        return False
    if isinstance(row, rows.Order):
        return order_status.is_closed(row)
    if isinstance(row, rows.Hold | rows.Quarantined):
        return row.status != "open"
    if isinstance(row, rows.Lot):
        return not row.open_qty
    if isinstance(row, rows.Break):
        return row.closed_seq is not None
    if isinstance(row, rows.Stream):
        return row.stream.startswith(SUBJECT_KEY)
    return True


def _key_of(columns: tuple[str, ...]) -> Callable[[Any], Key]:
    get: Callable[[Any], Any] = attrgetter(*columns)
    return get if len(columns) > 1 else lambda row: (get(row),)


class Table(Generic[R]):
    """
    The rows of one read model that are in memory, and the way to the others.
    """

    __slots__ = ("_log", "_state", "key_of", "name", "resident", "rows")

    def __init__(self, state: State, name: str) -> None:
        self.name = name
        self.rows: dict[Key, R] = {}
        self.key_of = _key_of(TABLES[name].key)
        self._state = state
        self._log = state.log
        self.resident = name in RESIDENT

    def get(self, *key: Any) -> R | None:
        """
        Return the row of *key*, from memory or from the store.
        """
        row: R | None = self.rows.get(key)
        return row if row is not None or self.resident else self._load(key)

    def bring_run(self, key: Key, count: int) -> None:
        """
        Have the store give the rows of a run up to *key*, *count* in all, by one question; what memory has stays.

        Where there is nobody to ask, `get` asks for each.
        """
        runs = self._state.runs
        for row in runs(self.name, key, count) if runs else ():
            found = self.key_of(row)
            if found not in self.rows:
                self.rows[found] = row  # type: ignore[assignment]
                self._state.loaded.append((self, found, row))

    def fresh(self, *key: Any) -> R | None:
        """
        Return the row of a *key* that is expected to be new; the store is asked only where the state is `certain`.
        """
        row = self.rows.get(key)
        if row is not None or self.resident:
            return row
        return self._load(key) if self._state.certain else None

    def put(self, row: R) -> None:
        """
        Insert *row*, or put it in the place of the one with its key.
        """
        key, rows = self.key_of(row), self.rows
        self._log.append((self, key, rows.get(key), row))
        rows[key] = row

    def take_back(self, key: Key, old: R | None) -> None:
        """
        Put *old*, which was there before, back in the place of the row of *key*.
        """
        if old is None:
            del self.rows[key]
        else:
            self.rows[key] = old

    def _load(self, key: Key) -> R | None:
        loader = self._state.loader
        row: R | None = loader(self.name, key) if loader else None  # type: ignore[assignment]
        if row is not None:
            self.rows[key] = row
            self._state.loaded.append((self, key, row))
        return row


class Orders(Table[rows.Order]):
    """
    The orders in memory, with the sum of the most that may still fill by (account, asset, whether it buys).

    The sums are made when they are first asked for, since most chains have no position limit, and follow every change
    from then on, those that are taken back too. Closed orders, which memory forgets, count for nothing in them.
    """

    __slots__ = ("_working",)

    def __init__(self, state: State, name: str) -> None:
        super().__init__(state, name)
        self._working: dict[Key, int] | None = None

    def working(self, account: str, asset: str, *, buys: bool) -> int:
        """
        Return the most that all orders of *account* on one side may still fill of *asset*, in units of 10^-18.
        """
        if self._working is None:
            self._working = {}
            for row in self.rows.values():
                self._count(None, row)
        return self._working.get((account, asset, buys), 0)

    def recount(self) -> None:
        """
        Make the sums anew when they are asked for again: rows came in without a change.
        """
        self._working = None

    def put(self, row: rows.Order) -> None:
        """
        As `Table.put`.
        """
        if self._working is not None:
            self._count(self.rows.get((row.order_id,)), row)
        super().put(row)

    def take_back(self, key: Key, old: rows.Order | None) -> None:
        """
        As `Table.take_back`.
        """
        if self._working is not None:
            self._count(self.rows[key], old)
        super().take_back(key, old)

    def _count(self, old: rows.Order | None, new: rows.Order | None) -> None:
        working = self._working
        if working is None:
            return
        for row, sign in ((old, -1), (new, 1)):
            open_qty = 0 if row is None else order_status.may_fill(row)
            if row is not None and open_qty:
                asset = self._state.instruments.rows[(row.instrument,)].asset
                key = (row.account, asset, row.side == "buy")
                working[key] = working.get(key, 0) + sign * open_qty


class State:
    """
    Every read model of one chain.

    *loader* finds rows that memory has forgotten, *runs* many that belong together; `certain` makes `fresh` ask always.
    """

    def __init__(self, loader: Loader | None = None, *, runs: RunLoader | None = None, certain: bool = False) -> None:
        self.loader = loader
        self.runs = runs
        self.certain = certain
        self.recorded: Callable[[int], object] | None = None
        """Finds what is durable at a seq, as its caller gave it, in its newest version: in the writer alone."""
        self.booked: State | None = None
        """Where the days are gone through, all as it was booked: by the terms of then, and of what was held then."""
        self.loaded: list[tuple[Table[Any], Key, Row]] = []
        """What the loader brought back, until `durable` forgets what of it is closed."""
        self.log: list[tuple[Table[Any], Key, Row | None, Row]] = []
        self.waiting: Waiting | None = None
        self.of_asset: OfAsset | None = None
        self._forgotten = 0
        self.assets: Table[rows.Asset] = Table(self, "assets")
        self.instruments: Table[rows.Instrument] = Table(self, "instruments")
        self.calendars: Table[rows.Calendar] = Table(self, "calendars")
        self.accounts: Table[rows.Account] = Table(self, "accounts")
        self.account_limits: Table[rows.AccountLimits] = Table(self, "account_limits")
        self.orders = Orders(self, "orders")
        self.client_order_ids: Table[rows.ClientOrderId] = Table(self, "client_order_ids")
        self.executions: Table[rows.Execution] = Table(self, "executions")
        self.balances: Table[rows.Balance] = Table(self, "balances")
        self.positions: Table[rows.Position] = Table(self, "positions")
        self.lots: Table[rows.Lot] = Table(self, "lots")
        self.lot_queues: Table[rows.LotQueue] = Table(self, "lot_queues")
        self.corporate_actions: Table[rows.CorporateAction] = Table(self, "corporate_actions")
        self.entitlements: Table[rows.Entitlement] = Table(self, "entitlements")
        self.marks: Table[rows.Mark] = Table(self, "marks")
        self.closed_periods: Table[rows.ClosedPeriod] = Table(self, "closed_periods")
        self.holds: Table[rows.Hold] = Table(self, "holds")
        self.movements: Table[rows.Movement] = Table(self, "movements")
        self.quarantine: Table[rows.Quarantined] = Table(self, "quarantine")
        self.breaks: Table[rows.Break] = Table(self, "breaks")
        self.settlement_fails: Table[rows.SettlementFail] = Table(self, "settlement_fails")
        self.allocations: Table[rows.Allocation] = Table(self, "allocations")
        self.controls: Table[rows.Control] = Table(self, "controls")
        self.streams: Table[rows.Stream] = Table(self, "streams")
        self.chain_keys: Table[rows.ChainKey] = Table(self, "chain_keys")
        self.incidents: Table[rows.Incident] = Table(self, "incidents")
        self.divergent_tails: Table[rows.DivergentTail] = Table(self, "divergent_tails")
        self.divergent_events: Table[rows.DivergentEvent] = Table(self, "divergent_events")
        self.schemas: Table[rows.Schema] = Table(self, "schemas")

    def table(self, name: str) -> Table[Any]:
        """
        Return the read model called *name*, one of `rows.TABLES`.
        """
        found: Table[Any] = getattr(self, name)
        return found

    def begin(self) -> int:
        """
        Return a mark of this moment, for `rollback`, `changes` and `durable`.
        """
        return self._forgotten + len(self.log)

    def rollback(self, mark: int) -> None:
        """
        Take back every change since *mark*.
        """
        place = mark - self._forgotten
        while len(self.log) > place:
            table, key, old, _ = self.log.pop()
            table.take_back(key, old)

    def changes(self, mark: int) -> list[Change]:
        """
        Return the net change of every row changed since *mark*, in the order first touched.
        """
        first: dict[tuple[Table[Any], Key], Row | None] = {}
        for entry in self.log[mark - self._forgotten :]:
            place = (entry[0], entry[1])
            if place not in first:
                first[place] = entry[2]
        found = []
        for (table, key), old in first.items():
            new = table.rows[key]
            if old is None or old != new:
                found.append(Change(table.name, key, old, new))
        return found

    def durable(self, mark: int) -> None:
        """
        Forget how to take back what came before *mark*, and every closed row that nothing after it has changed.
        """
        place = mark - self._forgotten
        for entry in self.log[:place]:
            table, key, row = entry[0], entry[1], entry[3]
            # A row that was changed again, before the mark or after it, is another object by now.
            if not table.resident and table.rows.get(key) is row and is_closed(table.name, row):
                del table.rows[key]
        for table, key, row in self.loaded:
            if table.rows.get(key) is row and is_closed(table.name, row):
                del table.rows[key]
        self.loaded.clear()
        del self.log[:place]
        self._forgotten = mark

    def add(self, table: str, row: Row) -> None:
        """
        Take in a stored *row* as it is, without a change: how memory is filled at the start.
        """
        found = self.table(table)
        found.rows[found.key_of(row)] = row
        if found is self.orders:
            self.orders.recount()

    def all_rows(self) -> Iterator[tuple[str, Row]]:
        """
        Yield (table, row) of all that is in memory.
        """
        for name in TABLES:
            for row in self.table(name).rows.values():
                yield name, row
