"""
Hold orders to the most that an account may own, or owe, of an asset.

What counts is the worst that may come of what is asked for: the position in every instrument of the asset, and all that
the account's open orders on the same side may still fill, were every request for more granted. Facts are never held to
it, so an account may be past its limit; whatever leads back is allowed then.
"""

from __future__ import annotations

from ledger.domain import amounts
from ledger.domain.rows import Instrument
from ledger.domain.rules.ground import Broken
from ledger.domain.rules.of_asset import instruments_of
from ledger.domain.state import State


def check(state: State, account: str, instrument: Instrument, side: str, more: int) -> None:
    """
    Raise Broken where *more* to fill on *side* could take a position past the account's limit, if it has one.
    """
    limits = state.account_limits.get(account, instrument.asset)
    if limits is None or limits.max_position is None or more <= 0:
        return
    names = [row.instrument for row in instruments_of(state, instrument.asset)]
    owned = sum(row.qty for name in names if (row := state.positions.get(account, name)) is not None)
    working = state.orders.working(account, instrument.asset, buys=side == "buy")
    reached = owned + (working + more if side == "buy" else -working - more)
    if (reached if side == "buy" else -reached) > limits.max_position:
        raise Broken(
            "max_position",
            f"account {account} could reach {amounts.render(reached)} {instrument.asset} with all that its orders may "
            f"still fill; expected at most {amounts.render(limits.max_position)} on either side",
        )
