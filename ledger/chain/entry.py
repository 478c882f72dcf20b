"""
Lay out the canonical bytes of one event, the entry, which the chain hashes.

Every field of an event's row is in the entry, in one fixed big-endian layout, so that an edited column is a
broken hash. The payload itself is not: the entry holds its salted hash, so that a proof can show one event
without its content, and a destroyed payload leaves the chain whole.

These bytes are on disk for good. They are specified in docs/FORMAT.md and pinned by tests/vectors/chain.json;
to change them, add a format version. This module knows no event type, no database and no clock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from blake3 import blake3

from ledger.errors import InvalidEvent, Rejected, TooLarge, UnknownFormat

MAGIC: Final = b"trade-ledger/ev1"
PAYLOAD_DOMAIN: Final = b"trade-ledger/pl1"
REQUEST_DOMAIN: Final = b"trade-ledger/rq1"
PAYLOAD_LIMIT_BYTES: Final = 256 * 1024
ENTRY_LIMIT_BYTES: Final = 65_535
"""C2SP tlog-tiles frames an entry with a 16-bit length."""

NO_ID: Final = bytes(16)
"""How an absent correlation or causation id is written."""

STORED: Final = (
    ("seq", 1, 2**63 - 1), ("epoch", 0, 2**31 - 1), ("group_size", 1, 2**15 - 1), ("stream_version", 1, 2**63 - 1),
    ("effective_on", -719_162, 2_932_896), ("schema_version", 0, 2**15 - 1),
)  # fmt: skip
"""What the columns of the table can hold, where that is less than the entry could; days reach from year 1 to 9999."""

_FIXED: Final = struct.Struct(">16s16sQI32s16s16sHHQqqi16s16s")
_LENGTH: Final = struct.Struct(">H")
_PAYLOAD: Final = struct.Struct(">I32s")
_REQUEST: Final = struct.Struct(">HqI")


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One event as the ledger stores it.

    Ids, hashes and the salt are raw bytes; times are nanoseconds since 1970-01-01 UTC; `effective_on` is days
    since that day; `payload` is canonical JSON, verbatim.
    """

    chain_id: bytes
    seq: int
    epoch: int
    prev_hash: bytes
    hash: bytes
    event_id: bytes
    event_type: str
    schema_version: int
    stream: str
    stream_version: int
    group_id: bytes
    group_index: int
    group_size: int
    idempotency_key: str
    request_hash: bytes
    occurred_at: int
    recorded_at: int
    effective_on: int
    actor: str
    source: str
    correlation_id: bytes
    causation_id: bytes
    salt: bytes
    payload: bytes


WIDTHS: Final = {
    "chain_id": 16, "prev_hash": 32, "event_id": 16, "group_id": 16, "request_hash": 32,
    "correlation_id": 16, "causation_id": 16, "salt": 16,
}  # fmt: skip


