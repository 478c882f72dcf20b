"""
Link events into a hash chain.

Each event's entry holds the hash of the event before it, and its own hash is BLAKE3 of the entry, so the
newest hash, the chain head, stands for the whole history: edit, drop or reorder any event and every later
hash changes.

The bytes hashed here are on disk for good; docs/FORMAT.md specifies them and tests/vectors/chain.json pins
them. This module knows no event type, no database and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ledger.chain.entry import RecordedEvent, encode
from ledger.errors import HashMismatch, InvalidEvent, Rejected, SequenceGap

GENESIS_DOMAIN: Final = b"trade-ledger/gen1"


def genesis(chain_id: bytes, origin: str) -> bytes:
    """
    Return the hash that stands before the first event: 32 bytes.

    Raises:
        InvalidEvent: the id is not 16 bytes, or the origin cannot be stored.
    """
    if len(chain_id) != 16:
        raise InvalidEvent(f"found a chain id of {len(chain_id)} bytes; expected 16")
    if not origin or "\0" in origin or any("\ud800" <= character <= "\udfff" for character in origin):
        raise InvalidEvent(f"found origin {origin!r}; expected text without U+0000 and lone surrogates")
    return blake3(GENESIS_DOMAIN + chain_id + origin.encode()).digest()


@dataclass(frozen=True, slots=True)
class ChainHead:
    """
    The newest link: how many events the chain holds, and the last one's hash.
    """

    seq: int
    hash: bytes

    def extend(self, event: RecordedEvent) -> ChainHead:
        """
        Return the head that follows once *event* is appended.

        Raises:
            SequenceGap: its seq is not the next one.
            HashMismatch: it does not name this head's hash as the one before.
        """
        if event.seq != self.seq + 1:
            raise SequenceGap(f"found seq {event.seq}; expected {self.seq + 1} after the head")
        if event.prev_hash != self.hash:
            raise HashMismatch(
                f"event {event.seq} names {event.prev_hash.hex()} as the hash before it; "
                f"expected {self.hash.hex()}: an event before it was changed, or it belongs elsewhere"
            )
        return ChainHead(event.seq, blake3(encode(event)).digest())

    def check(self, event: RecordedEvent) -> ChainHead:
        """
        Return the head after a stored event, or raise if it does not follow.

        Raises:
            SequenceGap: its seq is not the next one.
            HashMismatch: it does not follow this head, or its stored hash is not that of its entry.
        """
        try:
            head = self.extend(event)
        except Rejected as error:
            # What could never have been written was changed since: no request is at fault, history is.
            raise HashMismatch(f"event {event.seq} is stored with what no entry can hold: {error}") from error
        if event.hash != head.hash:
            raise HashMismatch(
                f"event {event.seq} is stored with hash {event.hash.hex()}; its columns hash to "
                f"{head.hash.hex()}: one of them was changed"
            )
        return head
