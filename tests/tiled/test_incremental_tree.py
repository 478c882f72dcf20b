"""
Verify since a state what the tree has gained: tiles and checkpoints that are of older events by then count as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.evidence.note import ED25519, SigningKey
from ledger.journal.chain_creation import create_chain
from ledger.keyring import changes
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.sealing.regions import CHECKPOINT, REPLICA, append, make_chain, sealing, signer
from tests.verifier.intruder import Intruder, copied
from verifier.reader import Reader
from verifier.report import Report
from verifier.walk import incremental


def since(database: Database, path: Path) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return incremental.verify(reader, path, lambda what, count: None)


def up_to(report: Report) -> int:
    """Return up to which size tiles and checkpoints were not looked at again."""
    (said,) = [line for line in report.not_covered if line.startswith("tiles and checkpoints up to ")]
    return int(said.split()[5])


@pytest.fixture(scope="module")
def grown(
    pg_server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, bytes]]:
    """
    A chain of 1,200 events, and the state of it at 900, when tiles and checkpoints came to 700.
    """
    folder = tmp_path_factory.mktemp("tree")
    database = Database(pg_server, "tree_since")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with signer(folder) as place, sealing(database, place) as sealer:
        append(database, 699)
        assert sealer.seal() is not None
        append(database, 200)
        report = since(database, folder / "books")
        assert report.verdict == "verified", report.findings
        append(database, 300)
        assert sealer.seal() is not None
    yield database, (folder / "books").read_bytes()
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def copy(grown: tuple[Database, bytes], tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    """A copy to be broken, and its state."""
    (tmp_path / "books").write_bytes(grown[1])
    with copied(grown[0]) as database:
        yield database, tmp_path / "books"


def test_what_the_tree_gained_is_checked_and_the_state_goes_on_from_there(copy: tuple[Database, Path]) -> None:
    database, path = copy
    report = since(database, path)
    assert (report.verdict, report.events) == ("verified", 300)
    assert up_to(report) == 700
    again = since(database, path)
    assert (again.verdict, again.events) == ("verified", 0)
    assert up_to(again) == 1200


@pytest.mark.parametrize(
    ("table", "sql", "kind"),
    [
        ("tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 32, get_byte(hashes, 32) # 1) WHERE level = 0"
                  " AND number = 3", "TREE_MISMATCH"),
        ("tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 1055, get_byte(hashes, 1055) # 1) WHERE level = 0"
                  " AND number = 4", "TREE_MISMATCH"),
        ("tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 99, get_byte(hashes, 99) # 1) WHERE level = 1",
         "TREE_MISMATCH"),
        ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number > 1", "TREE_MISMATCH"),
        ("checkpoints", "UPDATE ledger.checkpoints SET root = sha256('') WHERE size = 1200", "TREE_MISMATCH"),
        ("checkpoints", "UPDATE ledger.checkpoints SET note = replace(note, '1200', '1100') WHERE size = 1200",
         "CHECKPOINT_SIG"),
        ("checkpoints", "UPDATE ledger.checkpoints SET size = 1300 WHERE size = 1200", "TRUNCATED"),
    ],
    ids=["of older events", "of new events", "above", "shrunk", "root", "note", "size"],
)  # fmt: skip
def test_what_is_wrong_with_it_is_found(copy: tuple[Database, Path], table: str, sql: str, kind: str) -> None:
    """Number 3 holds leaves 769 to 1,024: those up to 900 were in no tile when the state was saved."""
    database, path = copy
    before = path.read_bytes()
    with Intruder(database) as intruder:
        intruder.edit(table, sql)
    report = since(database, path)
    assert report.verdict == "broken"
    assert kind in {finding.kind for finding in report.findings}
    assert path.read_bytes() == before


def test_a_checkpoint_that_comes_after_the_state_for_tiles_that_were_there_is_read(copy: tuple[Database, Path]) -> None:
    """Tiles are written before the signer is asked: the state is saved between the two, and then a row is put in."""
    database, path = copy
    with Intruder(database) as intruder:
        row = intruder.edit(
            "checkpoints", "DELETE FROM ledger.checkpoints WHERE size = 1200 RETURNING root, note, sealed_at"
        )
        assert row is not None
        assert since(database, path).verdict == "verified"
        put_in = "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) VALUES (1, 1200, %s, %s, %s)"
        with intruder.undone("checkpoints"):
            intruder.edit("checkpoints", put_in, bytes(32), row[1], row[2])
            report = since(database, path)
            assert (report.verdict, {one.kind for one in report.findings}) == (
                "broken", {"TREE_MISMATCH", "CHECKPOINT_SIG"},
            )  # fmt: skip
        intruder.edit("checkpoints", put_in, *row)
        report = since(database, path)
        assert (report.verdict, up_to(report)) == ("verified", 700)
        assert up_to(since(database, path)) == 1200


def test_a_first_checkpoint_that_comes_after_the_state_is_read(copy: tuple[Database, Path]) -> None:
    """The signer was away when the tiles came; the state goes on from there all the same."""
    database, path = copy
    path.unlink()
    with Intruder(database) as intruder:
        with intruder.undone("checkpoints"):
            intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
            report = since(database, path)
            assert (report.verdict, report.events) == ("verified", 1200)
        for _ in range(2):
            report = since(database, path)
            assert (report.verdict, report.events, up_to(report)) == ("verified", 0, 1200)


@pytest.mark.parametrize(
    ("table", "sql"),
    [("checkpoints", "DELETE FROM ledger.checkpoints WHERE size > 700"),
     ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number > 2")],
)  # fmt: skip
def test_what_was_there_when_the_state_was_saved_and_is_gone_is_said(
    copy: tuple[Database, Path], table: str, sql: str
) -> None:
    """`full` cannot know that they were there; the auditor's own file does."""
    database, path = copy
    assert since(database, path).verdict == "verified"
    with Intruder(database) as intruder:
        intruder.edit(table, sql)
    report = since(database, path)
    assert report.verdict == "broken"
    assert ("TREE_MISMATCH", table) in {(one.kind, one.table) for one in report.findings}


