"""
Check what is sealed, in which order it is asked for, and that nothing is signed which should not be.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.chain import entry
from ledger.cli.seal import opened
from ledger.errors import HashMismatch, NotPermitted, SequenceGap, SignatureInvalid, Unavailable
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import SigningKey
from ledger.evidence.revocation import Revoked
from ledger.evidence.tree import Frontier
from ledger.evidence.witness import SIZE_TYPE
from ledger.sealing import serving
from ledger.sealing.asking import Refused
from ledger.sealing.growth import Growth
from ledger.sealing.places import NotAnswering, Place
from ledger.sealing.sealer import TooFew
from ledger.sealing.tile_proofs import TilesBroken
from ledger.storage import chains, events, evidence
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES, served
from tests.sealing.regions import (
    LOG_KEY,
    REPLICA_KEY,
    append,
    make_chain,
    members,
    replica,
    sealing,
    signer,
    witness,
)
from tests.verifier.intruder import Intruder, copied

OTHER = SigningKey(ORIGIN, 1, bytes([99]) * 32)


@pytest.fixture
def region(database: Database) -> Database:
    make_chain(database)
    append(database, 3)
    return database


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with signer(tmp_path) as found:
        yield found


def root_of(database: Database, size: int) -> bytes:
    """Return the root of the first events, made from them at once."""
    edge = Frontier()
    with db.connect(database.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, ORIGIN)
        for event in events.read(connection, chain.chain, chain.chain_id, 0, size):
            edge.add(tree.leaf_hash(entry.encode(event)))
    return edge.root()


def kept(database: Database) -> list[bytes]:
    with db.connect(database.dsn("auditor"), "test") as connection:
        found = connection.execute("SELECT convert_to(note, 'UTF8') FROM ledger.checkpoints ORDER BY size").fetchall()
    return [bytes(row[0]) for row in found]


def test_what_is_sealed_is_the_root_of_the_events_signed_and_witnessed(
    region: Database, place: Place, tmp_path: Path
) -> None:
    """Two checkpoints, the second of several tiles; a policy accepts both, and each begins with the one before."""
    with witness(tmp_path, WITNESSES[0]) as url:
        asked = members("w", [WITNESSES[0]], [url], 1)
        trust = policy.decode(
            f"log {LOG_KEY.verifier.text()}\nwitness w {WITNESSES[0].verifier.text()}\nquorum w\n".encode()
        )
        with sealing(region, place, witnesses=asked) as sealer:
            first = sealer.seal()
            head = append(region, 1200)
            second, again = sealer.seal(), sealer.seal()
    assert first is not None
    assert second is not None
    assert again is not None
    assert (second.sealed.size, second.is_witnessed, second.missing) == (head, True, ())
    assert (again.is_new, again.sealed) == (False, second.sealed)
    accepted = [policy.check(trust, signed) for signed in kept(region)]
    assert [found.checkpoint.root for found in accepted] == [
        root_of(region, first.sealed.size), root_of(region, head)
    ]  # fmt: skip
    with db.connect(region.dsn("reader"), "test") as connection:
        read = evidence.nodes(connection, 1, head)
        proof = tree.prove_consistency(read, first.sealed.size, head)
        tree.check_consistency(first.sealed.size, first.sealed.root, head, second.sealed.root, proof)
        for index in (0, 255, 256, 1023, 1024, head - 1):
            (leaf,) = read([(0, index)])
            tree.check_inclusion(leaf, index, head, tree.prove_inclusion(read, index, head), second.sealed.root)


def test_it_goes_on_where_it_was_stopped(region: Database, place: Place) -> None:
    """A process that ends anywhere is followed by another, in the middle of a tile or not."""
    for count in (251, 1, 0, 3, 255, 256, 700):
        head = append(region, count) if count else int(region.sql("SELECT seq FROM ledger.chain_heads"))
        with sealing(region, place) as sealer:
            outcome = sealer.seal()
        assert outcome is not None
        assert (outcome.sealed.size, outcome.sealed.root) == (head, root_of(region, head))


def test_only_what_replicas_hold_is_signed(region: Database, tmp_path: Path) -> None:
    """The signer and the sealer both want the replica first; behind, silent, and at last there."""
    with copied(region) as other:
        head = append(region, 5)
        with replica(tmp_path, other) as url:
            needed = members("r", [REPLICA_KEY], [url], 1)
            with signer(tmp_path, needed) as place:
                with sealing(region, place, needed) as sealer, pytest.raises(TooFew, match="events yet"):
                    sealer.seal()
                with sealing(region, place) as careless, pytest.raises(Refused, match="needed first"):
                    careless.seal()
                assert kept(region) == []
    with copied(region) as other, replica(tmp_path, other) as url:
        needed = members("r", [REPLICA_KEY], [url], 1)
        with signer(tmp_path, needed) as place, sealing(region, place, needed) as sealer:
            outcome = sealer.seal()
        assert outcome is not None
        assert outcome.sealed.size == head
        assert other.sql("SELECT count(*) FROM ledger.tiles") == region.sql("SELECT count(*) FROM ledger.tiles")
    (signed,) = kept(region)
    assert {found.key for found in note.verify(note.decode(signed), [LOG_KEY.verifier, REPLICA_KEY.verifier])} == {
        LOG_KEY.verifier, REPLICA_KEY.verifier
    }  # fmt: skip


def test_a_replica_of_another_history_refuses_and_says_so(region: Database, tmp_path: Path) -> None:
    told: list[str] = []
    with copied(region) as other:
        append(region, 2)
        append(other, 4)
        with replica(tmp_path, other, told) as url:
            needed = members("r", [REPLICA_KEY], [url], 1)
            with (
                signer(tmp_path) as place,
                sealing(region, place, needed) as sealer,
                pytest.raises(Refused, match="422"),
            ):
                sealer.seal()
    assert len(told) == 1
    assert "different histories" in told[0]
    assert kept(region) == []


def test_silent_witnesses_hold_nothing_up_and_late_ones_are_taken_in(
    region: Database, place: Place, tmp_path: Path
) -> None:
    """What the signer signed is kept; who answers after the next checkpoint cosigns the one that was asked about."""
    may_answer, asked_once = threading.Event(), threading.Event()
    with witness(tmp_path, WITNESSES[0]) as real:

        def slow(method: str, path: str, body: bytes) -> serving.Reply:
            asked_once.set()
            assert may_answer.wait(20)
            status, kind, said = Place(real).ask(method, path, body)
            return serving.Reply(status, said, kind)

        with served(slow) as url:
            trust = members("w", [WITNESSES[0], WITNESSES[1]], [url, "http://127.0.0.1:1"], 1)
            with sealing(region, place, witnesses=trust) as sealer:
                first = sealer.seal(patient=False)
                assert asked_once.wait(5)
                append(region, 1)
                second = sealer.seal(patient=False)
                assert first is not None
                assert second is not None
                assert (first.is_witnessed, second.is_witnessed) == (False, False)
                assert "w0: no answer yet" in second.missing
                assert "does not answer" in second.missing[1]
                may_answer.set()
                third = sealer.seal()
    assert third is not None
    assert third.is_witnessed
    cosigned = [WITNESSES[0].name in {s.name for s in note.decode(signed).signatures} for signed in kept(region)]
    assert cosigned == [True, True]


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_witness_that_does_not_know_the_log_has_not_answered(
    region: Database, place: Place, tmp_path: Path, status: int
) -> None:
    """It was not told of the log, or of its new key, yet: the others are enough, and their word is kept."""
    with (
        witness(tmp_path, WITNESSES[0]) as real,
        served(lambda method, path, body: serving.Reply(status, b"unknown\n")) as url,
        sealing(region, place, witnesses=members("w", WITNESSES[:2], [real, url], 1)) as sealer,
    ):
        sealed = sealer.seal()
    assert sealed is not None
    assert sealed.is_witnessed
    assert [said for said in sealed.missing if f"with {status}" in said or f"status {status}" in said]


def shown(size: int) -> bytes:
    """Return another history of so many events, signed by the log's key."""
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    return note.with_signatures(text, (LOG_KEY.sign(text),)).encode()


