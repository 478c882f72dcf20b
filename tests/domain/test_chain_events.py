"""
Check what the chain may say of itself: checkpoints, schemas, destroyed keys, backups, divergent tails and incidents.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.chain.signatures import KeyPair
from ledger.domain import registry, schemas
from ledger.domain.events.control import (
    BackupVerified,
    ChainCreated,
    CheckpointSealed,
    DivergentEventDisposed,
    DivergentTailRecorded,
    EpochSealed,
    KeyDestroyed,
    KeyNamed,
    SchemaRegistered,
)
from ledger.domain.events.fields import Event
from ledger.domain.events.operations import (
    DegradationChanged,
    IncidentAcknowledged,
    IncidentClosed,
    IncidentMitigated,
    IncidentOpened,
    StepExecuted,
)
from ledger.domain.fold import stream_version
from ledger.domain.rules.evidence import CHECKPOINT_DOMAIN, checkpoint_statement
from ledger.errors import RuleBroken
from tests.domain.books import Books
from tests.domain.forgetful import ForgetfulBooks

CHECKPOINT, RECOVERY = (KeyPair(purpose, "x", bytes(32)) for purpose in ("checkpoint", "recovery"))


def books(kind: type[Books] = Books) -> Books:
    made = kind()
    keys = tuple(
        KeyNamed(key_id=pair.key_id, purpose=pair.purpose, name=pair.name, public_key=pair.public_key.hex())  # type: ignore[arg-type]
        for pair in (CHECKPOINT, RECOVERY)
    )
    made.give(ChainCreated(origin="example.com/a", format_version=1, keys=keys))
    return made


def refused(made: Books, event: Event, why: str) -> None:
    before = {
        name: dict(made.state.table(name).rows) for name in ("streams", "incidents", "schemas", "divergent_tails")
    }
    with pytest.raises(RuleBroken, match=why):
        made.give(event)
    assert before == {name: made.state.table(name).rows for name in before}


def sealed(by: KeyPair = CHECKPOINT, size: int = 1, **changes: Any) -> CheckpointSealed:
    event = CheckpointSealed(size=size, head_hash="aa", root="bb", state_digest="cc", key_id=by.key_id, signature="00")
    signature = by.sign(CHECKPOINT_DOMAIN, checkpoint_statement(event)).hex()
    return msgspec.structs.replace(event, **{"signature": signature, **changes})


def test_a_checkpoint_is_of_what_is_there_and_signed_by_a_checkpoint_key() -> None:
    """Another size, hash, key or signature than was signed is refused."""
    made = books()
    refused(made, sealed(size=2), "size")
    refused(made, sealed(size=0), "size")
    refused(made, sealed(RECOVERY), "checkpoint key")
    refused(made, sealed(key_id="none"), "unknown_key")
    for name in ("head_hash", "root", "state_digest"):
        refused(made, sealed(**{name: "dd"}), "signature")
    refused(made, sealed(signature="no hex"), "signature")
    made.give(sealed())
    made.replayed()


def test_a_schema_has_one_hash_a_version_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are registered once and as they rise, each with the hash of its own fields."""
    made = books()
    monkeypatch.setattr(KeyDestroyed, "SCHEMA_VERSION", 2)
    monkeypatch.setitem(registry.PAST, ("KeyDestroyed", 1), registry.Past(BackupVerified, lambda old: old))

    def schema(version: int, kind: type[Event]) -> SchemaRegistered:
        digest = schemas.schema_hash(kind)
        return SchemaRegistered(event_type="KeyDestroyed", version=version, schema_hash=digest, encoder_version="1")

    refused(made, schema(0, KeyDestroyed), "schema_version")
    refused(made, schema(3, KeyDestroyed), "knows: up to 2")
    refused(made, schema(2, KeyDestroyed), "before the one below")
    refused(made, schema(1, KeyDestroyed), "schema_hash")
    made.give(schema(1, BackupVerified))
    refused(made, schema(1, BackupVerified), "or a new version")
    made.give(schema(2, KeyDestroyed))
    assert stream_version(made.state, "schema/KeyDestroyed") == 2
    made.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_a_subjects_key_is_destroyed_once(kind: type[Books]) -> None:
    """The second time there is nothing left to destroy, also where memory has forgotten the first."""
    made = books(kind)
    made.give(KeyDestroyed(subject_key_id="s1", authority="court"))
    refused(made, KeyDestroyed(subject_key_id="s1", authority="court"), "second time")
    made.give(KeyDestroyed(subject_key_id="s2", authority="court"))
    assert [stream_version(made.state, f"subject-key/{x}") for x in ("s1", "s2", "s3")] == [1, 1, 0]
    made.state.durable(made.state.begin())
    assert ("subject-key/s2",) not in made.state.streams.rows
    assert ("chain/control",) in made.state.streams.rows
    made.replayed()


