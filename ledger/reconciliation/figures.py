"""
Compare the balances and positions of a statement with the books, figure by figure.

A row that the statement leaves out of an account that it covers says that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ledger.domain import amounts
from ledger.domain.rows import Balance, Break, Position
from ledger.errors import InvalidInput
from ledger.reconciliation import keys
from ledger.reconciliation.ours import Compared, Ours
from ledger.reconciliation.statement import Stated, Statement

MONEY: Final = ("currency", "crypto")
_BALANCE: Final[dict[str, Callable[[Balance], int]]] = {
    "total": lambda row: row.total, "settled": lambda row: row.settled, "unsettled": lambda row: row.unsettled,
    "held": lambda row: row.held, "available": lambda row: row.available,
}  # fmt: skip
_POSITION: Final[dict[str, Callable[[Position], int]]] = {"qty": lambda row: row.qty, "cost": lambda row: row.cost}


def _figures(
    kind: str, name: tuple[str, ...], row: Stated | None, ours: dict[str, int], open_keys: Iterable[str]
) -> Compared:
    """Compare the figures that the statement gives, and of a row that it leaves out those that broke before."""
    if row is not None:
        theirs = row.figures
    else:
        broken = {figure for figure in ours if keys.make(kind, *name, figure) in open_keys}
        theirs = dict.fromkeys(broken or (next(iter(ours)),), 0)
    return {
        keys.make(kind, *name, figure): (amounts.render(ours[figure]), amounts.render(amount))
        for figure, amount in theirs.items()
    }


def _broken_names(
    kind: str, statement: Statement, names: dict[str, str], before: Iterable[str]
) -> set[tuple[str, str]]:
    """Return the accounts of *statement* with those of *names*, by what stands for them, that *before* has keys of."""
    accounts = keys.by_writing(statement.accounts)
    found: set[tuple[str, str]] = set()
    for key in before:
        parts = keys.parts(key)
        if parts[0] == kind and keys.is_made(key) and parts[1] in accounts and parts[2] in names:
            found.add((accounts[parts[1]], names[parts[2]]))
    return found


def balances(statement: Statement, ours: Ours, before: dict[str, Break]) -> Compared:
    """
    Return what the balances come to; *before* are the breaks that are open.
    """
    if statement.balances is None:
        return {}
    books = {(row.account, row.asset): row for row in ours.balances}
    rows = {row.key: row for row in statement.balances}
    # Of a security that a cash statement leaves out, it says nothing.
    held = {
        name for name, row in books.items()
        if name[0] in statement.accounts and row.total and ours.assets[name[1]] in MONEY
    }  # fmt: skip
    names = rows.keys() | held | _broken_names("balance", statement, keys.by_writing(ours.assets), before)
    found: Compared = {}
    for name in sorted(names):
        account, asset = name
        row = books.get((account, asset)) or Balance(account, asset, 0, 0, 0, None, False, False)
        found |= _figures("balance", name, rows.get(name), {x: read(row) for x, read in _BALANCE.items()}, before)
    return found


def positions(statement: Statement, ours: Ours, before: dict[str, Break]) -> Compared:
    """
    Return what the positions come to; *before* are the breaks that are open.

    Raises:
        InvalidInput: an instrument is stated under two of its names.
    """
    if statement.positions is None:
        return {}
    books: dict[tuple[str, str], Position] = {}
    for row in ours.positions:
        # What was renamed has a row by each of its names, of which one holds it all.
        name = (row.account, ours.instruments[row.instrument])
        other = books.get(name) or Position(*name, 0, 0, 0, 0)
        books[name] = msgspec.structs.replace(row, qty=row.qty + other.qty, cost=row.cost + other.cost)
    rows: dict[tuple[str, str], Stated] = {}
    for stated in statement.positions:
        name = (stated.key[0], ours.instruments[stated.key[1]])
        if name in rows:
            raise InvalidInput(
                f"{stated.where}: {stated.key[1]} is {name[1]} now, stated at {rows[name].where}; once each"
            )
        rows[name] = stated
    held = {name for name, row in books.items() if name[0] in statement.accounts and row.qty}
    instruments = {written: ours.instruments[name] for written, name in keys.by_writing(ours.instruments).items()}
    names = rows.keys() | held | _broken_names("position", statement, instruments, before)
    found: Compared = {}
    for name in sorted(names):
        position = books.get(name) or Position(*name, 0, 0, 0, 0)
        figures = {x: read(position) for x, read in _POSITION.items()}
        found |= _figures("position", name, rows.get(name), figures, before)
    return found
