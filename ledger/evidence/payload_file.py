"""
Carry one event's entry and content beside its proof, in a file that people can read too.

The proof shows that an entry is in the log. The entry holds no more of the content than its salted hash; this file
holds what hashes to it. It proves nothing by itself, and whoever may not see the content is given the proof alone.
docs/FORMAT.md states the members.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

import msgspec

from ledger.errors import UnknownFormat
from ledger.evidence import note

KIND: Final = "trade-ledger payload"
SCHEMA_VERSION: Final = 1
FILE_LIMIT_BYTES: Final = 4_000_000
"""A payload of 256 KiB takes at most six bytes a byte as JSON text, an entry a third more than it has."""

SALT_BYTES: Final = 16


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    schema_version: int
    entry: str
    salt: str
    payload: str


def _each_once(members: list[tuple[str, object]]) -> None:
    twice = sorted(name for name, count in Counter(name for name, _ in members).items() if count > 1)
    if twice:
        raise ValueError(f"{twice[0][:100]!r} stands in it more than once")


class PayloadFile(msgspec.Struct, frozen=True):
    """
    One event: the bytes of its entry, its salt (16 bytes), and the bytes of its payload, which is canonical JSON.
    """

    entry: bytes
    salt: bytes
    payload: bytes

    def encode(self) -> bytes:
        """
        Return the file's bytes.
        """
        shape = _Shape(
            KIND, SCHEMA_VERSION, note.encode_base64(self.entry), self.salt.hex(), self.payload.decode("utf-8")
        )
        return msgspec.json.format(msgspec.json.encode(shape), indent=1) + b"\n"


def decode(data: bytes) -> PayloadFile:
    """
    Return what a file holds, nothing of it checked against anything else.

    Raises:
        UnknownFormat: it is no such file, or of a version not known here.
    """
    if len(data) > FILE_LIMIT_BYTES:
        raise UnknownFormat(f"found a payload file of {len(data)} bytes; at most {FILE_LIMIT_BYTES} are read")
    try:
        shape = msgspec.json.decode(data, type=_Shape)
        # Of two members of one name one alone is checked, and a reader may look at the other.
        json.loads(data, object_pairs_hook=_each_once)
        salt = bytes.fromhex(shape.salt)
        payload = shape.payload.encode("utf-8")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnknownFormat(f"found a file that holds no payload: {error}") from error
    if shape.kind != KIND or shape.schema_version != SCHEMA_VERSION:
        raise UnknownFormat(
            f"found a file of kind {shape.kind[:100]!r}, version {shape.schema_version}; expected {KIND!r}, "
            f"version {SCHEMA_VERSION}"
        )
    if len(salt) != SALT_BYTES or salt.hex() != shape.salt:
        raise UnknownFormat(f"found a salt of {len(salt)} bytes; expected {SALT_BYTES} in small hexadecimal letters")
    return PayloadFile(note.decode_base64(shape.entry, "entry"), salt, payload)
