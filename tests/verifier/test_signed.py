"""
Check which of the checkpoints that a region keeps count, where keys were changed and ended, without a database.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ledger.domain.rows import ChainKey
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.policy import Policy
from tests.sealing.logs import KEY as OLD
from tests.sealing.logs import WITNESSES, Log
from verifier.report import Finding
from verifier.signed import Signed
from verifier.stored import CheckpointRow

LOG = Log()
NEW, THIEF = (SigningKey(OLD.name, ED25519, bytes([number]) * 32) for number in (77, 78))
WITNESS = WITNESSES[0]
LAST_GOOD, ROTATED_AT = 20, 30


def named(key: SigningKey, first: int, last: int | None = None) -> ChainKey:
    return ChainKey(key_id=key.verifier.id.hex(), purpose="checkpoint", name="signer",
                    public_key=key.verifier.public_key.hex(), valid_from_seq=first, valid_to_seq=last,
                    revoked=last is not None)  # fmt: skip


KEYS = [named(OLD, 1, LAST_GOOD), named(NEW, ROTATED_AT)]


def trust(*keys: SigningKey, revoked: str = "") -> Policy:
    logs = "".join(f"log {key.verifier.text()}\n" for key in keys)
    return policy.decode(f"{logs}witness w {WITNESS.verifier.text()}\nquorum w\n{revoked}".encode())


def row(size: int, *keys: SigningKey, cosigned: bool = True) -> CheckpointRow:
    text = LOG.text(size)
    lines = [key.sign(text) for key in keys] + ([WITNESS.sign(text, 1)] if cosigned else [])
    return CheckpointRow(size, checkpoint.decode(text).root, note.with_signatures(text, lines).encode(), 1)


def found(signed: Signed, rows: Sequence[CheckpointRow]) -> list[Finding]:
    return [*(one for row in rows for one in signed.check(row)), *signed.end()]


@pytest.mark.parametrize(
    "given", [trust(OLD, NEW), trust(OLD, NEW, revoked=f"revoked {OLD.verifier.text()} 20\n"), None]
)
def test_a_key_that_was_changed_and_ended_as_it_should_be_leaves_nothing_wrong(given: Policy | None) -> None:
    """What the old one signed between its last good size and the change is nobody's word, and no finding."""
    rows = [row(LAST_GOOD, OLD), row(25, OLD), row(31, OLD), row(33, NEW, OLD), row(40, NEW)]
    signed = Signed(OLD.name, KEYS, given)
    assert found(signed, rows) == []
    (said,) = signed.nobodys()
    assert "2 checkpoints of 25 to 31 events" in said
    if given is not None:
        assert signed.newest is not None
        assert signed.newest.checkpoint.size == 40


def test_a_policy_that_alone_knows_of_the_end_leaves_nothing_wrong_either() -> None:
    """As where a thief kept the revocation out of the chain."""
    given = trust(OLD, NEW, revoked=f"revoked {OLD.verifier.text()} {LAST_GOOD}\n")
    signed = Signed(OLD.name, [named(OLD, 1), named(NEW, ROTATED_AT)], given)
    assert found(signed, [row(25, OLD), row(40, NEW)]) == []
    assert "the checkpoint of 25 events" in signed.nobodys()[0]


@pytest.mark.parametrize(
    "newer", [[], [row(40, OLD)], [row(40, NEW, cosigned=False)], [row(40, THIEF)]],
    ids=["none", "by the old key", "seen by no witness", "by a stranger"],
)  # fmt: skip
def test_what_an_ended_key_signed_last_is_a_finding(newer: list[CheckpointRow]) -> None:
    """Until a checkpoint that counts covers it; the finding says whose key it is and since when it counts no more."""
    signed = Signed(OLD.name, KEYS, trust(OLD, NEW))
    wrong = found(signed, [row(LAST_GOOD, OLD), row(31, OLD), *newer])
    assert {one.kind for one in wrong} == {"CHECKPOINT_SIG"}
    (first,) = [one for one in wrong if one.key == ("31",)]
    assert f"{OLD.verifier.text()}, revoked after {LAST_GOOD}" in first.actual
    assert signed.nobodys() == []
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == LAST_GOOD


@pytest.mark.parametrize("key", [THIEF, NEW], ids=["a stranger's", "one before it was named"])
def test_a_signature_that_was_never_good_stays_a_finding(key: SigningKey) -> None:
    """Whatever was signed after it."""
    signed = Signed(OLD.name, KEYS, trust(OLD, NEW))
    assert [(one.kind, one.key) for one in found(signed, [row(25, key), row(40, NEW)])] == [("CHECKPOINT_SIG", ("25",))]


def test_a_false_line_beside_an_ended_keys_stays_a_finding() -> None:
    """It claims to be of the key in force, or of a witness."""
    for false in (NEW.sign("another text\n"), WITNESS.sign("another text\n", 1)):
        before = note.decode(row(31, OLD, cosigned=False).note)
        whole = note.with_signatures(before.text, [*before.signatures, false]).encode()
        forged = CheckpointRow(31, checkpoint.decode(before.text).root, whole, 1)
        signed = Signed(OLD.name, KEYS, trust(OLD, NEW))
        assert "31" in {one.key[0] for one in found(signed, [forged, row(40, NEW)]) if one.key}


def test_a_checkpoint_of_no_events_is_nobodys_word_for_any() -> None:
    """Every witness shows one at first; brought by the auditor, it does not make up for those that nobody has seen."""
    text = Checkpoint(OLD.name, 0, tree.EMPTY_ROOT).text()
    signed = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    assert signed.check(row(20, OLD, cosigned=False)) == []
    signed.bring(note.with_signatures(text, (OLD.sign(text), WITNESS.sign(text, 1))).encode())
    assert signed.newest is None
    assert [one.kind for one in signed.end()] == ["QUORUM_UNMET"]
