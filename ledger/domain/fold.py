"""
Apply events to the state: the one fold, which the writer, the replica and the verifier share.

`record` is what happens when a caller gives an event: its rules are checked and its consequences worked out.
`replay` does the same with what is stored and says where the two differ. A command that breaks a rule is refused;
a fact that does becomes a FactQuarantined, with the original kept whole.

Nothing here reads a clock, a database or a random number.
"""

from __future__ import annotations

import datetime
import functools
from typing import Any, Final

import msgspec

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain import registry, schemas
from ledger.domain.events.control import SchemaRegistered
from ledger.domain.events.executions import FactQuarantined
from ledger.domain.events.fields import Event
from ledger.domain.rulebook import RULES, rule_of
from ledger.domain.rules import periods, quarantine
from ledger.domain.rules.ground import Broken, DuplicateFact, Now
from ledger.domain.rules.invariants import named
from ledger.domain.state import State, Table
from ledger.errors import InvalidEvent, LedgerError, RuleBroken, TooLarge, Unbalanced, UnknownFormat
from ledger.values import Value

__all__ = [
    "RULES", "Context", "DuplicateFact", "Mismatch", "Outcome", "Written", "asked", "original_of", "record", "replay",
    "stream_version",
]  # fmt: skip

FACT_LIMIT_BYTES: Final = 120 * 1024
"""
What a fact may have in what the caller gives, as canonical JSON. Any fact may come to be quarantined, and as text in a
FactQuarantined each quotation mark and backslash of it takes two bytes: so half a payload, less the reason beside it.
"""
_DETAIL_LIMIT: Final = 2_000
"""Characters of a reason that is stored; it may repeat what a fact lists. Six bytes each is what JSON takes at most."""
_AROUND: Final = len(b'{"derived":,"given":}')
_EPOCH: Final = datetime.date(1970, 1, 1)


class Context(Value, frozen=True):
    """
    The event's place in the chain and its times, in ns.
    """

    seq: int
    recorded_at: int
    occurred_at: int


class Written(Value, frozen=True):
    """
    How an event was written before: its schema version and bytes; for a fact that was quarantined then, its own, and
    `kept`, the FactQuarantined in its newest version, with the version and bytes that it was written in.
    """

    version: int
    given: bytes
    kept: tuple[FactQuarantined, int, bytes] | None = None


class Outcome(Value, frozen=True):
    """
    What is to be stored of an event. `effective_on` is in days since 1970-01-01; `rule` and `detail` say why a fact
    was quarantined.
    """

    event_type: str
    schema_version: int
    given: bytes
    derived: bytes
    stream: str
    stream_version: int
    effective_on: int
    rule: str | None = None
    detail: str | None = None


class Mismatch(Value, frozen=True):
    """
    A stored column that is not what the rules make of the event.
    """

    column: str
    expected: str
    actual: str


@functools.lru_cache(4096)
def _days(date: str) -> int:
    return (datetime.date.fromisoformat(date) - _EPOCH).days


def _apply(state: State, event: Event, version: int, given: bytes, context: Context) -> Outcome:
    now, kind = Now(context.seq, context.occurred_at, context.recorded_at, given), type(event)
    rule = RULES[kind] if version == kind.SCHEMA_VERSION else rule_of(kind, version)
    effects = rule(state, event, now)
    if state.quarantine.rows and event.KIND == "fact":
        quarantine.answer(state, event, now.seq)
    days = now.days if effects.effective_on is None else _days(effects.effective_on)
    if state.closed_periods.rows:
        days = periods.counted_on(state, event, days, now.days)
    return Outcome(
        kind.__name__,
        version,
        given,
        registry.encode_derived(effects.derived),
        effects.stream,
        effects.stream_version,
        days,
    )


def _check_version(state: State, event: Event, version: int) -> None:
    """Raise RuleBroken unless *version* is the newest of its type in this chain, which is then registered."""
    name = type(event).__name__
    if version > 1 and state.schemas.get(name, version) is None:
        raise RuleBroken(
            f"{named(event)} refused (schema_version): R5: its version {version} is not registered in this chain, "
            "so that an older program could not tell that it is there; open the ledger anew, which registers it"
        )
    if version < event.SCHEMA_VERSION and state.schemas.get(name, version + 1) is not None:
        raise RuleBroken(
            f"{named(event)} refused (schema_version): R5: version {version + 1} is registered in this chain, so that "
            f"nothing is written in version {version}, by whose rule it would be judged, any more; expected the newest"
        )


