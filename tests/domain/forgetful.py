"""
Give the fold a memory that forgets every closed row after every event, as the writer's does after every commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.domain.events.fields import Event
from ledger.domain.fold import Context, Outcome, record
from ledger.domain.rows import Row
from ledger.domain.state import Key, State
from tests.domain.books import Books


class Memory:
    """
    A state, and the rows that a store would keep of it, by table and key.

    Like the writer it looks no key up that should be new, until the store's own constraints catch one that is there.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, Key], Row] = {}
        self.questions = 0
        self.state = State(self._load, runs=self._load_run)

    def _load(self, table: str, key: Key) -> Row | None:
        self.questions += 1
        return self.kept.get((table, key))

    def _load_run(self, table: str, key: Key, count: int) -> Iterator[Row]:
        """Yield what the store does for one question: the row of *key* and those before it."""
        self.questions += 1
        for _ in range(count):
            row: Any = self.kept.get((table, key))
            if row is None:
                return
            yield row
            key = row.follows if table == "executions" else (*key[:2], key[2] - 1)

    def record(self, event: Event, context: Context) -> Outcome:
        mark = self.state.begin()
        try:
            outcome = record(self.state, event, context)
            changes = list(self.state.changes(mark))
            if any(change.old is None and (change.table, change.key) in self.kept for change in changes):
                self.state.rollback(mark)
                self.state.certain = True
                outcome = record(self.state, event, context)
                changes = list(self.state.changes(mark))
            self.kept.update({(change.table, change.key): change.new for change in changes})
            return outcome
        finally:
            self.state.certain = False
            self.state.durable(self.state.begin())

    def whole(self) -> State:
        """Return the state with every row there is."""
        state = State()
        for (table, _), row in self.kept.items():
            state.add(table, row)
        return state


class ForgetfulBooks(Books):
    """
    Books of a state that forgets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.state = self.memory.state

    def record(self, event: Event, context: Context) -> Outcome:
        return self.memory.record(event, context)

    def whole(self) -> State:
        return self.memory.whole()
