"""
Check that a chain in a database is archived by one command, as far as its newest checkpoint covers it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psycopg
import pytest

from ledger import Ledger, command
from ledger.chain.entry import encode
from ledger.cli import app as program
from ledger.domain.events.cash import CashMoved
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.tree import Frontier
from ledger.storage import evidence
from ledger.storage.evidence import Sealed
from tests.archiving.chains import WITNESS, silent
from tests.archiving.written import files
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import fill
from verifier.archive import verification

KEY = SigningKey(ORIGIN, ED25519, bytes(range(32)))
LATER = 4_000_000_000
"""A second after every event of these tests was recorded."""
POLICY = f"log {KEY.verifier.text()}\nwitness w1 {WITNESS.verifier.text()}\nquorum w1\n"


def grown(database: Database, count: int) -> int:
    """Append so many deposits in groups of two, and return the seq of the head."""
    with Ledger.open(database.dsn("writer")) as ledger:
        if not ledger.head().seq > 1:
            fill(ledger)
        start = ledger.head().seq
        for number in range(count // 2):
            name = f"{start}-{number}"
            ledger.append(
                [CashMoved(movement_id=f"{name}-{x}", account="A", asset="USDT", amount="1", kind="deposit",
                           value_date="2024-08-08") for x in range(2)],
                key=name,
            )  # fmt: skip
        return ledger.head().seq


def signed(database: Database, size: int, key: SigningKey = KEY, cosigned: bool = True) -> str:
    """Return the checkpoint of the first events of the database's chain, signed here."""
    edge = Frontier()
    with Ledger.open(database.dsn("writer")) as ledger:
        for event in ledger.events(0):
            if event.seq <= size:
                edge.add(tree.leaf_hash(encode(event)))
    text = Checkpoint(key.name, size, edge.root()).text()
    return note.with_signatures(text, (key.sign(text), *([WITNESS.sign(text, LATER)] * cosigned))).encode().decode()


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database: Database, *given: object
) -> tuple[int, str, str]:
    """Run `tradeledger archive` in this process; return its status and what it said on both outputs."""
    monkeypatch.setattr(sys, "argv", ["tradeledger", "archive", *map(str, given), "--dsn", database.dsn("reader")])
    capsys.readouterr()
    status = command.run(program.app, program.manner(sys.argv[1:]))
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "policy"
    path.write_text(POLICY)
    return path


def given(folder: Path, text: str) -> Path:
    path = folder / "signed"
    path.write_text(text)
    return path


