"""
Rotate and revoke a checkpoint key as docs/KEYS.md says while the sealer goes on, and verify the region at each step.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ledger import Group, Ledger, Receipt
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.fields import Event
from ledger.evidence import policy
from ledger.evidence.note import ED25519, SigningKey
from ledger.journal.chain_creation import create_chain
from ledger.keyring import changes
from tests.conftest import ORIGIN, Database
from tests.sealing.regions import CHECKPOINT, LOG_KEY, sealing, signer
from verifier.full import verify
from verifier.reader import Reader
from verifier.report import Report

NEW = KeyPair("checkpoint", "signer", bytes(31) + b"\x21")
RECOVERY = KeyPair("recovery", "safe", bytes(31) + b"\x22")
NEW_KEY = SigningKey(ORIGIN, ED25519, NEW.seed)
POLICY = policy.decode(f"log {LOG_KEY.verifier.text()}\nlog {NEW_KEY.verifier.text()}\nquorum none\n".encode())


def append(database: Database, event: Event) -> None:
    with Ledger.open(database.dsn("writer")) as ledger:
        (outcome,) = ledger.append_many([Group((event,), key=type(event).__name__, actor="desk")])
        assert isinstance(outcome, Receipt), outcome


def seal(database: Database, folder: Path, key: SigningKey) -> int:
    with signer(folder, key=key) as place, sealing(database, place) as sealer:
        outcome = sealer.seal()
    assert outcome is not None
    return outcome.sealed.size


def full(database: Database, trust: policy.Policy = POLICY) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return verify(reader, trust=trust)


def test_a_region_verifies_once_the_new_key_has_sealed(database: Database, tmp_path: Path) -> None:
    """The old key signed once more than it counts for; until the new one has, what it signed last is a finding."""
    create_chain(database.dsn("owner"), ORIGIN, named([CHECKPOINT, RECOVERY]), [("writer", "engine")])
    good = seal(database, tmp_path, LOG_KEY)
    append(database, changes.rotation(CHECKPOINT, NEW))
    between = seal(database, tmp_path, LOG_KEY)
    assert full(database).findings == []
    signature = changes.revocation_signature(RECOVERY, CHECKPOINT.key_id, good, "stolen")
    append(database, changes.revocation(CHECKPOINT.key_id, good, "stolen", signature))
    (found,) = full(database).findings
    assert (found.kind, found.key) == ("CHECKPOINT_SIG", (str(between),))
    assert f"revoked after {good}" in found.actual
    last = seal(database, tmp_path, NEW_KEY)
    report = full(database)
    assert (report.verdict, report.findings) == ("verified", [])
    assert [one.size for one in report.checkpoints] == [last]
    assert f"who signed the checkpoint of {between} events" in " ".join(report.not_covered)
    # So it does for who comes later, and lists the key that took over alone.
    report = full(database, msgspec.structs.replace(POLICY, logs=POLICY.logs[1:]))
    assert (report.verdict, report.findings) == ("verified", [])
    assert f"who signed the checkpoint of {good} events: a key that the chain names" in " ".join(report.not_covered)
