"""
Frame a run of consecutive events for transport, signed by the publisher.

A segment holds whole commits, or one part of a commit that is too large for a record; one that ends a commit says so
and carries the digest of the state after it. The signature covers the header and the hash of the body, so nothing of
it can be changed or cut off. docs/FORMAT.md states the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import zstandard
from blake3 import blake3

from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair, check, key_id
from ledger.errors import InvalidInput, SequenceGap, SignatureInvalid, UnknownFormat

MAGIC: Final = b"trade-ledger/sg1"
DOMAIN: Final = b"trade-ledger/sgs1"
TARGET_BYTES: Final = 512 * 1024
"""Aim of a segment before compression; a larger group makes a larger segment."""
BODY_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""Of a body unpacked: room for the largest group (10,000 events of 1 MiB, under the longest texts), and no more."""
PURPOSE: Final = "publisher"

_HEADER: Final = struct.Struct(">16s16sIQQ32s32sB32sq8s32s")
_EVENT: Final = struct.Struct(">HI")
SIGNATURE_BYTES: Final = 64


class Segment(msgspec.Struct, frozen=True):
    """
    Consecutive events, and what the publisher says about them.

    `state_digest` and `committed_at` (ns, primary's clock) are those of the commit the segment ends; without an end
    they are zeros.
    """

    chain_id: bytes
    epoch: int
    first_seq: int
    last_seq: int
    prev_hash: bytes
    head_hash: bytes
    ends_commit: bool
    state_digest: bytes
    committed_at: int
    key_id: str
    events: tuple[RecordedEvent, ...]


def encode(segment: Segment, key: KeyPair) -> bytes:
    """
    Return the record's value: header, signature, body.

    Raises:
        InvalidInput: a field has a value that no segment can have.
    """
    # Packing would cut or pad a value of another width, and the signature would stand for what it is not of.
    for name, width in (("chain_id", 16), ("prev_hash", 32), ("head_hash", 32), ("state_digest", 32)):
        if len(getattr(segment, name)) != width:
            raise InvalidInput(f"found {name} of {len(getattr(segment, name))} bytes in a segment; expected {width}")
    parts = []
    for event in segment.events:
        laid_out = entry.encode(event)
        parts += [_EVENT.pack(len(laid_out), len(event.payload)), laid_out, event.hash, event.salt, event.payload]
    body = zstandard.ZstdCompressor(level=1).compress(b"".join(parts))
    try:
        header = _HEADER.pack(
            MAGIC, segment.chain_id, segment.epoch, segment.first_seq, segment.last_seq, segment.prev_hash,
            segment.head_hash, segment.ends_commit, segment.state_digest, segment.committed_at,
            bytes.fromhex(key.key_id), blake3(body).digest(),
        )  # fmt: skip
    except struct.error as error:
        raise InvalidInput(f"a number of a segment does not fit its field: {error}") from error
    return header + key.sign(DOMAIN, header) + body


def peek(value: bytes) -> tuple[bytes, str, int, int]:
    """
    Return (chain id, key id, first seq, last seq) that a record claims, unchecked.

    Raises:
        UnknownFormat: no segment.
    """
    if len(value) < _HEADER.size + SIGNATURE_BYTES or value[:16] != MAGIC:
        raise UnknownFormat(f"found a record that begins with {value[:16]!r}; expected a segment")
    header = _HEADER.unpack_from(value)
    return header[1], header[10].hex(), header[3], header[4]


def decode(value: bytes, public_key: bytes) -> Segment:
    """
    Return the segment in a record, once its signature by *public_key* is checked.

    The header is of these events and this key, and there is one way to write both; the events' hashes are for the
    chain to check.

    Raises:
        SignatureInvalid: not signed by that key, or changed since.
        UnknownFormat: the bytes are no segment.
    """
    peek(value)
    signature, body = value[_HEADER.size : _HEADER.size + SIGNATURE_BYTES], value[_HEADER.size + SIGNATURE_BYTES :]
    check(public_key, DOMAIN, value[: _HEADER.size], signature)
    header = _HEADER.unpack_from(value)
    if blake3(body).digest() != header[11]:
        raise SignatureInvalid("the body of a segment is not the one that was signed")
    events = tuple(_events(body))
    if not events:
        raise UnknownFormat("found a segment without events")
    found = Segment(
        header[1], header[2], header[3], header[4], header[5], header[6], bool(header[7]), header[8], header[9],
        header[10].hex(), events,
    )  # fmt: skip
    first, last = events[0], events[-1]
    made = msgspec.structs.replace(
        found, chain_id=first.chain_id, epoch=last.epoch, first_seq=first.seq, last_seq=last.seq,
        prev_hash=first.prev_hash, head_hash=last.hash, key_id=key_id(PURPOSE, public_key),
    )  # fmt: skip
    if made != found or any(e.seq != n or e.chain_id != found.chain_id for n, e in enumerate(events, first.seq)):
        raise UnknownFormat("the events of a segment, or its key, are not those that its header names")
    if header[7] > 1 or not (found.ends_commit or (found.state_digest, found.committed_at) == (bytes(32), 0)):
        raise UnknownFormat("found a segment that ends no commit and has the digest or time of one")
    return found


