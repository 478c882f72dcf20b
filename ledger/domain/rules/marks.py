"""
Rule on marks: the prices by which positions and currencies are valued.

For each day and kind the mark of the latest `as_of` counts, of several the one told last; what was recorded before
stays in the chain, so a figure is reproduced by replaying up to where it was taken. A mark has no id: one that is told
again is a duplicate while it counts alone.
"""

from __future__ import annotations

from ledger.domain.events import control as events
from ledger.domain.events.fields import Event
from ledger.domain.rows import Mark
from ledger.domain.rules.ground import (
    Broken,
    DuplicateFact,
    Effects,
    Now,
    check_come,
    known,
    known_instrument,
    next_version,
    units,
)
from ledger.domain.state import State


def subject_of(instrument: str | None, base: str | None = None, quote: str | None = None) -> str:
    """
    Return the name under which marks of an instrument or of a pair of currencies are kept.
    """
    return instrument if instrument is not None else f"{base}/{quote}"


def record(state: State, event: events.MarkRecorded, now: Now) -> Effects:
    """
    A price, on a day that has come, of an instrument or pair of assets that exist, recorded unless it is the one that
    counts; told again once another one of its `as_of` was told, it counts again.
    """
    if (event.instrument is None) == (event.base is None) or (event.base is None) != (event.quote is None):
        raise Broken("subject", "found neither an instrument alone nor a pair alone; expected one of them")
    if event.instrument is not None:
        subject = known_instrument(state, event.instrument).instrument
    else:
        known(state.assets, str(event.base), "asset")
        known(state.assets, str(event.quote), "asset")
        subject = subject_of(None, event.base, event.quote)
        if units(event.price) <= 0 or event.base == event.quote:
            raise Broken("price", f"found {event.price} for {subject}; expected two currencies and more than 0")
    old = state.marks.get(subject, event.day, event.kind)
    price = units(event.price)
    if old is not None and (old.as_of, old.price) == (event.as_of, price):
        raise DuplicateFact(old.event_seq)
    check_come(event.day, now, "mark_to_come", "a mark")
    if old is None or event.as_of >= old.as_of:
        state.marks.put(Mark(subject, event.day, event.kind, price, event.as_of, now.seq))
    stream = f"mark/{subject}"
    return Effects(stream, next_version(state, stream), {}, event.day)


RULES: dict[type[Event], object] = {events.MarkRecorded: record}
