"""
Check the bytes of segments: read back whole, and refused where anything in them is not what the entries say.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import msgspec
import pytest

from ledger.errors import UnknownFormat
from ledger.evidence import segments
from ledger.evidence.segments import MAGIC, Segment
from ledger.evidence.tiles import Tile

SEGMENT = Segment(
    bytes(range(16)),
    257,
    b"\1" * 32,
    b"\2" * 32,
    ((b"\3" * 16, b'{"a":1}'), (b"\4" * 16, b""), (b"\5" * 16, b"x" * 50)),
)
SIZES = [7, 0, 50]
WHOLE = 106 + 3 * 20 + 57


def unpacked(data: bytes) -> bytes:
    return zlib.decompress(data, wbits=31)


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(data) + packer.flush()


def test_a_segment_is_read_back() -> None:
    """Its bytes are a header, and salt, length and payload of each event, as gzip packs them."""
    data = segments.encode(SEGMENT)
    assert segments.decode(data, SIZES) == SEGMENT
    header = struct.pack(">16s16sQH32s32s", MAGIC, SEGMENT.chain_id, 257, 3, SEGMENT.prev_hash, SEGMENT.last_hash)
    events = b"".join(struct.pack(">16sI", salt, len(payload)) + payload for salt, payload in SEGMENT.events)
    assert unpacked(data) == header + events
    assert data == packed(header + events)
    assert segments.unpacked_bytes(SIZES) == len(header + events) == WHOLE


def test_a_segment_has_the_name_of_its_tile() -> None:
    """As bundles are named."""
    assert segments.path(Tile(0, 1_234_067)) == "segment/x001/x234/067"
    assert segments.path(Tile(0, 5, 17)) == "segment/005.p/17"


@pytest.mark.parametrize("count", [1, 2, 256])
def test_a_segment_has_as_many_events_as_a_tile_can_have(count: int) -> None:
    """From one on, and no more."""
    of_some = msgspec.structs.replace(SEGMENT, events=SEGMENT.events[:1] * count)
    assert segments.decode(segments.encode(of_some), [7] * count) == of_some
    for wrong in (0, 257):
        of_wrong = msgspec.structs.replace(SEGMENT, events=SEGMENT.events[:1] * wrong)
        with pytest.raises(UnknownFormat, match=f"of {wrong} events under"):
            segments.decode(segments.encode(of_wrong), [7] * wrong)


def changed(change: Callable[[bytearray], object]) -> bytes:
    data = bytearray(unpacked(segments.encode(SEGMENT)))
    change(data)
    return packed(bytes(data))


GOOD = segments.encode(SEGMENT)


@pytest.mark.parametrize(
    ("data", "sizes", "says"),
    [
        (b"no gzip", SIZES, "does not unpack"),
        (GOOD[:-9], SIZES, f"unpacks to {WHOLE} bytes or more; its entries say {WHOLE}"),
        (GOOD + b"xy", SIZES, "found 2 bytes after the end"),
        (GOOD, [7, 0, 51], f"unpacks to {WHOLE} bytes or more; its entries say {WHOLE + 1}"),
        (GOOD, [7, 0, 49], f"unpacks to {WHOLE} bytes or more; its entries say {WHOLE - 1}"),
        (GOOD, [7, 0], f"unpacks to {106 + 40 + 7 + 1} bytes or more"),
        (packed(bytes(10_000_000)), SIZES, f"unpacks to {WHOLE + 1} bytes or more"),
        (GOOD, [7, 1, 49], "found a payload of 0 bytes at 258; its entry says 1"),
        (changed(lambda data: data.__setitem__(0, 0)), SIZES, "of 3 events under .*; expected 3"),
        (changed(lambda data: data.__setitem__(41, 2)), SIZES, "of 2 events under .*; expected 3"),
    ],
)  # fmt: skip
def test_what_is_no_segment_of_these_entries_is_refused(data: bytes, sizes: list[int], says: str) -> None:
    """Before it unpacks to more than they say."""
    with pytest.raises(UnknownFormat, match=says):
        segments.decode(data, sizes)
