"""
Check what a replica does with a signed segment, for every way in which it can meet what is there already.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.chain.link import ChainHead
from ledger.errors import Divergence
from replicator import segment
from replicator.judgement import Verdict, judge
from tests.storage.test_storage import linked

EVENTS = linked(9)


def cut(first: int, last: int) -> segment.Segment:
    (made,) = segment.cut(EVENTS[first - 1 : last], {last: (b"d" * 32, 1)}, "00" * 8, first)
    return made


def hash_at(seq: int) -> bytes | None:
    """Answer for a replica that applied three events."""
    return EVENTS[seq - 1].hash if seq <= 3 else None


HELD = {event.seq: event for event in EVENTS[3:6]}
HEAD = ChainHead(6, EVENTS[5].hash)


@pytest.mark.parametrize(("first", "last", "verdict"), [
    (7, 9, Verdict.APPLY), (8, 9, Verdict.WAIT), (1, 3, Verdict.SKIP), (2, 5, Verdict.SKIP), (4, 6, Verdict.SKIP),
    (5, 9, Verdict.APPLY), (1, 9, Verdict.APPLY),
])  # fmt: skip
def test_a_true_segment_follows_repeats_overlaps_or_waits(first: int, last: int, verdict: Verdict) -> None:
    """Three events are applied and three wait for the end of their commit."""
    assert judge(cut(first, last), HEAD, 1, HELD, hash_at) is verdict


@pytest.mark.parametrize("seq", [3, 4, 5, 6])
def test_any_other_event_in_an_overlap_is_a_fork(seq: int) -> None:
    """The newest of those applied stands for them by the chain; those that wait are held against it one by one."""
    events = [msgspec.structs.replace(event, hash=b"f" * 32) if event.seq == seq else event for event in EVENTS]
    false = msgspec.structs.replace(cut(1, 9), events=tuple(events))
    with pytest.raises(Divergence, match=f"event {seq} is .* a fork"):
        judge(false, HEAD, 1, HELD, hash_at)