def _events(body: bytes) -> Iterator[RecordedEvent]:
    try:
        frame = zstandard.get_frame_parameters(body)
        size = frame.content_size
        if max(size, frame.window_size) > BODY_LIMIT_BYTES:
            # A frame that does not say counts as the largest: what it holds would be known when it is too late.
            raise UnknownFormat(f"the body of a segment unpacks to over {BODY_LIMIT_BYTES} bytes, or does not say")
        content = zstandard.ZstdDecompressor().decompress(body, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise UnknownFormat(f"the body of a segment is not one zstd frame: {error}") from error
    place = 0
    while place < len(content):
        try:
            entry_size, payload_size = _EVENT.unpack_from(content, place)
        except struct.error as error:
            raise UnknownFormat("a segment ends in the middle of an event") from error
        start = place + _EVENT.size
        stored, end = start + entry_size, start + entry_size + 48 + payload_size
        if end > len(content):
            raise UnknownFormat("a segment ends in the middle of an event")
        yield entry.decode(
            content[start:stored], content[stored : stored + 32], content[stored + 32 : stored + 48],
            content[stored + 48 : end],
        )  # fmt: skip
        place = end


def claimed(value: bytes) -> list[RecordedEvent]:
    """
    Return the events that a record holds, whoever signed it: for who proves each of them by other means.

    Raises:
        UnknownFormat: the bytes are no segment.
    """
    peek(value)
    return list(_events(value[_HEADER.size + SIGNATURE_BYTES :]))


def cut(
    events: Iterable[RecordedEvent], commits: dict[int, tuple[bytes, int]], key_id: str, first_seq: int
) -> Iterator[Segment]:
    """
    Yield the segments that carry *events*, which are those from *first_seq* on, in order.

    *commits* are (state digest, committed at) by last seq. A segment ends at the end of a commit once it is large
    enough. A commit that alone passes twice the aim is cut at ends of groups, from its own start and alone: so its
    parts are the same whatever was published before it, and again.

    Raises:
        SequenceGap: an event is missing.
    """
    held: list[RecordedEvent] = []
    size = part = whole = 0
    in_parts = False
    for expected, event in enumerate(events, first_seq):
        if event.seq != expected:
            raise SequenceGap(f"found event {event.seq}; expected {expected}; the events table has a gap: verify")
        held.append(event)
        size += len(event.payload) + 512
        part += len(event.payload) + 512
        if event.seq in commits:
            whole, part = len(held), 0
            if size >= TARGET_BYTES or in_parts:
                yield _made(held, commits, key_id)
                held, size, whole, in_parts = [], 0, 0, False
        elif event.group_index == event.group_size - 1 and size >= 2 * TARGET_BYTES:
            if whole:
                yield _made(held[:whole], commits, key_id)
                held, size, whole = held[whole:], part, 0
            if part >= 2 * TARGET_BYTES:
                yield _made(held, commits, key_id)
                held, size, part, in_parts = [], 0, 0, True
    if held:
        yield _made(held, commits, key_id)


def _made(events: list[RecordedEvent], commits: dict[int, tuple[bytes, int]], key_id: str) -> Segment:
    first, last = events[0], events[-1]
    ends = last.seq in commits
    digest, committed_at = commits.get(last.seq, (bytes(32), 0))
    return Segment(
        first.chain_id, last.epoch, first.seq, last.seq, first.prev_hash, last.hash, ends, digest, committed_at, key_id,
        tuple(events),
    )  # fmt: skip
