"""
Check the bytes that travel between regions: what goes in comes out, and a changed bit never passes.
"""

from __future__ import annotations

import random

import msgspec
import pytest

from ledger.chain import acknowledgement
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair
from ledger.errors import Corrupt, SequenceGap
from replicator import segment
from replicator.lag import Lag
from tests.storage.test_storage import CHAIN_ID, linked

KEY = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
OTHER = KeyPair("publisher", "rogue", bytes(31) + b"\x02")


def made(count: int = 5) -> segment.Segment:
    events = linked(count)
    (found,) = segment.cut(events, {count: (b"d" * 32, 77)}, KEY.key_id, 1)
    return found


def test_a_segment_comes_out_as_it_went_in() -> None:
    """Events with negative times, ids and non-ASCII text; and the digest of the commit it ends."""
    one = made()
    value = segment.encode(one, KEY)
    assert segment.peek(value) == (CHAIN_ID, KEY.key_id, 1, 5)
    assert segment.decode(value, KEY.public_key) == one
    assert one.ends_commit


def test_no_changed_byte_and_no_other_key_passes() -> None:
    """Every byte flipped, every prefix, and another's signature are refused as corrupt."""
    value = segment.encode(made(2), KEY)
    for place in range(len(value)):
        with pytest.raises(Corrupt):
            segment.decode(value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :], KEY.public_key)
        with pytest.raises(Corrupt):
            segment.decode(value[:place], KEY.public_key)
    with pytest.raises(Corrupt):
        segment.decode(segment.encode(made(2), OTHER), KEY.public_key)


def test_an_acknowledgement_is_its_replicas_alone() -> None:
    """It reads back; a changed byte or another key does not."""
    key = KeyPair("replica", "region-b", bytes(31) + b"\x03")
    said = acknowledgement.Acknowledgement(CHAIN_ID, 1, 7, b"h" * 32, b"d" * 32, 9, key.key_id)
    value = acknowledgement.encode(said, key)
    assert acknowledgement.decode(value, key.public_key) == said
    for place in range(len(value)):
        with pytest.raises(Corrupt):
            acknowledgement.decode(value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :], key.public_key)


def sized(events: list[RecordedEvent], size: int, group: int) -> list[RecordedEvent]:
    return [
        msgspec.structs.replace(event, payload=b"x" * size, group_index=n % group, group_size=group)
        for n, event in enumerate(events)
    ]


def test_segments_hold_whole_commits_or_parts_that_end_a_group() -> None:
    """Whatever the sizes, nothing is lost or reordered, and each piece ends a commit or a group."""
    rng = random.Random(7)
    for _ in range(30):
        group = rng.choice([1, 2, 5])
        count = group * rng.randrange(2, 24)
        events = sized(linked(count), rng.choice([10, 60_000, 200_000]), group)
        ends = {seq: (b"d" * 32, seq) for seq in range(group, count + 1, group) if rng.random() < 0.4} | {
            count: (b"e" * 32, 1)
        }
        pieces = list(segment.cut(events, ends, KEY.key_id, 1))
        assert [event for piece in pieces for event in piece.events] == events
        for piece in pieces:
            last = piece.events[-1]
            assert piece.ends_commit == (last.seq in ends)
            assert last.group_index == group - 1
            size = sum(len(event.payload) + 512 for event in piece.events)
            assert size < 2 * segment.TARGET_BYTES + group * 201_000
    for missing in (0, 1, count // 2):
        with pytest.raises(SequenceGap):
            list(segment.cut(events[:missing] + events[missing + 1 :], ends, KEY.key_id, 1))


def test_a_large_commit_is_cut_alike_whatever_precedes_and_follows_it() -> None:
    """Published again from its start, its parts are those of the first time, so that a lost one is replaced."""
    events = sized(linked(40), 60_000, 1)
    ends = {seq: (b"d" * 32, seq) for seq in (2, 5, 30, 38, 40)}
    cuts = [
        [(piece.first_seq, piece.last_seq) for piece in segment.cut(events[after:stop], ends, KEY.key_id, after + 1)]
        for after, stop in ((0, 40), (2, 38), (5, 30))
    ]
    parts = [piece for piece in cuts[2] if piece[1] <= 30]
    assert len(parts) > 1
    assert all(set(parts) <= set(found) for found in cuts)


def test_the_age_is_that_of_the_oldest_commit_nobody_acknowledged() -> None:
    """It grows until the word comes, is remembered, and is zero when nothing waits."""
    lag = Lag()
    assert lag.seconds(10**10) == 0
    lag.committed(5, 0, 1 * 10**9)
    lag.committed(9, 0, 3 * 10**9)
    assert lag.seconds(4 * 10**9) == 3
    lag.acknowledge(5, 6 * 10**9)
    assert lag.seconds(6 * 10**9) == 3
    lag.acknowledge(9, 7 * 10**9)
    assert (lag.seconds(99 * 10**9), lag.max_seconds) == (0, 5)