def _prefixed(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent("found a lone surrogate in a text; give valid Unicode") from error
    if b"\0" in encoded:
        raise InvalidEvent("found U+0000 in a text; PostgreSQL cannot store it, so leave it out")
    if len(encoded) > 0xFFFF:
        raise TooLarge(f"found a text of {len(encoded)} bytes; at most 65,535 fit an entry")
    return _LENGTH.pack(len(encoded)) + encoded


def payload_hash(salt: bytes, payload: bytes) -> bytes:
    """
    Return the salted BLAKE3 hash that stands for *payload* in the entry: 32 bytes.
    """
    if len(salt) != 16:
        raise InvalidEvent(f"found a salt of {len(salt)} bytes; expected 16")
    return blake3(PAYLOAD_DOMAIN + salt + payload).digest()


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    derived: msgspec.Raw
    given: msgspec.Raw


_PAYLOAD_PARTS: Final = msgspec.json.Decoder(_Payload)


def split_payload(payload: bytes) -> tuple[bytes, bytes]:
    """
    Return the bytes of a payload's members `derived` and `given`, as they stand.

    Raises:
        UnknownFormat: *payload* is not those two members, in this order, and nothing else.
    """
    try:
        payload.decode()
        parts = _PAYLOAD_PARTS.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnknownFormat(f"found a payload that is not its two members: {error}") from error
    derived, given = bytes(parts.derived), bytes(parts.given)
    if b'{"derived":' + derived + b',"given":' + given + b"}" != payload:
        raise UnknownFormat("found a payload with its two members in another order or spacing than is written")
    return derived, given


def request_hash(salt: bytes, events: Iterable[tuple[str, int, int, bytes]]) -> bytes:
    """
    Return the hash of what a caller asked for: 32 bytes.

    *salt* is that of the group's first event; each event is (type, schema version, occurred_at in ns, the
    canonical bytes of what the caller gave).
    """
    return blake3(b"".join((request_head(salt), *(request_part(*event) for event in events)))).digest()


def request_head(salt: bytes) -> bytes:
    """
    Return the bytes before the first event of what a request's hash is made of; *salt* is that event's.
    """
    if len(salt) != 16:
        raise InvalidEvent(f"found a salt of {len(salt)} bytes; expected 16")
    return REQUEST_DOMAIN + salt


def request_part(event_type: str, schema_version: int, occurred_at: int, given: bytes) -> bytes:
    """
    Return the bytes of one event in what a request's hash is made of.
    """
    if not isinstance(given, bytes):
        raise InvalidEvent(f"found what was given as {type(given).__name__}; expected its canonical bytes")
    try:
        numbers = _REQUEST.pack(schema_version, occurred_at, len(given))
    except struct.error as error:
        raise InvalidEvent(f"a number of a {event_type} does not fit its field: {error}") from error
    return b"".join((_prefixed(event_type), numbers, given))


def _check_numbers(event: RecordedEvent | Entry, payload_size: int) -> None:
    if event.group_index >= event.group_size:
        raise InvalidEvent(f"found place {event.group_index} in a group of {event.group_size}; places count from 0")
    for name, least, most in STORED:
        if not least <= getattr(event, name) <= most:
            raise InvalidEvent(f"found {name} {getattr(event, name)}; what is stored is from {least} to {most}")
    if payload_size > PAYLOAD_LIMIT_BYTES:
        raise TooLarge(f"found a payload of {payload_size} bytes; at most {PAYLOAD_LIMIT_BYTES}")


def encode(event: RecordedEvent) -> bytes:
    """
    Return the entry of *event*: the bytes that the chain hashes.

    Raises:
        InvalidEvent: a field does not fit its place.
        TooLarge: the payload or the entry is over its limit.
    """
    for name, width in WIDTHS.items():
        if len(getattr(event, name)) != width:
            raise InvalidEvent(f"found {name} of {len(getattr(event, name))} bytes; expected {width}")
    _check_numbers(event, len(event.payload))
    try:
        fixed = _FIXED.pack(
            MAGIC, event.chain_id, event.seq, event.epoch, event.prev_hash, event.event_id, event.group_id,
            event.group_index, event.group_size, event.stream_version, event.occurred_at, event.recorded_at,
            event.effective_on, event.correlation_id, event.causation_id,
        )  # fmt: skip
        schema_version = _LENGTH.pack(event.schema_version)
    except struct.error as error:
        raise InvalidEvent(f"a number of event {event.seq} does not fit its field: {error}") from error
    entry = b"".join(
        (
            fixed,
            _prefixed(event.event_type),
            schema_version,
            _prefixed(event.stream),
            _prefixed(event.actor),
            _prefixed(event.source),
            _prefixed(event.idempotency_key),
            event.request_hash,
            _PAYLOAD.pack(len(event.payload), payload_hash(event.salt, event.payload)),
        )
    )
    if len(entry) > ENTRY_LIMIT_BYTES:
        raise TooLarge(f"found an entry of {len(entry)} bytes; at most {ENTRY_LIMIT_BYTES}")
    return entry


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    The fields of one entry, in words and numbers: an event as far as its payload can be told by its size and hash.
    """

    chain_id: bytes
    seq: int
    epoch: int
    prev_hash: bytes
    event_id: bytes
    event_type: str
    schema_version: int
    stream: str
    stream_version: int
    group_id: bytes
    group_index: int
    group_size: int
    idempotency_key: str
    request_hash: bytes
    occurred_at: int
    recorded_at: int
    effective_on: int
    actor: str
    source: str
    correlation_id: bytes
    causation_id: bytes
    payload_size: int
    payload_hash: bytes


def parse(entry: bytes) -> Entry:
    """
    Return the fields of an *entry*; no two entries have the same.

    Raises:
        UnknownFormat: the bytes are no entry of this format, or one that could not have been written.
    """
    try:
        fixed = _FIXED.unpack_from(entry)
        if fixed[0] != MAGIC:
            raise UnknownFormat(f"found an entry that begins with {entry[:16]!r}; expected {MAGIC!r}")
        place = _FIXED.size
        event_type, place = _take(entry, place)
        (schema_version,) = _LENGTH.unpack_from(entry, place)
        place += 2
        stream, place = _take(entry, place)
        actor, place = _take(entry, place)
        source, place = _take(entry, place)
        idempotency_key, place = _take(entry, place)
        payload_size, hashed = _PAYLOAD.unpack_from(entry, place + 32)
    except (struct.error, UnicodeDecodeError) as error:
        raise UnknownFormat(f"found bytes that are no entry: {error}") from error
    if place + 32 + _PAYLOAD.size != len(entry) or len(entry) > ENTRY_LIMIT_BYTES:
        # One event, one entry: what is beside the fields that were read here counts too.
        raise UnknownFormat(f"found an entry of {len(entry)} bytes that does not end where its fields do")
    found = Entry(
        chain_id=fixed[1], seq=fixed[2], epoch=fixed[3], prev_hash=fixed[4], event_id=fixed[5], group_id=fixed[6],
        group_index=fixed[7], group_size=fixed[8], stream_version=fixed[9], occurred_at=fixed[10],
        recorded_at=fixed[11], effective_on=fixed[12], correlation_id=fixed[13], causation_id=fixed[14],
        event_type=event_type, schema_version=schema_version, stream=stream, actor=actor, source=source,
        idempotency_key=idempotency_key, request_hash=entry[place : place + 32], payload_size=payload_size,
        payload_hash=hashed,
    )  # fmt: skip
    try:
        _check_numbers(found, payload_size)
    except Rejected as error:
        raise UnknownFormat(f"found an entry that could not have been written: {error}") from error
    return found


def decode(entry: bytes, stored_hash: bytes, salt: bytes, payload: bytes) -> RecordedEvent:
    """
    Return the event whose entry this is; its hash, its salt and the payload travel beside it.

    Whether the hash is the entry's is for the chain to check.

    Raises:
        UnknownFormat: the bytes are no entry of this format, or of another payload or salt.
    """
    fields = parse(entry)
    if len(stored_hash) != 32 or len(salt) != 16:
        raise UnknownFormat(f"found a hash of {len(stored_hash)} bytes and a salt of {len(salt)}; expected 32 and 16")
    if fields.payload_size != len(payload) or fields.payload_hash != payload_hash(salt, payload):
        raise UnknownFormat(f"found another payload or salt than entry {fields.seq} was made of")
    return RecordedEvent(
        chain_id=fields.chain_id, seq=fields.seq, epoch=fields.epoch, prev_hash=fields.prev_hash,
        event_id=fields.event_id, group_id=fields.group_id, group_index=fields.group_index,
        group_size=fields.group_size, stream_version=fields.stream_version, occurred_at=fields.occurred_at,
        recorded_at=fields.recorded_at, effective_on=fields.effective_on, correlation_id=fields.correlation_id,
        causation_id=fields.causation_id, event_type=fields.event_type, schema_version=fields.schema_version,
        stream=fields.stream, actor=fields.actor, source=fields.source, idempotency_key=fields.idempotency_key,
        request_hash=fields.request_hash, hash=stored_hash, salt=salt, payload=payload,
    )  # fmt: skip


def _take(entry: bytes, place: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(entry, place)
    end = place + 2 + length
    if end > len(entry):
        raise UnknownFormat("found an entry that ends in the middle of a text")
    text = entry[place + 2 : end]
    if b"\0" in text:
        raise UnknownFormat("found an entry with U+0000 in a text, which none has")
    return text.decode(), end
