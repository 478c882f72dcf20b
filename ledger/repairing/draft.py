"""
Keep a plan as it comes together: what it will write, each thing once and found again by its place, and what it will
not, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ledger.repairing.plan import REMOVE, RESTORE, Write
from ledger.repairing.wanted import EVENTS

Place = tuple[str, str]
"""A table, and where in it something is written: "" is all of it."""

BESIDE: Final = "beside"
"""The place of the rows of `chains` that stand beside the chain's own."""


class Writes:
    """
    What is to be written, in the order in which it was planned.
    """

    def __init__(self) -> None:
        self._all: list[Write] = []
        self._at: dict[Place, int] = {}

    def __iter__(self) -> Iterator[Write]:
        return iter(self._all)

    def __contains__(self, place: Place) -> bool:
        return place in self._at

    def add(self, write: Write, place: str) -> None:
        """
        Plan a write, unless one of its table is planned for this place.
        """
        if (write.table, place) not in self._at:
            self._at[write.table, place] = len(self._all)
            self._all.append(write)

    def numbered(self, places: Iterable[Place]) -> tuple[int, ...]:
        """
        Return the numbers of what is planned for *places*, each once and in order.
        """
        return tuple(sorted({self._at[place] for place in places if place in self._at}))

    @property
    def has_events(self) -> bool:
        """
        Whether events are restored or taken away, so that what follows from them is another then.
        """
        return any(write.table == EVENTS for write in self._all)

    def restored(self, last: int) -> list[Place]:
        """
        Return the places of the events up to *last* that are restored.
        """
        return [
            (EVENTS, str(write.seq)) for write in self._all
            if write.table == EVENTS and write.what == RESTORE and (write.seq or 0) <= last
        ]  # fmt: skip

    def copies(self) -> Iterator[tuple[Write, Place]]:
        """
        Yield what takes a copy of an event away, and its place.
        """
        for write in self._all:
            if write.what == REMOVE and write.table == EVENTS:
                yield write, (EVENTS, "/".join(write.key or ()))


class Reasons(msgspec.Struct):
    """
    Why something is not mended: an event by its seq, a snapshot by its own, a checkpoint by its size.
    """

    events: dict[int, str] = {}
    copies: dict[int, str] = {}
    """Of copies of an event at places of none: nothing follows from them."""
    record: str = ""
    """Of what the region recorded of itself."""
    head: str = ""
    snapshots: dict[str, str] = {}
    checkpoints: dict[int, str] = {}
    row: str = ""
    """Of the chain's own row."""


class Draft(msgspec.Struct):
    """
    A plan as far as it came.

    `brought` are, of a number that no chain has, the places from which its checkpoints come, and how many these are.
    `names` are what findings call the chain by, None where nothing shows who it is.
    """

    origin: str
    writes: Writes = msgspec.field(default_factory=Writes)
    reasons: Reasons = msgspec.field(default_factory=Reasons)
    brought: dict[int, tuple[list[Place], int]] = {}
    names: frozenset[str] | None = None
    is_of_another_id: bool = False
    """Whether the chain's own row, which is to be restored, says another id than its events have."""
