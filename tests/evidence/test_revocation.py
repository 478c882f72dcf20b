"""
Check that a revoked key counts up to its size and no further, whoever asks: policy, witness and signer.
"""

from __future__ import annotations

import pytest

from ledger.errors import InvalidInput
from ledger.evidence import note, policy, revocation, signer, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.policy import QuorumUnmet
from ledger.evidence.revocation import KeyIsRevoked, Revoked
from ledger.evidence.witness import NOTHING, Request

ORIGIN = "ledger.example/trades"
OLD, NEW = (SigningKey(ORIGIN, ED25519, bytes([number]) * 32) for number in (1, 2))
WITNESSES = [SigningKey(f"witness.example/w{number}", COSIGNATURE, bytes([number + 7]) * 32) for number in range(2)]
LAST = 10


def signed(size: int, *keys: SigningKey) -> bytes:
    text = Checkpoint(ORIGIN, size, tree.leaf_hash(b"x")).text()
    made = [key.sign(text, 5 if key.algorithm == COSIGNATURE else None) for key in keys]
    return note.with_signatures(text, made).encode()


def trust(*more: str, quorum: str = "none") -> policy.Policy:
    logs = [f"log {key.verifier.text()}" for key in (OLD, NEW)]
    members = [f"witness w{place} {key.verifier.text()}" for place, key in enumerate(WITNESSES)]
    return policy.decode("\n".join([*logs, *members, *more, f"quorum {quorum}", ""]).encode())


def test_what_a_revoked_key_signed_counts_up_to_its_last_size() -> None:
    """At the last size it counts, one further it does not, unless a key that counts has signed too."""
    revoking = trust(revocation.line(OLD.verifier, LAST))
    assert policy.check(revoking, signed(LAST, OLD)).log.key == OLD.verifier
    with pytest.raises(KeyIsRevoked, match=r"signed by ledger\.example/trades\+.* alone, which counts no more"):
        policy.check(revoking, signed(LAST + 1, OLD))
    assert policy.check(revoking, signed(LAST + 1, OLD, NEW)).log.key == NEW.verifier
    assert policy.check(trust(), signed(LAST + 1, OLD)).log.key == OLD.verifier


def test_a_revoked_witness_makes_up_no_quorum() -> None:
    """Its cosignatures of larger trees are nobody's."""
    revoking = trust(revocation.line(WITNESSES[0].verifier, LAST), quorum="w0")
    assert policy.check(revoking, signed(LAST, OLD, WITNESSES[0])).witnesses
    with pytest.raises(QuorumUnmet, match="found cosignatures of 'w1'"):
        policy.check(revoking, signed(LAST + 1, OLD, *WITNESSES))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("revoked", "expected: revoked"),
        (f"revoked {OLD.verifier.text()}", "expected: revoked"),
        (f"revoked {OLD.verifier.text()} 01", "leading zeros"),
        (f"revoked {OLD.verifier.text()} -1", "decimal digits"),
        ("revoked nonsense 5", "verifier key"),
        (f"revoked {OLD.verifier.text()} 5\nrevoked {OLD.verifier.text()} 6", "revoked twice"),
    ],
)
def test_a_revocation_that_is_none_spoils_the_policy(line: str, says: str) -> None:
    """The line is named, as for every other."""
    with pytest.raises(InvalidInput, match=f"line [56] of the policy: .*{says}"):
        trust(line)


def test_a_witness_cosigns_nothing_larger_by_a_revoked_key() -> None:
    """With 403, as for a signature that is none; what both keys signed is cosigned."""
    logs, gone = {ORIGIN: [OLD.verifier, NEW.verifier]}, [Revoked(OLD.verifier.public_key, LAST)]

    def status(body: bytes) -> int:
        return witness.answer({}, logs, Request(0, (), body).encode(), WITNESSES[0], 5, gone).status

    assert status(signed(LAST, OLD)) == 200
    assert status(signed(LAST + 1, OLD)) == 403
    assert status(signed(LAST + 1, OLD, NEW)) == 200
    assert status(signed(LAST + 1, NEW)) == 200


def test_a_signer_counts_no_revoked_replica() -> None:
    """What it needs first has to come from keys that count."""
    needed = trust(revocation.line(WITNESSES[0].verifier, LAST), quorum="w0")
    for size, status in ((LAST, 200), (LAST + 1, 403)):
        body = Request(0, (), signed(size, WITNESSES[0])).encode()
        assert signer.answer(NOTHING, body, OLD, needed).status == status


def test_a_signer_with_two_keys_signs_with_both_and_is_one_signer() -> None:
    """Each policy is served by either signature; what is kept has both, and the old note gains the new key's."""
    nobody = policy.decode(b"quorum none\n")
    said = signer.answer(NOTHING, Request(0, (), signed(LAST)).encode(), OLD, nobody, [NEW])
    lines = witness.decode_cosignatures(said.body.encode())
    assert [line.claims(key.verifier) for line, key in zip(lines, (OLD, NEW), strict=True)] == [True, True]
    assert said.keep is not None
    for key in (OLD, NEW):
        assert note.verify(note.decode(said.keep.signed), [key.verifier])
    by_old = signer.answer(NOTHING, Request(0, (), signed(LAST)).encode(), OLD, nobody).keep
    assert by_old is not None
    assert len(note.verify(note.decode(signer.again(by_old, NEW)), [OLD.verifier, NEW.verifier])) == 2
    shown = [signed(LAST + 5, OLD)]
    assert signer.newest(by_old, shown, NEW, [OLD]).size == LAST + 5
    with pytest.raises(note.SignatureInvalid, match="give the key that it took over from"):
        signer.newest(by_old, shown, NEW)


def test_a_key_shows_no_seed() -> None:
    """Neither in a log nor in a traceback."""
    assert OLD.seed.hex() not in repr(OLD)
    assert repr(OLD.seed) not in repr(OLD)
    assert OLD.verifier.text() in repr(OLD)


def test_of_two_sizes_for_one_key_the_smaller_counts() -> None:
    """Whichever was heard of first; another key's is its own."""
    key, other = OLD.verifier.public_key, NEW.verifier.public_key
    known = trust().revoking([Revoked(key, 5)])
    assert known.revoking([Revoked(key, 9), Revoked(other, 7)]).revoked == (Revoked(key, 5), Revoked(other, 7))
    assert known.revoking([Revoked(key, 3)]).revoked == (Revoked(key, 3),)