def record(
    state: State, event: Event, context: Context, written: Written | None = None, *, alone: bool = True
) -> Outcome:
    """
    Check *event* against the state, apply it, and return what is to be stored.

    A fact of a group (*alone* is false) that is recorded already is quarantined as `duplicate_fact`: the facts beside
    it are new, and the group stands whole. An event that was *written* before, perhaps in an old version, is judged by
    the rule of that version. Versions after the first are registered before they are used, and end those below them.
    A fact of which too much follows for one payload is quarantined as `too_large`.

    Raises:
        TooLarge: what is given of a fact has more than `FACT_LIMIT_BYTES`, or the payload of a command or of raw text
            more than `PAYLOAD_LIMIT_BYTES`.
        Rejected: a command breaks a rule; the state is as before.
        DuplicateFact: this very fact is recorded already.
    """
    name = registry.type_name(event)
    if written is None:
        written = Written(event.SCHEMA_VERSION, registry.encode_given(event))
        if len(written.given) > FACT_LIMIT_BYTES and event.KIND == "fact" and not isinstance(event, FactQuarantined):
            raise TooLarge(
                f"{named(event)}: found a payload of {len(written.given)} bytes as given; expected at most "
                f"{FACT_LIMIT_BYTES} of a fact, so that it can be kept in quarantine whatever is wrong with it: give "
                "less in it, or several facts"
            )
    version = written.version
    if version > 1 or event.SCHEMA_VERSION > 1:
        _check_version(state, event, version)
    mark = state.begin()
    try:
        if isinstance(event, FactQuarantined) and event.original_version is not None:
            raise Broken("original_version", "leave it out: the ledger itself quarantines facts that it can read")
        outcome = _apply(state, event, version, written.given, context)
        size = len(outcome.derived) + len(outcome.given) + _AROUND
        if size > PAYLOAD_LIMIT_BYTES:
            raise _too_large(size, outcome)
        return outcome
    except DuplicateFact as duplicate:
        state.rollback(mark)
        if alone or event.KIND != "fact":
            raise
        return _quarantine(state, event, written, context, Broken("duplicate_fact", str(duplicate)))
    except Unbalanced as error:
        state.rollback(mark)
        if event.KIND == "fact":
            raise AssertionError(f"the rule of {name} made postings that do not balance: {error}") from error
        raise Unbalanced(f"{named(event)} refused (postings): {error}") from None
    except Broken as broken:
        state.rollback(mark)
        if state.loader is not None and not state.certain:
            return _record_certainly(state, event, context, written, alone=alone)
        if alone and broken.earlier is not None and _is_told_again(state, event, broken.earlier):
            raise DuplicateFact(broken.earlier) from None
        if event.KIND != "fact" or isinstance(event, FactQuarantined):
            raise broken.error(f"{named(event)} refused ({broken.rule}): {broken.detail}") from None
        return _quarantine(state, event, written, context, broken)
    except BaseException:
        state.rollback(mark)
        raise


def _too_large(size: int, outcome: Outcome) -> Broken:
    given, derived = len(outcome.given), len(outcome.derived)
    # What follows is a line for each account and order: no other words of the caller would make it shorter.
    way_out = "give less in it" if given > derived else "have it concern fewer accounts and orders"
    return Broken(
        "too_large",
        f"found a payload of {size} bytes, {given} as given and {derived} of what follows from it; expected at most "
        f"{PAYLOAD_LIMIT_BYTES}: {way_out}",
        TooLarge,
    )


def _is_told_again(state: State, event: Event, seq: int) -> bool:
    """
    Return whether *event* is what is recorded at *seq*, in the bytes of an older version.

    Only the writer can read what is recorded. Nothing of such a fact is stored where it stands alone, so that no other
    fold has to come to the same; in a group it is quarantined, as what it looks like there.
    """
    return event.SCHEMA_VERSION > 1 and state.recorded is not None and state.recorded(seq) == event


def _record_certainly(state: State, event: Event, context: Context, written: Written, *, alone: bool) -> Outcome:
    """Record with every key looked up in the store: what looks broken may be a duplicate that memory has forgotten."""
    before, state.certain = state.certain, True
    try:
        return record(state, event, context, written, alone=alone)
    finally:
        state.certain = before


