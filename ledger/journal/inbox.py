"""
Hold the requests that wait for the writer: many put in, one takes out, and only so many may wait.

Handing in costs one call into C as long as there is room; only a caller who finds it full meets a condition.
"""

from __future__ import annotations

import queue
import threading

from ledger.errors import Closed, Unavailable
from ledger.journal.answers import Pending


class Inbox:
    """
    A bounded queue with one reader. *limit* is the most requests that wait, give or take one a caller.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._crowd = 0
        self._closed = False
        self._ended = False

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

    def take(self, events: int, *, wait: bool) -> tuple[list[Pending], bool]:
        """
        Return what waits, up to so many *events*, and whether the end was reached; *wait* for one or the other.
        """
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
        if self._crowd:
            with self._room:
                self._room.notify_all()
        return taken, False

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
