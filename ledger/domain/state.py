"""
Hold the read models in memory, with an undo log that makes every change a step that can be taken back.

The log of (table, key, old row, new row) is the one mechanism behind savepoints (a group that breaks a rule fails
alone), speculation (a transaction that did not commit is forgotten), the rows to write, and the state digest's
net changes. Memory follows what is open: rows that are closed are forgotten once they are durable, and a `loader`
brings them back when something asks for them.

A key that should be new is looked for in memory only (`fresh`), because asking the store each time would cost more
than all else; the store's own constraints catch the rare mistake, and then `doubts` names the key to look up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

import msgspec

from ledger.domain import order_status, rows
from ledger.domain.rows import TABLES, Row

Key = tuple[Any, ...]
Loader = Callable[[str, Key], Row | None]
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
        "streams",
        "chain_keys",
    }
)
"""Tables kept in memory whole: reference data and the books, which grow with accounts and not with time."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """
    What became of one row: `old` is None where it is new.
    """

    table: str
    key: Key
    old: Row | None
    new: Row


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
    if isinstance(row, rows.Break):
        return row.closed_seq is not None
    return True


class Table(Generic[R]):
    """
    The rows of one read model that are in memory, and the way to the others.
    """

    __slots__ = ("_key", "_log", "_resident", "_state", "name", "rows")

    def __init__(self, state: State, name: str) -> None:
        self.name = name
        self.rows: dict[Key, R] = {}
        self._state = state
        self._log = state.log
        self._key = TABLES[name].key
        self._resident = name in RESIDENT

    def get(self, *key: Any) -> R | None:
        """
        Return the row of *key*, from memory or from the store.
        """
        row: R | None = self.rows.get(key)
        return row if row is not None or self._resident else self._load(key)

    def fresh(self, *key: Any) -> R | None:
        """
        Return the row of a *key* that is expected to be new; the store is asked only when in doubt.
        """
        row = self.rows.get(key)
        if row is not None or self._resident:
            return row
        if self._state.certain or (self.name, key) in self._state.doubts:
            return self._load(key)
        return None

    def put(self, row: R) -> None:
        """
        Insert *row*, or put it in the place of the one with its key.
        """
        key = tuple([getattr(row, column) for column in self._key])
        self._log.append((self, key, self.rows.get(key), row))
        self.rows[key] = row

    def _load(self, key: Key) -> R | None:
        loader = self._state.loader
        row: R | None = loader(self.name, key) if loader else None  # type: ignore[assignment]
        if row is not None:
            self.rows[key] = row
            self._state.loaded.append((self.name, key))
        return row


class State:
    """
    Every read model of one chain.

    *loader* finds rows that memory has forgotten; `certain` makes `fresh` ask it always.
    """

    def __init__(self, loader: Loader | None = None, *, certain: bool = False) -> None:
        self.loader = loader
        self.certain = certain
        self.doubts: set[tuple[str, Key]] = set()
        self.loaded: list[tuple[str, Key]] = []
        """What the loader brought back; whoever shares the store with other writers drops what is confirmed."""
        self.log: list[tuple[Table[Any], Key, Row | None, Row]] = []
        self._forgotten = 0
        self.assets: Table[rows.Asset] = Table(self, "assets")
        self.instruments: Table[rows.Instrument] = Table(self, "instruments")
        self.calendars: Table[rows.Calendar] = Table(self, "calendars")
        self.accounts: Table[rows.Account] = Table(self, "accounts")
        self.account_limits: Table[rows.AccountLimits] = Table(self, "account_limits")
        self.orders: Table[rows.Order] = Table(self, "orders")
        self.client_order_ids: Table[rows.ClientOrderId] = Table(self, "client_order_ids")
        self.executions: Table[rows.Execution] = Table(self, "executions")
        self.balances: Table[rows.Balance] = Table(self, "balances")
        self.positions: Table[rows.Position] = Table(self, "positions")
        self.holds: Table[rows.Hold] = Table(self, "holds")
        self.movements: Table[rows.Movement] = Table(self, "movements")
        self.quarantine: Table[rows.Quarantined] = Table(self, "quarantine")
        self.breaks: Table[rows.Break] = Table(self, "breaks")
        self.streams: Table[rows.Stream] = Table(self, "streams")
        self.chain_keys: Table[rows.ChainKey] = Table(self, "chain_keys")

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
        for table, key, old, _ in reversed(self.log[place:]):
            if old is None:
                del table.rows[key]
            else:
                table.rows[key] = old
        del self.log[place:]

    def changes(self, mark: int, until: int | None = None) -> list[Change]:
        """
        Return the net change of every row changed from *mark* to *until* (now), in the order first touched.
        """
        first: dict[tuple[str, Key], Row | None] = {}
        last: dict[tuple[str, Key], Row] = {}
        end = len(self.log) if until is None else until - self._forgotten
        for table, key, old, new in self.log[mark - self._forgotten : end]:
            first.setdefault((table.name, key), old)
            last[table.name, key] = new
        return [
            Change(table, key, old, last[table, key])
            for (table, key), old in first.items()
            if old is None or old != last[table, key]
        ]

    def durable(self, mark: int) -> None:
        """
        Forget how to take back what came before *mark*, and every closed row that is not in use after it.
        """
        place = mark - self._forgotten
        in_use = {(table.name, key) for table, key, _, _ in self.log[place:]}
        for table, key, _, _ in self.log[:place]:
            row = table.rows.get(key)
            if row is not None and is_closed(table.name, row) and (table.name, key) not in in_use:
                del table.rows[key]
        del self.log[:place]
        self._forgotten = mark

    def add(self, table: str, row: Row) -> None:
        """
        Take in a stored *row* as it is, without a change: how memory is filled at the start.
        """
        spec = TABLES[table]
        self.table(table).rows[tuple([getattr(row, column) for column in spec.key])] = row

    def all_rows(self) -> Iterator[tuple[str, Row]]:
        """
        Yield (table, row) of all that is in memory.
        """
        for name in TABLES:
            for row in self.table(name).rows.values():
                yield name, row
