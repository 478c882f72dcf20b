"""
Say what a caller asks for: a group of events that commit together or not at all, under one idempotency key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from ledger.chain.entry import NO_ID
from ledger.domain.events.fields import NAME_LIMIT_BYTES, Event
from ledger.errors import InvalidEvent, TooLarge, shown

KEY_LIMIT_BYTES: Final = 200
GROUP_LIMIT_EVENTS: Final = 10_000
GROUP_LIMIT_BYTES: Final = 1024 * 1024
"""A topic record must be able to carry a group; counted over its payloads."""
_NAME: Final = re.compile(rf"[ -~]{{1,{KEY_LIMIT_BYTES}}}", re.ASCII)
_STREAM: Final = re.compile(rf"[ -~]{{1,{NAME_LIMIT_BYTES}}}", re.ASCII)


class Group(msgspec.Struct, frozen=True, gc=False):
    """
    One request.

    `occurred_at` is ns since 1970; left out, it is the time of recording. `expected` names stream versions that
    must hold just before. `actor` is who asks, as the source asserts it. Ids are 16 bytes, zeros for none.
    """

    events: tuple[Event, ...]
    key: str
    actor: str = "engine"
    occurred_at: int | None = None
    expected: Mapping[str, int] = {}
    correlation_id: bytes = NO_ID
    causation_id: bytes = NO_ID

    def has_key(self) -> bool:
        """
        Return whether what was given as the key can be one.
        """
        return type(self.key) is str and bool(_NAME.fullmatch(self.key))

    def check(self) -> None:
        """
        Raise InvalidEvent or TooLarge unless the request is well-formed.
        """
        if not self.events:
            raise InvalidEvent("found a group without events; give one or more")
        if len(self.events) > GROUP_LIMIT_EVENTS:
            raise TooLarge(f"found a group of {len(self.events)} events; at most {GROUP_LIMIT_EVENTS}")
        for event in self.events:
            if not isinstance(event, Event):
                raise InvalidEvent(f"found {shown(event)} in a group; expected events of ledger.domain.events")
        check_name("key", self.key)
        check_name("actor", self.actor)
        if self.correlation_id is not NO_ID or self.causation_id is not NO_ID:
            for name, value in (("correlation_id", self.correlation_id), ("causation_id", self.causation_id)):
                if not isinstance(value, bytes) or len(value) != 16:
                    raise InvalidEvent(f"found {name} {shown(value)}; expected 16 bytes")
        if self.occurred_at is not None and (
            type(self.occurred_at) is not int or not -(2**63) <= self.occurred_at < 2**63
        ):
            raise InvalidEvent(
                f"found occurred_at {shown(self.occurred_at)}; expected nanoseconds since 1970 in 64 bits"
            )
        if not isinstance(self.expected, Mapping):
            raise InvalidEvent(f"found expected {shown(self.expected)}; expected names of streams, with versions")
        for stream, version in self.expected.items():
            if type(stream) is not str or not _STREAM.fullmatch(stream):
                raise InvalidEvent(
                    f"found {shown(stream)} in expected; expected names of streams, such as order/O-17, with versions"
                )
            if type(version) is not int or not 0 <= version < 2**63:
                raise InvalidEvent(
                    f"found version {shown(version)} of stream {shown(stream)} in expected; expected a whole number "
                    "from 0, which says that nothing happened in it yet"
                )
        if len(self.events) > 1:
            kinds = {event.KIND for event in self.events}
            if "fact" in kinds and len(kinds) > 1:
                # What may be refused would take the facts with it.
                raise InvalidEvent("found facts beside other events in one group; facts stand in groups of their own")


def check_name(what: str, text: object) -> None:
    """
    Raise InvalidEvent unless *text* can be a key or an actor.
    """
    if type(text) is not str or not _NAME.fullmatch(text):
        raise InvalidEvent(f"found {what} {shown(text)}; expected 1 to {KEY_LIMIT_BYTES} printable ASCII characters")