def _quarantine(state: State, event: Event, written: Written, context: Context, broken: Broken) -> Outcome:
    detail = broken.detail if len(broken.detail) <= _DETAIL_LIMIT else broken.detail[: _DETAIL_LIMIT - 1] + "…"
    kept = FactQuarantined(
        original_type=type(event).__name__,
        original_version=written.version,
        original=written.given.decode(),
        rule=broken.rule,
        detail=detail,
    )
    version, given = kept.SCHEMA_VERSION, registry.encode_given(kept)
    # The same reason stands as it was said then: in other words, which people read and nothing follows from.
    if written.kept is not None and msgspec.structs.replace(kept, detail=written.kept[0].detail) == written.kept[0]:
        kept, version, given = written.kept
    if version > 1 or kept.SCHEMA_VERSION > 1:
        _check_version(state, kept, version)
    outcome = _apply(state, kept, version, given, context)
    return msgspec.structs.replace(outcome, rule=broken.rule, detail=detail)


def original_of(event: Event) -> Event:
    """
    Return what the caller gave: the fact itself where the ledger quarantined it, else the event.
    """
    if isinstance(event, FactQuarantined) and event.original_version is not None:
        return registry.decode_given(event.original_type, event.original_version, event.original)
    return event


def asked(event_type: str, schema_version: int, given: bytes) -> tuple[Event, Written]:
    """
    Return what the caller gave, in the newest version, and how it was written then.

    Raises:
        UnknownFormat: a newer program wrote it.
        InvalidEvent: it is no event.
    """
    return _asked(registry.decode_given(event_type, schema_version, given), schema_version, given)


def _asked(event: Event, schema_version: int, given: bytes) -> tuple[Event, Written]:
    if isinstance(event, FactQuarantined) and event.original_version is not None:
        kept = (event, schema_version, given)
        return original_of(event), Written(event.original_version, event.original.encode(), kept)
    return event, Written(schema_version, given)


def replay(
    state: State,
    event_type: str,
    schema_version: int,
    given: bytes,
    derived: bytes,
    stored: tuple[str, int, int],
    context: Context,
) -> list[Mismatch]:
    """
    Apply a stored event, and return every column in which it is not what the rules make of it.

    *stored* is (stream, stream version, effective on in days since 1970-01-01). An event that cannot be applied at all
    leaves the state as it was.

    Raises:
        UnknownFormat: a newer program wrote it; nothing is said about it or what follows.
    """
    if event_type not in registry.EVENT_TYPES:
        raise UnknownFormat(
            f"found event type {event_type[:80]!r}, which this program does not know: use the release that wrote it, "
            "or a newer one"
        )
    try:
        found = registry.read(event_type, schema_version, given)
        if isinstance(found, SchemaRegistered) and registry.kind_of(found.event_type, found.version) is None:
            schemas.check_registered(found.event_type, found.version, found.schema_hash, context.seq)
        if registry.encode_given(found) != given:
            return [Mismatch("payload", "canonical bytes", "other bytes of the same event")]
        event, written = _asked(registry.upcast(event_type, schema_version, found), schema_version, given)
        if event_type == FactQuarantined.__name__:
            # What was quarantined may have clashed with something that memory has forgotten, or stood in a group.
            outcome = _record_certainly(state, event, context, written, alone=False)
        else:
            outcome = record(state, event, context, written)
    except UnknownFormat:
        raise
    except (DuplicateFact, LedgerError) as error:
        if isinstance(error, InvalidEvent):
            return [Mismatch("payload", f"a {event_type}", str(error))]
        return [Mismatch("payload", "an event that keeps the rules", str(error))]
    compared = (
        ("event_type", outcome.event_type, event_type),
        ("payload", outcome.given, given),
        ("payload", outcome.derived, derived),
        ("stream", outcome.stream, stored[0]),
        ("stream_version", outcome.stream_version, stored[1]),
        ("effective_on", outcome.effective_on, stored[2]),
    )
    return [Mismatch(column, _text(made), _text(kept)) for column, made, kept in compared if made != kept]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def stream_version(state: State, stream: str) -> int:
    """
    Return the version a stream is at; 0 where nothing happened in it yet.
    """
    kind, _, name = stream.partition("/")
    tables: dict[str, Table[Any]] = {
        "order": state.orders, "account": state.accounts, "asset": state.assets, "instrument": state.instruments,
        "calendar": state.calendars, "hold": state.holds,
        "corporate-action": state.corporate_actions, "incident": state.incidents, "allocation": state.allocations,
    }  # fmt: skip
    if kind == "journal":
        return int(state.movements.get("journal", name) is not None)
    if kind == "period":
        return len(state.closed_periods.rows)
    row = tables[kind].get(name) if kind in tables else state.streams.get(stream)
    return 0 if row is None else int(row.version)
