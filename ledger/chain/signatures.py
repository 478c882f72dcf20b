"""
Sign and check statements with Ed25519, and say what is in a key file.

Every signature is over a domain string and the statement's bytes, so that one made for one purpose is never good for
another. A key id is made from purpose and public key, so that a key cannot be passed off under another id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.chain import private_files
from ledger.errors import InvalidInput, SignatureInvalid, shown

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

    def __repr__(self) -> str:
        """
        Return what may stand in a log or a traceback: never the seed.
        """
        return f"KeyPair({self.purpose!r}, {self.name!r}, {self.key_id})"

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


def encode(pair: KeyPair) -> bytes:
    """
    Return the bytes of the key file of *pair*.
    """
    return msgspec.json.encode(_KeyFile(pair.purpose, pair.name, pair.key_id, pair.seed.hex())) + b"\n"


def decode(data: bytes) -> KeyPair:
    """
    Return the key in the bytes of a key file.

    Raises:
        InvalidInput: they are none, or the id is not that of the key.
    """
    try:
        found = msgspec.json.decode(data, type=_KeyFile)
        pair = KeyPair(found.purpose, found.name, _from_digits(found.seed, 32, "seed"))
    except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError):
        # What was found is never said: it may be most of a seed.
        raise InvalidInput("it is no key file; expected purpose, name, key_id and seed as JSON") from None
    if pair.key_id != found.key_id:
        raise InvalidInput(f"the key has id {pair.key_id}, not {shown(found.key_id)}; the file was changed")
    return pair


def write(path: Path, pair: KeyPair) -> None:
    """
    Write *pair* to a new file that only its owner can read.

    Raises:
        FileExistsError: there is a file of this name; it stays as it is.
        NotPermitted: others may write the folder.
        OSError: it cannot be written; nothing is left.
    """
    private_files.write_new(path, encode(pair))


def read_for(path: Path, purpose: str) -> KeyPair:
    """
    Return the key in *path*, which has to be for *purpose*; errors as of `read`.

    Raises:
        InvalidInput: it is for another purpose.
    """
    pair = read(path)
    if pair.purpose != purpose:
        raise InvalidInput(f"{path} is the key of a {pair.purpose}; expected that of a {purpose}")
    return pair


def read(path: Path) -> KeyPair:
    """
    Return the key in *path*.

    Raises:
        NotPermitted: others may read the file, or put another in its place.
        InvalidInput: it is no key file, or its id is not that of its key.
    """
    try:
        return decode(private_files.read(path))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}; name a key file") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
