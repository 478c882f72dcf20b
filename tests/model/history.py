"""
Keep what was recorded, in order, and nothing else.

Every question about the books is a function of a history, worked out from its beginning; `asked` remembers an answer
for as long as there is that very history, so that a slow model is not an endless one. A history never changes: one
event more is another history.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Concatenate, ParamSpec, TypeVar

from ledger.domain.events.fields import Event

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Event)


@functools.cache
def number(text: Any) -> Fraction:
    """Read decimal text exactly."""
    return Fraction(text)


def rounded(amount: Fraction, scale: int) -> Fraction:
    """Round half-even to *scale* decimals."""
    return Fraction(round(amount * 10**scale), 10**scale)


def fits(amount: Fraction, scale: int) -> bool:
    return rounded(amount, scale) == amount


@dataclass(frozen=True)
class Entry:
    """
    An event that was recorded, when, and whether it took effect.
    """

    seq: int
    event: Event
    at: int
    day: str
    quarantined: bool = False


@dataclass(eq=False)
class History:
    """
    What was recorded so far.
    """

    entries: tuple[Entry, ...] = ()
    before: History | None = None
    answers: dict[Any, Any] = field(default_factory=dict)

    def plus(self, event: Event, at: int, day: str, quarantined: bool = False) -> History:
        """Return the history with one more event."""
        return History((*self.entries, Entry(len(self.entries) + 1, event, at, day, quarantined)), self)

    def if_also(self, event: Event) -> History:
        """Return the history that there would be had *event* taken effect now."""
        last = self.entries[-1]
        return self.plus(event, last.at, last.day)

    def until(self, seq: int) -> History:
        """Return the history as it was before the event at *seq*."""
        found = self
        while len(found.entries) >= seq and found.before is not None:
            found = found.before
        return found

    def steps(self) -> Iterator[tuple[int, Event]]:
        """Go through what took effect, with the seq of each."""
        return ((x.seq, x.event) for x in self.entries if not x.quarantined)

    def of(self, *kinds: type[E]) -> list[E]:
        """Return what took effect of some types, and of no types derived from them."""
        return [x.event for x in self.entries if type(x.event) in kinds and not x.quarantined]  # type: ignore[misc]


def asked(question: Callable[Concatenate[History, P], R]) -> Callable[Concatenate[History, P], R]:
    """Remember the answers to a question by history."""

    @functools.wraps(question)
    def answer(history: History, *given: P.args, **named: P.kwargs) -> R:
        key = (question, given)
        if key not in history.answers:
            history.answers[key] = question(history, *given, **named)
        found: R = history.answers[key]
        return found

    return answer