def test_a_backup_is_of_what_is_there_and_other_notes_only_count() -> None:
    """A seq that is not reached yet is refused; what only notes raises the version of its stream."""
    made = books()
    refused(made, BackupVerified(label="b", backup_seq=2, head_hash="aa", seconds=1), "backup")
    made.give(BackupVerified(label="b", backup_seq=1, head_hash="aa", seconds=1))
    made.give(EpochSealed(epoch=1, final_seq=2, final_hash="aa"))
    made.give(DegradationChanged(component="c", from_level="0", to_level="1", reason="r"))
    done = made.give(StepExecuted(plan="p", step="1", outcome="done", detail="d", started_at=1, ended_at=2))
    assert (done.stream, done.stream_version) == ("operations/steps", 2)
    assert (stream_version(made.state, "chain/control"), stream_version(made.state, "operations/steps")) == (3, 2)
    made.replayed()


def test_an_incident_is_not_closed_before_every_divergent_event_is_disposed_of() -> None:
    """Each event of the tail once, inside the tail, with a seq where it is recorded elsewhere."""
    made = books()
    tail = DivergentTailRecorded(epoch=2, from_seq=7, to_seq=8, head_hash="aa", bundle_hash="bb", count=2)
    refused(made, msgspec.structs.replace(tail, count=3), "as many as there are")
    refused(made, msgspec.structs.replace(tail, from_seq=9, count=0), "as many as there are")
    made.give(tail)
    refused(made, tail, "recorded already")

    def disposed(seq: int, how: str = "rejected", **more: Any) -> DivergentEventDisposed:
        return DivergentEventDisposed(epoch=2, seq=seq, disposition=how, reason="r", decided_by="w", **more)  # type: ignore[arg-type]

    made.give(IncidentOpened(incident_id="I", severity="major", cause="region", summary="s", at=5))
    made.give(IncidentMitigated(incident_id="I", how="h", at=6))
    close = IncidentClosed(incident_id="I", summary="s", at=7)
    refused(made, close, "2 events of the divergent tail of epoch 2")
    refused(made, disposed(6), "one of the tail, 7 to 8")
    refused(made, disposed(7, "resubmitted"), "new_seq")
    refused(made, disposed(7, new_seq=1), "new_seq")
    refused(made, disposed(7, "duplicate", new_seq=99), "recorded")
    refused(made, msgspec.structs.replace(disposed(7), epoch=3), "no divergent tail")
    made.give(disposed(7, "resubmitted", new_seq=1))
    refused(made, disposed(7), "disposed of before")
    refused(made, close, "1 events")
    made.give(disposed(8))
    made.give(close)
    made.replayed()


def test_an_incident_goes_one_way_and_never_back_in_time() -> None:
    """Opened once, acknowledged while open, mitigated before it is closed, each not before the last."""
    made = books()
    opened = IncidentOpened(incident_id="I", severity="minor", cause="c", summary="s", at=10)
    acknowledged = IncidentAcknowledged(incident_id="I", who="w", at=20)
    refused(made, acknowledged, "unknown_incident")
    assert made.give(opened).stream_version == 1
    refused(made, opened, "expected a new id")
    refused(made, IncidentClosed(incident_id="I", summary="s", at=30), "expected mitigated")
    refused(made, msgspec.structs.replace(acknowledged, at=9), "expected 1970-01-01T00:00:00.000000010Z or later")
    made.give(acknowledged)
    refused(made, acknowledged, "is acknowledged; expected open")
    made.give(IncidentMitigated(incident_id="I", how="h", at=30))
    refused(made, IncidentMitigated(incident_id="I", how="h", at=31), "expected open or acknowledged")
    assert made.give(IncidentClosed(incident_id="I", summary="s", at=30)).stream_version == 4
    assert stream_version(made.state, "incident/I") == 4
    made.replayed()
