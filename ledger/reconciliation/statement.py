"""
Make of a statement's rows what can be compared: exact amounts, days, and what the statement covers.

A statement is as of a day (its close: whatever is known by now of the days up to it) or as of a time (what the ledger
had recorded by then). It covers the accounts that it names: what it leaves out of them, it says there is none of.
Whether the ledger knows what is named is checked where the books are at hand.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.domain import amounts
from ledger.errors import InvalidAmount, InvalidInput
from ledger.reading.moment import parse_day, parse_time
from ledger.reconciliation import sheets
from ledger.reconciliation.sheets import Line, Sheet

_IDENTIFIER: Final = re.compile(r"[ -.0-~]{1,128}", re.ASCII)
SIDES: Final = ("buy", "sell", "sell_short")
_DAY_END_NS: Final = 86_400 * 10**9 - 1
_EPOCH: Final = datetime.date(1970, 1, 1)


class Stated(msgspec.Struct, frozen=True):
    """
    One row: where it stands, what it is about, and its figures in 10^-18 or as text.
    """

    where: str
    key: tuple[str, ...]
    figures: dict[str, int]
    words: dict[str, str] = {}


class Statement(msgspec.Struct, frozen=True):
    """
    A statement of one issuer, ready to be compared.

    `day` is None where it is as of a time; `as_of` is that time, or the last nanosecond of the day. A section that it
    does not have is None: it says nothing about that. `venues` and the days from `trades_from` to `trades_to` are those
    whose trades it lists.
    """

    issuer: str
    hash: str
    as_of: int
    day: datetime.date | None
    accounts: frozenset[str]
    balances: tuple[Stated, ...] | None
    positions: tuple[Stated, ...] | None
    trades: tuple[Stated, ...] | None
    venues: frozenset[str]
    trades_from: str
    trades_to: str


class Told(msgspec.Struct, frozen=True):
    """
    What the caller says of a statement that may not say it itself.
    """

    issuer: str | None = None
    as_of: str | None = None
    accounts: tuple[str, ...] = ()


def read(name: str, content: bytes, told: Told = Told()) -> Statement:  # noqa: B008  # frozen, and empty
    """
    Return the statement in *content*, a file called *name*.

    Raises:
        InvalidInput, InvalidAmount: something in it cannot be; the message says where, and what would do.
    """
    sheet = sheets.read(name, content)
    issuer = _identifier(name, "issuer", _one(name, "issuer", sheet, told.issuer))
    day, as_of = _as_of(name, _one(name, "as_of", sheet, told.as_of))
    found = {section: _section(section, lines) for section, lines in sheet.sections.items()}
    named = {row.key[0] for section in ("balances", "positions") for row in found.get(section, ())}
    trades = found.get("trades", ())
    named |= {row.words["account"] for row in trades}
    days = [row.key[1] for row in trades]
    told_from, told_to = _told_day(name, sheet, "trades_from"), _told_day(name, sheet, "trades_to")
    if told_from and told_to and told_from > told_to:
        raise InvalidInput(f"{name}: found trades_from {told_from} after trades_to {told_to}; swap them")
    first, last = told_from or min(days, default=""), told_to or max(days, default="")
    _check_days(trades, first, last, day.isoformat() if day else None)
    statement = Statement(
        issuer, blake3(content).hexdigest(), as_of, day,
        frozenset({*named, *told.accounts, *_names(name, sheet, "accounts")}),
        found.get("balances"), found.get("positions"), found.get("trades"),
        frozenset({*(row.key[0] for row in trades), *_names(name, sheet, "venues")}), first, last,
    )  # fmt: skip
    _check_covers(name, statement)
    return statement


def _one(name: str, what: str, sheet: Sheet, given: str | None) -> str:
    inside = sheet.told.get(what)
    if inside is not None and not isinstance(inside, str):
        raise InvalidInput(f"{name}: found {what} {str(inside)[:60]!r}; expected text")
    if inside is not None and given is not None and inside != given:
        raise InvalidInput(f"{name} says {what} {inside[:60]!r}, and {given[:60]!r} was given; leave the second out")
    chosen = inside if inside is not None else given
    if chosen is None:
        option = "--" + what.replace("_", "-")
        raise InvalidInput(f"{name} does not say its {what}; give {option}, or in JSON the key {what!r}")
    return chosen


def _names(name: str, sheet: Sheet, what: str) -> list[str]:
    found = sheet.told.get(what, [])
    if not isinstance(found, list):
        raise InvalidInput(f"{name}: found {what} that are no list; expected a list of names")
    return [_identifier(name, what, one) for one in found]


def _told_day(name: str, sheet: Sheet, what: str) -> str | None:
    found = sheet.told.get(what)
    return None if found is None else _day(name, what, str(found))


def _as_of(name: str, text: str) -> tuple[datetime.date | None, int]:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        day = datetime.date.fromisoformat(_day(name, "as_of", text))
        as_of = (day - _EPOCH).days * 86_400 * 10**9 + _DAY_END_NS
    else:
        try:
            day, as_of = None, parse_time(text)
        except InvalidInput as error:
            raise InvalidInput(f"{name}: as_of: {error}; or, for the close of a day, a date") from None
    if not 0 <= as_of < 2**63:
        raise InvalidInput(f"{name}: found as_of {text[:40]!r}; expected a time from 1970 to 2262")
    return day, as_of


def _identifier(where: str, column: str, value: Any) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise InvalidInput(
            f"{where}: found {column} {str(value)[:60]!r}; expected printable ASCII without '/', 1 to 128 characters "
            "(the import writes a '/' as %2F)"
        )
    return value


def _amount(where: str, column: str, text: str) -> int:
    try:
        return amounts.parse(amounts.canonical(text))
    except InvalidAmount as error:
        raise InvalidAmount(f"{where}: {column}: {error}") from None


def _day(where: str, column: str, text: str) -> str:
    try:
        return parse_day(text).isoformat()
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {column}: {error}") from None


def _section(section: str, lines: list[Line]) -> tuple[Stated, ...]:
    make = {"balances": _balance, "positions": _position, "trades": _trade}[section]
    rows = tuple(make(line) for line in lines)
    places: dict[tuple[str, ...], str] = {}
    for row in rows:
        first = places.setdefault(row.key, row.where)
        if first is not row.where:
            raise InvalidInput(
                f"{row.where}: found {', '.join(row.key)!r:.200} a second time, first at {first}; once each"
            )
    return rows


def _figures(line: Line, columns: tuple[str, ...]) -> dict[str, int]:
    # An empty cell of an optional column says nothing; the statement does not know the figure.
    return {c: _amount(line.where, c, line.cells[c]) for c in columns if line.cells.get(c, "") != ""}


def _balance(line: Line) -> Stated:
    key = tuple(_identifier(line.where, c, line.cells[c]) for c in ("account", "asset"))
    figures = _figures(line, sheets.SECTIONS["balances"][1])
    if not figures:
        raise InvalidInput(f"{line.where}: found no figure; expected at least one in the row")
    return Stated(line.where, key, figures)


def _position(line: Line) -> Stated:
    key = tuple(_identifier(line.where, c, line.cells[c]) for c in ("account", "instrument"))
    return Stated(line.where, key, {"qty": _amount(line.where, "qty", line.cells["qty"]), **_figures(line, ("cost",))})


def _trade(line: Line) -> Stated:
    where, cells = line.where, line.cells
    venue, exec_id = (_identifier(where, c, cells[c]) for c in ("venue", "exec_id"))
    words = {c: _identifier(where, c, cells[c]) for c in ("account", "instrument")}
    if cells["side"] not in SIDES:
        raise InvalidInput(f"{where}: found side {cells['side'][:40]!r}; expected {', '.join(SIDES)}")
    words["side"] = cells["side"]
    if cells.get("settle_date"):
        words["settle_date"] = _day(where, "settle_date", cells["settle_date"])
    figures = {c: _amount(where, c, cells[c]) for c in ("qty", "price")} | _figures(line, ("gross",))
    if figures["qty"] <= 0:
        raise InvalidInput(f"{where}: found qty {cells['qty'][:40]!r}; expected more than 0: the side says which way")
    return Stated(where, (venue, _day(where, "trade_date", cells["trade_date"]), exec_id), figures, words)


def _check_days(trades: tuple[Stated, ...], first: str, last: str, as_of: str | None) -> None:
    for row in trades:
        if not first <= row.key[1] <= last:
            raise InvalidInput(f"{row.where}: found trade_date {row.key[1]}; the statement covers {first} to {last}")
        if as_of is not None and row.key[1] > as_of:
            raise InvalidInput(f"{row.where}: found trade_date {row.key[1]}; the statement is as of {as_of}, before it")


def _check_covers(name: str, statement: Statement) -> None:
    """Refuse an empty section that does not say of what: it may be a download that failed, and is no agreement."""
    for section in ("balances", "positions"):
        if getattr(statement, section) == () and not statement.accounts:
            raise InvalidInput(f"{name}: found no {section}, and no account that has none; name it with --account")
    days = statement.trades_from and statement.trades_to
    if statement.trades == () and not (statement.accounts and statement.venues and days):
        raise InvalidInput(
            f"{name}: found no trades, and not of whom, where and when there are none; get the file anew, or say it in "
            "JSON: accounts, venues, trades_from and trades_to"
        )
