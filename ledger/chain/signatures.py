"""
Sign and check statements with Ed25519, and keep key files that only their owner can read.

Every signature is over a domain string and the statement's bytes, so that one made for one purpose is never good for
another. A key id is made from purpose and public key, so that a key cannot be passed off under another id.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.errors import InvalidInput, NotPermitted, SignatureInvalid

KEY_DOMAIN: Final = b"trade-ledger/key1"
PURPOSES: Final = ("checkpoint", "publisher", "replica", "recovery")


def key_id(purpose: str, public_key: bytes) -> str:
    """
    Return the id of a public key for one purpose: 16 hexadecimal digits.
    """
    return blake3(KEY_DOMAIN + purpose.encode() + b"\0" + public_key).digest(length=8).hex()


def _from_digits(text: str, width: int, what: str) -> bytes:
    """Read what has one spelling only: `bytes.fromhex` would take spaces and capitals too."""
    if len(text) != 2 * width or set(text) - set("0123456789abcdef"):
        raise InvalidInput(f"found {what} {text[:80]!r}; expected {2 * width} lower-case hexadecimal digits")
    return bytes.fromhex(text)


def key_id_bytes(text: str) -> bytes:
    """
    Return the 8 bytes of a key id.

    Raises:
        InvalidInput: it is not 16 lower-case hexadecimal digits.
    """
    return _from_digits(text, 8, "key id")


def public_key_bytes(text: str) -> bytes:
    """
    Return the 32 bytes of a public key written as lower-case hexadecimal digits.

    Raises:
        InvalidInput: it is not written so.
    """
    return _from_digits(text, 32, "public key")


def signature_bytes(text: str) -> bytes:
    """
    Return the 64 bytes of a signature written as lower-case hexadecimal digits.

    Raises:
        InvalidInput: it is not written so.
    """
    return _from_digits(text, 64, "signature")


class KeyPair(msgspec.Struct, frozen=True):
    """
    A private key (32-byte seed) with its purpose and the name of who holds it.
    """

    purpose: str
    name: str
    seed: bytes

    @property
    def public_key(self) -> bytes:
        """
        Return the 32 bytes of the public key.
        """
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> str:
        """
        Return the id under which the chain names this key.
        """
        return key_id(self.purpose, self.public_key)

    def sign(self, domain: bytes, statement: bytes) -> bytes:
        """
        Return the signature, 64 bytes, of *statement* in *domain*.
        """
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(domain + statement)


def check(public_key: bytes, domain: bytes, statement: bytes, signature: bytes) -> None:
    """
    Raise SignatureInvalid unless *signature* is one of *statement* in *domain* by *public_key*.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, domain + statement)
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(f"a signature is not by key {public_key.hex()[:16]}…, or of other bytes") from error


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    purpose: str
    name: str
    key_id: str
    seed: str


def write(path: Path, pair: KeyPair) -> None:
    """
    Write *pair* to a new file that only its owner can read.
    """
    content = msgspec.json.encode(_KeyFile(pair.purpose, pair.name, pair.key_id, pair.seed.hex()))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> KeyPair:
    """
    Return the key in *path*.

    Raises:
        NotPermitted: others may read the file.
        InvalidInput: it is no key file, or its id is not that of its key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise NotPermitted(f"{path} has mode {mode:04o}, so others may read the key; run: chmod 600 {path}")
        found = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        pair = KeyPair(found.purpose, found.name, bytes.fromhex(found.seed))
        if pair.key_id != found.key_id:
            raise InvalidInput(f"{path}: the key has id {pair.key_id}, not {found.key_id}; the file was changed")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"{path} is no key file: {error}") from error
    return pair
