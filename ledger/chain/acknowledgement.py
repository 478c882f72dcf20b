"""
Say how far a replica has applied, signed, so that nobody else can say it.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair, key_id, key_id_bytes
from ledger.errors import InvalidInput, UnknownFormat

MAGIC: Final = b"trade-ledger/ak1"
DOMAIN: Final = b"trade-ledger/aks1"
PURPOSE: Final = "replica"

_BODY: Final = struct.Struct(">16s16sIQ32s32sq8s")


class Acknowledgement(msgspec.Struct, frozen=True):
    """
    The replica that holds key `key_id` has applied everything up to `seq`; its books add up to `state_digest` there.
    """

    chain_id: bytes
    epoch: int
    seq: int
    hash: bytes
    state_digest: bytes
    applied_at: int
    key_id: str


def _body(a: Acknowledgement) -> bytes:
    # Packing would cut or pad a value of another width, and a signature would stand for what it is not of.
    for name, width in (("chain_id", 16), ("hash", 32), ("state_digest", 32)):
        if len(getattr(a, name)) != width:
            raise InvalidInput(f"found {name} of {len(getattr(a, name))} bytes in an acknowledgement; expected {width}")
    try:
        return _BODY.pack(
            MAGIC, a.chain_id, a.epoch, a.seq, a.hash, a.state_digest, a.applied_at, key_id_bytes(a.key_id)
        )
    except struct.error as error:
        raise InvalidInput(f"a field of an acknowledgement does not fit: {error}") from error


def check(acknowledgement: Acknowledgement, signature: bytes, public_key: bytes) -> None:
    """
    Raise SignatureInvalid unless *signature* is the replica's of this acknowledgement.

    Raises:
        InvalidInput: a field has a value that no acknowledgement can have.
    """
    signatures.check(public_key, DOMAIN, _body(acknowledgement), signature)


def encode(acknowledgement: Acknowledgement, key: KeyPair) -> bytes:
    """
    Return the record's value: body and signature.
    """
    body = _body(msgspec.structs.replace(acknowledgement, key_id=key.key_id))
    return body + key.sign(DOMAIN, body)


def peek(value: bytes) -> str:
    """
    Return the key id that a record claims, unchecked.

    Raises:
        UnknownFormat: no acknowledgement.
    """
    if len(value) != _BODY.size + 64 or value[:16] != MAGIC:
        raise UnknownFormat(f"found a record of {len(value)} bytes; expected an acknowledgement")
    return str(_BODY.unpack_from(value)[7].hex())


def decode(value: bytes, public_key: bytes) -> Acknowledgement:
    """
    Return the acknowledgement in a record, once its signature by *public_key* is checked.

    Raises:
        SignatureInvalid, UnknownFormat: it counts for nothing.
    """
    peek(value)
    signatures.check(public_key, DOMAIN, value[: _BODY.size], value[_BODY.size :])
    _, chain_id, epoch, seq, head, digest, applied_at, claimed = _BODY.unpack_from(value)
    if claimed.hex() != key_id(PURPOSE, public_key):
        raise UnknownFormat(f"found an acknowledgement under key id {claimed.hex()}, which is not its signer's")
    return Acknowledgement(chain_id, epoch, seq, head, digest, applied_at, claimed.hex())