def test_a_chain_is_archived_and_goes_on(
    chain: Database,
    trust: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing in a dry run, then all, then what came since, then nothing; each is verified from its files."""
    place = tmp_path / "a"
    first = grown(chain, 300)
    options = (place, "--policy", trust, "--checkpoint")
    file = given(tmp_path, signed(chain, first))
    status, said, _ = run(capsys, monkeypatch, chain, *options, file, "--dry-run")
    assert (status, said) == (0, f"would archive {first} events: {place} would hold {first} of {ORIGIN}\n")
    assert not place.exists()
    status, said, errors = run(capsys, monkeypatch, chain, *options, file, "--format", "json")
    assert (status, errors) == (0, "")
    made = json.loads(said)
    assert (made["added"], made["size"], made["origin"], made["dry_run"]) == (first, first, ORIGIN, False)
    assert (place / "policy").read_text() == POLICY
    second = grown(chain, 20)
    file = given(tmp_path, signed(chain, second))
    assert run(capsys, monkeypatch, chain, *options, file)[1].startswith(f"archived {second - first} events: ")
    before = files(place)
    assert run(capsys, monkeypatch, chain, *options, file)[1].startswith("archived 0 events: ")
    assert files(place) == before
    report = verification.verify(str(place), policy.decode(POLICY.encode()), silent)
    assert (report.findings, report.events) == ([], second)


def test_nothing_is_archived_that_the_policy_does_not_accept(
    chain: Database,
    trust: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thief's signature is corruption, a missing cosignature is for later, what cannot be read is refused."""
    size, place = grown(chain, 10), tmp_path / "a"
    thief = SigningKey(ORIGIN, ED25519, bytes(32))
    for text, expected, says in (
        (signed(chain, size, thief), 3, "did not sign"),
        (signed(chain, size, cosigned=False), 5, "nothing was archived"),
        ("hello\n", 3, "expected"),
    ):
        status, said, errors = run(
            capsys, monkeypatch, chain, place, "--policy", trust, "--checkpoint", given(tmp_path, text)
        )
        assert (status, said) == (expected, ""), text
        assert says in errors
    file = given(tmp_path, signed(chain, size))
    other = tmp_path / "other"
    elsewhere = SigningKey("other.example/log", ED25519, bytes(32)).verifier.text()
    other.write_text(POLICY.replace(KEY.verifier.text(), elsewhere))
    status, _, errors = run(capsys, monkeypatch, chain, place, "--policy", other, "--checkpoint", file)
    assert (status, "the policy is for other logs (other.example/log)" in errors) == (8, True), errors
    for more, expected in (
        (("--policy", tmp_path / "nowhere", "--checkpoint", file), 8),
        (("--policy", trust, "--checkpoint", tmp_path / "nowhere"), 8),
        (("--policy", trust, "--checkpoint", file, "--origin", "x"), 8),
        (("--policy", trust, "--checkpoint", file, "--format", "xml"), 2),
    ):
        assert run(capsys, monkeypatch, chain, place, *more)[0] == expected, more
    assert not place.exists()


def test_a_policy_that_is_no_archives_is_not_written_over(
    chain: Database,
    trust: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the one file of that name which an auditor has; in an archive it moves with the keys."""
    place, own = tmp_path / "a", "an auditor's own\n"
    place.mkdir()
    (place / "policy").write_text(own)
    options = (place, "--policy", trust, "--checkpoint", given(tmp_path, signed(chain, grown(chain, 10))))
    for more in (("--dry-run",), ()):
        status, _, errors = run(capsys, monkeypatch, chain, *options, *more)
        assert (status, "nothing was written over" in errors) == (8, True), errors
        assert files(place) == {"policy": own.encode()}
    (place / "policy").unlink()
    assert run(capsys, monkeypatch, chain, *options)[0] == 0
    trust.write_text(f"# of this year\n{POLICY}")
    assert run(capsys, monkeypatch, chain, *options)[0] == 0
    assert (place / "policy").read_text() == trust.read_text()
    (place / "chain.json").unlink()
    trust.write_text(POLICY)
    assert run(capsys, monkeypatch, chain, *options)[0] == 0
    assert (place / "policy").read_text() == POLICY


def keep(database: Database, text: str) -> None:
    """Keep a checkpoint, as the process that seals does."""
    stated, _ = checkpoint.decode_note(text.encode())
    with psycopg.connect(database.dsn("sealer"), autocommit=True) as connection:
        evidence.put(connection, 1, Sealed(stated.size, stated.root, text.encode(), 1))


def test_the_newest_stored_checkpoint_that_the_policy_accepts_is_archived(
    chain: Database,
    trust: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A witness that is away keeps nothing back that it has cosigned; only then is there nothing to archive yet."""
    place = tmp_path / "a"
    first = grown(chain, 10)
    keep(chain, signed(chain, first))
    for _ in range(3):
        keep(chain, signed(chain, grown(chain, 2), cosigned=False))
    status, said, errors = run(capsys, monkeypatch, chain, place, "--policy", trust)
    assert (status, said.startswith(f"archived {first} events")) == (0, True), errors
    status, said, errors = run(capsys, monkeypatch, chain, place, "--policy", trust)
    assert (status, "nothing was archived" in errors) == (5, True), said
    newest = grown(chain, 2)
    with psycopg.connect(chain.dsn("sealer"), autocommit=True) as connection:
        connection.execute("INSERT INTO ledger.checkpoints VALUES (1, %s, %s, 'junk', 1)", [newest, bytes(32)])
    cosigned = grown(chain, 2)
    keep(chain, signed(chain, cosigned))
    status, said, errors = run(capsys, monkeypatch, chain, place, "--policy", trust)
    assert (status, said.startswith(f"archived {cosigned - first} events")) == (0, True), errors
    assert run(capsys, monkeypatch, chain, place, "--policy", trust)[1].startswith("archived 0 events")


def test_nothing_is_archived_of_events_that_were_changed(
    chain: Database,
    trust: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database holds another actor than was signed: named, and not one file is written."""
    size = grown(chain, 10)
    file = given(tmp_path, signed(chain, size))
    chain.sql("ALTER TABLE ledger.events DISABLE TRIGGER USER")
    chain.sql("UPDATE ledger.events SET actor = 'mallory' WHERE seq = 5")
    status, _, errors = run(capsys, monkeypatch, chain, tmp_path / "a", "--policy", trust, "--checkpoint", file)
    assert status == 3
    assert "event 5 was changed" in errors
    assert not (tmp_path / "a").exists()


def test_an_archive_of_another_chain_is_not_gone_on_with(
    chain: Database,
    trust: Path,
    archived: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever stands at the place stays as it is."""
    before = files(archived)
    file = given(tmp_path, signed(chain, grown(chain, 4)))
    status, _, errors = run(capsys, monkeypatch, chain, archived, "--policy", trust, "--checkpoint", file)
    assert status == 3
    assert "the archive of another chain" in errors
    assert files(archived) == before
