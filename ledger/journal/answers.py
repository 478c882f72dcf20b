"""
Say what a request is answered with, and hand the answer to whoever waits for it.

A caller waits in one of three ways: on a future, on a lock of its own (one thread, one request), or for a whole round
of requests at once. A future carries a lock, a condition and a list of callbacks; the other two cost a fraction of it,
which is what thousands of requests a second are made of.
"""

from __future__ import annotations

import abc
import logging
import threading
from concurrent.futures import Future
from typing import Any, Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.errors import LedgerError
from ledger.journal.group import Group

_LOG: Final = logging.getLogger(__name__)


class Quarantined(msgspec.Struct, frozen=True):
    """
    A fact of the group that was recorded as quarantined, and why.
    """

    seq: int
    rule: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """
    What was recorded: the group's first and last seq, and the last event's hash, time (ns) and id.

    `replayed` says that an earlier request was answered again; `quarantined` lists facts that wait for a decision.
    """

    seq: int
    last_seq: int
    hash: bytes
    recorded_at: int
    event_id: bytes
    replayed: bool = False
    quarantined: tuple[Quarantined, ...] = ()


class Foreseen(msgspec.Struct, frozen=True):
    """
    What a dry run of one event would record.
    """

    event_type: str
    stream: str
    stream_version: int
    derived: bytes
    rule: str | None
    detail: str | None


Answer = Receipt | LedgerError | list[Foreseen]


def receipt_of(events: list[RecordedEvent], *, replayed: bool = True) -> Receipt:
    """
    Return the receipt of a stored group.
    """
    last = events[-1]
    waiting = tuple(
        Quarantined(event.seq, *_reason(event)) for event in events if event.event_type == "FactQuarantined"
    )
    return Receipt(events[0].seq, last.seq, last.hash, last.recorded_at, last.event_id, replayed, waiting)


def _reason(event: RecordedEvent) -> tuple[str, str]:
    given = msgspec.json.decode(split_payload(event.payload)[1])
    return given["rule"], given["detail"]


class Pending(abc.ABC):
    """
    A request on its way to the writer.
    """

    __slots__ = ("dry", "group")

    def __init__(self, group: Group, *, dry: bool = False) -> None:
        self.group = group
        self.dry = dry

    def begin(self) -> bool:
        """
        Return whether anybody still wants the answer; from then on the request cannot be taken back.
        """
        return True

    @abc.abstractmethod
    def answer(self, answer: Answer) -> None:
        """
        Hand *answer* to the caller; called once.
        """


class Promised(Pending):
    """
    A request whose caller holds a future.
    """

    __slots__ = ("future",)

    def __init__(self, group: Group, *, dry: bool = False) -> None:
        super().__init__(group, dry=dry)
        self.future: Future[Any] = Future()

    def begin(self) -> bool:
        """
        Return False where the future was cancelled.
        """
        return self.future.set_running_or_notify_cancel()

    def answer(self, answer: Answer) -> None:
        """
        Complete the future. What its callbacks raise, SystemExit included, is theirs and not the writer's.
        """
        try:
            if isinstance(answer, LedgerError):
                self.future.set_exception(answer)
            else:
                self.future.set_result(answer)
        except BaseException:
            _LOG.exception("a callback on the answer to %r failed", self.group.key)


class Awaited(Pending):
    """
    A request whose caller waits for it and for nothing else.
    """

    __slots__ = ("_answered", "_given")

    def __init__(self, group: Group, *, dry: bool = False) -> None:
        super().__init__(group, dry=dry)
        self._given: Answer | None = None
        self._answered = threading.Lock()
        self._answered.acquire()

    def answer(self, answer: Answer) -> None:
        """
        Let the caller go on.
        """
        self._given = answer
        self._answered.release()

    def wait(self, timeout: float | None) -> Answer | None:
        """
        Return the answer, or None when *timeout* (s) passed without one.
        """
        self._answered.acquire(timeout=-1 if timeout is None else timeout)
        return self._given


class Round:
    """
    Many requests whose caller waits for all of them.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.answers: list[Answer | None] = [None] * len(groups)
        self.requests = [_Listed(group, self, place) for place, group in enumerate(groups)]
        self._left = len(groups)
        self._counting = threading.Lock()
        self._done = threading.Event()
        if not groups:
            self._done.set()

    def note(self, place: int, answer: Answer) -> None:
        """
        Take the answer of one request: the writer gives it, or the caller who could not hand the request in.
        """
        self.answers[place] = answer
        with self._counting:
            self._left -= 1
            last = not self._left
        if last:
            self._done.set()

    def wait(self, timeout: float | None) -> list[Answer | None]:
        """
        Return every answer, in order of the requests; None for those that have none when *timeout* (s) passed.
        """
        self._done.wait(timeout)
        return list(self.answers)


class _Listed(Pending):
    __slots__ = ("_place", "_round")

    def __init__(self, group: Group, round: Round, place: int) -> None:
        self.group = group
        self.dry = False
        self._round = round
        self._place = place

    def answer(self, answer: Answer) -> None:
        self._round.note(self._place, answer)
