"""
Check who may change whose keys.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.chain.signatures import KeyPair
from ledger.domain.events.control import ChainCreated, KeyNamed, KeyRevoked, KeyRotated
from ledger.domain.rules.control import (
    REVOCATION_DOMAIN,
    ROTATION_DOMAIN,
    revocation_statement,
    rotation_statement,
)
from ledger.errors import RuleBroken
from tests.domain.books import Books

OLD, NEW, RECOVERY = (
    KeyPair(purpose, "x", bytes(31) + bytes([n]))
    for n, purpose in enumerate(("publisher", "publisher", "recovery"), start=1)
)


def named(pair: KeyPair) -> KeyNamed:
    return KeyNamed(key_id=pair.key_id, purpose=pair.purpose, name=pair.name, public_key=pair.public_key.hex())  # type: ignore[arg-type]


def books() -> Books:
    made = Books()
    made.give(ChainCreated(origin="example.com/a", format_version=1, keys=(named(OLD), named(RECOVERY))))
    return made


def rotated(by: KeyPair, also_by: KeyPair) -> KeyRotated:
    statement = rotation_statement(OLD.key_id, named(NEW))
    return KeyRotated(
        old_key_id=OLD.key_id, new_key=named(NEW), old_signature=by.sign(ROTATION_DOMAIN, statement).hex(),
        new_signature=also_by.sign(ROTATION_DOMAIN, statement).hex(),
    )  # fmt: skip


def test_a_rotation_needs_both_keys_signatures() -> None:
    """With both it is named; with another's, or for a key of another purpose, it is refused."""
    made = books()
    for wrong in (rotated(NEW, NEW), rotated(OLD, OLD), rotated(RECOVERY, NEW)):
        with pytest.raises(RuleBroken, match="signature"):
            made.give(wrong)
    made.give(rotated(OLD, NEW))
    assert made.state.chain_keys.get(NEW.key_id) is not None
    with pytest.raises(RuleBroken, match="a second time"):
        made.give(rotated(OLD, NEW))
    made.replayed()


def test_any_recovery_key_that_is_not_revoked_revokes() -> None:
    """Which one was named last is not asked: the order of rows is no part of the books."""
    others = [KeyPair("recovery", name, bytes(31) + bytes([n])) for n, name in ((8, "a"), (9, "b"))]
    for by in others:
        made = Books()
        keys = (named(OLD), *(named(pair) for pair in others))
        made.give(ChainCreated(origin="example.com/a", format_version=1, keys=keys))
        first, second = by, next(pair for pair in others if pair is not by)
        for lost, holder in ((OLD, first), (second, first)):
            signature = holder.sign(REVOCATION_DOMAIN, revocation_statement(lost.key_id, 1, "lost")).hex()
            made.give(KeyRevoked(key_id=lost.key_id, last_valid_seq=1, reason="lost", signature=signature))
        signature = second.sign(REVOCATION_DOMAIN, revocation_statement(first.key_id, 1, "lost")).hex()
        with pytest.raises(RuleBroken, match="a recovery key"):
            made.give(KeyRevoked(key_id=first.key_id, last_valid_seq=1, reason="lost", signature=signature))
        made.replayed()


def test_a_signature_in_a_payload_has_one_spelling() -> None:
    """Capitals, and spaces in the place of digits, which some readers of hexadecimal pass over, are no signature."""
    made = books()
    good = RECOVERY.sign(REVOCATION_DOMAIN, revocation_statement(OLD.key_id, 1, "lost")).hex()
    for wrong in (good.upper(), f"{good[:2]}  {good[4:]}", good[:-2]):
        with pytest.raises(RuleBroken, match="signature"):
            made.give(KeyRevoked(key_id=OLD.key_id, last_valid_seq=1, reason="lost", signature=wrong))
    made.give(KeyRevoked(key_id=OLD.key_id, last_valid_seq=1, reason="lost", signature=good))


def test_only_the_recovery_key_revokes() -> None:
    """Signed by it, the key counts no more and cannot rotate; signed by the key itself, it is refused."""
    made = books()

    def revoked(by: KeyPair, last: int) -> KeyRevoked:
        signature = by.sign(REVOCATION_DOMAIN, revocation_statement(OLD.key_id, last, "lost")).hex()
        return KeyRevoked(key_id=OLD.key_id, last_valid_seq=last, reason="lost", signature=signature)

    with pytest.raises(RuleBroken, match=r"unknown_key.*found key '00'"):
        made.give(msgspec.structs.replace(revoked(RECOVERY, 1), key_id="00"))
    with pytest.raises(RuleBroken, match="a recovery key"):
        made.give(revoked(OLD, 1))
    with pytest.raises(RuleBroken, match="has not passed"):
        made.give(revoked(RECOVERY, 2))
    made.give(revoked(RECOVERY, 1))
    with pytest.raises(RuleBroken, match="revoked"):
        made.give(rotated(OLD, NEW))
    made.replayed()
