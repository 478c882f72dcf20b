"""
Say which keys count no more, and from which size on.

Who holds a stolen key can sign whatever they like with it, also checkpoints that claim to be old; but a size that the
log had reached before the theft is in somebody's memory. So a revocation names the last size for which the key counts:
what it signed of smaller trees stays evidence, and of larger ones it is nobody's word.

The line that says so in a policy, `revoked <key> <size>`, is our own and not in C2SP tlog-policy. A reader that does
not know it refuses the policy, which is better than to take a thief's signature; for such a reader, leave the key out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.errors import InvalidInput, SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note
from ledger.evidence.note import VerifierKey

KEYWORD: Final = "revoked"


class KeyIsRevoked(SignatureInvalid):
    """
    A checkpoint is signed by a key that counted no more at its size.
    """

    code = "key_is_revoked"


class Revoked(msgspec.Struct, frozen=True):
    """
    A public key (32 bytes) that counts for checkpoints up to a size, and for none that is larger.
    """

    public_key: bytes
    last_valid_size: int


def counts(revoked: Sequence[Revoked], public_key: bytes, size: int) -> bool:
    """
    Whether what the key signed of a tree of *size* counts.
    """
    return all(size <= one.last_valid_size for one in revoked if one.public_key == public_key)


def line(key: VerifierKey, last_valid_size: int) -> str:
    """
    Return the policy's line that revokes *key*, without its end.
    """
    return f"{KEYWORD} {key.text()} {last_valid_size}"


def decode(words: list[str]) -> Revoked:
    """
    Return the revocation in the *words* after `revoked`.

    Raises:
        InvalidInput: they are no key and size.
    """
    if len(words) != 2:
        raise InvalidInput("expected: revoked <key> <last size for which it counts>")
    try:
        return Revoked(note.read_key(words[0]).public_key, checkpoint.decode_size(words[1], "last size"))
    except UnknownFormat as error:
        raise InvalidInput(str(error)) from error
