"""
Lay out new events twice from the same parts: as the entry that is hashed, and as the row that COPY takes.

`chain/entry.py` says what an entry is and `events.py` what a row is, each from a whole event. A writer of thousands of
events a second cannot afford an object with two dozen fields for each of them, so the scribe packs both from what the
fold made of an event, and keeps what never changes packed. Tests hold its bytes to theirs.
"""

from __future__ import annotations

import functools
import struct
from typing import Final

from blake3 import blake3

from ledger.chain.entry import (
    ENTRY_LIMIT_BYTES,
    MAGIC,
    NO_ID,
    PAYLOAD_DOMAIN,
    PAYLOAD_LIMIT_BYTES,
    REQUEST_DOMAIN,
)
from ledger.domain.fold import Outcome
from ledger.errors import InvalidEvent, TooLarge

_DAYS_1970_TO_2000: Final = 10_957
_FIELDS: Final = 24
_KEY_FIELDS: Final = 4

_ENTRY_START: Final = struct.Struct(">16s16sQI32s16s16sHHQqqi16s16s")
_ENTRY_END: Final = struct.Struct(">I32s")
_SHORT: Final = struct.Struct(">H")
_ROW_START: Final = struct.Struct(">HihiqiiI32sI32sI16s")
_ROW_STREAM: Final = struct.Struct(">iqI16sihih")
_ROW_TIMES: Final = struct.Struct(">I32siqiqii")
_LONG: Final = struct.Struct(">I")
_KEY_START: Final = struct.Struct(">Hih")
_KEY_END: Final = struct.Struct(">iq")
_REQUEST: Final = struct.Struct(">HqI")
_NULL_IDS: Final = b"\xff\xff\xff\xff" * 2
_SALT_WIDTH: Final = b"\0\0\0\x10"


@functools.lru_cache(4096)
def _short(text: str) -> bytes:
    encoded = text.encode()
    return _SHORT.pack(len(encoded)) + encoded


@functools.lru_cache(4096)
def _long(text: str) -> bytes:
    encoded = text.encode()
    return _LONG.pack(len(encoded)) + encoded


@functools.lru_cache(1024)
def _kind(event_type: str, version: int) -> tuple[bytes, bytes]:
    return _short(event_type) + _SHORT.pack(version), _long(event_type) + struct.pack(">ih", 2, version)


def payload_of(outcome: Outcome) -> bytes:
    """
    Return the payload that is stored of an event.
    """
    return b'{"derived":' + outcome.derived + b',"given":' + outcome.given + b"}"


def request_hash(salt: bytes, outcomes: list[Outcome], occurred_at: list[int]) -> bytes:
    """
    Return the request hash of a group, as `chain.entry.request_hash` does.
    """
    parts = [REQUEST_DOMAIN, salt]
    try:
        for outcome, time in zip(outcomes, occurred_at, strict=True):
            given = outcome.given
            numbers = _REQUEST.pack(outcome.schema_version, time, len(given))
            parts += (_short(outcome.event_type), numbers, given)
    except struct.error as error:
        raise InvalidEvent(f"a number of a request does not fit its field: {error}") from error
    return blake3(b"".join(parts)).digest()


class Scribe:
    """
    Write the events of one chain that one source appends.
    """

    def __init__(self, chain: int, chain_id: bytes, source: str) -> None:
        self._chain, self._chain_id = chain, chain_id
        self._source_short, self._source_long = _short(source), _long(source)
        self._key_start = _KEY_START.pack(_KEY_FIELDS, 2, chain) + self._source_long

    def key_row(self, key: str, seq: int) -> bytes:
        """
        Return the row of idempotency_keys for a group that begins at *seq*.
        """
        encoded = key.encode()
        return self._key_start + _LONG.pack(len(encoded)) + encoded + _KEY_END.pack(8, seq)

    def write(
        self,
        outcome: Outcome,
        payload: bytes,
        seq: int,
        epoch: int,
        prev_hash: bytes,
        ids: tuple[bytes, bytes, bytes, bytes],
        place: tuple[int, int],
        times: tuple[int, int],
        asked: tuple[str, str, bytes],
        salt: bytes,
    ) -> tuple[bytes, bytes]:
        """
        Return the hash of the event at *seq*, and its row.

        *ids* are (event, group, correlation, causation), *place* (index, size) in the group, *times* (occurred at,
        recorded at) in ns, *asked* (idempotency key, actor, request hash).

        Raises:
            TooLarge: the payload or the entry is over its limit.
            InvalidEvent: a number does not fit its field.
        """
        length, stream, key = len(payload), outcome.stream.encode(), asked[0].encode()
        if length > PAYLOAD_LIMIT_BYTES:
            raise TooLarge(f"found a payload of {length} bytes; at most {PAYLOAD_LIMIT_BYTES}")
        event_id, group_id, correlation_id, causation_id = ids
        occurred_at, recorded_at = times
        kind_short, kind_long = _kind(outcome.event_type, outcome.schema_version)
        try:
            entry = b"".join(
                (
                    _ENTRY_START.pack(
                        MAGIC, self._chain_id, seq, epoch, prev_hash, event_id, group_id, *place,
                        outcome.stream_version, occurred_at, recorded_at, outcome.effective_on, correlation_id,
                        causation_id,
                    ),
                    kind_short, _SHORT.pack(len(stream)), stream, _short(asked[1]), self._source_short,
                    _SHORT.pack(len(key)), key, asked[2],
                    _ENTRY_END.pack(length, blake3(PAYLOAD_DOMAIN + salt + payload).digest()),
                )
            )  # fmt: skip
            made = blake3(entry).digest()
            row = b"".join(
                (
                    _ROW_START.pack(_FIELDS, 2, self._chain, 8, seq, 4, epoch, 32, prev_hash, 32, made, 16, event_id),
                    kind_long, _LONG.pack(len(stream)), stream,
                    _ROW_STREAM.pack(8, outcome.stream_version, 16, group_id, 2, place[0], 2, place[1]),
                    _LONG.pack(len(key)), key,
                    _ROW_TIMES.pack(
                        32, asked[2], 8, occurred_at, 8, recorded_at, 4, outcome.effective_on - _DAYS_1970_TO_2000
                    ),
                    _long(asked[1]), self._source_long, _ids(correlation_id, causation_id),
                    _SALT_WIDTH, salt, _LONG.pack(length), payload,
                )
            )  # fmt: skip
        except struct.error as error:
            raise InvalidEvent(f"a number of event {seq} does not fit its field: {error}") from error
        if len(entry) > ENTRY_LIMIT_BYTES:
            raise TooLarge(f"found an entry of {len(entry)} bytes; at most {ENTRY_LIMIT_BYTES}")
        return made, row


def _ids(correlation_id: bytes, causation_id: bytes) -> bytes:
    if correlation_id == NO_ID == causation_id:
        return _NULL_IDS
    return b"".join(
        b"\xff\xff\xff\xff" if value == NO_ID else b"\0\0\0\x10" + value for value in (correlation_id, causation_id)
    )
