"""
Map (event type, schema version) to the struct that reads it, and events to their canonical bytes.

The bytes are RFC 8785 canonical JSON: sorted ASCII keys, no floats, amounts as text. Stored bytes are never
rewritten: an old version is read by its own struct and brought up to date by pure upcasters, and a version newer
than this program is an error, never a guess.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain.events import cash, control, corporate_actions, executions, operations, orders, reference
from ledger.domain.events.fields import Event
from ledger.errors import InvalidEvent, UnknownFormat

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    kind.__name__: kind
    for family in (reference, orders, executions, cash, corporate_actions, control, operations)
    for kind in vars(family).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event and kind.__module__ == family.__name__
}
"""Every event type of this version, by name."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in EVENT_TYPES.items()
}


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


def decode_given(event_type: str, schema_version: int, given: bytes | str) -> Event:
    """
    Return the event that `encode_given` wrote under this type and version.

    Raises:
        UnknownFormat: a version newer than this program knows.
        InvalidEvent: an unknown type, or bytes that are not an event of it.
    """
    kind = EVENT_TYPES.get(event_type)
    if kind is None:
        raise InvalidEvent(f"found event type {event_type[:80]!r}; known are {', '.join(sorted(EVENT_TYPES))}")
    if schema_version != kind.SCHEMA_VERSION:
        raise UnknownFormat(
            f"found {event_type} of schema version {schema_version}; this program knows up to "
            f"{kind.SCHEMA_VERSION}: use the release that wrote it, or a newer one"
        )
    try:
        event: Event = _DECODERS[event_type].decode(given)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"these bytes are no {event_type}: {error}") from error
    return event
