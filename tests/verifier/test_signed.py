"""
Check which of the checkpoints that a region keeps count, where keys were changed and ended, without a database.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from ledger.domain.rows import ChainKey
from ledger.errors import SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.policy import Policy
from ledger.evidence.revocation import KeyIsRevoked
from tests.sealing.logs import KEY as OLD
from tests.sealing.logs import WITNESSES, Log
from verifier.report import Finding
from verifier.signed import Signed, nobodys_word, unknown_word, unlisted_word
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


def test_a_policy_may_list_the_key_that_took_over_alone() -> None:
    """What its forerunner signed is passed over beneath one that the policy accepts, and a finding above all those."""
    keys = [named(OLD, 1), named(NEW, ROTATED_AT)]
    rows = [row(20, OLD), row(25, OLD), row(33, NEW, OLD), row(36, OLD), row(40, NEW)]
    signed = Signed(OLD.name, keys, trust(NEW))
    assert found(signed, rows) == []
    (said,) = signed.nobodys()
    assert said.startswith(
        "who signed 3 checkpoints of 20 to 36 events: a key that the chain names and the policy does"
    )
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == 40
    signed = Signed(OLD.name, keys, trust(NEW))
    told = found(signed, [*rows[:3], row(36, OLD), row(38, OLD)])
    assert [(one.kind, one.seq, one.key) for one in told] == [
        ("CHECKPOINT_SIG", 36, ("36",)), ("CHECKPOINT_SIG", 38, ("38",)),
    ]  # fmt: skip
    assert "2 checkpoints of 20 to 25" in signed.nobodys()[0]


def test_only_a_key_of_the_chain_is_passed_over_and_only_without_a_false_signature() -> None:
    keys = [named(OLD, 1), named(NEW, ROTATED_AT)]
    told = found(Signed(OLD.name, [keys[1]], trust(NEW)), [row(35, OLD), row(40, NEW)])
    assert {one.key for one in told} == {("35",)}
    text = LOG.text(25)
    false = (OLD.sign(text), msgspec.structs.replace(WITNESS.sign(text, 1), signature=bytes(72)))
    bad = CheckpointRow(25, checkpoint.decode(text).root, note.with_signatures(text, false).encode(), 1)
    told = found(Signed(OLD.name, keys, trust(NEW)), [bad, row(40, NEW)])
    assert {one.key for one in told} == {("25",)}


def test_a_lost_event_that_named_a_key_accuses_none_of_its_checkpoints_by_itself() -> None:
    """Where the policy lists the key that took over, and the event that named the one before it is gone."""
    rows = [row(20, OLD), row(25, OLD), row(33, OLD, NEW), row(40, NEW)]
    signed = Signed(OLD.name, [named(NEW, ROTATED_AT)], trust(NEW), None, 1)
    told = found(signed, rows)
    assert [(one.seq, one.after) for one in told] == [(20, 1), (25, 1)]
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == 40


@pytest.mark.parametrize("signer", [NEW, THIEF])
def test_a_false_signature_is_told_also_where_an_event_is_lost(signer: SigningKey) -> None:
    """Whether it is said to be of the policy's log, or of its witness."""
    text = LOG.text(25)
    lines = [signer.sign(text), WITNESS.sign(text, 1)]
    which = 0 if signer is NEW else 1
    lines[which] = msgspec.structs.replace(lines[which], signature=bytes(len(lines[which].signature)))
    bad = CheckpointRow(25, checkpoint.decode(text).root, note.with_signatures(text, lines).encode(), 1)
    told = found(Signed(OLD.name, [], trust(NEW), None, 1), [bad, row(40, NEW)])
    assert [one.after for one in told if one.seq == 25] == [1, None]


def test_a_policy_without_a_log_of_this_origin_accepts_nothing_also_where_an_event_is_lost() -> None:
    """No lost event makes up for that: what a stranger signed and its witness has seen is told by itself."""
    elsewhere = SigningKey("another.example/log", ED25519, bytes([79]) * 32)
    told = found(Signed(OLD.name, [], trust(elsewhere), None, 1), [row(25, THIEF)])
    assert [(one.expected, one.after) for one in told if one.seq == 25] == [
        ("signed by a key, and the chain names none for checkpoints", 1), ("what the policy accepts", None),
    ]  # fmt: skip


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


