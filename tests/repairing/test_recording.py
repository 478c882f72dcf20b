"""
Mend a region at whose end something is wrong or missing: no record of the repair is put there before it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.cli.creation import named
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.repairing.conftest import follow
from tests.repairing.mending import Firm, report_file, seal
from tests.sealing.regions import CHECKPOINT, REPLICA, append
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, copied

RECORDS = "SELECT count(*) FROM ledger.events WHERE event_type = 'HistoryRepaired'"
HEAD = "SELECT seq, encode(hash, 'hex') FROM ledger.chain_heads"


def edited(region: Database, *edits: str) -> None:
    """Edit an event that the archive has, and whatever else is said."""
    with Intruder(region) as intruder:
        for edit in ("UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", *edits):
            intruder.edit("events", edit, least=1)


def calls(firm: Firm, broken: Database, folder: Path, *named: str, expected: int = 0) -> list[str]:
    """Verify and plan by copies that are named, and return the words that apply the plan."""
    folder.mkdir()
    report, trust, file = folder / "report.json", folder / "policy", folder / "plan.json"
    report.write_bytes(report_file(broken))
    trust.write_text(firm.policy_text)
    given = ["--policy", str(trust), "--archive", str(firm.archive)]
    run("ledger", "repair", "plan", str(report), *given, *named, "--dsn", broken.dsn("owner"), "--output", str(file),
        expected=expected)  # fmt: skip
    return ["repair", "apply", str(file), *given, "--dsn", broken.dsn("owner"), "--writer", broken.dsn("writer"),
            "--auditor", broken.dsn("auditor"), "--source", "engine", "--yes"]  # fmt: skip


def replica(region: Database) -> Sequence[str]:
    return "--replica", region.dsn("auditor")


def test_nothing_follows_a_last_event_that_is_not_the_signed_one(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Nor is the head, which has its true hash, made to fit it; once a copy mends it both repairs are recorded."""
    seal(broken, tmp_path / "sealed")
    with copied(broken) as other:
        follow(other)
        before = broken.sql(HEAD)
        last = before.split("|")[0]
        edited(broken, f"UPDATE ledger.events SET hash = set_byte(hash, 3, get_byte(hash, 3) # 1) WHERE seq = {last}")
        first = calls(firm, broken, tmp_path / "first", expected=3)
        said = run("ledger", *first, expected=3)
        assert "restored event 100 (actor)" in said
        assert "let the head be" not in said
        assert "is not recorded as an event yet" in said
        assert (broken.sql(HEAD), broken.sql(RECORDS)) == (before, "0")
        second = calls(firm, broken, tmp_path / "second", *replica(other))
        assert "VERIFIED" in run("ledger", *second, *replica(other))
    # The record of the second is an event that nobody has signed yet.
    assert "is not recorded as an event yet" in run("ledger", *first, expected=3)
    seal(broken, tmp_path / "again")
    assert "recorded at seq" in run("ledger", *first)
    assert broken.sql(RECORDS) == "2"


@pytest.mark.parametrize("signed", [False, True])
def test_no_record_takes_the_place_of_an_event_that_is_missing(
    firm: Firm, broken: Database, tmp_path: Path, signed: bool
) -> None:
    """The region was restored from a backup, and another has the events that it had published."""
    before = broken.sql(HEAD)
    with copied(firm.database) as other:
        append(other, 3)
        if signed:
            seal(other, tmp_path / "sealed")
        follow(other)
        edited(broken)
        said = run("ledger", *calls(firm, broken, tmp_path / "plan", *replica(other)), *replica(other), expected=3)
        assert "restored event 100 (actor)" in said
        assert "is not recorded as an event yet" in said
        assert ("take the place of one that is missing" if signed else "goes on from there") in said
    assert (broken.sql(HEAD), broken.sql(RECORDS)) == (before, "0")


def test_a_record_waits_until_the_last_event_is_signed(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Or another region has it; whoever can write the newest events may have written it over."""
    edited(broken)
    call = calls(firm, broken, tmp_path / "plan")
    said = run("ledger", *call, expected=3)
    assert "is not recorded as an event yet" in said
    assert "hold them against receipts and seal" in said
    assert broken.sql(RECORDS) == "0"
    seal(broken, tmp_path / "sealed")
    assert "recorded at seq" in run("ledger", *call)
    assert broken.sql(RECORDS) == "1"


@pytest.mark.parametrize("has", ["another chain of the same origin", "none"])
def test_a_repair_is_recorded_in_no_other_chain(
    pg_server: Server, migrated: str, firm: Firm, broken: Database, tmp_path: Path, has: str
) -> None:
    """A test system's, or one that was made again; it is known before anything is mended."""
    there = Database(pg_server, "elsewhere")
    copy_database(pg_server, there.name, migrated)
    try:
        if has != "none":
            create_chain(there.dsn("owner"), ORIGIN, named([CHECKPOINT, REPLICA]), [("writer", "engine")])
        before = there.sql("SELECT count(*) FROM ledger.events")
        edited(broken)
        follow(broken)
        # Its place in the topic is left to itself.
        call = calls(firm, broken, tmp_path / "plan", expected=3)
        call[call.index("--writer") + 1] = there.dsn("writer")
        said = run("ledger", *call, expected=8)
        assert there.sql("SELECT count(*) FROM ledger.events") == before
    finally:
        pg_server.sql(f"DROP DATABASE {there.name} WITH (FORCE)")
    if has != "none":
        assert "does not have this chain, by origin and id" in said
    assert broken.sql("SELECT actor FROM ledger.events WHERE seq = 100") == "mallory"


def test_an_actor_that_no_event_can_have_is_refused_before(firm: Firm, broken: Database, tmp_path: Path) -> None:
    edited(broken)
    said = run("ledger", *calls(firm, broken, tmp_path / "plan"), "--actor", "x" * 300, expected=8)
    assert "expected 1 to 200 printable ASCII characters" in said
    assert broken.sql("SELECT actor FROM ledger.events WHERE seq = 100") == "mallory"
