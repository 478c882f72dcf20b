"""
Give the fold a memory that forgets every closed row after every event, as the writer's does after every commit.
"""

from __future__ import annotations

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
        self.state = State(lambda table, key: self.kept.get((table, key)))

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
