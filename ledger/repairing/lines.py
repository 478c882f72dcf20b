"""
Hand events from one program to another as lines: entry, hash, salt and payload of each, and nothing that vouches.

Who reads the topic speaks Kafka and is a program of its own (`tradeledger-replicator events`); who mends proves what it
says.
"""

from __future__ import annotations

import msgspec

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import UnknownFormat


class Line(msgspec.Struct, frozen=True):
    """
    One event.
    """

    entry: bytes
    hash: bytes
    salt: bytes
    payload: bytes


def encode(event: RecordedEvent) -> bytes:
    """
    Return the line of an event, without its end.
    """
    return msgspec.json.encode(Line(entries.encode(event), event.hash, event.salt, event.payload))


def decode(line: bytes) -> RecordedEvent:
    """
    Return the event in a line.

    Raises:
        UnknownFormat: it holds none.
    """
    try:
        found = msgspec.json.decode(line, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnknownFormat(f"found a line that is no event: {error}") from error
    return entries.decode(found.entry, found.hash, found.salt, found.payload)
