"""
Compare the trades of a statement with the books, trade by trade.

They are matched by venue, trade date and execution id; an id of an earlier version, of several the
newest, stands for the trade as it is now.
A venue states the block that was allocated, a custodian its lines in place of it: whoever states one line has them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ledger.domain import amounts
from ledger.domain.rows import Execution
from ledger.reconciliation import keys, sheets
from ledger.reconciliation.ours import Compared, Ours
from ledger.reconciliation.statement import Stated, Statement

MISSING: Final = "missing"


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


def _root(row: Execution) -> tuple[str, ...]:
    return row.venue, row.root_trade_date, row.root_exec_id


def _told(side: str, qty: int, instrument: str, price: int) -> str:
    return f"{side} {amounts.render(qty)} {instrument} at {amounts.render(price)}"


def trades(statement: Statement, ours: Ours, followed: Iterable[str]) -> Compared:
    """
    Return what the trades come to; *followed* are the keys of breaks that are open or that someone ended.
    """
    if statement.trades is None:
        return {}
    by_id = {_id(row): row for row in ours.executions}
    live = {_root(row): row for row in ours.executions if _counts(row)}
    stated = sorted((by_id[row.key] for row in statement.trades if row.key in by_id), key=lambda row: row.event_seq)
    newest = {_root(row): row for row in stated}
    has_lines = any(row.kind == "allocation" for row in stated)
    found: Compared = {}
    seen: set[tuple[str, ...]] = set()
    standing: dict[tuple[str, ...], tuple[Execution, Stated | None]] = {}
    for row in statement.trades:
        version = by_id.get(row.key)
        now = version and live.get(_root(version))
        if version is not None and newest[_root(version)] is not version:
            # Two versions are stated: the newer one is the trade, this one no longer counts here.
            now = None
        if now is None:
            instrument = ours.instruments[row.words["instrument"]]
            told = _told(row.words["side"], row.figures["qty"], instrument, row.figures["price"])
            found[keys.make("trade", row.words["account"], *row.key)] = (_why_not(version), told)
        else:
            seen.add(_id(now))
            standing[_root(now)] = now, row
            found |= _one_trade(row, now, ours)
    for execution in live.values():
        # Who has the lines need not have the block too, which is the same shares once more.
        expected = execution.live if has_lines else execution.kind != "allocation"
        if expected and _id(execution) not in seen and _covers(statement, execution):
            name = (execution.account, *_id(execution))
            told = _told(execution.side, execution.qty, ours.instruments[execution.instrument], execution.price)
            found[keys.make("trade", *name)] = (told, MISSING)
            standing[_root(execution)] = execution, None
    before, said = set(followed), dict(found)
    for key, now_called in _covered(statement, before, standing, ours):
        if key in said:
            continue
        # A trade that neither side has any more, or that both have now under another account or column, agrees.
        left, right = said.get(now_called, (MISSING, MISSING))
        if left == right:
            found[key] = (MISSING, MISSING)
            continue
        # Said of another version of the trade, it is the same difference: each break or decision on it goes on.
        found[key] = (left, right)
        if now_called not in before:
            found.pop(now_called, None)
    return found


def _covers(statement: Statement, row: Execution) -> bool:
    days = statement.trades_from <= row.trade_date <= statement.trades_to
    return row.venue in statement.venues and row.account in statement.accounts and days


def _covered(
    statement: Statement,
    followed: Iterable[str],
    standing: dict[tuple[str, ...], tuple[Execution, Stated | None]],
    ours: Ours,
) -> Iterator[tuple[str, str]]:
    """
    Yield those of *followed* that are about a trade which the statement has, or would have if there were one, each with
    what it is called by the version of the trade that is compared.

    *standing* are the trades that are compared by what they are a version of, each as it is now, with its row of the
    statement, or None where it has none. A key under the id of any version is of that trade.
    """
    of_trades = [(key, keys.parts(key)) for key in followed if key.startswith("trade:") and keys.is_made(key)]
    if not of_trades:
        return
    accounts, venues = keys.by_writing(statement.accounts), keys.by_writing(statement.venues)
    days = {parts[3] for _, parts in of_trades}
    roots = {
        written: _root(row) for row in ours.executions if row.trade_date in days and _root(row) in standing
        for written in keys.writings(*_id(row))
    }  # fmt: skip
    stated = {written for row in statement.trades or () for written in keys.writings(*row.key)}
    for key, (_, account, *name) in of_trades:
        (venue, day, exec_id), column = name[:3], name[3:]
        written = venue, day, exec_id
        now, row = standing[roots[written]] if written in roots else (None, None)
        if now is not None and keys.stands_for(account, now.account):
            if row is None or not column or not _leaves_out(row, column[0]):
                yield key, keys.make("trade", now.account, *(row.key if row is not None else _id(now)), *column)
        elif (
            row is not None
            or written in stated
            or (statement.trades_from <= day <= statement.trades_to and account in accounts and venue in venues)
        ):
            yield key, key


def _leaves_out(row: Stated, column: str) -> bool:
    """Return whether *row* says nothing of *column* of its trade."""
    return column in sheets.SECTIONS["trades"][1] and not (column in row.figures or column in row.words)


def _one_trade(row: Stated, now: Execution, ours: Ours) -> Compared:
    """
    Compare one trade: it is on both sides, so its existence agrees, and then each column that was stated.

    The trade date is in its name, and so another one only where an earlier version stands for the trade.
    """
    name = (now.account, *row.key)
    there = "there"
    found: Compared = {keys.make("trade", *name): (there, there)}
    if now.trade_date != row.key[1]:
        found[keys.make("trade", *name, "trade_date")] = (now.trade_date, row.key[1])
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
