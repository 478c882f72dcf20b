"""
Carry a position through a trade, and take the trade out of it again as if it had never been.

What a trade does to cost and result depends on those before it. Where one is undone, or changed in its place, those
after it are reckoned anew: by the lots where the account reckons first in, first out, else by the average.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.domain import positions
from ledger.domain.rows import Execution, Instrument, Position
from ledger.domain.rules import averages, lots
from ledger.domain.rules.averages import Name
from ledger.domain.rules.ground import Broken
from ledger.domain.rules.trades import fees_of, signed
from ledger.domain.state import State


def _fees(row: Execution, instrument: Instrument) -> int:
    return sum(amount for asset, amount in fees_of(row.fees) if asset == instrument.settle_asset)


def move_position(
    state: State, row: Execution, instrument: Instrument, scale: int, *, after: Name | None = None, again: bool = False
) -> Execution:
    """
    Carry the position of *row*, which is new, through its trade; return the row with what it did to the position.

    A correction takes its place *after* the trade that its original came after. A trade that counts *again*, as its
    allocation was reversed, takes the place back that it had.
    """
    old = state.positions.get(row.account, row.instrument) or Position(row.account, row.instrument, 0, 0, 0, 0)
    traded, value = signed(row.side, row.qty), signed(row.side, row.gross)
    day, opening, day_trades = positions.on_day(old, row.trade_date, traded)
    fees, newest = old.fees + _fees(row, instrument), old.newest
    if not lots.applies(state, row.account):
        if after is not None or again:
            return _in_its_place(state, old, row, (day, opening, day_trades, fees), scale, after)
        cost, realised = positions.after_trade(old.qty, old.cost, traded, value, scale)
        newest = averages.name_of(row)
    elif again:
        cost, realised = lots.restore(state, row, scale)
    else:
        cost, realised = lots.trade(state, row, traded, value, scale)
    state.positions.put(
        Position(
            row.account, row.instrument, old.qty + traded, old.cost + cost, old.realised + realised, fees, day, opening,
            newest, day_trades,
        )
    )  # fmt: skip
    # The caller made the row just now and put it nowhere yet.
    msgspec.structs.force_setattr(row, "cost_change", cost)
    msgspec.structs.force_setattr(row, "realised_change", realised)
    msgspec.structs.force_setattr(row, "follows", old.newest)
    return row


def _in_its_place(
    state: State, old: Position, row: Execution, told: tuple[str, int, int, int], scale: int, after: Name | None
) -> Execution:
    seq = averages.began(state, row)
    new, row = averages.insert(
        state, old, row, scale,
        lambda found: averages.began(state, found) < seq if after is None else averages.name_of(found) == after,
    )  # fmt: skip
    day, opening, day_trades, fees = told
    state.positions.put(msgspec.structs.replace(new, day=day, opening=opening, day_trades=day_trades, fees=fees))
    return row


def unmove_position(state: State, row: Execution, instrument: Instrument, scale: int) -> Name:
    """
    Take *row* out of its position in *instrument*, which is what its own is called now; return what it came after.
    """
    name = instrument.instrument
    old = state.positions.get(row.account, name)
    if old is None:
        raise Broken("unknown_position", f"found no position of {row.account} in {name}; expected the one that the "
                     f"trade {row.exec_id!r} made: run tradeledger-verify")  # fmt: skip
    traded = signed(row.side, row.qty)
    came_after: Name = ()
    if lots.applies(state, row.account):
        qty = old.qty - traded
        cost, realised = lots.undo(state, name, row, scale)
        if not qty:
            realised, cost = realised - cost, 0
        new = msgspec.structs.replace(old, qty=qty, cost=cost, realised=realised)
    else:
        new, came_after = averages.undo(state, old, row, scale)
    day, opening, day_trades = positions.without(old, row.trade_date, traded)
    fees = old.fees - _fees(row, instrument)
    state.positions.put(msgspec.structs.replace(new, fees=fees, day=day, opening=opening, day_trades=day_trades))
    return came_after


def is_traded_since(state: State, position: Position, day: str) -> bool:
    """
    Return whether *position* was traded on *day* or later, or split, by what stands.

    Where all trades of its newest day are undone, this looks at those that stand, which costs in proportion to them.
    """
    if position.day is None or position.day < day:
        return False
    if position.day_trades:
        return True
    if lots.applies(state, position.account):
        return any(date >= day for date in lots.trade_dates(state, position.account, position.instrument))
    return any(row.trade_date >= day for row in averages.newest_first(state, position))


def held_before(state: State, position: Position, instrument: Instrument, day: str) -> int | None:
    """
    Return the quantity of *position* in *instrument* before the trades of *day*; None where it went on after it.
    """
    if position.day == day and position.day_trades:
        return position.opening
    if is_traded_since(state, position, day):
        return None
    # What it went through a split with is counted among its trades until one of a later day is undone.
    unknown = position.day is not None and position.day >= day and (instrument.split_on or "") > day
    return None if unknown else position.qty


def charged_in_kind(state: State, position: Position, asset: str, day: str) -> int:
    """
    Return what the trades of *day* that stand, if it is the newest of *position*, were charged in its own *asset*.

    No position has it, and nothing notes its day, as it goes with its trade.
    """
    if position.day != day or not position.day_trades:
        return 0
    trades: Iterator[Execution]
    if lots.applies(state, position.account):
        trades = lots.executions(state, position.account, position.instrument)
    else:
        trades = averages.newest_first(state, position)
    total, left = 0, position.day_trades
    for row in trades:
        if row.trade_date == day:
            total += sum(amount for charged, amount in fees_of(row.fees) if charged == asset)
            left -= 1
            if not left:
                break
    return total
