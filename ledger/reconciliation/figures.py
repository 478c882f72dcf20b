"""
Compare the balances and positions of a statement with the books, figure by figure.

A row that the statement leaves out of an account that it covers says that there is none: 0 in each figure that its
other rows state, and where these are totals, in every figure that broke before. So its break ends, or a decision on it.
Of securities a list of balances says so of the accounts of which it has one; of another account it is a list of cash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Final

import msgspec

from ledger.domain import amounts
from ledger.domain.rows import Balance, Position
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


def _stated(rows: Iterable[Stated], whole: str) -> set[str]:
    """Return the figures that *rows* state: of a row that is left out they say 0 in each; without rows, in *whole*."""
    return {figure for row in rows for figure in row.figures} or {whole}


def _figures(
    kind: str,
    name: tuple[str, ...],
    row: Stated | None,
    ours: dict[str, int],
    stated: set[str],
    followed: Set[str],
) -> Compared:
    """
    Compare the figures that the statement gives; of a row that it leaves out it gives 0.
    """
    if row is not None:
        theirs = row.figures
    else:
        # Of what no total stands for there is nothing at all; a list of settled cash alone says no more than that.
        said = ours.keys() if next(iter(ours)) in stated else stated
        known = {figure for figure in said if keys.make(kind, *name, figure) in followed}
        theirs = dict.fromkeys(known | {figure for figure in stated if ours[figure]}, 0)
    return {
        keys.make(kind, *name, figure): (amounts.render(ours[figure]), amounts.render(amount))
        for figure, amount in theirs.items()
    }


def _followed_names(
    kind: str, statement: Statement, names: dict[str, str], followed: Iterable[str]
) -> set[tuple[str, str]]:
    """Return the accounts of *statement* with those of *names*, by how keys write them, that *followed* is about."""
    accounts = keys.by_writing(statement.accounts)
    found: set[tuple[str, str]] = set()
    for key in followed:
        parts = keys.parts(key)
        if parts[0] == kind and keys.is_made(key) and parts[1] in accounts and parts[2] in names:
            found.add((accounts[parts[1]], names[parts[2]]))
    return found


def balances(statement: Statement, ours: Ours, followed: Set[str]) -> Compared:
    """
    Return what the balances come to; *followed* are the keys of breaks that are open or that someone ended.
    """
    if statement.balances is None:
        return {}
    books = {(row.account, row.asset): row for row in ours.balances}
    rows = {row.key: row for row in statement.balances}
    stated = _stated(statement.balances, "total")
    with_securities = {account for account, asset in rows if ours.assets[asset] not in MONEY}
    left_out = {name for name, row in books.items() if any(_BALANCE[x](row) for x in stated)}
    left_out |= _followed_names("balance", statement, keys.by_writing(ours.assets), followed)
    names = rows.keys() | {
        (account, asset) for account, asset in left_out
        if account in statement.accounts and (ours.assets[asset] in MONEY or account in with_securities)
    }  # fmt: skip
    found: Compared = {}
    for name in sorted(names):
        account, asset = name
        row = books.get((account, asset)) or Balance(account, asset, 0, 0, 0, None, False, False)
        figures = {x: read(row) for x, read in _BALANCE.items()}
        found |= _figures("balance", name, rows.get(name), figures, stated, followed)
    return found


def positions(statement: Statement, ours: Ours, followed: Set[str]) -> Compared:
    """
    Return what the positions come to; *followed* are the keys of breaks that are open or that someone ended.

    Raises:
        InvalidInput: an instrument is stated under two of its names.
    """
    if statement.positions is None:
        return {}
    books: dict[tuple[str, str], Position] = {}
    for row in ours.positions:
        # What was renamed has a row by each of its names, of which one holds it all; the first one never changes.
        name = (row.account, ours.instruments[row.instrument])
        other = books.get(name) or Position(*name, 0, 0, 0, 0)
        books[name] = msgspec.structs.replace(row, qty=row.qty + other.qty, cost=row.cost + other.cost)
    rows: dict[tuple[str, str], Stated] = {}
    for line in statement.positions:
        name = (line.key[0], ours.instruments[line.key[1]])
        if name in rows:
            first = rows[name]
            raise InvalidInput(
                f"{line.where}: {line.key[1]} is {first.key[1]} by another name, stated at {first.where}; once each"
            )
        rows[name] = line
    stated = _stated(statement.positions, "qty")
    held = {
        name for name, row in books.items()
        if name[0] in statement.accounts and any(_POSITION[x](row) for x in stated)
    }  # fmt: skip
    instruments = {written: ours.instruments[name] for written, name in keys.by_writing(ours.instruments).items()}
    names = rows.keys() | held | _followed_names("position", statement, instruments, followed)
    found: Compared = {}
    for name in sorted(names):
        position = books.get(name) or Position(*name, 0, 0, 0, 0)
        figures = {x: read(position) for x, read in _POSITION.items()}
        found |= _figures("position", name, rows.get(name), figures, stated, followed)
    return found
