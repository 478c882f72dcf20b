"""
Lay the ground of known days: what is known from the first of them on.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.domain.rules import new_shares
from ledger.domain.state import State

GROUND: Final = (
    "assets", "instruments", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams",
)  # fmt: skip
"""The tables that are known from the first day on, as they have become."""


def lay_ground(state: State, whole: State) -> None:
    """
    Give *state*, which is empty, what is known from the first day on: of *whole*, all that was known.

    Nothing of it refuses what was recorded: no limit, no second person, no account's status, no floor.
    """
    state.booked = whole
    for name in GROUND:
        for row in whole.table(name).rows.values():
            state.add(name, row)
    state.account_limits.rows.clear()
    state.controls.rows.clear()
    for instrument in whole.instruments.rows.values():
        # Its splits are among the events, and trades before them are of the shares of their day.
        state.add("instruments", msgspec.structs.replace(instrument, split_on=None))
    for asset in whole.assets.rows.values():
        state.add("assets", msgspec.structs.replace(asset, splits=new_shares.NONE))
    for account in whole.accounts.rows.values():
        state.add("accounts", msgspec.structs.replace(account, status="open"))
    for balance in whole.balances.rows.values():
        bare = msgspec.structs.replace(balance, settled=0, unsettled=0, held=0, floor=None, breached=False)
        state.add("balances", bare)
