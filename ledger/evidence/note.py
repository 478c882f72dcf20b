"""
Sign a text for strangers, and check who signed it: C2SP signed-note, and the cosignatures of C2SP tlog-cosignature.

A note is a text, a blank line, and a line for each signature: a dash, the name of a key, and in base64 the key's id
and the signature. Who checks it knows keys beforehand; signatures of other keys are passed over, and one that claims
to be of a known key and is not makes the whole note worthless. The id of a key is made from its name, its algorithm
and its bytes, so one key never stands for two purposes.

Ed25519 (0x01) signs the text as it stands. A cosignature (0x04) signs a time in front of it, and says: at that time
this was the largest tree that I had seen of this log. This module makes no statement about what a text means.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.errors import InvalidInput, SignatureInvalid, UnknownFormat, shown

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ALGORITHMS: Final = (ED25519, COSIGNATURE)
"""The signature types read here, as the specification numbers them; both have a public key of 32 bytes."""

NOTE_LIMIT_BYTES: Final = 1_000_000
SIGNATURES_LIMIT: Final = 256
"""A reader has to accept 16; post-quantum ones, which are passed over here, take nearly 5 kB each."""

_PREFIX: Final = "\N{EM DASH} "
_TIME: Final = struct.Struct(">Q")
_SIGNATURE_BYTES: Final = 64
_PUBLIC_BYTES: Final = 32
_ID_BYTES: Final = 4


def decode_base64(text: str, what: str) -> bytes:
    """
    Return the bytes that *text* is the one spelling of in standard base64.

    Raises:
        UnknownFormat: it is not, or another text would be read as the same bytes.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnknownFormat(f"found {what} {shown(text)}; expected base64: {error}") from error
    if base64.b64encode(data).decode() != text:
        raise UnknownFormat(f"found {what} {shown(text)}; expected base64 as it is written, with no bits to spare")
    return data


def encode_base64(data: bytes) -> str:
    """
    Return *data* in standard base64.
    """
    return base64.b64encode(data).decode()


def check_name(name: str) -> None:
    """
    Raise InvalidInput unless *name* can name a key: some text without spaces, plus signs and control characters.
    """
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise InvalidInput(f"found key name {shown(name)}; expected text without spaces, '+' and control characters")


class VerifierKey(msgspec.Struct, frozen=True):
    """
    A public key that whoever checks knows beforehand: the name it signs under, its signature type, its bytes.
    """

    name: str
    algorithm: int
    public_key: bytes

    @property
    def id(self) -> bytes:
        """
        Return the 4 bytes by which a signature line names this key beside its name.
        """
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public_key).digest()[:_ID_BYTES]

    def text(self) -> str:
        """
        Return the key as a line of text (a "vkey"), as policies and people pass it on.
        """
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.algorithm]) + self.public_key)}"


def read_key(text: str) -> VerifierKey:
    """
    Return the key that *text* (a "vkey") names.

    Raises:
        InvalidInput: it is no verifier key, its id is not its key's, or its signature type is not read here.
    """
    parts = text.split("+", 2)
    try:
        name, identity, encoded = parts
        check_name(name)
        material = decode_base64(encoded, "verifier key")
    except (ValueError, UnknownFormat) as error:
        raise InvalidInput(f"found {shown(text)}; expected a verifier key: name+id+base64") from error
    if not material or material[0] not in ALGORITHMS:
        kinds = " or ".join(f"0x{kind:02x}" for kind in ALGORITHMS)
        found = f"0x{material[0]:02x}" if material else "none"
        raise InvalidInput(f"found signature type {found} in verifier key {shown(text)}; expected {kinds}")
    key = VerifierKey(name, material[0], material[1:])
    if len(key.public_key) != _PUBLIC_BYTES:
        raise InvalidInput(f"found a public key of {len(key.public_key)} bytes in {shown(text)}; expected 32")
    if key.id.hex() != identity:
        raise InvalidInput(f"found id {shown(identity)} in {shown(text)}; the key's is {key.id.hex()}: it was changed")
    return key


class NoteSignature(msgspec.Struct, frozen=True):
    """
    One signature line: the name and id of the key it claims, and what follows the id.
    """

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """
        Return the line of the note, with its end.
        """
        return f"{_PREFIX}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    def claims(self, key: VerifierKey) -> bool:
        """
        Whether this says that it is of *key*; name and id together name a key, neither alone does.
        """
        return self.name == key.name and self.key_id == key.id


