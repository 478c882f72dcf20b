"""
Compare a statement with the books as they were, row by row, and say which differences stand after it.

Trades are matched by venue, trade date and execution id; an id of an earlier version stands for the trade as it is now.
A venue states the block that was allocated, a custodian its lines: whoever states one line has them all. What a
statement leaves out of what it covers counts as none there. Differences of the issuer that the statement does not cover
stay as they are, as do those that a newer statement found and those that someone resolved at the same two values. Pure:
the books come in as rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events.control import Difference
from ledger.domain.rows import Balance, Break, Execution, Position
from ledger.errors import InvalidInput, closest
from ledger.reconciliation import keys
from ledger.reconciliation.statement import Stated, Statement

MISSING: Final = "missing"
MONEY: Final = ("currency", "crypto")
_BALANCE: Final[dict[str, Callable[[Balance], int]]] = {
    "total": lambda row: row.total, "settled": lambda row: row.settled, "unsettled": lambda row: row.unsettled,
    "held": lambda row: row.held, "available": lambda row: row.available,
}  # fmt: skip
_POSITION: Final[dict[str, Callable[[Position], int]]] = {"qty": lambda row: row.qty, "cost": lambda row: row.cost}


class Ours(msgspec.Struct, frozen=True):
    """
    The ledger's side: what it knows now, and the books as of the statement.

    `assets` gives kinds by asset, `instruments` the name that each has now.
    """

    accounts: frozenset[str]
    assets: dict[str, str]
    instruments: dict[str, str]
    balances: list[Balance]
    positions: list[Position]
    executions: list[Execution]


class Outcome(msgspec.Struct, frozen=True):
    """
    How many figures agree, which differences stand, and what was left alone: resolved before, or found later.

    `lapsed` are the keys of differences that were resolved before, and on which both sides agree by now.
    """

    matched: int
    standing: tuple[Difference, ...]
    found: frozenset[str]
    accepted: tuple[str, ...]
    newer: tuple[str, ...]
    lapsed: tuple[str, ...]


def compare(statement: Statement, ours: Ours, breaks: Iterable[Break], accepted: dict[str, tuple[str, str]]) -> Outcome:
    """
    Return what a comparison of *statement* with *ours* comes to, where *breaks* of its issuer stand or have ended.

    *accepted* has the values of differences that someone resolved.

    Raises:
        InvalidInput: it names what the ledger does not know.
    """
    _check_known(statement, ours)
    rows = list(breaks)
    before = {row.key: row for row in rows if row.closed_seq is None}
    ended = {row.key: row.as_of for row in rows if row.closed_seq is not None}
    compared = {
        **_balances(statement, ours, before), **_positions(statement, ours, before), **_trades(statement, ours, before),
    }  # fmt: skip
    standing: dict[str, Difference] = {}
    newer = []
    for key, row in before.items():
        late = row.as_of > statement.as_of
        if late and key in compared:
            newer.append(key)
        if late or key not in compared:
            standing[key] = Difference(key=key, ledger=row.ledger_value, external=row.external_value)
    settled, lapsed, found = [], [], set()
    for key, (left, right) in compared.items():
        if key in newer:
            continue
        if left == right:
            if key in accepted and ended[key] < statement.as_of:
                lapsed.append(key)
        elif accepted.get(key) == (left, right):
            settled.append(key)
        elif ended.get(key, statement.as_of) > statement.as_of:
            newer.append(key)
        else:
            found.add(key)
    standing |= {key: Difference(key=key, ledger=compared[key][0], external=compared[key][1]) for key in found}
    matched = sum(left == right != MISSING for left, right in compared.values())
    ordered = tuple(standing[key] for key in sorted(standing))
    return Outcome(
        matched, ordered, frozenset(found), tuple(sorted(settled)), tuple(sorted(newer)), tuple(sorted(lapsed))
    )


_Compared = dict[str, tuple[str, str]]


def _check_known(statement: Statement, ours: Ours) -> None:
    def check(where: str, what: str, name: str, known: Iterable[str], how: str) -> None:
        if name not in known:
            raise InvalidInput(
                f"{where}: found {what} {name!r}{closest(name, known)}, which the ledger does not know; {how}"
            )

    for row in (*(statement.balances or ()), *(statement.positions or ()), *(statement.trades or ())):
        account = row.words.get("account", row.key[0])
        if not postings.is_system(account):
            check(row.where, "account", account, ours.accounts, "open it with AccountOpened, or leave its rows out")
    for row in statement.balances or ():
        check(row.where, "asset", row.key[1], ours.assets, "define it with AssetDefined, or leave the row out")
    how = "define it with InstrumentDefined, or leave the row out"
    for row in statement.positions or ():
        check(row.where, "instrument", row.key[1], ours.instruments, how)
    for row in statement.trades or ():
        check(row.where, "instrument", row.words["instrument"], ours.instruments, how)
    for account in sorted(statement.accounts):
        if not postings.is_system(account):
            check(statement.issuer, "account", account, ours.accounts, "leave it out of the accounts that are covered")


def _figures(
    kind: str, name: tuple[str, ...], row: Stated | None, ours: dict[str, int], open_keys: Iterable[str]
) -> _Compared:
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


def _broken_names(kind: str, account: str, names: Iterable[str], before: Iterable[str]) -> set[str]:
    """Return which of *names* an open break of *account* is about."""
    written = {
        parts[2] for parts in map(keys.parts, before)
        if len(parts) > 3 and parts[0] == kind and keys.stands_for(parts[1], account)
    }  # fmt: skip
    return {name for name in names if any(keys.stands_for(one, name) for one in written)} if written else set()


def _balances(statement: Statement, ours: Ours, before: dict[str, Break]) -> _Compared:
    if statement.balances is None:
        return {}
    books = {(row.account, row.asset): row for row in ours.balances}
    rows = {row.key: row for row in statement.balances}
    names: set[tuple[str, ...]] = set(rows)
    for account in statement.accounts:
        # Of a security that a cash statement leaves out, it says nothing.
        names |= {key for key, row in books.items() if key[0] == account and row.total and ours.assets[key[1]] in MONEY}
        names |= {(account, asset) for asset in _broken_names("balance", account, ours.assets, before)}
    found: _Compared = {}
    for name in sorted(names):
        account, asset = name
        row = books.get((account, asset)) or Balance(account, asset, 0, 0, 0, None, False, False)
        found |= _figures("balance", name, rows.get(name), {x: read(row) for x, read in _BALANCE.items()}, before)
    return found


def _positions(statement: Statement, ours: Ours, before: dict[str, Break]) -> _Compared:
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
    names = set(rows) | {key for key, row in books.items() if key[0] in statement.accounts and row.qty}
    for account in statement.accounts:
        broken = _broken_names("position", account, ours.instruments, before)
        names |= {(account, ours.instruments[instrument]) for instrument in broken}
    found: _Compared = {}
    for name in sorted(names):
        position = books.get(name) or Position(*name, 0, 0, 0, 0)
        figures = {x: read(position) for x, read in _POSITION.items()}
        found |= _figures("position", name, rows.get(name), figures, before)
    return found


def _counts(row: Execution) -> bool:
    """Return whether this version of a trade counts: a block that was allocated does at the venue, as its lines do."""
    return row.live or (row.kind in ("trade", "correct") and row.allocation_id is not None)


def _why_not(version: Execution | None) -> str:
    """Tell why what a statement has does not count here."""
    if version is None:
        return MISSING
    if version.kind == "bust":
        return f"no trade: the bust of {version.ref_exec_id}"
    if version.kind == "allocation":
        return f"no longer counts since {version.allocation_id} was reversed"
    return f"no longer counts since {version.exec_id} was replaced or busted"


def _id(row: Execution) -> tuple[str, ...]:
    return row.venue, row.trade_date, row.exec_id


def _told(side: str, qty: int, instrument: str, price: int) -> str:
    return f"{side} {amounts.render(qty)} {instrument} at {amounts.render(price)}"


def _trades(statement: Statement, ours: Ours, before: dict[str, Break]) -> _Compared:
    if statement.trades is None:
        return {}
    by_id = {_id(row): row for row in ours.executions}
    live = {(row.venue, row.root_trade_date, row.root_exec_id): row for row in ours.executions if _counts(row)}
    stated = {row.key: row for row in statement.trades}
    has_lines = any(key in by_id and by_id[key].kind == "allocation" for key in stated)
    found: _Compared = {}
    seen: set[tuple[str, ...]] = set()
    for row in statement.trades:
        version = by_id.get(row.key)
        now = version and live.get((version.venue, version.root_trade_date, version.root_exec_id))
        if now is not None and now is not version and _id(now) in stated:
            # Both versions are stated: the newer one is the trade, this one no longer counts here.
            now = None
        if now is None:
            told = _told(row.words["side"], row.figures["qty"], row.words["instrument"], row.figures["price"])
            found[keys.make("trade", row.words["account"], *row.key)] = (_why_not(version), told)
        else:
            seen.add(_id(now))
            found |= _one_trade(row, now, ours)
    for execution in live.values():
        expected = has_lines or execution.kind != "allocation"
        if expected and _id(execution) not in seen and _covers(statement, execution):
            name = (execution.account, *_id(execution))
            told = _told(execution.side, execution.qty, execution.instrument, execution.price)
            found[keys.make("trade", *name)] = (told, MISSING)
    for key in before:
        # A trade that neither side has any more, or that both have now under another account or column, agrees.
        if key not in found and _covers_key(statement, key):
            found[key] = (MISSING, MISSING)
    return found


def _covers(statement: Statement, row: Execution) -> bool:
    days = statement.trades_from <= row.trade_date <= statement.trades_to
    return row.venue in statement.venues and row.account in statement.accounts and days


def _covers_key(statement: Statement, key: str) -> bool:
    parts = keys.parts(key)
    if parts[0] != "trade" or len(parts) < 5:
        return False
    _, account, venue, day, exec_id, *_ = parts
    if any(
        keys.stands_for(venue, row.key[0]) and day == row.key[1] and keys.stands_for(exec_id, row.key[2])
        for row in statement.trades or ()
    ):
        return True
    return (
        statement.trades_from <= day <= statement.trades_to
        and any(keys.stands_for(account, name) for name in statement.accounts)
        and any(keys.stands_for(venue, name) for name in statement.venues)
    )


def _one_trade(row: Stated, now: Execution, ours: Ours) -> _Compared:
    """Compare one trade: it is on both sides, so its existence agrees, and then each column that was stated."""
    name = (now.account, *row.key)
    there = "there"
    found: _Compared = {keys.make("trade", *name): (there, there)}
    known = {"qty": now.qty, "price": now.price, "gross": now.gross}
    for column, amount in row.figures.items():
        found[keys.make("trade", *name, column)] = (amounts.render(known[column]), amounts.render(amount))
    side = "sell" if row.words["side"] == "sell" and now.side == "sell_short" else now.side
    words = {"account": now.account, "side": side, "settle_date": now.settle_date}
    words["instrument"] = ours.instruments[now.instrument]
    for column, word in row.words.items():
        theirs = ours.instruments[word] if column == "instrument" else word
        found[keys.make("trade", *name, column)] = (words[column], theirs)
    return found
