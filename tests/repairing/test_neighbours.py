"""
Follow links from events that are planned to those that a report does not name, and to where they cannot be restored.
"""

from __future__ import annotations

import pytest

from ledger.chain.entry import RecordedEvent
from ledger.repairing import neighbours
from ledger.repairing.neighbours import Links
from ledger.repairing.proving import EVENTS_LIMIT
from tests.archiving.chains import chain, edited

SIGNED = chain(100)


def signed(*seqs: int) -> dict[int, RecordedEvent]:
    return {seq: SIGNED[seq - 1] for seq in seqs}


def stands(first: int, last: int) -> Links:
    """Return the links of the chain where event *first* was changed, and it to *last* were hashed again."""
    forged = edited(SIGNED, first, actor="mallory")
    found = (*SIGNED[: first - 1], *forged[first - 1 : last], *SIGNED[last:])
    return {event.seq: (event.prev_hash, event.hash) for event in found}


@pytest.mark.parametrize(
    ("first", "last", "planned", "size", "expected"),
    [
        # Ten times as many altogether, no further than was signed.
        (50, 100, [50, 51], 100, list(range(52, 70))),
        (50, 100, [50, 51], 60, list(range(52, 61))),
        (50, 100, [50, 51], 51, []),
        # A report of some of the events names neither those before nor those after.
        (50, 100, [70], 100, [66, 67, 68, 69, 71, 72, 73, 74]),
        # A single one whose neighbours stand as they were signed.
        (50, 50, [50], 100, []),
    ],
)
def test_whoever_does_not_link_is_asked_for_as_well(
    first: int, last: int, planned: list[int], size: int, expected: list[int]
) -> None:
    links = stands(first, last)
    assert neighbours.unasked(signed(*planned), links, set(planned), size) == expected


def test_no_more_are_asked_for_than_one_plan_may_have_but_to_say_so() -> None:
    """The one that is too many is refused by the plan."""
    planned, links = signed(50), stands(50, 100)
    most = {*range(-EVENTS_LIMIT + 51, 51)}
    assert neighbours.unasked(planned, links, most - {-1, -2, -3}, 100) == [51, 52, 53]
    assert neighbours.unasked(planned, links, most, 100) == [51]


def test_events_beside_one_that_stays_are_left_up_to_where_the_links_fit() -> None:
    links = stands(50, 100)
    assert neighbours.unlinked(signed(*range(50, 101)), links) == {}
    assert neighbours.unlinked(signed(20, *range(50, 60)), links) == {seq: seq + 1 for seq in range(50, 60)}
    assert neighbours.unlinked(signed(20), stands(20, 20)) == {}
