"""
Check that a proof made from a region's tiles holds by itself, and that none is given that would not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger import Group, Ledger
from ledger.chain import entry
from ledger.domain.events.reference import AssetDefined
from ledger.errors import InvalidInput, NotFound, ProofInvalid
from ledger.evidence import note, policy, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, NoteSignature, SigningKey
from ledger.evidence.policy import QuorumUnmet
from ledger.evidence.tiles import WIDTH
from ledger.evidence.tree import Frontier
from ledger.journal.chain_creation import create_chain
from ledger.queries import Books
from ledger.queries.proofs import NotSealed, Proven
from ledger.reading import kept_checkpoints
from ledger.sandbox.postgres import Server
from ledger.storage import evidence
from ledger.storage.evidence import Sealed
from tests.commands import run
from tests.conftest import ORIGIN, Database, copy_database
from tests.verifier.intruder import Intruder, copied
from verifier import proof

KEY = SigningKey(ORIGIN, ED25519, bytes(range(32)))
WITNESS = SigningKey("witness.example/w1", COSIGNATURE, bytes([1]) * 32)
POLICY_TEXT = f"log {KEY.verifier.text()}\nwitness w1 {WITNESS.verifier.text()}\nquorum w1\n"
POLICY = policy.decode(POLICY_TEXT.encode())
OF_ANOTHER = policy.decode(
    f"log {SigningKey('other.example/log', ED25519, bytes(32)).verifier.text()}\nquorum none\n".encode()
)
SIZES = (1, 255, 256, 300)
"""The checkpoints that are kept; ten events more are recorded."""


def seal(database: Database, *sizes: int, cosigned: bool = True) -> None:
    """Grow the tree to each of *sizes* and keep its checkpoint, as the process that seals does."""
    with Books(database.dsn("reader")) as books:
        chain, head = books.chain, books.head().seq
    with Ledger.open(database.dsn("writer")) as ledger:
        leaves = [tree.leaf_hash(entry.encode(event)) for event in ledger.events(limit=head)]
    with psycopg.connect(database.dsn("sealer"), autocommit=True) as connection:
        for size in sizes:
            edge, start = Frontier(), evidence.tree_sizes(connection, chain.chain)[0]
            for leaf in leaves[:size]:
                edge.add(leaf)
            full = range(start // WIDTH, size // WIDTH)
            above = [tiles.subtree_hash(leaves[number * WIDTH : (number + 1) * WIDTH]) for number in full]
            evidence.grow(connection, chain.chain, start, [leaves[start:size], above])
            text = Checkpoint(ORIGIN, size, edge.root()).text()
            lines = [KEY.sign(text), *([WITNESS.sign(text, int(time.time()))] if cosigned else [])]
            signed = note.with_signatures(text, lines)
            evidence.put(connection, chain.chain, Sealed(size, edge.root(), signed.encode(), 1_700_000_000 * 10**9))


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    name = "proofs"
    copy_database(pg_server, name, migrated)
    database = Database(pg_server, name)
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        kinds = (AssetDefined(asset=f"A{number}", kind="crypto", scale=8, name="x") for number in range(400))
        groups = [Group((kind,), kind.asset) for kind in kinds]
        ledger.append_many(groups[: SIZES[-1] + 10 - ledger.head().seq])
    seal(database, *SIZES)
    yield database
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def books(written: Database) -> Iterator[Books]:
    with Books(written.dsn("reader")) as opened:
        yield opened


def verdict(proven: Proven) -> str:
    return proof.verify("p", proven.proof.encode(), POLICY, proven.payload.encode()).verdict


@pytest.mark.parametrize("size", [None, *SIZES])
def test_every_sealed_event_is_proven(books: Books, size: int | None) -> None:
    """By the newest checkpoint and by each older one, from tiles that have grown since."""
    for seq in {1, 2, 200, 255, 256, 257, 300}:
        if seq <= (size or SIZES[-1]):
            proven = books.prove(seq, size=size)
            assert (proven.checkpoint.size, proven.proof.index) == (size or SIZES[-1], seq - 1)
            assert verdict(proven) == "verified"


def test_an_open_ledger_proves_too(written: Database) -> None:
    """The receipt's hash is that of what is proven."""
    with Ledger.open(written.dsn("writer")) as ledger:
        proven = ledger.prove(17)
        (event,) = ledger.events(after=16, limit=1)
    assert proven.hash == event.hash
    assert proven.payload.payload == event.payload


