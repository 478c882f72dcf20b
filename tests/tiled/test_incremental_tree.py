"""
Verify since a state what the tree has gained: tiles and checkpoints that are of older events by then count as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.sealing.regions import append, make_chain, sealing, signer
from tests.verifier.intruder import Intruder, copied
from verifier.reader import Reader
from verifier.report import Report
from verifier.walk import incremental


def since(database: Database, path: Path) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return incremental.verify(reader, path, lambda what, count: None)


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
    assert "tiles and checkpoints up to 700 events: they were checked when the state was saved" in report.not_covered
    again = since(database, path)
    assert (again.verdict, again.events) == ("verified", 0)
    assert "tiles and checkpoints up to 1200 events: they were checked when the state was saved" in again.not_covered


@pytest.mark.parametrize(
    ("table", "sql", "kind"),
    [
        ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing '\\xff'::bytea FROM 33) WHERE level = 0"
                  " AND number = 3", "TREE_MISMATCH"),
        ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing '\\xff'::bytea FROM 33 * 32) WHERE level = 0"
                  " AND number = 4", "TREE_MISMATCH"),
        ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing '\\xff'::bytea FROM 100) WHERE level = 1",
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
