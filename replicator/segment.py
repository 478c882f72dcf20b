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
from ledger.chain.signatures import KeyPair, check
from ledger.errors import SequenceGap, SignatureInvalid, UnknownFormat

MAGIC: Final = b"trade-ledger/sg1"
DOMAIN: Final = b"trade-ledger/sgs1"
TARGET_BYTES: Final = 512 * 1024
"""Aim of a segment before compression; a larger group makes a larger segment."""
BODY_LIMIT_BYTES: Final = 8 * 1024 * 1024

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
    Return the record's value: header, body, signature.
    """
    parts = []
    for event in segment.events:
        laid_out = entry.encode(event)
        parts += [_EVENT.pack(len(laid_out), len(event.payload)), laid_out, event.hash, event.salt, event.payload]
    body = zstandard.ZstdCompressor(level=1).compress(b"".join(parts))
    header = _HEADER.pack(
        MAGIC, segment.chain_id, segment.epoch, segment.first_seq, segment.last_seq, segment.prev_hash,
        segment.head_hash, segment.ends_commit, segment.state_digest, segment.committed_at, bytes.fromhex(key.key_id),
        blake3(body).digest(),
    )  # fmt: skip
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

    The events are laid out as they claim; their hashes are for the chain to check.

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
    if not events or (events[0].seq, events[-1].seq) != (header[3], header[4]):
        raise UnknownFormat("the events of a segment are not those its header names")
    said = (header[1], header[2], header[5], header[6])
    first, last = events[0], events[-1]
    if said != (first.chain_id, last.epoch, first.prev_hash, last.hash):
        raise UnknownFormat("a segment's header names another chain, epoch or hashes than its events")
    return Segment(
        header[1], header[2], header[3], header[4], header[5], header[6], bool(header[7]), header[8], header[9],
        header[10].hex(), events,
    )  # fmt: skip


def _events(body: bytes) -> Iterator[RecordedEvent]:
    try:
        content = zstandard.ZstdDecompressor().decompress(body, max_output_size=BODY_LIMIT_BYTES)
    except zstandard.ZstdError as error:
        raise UnknownFormat(f"the body of a segment is not zstd: {error}") from error
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


def cut(events: Iterable[RecordedEvent], commits: dict[int, tuple[bytes, int]], key_id: str) -> Iterator[Segment]:
    """
    Yield the segments that carry *events*, in order.

    *commits* are (state digest, committed at) by last seq. A segment ends at the end of a commit once it is large
    enough; inside a commit only where it would pass twice the aim, and then at the end of a group.
    """
    held: list[RecordedEvent] = []
    size = whole = 0
    for event in events:
        if held and event.seq != held[-1].seq + 1:
            raise SequenceGap(f"found event {event.seq} after {held[-1].seq}; the events table has a gap: verify")
        held.append(event)
        size += len(event.payload) + 512
        if event.seq in commits:
            whole = len(held)
        ends_group = event.group_index == event.group_size - 1
        if whole == len(held) and size >= TARGET_BYTES:
            yield _made(held, commits, key_id)
            held, size, whole = [], 0, 0
        elif ends_group and size >= 2 * TARGET_BYTES:
            if whole:
                yield _made(held[:whole], commits, key_id)
                held = held[whole:]
            if held:
                yield _made(held, commits, key_id)
            held, size, whole = [], 0, 0
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