MORE = serving.Reply(409, b"1000000000\n", SIZE_TYPE)
FORKED = serving.Reply(422, b"another history\n")


@pytest.mark.parametrize(("says", "size", "words"), [(MORE, 10**9, "went back"), (FORKED, 1, "another history")])
def test_what_the_others_said_is_kept_where_one_knows_another_history(
    region: Database, place: Place, tmp_path: Path, says: serving.Reply, size: int, words: str
) -> None:
    """The sealer ends with what that one says and shows, and the checkpoint is not poorer for it."""
    with (
        witness(tmp_path, WITNESSES[0]) as real,
        served(lambda method, path, body: says if method == "POST" else serving.Reply(200, shown(size))) as url,
        sealing(region, place, witnesses=members("w", [WITNESSES[1], WITNESSES[0]], [url, real], 1)) as sealer,
        pytest.raises(Refused, match=words) as refused,
    ):
        sealer.seal()
    assert repr(shown(size).decode()) in str(refused.value)
    (signed,) = kept(region)
    assert WITNESSES[0].name in {signature.name for signature in note.decode(signed).signatures}


STRANGER = SigningKey(ORIGIN, note.ED25519, bytes([66]) * 32)
LIES = {
    "nothing": serving.Reply(404, b"no\n"), "no answer": serving.Reply(500, b"\n"),
    "garbage": serving.Reply(200, b"garbage\n"),
    "a stranger's": serving.Reply(200, note.with_signatures(
        Checkpoint(ORIGIN, 10**9, bytes(32)).text(), (STRANGER.sign(Checkpoint(ORIGIN, 10**9, bytes(32)).text()),)
    ).encode()),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("says", [MORE, FORKED], ids=["more", "another"])
def test_one_lying_witness_does_not_stop_the_sealing(
    region: Database, place: Place, tmp_path: Path, says: serving.Reply, lie: str
) -> None:
    """
    What it shows no signature of is told and not believed, while the others could make the quorum; where they could
    not, it is as good as an answer.
    """
    with (
        witness(tmp_path, WITNESSES[0]) as real,
        served(lambda method, path, body: says if method == "POST" else LIES[lie]) as url,
    ):
        with sealing(region, place, witnesses=members("w", WITNESSES[:2], [real, url], 1)) as sealer:
            sealed = sealer.seal()
            assert sealed is not None
            assert sealed.is_witnessed
            assert any("w1: not believed" in said for said in sealed.missing)
        both = members("w", WITNESSES[:2], [real, url], 2)
        with sealing(region, place, witnesses=both) as sealer, pytest.raises(Refused, match=r"went back|history"):
            sealer.seal()


@pytest.mark.parametrize(("says", "size"), [(MORE, 10**9), (FORKED, 10**9), (MORE, 5 * 10**8)])
def test_what_a_revoked_key_signed_beyond_its_end_stops_no_sealing(
    region: Database, place: Place, tmp_path: Path, says: serving.Reply, size: int
) -> None:
    """A thief has the key, and one witness shows what was made with it: up to its end it counts, and no further."""
    ended = Revoked(LOG_KEY.verifier.public_key, 5 * 10**8)
    with (
        witness(tmp_path, WITNESSES[0]) as real,
        served(lambda method, path, body: says if method == "POST" else serving.Reply(200, shown(size))) as url,
        sealing(
            region, place, witnesses=members("w", WITNESSES[:2], [real, url], 1).revoking([ended])
        ) as sealer,
    ):  # fmt: skip
        if size <= ended.last_valid_size:
            with pytest.raises(Refused, match="went back"):
                sealer.seal()
            return
        sealed = sealer.seal()
        assert sealed is not None
        assert sealed.is_witnessed
        assert any("w1: not believed" in said for said in sealed.missing)


def test_a_sealer_that_ended_before_it_kept_what_was_signed_has_it_signed_again(
    region: Database, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer remembers it; the same checkpoint is no contradiction."""
    with monkeypatch.context() as broken, sealing(region, place) as sealer:
        broken.setattr(evidence, "put", lambda *_: (_ for _ in ()).throw(ConnectionError("killed")))
        with pytest.raises(ConnectionError):
            sealer.seal()
    assert kept(region) == []
    with sealing(region, place) as sealer:
        outcome = sealer.seal()
    assert outcome is not None
    assert outcome.is_new


def test_a_signer_of_another_key_is_not_believed(region: Database, tmp_path: Path) -> None:
    named = "names for checkpoints"
    with (
        signer(tmp_path, key=OTHER) as place,
        sealing(region, place) as sealer,
        pytest.raises(SignatureInvalid, match=named),
    ):
        sealer.seal()
    assert kept(region) == []


def test_without_a_signer_nothing_is_kept(region: Database) -> None:
    with sealing(region, Place("/nowhere/signer")) as sealer, pytest.raises(NotAnswering, match="/nowhere/signer"):
        sealer.seal()
    assert kept(region) == []


def test_an_edited_or_missing_event_is_not_sealed(region: Database, place: Place) -> None:
    """The tree is made of what the chain holds, or not at all."""
    append(region, 5)
    with Intruder(region) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 4")
        with sealing(region, place) as sealer, pytest.raises(HashMismatch, match="event 4 was changed"):
            sealer.seal()
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 4")
        with sealing(region, place) as sealer, pytest.raises(SequenceGap, match="event 4"):
            sealer.seal()
    assert kept(region) == []
    assert region.sql("SELECT count(*) FROM ledger.tiles") == "0"


def test_tiles_that_are_not_whole_are_not_grown(region: Database, place: Place) -> None:
    append(region, 600)
    with sealing(region, place) as sealer:
        sealer.seal()
    for edit in (
        "DELETE FROM ledger.tiles WHERE level = 1",
        "DELETE FROM ledger.tiles WHERE level = 0 AND number > 0",
        "UPDATE ledger.tiles SET hashes = substr(hashes, 1, 32) WHERE level = 1",
    ):
        with copied(region) as broken, Intruder(broken) as intruder:
            intruder.edit("tiles", edit)
            with pytest.raises(TilesBroken, match="verify"), sealing(broken, place):
                pass


FAULTS = {
    "gone": ("DELETE FROM ledger.tiles WHERE level = 0 AND number = 0", "tile/0/000 is missing"),
    "cut": ("UPDATE ledger.tiles SET hashes = substr(hashes, 1, 320) WHERE level = 0 AND number = 0", "missing or cut"),
    "rotten": ("UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 1) WHERE level = 0 AND "
               "number = 0", "tile/0/000 and its hash in tile/1/000.p/2 to differ"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_tile_that_a_late_witness_needs_is_named_and_no_fork_is_told(
    region: Database, place: Place, tmp_path: Path, fault: str
) -> None:
    """It is away from the edge, so the tree grows on; the others' word is kept, and nobody has evidence of anything."""
    edit, said = FAULTS[fault]
    with witness(tmp_path, WITNESSES[0]) as late, witness(tmp_path, WITNESSES[1]) as other:
        both = members("w", WITNESSES[:2], [late, other], 2)
        with sealing(region, place, witnesses=both) as sealer:
            append(region, 100)
            sealer.seal()
        append(region, 500)
        with sealing(region, place, witnesses=members("w", [WITNESSES[1]], [other], 1)) as sealer:
            sealer.seal()
        append(region, 1)
        with Intruder(region) as intruder:
            intruder.edit("tiles", edit)
        with sealing(region, place, witnesses=both) as sealer, pytest.raises(TilesBroken, match=said):
            sealer.seal()
    assert not list(tmp_path.glob("w*/*.json"))
    cosigned = {signature.name for signature in note.decode(kept(region)[-1]).signatures}
    assert WITNESSES[1].name in cosigned


def test_a_tile_at_the_edge_that_rotted_since_is_signed_by_nobody(region: Database, place: Place) -> None:
    """The tree that it leads to does not begin with the one that was signed: neither signer nor witness is asked."""
    append(region, 600)
    with sealing(region, place) as sealer:
        sealer.seal()
    append(region, 1)
    with Intruder(region) as intruder:
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 1) "
                      "WHERE level = 0 AND number = 2")  # fmt: skip
    with sealing(region, place) as sealer, pytest.raises(TilesBroken, match="which was signed and is"):
        sealer.seal()
    assert len(kept(region)) == 1