def test_a_revocation_since_the_state_asks_old_checkpoints_again(
    pg_server: Server, migrated: str, tmp_path: Path
) -> None:
    """Of 900 events the old key alone signed, and it is revoked for all beyond 800: the newest is nobody's word."""
    fresh = KeyPair("checkpoint", "signer", bytes(31) + b"\x21")
    recovery = KeyPair("recovery", "recovery", bytes(31) + b"\x22")
    database, path = Database(pg_server, "revoked_since"), tmp_path / "books"
    copy_database(pg_server, database.name, migrated)
    create_chain(database.dsn("owner"), ORIGIN, named([CHECKPOINT, REPLICA, recovery]), [("writer", "engine")])
    with signer(tmp_path) as place, sealing(database, place) as sealer:
        for count in (699, 200):
            append(database, count)
            assert sealer.seal() is not None
    assert since(database, path).verdict == "verified"
    with Ledger.open(database.dsn("writer")) as ledger:
        ledger.append(changes.rotation(CHECKPOINT, fresh), key="rotation")
        assert since(database, path).verdict == "verified"
        signature = changes.revocation_signature(recovery, CHECKPOINT.key_id, 800, "stolen")
        ledger.append(changes.revocation(CHECKPOINT.key_id, 800, "stolen", signature), key="revocation")
    for _ in range(2):
        report = since(database, path)
        assert [(one.kind, one.key) for one in report.findings] == [("CHECKPOINT_SIG", ("900",))]
    (tmp_path / "new").mkdir()
    with (
        signer(tmp_path / "new", key=SigningKey(ORIGIN, ED25519, fresh.seed)) as place,
        sealing(database, place) as sealer,
    ):
        assert sealer.seal() is not None
    report = since(database, path)
    assert report.verdict == "verified"
    assert any("checkpoint of 900" in line and "nobody's word" in line for line in report.not_covered)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")
