"""
Say where what is given back of an order's hold is posted, when the days are gone through in order.

A fill is of its session's day, and its order may be there, or have the terms that the fill fits, on a later one only.
What the fill gives back was held by then, and not before: so it waits until the order holds as much. That depends on no
later day: what is told of a day is the same whichever days are asked about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ledger.chain.entry import RecordedEvent
from ledger.domain.postings import Line
from ledger.reading.posted import orders_split_by


def hold_lines(event: RecordedEvent, lines: list[Line]) -> list[Line]:
    """
    Return those of an event's *lines* that move its order's hold; a report of a trade does that first.
    """
    of_order = event.stream.startswith("order/") and len(lines) > 1 and lines[1].bucket == "held"
    return lines[:2] if of_order else []


class _Hold:
    """
    What an order holds so far, and the places of what waits to be given back.
    """

    def __init__(self) -> None:
        self.amount = 0
        self.waiting: dict[int, int] = {}

    def covered(self) -> Iterator[int]:
        """Yield the places of what waited for what is held now, in order."""
        found = True
        while found:
            found = False
            for place, change in list(self.waiting.items()):
                if self.amount + change >= 0:
                    del self.waiting[place]
                    self.amount += change
                    found = True
                    yield place


def given_back(events: Iterable[tuple[RecordedEvent, list[Line]]]) -> Iterator[tuple[int, int | None]]:
    """
    Yield (place, place at which it is posted) of what *events*, in the order of days, give back later than they come.

    None is no place among them.
    """
    holds: dict[str, _Hold] = defaultdict(_Hold)
    for place, (event, lines) in enumerate(events):
        for order_id, held in orders_split_by(event).items():
            hold = holds[f"order/{order_id}"]
            # All that was recorded before the split has found its place by then.
            yield from ((each, place) for each in hold.waiting)
            hold.waiting.clear()
            hold.amount = held
        moved = hold_lines(event, lines)
        if moved:
            hold = holds[event.stream]
            hold.waiting[place] = moved[1].amount
            yield from ((each, place) for each in hold.covered() if each != place)
    yield from ((place, None) for hold in holds.values() for place in hold.waiting)
