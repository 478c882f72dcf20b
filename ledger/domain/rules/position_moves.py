"""
Carry a position through a trade, and take the trade out of it again.

What a trade does to cost and result is kept in its row, so that taking it out is exact; where the account reckons first
in, first out, the lots say it.
"""

from __future__ import annotations

import msgspec

from ledger.domain import positions
from ledger.domain.rows import Execution, Instrument, Position
from ledger.domain.rules import lots
from ledger.domain.rules.ground import Broken
from ledger.domain.rules.trades import fees_of, signed
from ledger.domain.state import State


def move_position(
    state: State, row: Execution, instrument: Instrument, scale: int, *, again: bool = False
) -> Execution:
    """
    Carry the position of *row*, which is new, through its trade; return the row with what it did to the position.

    A trade that counts *again*, as its allocation was reversed, takes its place among the lots back.
    """
    old = state.positions.get(row.account, row.instrument) or Position(row.account, row.instrument, 0, 0, 0, 0)
    traded, value = signed(row.side, row.qty), signed(row.side, row.gross)
    if not lots.applies(state, row.account):
        cost, realised = positions.after_trade(old.qty, old.cost, traded, value, scale)
    elif again:
        cost, realised = lots.restore(state, row, scale)
    else:
        cost, realised = lots.trade(state, row, traded, value, scale)
    fees = sum(amount for asset, amount in fees_of(row.fees) if asset == instrument.settle_asset)
    day, opening = positions.on_day(old, row.trade_date, traded)
    state.positions.put(
        Position(
            row.account, row.instrument, old.qty + traded, old.cost + cost, old.realised + realised, old.fees + fees,
            day, opening,
        )
    )  # fmt: skip
    # The caller made the row just now and put it nowhere yet.
    msgspec.structs.force_setattr(row, "cost_change", cost)
    msgspec.structs.force_setattr(row, "realised_change", realised)
    return row


def unmove_position(state: State, row: Execution, instrument: Instrument, scale: int) -> None:
    """
    Take what *row* did out of its position in *instrument*, which is what its own is called now.
    """
    name = instrument.instrument
    old = state.positions.get(row.account, name)
    if old is None:
        raise Broken("unknown_position", f"found no position of {row.account} in {name}; expected the one that the "
                     f"trade {row.exec_id!r} made: run tradeledger-verify")  # fmt: skip
    traded = signed(row.side, row.qty)
    qty = old.qty - traded
    if lots.applies(state, row.account):
        cost, realised = lots.undo(state, name, row, scale)
    else:
        cost, realised = old.cost - row.cost_change, old.realised - row.realised_change
    if not qty:
        # What trades in between released of this one's cost stays with their result: flat costs nothing.
        realised, cost = realised - cost, 0
    fees = sum(amount for asset, amount in fees_of(row.fees) if asset == instrument.settle_asset)
    opening = old.opening - traded if old.day is None or row.trade_date < old.day else old.opening
    state.positions.put(Position(row.account, name, qty, cost, realised, old.fees - fees, old.day, opening))
