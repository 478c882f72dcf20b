"""
Check that an archive's own events about keys say which checkpoints in it count.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated
from ledger.domain.events.fields import Event
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.policy import Policy
from ledger.evidence.revocation import Revoked
from ledger.keyring import changes
from tests.archiving.chains import CHAIN_ID, ORIGIN, POLICY, POLICY_TEXT, chain, reader, signed, silent
from tests.archiving.written import verify
from verifier.archive.verification import UNKNOWN_KEYS
from verifier.vouching import NOBODYS

OLD, NEW = (KeyPair("checkpoint", "signer", secret) for secret in (bytes(range(32)), bytes(32)))
RECOVERY = KeyPair("recovery", "safe", bytes([7]) * 32)
SIZE = 300


def revocation(last: int, by: KeyPair = RECOVERY) -> Event:
    return changes.revocation(OLD.key_id, last, "stolen", changes.revocation_signature(by, OLD.key_id, last, "stolen"))


def history(revoked: Event, *, seq: int = 280) -> tuple[RecordedEvent, ...]:
    """A chain of one event a group, whose first names the keys, whose second changes one and of which one ends it."""
    named = tuple(changes.public_half(pair) for pair in (OLD, RECOVERY))
    events: dict[int, Event] = {
        1: ChainCreated(origin=ORIGIN, format_version=1, keys=named), 2: changes.rotation(OLD, NEW), seq: revoked,
    }  # fmt: skip
    made: list[RecordedEvent] = []
    for event in chain(SIZE, largest=1):
        before = made[-1].hash if made else event.prev_hash
        said = events.get(event.seq)
        if said is not None:
            name, given = type(said).__name__, registry.encode_given(said)
            asked = entry.request_hash(event.salt, [(name, 1, event.occurred_at, given)])
            event = msgspec.structs.replace(event, event_type=name, request_hash=asked,
                                            payload=b'{"derived":{},"given":%s}' % given)  # fmt: skip
        event = msgspec.structs.replace(event, prev_hash=before)
        made.append(msgspec.structs.replace(event, hash=blake3(entry.encode(event)).digest()))
    return tuple(made)


def write(folder: Path, events: tuple[RecordedEvent, ...], *sizes: int, key: SigningKey | None = None) -> None:
    archive = Archive(Folder(folder), CHAIN_ID, ORIGIN)
    for size in sizes:
        note = signed(events, size) if key is None else signed(events, size, key)
        archive.extend(note, reader(events), POLICY_TEXT, silent)


def trusting(*keys: SigningKey) -> Policy:
    """The auditor's policy, by which each of these keys is the log's."""
    logs = [msgspec.structs.replace(POLICY.logs[0], key=key.verifier) for key in keys]
    return msgspec.structs.replace(POLICY, logs=(*POLICY.logs, *logs))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_key_signed_after_its_end_does_not_count(tmp_path: Path, jobs: int) -> None:
    """The auditor's policy knows nothing of it; the events in the archive do."""
    write(tmp_path, history(revocation(279)), 256, SIZE)
    report = verify(tmp_path, jobs=jobs)
    assert [(one.kind, one.key) for one in report.findings] == [
        ("CHECKPOINT_SIG", ("checkpoint",)),
        ("CHECKPOINT_SIG", ("checkpoints/300",)),
    ]
    assert "counts no more at that size" in report.findings[0].actual
    assert not report.checkpoints[0].accepted
    assert report.trusted == [NOBODYS]


def test_what_it_signed_before_does_and_so_does_its_successor(tmp_path: Path) -> None:
    """The newest is the new key's, an older one is the revoked key's from when it counted."""
    events, successor = history(revocation(279)), SigningKey(ORIGIN, ED25519, bytes(32))
    write(tmp_path, events, 256)
    write(tmp_path, events, SIZE, key=successor)
    report = verify(tmp_path, trust=trusting(successor))
    assert (report.verdict, report.findings) == ("verified", [])


