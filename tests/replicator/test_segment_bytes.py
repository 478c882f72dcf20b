"""
Check that a segment has one form, that its header is of its events, and that no body fills the memory.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.entry import ENTRY_LIMIT_BYTES, PAYLOAD_LIMIT_BYTES, RecordedEvent
from ledger.chain.link import ChainHead
from ledger.chain.signatures import KeyPair
from ledger.errors import Corrupt, InvalidInput, UnknownFormat
from ledger.journal.group import GROUP_LIMIT_BYTES, GROUP_LIMIT_EVENTS, KEY_LIMIT_BYTES
from replicator import segment
from tests.chain.test_chain import event
from tests.chain.test_vectors import event as pinned
from tests.chain.test_vectors import vectors
from tests.replicator.test_segment import KEY, made

HEADER_BYTES = 16 + 16 + 4 + 8 + 8 + 32 + 32 + 1 + 32 + 8 + 8 + 32
ENDS_COMMIT = 116
"""The place of that byte in the header."""
ONE = segment.encode(made(2), KEY)
BODY = ONE[HEADER_BYTES + 64 :]
CONTENT = zstandard.ZstdDecompressor().decompress(BODY)


def signed(body: bytes, change: Callable[[bytes], bytes] = lambda header: header) -> bytes:
    """Return the segment of made(2) with another body, or another header, that the publisher signed none the less."""
    header = change(ONE[: HEADER_BYTES - 32]) + blake3(body).digest()
    return header + KEY.sign(segment.DOMAIN, header) + body


def packed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(content)


def test_the_signed_segment_of_these_tests_is_a_good_one() -> None:
    """What the other tests change is refused for the change alone."""
    assert segment.decode(signed(packed(CONTENT)), KEY.public_key) == made(2)


def without_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=False).compress(content)


def windowed(content: bytes) -> bytes:
    """Return a good frame that asks for a window of 64 MiB to unpack a few hundred bytes."""
    header = b"\x28\xb5\x2f\xfd\x40\x80" + struct.pack("<H", len(content) - 256)
    return header + (len(content) << 3 | 1).to_bytes(3, "little") + content


def claimed(size: int) -> bytes:
    """Return a frame that claims to hold *size* bytes and holds none."""
    return b"\x28\xb5\x2f\xfd" + bytes([0b1110_0000]) + struct.pack("<Q", size) + b"\x01\x00\x00"


@pytest.mark.parametrize(
    "body",
    [
        packed(bytes(256 * 1024 * 1024)), without_size(bytes(256 * 1024 * 1024)), claimed(1 << 40),
        claimed((1 << 63) - 1),
        b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00", windowed(CONTENT),
    ],
    ids=["of 256 MiB", "of 256 MiB untold", "a claim of 1 TiB", "a claim of 8 EiB", "2 GiB wide", "64 MiB wide"],
)  # fmt: skip
def test_a_body_that_would_fill_the_memory_is_refused(body: bytes) -> None:
    """Before it is unpacked, or where the limit is passed; a signature does not help it."""
    value = signed(body)
    tracemalloc.start()
    try:
        with pytest.raises(UnknownFormat):
            segment.decode(value, KEY.public_key)
        assert tracemalloc.get_traced_memory()[1] < 2 * segment.BODY_LIMIT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"", packed(b""), BODY + b"\0", BODY + BODY, BODY[:-1], b"no zstd", packed(CONTENT[:-1]), packed(CONTENT[:5]),
        packed(CONTENT + b"\0"), packed(CONTENT + CONTENT), packed(struct.pack(">HI", 0xFFFF, 0xFFFFFFFF) + CONTENT),
        without_size(CONTENT)[:-4],
    ],
)  # fmt: skip
def test_a_body_is_one_frame_of_whole_events(body: bytes) -> None:
    """Nothing after the frame, no second frame, no event cut short, no event twice."""
    with pytest.raises(UnknownFormat):
        segment.decode(signed(body), KEY.public_key)


def field(place: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda header: header[:place] + value + header[place + len(value) :]


@pytest.mark.parametrize(
    "change",
    [
        field(16, bytes(16)), field(32, struct.pack(">I", 2)), field(36, struct.pack(">Q", 2)),
        field(44, struct.pack(">Q", 3)), field(52, bytes(32)), field(84, bytes(32)), field(ENDS_COMMIT, b"\x02"),
        field(ENDS_COMMIT, b"\0"), field(ENDS_COMMIT, bytes(33)), field(ENDS_COMMIT + 1 + 32 + 8, bytes(8)),
    ],
    ids=[
        "chain_id", "epoch", "first seq", "last seq", "prev_hash", "hash", "end 2", "no end with digest",
        "no end with time", "key id",
    ],
)  # fmt: skip
def test_a_header_says_what_its_events_say(change: Callable[[bytes], bytes]) -> None:
    """Ids, epoch, seqs and hashes are those of the first and last event; no end has no digest; the key is the one."""
    with pytest.raises(Corrupt):
        segment.decode(signed(packed(CONTENT), change), KEY.public_key)


def test_every_event_is_of_the_segments_chain() -> None:
    """Not the first alone."""
    first, second = made(2).events
    content = zstandard.ZstdDecompressor().decompress(
        segment.encode(
            msgspec.structs.replace(made(2), events=(first, msgspec.structs.replace(second, chain_id=bytes(16)))), KEY
        )[HEADER_BYTES + 64 :]
    )
    with pytest.raises(UnknownFormat):
        segment.decode(signed(packed(content)), KEY.public_key)


def test_a_part_of_a_commit_says_nothing_of_its_end() -> None:
    """No digest and no time, so that there is one way to write it."""
    (part,) = segment.cut(made(3).events, {}, KEY.key_id, 1)
    assert (part.ends_commit, part.state_digest, part.committed_at) == (False, bytes(32), 0)
    assert segment.decode(segment.encode(part, KEY), KEY.public_key) == part


def test_another_magic_is_no_segment_at_a_first_look() -> None:
    """However good the rest of it is."""
    assert segment.peek(ONE)[2:] == (1, 2)
    for place in range(16):
        with pytest.raises(UnknownFormat):
            segment.peek(ONE[:place] + bytes([ONE[place] ^ 1]) + ONE[place + 1 :])


@pytest.mark.parametrize(
    "changes", [{"chain_id": bytes(15)}, {"prev_hash": bytes(33)}, {"head_hash": b""}, {"state_digest": bytes(31)},
                {"epoch": -1}, {"committed_at": 2**63}],
)  # fmt: skip
def test_a_field_of_a_segment_is_never_cut_or_padded(changes: dict[str, object]) -> None:
    """What does not fit is refused before it is signed."""
    with pytest.raises(InvalidInput):
        segment.encode(msgspec.structs.replace(made(2), **changes), KEY)


@given(st.data())
def test_a_mutated_content_is_read_as_it_stands_or_refused(data: st.DataObject) -> None:
    """Signed by the publisher, so that nothing but the reader stands before it."""
    place = data.draw(st.integers(0, len(CONTENT)))
    content = CONTENT[:place] + data.draw(st.binary(max_size=5)) + CONTENT[place + data.draw(st.integers(0, 5)) :]
    try:
        found = segment.decode(signed(packed(content)), KEY.public_key)
    except Corrupt:
        assert content != CONTENT
    else:
        again = segment.encode(found, KEY)
        assert zstandard.ZstdDecompressor().decompress(again[HEADER_BYTES + 64 :]) == content


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_no_segment(noise: bytes, with_magic: bool) -> None:
    """Only a named error comes of them, in the look ahead as well."""
    value = (segment.MAGIC if with_magic else b"") + noise
    with pytest.raises(Corrupt):
        segment.decode(value, KEY.public_key)
    if len(value) < HEADER_BYTES + 64:
        with pytest.raises(UnknownFormat):
            segment.peek(value)


def run(count: int, **fields: object) -> list[RecordedEvent]:
    head, events = ChainHead(0, event().prev_hash), []
    for seq in range(1, count + 1):
        one = event(seq=seq, stream_version=seq, prev_hash=head.hash, group_index=seq - 1, group_size=count, **fields)
        head = head.extend(one)
        events.append(msgspec.structs.replace(one, hash=head.hash))
    return events


def test_the_largest_group_travels_in_one_segment() -> None:
    """As many events as a group may have, under the longest texts, all of one commit; and the largest single event."""
    share = GROUP_LIMIT_BYTES // GROUP_LIMIT_EVENTS
    long = "x" * KEY_LIMIT_BYTES
    events = run(GROUP_LIMIT_EVENTS, payload=b"x" * share, actor=long, idempotency_key=long, source=long, stream=long)
    (piece,) = segment.cut(events, {len(events): (b"d" * 32, 1)}, KEY.key_id, 1)
    assert segment.decode(segment.encode(piece, KEY), KEY.public_key) == piece
    (single,) = run(1, payload=b"x" * PAYLOAD_LIMIT_BYTES, actor="x" * (ENTRY_LIMIT_BYTES - 400))
    (piece,) = segment.cut([single], {1: (b"d" * 32, 1)}, KEY.key_id, 1)
    assert segment.decode(segment.encode(piece, KEY), KEY.public_key) == piece


@pytest.mark.parametrize("nth", [0, 1])
def test_segments_have_the_pinned_bytes(nth: int) -> None:
    """A part and an end of a commit: the pinned value reads as the events of the pinned chain, and is laid out so."""
    found, chain = vectors("segments"), vectors("groups")["events"]
    case, key = found["segments"][nth], KeyPair("publisher", "region-a", bytes.fromhex(found["seed"]))
    value = bytes.fromhex(case["value"])
    read = segment.decode(value, key.public_key)
    assert read.events == tuple(pinned(e) for e in chain[read.first_seq - 1 : read.last_seq])
    for name in ("chain_id", "prev_hash", "head_hash", "state_digest"):
        assert getattr(read, name).hex() == case[name]
    for name in ("epoch", "first_seq", "last_seq", "committed_at"):
        assert getattr(read, name) == int(case[name])
    assert read.ends_commit == case["ends_commit"]
    made = segment.encode(read, key)
    body = made[HEADER_BYTES + 64 :]
    assert zstandard.ZstdDecompressor().decompress(body).hex() == case["content"]
    assert made[: HEADER_BYTES - 32] == value[: HEADER_BYTES - 32]
    header = value[: HEADER_BYTES - 32] + blake3(body).digest()
    assert made == header + key.sign(b"trade-ledger/sgs1", header) + body
