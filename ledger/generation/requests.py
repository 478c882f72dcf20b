"""
Make up any number of requests of a trading firm, each when it is asked for.

The same seed, count and place in the chain give the same requests: what is random comes from the generator handed in,
and the only clock is the desk's own. Few of the facts are impossible on purpose, and end in quarantine; every other
request is one that the ledger records as it is. Decisions on quarantined facts name seqs, so the requests are for a
chain whose head is at *after* and which nobody else appends to meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ledger.chain.signatures import KeyPair
from ledger.domain.events.control import MarkRecorded
from ledger.errors import InvalidInput
from ledger.generation import firm, lives
from ledger.generation.desk import Desk
from ledger.generation.evenings import Given, close_day
from ledger.generation.lives import Life
from ledger.generation.mornings import open_day
from ledger.journal.group import Group

ACTOR: Final = "generator"
NEW_CHAIN: Final = 1
"""The head of a chain that was just made."""
_LEAST_A_DAY: Final = 120
_MOST_DAYS: Final = 240
"""A year of trading at most, so that no day is one to come; longer histories have fuller days."""
_AT_A_TIME: Final = 12


def generate(
    count: int, random: Random, name: str, *, after: int = NEW_CHAIN, key: KeyPair | None = None
) -> Iterator[Group]:
    """
    Yield requests of *count* events in all.

    *name* makes their idempotency keys; *key*, a checkpoint key that the chain names, seals a checkpoint each evening.

    Raises:
        InvalidInput: fewer than one event, or a place before a chain's first event.
    """
    if count < 1 or after < 1:
        raise InvalidInput(f"found {count} events after seq {after}; expected one or more, after seq 1 or later")
    desk = Desk(random, after, max(_LEAST_A_DAY, count // _MOST_DAYS))
    last = after + count
    for number, given in enumerate(_given(desk, key), 1):
        events = given if isinstance(given, tuple) else (given,)
        if desk.seq + len(events) > last:
            # One event is left, and the next request is a group.
            events = (_mark(desk),)
        desk.seq += len(events)
        yield Group(events, f"{name}-{number}", ACTOR, desk.tick())
        if desk.seq == last:
            return


def _mark(desk: Desk) -> MarkRecorded:
    listing = desk.everything[0]
    return MarkRecorded(
        instrument=listing.name, price=listing.at(listing.price), kind="intraday", day=desk.day, as_of=desk.now
    )


def _given(desk: Desk, key: KeyPair | None) -> Iterator[Given]:
    for date in firm.trading_days():
        desk.begin(date)
        if not desk.number:
            yield from firm.reference(desk.day)
        yield from open_day(desk)
        yield from _session(desk)
        yield from close_day(desk, key)


def _session(desk: Desk) -> Iterator[Given]:
    """Yield a day's trading, a dozen orders at a time; the last ones are let live to their end."""
    running: list[tuple[Life, int | None]] = [(lives.resumed(desk, order), None) for order in desk.resting]
    desk.resting = []
    ends, random = desk.seq + desk.per_day, desk.random.random
    while running or desk.seq < ends:
        while len(running) < _AT_A_TIME and desk.seq < ends:
            running.append((lives.next_life(desk), None))
        if not running:
            return
        place = int(random() * len(running))
        life, seq = running[place]
        try:
            given = next(life) if seq is None else life.send(seq)
        except StopIteration:
            running[place] = running[-1]
            running.pop()
            continue
        yield given
        running[place] = (life, desk.seq)
