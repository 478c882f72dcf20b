"""
Rule on facts that fit no rule: they wait until someone decides, and are accepted by what was recorded in their place.
"""

from __future__ import annotations

import functools
from typing import Final

import msgspec

from ledger.domain import registry
from ledger.domain.events import executions as events
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed
from ledger.domain.rows import Quarantined
from ledger.domain.rules.approval import check_second_person
from ledger.domain.rules.ground import Broken, Effects, Now, next_version
from ledger.domain.state import State, Waiting

QUARANTINE_STREAM: Final = "quarantine/facts"
_STALE_LIMIT: Final = 64
"""How many seqs the index may hold, beyond twice the rows in memory, before it is made anew."""


_WITHOUT_ID: Final[dict[type[Event], tuple[str, ...]]] = {MarkRecorded: ("instrument", "base", "quote", "kind", "day")}
"""What tells a fact from others of its type that has no id."""
_DAY: Final[dict[type[Event], str]] = {SettlementFailed: "date"}
"""What tells facts of one id apart; reports of executions are told apart by their trade date."""


@functools.cache
def _identity(kind: type[Event]) -> tuple[str, ...]:
    if kind in _WITHOUT_ID:
        return _WITHOUT_ID[kind]
    required = (field.name for field in msgspec.structs.fields(kind) if field.required)
    parts = ("venue", "trade_date", _DAY.get(kind, ""))
    return tuple(name for name in required if name in parts or name.endswith("_id"))


def subject_of(event: Event) -> str:
    """
    Return what *event* is about: its type, and every id that it must have, with the venue that gave it.

    An execution id is a venue's for a trade date, and a settlement fails once a day: the day is part of it. A mark has
    no id: it is of an instrument or a pair, a day and a kind.
    """
    kind = type(event)
    return "/".join([kind.__name__, *(getattr(event, name) or "" for name in _identity(kind))])


def _waiting(state: State) -> Waiting:
    """Return the index of what waits. What waits no more stays in it a while, since a resolution can be undone."""
    rows, found = state.quarantine.rows, state.waiting
    if found is None or found.count > 2 * len(rows) + _STALE_LIMIT:
        found = state.waiting = Waiting(0, {})
        for row in rows.values():
            _note(found, row)
    return found


def _note(waiting: Waiting, row: Quarantined) -> None:
    if row.subject is not None:
        waiting.seqs.setdefault(row.subject, []).append(row.seq)
        waiting.count += 1


def quarantine(state: State, event: events.FactQuarantined, now: Now) -> Effects:
    """
    The fact waits, without effect.
    """
    subject = None
    if event.original_version is not None:
        subject = subject_of(registry.decode_given(event.original_type, event.original_version, event.original))
    row = Quarantined(now.seq, event.original_type, subject, event.rule, "open", None, None, None, None)
    _note(_waiting(state), row)
    state.quarantine.put(row)
    return Effects(QUARANTINE_STREAM, next_version(state, QUARANTINE_STREAM))


def answer(state: State, event: Event, seq: int) -> None:
    """
    Note on every waiting fact of the subject of *event* that this was recorded, at *seq*.
    """
    subject = subject_of(event)
    for waiting in _waiting(state).seqs.get(subject, ()):
        row = state.quarantine.rows.get((waiting,))
        if row is not None and (row.status, row.subject) == ("open", subject) and row.answered_seq != seq:
            state.quarantine.put(msgspec.structs.replace(row, answered_seq=seq))


def resolve(state: State, event: events.QuarantineResolved, now: Now) -> Effects:
    """
    A waiting fact is decided once; accepted, it names the event that recorded it.

    That is the newest event of the same type and ids (execution and its day, order, movement, venue) since the fact
    began to wait: record it again, then resolve. One whose day was the mistake is discarded. What was raw text has no
    ids, so it may name any later event: who proposes and approves answers for that.
    """
    check_second_person(state, "resolution", event.proposed_by, event.approved_by)
    row = state.quarantine.get(event.ref)
    if row is None or row.status != "open":
        raise Broken(
            "not_quarantined",
            f"found seq {event.ref}, which is no quarantined fact that waits; expected one of those listed",
        )
    if (event.resolution == "accepted") != (event.accepted_seq is not None):
        raise Broken("accepted_seq", "give accepted_seq with the resolution 'accepted', and only with it")
    if event.accepted_seq is not None:
        if not event.ref < event.accepted_seq < now.seq:
            raise Broken(
                "accepted_seq", f"found {event.accepted_seq}; expected a seq after {event.ref} that is recorded"
            )
        if row.subject is not None and event.accepted_seq != row.answered_seq:
            newest = "none is recorded yet" if row.answered_seq is None else f"the newest is at seq {row.answered_seq}"
            raise Broken("accepted_seq", f"found {event.accepted_seq}; expected an event of {row.subject}: {newest}")
    resolution = None if event.accepted_seq is None else str(event.accepted_seq)
    state.quarantine.put(
        msgspec.structs.replace(
            row, status=event.resolution, resolution=resolution, proposed_by=event.proposed_by,
            approved_by=event.approved_by,
        )
    )  # fmt: skip
    return Effects(QUARANTINE_STREAM, next_version(state, QUARANTINE_STREAM))


RULES: dict[type[Event], object] = {events.FactQuarantined: quarantine, events.QuarantineResolved: resolve}
