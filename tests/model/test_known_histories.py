"""
Hold the fold to histories that are kept: what became of each event, which rows it changed, and the books at the end.

The histories are random ones of every event type, with mistakes among them, that the slow model has judged; they are
always the same, so a rule that changes shows at the first event it touches. Where it was meant to change, what became
of the same events is written anew, once the model says so too, by LEDGER_WRITE_EXAMPLES=yes pytest; without the file
other histories are made, those of many seeds that say most, which takes minutes.
"""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from blake3 import blake3

from ledger.domain import fold, registry
from ledger.domain.events.fields import Event
from ledger.domain.fold import Context, DuplicateFact, Outcome
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import State
from ledger.errors import RuleBroken
from tests.model.firm import sealed
from tests.model.histories import KINDS, NOON, NS_PER_DAY, STEPS
from tests.model.test_second_opinion import Books, assert_same_rows, fate

FILE = Path(__file__).with_name("known_histories.json")
SEEDS, KEPT = range(120), 14
"""From how many seeds histories are made, and how many of them are kept: those that say most that no other says."""


class Given(msgspec.Struct, frozen=True, array_like=True):
    """
    One event as a caller gives it, on which day; `became` is its fate, and a hash of what is stored and changed.
    """

    event_type: str
    given: str
    day: str
    became: str


def context(seq: int, day: str) -> Context:
    days = (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days
    at = days * NS_PER_DAY + NOON + seq
    return Context(seq, at, at)


class Folded:
    """
    The books of one history by the fold, and by the replay of what it stored.
    """

    def __init__(self) -> None:
        self.state, self.replayed, self.seq = State(), State(), 0

    def give(self, event_type: str, given: str, day: str) -> str:
        """Return what became of an event, as it is kept."""
        event = registry.decode_given(event_type, 1, given)
        now, mark = context(self.seq + 1, day), self.state.begin()
        made = fate(lambda: fold.record(self.state, event, now))
        if isinstance(made, DuplicateFact | RuleBroken):
            assert self.state.changes(mark) == []
            return f"{type(made).__name__} {made}"
        self.seq += 1
        stored = (made.stream, made.stream_version, made.effective_on)
        assert fold.replay(
            self.replayed, made.event_type, made.schema_version, made.given, made.derived, stored, now
        ) == []  # fmt: skip
        return f"{made.rule or 'accepted'} {self.hash_of(made, mark)}"

    def hash_of(self, made: Outcome, mark: int) -> str:
        changed = [(x.table, row_bytes(TABLES[x.table], x.new)) for x in self.state.changes(mark)]
        return blake3(msgspec.json.encode([made, changed])).hexdigest()[:16]


def kept() -> list[list[Given]]:
    return msgspec.json.decode(FILE.read_bytes(), type=list[list[Given]]) if FILE.exists() else []


HISTORIES = kept()


@pytest.mark.parametrize("number", range(len(HISTORIES)))
def test_a_known_history_becomes_what_it_became(number: int) -> None:
    """Each event by its fate, what is stored of it and every row that it changed; a replay comes to the same rows."""
    books = Folded()
    for place, one in enumerate(HISTORIES[number]):
        assert (place, books.give(one.event_type, one.given, one.day)) == (place, one.became)
    assert_same_rows(books.state, books.replayed)


def test_all_types_take_effect_in_them() -> None:
    """And each kind of answer is among them."""
    accepted = {one.event_type for history in HISTORIES for one in history if one.became.startswith("accepted")}
    kinds = {kind.__name__ for kind in registry.EVENT_TYPES.values() if kind.KIND != "control"}
    assert kinds - accepted == set()
    assert len(HISTORIES) == KEPT
    fates = Counter(one.became.split(maxsplit=1)[0] for history in HISTORIES for one in history)
    assert {"accepted", "DuplicateFact", "RuleBroken"} < set(fates)


@pytest.mark.parametrize("number", range(0, len(HISTORIES), 4))
def test_the_model_says_the_same_of_them(number: int) -> None:
    """Of every fourth: each verdict and the day for which it counts, and all books at the end."""
    judge(HISTORIES[number])


def judge(history: list[Given]) -> None:
    """Have the model judge what the fold makes of a history; it knows what the chain's key has signed."""
    for size in range(len(history)):
        sealed(size)
    books = Books(Counter(), opened_by=())
    for one in history:
        books.day = datetime.date.fromisoformat(one.day)
        books.give(registry.decode_given(one.event_type, 1, one.given))
    books.compare(last=True)


class Recorded(Books):
    """
    Books that keep what they were given.
    """

    def __init__(self, mistakes: float) -> None:
        self.given: list[tuple[str, str, str]] = []
        super().__init__(Counter(), mistakes)

    def give(self, event: Event) -> None:
        self.given.append((type(event).__name__, registry.encode_given(event).decode(), self.day.isoformat()))
        super().give(event)


def made(seed: int) -> list[Given]:
    """Return one history that fold and model agreed on after every step."""
    dice = Random(seed)
    books = Recorded(mistakes=(0.0, 0.15, 0.4)[seed % 3])
    for _ in range(STEPS):
        books.step(dice.choice(KINDS), dice.randbytes(8))
    books.compare(last=True)
    folded = Folded()
    return [Given(*one, folded.give(*one)) for one in books.given]


def says(history: list[Given]) -> Iterator[tuple[str, ...]]:
    """Yield what a history shows: which type met which rule, and which tables it changed from what it found."""
    books = Folded()
    for one in history:
        mark = books.state.begin()
        books.give(one.event_type, one.given, one.day)
        changes = books.state.changes(mark)
        yield (one.event_type, one.became.split(maxsplit=1)[0], *(x.table for x in changes))
        yield one.event_type, *(name for name, value in msgspec.json.decode(one.given).items() if value is not None)


def chosen() -> Iterator[list[Given]]:
    """Yield histories, each the one that says most that those before do not."""
    histories = {seed: made(seed) for seed in SEEDS}
    shows = {seed: set(says(history)) for seed, history in histories.items()}
    seen: set[tuple[str, ...]] = set()
    for _ in range(KEPT):
        best = max(shows, key=lambda seed: len(shows[seed] - seen))
        seen |= shows.pop(best)
        yield histories[best]


def again(history: list[Given]) -> list[Given]:
    """Return a history with what becomes of its events now."""
    books = Folded()
    return [
        msgspec.structs.replace(one, became=books.give(one.event_type, one.given, one.day)) for one in history
    ]  # fmt: skip


def test_what_becomes_of_them_now_is_what_is_kept() -> None:
    """To write what becomes of the same events anew, where it does: LEDGER_WRITE_EXAMPLES=yes pytest."""
    if not os.environ.get("LEDGER_WRITE_EXAMPLES"):
        assert list(map(again, HISTORIES)) == HISTORIES
        return
    for history in HISTORIES:
        judge(history)
    histories = list(map(again, HISTORIES)) or list(chosen())
    lines = [",\n".join(msgspec.json.encode(one).decode() for one in history) for history in histories]
    FILE.write_text("[\n[" + "],\n[".join(lines) + "]\n]\n")
