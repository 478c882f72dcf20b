"""
Check what a verifier learns of keys from a chain's own events, and that only a recovery key ends one.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.chain.signatures import KeyPair
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated, KeyRevoked
from ledger.domain.events.fields import Event
from ledger.domain.rows import ChainKey
from ledger.evidence import policy
from ledger.evidence.revocation import Revoked
from ledger.keyring import changes
from verifier.revocations import KINDS, KeyHistory, revoked

OLD, NEW = (KeyPair("checkpoint", "signer", bytes([number]) * 32) for number in (1, 2))
PUBLISHER, REPLICA, RECOVERY, THIEF = (
    KeyPair(purpose, "x", bytes([number]) * 32)
    for number, purpose in enumerate(("publisher", "replica", "recovery", "recovery"), 3)
)


def revoking(pair: KeyPair, last: int, by: KeyPair = RECOVERY) -> KeyRevoked:
    return changes.revocation(
        pair.key_id, last, "stolen", changes.revocation_signature(by, pair.key_id, last, "stolen")
    )


def history(*events: Event) -> KeyHistory:
    named = tuple(changes.public_half(pair) for pair in (OLD, PUBLISHER, REPLICA, RECOVERY))
    created = ChainCreated(origin="o", format_version=1, keys=named)
    made = KeyHistory()
    for seq, event in enumerate((created, *events), 1):
        assert type(event).__name__ in KINDS
        made.take(seq, type(event).__name__, 1, registry.encode_given(event))
    return made


def test_a_revoked_key_is_learned_with_its_last_size() -> None:
    """Those that sign checkpoints; a publisher's revocation says nothing about them."""
    found = history(changes.rotation(OLD, NEW), revoking(OLD, 1), revoking(REPLICA, 2), revoking(PUBLISHER, 1))
    assert found.findings == []
    assert set(found.revoked()) == {Revoked(OLD.public_key, 1), Revoked(REPLICA.public_key, 2)}
    assert history(changes.rotation(OLD, NEW)).revoked() == ()


def test_the_keys_that_sign_checkpoints_have_a_first_size_and_an_end_where_they_were_ended() -> None:
    """Keys of other purposes sign none."""
    assert history().checkpoint_keys() == [(OLD.public_key, 1, None)]
    old, new = history(changes.rotation(OLD, NEW), revoking(OLD, 1)).checkpoint_keys()
    assert (old, new[0], new[2]) == ((OLD.public_key, 1, 1), NEW.public_key, None)


@pytest.mark.parametrize(
    "event",
    [
        revoking(OLD, 1, THIEF),
        revoking(NEW, 1),
        revoking(OLD, 2),
        msgspec.structs.replace(revoking(OLD, 1), last_valid_seq=0),
        msgspec.structs.replace(revoking(OLD, 1), reason="lost"),
    ],
)
def test_what_no_recovery_key_signed_ends_nothing(event: KeyRevoked) -> None:
    """A stranger's signature, an unknown key, a size to come, a statement that was changed: a finding, and no end."""
    found = history(event)
    assert found.revoked() == ()
    (one,) = found.findings
    assert (one.kind, one.seq, one.column, one.table) == ("STATE_MISMATCH", 2, "payload", None)
    assert one.expected == "an event about keys that is by the rules"
    assert isinstance(one.actual, str)
    assert len(one.actual) > len("None")


def row(**changes: object) -> ChainKey:
    made = ChainKey(key_id=OLD.key_id, purpose="checkpoint", name="s", public_key=OLD.public_key.hex(),
                    valid_from_seq=1, valid_to_seq=5, revoked=True)  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_only_keys_that_sign_checkpoints_and_were_revoked_count_no_more() -> None:
    """A key that another followed is not revoked by that, and one for segments says nothing of checkpoints."""
    assert revoked([row()]) == revoked([row(purpose="replica")]) == (Revoked(OLD.public_key, 5),)
    others = [row(revoked=False), row(valid_to_seq=None), row(purpose="publisher"), row(purpose="recovery")]
    assert revoked(others) == ()
    assert revoked([*others, row()]) == (Revoked(OLD.public_key, 5),)


def test_bytes_that_are_no_event_are_a_finding() -> None:
    """Whatever they are."""
    made = history()
    for given in (b"", b"{}", b"[" * 100_000, b"\xff"):
        made.take(2, "KeyRevoked", 1, given)
    made.take(2, "KeyRevoked", 99, b"{}")
    assert [one.kind for one in made.findings] == ["STATE_MISMATCH"] * 5


def test_of_policy_and_chain_the_smaller_size_counts() -> None:
    """An auditor who heard of it first is not talked out of it by the chain, nor the other way round."""
    key = OLD.public_key
    trust = policy.decode(b"quorum none\n").revoking([Revoked(key, 5)])
    for more, size in ((3, 3), (9, 5)):
        both = trust.revoking([Revoked(key, more)])
        assert both.revoked == (Revoked(key, size),)
        assert (both.counts(key, size), both.counts(key, size + 1)) == (True, False)
