"""
Check the edges of the chain's bytes: exactly at a limit is good, one past it is refused, and tampering is corruption.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.chain import event_id
from ledger.chain.entry import (
    ENTRY_LIMIT_BYTES,
    PAYLOAD_LIMIT_BYTES,
    decode,
    encode,
    payload_hash,
    request_hash,
    split_payload,
)
from ledger.chain.link import ChainHead, genesis
from ledger.errors import HashMismatch, InvalidEvent, TooLarge, UnknownFormat
from tests.chain.test_chain import event


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": "x" * 70_000}, {"actor": "a\0b"}, {"source": "\ud800"}, {"salt": bytes(15)}, {"epoch": -1},
        {"group_index": 1, "group_size": 1}, {"payload": bytes(PAYLOAD_LIMIT_BYTES + 1)},
    ],
)  # fmt: skip
def test_a_stored_event_that_could_not_have_been_written_is_corrupt(changes: dict[str, object]) -> None:
    """A reader must stop and keep the evidence, not tell its caller to change a request."""
    first = event()
    start = ChainHead(0, first.prev_hash)
    good = msgspec.structs.replace(first, hash=start.extend(first).hash)
    assert start.check(good).seq == 1
    with pytest.raises(HashMismatch):
        start.check(msgspec.structs.replace(good, **changes))


def test_limits_are_inclusive() -> None:
    """A payload and an entry of exactly the limit pass; one byte more does not."""
    encode(event(payload=bytes(PAYLOAD_LIMIT_BYTES)))
    with pytest.raises(TooLarge):
        encode(event(payload=bytes(PAYLOAD_LIMIT_BYTES + 1)))
    room = ENTRY_LIMIT_BYTES - len(encode(event(actor="")))
    assert len(encode(event(actor="x" * room))) == ENTRY_LIMIT_BYTES
    with pytest.raises(TooLarge):
        encode(event(actor="x" * (room + 1)))


@pytest.mark.parametrize(
    "changes",
    [{"seq": 2**63}, {"stream_version": 2**63}, {"group_index": 3, "group_size": 3}, {"schema_version": 65536}],
)
def test_what_the_table_could_not_store_is_refused(changes: dict[str, object]) -> None:
    """Counts past a bigint, a place outside its group, a version past 16 bits."""
    encode(event(seq=2**63 - 1))
    with pytest.raises(InvalidEvent):
        encode(event(**changes))


def test_widths_and_types_are_checked() -> None:
    """Ids of another width, an origin that cannot be stored, text where bytes belong."""
    for width in (15, 17):
        with pytest.raises(InvalidEvent):
            payload_hash(bytes(width), b"")
        with pytest.raises(InvalidEvent):
            request_hash(bytes(width), [])
        with pytest.raises(InvalidEvent):
            genesis(bytes(width), "a")
    for origin in ("", "a\0", "\ud800"):
        with pytest.raises(InvalidEvent):
            genesis(bytes(16), origin)
    with pytest.raises(InvalidEvent):
        request_hash(bytes(16), [("OrderPlaced", 1, 0, "{}")])  # type: ignore[list-item]


def test_an_event_id_carries_less_than_a_millisecond_of_nanoseconds() -> None:
    """999,999 ns read back, and an id that claims 1,000,000 is none."""
    good = event_id.make(999_999, bytes(7))
    assert event_id.recorded_at(good) == 999_999
    number = int.from_bytes(good, "big")
    nanoseconds = 1_000_000
    forged = number & ~(0xFFF << 64) & ~(0xFF << 54) | (nanoseconds >> 8) << 64 | (nanoseconds & 0xFF) << 54
    with pytest.raises(InvalidEvent):
        event_id.recorded_at(forged.to_bytes(16, "big"))


def test_an_entry_reads_back_as_the_event_it_was_made_of() -> None:
    """Every field, and a cut entry is an unknown format."""
    first = event(actor="ä", occurred_at=-5, effective_on=-3, group_index=1, group_size=3)
    entry = encode(first)
    assert decode(entry, first.hash, first.salt, first.payload) == first
    for length in range(0, len(entry) - 68, 7):
        with pytest.raises(UnknownFormat):
            decode(entry[:length], first.hash, first.salt, first.payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"given":{},"derived":{}}',
        b'{"derived": {},"given":{}}',
        b'{"derived":{},"given":{},"x":1}',
        b"\xff",
    ],
)
def test_a_payload_is_its_two_members_and_nothing_else(payload: bytes) -> None:
    """Another order, spacing, or member is refused; the good one comes apart as it stands."""
    assert split_payload(b'{"derived":{"a":1},"given":{"b":"\\u00e9"}}') == (b'{"a":1}', b'{"b":"\\u00e9"}')
    with pytest.raises(UnknownFormat):
        split_payload(payload)
