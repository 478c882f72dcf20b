"""
Check that rows which a thief of the sealer's login leaves beside the checkpoints end no sealing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import NoteSignature, SigningKey
from ledger.evidence.revocation import Revoked
from ledger.sealing.places import Place
from ledger.sealing.sealer import Taken, TooFew
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import REPLICA_KEY, append, make_chain, members, replica, sealing, signer, witness


@pytest.fixture
def region(database: Database) -> Database:
    make_chain(database)
    append(database, 3)
    return database


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with signer(tmp_path) as found:
        yield found


def strange(size: int) -> list[str]:
    """Return notes that the log has not signed: no note at all, and one by a stranger."""
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    stranger = SigningKey(ORIGIN, note.ED25519, bytes([77]) * 32)
    return ["junk", note.with_signatures(text, (stranger.sign(text),)).encode().decode()]


@pytest.mark.parametrize("number", [0, 1], ids=["junk", "signed by a stranger"])
@pytest.mark.parametrize("before", [False, True], ids=["never sealed", "sealed before"])
def test_a_row_that_nobody_signed_stops_the_sealing_of_its_own_size_alone(
    region: Database, place: Place, number: int, before: bool
) -> None:
    """It cannot be replaced by who may seal; the next event's checkpoint is signed, and begins with what was signed."""
    with sealing(region, place) as sealer:
        if before:
            sealer.seal()
            append(region, 1)
        head = int(region.sql("SELECT seq FROM ledger.chain_heads"))
        with db.connect(region.dsn("sealer"), "test") as connection:
            connection.execute("INSERT INTO ledger.checkpoints VALUES (1, %s, %s, %s, 1)",
                               [head, bytes(32), strange(head)[number]])  # fmt: skip
        with pytest.raises(Taken, match=f"checkpoints of {head} events holds what no key .* repair"):
            sealer.seal()
        made = append(region, 1)
        first, again = sealer.seal(), sealer.seal()
        assert first is not None
        assert again is not None
        assert (first.sealed.size, first.is_new, again.is_new) == (made, True, False)
        append(region, 300)
        assert sealer.seal() is not None


def test_a_false_line_under_a_checkpoint_is_nobodys_cosignature(region: Database, place: Place, tmp_path: Path) -> None:
    """Who may seal may add lines: a witness that is said to have cosigned is asked all the same."""
    asked = WITNESSES[0].verifier
    with witness(tmp_path, WITNESSES[0]) as url:
        away = members("w", [WITNESSES[0]], ["http://127.0.0.1:1"], 1)
        with sealing(region, place, witnesses=away) as sealer:
            sealer.seal(patient=False)
        false = NoteSignature(asked.name, asked.id, bytes(72)).line()
        with db.connect(region.dsn("sealer"), "test") as connection:
            connection.execute("UPDATE ledger.checkpoints SET note = note || %s", [false])
        with sealing(region, place, witnesses=away) as sealer:
            outcome = sealer.seal()
            assert outcome is not None
            assert not outcome.is_witnessed
        with sealing(region, place, witnesses=members("w", [WITNESSES[0]], [url], 1)) as sealer:
            outcome = sealer.seal()
    assert outcome is not None
    assert outcome.is_witnessed


@pytest.mark.parametrize("last_valid_size", [1, 10**6])
def test_a_revoked_cosigner_makes_no_quorum_beyond_its_end(
    region: Database, place: Place, tmp_path: Path, last_valid_size: int
) -> None:
    """A checkpoint that no policy accepts is not said to be witnessed, nor is the signer asked for one."""
    ended = Revoked(WITNESSES[0].verifier.public_key, last_valid_size)
    with (
        witness(tmp_path, WITNESSES[0]) as url,
        sealing(region, place, witnesses=members("w", [WITNESSES[0]], [url], 1).revoking([ended])) as sealer,
    ):
        outcome = sealer.seal()
    assert outcome is not None
    assert outcome.is_witnessed == (last_valid_size > 1)
    assert any("w0: its key is revoked" in said for said in outcome.missing) == (last_valid_size == 1)
    with replica(tmp_path, region) as url:
        lost = Revoked(REPLICA_KEY.verifier.public_key, 1)
        needed = members("r", [REPLICA_KEY], [url], 1).revoking([lost])
        append(region, 1)
        with sealing(region, place, needed) as sealer, pytest.raises(TooFew, match="r0: its key is revoked"):
            sealer.seal()
