"""
Check that what is held is what open orders and open holds hold, and nothing else.

Every event moved both by the rules, and the rows agree with the rules; that the two agree with each other is for this
check, so that a rule which lets them part is found by its effect. Only what is open holds anything, so what is needed
is in memory.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from ledger.domain import amounts
from ledger.domain.state import State
from verifier.report import Finding

_LEGS = msgspec.json.Decoder(list[tuple[str, str, str]])


def check(state: State) -> list[Finding]:
    """
    Return each (account, asset) whose held balance is not the sum of what is open.
    """
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for order in state.orders.rows.values():
        if order.hold_asset is not None:
            expected[order.account, order.hold_asset] += order.hold_amount + order.asked_hold
    for hold in state.holds.rows.values():
        if hold.status == "open":
            for account, asset, remaining in _LEGS.decode(hold.remaining):
                expected[account, asset] += amounts.parse(remaining)
    found = {key: balance.held for key, balance in state.balances.rows.items()}
    return [
        Finding(
            "HELD_MISMATCH", amounts.render(expected.get(key, 0)), amounts.render(found.get(key, 0)),
            table="balances", key=key, column="held",
        )
        for key in sorted({*found, *expected})
        if found.get(key, 0) != expected.get(key, 0)
    ]  # fmt: skip