def test_what_a_note_says_otherwise_than_its_row_is_named() -> None:
    """Origin, size and root, each with both sides; and what is no note at all."""
    good = row(20, OLD)
    root = good.root.hex()
    cases = [
        (msgspec.structs.replace(good, size=19), OLD.name, [("size 19", "20", ("19",))]),
        (msgspec.structs.replace(good, root=bytes(32)), OLD.name, [(f"root {bytes(32).hex()}", root, ("20",))]),
        (good, "another.example/log", [("origin another.example/log", OLD.name, ("20",))]),
    ]
    for changed, origin, expected in cases:
        for given in (None, trust(OLD)):
            told = Signed(origin, [named(OLD, 1)], given).check(changed)[: len(expected)]
            assert [(one.expected, one.actual, one.key) for one in told] == expected
            assert {(one.kind, one.table, one.column) for one in told} == {("CHECKPOINT_SIG", "checkpoints", "note")}
    (none,) = Signed(OLD.name, KEYS, None).check(CheckpointRow(5, bytes(32), b"no note", 1))
    with pytest.raises(UnknownFormat) as said:
        checkpoint.decode_note(b"no note")
    assert (none.kind, none.expected, none.actual) == ("CHECKPOINT_SIG", "a signed checkpoint", str(said.value))
    assert (none.column, none.key) == ("note", ("5",))


def test_who_should_have_signed_is_said() -> None:
    """The keys that the chain names for that size, or that it names none; of a policy, that it did not accept."""
    both = [named(OLD, 1), named(NEW, 1), msgspec.structs.replace(named(THIEF, 1), purpose="replica")]
    (by_two,) = Signed(OLD.name, both, None).check(row(25, THIEF))
    assert by_two.expected == f"signed by {OLD.verifier.text()}, {NEW.verifier.text()}"
    (by_none,) = Signed(OLD.name, [named(NEW, 26), named(OLD, 1, 24)], None).check(row(25, THIEF))
    assert by_none.expected == "signed by a key, and the chain names none for checkpoints of this size"
    assert by_none.actual not in ("", "None")
    at_ends = Signed(OLD.name, [named(OLD, 25, 25)], None)
    assert at_ends.check(row(25, OLD)) == []
    assert [one.kind for one in at_ends.check(row(26, OLD)) + at_ends.end()] == ["CHECKPOINT_SIG"]
    told = found(Signed(OLD.name, [named(NEW, 1)], trust(OLD)), [row(25, NEW)])[:1]
    assert [(one.kind, one.expected) for one in told] == [("CHECKPOINT_SIG", "what the policy accepts")]
    assert told[0].actual not in ("", "None")


def test_whom_the_quorum_has_not_seen_is_said() -> None:
    """No checkpoint at all, or none of those up to the last; one that was brought makes up for it."""

    def unmet(actual: str) -> list[Finding]:
        return [Finding("QUORUM_UNMET", "a checkpoint that w has cosigned", actual, table="checkpoints", key=())]

    nothing = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    assert nothing.is_empty
    assert nothing.end() == unmet("no checkpoint at all")
    unseen = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    assert found(unseen, [row(20, OLD, cosigned=False), row(21, OLD, cosigned=False)]) == unmet(
        "none of those up to 21 events"
    )
    assert not unseen.is_empty
    unseen.bring(row(19, OLD).note)
    assert unseen.end() == []
    assert unseen.newest is not None
    assert unseen.newest.checkpoint.size == 19
    brought = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    brought.bring(b"no note")
    brought.bring(row(18, THIEF).note)
    assert brought.is_empty
    brought.bring(row(19, OLD).note)
    assert not brought.is_empty
    alone = Signed(OLD.name, [named(OLD, 1)], None)
    alone.bring(row(19, OLD).note)
    assert (alone.end(), alone.newest, alone.is_empty) == ([], None, True)


def test_the_newest_that_counts_is_the_largest() -> None:
    """In whatever order they are met."""
    signed = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    for size in (20, 30, 25):
        assert signed.check(row(size, OLD)) == []
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == 30
    assert signed.nobodys() == []


