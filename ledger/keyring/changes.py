"""
Let one key take over from another, and end one: the events that say so, who signs them, and what follows from them.

A rotation is signed by both keys, so nobody can name a key for somebody else, and both count from then on. A
revocation is signed by a recovery key, which signs nothing else and lies in a safe. A revoked key names no successor:
whoever has stolen it could name one too. So a key is rotated first and revoked then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ledger.chain.signatures import KeyPair
from ledger.domain.events.control import KeyNamed, KeyRevoked, KeyRotated
from ledger.domain.rows import ChainKey
from ledger.domain.rules import control
from ledger.errors import InvalidInput, closest, shown
from ledger.evidence import note
from ledger.evidence.note import COSIGNATURE, ED25519, VerifierKey


def public_half(pair: KeyPair) -> KeyNamed:
    """
    Return what the chain says of a key.
    """
    return KeyNamed(
        key_id=pair.key_id,
        purpose=pair.purpose,  # type: ignore[arg-type]  # any other word is refused as the event is made
        name=pair.name,
        public_key=pair.public_key.hex(),
    )


def verifier_key(purpose: str, name: str, public_key: bytes, origin: str | None) -> VerifierKey | None:
    """
    Return a key as policies list it; None where they list none of its purpose, or the log's *origin* is not known.

    A log's key goes by the log's name, a witness's and a cosigning replica's by its own.
    """
    if purpose == "checkpoint":
        return VerifierKey(origin, ED25519, public_key) if origin is not None else None
    if purpose in ("replica", "witness"):
        with contextlib.suppress(InvalidInput):
            note.check_name(name)
            return VerifierKey(name, COSIGNATURE, public_key)
    return None


def rotation(old: KeyPair, new: KeyPair) -> KeyRotated:
    """
    Return the event by which *new* takes over from *old*, signed by both.

    Raises:
        InvalidInput: they are of two purposes or names, or one key.
    """
    if (old.purpose, old.name) != (new.purpose, new.name) or old == new:
        raise InvalidInput(
            f"found a {new.purpose} key of {shown(new.name)}, {new.key_id}; expected another {old.purpose} key of "
            f"{shown(old.name)}"
        )
    named = public_half(new)
    statement = control.rotation_statement(old.key_id, named)
    old_signature, new_signature = (pair.sign(control.ROTATION_DOMAIN, statement).hex() for pair in (old, new))
    return KeyRotated(old_key_id=old.key_id, new_key=named, old_signature=old_signature, new_signature=new_signature)


def revocation_signature(recovery: KeyPair, key_id: str, last_valid_seq: int, reason: str) -> str:
    """
    Return the recovery key's signature of a revocation, in hexadecimal digits.

    Raises:
        InvalidInput: it is a key for something else.
    """
    if recovery.purpose != "recovery":
        raise InvalidInput(f"found the key of a {recovery.purpose}; a revocation is signed by a recovery key")
    statement = control.revocation_statement(key_id, last_valid_seq, reason)
    return recovery.sign(control.REVOCATION_DOMAIN, statement).hex()


def revocation(key_id: str, last_valid_seq: int, reason: str, signature: str) -> KeyRevoked:
    """
    Return the event that ends a key.
    """
    return KeyRevoked(key_id=key_id, last_valid_seq=last_valid_seq, reason=reason, signature=signature)


def row_of(rows: Sequence[ChainKey], key_id: str, origin: str) -> ChainKey:
    """
    Return what the chain says of a key.

    Raises:
        InvalidInput: it does not name it.
    """
    for row in rows:
        if row.key_id == key_id:
            return row
    raise InvalidInput(
        f"the chain {origin} names no key {shown(key_id)}{closest(key_id, [row.key_id for row in rows])}; "
        "`tradeledger keys show` lists those that it names"
    )


def same_holder(rows: Sequence[ChainKey], row: ChainKey) -> list[ChainKey]:
    """
    Return every key of the purpose and name of *row*, in the order in which the chain named them.
    """
    there = (one for one in rows if (one.purpose, one.name) == (row.purpose, row.name))
    return sorted(there, key=lambda one: one.valid_from_seq)


def successor(rows: Sequence[ChainKey], row: ChainKey) -> ChainKey | None:
    """
    Return the newest key in force that the chain named after that of *row* for the same purpose and name, if any.
    """
    later = [one for one in same_holder(rows, row) if one.valid_from_seq > row.valid_from_seq and not one.revoked]
    return later[-1] if later else None


def leaves_none(rows: Sequence[ChainKey], row: ChainKey) -> bool:
    """
    Whether nobody could take the place of the key of *row* once it is revoked.

    For another recovery key any will do; of the others, each holder needs one of their own.
    """
    others = rows if row.purpose == "recovery" else same_holder(rows, row)
    return not any(one.purpose == row.purpose and not one.revoked and one.key_id != row.key_id for one in others)


def standing(row: ChainKey | None) -> str:
    """
    Return in words what a chain says of a key.
    """
    if row is None:
        return "not named by this chain"
    if row.revoked:
        return f"revoked: counts from {row.valid_from_seq} up to {row.valid_to_seq}"
    return f"in force since {row.valid_from_seq}"