def test_a_replica_whose_tiles_rotted_accuses_nobody(region: Database, tmp_path: Path) -> None:
    """Asked for an older size than it has, it gives no root that its tiles do not bear out: that would be a fork."""
    append(region, 600)
    connection, chain = opened(region.dsn("sealer"), None)
    with contextlib.closing(connection):
        growth = Growth(connection, chain)
        growth.catch_up()
        assert growth.root_at(300) == root_of(region, 300)
        with Intruder(region) as intruder:
            intruder.edit("tiles", FAULTS["rotten"][0])
            with pytest.raises(TilesBroken, match=r"tile/0/000 and its hash in tile/1/000.p/2 to differ"):
                growth.root_at(100)
            intruder.edit("tiles", FAULTS["gone"][0])
            with pytest.raises(TilesBroken, match="tile/0/000 is missing"):
                growth.root_at(100)


def test_a_chain_that_is_shorter_than_what_was_sealed_is_not_sealed(region: Database, place: Place) -> None:
    """An older copy put back, with the checkpoints and tiles of now or without them."""
    with copied(region) as old:
        append(region, 5)
        with sealing(region, place) as sealer:
            sealer.seal()
        kept_rows = region.sql("SELECT size, encode(root, 'hex') FROM ledger.checkpoints").split("|")
        (signed,) = kept(region)
        with Intruder(old) as intruder:
            intruder.edit(
                "checkpoints", "INSERT INTO ledger.checkpoints VALUES (1, %s, decode(%s, 'hex'), %s, 1)", *kept_rows,
                signed.decode(),
            )  # fmt: skip
        with sealing(old, place) as sealer, pytest.raises(TilesBroken, match="an older copy"):
            sealer.seal()
        with Intruder(old) as intruder:
            intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        # The signer remembers.
        with sealing(old, place) as sealer, pytest.raises(Refused, match="history went back"):
            sealer.seal()


