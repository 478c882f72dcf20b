"""
Check what the writer takes at once: those who call together go together, and who calls alone waits for nobody.
"""

from __future__ import annotations

from ledger.journal.answers import Awaited
from ledger.journal.group import Group
from ledger.journal.inbox import Inbox
from tests.journal.test_ledger import fee


def request() -> Awaited:
    return Awaited(Group((fee("f"),), "f"))


class Door:
    """An inbox whose every pause lets in one more request, as long as there are any."""

    def __init__(self, late: int = 0) -> None:
        self.inbox = Inbox(100, self.pause)
        self.late = late
        self.pauses = 0

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        if self.late:
            self.late -= 1
            self.put(1)

    def put(self, count: int) -> None:
        for _ in range(count):
            self.inbox.put(request(), 0)

    def take(self, in_hand: int = 0) -> int:
        return len(self.inbox.take(100, in_hand=in_hand)[0])


def test_those_who_came_together_are_waited_for_while_they_come() -> None:
    """Five were taken at once: the next take waits for five, and no longer than until pauses bring nobody."""
    door = Door(late=3)
    door.put(5)
    assert (door.take(), door.pauses) == (5, 0)
    door.put(2)
    assert (door.take(), door.pauses) == (5, 3)
    door.late = 1
    door.put(1)
    assert (door.take(), door.pauses) == (2, 6)


def test_who_calls_alone_is_taken_at_once() -> None:
    """Also after a crowd that has gone: it is forgotten by halves."""
    door = Door()
    door.put(8)
    assert door.take() == 8
    for _ in range(3):
        door.put(1)
        assert door.take() == 1
    assert door.pauses == 6
    door.put(1)
    assert (door.take(), door.pauses) == (1, 6)


def test_nobody_is_waited_for_while_there_is_something_to_do() -> None:
    """A take while a transaction commits takes what is there, and those in it are of the crowd."""
    door = Door(late=4)
    door.put(2)
    door.take()
    assert (door.take(in_hand=2), door.pauses) == (0, 0)
    door.put(2)
    assert (door.take(in_hand=2), door.pauses) == (2, 0)
    assert (door.take(), door.pauses) == (4, 4)


def test_the_end_is_not_waited_for() -> None:
    """A closed inbox gives what is there and then the end."""
    door = Door(late=3)
    door.put(5)
    door.take()
    door.inbox.close()
    assert door.inbox.take(100, in_hand=0) == ([], True)
    assert door.pauses == 0
