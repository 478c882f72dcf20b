"""
Hold the derived status of an order against FIX's own order state change matrices, row by row.

Every printed OrdStatus, OrderQty, CumQty, LeavesQty and AvgPx is compared. Where the ledger says something else, the
difference is written down here, to the field, and explained in docs/decisions/0005-where-the-ledger-is-not-fix.md.
"""

from __future__ import annotations

import pytest

from ledger.domain.rows import Row
from ledger.domain.state import Key, State
from tests.domain.books import Books, opened
from tests.domain.fix.matrices import Course, Difference, Player, courses, crossings

COURSES = list(courses())

DIFFERENCES: dict[str, dict[str, Difference]] = {
}

REFUSED = {
    "B.1.f": ["1"],
    "C.2.a": ["4"],
    "D31": ["3"],
    "F.1.a": ["4"],
    "F.1.b": ["3", "5"],
}
"""Requests that the ledger refuses its own engine: of an unknown order, of nothing, of a client order id used before."""


class ForgetfulBooks(Books):
    """
    Books whose memory forgets every closed row after every event, as the writer's does after every commit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored_rows: dict[tuple[str, Key], Row] = {}
        self.state = State(lambda table, key: self.stored_rows.get((table, key)), certain=True)


def in_the_order_sent(course: Course) -> tuple[Row, ...]:
    """Return the rows with every report before the request it crosses: the sell side had sent it already."""
    rows = list(course.rows)
    for at in crossings(course.rows):
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return tuple(rows)


@pytest.mark.parametrize("course", COURSES, ids=str)
def test_status_and_quantities_are_those_that_fix_prints(course: Course) -> None:
    player = Player(course, opened("100000000", "1"))
    player.play(in_the_order_sent(course))
    print(course, player.differences, player.refused)
    assert not player.differences
    assert player.refused == [] 
