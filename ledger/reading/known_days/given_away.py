"""
Undo a block's trade for days on which an allocation of it stands.

Nobody changes what was allocated before that is reversed. But a closing may put the reversal on a later day than what
was told after it. On the days between, the accounts have what they were given, and the block, of which the trade is
gone all the same, owes it to them: as if it had done the opposite trade, at the same price and with the fees paid back,
until the reversal brings everything back. Its postings say so by themselves.
"""

from __future__ import annotations

import msgspec

from ledger.domain import positions
from ledger.domain.rows import Execution, Position
from ledger.domain.rules import lots
from ledger.domain.rules.ground import known, known_instrument
from ledger.domain.rules.position_moves import move_position
from ledger.domain.rules.trades import fees_of, signed
from ledger.domain.state import State
from ledger.reading.lineage import Name


def owe(state: State, row: Execution, undoing: Name) -> None:
    """
    Have the block of *row*, a trade that was allocated, owe it, and let *row* count again, to be undone by *undoing*.
    """
    instrument = known_instrument(state, row.instrument)
    scale = known(state.assets, instrument.quote_asset, "asset").scale
    row = msgspec.structs.replace(row, instrument=instrument.instrument, live=True, allocation_id=None)
    key = (row.account, row.instrument)
    old = state.positions.get(*key) or Position(*key, 0, 0, 0, 0)
    traded, value = -signed(row.side, row.qty), -signed(row.side, row.gross)
    if lots.applies(state, row.account):
        venue, trade_date, exec_id = undoing
        lot = msgspec.structs.replace(row, venue=venue, trade_date=trade_date, exec_id=exec_id, ref_exec_id=None)
        cost, realised = lots.trade(state, lot, traded, value, scale)
    else:
        # No execution is made of it, so it is what the trades since the last split begin at.
        cost, realised = positions.after_trade(old.qty, old.cost, traded, value, scale)
    fees = sum(amount for asset, amount in fees_of(row.fees) if asset == instrument.settle_asset)
    state.positions.put(
        msgspec.structs.replace(
            old, qty=old.qty + traded, cost=old.cost + cost, realised=old.realised + realised, fees=old.fees - fees
        )
    )
    state.executions.put(move_position(state, row, instrument, scale, again=True))
