"""
Keep the events that found no ground yet, by the rows that their rules asked for.

A rule that refused an event goes on refusing it until one of those rows changes: only then is it asked again. Asking
all of them after every event would take steps by the square of a history in which many wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES
from ledger.domain.state import Key, State, Table
from ledger.values import Value

Ground = tuple[str, Key]
"""A row that a rule asked for: its table and its key."""


class _Watched(Table[Any]):
    """
    A read model that notes which rows it is asked for.
    """

    __slots__ = ("_asked",)

    def __init__(self, state: State, name: str, asked: set[Ground]) -> None:
        super().__init__(state, name)
        self._asked = asked

    def get(self, *key: Any) -> Any:
        self._asked.add((self.name, key))
        return super().get(*key)

    def fresh(self, *key: Any) -> Any:
        self._asked.add((self.name, key))
        return super().fresh(*key)


class WatchedState(State):
    """
    A state that notes in `asked` which rows it is asked for by their keys; who goes through a table is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[Ground] = set()
        for name in TABLES:
            # Nothing waits for an order: those are told by themselves, at the end.
            if name != "orders":
                setattr(self, name, _Watched(self, name, self.asked))


class _Entry(Value, frozen=True):
    event: RecordedEvent
    grounds: frozenset[Ground]


class Waiting:
    """
    Events that wait, each under the number that says when it came.
    """

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        """How many wait of each event type."""
        self._entries: dict[int, _Entry] = {}
        self._by_ground: dict[Ground, set[int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, number: int, event: RecordedEvent, grounds: frozenset[Ground]) -> None:
        """
        Let *event* wait until one of its *grounds* changes.
        """
        self._entries[number] = _Entry(event, grounds)
        self.types[event.event_type] += 1
        for ground in grounds:
            self._by_ground.setdefault(ground, set()).add(number)

    def take(self, number: int) -> RecordedEvent:
        """
        Return the event of this number, which waits no more.
        """
        entry = self._entries.pop(number)
        self.types[entry.event.event_type] -= 1
        for ground in entry.grounds:
            numbers = self._by_ground[ground]
            numbers.discard(number)
            if not numbers:
                del self._by_ground[ground]
        return entry.event

    def event(self, number: int) -> RecordedEvent:
        """
        Return the event of this number, which goes on waiting.
        """
        return self._entries[number].event

    def due(self, changed: set[Ground]) -> set[int]:
        """
        Return the numbers of those that wait for a row of *changed*.
        """
        found: set[int] = set()
        for ground in changed:
            found |= self._by_ground.get(ground, frozenset())
        return found

    def numbers(self, types: Collection[str]) -> list[int]:
        """
        Return the numbers of what waits of these event types, in the order in which it came.
        """
        if not any(self.types[name] for name in types):
            return []
        return sorted(number for number, entry in self._entries.items() if entry.event.event_type in types)

    def events(self) -> list[RecordedEvent]:
        """
        Return what waits, in the order in which it came.
        """
        return [self._entries[number].event for number in sorted(self._entries)]