class Note(msgspec.Struct, frozen=True):
    """
    A text that ends in a newline, and the signatures that were put under it, unchecked.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """
        Return the note's bytes.
        """
        return (self.text + "\n" + "".join(signature.line() for signature in self.signatures)).encode()


def decode_signature(line: str) -> NoteSignature:
    """
    Return the signature in one line, given with its end.

    Raises:
        UnknownFormat: it is no signature line.
    """
    name, space, encoded = line.removeprefix(_PREFIX).removesuffix("\n").partition(" ")
    if not line.startswith(_PREFIX) or not line.endswith("\n") or not space:
        raise UnknownFormat(f"found {shown(line)}; expected a signature line: a dash, a name and base64")
    try:
        check_name(name)
    except InvalidInput as error:
        raise UnknownFormat(str(error)) from error
    blob = decode_base64(encoded, "signature")
    if len(blob) <= _ID_BYTES:
        raise UnknownFormat(f"found a signature of {len(blob)} bytes under {shown(name)}; expected an id and more")
    return NoteSignature(name, blob[:_ID_BYTES], blob[_ID_BYTES:])


def check_text(text: str) -> None:
    """
    Raise UnknownFormat unless *text* can be a note's: lines of UTF-8 without control characters, the last one ended.
    """
    if not text.endswith("\n"):
        raise UnknownFormat(f"found a note's text that ends in {shown(text[-20:])}; expected a newline")
    for character in text:
        if character < " " and character != "\n":
            raise UnknownFormat(f"found control character {character!r} in a note; newlines alone are allowed")


def decode(data: bytes, *, least: int = 1) -> Note:
    """
    Return the note that *data* is, its signatures unchecked; one that is still to be signed may have none.

    Raises:
        UnknownFormat: it is no note, or a larger one than is read here.
    """
    if len(data) > NOTE_LIMIT_BYTES:
        raise UnknownFormat(f"found a note of {len(data)} bytes; at most {NOTE_LIMIT_BYTES} are read")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"found a note that is not UTF-8: {error.reason} at byte {error.start}") from error
    check_text(whole)
    text, blank, tail = whole.rpartition("\n\n")
    lines = tail.split("\n")[:-1]
    if not blank or len(lines) < least:
        raise UnknownFormat("found a note without signatures; expected a blank line and at least one signature line")
    if len(lines) > SIGNATURES_LIMIT:
        raise UnknownFormat(f"found a note with {len(lines)} signatures; at most {SIGNATURES_LIMIT} are read")
    return Note(text + "\n", tuple(decode_signature(line + "\n") for line in lines))


class Verified(msgspec.Struct, frozen=True):
    """
    A signature that was checked: whose it is, and for a cosignature when it was made, in seconds since 1970.
    """

    key: VerifierKey
    time: int | None = None


def _message(text: str, algorithm: int, signature: bytes) -> tuple[bytes, bytes, int | None]:
    """Return what was signed, the bare signature, and the time that a cosignature puts in front."""
    if algorithm == ED25519:
        return text.encode(), signature, None
    if len(signature) < _TIME.size:
        raise SignatureInvalid(f"found a cosignature of {len(signature)} bytes; expected a time and 64 more")
    (time,) = _TIME.unpack_from(signature)
    if time >= 1 << 63:
        raise SignatureInvalid(f"found a cosignature of second {time}; at most 2^63 - 1 can be said")
    return cosigned(text, time), signature[_TIME.size :], time


def cosigned(text: str, time: int) -> bytes:
    """
    Return the bytes that a cosignature of *text* at *time*, in seconds since 1970, signs.
    """
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def check_signature(text: str, signature: NoteSignature, key: VerifierKey) -> Verified:
    """
    Check that *signature* is of *text* by *key*.

    Raises:
        SignatureInvalid: it is not.
    """
    if not signature.claims(key):
        raise SignatureInvalid(f"a signature under {shown(signature.name)} does not claim to be of {key.text()}")
    message, bare, time = _message(text, key.algorithm, signature.signature)
    try:
        if len(bare) != _SIGNATURE_BYTES:
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(bare, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(f"the signature under {key.name} is not by its key {key.id.hex()}") from error
    return Verified(key, time)


def is_by(note: Note, keys: Iterable[VerifierKey]) -> bool:
    """
    Whether one of *keys* has signed *note*, whatever else stands under it: a false line is anybody's.
    """
    known = {(key.name, key.id): key for key in keys}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            with contextlib.suppress(SignatureInvalid):
                check_signature(note.text, signature, key)
                return True
    return False


def verify(note: Note, keys: Iterable[VerifierKey]) -> tuple[Verified, ...]:
    """
    Return the signatures of *note* by known *keys*, each checked; those of other keys are passed over.

    A key that signed twice counts once.

    Raises:
        SignatureInvalid: one that claims to be of a known key is not, or no known key signed.
    """
    known = {(key.name, key.id): key for key in keys}
    verified: dict[tuple[str, bytes], Verified] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            verified.setdefault((key.name, key.id), check_signature(note.text, signature, key))
    if not verified:
        named = ", ".join(signature.name for signature in note.signatures)
        raise SignatureInvalid(f"found signatures under {shown(named)} and none by a known key")
    return tuple(verified.values())


class SigningKey(msgspec.Struct, frozen=True):
    """
    A private key: the name it signs under, its signature type, and its seed of 32 bytes.
    """

    name: str
    algorithm: int
    seed: bytes

    def __repr__(self) -> str:
        """
        Return what may stand in a log or a traceback: never the seed.
        """
        return f"SigningKey({self.verifier.text()!r})"

    @property
    def verifier(self) -> VerifierKey:
        """
        Return the public half, for those who check.
        """
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerifierKey(self.name, self.algorithm, public.public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, text: str, time: int | None = None) -> NoteSignature:
        """
        Return the signature of *text*; a cosignature takes the *time*, in seconds since 1970.

        Raises:
            InvalidInput: a cosignature without a time, a plain one with it, or a name that cannot sign.
            UnknownFormat: the text cannot be a note's.
        """
        check_name(self.name)
        check_text(text)
        if (self.algorithm == COSIGNATURE) != (time is not None):
            raise InvalidInput("a cosignature is made with a time, and a plain signature without one")
        message, stamp = (text.encode(), b"") if time is None else (cosigned(text, time), _TIME.pack(time))
        made = Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)
        return NoteSignature(self.name, self.verifier.id, stamp + made)


def with_signatures(text: str, signatures: Sequence[NoteSignature]) -> Note:
    """
    Return the note of *text* under *signatures*, the first of each line only.
    """
    check_text(text)
    return Note(text, tuple(dict.fromkeys(signatures)))
