"""
Map (event type, schema version) to the struct that reads it, and events to their canonical bytes.

The bytes are RFC 8785 canonical JSON: sorted ASCII keys, no floats, amounts as text. Stored bytes are never
rewritten: an old version is read by its own struct and brought up to date by pure upcasters, and a version newer
than this program is an error, never a guess.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ledger.domain.events import cash, control, corporate_actions, executions, operations, orders, reference, settlement
from ledger.domain.events.fields import Event
from ledger.errors import InvalidEvent, UnknownFormat, closest, shortened
from ledger.values import Value

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    kind.__name__: kind
    for family in (reference, orders, executions, settlement, cash, corporate_actions, control, operations)
    for kind in vars(family).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event and kind.__module__ == family.__name__
}
"""Every event type of this version, by name."""


class Past(Value, frozen=True):
    """
    How an old version of an event type is read: the struct that it was, and the pure step to the next version's.
    """

    kind: type[Event]
    upcast: Callable[[Any], Event]


PAST: Final[dict[tuple[str, int], Past]] = {}
"""By (event type, schema version), the last version that fields of the past held for. No type has changed yet."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_UNKNOWN_FIELD: Final = re.compile("Object contains unknown field `(.*)`", re.DOTALL)
"""What the decoder says of a field of the event itself; of one in a part of it, it says besides where."""


def type_name(event: Event) -> str:
    """
    Return the name under which *event* is recorded.

    Raises:
        InvalidEvent: its class is not a registered event type.
    """
    name = type(event).__name__
    if EVENT_TYPES.get(name) is not type(event):
        raise InvalidEvent(f"found a {name}, which is no event type; known are {', '.join(sorted(EVENT_TYPES))}")
    return name


def kind_of(event_type: str, schema_version: int) -> type[Event] | None:
    """
    Return the struct of an event type in one version, None where this program has none.
    """
    kind = EVENT_TYPES.get(event_type)
    if kind is None or schema_version == kind.SCHEMA_VERSION:
        return kind
    if not 1 <= schema_version < kind.SCHEMA_VERSION:
        return None
    # A version may have the fields of the next one, and another rule.
    later = (PAST.get((event_type, version)) for version in range(schema_version, kind.SCHEMA_VERSION))
    return next((past.kind for past in later if past is not None), kind)


def newest(event_type: str) -> str:
    """
    Return which versions of an event type this program knows, in words.
    """
    kind = EVENT_TYPES.get(event_type)
    return "no such type" if kind is None else f"up to {kind.SCHEMA_VERSION}"


def encode_given(event: Event) -> bytes:
    """
    Return the canonical JSON of what the caller gave.
    """
    return _ENCODER.encode(event)


def encode_derived(derived: dict[str, Any]) -> bytes:
    """
    Return the canonical JSON of what the rules made of an event.
    """
    return _ENCODER.encode(derived)


@functools.cache
def _decoder(kind: type[Event]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def read(event_type: str, schema_version: int, given: bytes | str) -> Event:
    """
    Return the event that was written under this type and version, as the struct of that version.

    Raises:
        UnknownFormat: a version newer than this program knows, or one that it has no reader for.
        InvalidEvent: an unknown type, or bytes that are not an event of it.
    """
    if event_type not in EVENT_TYPES:
        near = closest(event_type, EVENT_TYPES)
        there = "list them with: tradeledger event-types" if near else f"known are {', '.join(sorted(EVENT_TYPES))}"
        raise InvalidEvent(f"found event type {event_type[:80]!r}{near}; {there}")
    kind = kind_of(event_type, schema_version)
    if kind is None:
        wanted = "expected 1 or more, as no release wrote another"
        if schema_version >= 1:
            wanted = f"this program knows {newest(event_type)}: use the release that wrote it, or a newer one"
        raise UnknownFormat(f"found {event_type} of schema version {schema_version}; {wanted}")
    try:
        event: Event = _decoder(kind).decode(given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"these bytes are no {event_type}: {shortened(str(error))}"
        if isinstance(error, msgspec.ValidationError):
            unknown = _UNKNOWN_FIELD.fullmatch(str(error))
            near = closest(unknown[1], kind.__struct_fields__) if unknown else ""
            what += f"{near}; see what it takes with: tradeledger event-types --schema"
        raise InvalidEvent(what) from error
    return event


def upcast(event_type: str, schema_version: int, event: Event) -> Event:
    """
    Return *event*, read under *schema_version*, as the newest version of its type.
    """
    for version in range(schema_version, EVENT_TYPES[event_type].SCHEMA_VERSION):
        past = PAST.get((event_type, version))
        if past is not None:
            event = past.upcast(event)
    return event


def decode_given(event_type: str, schema_version: int, given: bytes | str) -> Event:
    """
    Return the event that was written under this type and version, as the newest version of its type.

    Raises:
        UnknownFormat: a version newer than this program knows.
        InvalidEvent: an unknown type, or bytes that are not an event of it.
    """
    return upcast(event_type, schema_version, read(event_type, schema_version, given))