def test_what_cannot_be_proven_says_why(books: Books) -> None:
    """Not sealed yet, not there, no such checkpoint, one that is too small, and what is no seq."""
    with pytest.raises(NotSealed, match=r"event 305 .* sealed at 2023-11-14T22:13:20Z, is of 300: ask again"):
        books.prove(305)
    with pytest.raises(NotFound, match="event 311, and the chain ends at 310"):
        books.prove(311)
    for size, words in ((7, "the next larger is of 255"), (400, "none so large, the newest is of 300")):
        with pytest.raises(NotFound, match=words):
            books.prove(5, size=size)
    with pytest.raises(InvalidInput, match="name a larger"):
        books.prove(256, size=255)
    for size in (None, 300):
        with pytest.raises(InvalidInput, match=r"the policy is for other logs \(other.example/log\)"):
            books.prove(5, size=size, rules=OF_ANOTHER)
    for seq in (0, -1, 2**63, "1", None, True):
        with pytest.raises(InvalidInput):
            books.prove(seq)  # type: ignore[arg-type]


@pytest.mark.parametrize("looked_at", [100, 1])
def test_a_proof_is_by_what_others_have_cosigned(
    written: Database, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """
    The witness is away, and has not cosigned the newest; what only the newest covers waits, or is by that one. However
    many there are by then: of so many none may have a line.
    """
    monkeypatch.setattr(kept_checkpoints, "LOOKED_AT", looked_at)
    with copied(written) as copy:
        seal(copy, 305, 306, cosigned=False)
        with Books(copy.dsn("reader")) as books:
            for rules in (None, POLICY):
                proven = books.prove(17, rules=rules)
                assert (proven.checkpoint.size, verdict(proven)) == (300, "verified")
            assert books.prove(304).checkpoint.size == 306
            assert books.prove(17).checkpoint.size == 300
            with pytest.raises(NotSealed, match=r"no checkpoint that covers it: the newest, of 306 .* quorum"):
                books.prove(304, rules=POLICY)
            with pytest.raises(QuorumUnmet):
                books.prove(17, size=305, rules=POLICY)
            assert books.prove(17, size=300, rules=POLICY).checkpoint.size == 300
        seal(copy, 307)
        with Books(copy.dsn("reader")) as books:
            assert books.prove(304, rules=POLICY).checkpoint.size == books.prove(17).checkpoint.size == 307


def test_lines_that_nobody_checked_make_no_checkpoint_a_better_one(written: Database) -> None:
    """Who may seal adds two to one that no witness has seen; without a policy nobody asks whose they are."""
    with copied(written) as copy:
        seal(copy, 305, cosigned=False)
        with psycopg.connect(copy.dsn("sealer"), autocommit=True) as connection:
            for number in range(2):
                line = NoteSignature(f"x{number}", bytes(4), bytes(72)).line()
                connection.execute("UPDATE ledger.checkpoints SET note = note || %s WHERE size = 305", [line])
        with Books(copy.dsn("reader")) as books:
            assert books.prove(17).checkpoint.size == 300
        seal(copy, 306)
        with Books(copy.dsn("reader")) as books:
            assert books.prove(17).checkpoint.size == 306
            assert verdict(books.prove(17)) == "verified"


def test_a_row_that_says_nothing_stops_no_proof(written: Database, tmp_path: Path) -> None:
    """Left by who may seal, in the place of the newest checkpoint."""
    with copied(written) as copy:
        with psycopg.connect(copy.dsn("sealer"), autocommit=True) as connection:
            connection.execute("INSERT INTO ledger.checkpoints VALUES (1, 310, %s, 'junk', 1)", [bytes(32)])
        with Books(copy.dsn("reader")) as books:
            assert books.prove(17).checkpoint.size == books.prove(17, rules=POLICY).checkpoint.size == 300
            with pytest.raises(NotSealed, match="no signature of the log"):
                books.prove(301)
        (tmp_path / "policy").write_text(POLICY_TEXT)
        words = ["prove", "17", "--policy", str(tmp_path / "policy"), "--dsn", copy.dsn("reader")]
        done = run("ledger", *words, "--out", str(tmp_path / "event-17.tlog-proof"))
        assert (done.returncode, "by the checkpoint of 300 events" in done.stdout) == (0, True), done.stderr


def test_nothing_is_proven_before_anything_is_sealed(chain: Database) -> None:
    """The event is there; who makes checkpoints is named."""
    with Books(chain.dsn("reader")) as books, pytest.raises(NotSealed, match="tradeledger seal"):
        books.prove(1)


def test_no_proof_is_given_that_would_not_hold(written: Database) -> None:
    """Of an edited event, an edited or shortened tile, and an event that is gone."""
    edits = (
        ("events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 9"),
        (
            "tiles",
            "UPDATE ledger.tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40))"
            " WHERE level = 0 AND number = 0",
        ),
        ("tiles", "UPDATE ledger.tiles SET hashes = substr(hashes, 1, 32) WHERE level = 0 AND number = 1"),
        ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 0"),
    )
    for table, sql in edits:
        with copied(written) as copy:
            with Intruder(copy) as intruder:
                intruder.edit(table, sql)
            with Books(copy.dsn("reader")) as books, pytest.raises(ProofInvalid, match="verify the region"):
                books.prove(9)
    with copied(written) as copy:
        with Intruder(copy) as intruder:
            intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 9")
        with Books(copy.dsn("reader")) as books, pytest.raises(NotFound, match="is not there: verify"):
            books.prove(9)


def test_tiles_that_were_mended_are_read_anew(written: Database) -> None:
    """What was kept of the bad ones is forgotten by the proof that they do not make."""
    with copied(written) as copy, Books(copy.dsn("reader")) as books, Intruder(copy) as intruder:
        intruder.save("tiles")
        intruder.edit(
            "tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE level = 0"
        )
        with pytest.raises(ProofInvalid):
            books.prove(9)
        intruder.restore("tiles")
        assert verdict(books.prove(9)) == "verified"


def test_the_command_writes_what_the_verifier_checks(written: Database, tmp_path: Path) -> None:
    """Proof and content, or the proof alone; both are whole, and `proof` needs no database for them."""
    out, dsn = tmp_path / "event-9.tlog-proof", written.dsn("reader")
    (tmp_path / "policy").write_text(POLICY_TEXT)
    done = run("ledger", "prove", "9", "--out", str(out), "--dsn", dsn, "--format", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["seq"], said["checkpoint_size"], said["payload"]) == (9, 300, str(tmp_path / "event-9.json"))
    held = run("verifier", "proof", str(out), "--policy", str(tmp_path / "policy"), "--payload", said["payload"])
    assert held.returncode == 0, held.stderr
    assert said["hash"] in held.stdout
    alone = tmp_path / "alone.tlog-proof"
    done = run("ledger", "prove", "9", "--out", str(alone), "--at", "255", "--no-content", "--dsn", dsn)
    assert (done.returncode, (tmp_path / "alone.json").exists()) == (0, False)
    assert "checkpoint of 255" in done.stdout
    assert run("verifier", "proof", str(alone), "--policy", str(tmp_path / "policy")).returncode == 0


def test_the_command_s_errors_have_their_status(written: Database, tmp_path: Path) -> None:
    """Not sealed yet: 5, the same again later; not there: 8; a wrong name: 2; and nothing is written."""
    dsn = ("--dsn", written.dsn("reader"))
    out = ("--out", str(tmp_path / "x.tlog-proof"))
    for words, status in (
        (("305", *out), 5), (("311", *out), 8), (("5", *out, "--at", "7"), 8), (("0", *out), 2), (("x", *out), 2),
        (("5", "--out", str(tmp_path / "x.json")), 2), (("5", "--out", str(tmp_path / "no" / "x.tlog-proof")), 8),
    ):  # fmt: skip
        done = run("ledger", "prove", *words, *dsn)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (status, "", False), words
    assert list(tmp_path.iterdir()) == []
