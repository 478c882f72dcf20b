"""
Keep the payloads of 256 events beside their bundle of entries, for those who have no database.

A bundle of entries proves what happened without saying what it was: an entry holds its payload's salted hash. A
segment holds what hashes to it: salt and payload of the same events, and the chain's hash before the first and after
the last, so that one segment can be checked without any other. docs/FORMAT.md states the bytes.

It is compressed, as gzip does it. How large it is unpacked is known from the entries, which say how large each payload
is; a segment that unpacks to more is refused before it does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.errors import UnknownFormat
from ledger.evidence.tiles import WIDTH, Tile

MAGIC: Final = b"trade-ledger/as1"
_HEADER: Final = struct.Struct(">16s16sQH32s32s")
_EVENT: Final = struct.Struct(">16sI")
_GZIP: Final = 31
"""What zlib calls gzip's container with the largest window."""

LEVEL: Final = 6


class Segment(msgspec.Struct, frozen=True):
    """
    Salts and payloads of consecutive events, from *first_seq* on, and the hashes of the chain around them.
    """

    chain_id: bytes
    first_seq: int
    prev_hash: bytes
    last_hash: bytes
    events: tuple[tuple[bytes, bytes], ...]


def path(tile: Tile) -> str:
    """
    Return the name of the segment with the payloads of *tile*'s entries.
    """
    return "segment/" + tile.bundle_path().removeprefix("tile/entries/")


def encode(segment: Segment) -> bytes:
    """
    Return the segment's bytes, the same for the same events.
    """
    parts = [
        _HEADER.pack(
            MAGIC, segment.chain_id, segment.first_seq, len(segment.events), segment.prev_hash, segment.last_hash
        )
    ]
    for salt, payload in segment.events:
        parts += [_EVENT.pack(salt, len(payload)), payload]
    packer = zlib.compressobj(LEVEL, wbits=_GZIP)
    return packer.compress(b"".join(parts)) + packer.flush()


def unpacked_bytes(payload_sizes: Sequence[int]) -> int:
    """
    Return how many bytes a segment of payloads of these sizes has before it is compressed.
    """
    return _HEADER.size + len(payload_sizes) * _EVENT.size + sum(payload_sizes)


def decode(data: bytes, payload_sizes: Sequence[int]) -> Segment:
    """
    Return the segment in *data*, whose payloads have to have these sizes, as their entries say.

    Raises:
        UnknownFormat: it is none, is cut short or goes on, or unpacks to another size.
    """
    expected = unpacked_bytes(payload_sizes)
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        whole = unpacker.decompress(data, expected + 1)
    except zlib.error as error:
        raise UnknownFormat(f"found a segment that does not unpack: {error}") from error
    if len(whole) != expected or not unpacker.eof:
        raise UnknownFormat(f"found a segment that unpacks to {len(whole)} bytes or more; its entries say {expected}")
    if unpacker.unused_data:
        raise UnknownFormat(f"found {len(unpacker.unused_data)} bytes after the end of a segment")
    magic, chain_id, first_seq, count, prev_hash, last_hash = _HEADER.unpack_from(whole)
    if magic != MAGIC or count != len(payload_sizes) or not 1 <= count <= WIDTH:
        raise UnknownFormat(f"found a segment of {count} events under {magic!r}; expected {len(payload_sizes)}")
    events, place = [], _HEADER.size
    for index, size in enumerate(payload_sizes):
        salt, length = _EVENT.unpack_from(whole, place)
        if length != size:
            raise UnknownFormat(f"found a payload of {length} bytes at {first_seq + index}; its entry says {size}")
        place += _EVENT.size + length
        events.append((salt, whole[place - length : place]))
    return Segment(chain_id, first_seq, prev_hash, last_hash, tuple(events))
