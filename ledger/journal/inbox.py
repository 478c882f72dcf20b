"""
Hold the requests that wait for the writer: many put in, one takes out, and only so many may wait.

Handing in costs one call into C as long as there is room; only a caller who finds it full meets a condition.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from ledger.errors import Closed, Unavailable
from ledger.journal.answers import Pending

_GATHER_S: Final = 0.0005
_GATHER_TURNS: Final = 8
"""At most so many times so long (s) callers are waited for who have just been answered: less than a commit takes."""
_GATHER_IDLE_TURNS: Final = 2
"""So many waits in a row that brought nobody end it; one may be a turn that another thread had."""


class Inbox:
    """
    A bounded queue with one reader. *limit* is the most requests that wait, give or take one a caller.

    *pause* lets so many seconds pass.
    """

    def __init__(self, limit: int, pause: Callable[[float], None] = time.sleep) -> None:
        self._limit = limit
        self._pause = pause
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._crowd = 0
        self._closed = False
        self._ended = False
        self._lately = 0
        """How many requests were on their way at once lately; half of it is forgotten where they are fewer."""

    def put(self, pending: Pending, timeout: float | None) -> None:
        """
        Hand in a request, waiting at most *timeout* (s) for room.

        Raises:
            Closed: nobody takes requests any more.
            Unavailable: there was no room in time.
        """
        if self._closed:
            raise Closed("the ledger is closed; open it again")
        if self._queue.qsize() >= self._limit:
            self._wait_for_room(timeout)
        self._queue.put(pending)
        if self._ended:
            # The reader left between the look and the hand-in: nobody but this caller can answer what is left.
            self._turn_away()

    def _wait_for_room(self, timeout: float | None) -> None:
        with self._room:
            self._crowd += 1
            try:
                there = self._room.wait_for(lambda: self._queue.qsize() < self._limit or self._closed, timeout)
            finally:
                self._crowd -= 1
        if self._closed:
            raise Closed("the ledger is closed; open it again")
        if not there:
            raise Unavailable("too many requests wait for the writer; try again with the same key")

    def is_empty(self) -> bool:
        """
        Return whether nothing waits now.
        """
        return self._queue.empty()

    def take(self, events: int, *, in_hand: int) -> tuple[list[Pending], bool]:
        """
        Return what waits, up to so many *events*, and whether the end was reached.

        The reader has *in_hand* requests that it has not answered yet; where that is none, wait for one or for the end.
        """
        wait = not in_hand
        if wait and self._lately > 1:
            self._gather()
        taken: list[Pending] = []
        count, get = 0, self._queue.get
        while count < events:
            try:
                pending = get(wait and not taken)
            except queue.Empty:
                break
            if pending is None:
                return taken, True
            if pending.begin():
                taken.append(pending)
                count += len(pending.group.events)
        self._lately = max(in_hand + len(taken), self._lately // 2)
        if self._crowd:
            with self._room:
                self._room.notify_all()
        return taken, False

    def _gather(self) -> None:
        """
        Let callers who were answered a moment ago hand in again: one transaction for all costs half of several.

        Waits while they still come and are fewer than lately; one caller alone never waits.
        """
        before, idle = self._queue.qsize(), 0
        for _ in range(_GATHER_TURNS):
            if before >= self._lately or idle == _GATHER_IDLE_TURNS or self._closed:
                return
            self._pause(_GATHER_S)
            now = self._queue.qsize()
            before, idle = now, idle + 1 if now == before else 0

    def close(self) -> None:
        """
        Let nothing more in; the reader takes what is there, and then the end.
        """
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._queue.put(None)

    def end(self) -> None:
        """
        Say that the reader has left: what came in after the end is answered with Closed.
        """
        self._ended = True
        self._turn_away()

    def _turn_away(self) -> None:
        while True:
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                return
            if pending is not None and pending.begin():
                pending.answer(Closed("the ledger was closed before this request was taken; open it again"))
