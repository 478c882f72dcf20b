"""
Let each column of each table be without a value, or of another type, as whoever owns the tables can: no check ends
with a fault, and what is wrong beside it is told as long as it can be read.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

import psycopg
import pytest

from ledger.domain.rows import TABLES
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import Firm, silent
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, columns, copied, report_on
from verifier import chain as chains
from verifier.columns import ColumnsChanged, reported
from verifier.reader import Reader
from verifier.report import BROKEN, Finding, Report
from verifier.tiled import diverging, opening, sample, scrub, streams
from verifier.tiled.databases import Region
from verifier.tiled.outside import Answers
from verifier.tiled.sample import Draw
from verifier.walk import incremental, joined, metrics, replayed, watching

LINES: Final = {
    "acknowledgements": "SELECT chain, 'x', 1, seq, hash, hash, 1, 1, hash || hash FROM ledger.chain_heads",
    "history_changes": "SELECT 1, 1, 'x', 'x', now()",
    "replica_state": "SELECT chain, 'x', 'x', 1 FROM ledger.chain_heads",
}
"""A row for each table that has none."""
MANY: Final = ("acknowledgements", "balance_history", "commits", "events", "history_changes", "idempotency_keys",
               "position_history", "read_model_watermarks", "replica_state", "source_logins")  # fmt: skip
"""What is read beside read models, row after row."""
TOGETHER: Final = [tuple(TABLES)[start : start + 8] for start in range(0, len(TABLES), 8)]
"""Read models, a few tables at a time."""
FEW: Final = ("alembic_version", "chain_heads", "chains", "checkpoints", "snapshots", "state_digests", "tiles")
"""Where a second row of what there is once would be something else to tell."""
ONLY_LISTED: Final = {"history_changes", "source_logins"}
"""What is only listed, of which no row is wrong."""
MAY_BE_NULL: Final = {("alembic_version", "version_num"), ("chain_heads", "unbalanced"), ("snapshots", "made_at")}
"""What a value stands for that nothing else says, or that is NULL as a rule."""
OTHER: Final = {"text": "bytea", "character varying": "bytea"}
"""The type that a column is given instead of its own; else text."""


def prepared(intruder: Intruder, table: str) -> None:
    """Take away what keeps the columns of a table from being changed, and give it a row if it has none."""
    place, run = f"ledger.{table}", intruder.connection.execute
    intruder.unguard(table)
    for (name,) in run(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [place]
    ).fetchall():
        run(f"DROP TRIGGER {name} ON {place}")
    while found := run(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'f')", [place]
    ).fetchone():
        run(f"ALTER TABLE {place} DROP CONSTRAINT {found[0]} CASCADE")
    for (name,) in run("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = %s::regclass", [place]).fetchall():
        run(f"DROP INDEX {name}")
    if table in LINES:
        run(f"INSERT INTO {place} {LINES[table]}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no small edits of broken events, which take a second each."""
    monkeypatch.setattr(chains, "DEEP_LIMIT", 0)


@pytest.mark.parametrize("tables", [*TOGETHER, MANY], ids=lambda tables: str(tables[0]))
def test_a_row_without_a_value_is_told_in_each_table(firm: Firm, tables: tuple[str, ...]) -> None:
    """For each column of a table one of its rows is there once more, without the value of that column."""
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            for table in tables:
                prepared(intruder, table)
                names = [*columns(broken, table)]
                for name in names:
                    values = ", ".join("NULL" if other == name else f'"{other}"' for other in names)
                    intruder.connection.execute(f'ALTER TABLE ledger.{table} ALTER "{name}" DROP NOT NULL')
                    intruder.connection.execute(
                        f"INSERT INTO ledger.{table} SELECT {values} FROM"
                        f" (SELECT * FROM ledger.{table} ORDER BY ctid LIMIT 1) AS first"
                    )
        told = {finding.table or "events" for finding in report_on(broken).findings}
        assert {*tables} - ONLY_LISTED <= told


@pytest.mark.parametrize("table", FEW)
def test_a_value_that_is_missing_hides_nothing_else(firm: Firm, table: str) -> None:
    """What else is wrong is told all the same, but for where nothing can be hashed without the chain's id."""
    for column in columns(firm.database, table):
        with copied(firm.database) as broken:
            with Intruder(broken) as intruder:
                prepared(intruder, table)
                intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief' WHERE account = 'A'", least=1)
                intruder.connection.execute(f'ALTER TABLE ledger.{table} ALTER "{column}" DROP NOT NULL')
                intruder.connection.execute(
                    f'UPDATE ledger.{table} SET "{column}" = NULL'
                    f" WHERE ctid = (SELECT ctid FROM ledger.{table} ORDER BY ctid DESC LIMIT 1)"
                )
            found = {(finding.table, finding.column) for finding in report_on(broken).findings}
        assert ("accounts", "owner") in found or (table, column) == ("chains", "chain_id") in found
        told = (table, column) in found or (table, None) in found or table == "tiles"
        assert told or (table, column) in MAY_BE_NULL


