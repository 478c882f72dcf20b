"""
Check what a single trade does to the cost of a position, at its smallest and where it turns.
"""

from __future__ import annotations

import pytest

from ledger.domain.positions import after_trade


@pytest.mark.parametrize(
    ("qty", "cost", "traded", "value", "expected"),
    [
        (0, 0, 5, 50, (50, 0)), (1, 5, 1, 7, (7, 0)), (-1, -5, -1, -7, (-7, 0)), (1, 5, -1, -7, (-5, 2)),
        (-1, -5, 1, 7, (5, -2)), (2, 10, -1, -7, (-5, 2)), (1, 5, -2, -14, (-12, 2)),
    ],
)  # fmt: skip
def test_what_is_added_costs_what_is_paid_and_what_is_closed_is_realised(
    qty: int, cost: int, traded: int, value: int, expected: tuple[int, int]
) -> None:
    """Down to one unit of 10^-18; what goes past zero opens the other side at its own price."""
    assert after_trade(qty, cost, traded, value, 18) == expected