def test_one_event_makes_a_checkpoint_that_counts() -> None:
    """The smallest."""
    signed = Signed(OLD.name, [named(OLD, 1)], trust(OLD))
    assert signed.check(row(1, OLD)) == []
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == 1


@pytest.mark.parametrize("size", [25, 31])
def test_a_checkpoint_that_counts_covers_none_as_large_or_larger(size: int) -> None:
    """Brought by the auditor, after one that an ended key signed last."""
    signed = Signed(OLD.name, KEYS, trust(OLD, NEW))
    assert signed.check(row(31, OLD)) == []
    signed.bring(row(size, NEW).note)
    assert signed.nobodys() == []
    assert [one.key for one in signed.end()] == [("31",)]


def test_what_is_nobodys_word_is_counted() -> None:
    """One by its size, several by their first and last, also where they came at several times."""
    said = (
        "who signed {} events: a key alone that was revoked for such sizes, so it is nobody's word; a larger one that "
        "counts covers the same events"
    )
    signed = Signed(OLD.name, KEYS, trust(OLD, NEW))
    assert found(signed, [row(21, OLD), row(31, NEW)]) == []
    assert signed.nobodys() == [said.format("the checkpoint of 21")]
    assert found(signed, [row(33, OLD), row(34, OLD), row(35, NEW)]) == []
    assert signed.nobodys() == [said.format("3 checkpoints of 21 to 34")]
    assert [one.key for one in found(signed, [row(36, OLD)])] == [("36",)]
    at_once = Signed(OLD.name, KEYS, None)
    assert found(at_once, [row(31, OLD), row(31, NEW)]) != []


def test_whose_ended_key_it_is_is_said() -> None:
    """Every one of them, with the size after which it counts no more."""
    ended = [named(OLD, 1, 20), named(NEW, 1, 22), named(THIEF, 30)]
    (both,) = found(Signed(OLD.name, ended, None), [row(25, OLD, NEW)])
    assert both.actual == (
        f"a signature by {OLD.verifier.text()}, revoked after 20, {NEW.verifier.text()}, revoked after 22, and by no "
        "other key of the chain"
    )
    later = [named(NEW, 40, 50)]
    (unknown,) = found(Signed(OLD.name, later, None), [row(25, NEW)])
    assert "revoked after" not in unknown.actual


def refused(size: int, expected: str, actual: str) -> Finding:
    return Finding("CHECKPOINT_SIG", expected, actual, size, "checkpoints", (str(size),), "note")


def test_what_is_wrong_with_a_signature_is_said_with_its_place() -> None:
    """By the chain, by the policy, and by a policy that alone knows of the end."""
    stranger = row(25, THIEF)
    with pytest.raises(SignatureInvalid) as by_chain:
        note.verify(note.decode(stranger.note), [OLD.verifier])
    own = f"signed by {OLD.verifier.text()}"
    assert Signed(OLD.name, [named(OLD, 1)], None).check(stranger) == [refused(25, own, str(by_chain.value))]
    with pytest.raises(SignatureInvalid) as by_policy:
        policy.check(trust(OLD), row(25, NEW).note)
    told = found(Signed(OLD.name, [named(NEW, 1)], trust(OLD)), [row(25, NEW)])[:1]
    assert told == [refused(25, "what the policy accepts", str(by_policy.value))]
    knowing = trust(OLD, revoked=f"revoked {OLD.verifier.text()} {LAST_GOOD}\n")
    with pytest.raises(KeyIsRevoked) as ended:
        policy.check(knowing, row(25, OLD).note)
    of_policy = found(Signed(OLD.name, [named(OLD, 1)], knowing), [row(25, OLD)])
    assert of_policy[0] == refused(25, "what the policy accepts", str(ended.value))