def test_one_process_seals_a_chain_at_a_time(region: Database, place: Place) -> None:
    with sealing(region, place), pytest.raises(Unavailable, match="another process seals"), sealing(region, place):
        pass


def test_who_keeps_a_chain_from_being_sealed_is_named(region: Database, place: Place) -> None:
    """A lock of a number needs no right: one that a login took which may not seal is no other sealer's."""
    with sealing(region, place), pytest.raises(Unavailable, match=r"process \d+ of login sealer; stop"), sealing(
        region, place
    ):  # fmt: skip
        pass
    with db.connect(region.dsn("reader"), "test") as connection:
        connection.autocommit = True
        connection.execute("SELECT pg_advisory_lock(%s, 1)", [0x73656C])
        process = connection.info.backend_pid
        refusal = pytest.raises(Unavailable, match=f"process {process} of login reader, which may not seal")
        with refusal as refused, sealing(region, place):
            pass
        assert f"pg_terminate_backend({process})" in str(refused.value)
    with sealing(region, place) as sealer:
        assert sealer.seal() is not None


def test_the_guards_let_tiles_and_checkpoints_grow_and_nothing_else(region: Database, place: Place) -> None:
    """Even for the owner: what was there stays, and no checkpoint is slipped in behind another or past the head."""
    append(region, 5)
    with sealing(region, place) as sealer:
        outcome = sealer.seal()
    assert outcome is not None
    size = outcome.sealed.size
    edits = {
        "UPDATE ledger.tiles SET hashes = decode(repeat('00', 64), 'hex')": "only grows",
        "UPDATE ledger.tiles SET hashes = substr(hashes, 1, 32)": "only grows",
        "UPDATE ledger.tiles SET number = 7": "only grows",
        "DELETE FROM ledger.tiles": "append-only",
        "TRUNCATE ledger.checkpoints": "append-only",
        "UPDATE ledger.checkpoints SET note = 'x'": "only gathers",
        "UPDATE ledger.checkpoints SET root = decode(repeat('00', 32), 'hex')": "only gathers",
        "UPDATE ledger.checkpoints SET sealed_at = 1": "only gathers",
        **{
            f"INSERT INTO ledger.checkpoints SELECT chain, {other}, root, note, 1 FROM ledger.checkpoints": said
            for other, said in ((size + 1, "past the head"), (size - 1, "behind one"))
        },
    }
    with db.connect(region.dsn("owner"), "test") as connection:
        for edit, said in edits.items():
            with pytest.raises(db.DriverError, match=said) as refused:
                connection.execute(edit)
            assert isinstance(db.translated(refused.value), NotPermitted | SequenceGap), edit
            connection.rollback()