@pytest.fixture(scope="module")
def books(firm: Firm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a verification of the good chain came to."""
    path = tmp_path_factory.mktemp("books") / "books"
    with Reader(firm.database.dsn("auditor"), ORIGIN) as reader:
        assert not incremental.verify(reader, path, silent).findings
    return path


class Case:
    """A database to be verified, with what each mode needs."""

    def __init__(self, database: Database, firm: Firm, books: Path, folder: Path) -> None:
        self.dsn, self.database, self.firm = database.dsn("auditor"), database, firm
        self.round, self.books = folder / "round", folder / "books"
        self.round.unlink(missing_ok=True)
        shutil.copy(books, self.books)

    def full(self) -> Report:
        return report_on(self.database)

    def chain(self) -> Report:
        return joined.verify_chain(self.dsn, ORIGIN)

    def state(self) -> Report:
        with Reader(self.dsn, ORIGIN) as reader:
            return replayed.verify(reader, silent)

    def incremental(self) -> Report:
        with Reader(self.dsn, ORIGIN) as reader:
            return incremental.verify(reader, self.books, silent)

    def watch(self) -> Report:
        shown: list[Report] = []
        check = watching.Check(self.incremental, metrics.Seen("incremental"))
        watching.run([check], watching.Watch(1, goes_on=False, rounds=1), shown.append)
        return shown[0]

    def open(self) -> Report:
        witnesses = {witness.key.public_key for witness in self.firm.rules.witnesses}
        with Region(self.dsn, ORIGIN) as region:
            answers = Answers([], witnesses, [], [])
            return opening.verify(region, self.firm.rules, lambda kept: answers, None, region.now).report

    def scrub(self) -> Report:
        with Region(self.dsn, ORIGIN) as region:
            return scrub.verify(region, self.round, Fraction(1), None, silent, lambda: 1)

    def sample(self) -> Report:
        with Region(self.dsn, ORIGIN) as region:
            return sample.of_region(region, self.firm.rules, Draw(2, b"", Decimal(1)), silent)

    def stream(self) -> Report:
        with Region(self.dsn, ORIGIN) as region:
            return streams.verify(region, "account/A", self.firm.rules, False, silent)

    def diff(self) -> Report:
        good = self.firm.other.dsn("auditor")
        with Region(self.dsn, ORIGIN) as left, Region(good, ORIGIN) as right:
            return diverging.compare(left, right, silent)


MODES: Final[tuple[Callable[[Case], Report], ...]] = (
    Case.full, Case.chain, Case.state, Case.incremental, Case.watch, Case.open, Case.scrub, Case.sample, Case.stream,
    Case.diff,
)  # fmt: skip
EVERYTHING: Final = (Case.full, Case.incremental, Case.watch)
"""The modes that check the guards."""


def retype(intruder: Intruder, table: str, column: str, kind: str) -> None:
    other, run = OTHER.get(kind, "text"), intruder.connection.execute
    run(f'ALTER TABLE ledger.{table} ALTER "{column}" DROP DEFAULT')
    run(f'ALTER TABLE ledger.{table} ALTER "{column}" TYPE {other} USING "{column}"::{other}')


def test_a_mode_says_that_all_is_well_of_what_is_not_changed(firm: Firm, books: Path, tmp_path: Path) -> None:
    """Else the tests below would show nothing."""
    case = Case(firm.database, firm, books, tmp_path)
    assert [mode(case).findings for mode in MODES if mode is not Case.watch] == [[]] * (len(MODES) - 1)


@pytest.mark.parametrize("table", [*MANY, *FEW])
def test_a_column_of_another_type_ends_no_check_with_a_fault(
    firm: Firm, books: Path, tmp_path: Path, table: str
) -> None:
    """Each column is given to a mode, one after the other: what cannot be read is told by the column's name."""
    for (column, kind), mode in zip(columns(firm.database, table).items(), itertools.cycle(MODES), strict=False):
        with copied(firm.database) as broken:
            with Intruder(broken) as intruder:
                prepared(intruder, table)
                retype(intruder, table, column, kind)
            case = Case(broken, firm, books, tmp_path)
            report = reported(lambda: mode(case))  # noqa: B023 - called at once
        named = ("GUARD_CHANGED", (f"column {table}.{column}",))
        assert mode not in EVERYTHING or named in [(finding.kind, finding.key) for finding in report.findings]


@pytest.mark.parametrize("tables", TOGETHER, ids=lambda tables: str(tables[0]))
def test_columns_of_read_models_of_other_types_are_told(firm: Firm, tables: tuple[str, ...]) -> None:
    """All of a few tables at once, each by its name."""
    changed = set()
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            for table in tables:
                prepared(intruder, table)
                for column, kind in columns(broken, table).items():
                    if column != "chain":
                        retype(intruder, table, column, kind)
                        changed.add((f"column {table}.{column}",))
        report = report_on(broken)
    assert changed <= {finding.key for finding in report.findings if finding.kind == "GUARD_CHANGED"}


def test_what_python_says_of_a_value_of_another_type_is_in_no_report() -> None:
    """It is another sentence where modules are compiled; what the database answered stays."""
    found = [Finding("GUARD_CHANGED", "text", "bigint", table="catalogue", key=("column events.event_type",))]
    errors = (TypeError("object of type 'int' has no len()"), TypeError("str object expected; got int"),
              AttributeError("'int' object has no attribute 'encode'"))  # fmt: skip
    said = {str(ColumnsChanged("o", found, error).report().not_covered) for error in errors}
    assert len(said) == 1
    assert "TypeError" not in str(said)
    told = ColumnsChanged("o", found, psycopg.errors.DatatypeMismatch("types cannot be matched")).report().not_covered
    assert "DatatypeMismatch: types cannot be matched" in told[0]


def test_the_command_ends_with_3_and_says_what_was_not_read(firm: Firm) -> None:
    """The guards are told, whatever else they are, and that nothing else is known."""
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            prepared(intruder, "commits")
            retype(intruder, "commits", "first_seq", "bigint")
        report = json.loads(run("verifier", "full", "--dsn", broken.dsn("auditor"), "--format", "json", expected=3))
    assert report["verdict"] == BROKEN
    assert {finding["kind"] for finding in report["findings"]} == {"GUARD_CHANGED"}
    assert "commits.first_seq" in str(report["findings"])
    assert "reading them ended with a value that no such column has" in report["not_covered"][0]
