"""
State the size and root of a log's tree in three lines, to be signed: C2SP tlog-checkpoint.

The origin comes first and names the log: a root without it could be of any log, and a size without a root of any
tree. Two checkpoints of one origin that no consistency proof joins are a fork, and evidence of one.

Extension lines, which the specification allows and advises against, are kept as they stand and mean nothing here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.errors import InvalidInput, UnknownFormat, shown
from ledger.evidence import note
from ledger.evidence.tree import HASH_BYTES, SIZE_LIMIT

SIZE_DIGITS: Final = 19


class Checkpoint(msgspec.Struct, frozen=True):
    """
    The head of a log's tree: its origin, how many leaves it has, and its root (32 bytes).
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """
        Return the text that is signed.

        Raises:
            InvalidInput: the origin cannot stand on a line, or size or root are not those of a tree.
        """
        if not self.origin or any(character < " " for character in self.origin):
            raise InvalidInput(f"found origin {shown(self.origin)}; expected one line of text")
        if not 0 <= self.size < SIZE_LIMIT or len(self.root) != HASH_BYTES:
            raise InvalidInput(f"found size {self.size} and a root of {len(self.root)} bytes; expected a tree's")
        lines = (self.origin, str(self.size), note.encode_base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines)


def decode_size(text: str, what: str) -> int:
    """
    Return the number that *text* writes in decimal digits without leading zeros, below 2^63.

    Raises:
        UnknownFormat: it is no such number.
    """
    digits = text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS
    if not digits or (text[0] == "0" and text != "0") or int(text) >= SIZE_LIMIT:
        raise UnknownFormat(f"found {what} {shown(text)}; expected decimal digits without leading zeros, below 2^63")
    return int(text)


def decode_hash(text: str, what: str) -> bytes:
    """
    Return the hash of 32 bytes that *text* writes in base64.

    Raises:
        UnknownFormat: it is none.
    """
    found = note.decode_base64(text, what)
    if len(found) != HASH_BYTES:
        raise UnknownFormat(f"found {what} of {len(found)} bytes; expected {HASH_BYTES}")
    return found


def decode(text: str) -> Checkpoint:
    """
    Return the checkpoint that the *text* of a note states.

    Raises:
        UnknownFormat: it is no checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise UnknownFormat(f"found {shown(text)}; expected a checkpoint: origin, size and root, each on a line")
    return Checkpoint(lines[0], decode_size(lines[1], "size"), decode_hash(lines[2], "root"), tuple(lines[3:-1]))


def decode_note(data: bytes, *, least: int = 1) -> tuple[Checkpoint, note.Note]:
    """
    Return the checkpoint in a note of at least so many signatures and the note, the signatures unchecked.

    Raises:
        UnknownFormat: it is no note, or its text no checkpoint.
    """
    signed = note.decode(data, least=least)
    return decode(signed.text), signed
