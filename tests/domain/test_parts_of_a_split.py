"""
Check how position and what is beyond it share what a holding comes to in a split, against fractions.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from ledger.domain.amounts import SCALE, UNIT
from ledger.domain.events.corporate_actions import CashInLieu
from ledger.domain.rules.new_shares import multiplied, of_position
from tests.domain.books import amount
from tests.domain.test_corporate_actions import market, split, traded

RATIOS = ((1, 2), (2, 1), (3, 2), (2, 3), (1, 10), (7, 4))


def most_of(qty: int, held: int, new: int, ratio: Fraction, unit: int) -> int:
    """Return the largest part for the position of which neither is a whole unit from what it would be exactly."""
    sign = -1 if qty < 0 else 1
    near = int(qty * ratio / unit)
    parts = [
        part * unit
        for part in range(near - 3, near + 4)
        if abs(part * unit - qty * ratio) < unit > abs(new - part * unit - (held - qty) * ratio)
    ]
    return sign * max(sign * part for part in parts)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("rounding", ["cash", "down", "up", "nearest"])
@pytest.mark.parametrize(("scale", "step"), [(0, UNIT), (2, UNIT // 100), (18, 1), (0, 10**12 * UNIT + UNIT)])
def test_a_position_has_the_most_of_which_neither_part_is_a_unit_off(
    ratio: tuple[int, int], rounding: str, scale: int, step: int
) -> None:
    """Long or short, with more beside it or less, in amounts that a float would round."""
    unit = 10 ** (SCALE - scale)
    for qty, beyond in itertools.product([n for n in range(-7, 8) if n], range(-7, 8)):
        position, held = qty * step, (qty + beyond) * step
        new = multiplied(held, ratio, scale, rounding)
        found = of_position(position, held, new, ratio, scale)
        assert type(found) is int
        assert found == most_of(position, held, new, Fraction(*ratio), unit), (qty, beyond)


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
def test_the_cash_for_a_fraction_of_more_shares_than_before_is_a_sale_of_it(cost_method: str) -> None:
    """7 shares for 70 become 10.5: half a share, which cost a twenty-first of that, is sold for 5."""
    books = market(cost_method=cost_method)
    books.give(traded("E", qty="7"))
    books.give(split(3, 2, cash_in_lieu=(CashInLieu(account="A", amount="5"),)))
    row = books.state.positions.get("A", "XYZ")
    assert row is not None
    assert (row.qty, row.cost, row.realised) == (amount("10"), amount("66.67"), amount("1.67"))
    books.replayed()
