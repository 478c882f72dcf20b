"""
Say what a caller asks for: a group of events that commit together or not at all, under one idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ledger.chain.entry import NO_ID
from ledger.domain.events.fields import Event
from ledger.errors import InvalidEvent, TooLarge

KEY_LIMIT_BYTES: Final = 200
GROUP_LIMIT_EVENTS: Final = 10_000
GROUP_LIMIT_BYTES: Final = 1024 * 1024
"""A topic record must be able to carry a group; counted over its payloads."""


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
                raise InvalidEvent(f"found {event!r} in a group; expected events of ledger.domain.events")
        for name, text in (("key", self.key), ("actor", self.actor)):
            if not isinstance(text, str) or not 0 < len(text) <= KEY_LIMIT_BYTES or not text.isascii():
                raise InvalidEvent(f"found {name} {text!r:.80}; expected 1 to {KEY_LIMIT_BYTES} ASCII characters")
            if not text.isprintable():
                raise InvalidEvent(f"found {name} {text!r:.80}; expected printable ASCII")
        for name, value in (("correlation_id", self.correlation_id), ("causation_id", self.causation_id)):
            if not isinstance(value, bytes) or len(value) != 16:
                raise InvalidEvent(f"found {name} {value!r:.80}; expected 16 bytes")
        if self.occurred_at is not None and not -(2**63) <= self.occurred_at < 2**63:
            raise InvalidEvent(f"found occurred_at {self.occurred_at}; expected nanoseconds since 1970 in 64 bits")
        kinds = {event.KIND for event in self.events}
        if len(self.events) > 1 and "fact" in kinds and "command" in kinds:
            raise InvalidEvent("found facts and commands in one group; facts stand in groups of their own")