def test_a_policy_may_list_the_key_that_took_over_alone(tmp_path: Path) -> None:
    """Older checkpoints by its forerunner, which the chain names, are passed over; by a stranger's key they are not."""
    events, successor = history(revocation(279)), SigningKey(ORIGIN, ED25519, bytes(32))
    write(tmp_path, events, 256)
    write(tmp_path, events, SIZE, key=successor)
    trust = trusting(successor)
    trust = msgspec.structs.replace(trust, logs=trust.logs[1:])
    report = verify(tmp_path, trust=trust)
    assert (report.verdict, report.findings) == ("verified", [])
    assert any("the checkpoint of 256 events: a key that the chain names" in line for line in report.not_covered)
    # So it is of one beyond the size up to which the chain lets the key count.
    (tmp_path / "checkpoints" / "290").write_bytes(signed(events, 290))
    report = verify(tmp_path, trust=trust)
    assert (report.verdict, report.findings) == ("verified", [])
    assert any("who signed the checkpoint of 290 events: a key alone that was revoked" in x for x in report.not_covered)
    # Of a part of the archive, or where the event that names it is lost, no key is known to be the chain's, or not.
    for change in (False, True):
        if change:
            (tmp_path / "segment" / "000").rename(tmp_path.parent / "kept")
        report = verify(tmp_path, trust=trust, first=None if change else 257)
        assert not [one for one in report.findings if one.kind == "CHECKPOINT_SIG"]
        assert any(
            line.startswith("who signed 2 checkpoints of 256 to 290 events: no key") for line in report.not_covered
        )
    (tmp_path.parent / "kept").rename(tmp_path / "segment" / "000")
    (tmp_path / "checkpoints" / "290").unlink()
    # By a stranger's key, or of other entries by the chain's own, which convicts no key that the policy trusts.
    stranger = SigningKey(ORIGIN, ED25519, bytes([9]) * 32)
    for other in (signed(events, 256, stranger), signed(chain(SIZE, seed=3), 256)):
        (tmp_path / "checkpoints" / "256").write_bytes(other)
        (found,) = verify(tmp_path, trust=trust).findings
        assert (found.kind, found.key) == ("CHECKPOINT_SIG", ("checkpoints/256",))


def _another_payload(folder: Path) -> None:
    """Put other content in the place of what the first event says."""
    path = folder / "segment" / "000"
    path.write_bytes(
        gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"format_version":1', b'"format_version":2'))
    )


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda folder: (folder / "segment" / "000").unlink(), "ARCHIVE_MISSING"),
        (lambda folder: (folder / "tile" / "entries" / "000").unlink(), "ARCHIVE_MISSING"),
        (_another_payload, "PAYLOAD_MISMATCH"),
    ],
    ids=["segment", "entries", "payload"],
)
def test_an_event_about_a_key_that_a_lost_one_named_is_not_accused_by_itself(
    tmp_path: Path, change: Callable[[Path], object], kind: str
) -> None:
    """It may follow from the one that is lost; and which keys that one ended is said not to be known."""
    write(tmp_path, history(revocation(279)), SIZE)
    change(tmp_path)
    report = verify(tmp_path)
    assert [(one.kind, one.after is None) for one in report.findings][:1] == [(kind, True)]
    assert {(one.seq, one.after) for one in report.findings if one.kind == "STATE_MISMATCH"} >= {(280, 1)}
    assert not [one for one in report.findings if one.kind == "STATE_MISMATCH" and one.after is None]
    assert UNKNOWN_KEYS in report.not_covered


def test_a_revocation_of_nobody_ends_no_key_and_is_a_finding(tmp_path: Path) -> None:
    write(tmp_path, history(revocation(279, KeyPair("recovery", "thief", bytes([9]) * 32))), SIZE)
    report = verify(tmp_path)
    assert [(one.kind, one.seq, one.key) for one in report.findings] == [
        ("STATE_MISMATCH", 280, ("segment/001.p/44",)),
    ]
    assert report.checkpoints[0].accepted


def test_a_part_of_an_archive_says_that_it_knows_no_revocations(tmp_path: Path) -> None:
    write(tmp_path, history(revocation(279)), SIZE)
    report = verify(tmp_path, first=1, last=256)
    assert report.verdict == "verified"
    assert any("have revoked" in line for line in report.not_covered)


def test_what_a_revoked_key_signed_of_less_than_counts_is_nobodys_word(tmp_path: Path) -> None:
    """It stands in the archive for good, as a file is written once: with the same entries nothing rests on it."""
    events, successor = chain(SIZE), SigningKey(ORIGIN, ED25519, bytes(32))
    write(tmp_path, events, 256)
    write(tmp_path, events, SIZE, key=successor)
    trust = trusting(successor).revoking([Revoked(OLD.public_key, 255)])
    report = verify(tmp_path, trust=trust)
    assert (report.verdict, report.findings) == ("verified", [])
    assert any("the checkpoint of 256 events" in line and "nobody's word" in line for line in report.not_covered)
    # Of other entries, or where nothing that counts covers it, it is found.
    before = trusting().revoking([Revoked(OLD.public_key, 255)])
    assert ("CHECKPOINT_SIG", ("checkpoints/256",)) in {
        (x.kind, x.key) for x in verify(tmp_path, trust=before).findings
    }
    other = signed((*events[:200], *chain(SIZE, largest=1)[200:]), 256)
    (tmp_path / "checkpoints" / "256").write_bytes(other)
    report = verify(tmp_path, trust=trust)
    assert [(one.kind, one.key) for one in report.findings] == [("CHECKPOINT_SIG", ("checkpoints/256",))]
