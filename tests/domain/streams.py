"""
Hold the stream that an event went to against the one that its type is said to go to.
"""

from __future__ import annotations

import re

from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.fields import Event
from ledger.domain.fold import Outcome
from ledger.domain.stream_names import STREAMS


def check_stream(event: Event, outcome: Outcome) -> None:
    """
    Assert that the stream is the first of those said that *event* has the ids of; any of them where it refers to a fact
    that has them.
    """
    said = STREAMS[outcome.event_type]
    if outcome.event_type == MarkRecorded.__name__ and getattr(event, "instrument", None) is not None:
        # It goes by the name that its instrument has by now.
        assert re.fullmatch("mark/[^/]+", outcome.stream), outcome.stream
        return
    if outcome.event_type == type(event).__name__ and len(said) > 1:
        said = tuple(stream for stream in said if None not in _ids(event, stream).values())
        said = said if "" in _ids(event, said[0]).values() else said[:1]
    assert any(re.fullmatch(_pattern(event, stream), outcome.stream) for stream in said), (event, outcome.stream)


def _ids(event: Event, stream: str) -> dict[str, str | None]:
    """Return the ids in the name of *stream*, empty where a fact has them that the event refers to."""
    return {name: getattr(event, name, "") for name in re.findall("<([a-z_]+)>", stream)}


def _pattern(event: Event, stream: str) -> str:
    for name, value in _ids(event, stream).items():
        stream = stream.replace(f"<{name}>", re.escape(value) if value else "[^/]+")
    return stream