def test_what_an_ended_key_signed_is_said_with_its_place() -> None:
    """Beside what else is wrong with the row; also where the key counts for nothing from its first size on."""
    none = "signed by a key, and the chain names none for checkpoints of this size"
    actual = f"a signature by {OLD.verifier.text()}, revoked after 20, and by no other key of the chain"
    assert found(Signed(OLD.name, [named(OLD, 1, 20)], None), [row(25, OLD)]) == [refused(25, none, actual)]
    other = msgspec.structs.replace(row(25, OLD), root=bytes(32))
    both = Signed(OLD.name, [named(OLD, 1, 20)], None).check(other)
    assert [one.expected for one in both] == [f"root {bytes(32).hex()}", none]
    (first,) = found(Signed(OLD.name, [named(OLD, 25, 10)], None), [row(25, OLD)])
    assert "revoked after 10" in first.actual


def test_what_is_met_is_the_largest_that_the_events_reach() -> None:
    """The newest may be of more than was read: its root was not held against them."""
    rows = [row(20, OLD), row(33, NEW), row(40, NEW)]
    for upto, met in ((None, 40), (40, 40), (39, 33), (33, 33), (20, 20), (19, None)):
        signed = Signed(OLD.name, KEYS, trust(OLD, NEW), upto)
        assert found(signed, rows) == []
        signed.bring(row(33, NEW).note)
        assert signed.newest is not None
        assert signed.newest.checkpoint.size == 40
        assert (None if signed.met is None else signed.met.checkpoint.size) == met


def test_what_a_key_signed_that_the_policy_does_not_list_is_told_in_full() -> None:
    """From the first size that the chain names it for; one that was passed over is told as one."""
    keys = [named(OLD, 25), named(NEW, ROTATED_AT)]
    signed = Signed(OLD.name, keys, trust(NEW))
    assert found(signed, [row(25, OLD), row(40, NEW)]) == []
    assert signed.nobodys() == [
        "who signed the checkpoint of 25 events: a key that the chain names and the policy does not list, as before "
        "another took over; a larger one that the policy accepts covers the same events"
    ]
    (told,) = found(Signed(OLD.name, keys, trust(NEW)), [row(40, NEW), row(45, OLD)])
    assert (told.kind, told.expected, told.seq) == ("CHECKPOINT_SIG", "what the policy accepts", 45)
    assert (told.table, told.key, told.column) == ("checkpoints", ("45",), "note")


def test_beneath_is_less_and_what_is_beside_or_above_stays() -> None:
    """A checkpoint covers no other of its own size, whoever signed it; of two of one size the first was met."""
    signed = Signed(OLD.name, [named(OLD, 1), named(NEW, 25)], trust(NEW))
    for one in (row(1, NEW, OLD), row(20, OLD), row(25, OLD), row(36, OLD)):
        assert signed.check(one) == []
    assert signed.met is not None
    assert signed.met.checkpoint.size == 1
    signed.bring(row(25, NEW).note)
    met = signed.met
    assert [one.seq for one in signed.end()] == [25, 36]
    assert signed.nobodys() == [unlisted_word(1, 20, 20)]
    signed.bring(row(25, NEW).note)
    assert signed.met is met
    assert met.checkpoint.size == 25


def test_of_sizes_the_first_and_the_last_are_said() -> None:
    """In one sentence, however many there are."""
    for said in (nobodys_word, unlisted_word, unknown_word):
        assert said(1, 5, 5).startswith("who signed the checkpoint of 5 events: ")
        assert said(3, 5, 9).startswith("who signed 3 checkpoints of 5 to 9 events: ")
    assert unknown_word(1, 5, 5) == (
        "who signed the checkpoint of 5 events: no key that the policy lists, and which keys the chain names was not "
        "read; a larger one that the policy accepts covers the same events"
    )


def test_where_the_event_that_names_a_key_is_lost_the_policy_is_asked_all_the_same() -> None:
    """What the chain's own keys do not say may follow from that alone; who has seen the checkpoint is known."""
    signed = Signed(OLD.name, [], trust(OLD), None, 1)
    rows = [row(20, OLD), row(25, OLD)]
    wrong = [one for kept in rows for one in signed.check(kept)]
    assert [(one.kind, one.after) for one in wrong] == [("CHECKPOINT_SIG", 1)] * 2
    assert signed.end() == []
    assert signed.newest is not None
    assert signed.newest.checkpoint.size == 25
    for lost, after in ((25, 25), (26, None)):
        later = Signed(OLD.name, [], trust(OLD), None, lost)
        assert [one.after for one in later.check(row(25, OLD))] == [after]
