"""
Hold the derived status of an order against FIX's own order state change matrices, row by row.

Every printed OrdStatus, OrderQty, CumQty, LeavesQty and AvgPx is compared. Where the ledger says something else, the
difference is written down here, to the field, and explained in docs/decisions/0005-where-the-ledger-is-not-fix.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.domain.books import Books, opened
from tests.domain.fix.matrices import Course, Difference, Player, courses, crossings
from tests.domain.forgetful import ForgetfulBooks

COURSES = list(courses())
CROSSED = [course for course in COURSES if crossings(course.rows)]

INDEX = [
    f"{group}.{letter}"
    for group, letters in {
        "A.1": "ab", "B.1": "abcdef", "C.1": "abc", "C.2": "a", "C.3": "abc", "D.1": "abc", "D.2": "abcd",
        "E.1": "abcdef", "F.1": "abc", "G.1": "abc", "H.1": "abcd", "I.1": "ab", "J.1": "abcd", "K.1": "ab",
        "L.1": "ab", "EX.A.1": "abcd", "EX.I.1": "ab",
    }.items()
    for letter in letters
] + ["D31"]  # fmt: skip
"""The scenarios of FIX 5.0 SP2 (Volume 4, and Volume 7 for exchanges), and one of 4.2 (F.1.b now)."""

DIFFERENCES: dict[str, dict[str, Difference]] = {
    "B.1.d": {"4": {"ord_status": "Pending Cancel"}},
    "D.2.a": {"7": {"ord_status": "Pending Replace"}},
    "D.2.b": {"7": {"order_qty": 10000, "leaves_qty": 9000}},
    "D.2.c": {"7": {"ord_status": "Pending Replace"}},
    "E.1.a": {"2": {"leaves_qty": 10000}},
    "EX.I.1.b": {"6": {"leaves_qty": 0}},
    "H.1.b": {
        "Day 2,1": {"cum_qty": 2000, "leaves_qty": 18000},
        "Day 2,2": {"cum_qty": 7000, "leaves_qty": 13000},
        "Day 2,3": {"ord_status": "Partially Filled", "cum_qty": 18000, "leaves_qty": 2000},
    },
    "L.1.a": {"3": {"ord_status": "New"}, "4": {"ord_status": "Partially Filled"}},
}
"""What the ledger says where FIX prints something else, by matrix and time. Each is explained in decision 0005."""

REFUSED = {"B.1.f": ["1"], "C.2.a": ["4"], "D31": ["3"], "F.1.a": ["4"], "F.1.b": ["3", "5"]}
"""Requests that the ledger refuses its own engine: of an unknown order, for nothing, with an id used before."""


def of(course: Course, expected: dict[str, Any]) -> dict[str, Any]:
    """Return what is expected at the times that *course* comes to as printed."""
    times = {row["time"] for row in (course.rows if course.outcome == "printed" else course.rows[:-1])}
    return {time: found for time, found in expected.items() if time in times}


def in_the_order_sent(course: Course) -> tuple[dict[str, Any], ...]:
    """Return the rows with every report before the request that it crosses: the sell side had sent it already."""
    rows = list(course.rows)
    for at in crossings(course.rows):
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    return tuple(rows)


def test_every_scenario_is_played_to_every_outcome() -> None:
    """Every scenario that FIX's own index lists is there, once as printed, and so are its alternatives."""
    assert sorted(course.matrix for course in COURSES if course.outcome == "printed") == sorted(INDEX)
    assert len(COURSES) == 112
    assert {course.matrix for course in CROSSED} == {"B.1.b", "B.1.c", "B.1.e", "C.2.a", "C.3.a", "C.3.b", "C.3.c"}


@pytest.mark.parametrize("books", [Books, ForgetfulBooks])
@pytest.mark.parametrize("course", COURSES, ids=str)
def test_status_and_quantities_are_those_that_fix_prints(course: Course, books: type[Books]) -> None:
    """Row by row, whether memory keeps what is closed or forgets it; what is held is what may still fill."""
    player = Player(course, opened("100000000", "1", books()))
    player.play(in_the_order_sent(course))
    assert player.differences == of(course, DIFFERENCES.get(course.matrix, {}))
    assert player.refused == list(of(course, dict.fromkeys(REFUSED.get(course.matrix, []))))
    player.books.replayed()


@pytest.mark.parametrize("course", CROSSED, ids=str)
def test_a_request_is_pending_from_when_it_is_sent(course: Course) -> None:
    """Seen by who sends it, a request that crosses a report came first: all is as printed but that it is pending."""
    player = Player(course, opened("100000000", "1"))
    player.play(course.rows)
    requests = {course.rows[at]["time"]: course.rows[at]["in"] for at in crossings(course.rows)}
    pending = {
        time: {"ord_status": "Pending Cancel" if name.startswith("Cancel") else "Pending Replace"}
        for time, name in requests.items()
    }
    assert player.differences == of(course, DIFFERENCES.get(course.matrix, {})) | pending
    assert player.refused == []
