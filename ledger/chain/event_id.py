"""
Make event ids that sort as the chain does.

An event id is a UUIDv7 (RFC 9562) whose time is recorded_at: 48 bits of milliseconds, then the 20 bits of
nanoseconds within the millisecond in rand_a and the top of rand_b, and 54 random bits. Along a chain
recorded_at is strictly increasing, so event ids are too, and streaming checks their uniqueness, without an
index.

Randomness and time come in as arguments; this module knows no clock.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import InvalidEvent

_NS_PER_MS: Final = 1_000_000
_RANDOM_BITS: Final = 54


def make(recorded_at: int, random: bytes) -> bytes:
    """
    Return the 16 bytes of the id of an event recorded at *recorded_at* ns, from 7 *random* bytes.

    Raises:
        InvalidEvent: the time does not fit 48 bits of milliseconds, or there are not 7 random bytes.
    """
    if len(random) != 7:
        raise InvalidEvent(f"found {len(random)} random bytes for an event id; expected 7")
    milliseconds, nanoseconds = divmod(recorded_at, _NS_PER_MS)
    if not 0 <= milliseconds < 1 << 48:
        raise InvalidEvent(f"found recorded_at {recorded_at}, which no UUIDv7 can carry; check the clock")
    high = milliseconds << 16 | 0x7 << 12 | nanoseconds >> 8
    tail = int.from_bytes(random, "big") & ((1 << _RANDOM_BITS) - 1)
    low = 0b10 << 62 | (nanoseconds & 0xFF) << _RANDOM_BITS | tail
    return (high << 64 | low).to_bytes(16, "big")


def recorded_at(event_id: bytes) -> int:
    """
    Return the recorded_at, in ns, that *event_id* carries.

    Raises:
        InvalidEvent: not 16 bytes, not a UUIDv7, or its nanoseconds pass a millisecond.
    """
    number = int.from_bytes(event_id, "big")
    high, low = number >> 64, number & ((1 << 64) - 1)
    nanoseconds = (high & 0xFFF) << 8 | low >> _RANDOM_BITS & 0xFF
    if len(event_id) != 16 or high >> 12 & 0xF != 7 or low >> 62 != 0b10 or nanoseconds >= _NS_PER_MS:
        raise InvalidEvent(f"found {event_id.hex()} where an event id is expected: a UUIDv7 of 16 bytes")
    return (high >> 16) * _NS_PER_MS + nanoseconds