def test_an_empty_chain_has_nothing_to_seal(database: Database, place: Place) -> None:
    with db.connect(database.dsn("owner"), "test") as connection:
        chains.create(connection, bytes(range(16)), ORIGIN, bytes(32), "replica")
    with sealing(database, place) as sealer:
        assert sealer.seal() is None


def test_a_replica_answers_as_a_witness_does(region: Database, tmp_path: Path) -> None:
    """What is malformed, of another log, smaller than before or with a false proof is refused by number."""
    with replica(tmp_path, region) as url:
        head = int(region.sql("SELECT seq FROM ledger.chain_heads"))
        ask = Place(url).ask
        good = note.with_signatures(checkpoint.Checkpoint(ORIGIN, head, root_of(region, head)).text(), ()).encode()
        other = note.with_signatures(checkpoint.Checkpoint("other.example", 1, bytes(32)).text(), ()).encode()
        assert ask("GET", "/")[0] == 404
        assert ask("POST", "/add-entries", b"")[0] == 404
        assert ask("POST", "/add-checkpoint", b"nonsense")[0] == 400
        assert ask("POST", "/add-checkpoint", b"old 0\n\n" + other)[0] == 404
        status, _, body = ask("POST", "/add-checkpoint", b"old 0\n\n" + good)
        assert (status, body.startswith("— region-b ".encode())) == (200, True)
        assert ask("POST", "/add-checkpoint", b"old 0\n\n" + good)[0] == 409
        forked = note.with_signatures(checkpoint.Checkpoint(ORIGIN, head, bytes(32)).text(), ()).encode()
        assert ask("POST", "/add-checkpoint", f"old {head}\n\n".encode() + forked)[0] == 422
