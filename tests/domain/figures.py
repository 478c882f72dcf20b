"""
Value the positions of one state by its marks, and say what became of them from one day, or state, to another.

By the functions that reads go through the days with, on two days alone.
"""

from __future__ import annotations

from ledger.domain.profit_and_loss import CLOSING, DayResult, Figure, between, rate_on, rounded, valued
from ledger.domain.rows import Instrument, Position
from ledger.domain.state import State
from ledger.errors import InvalidInput


def _names(state: State, instrument: str) -> list[str]:
    """Return the name of an instrument and those it had before, the newest first."""
    names = [instrument]
    for name in names:
        names += [row.instrument for row in state.instruments.rows.values() if row.renamed_to == name]
    return names


def price_on(state: State, instrument: str, day: str) -> int:
    """
    Return the price of *instrument* that counts for *day*: that of settlement, else of the end of the day.

    Raises:
        InvalidInput: there is no mark.
    """
    for kind in CLOSING:
        for name in _names(state, instrument):
            mark = state.marks.get(name, day, kind)
            if mark is not None:
                return mark.price
    raise InvalidInput(f"found no {' or '.join(CLOSING)} mark of {instrument} for {day}; record one")


def _instrument(state: State, name: str) -> Instrument:
    row = state.instruments.get(name)
    while row is not None and row.renamed_to is not None:
        row = state.instruments.get(row.renamed_to)
    if row is None:
        raise InvalidInput(f"found instrument {name!r}, which this chain does not know")
    return row


def _scale(state: State, asset: str) -> int:
    row = state.assets.get(asset)
    if row is None:
        raise InvalidInput(f"found asset {asset!r}, which this chain does not know")
    return row.scale


def figure(state: State, account: str, instrument: str, day: str) -> Figure:
    """
    Return the position of *account* in *instrument*, as *state* has it, valued by the marks of *day*.

    A flat position needs no mark.

    Raises:
        InvalidInput: a mark is missing, or the instrument is unknown.
    """
    row = _instrument(state, instrument)
    name = row.instrument
    position = state.positions.get(account, name) or Position(account, name, 0, 0, 0, 0)
    price = price_on(state, name, day) if position.qty else 0
    return valued(row, position, price, day, _scale(state, row.quote_asset))


def day_result(then: State, now: State, account: str, instrument: str, days: tuple[str, str]) -> DayResult:
    """
    Return what became of a position from *days[0]*, in the state *then*, to *days[1]*, in the state *now*.

    It is rounded as `between` says, to the base asset's scale.

    Raises:
        InvalidInput: a mark is missing, or something is unknown.
    """
    owner = now.accounts.get(account)
    if owner is None:
        raise InvalidInput(f"found account {account!r}, which this chain does not know")
    before, after = figure(then, account, instrument, days[0]), figure(now, account, instrument, days[1])
    rate = rate_on(now, after.asset, owner.base_asset, days[1])
    old_rate = rate_on(then, after.asset, owner.base_asset, days[0]) if before.value else rate
    return between(before, after, (old_rate, rate), owner.base_asset, _scale(now, owner.base_asset))


def currency_result(then: State, now: State, account: str, asset: str, days: tuple[str, str]) -> DayResult:
    """
    Return what the worth of *asset* did to what *account* had of it on *days[0]*, until *days[1]*.

    Raises:
        InvalidInput: a mark is missing, or something is unknown.
    """
    owner = now.accounts.get(account)
    if owner is None:
        raise InvalidInput(f"found account {account!r}, which this chain does not know")
    balance = then.balances.get(account, asset)
    held = balance.total if balance else 0
    change = rate_on(now, asset, owner.base_asset, days[1]) - rate_on(then, asset, owner.base_asset, days[0])
    return DayResult(owner.base_asset, 0, rounded(held * change, _scale(now, owner.base_asset)))
