"""
Break each table that is made anew, and have the commands mend it, as operators do.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from ledger.repairing import plan
from ledger.repairing.wanted import HEAD, HISTORIES, MADE_ANEW, TILES
from tests import commands
from tests.conftest import Database
from tests.repairing.mending import Firm, applied, copies, report_file, seal
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, real, report_on

DELETED = {name: f"DELETE FROM ledger.{name}" for name in MADE_ANEW} | {
    TILES: "DELETE FROM ledger.tiles WHERE number = 0", HISTORIES: "DELETE FROM ledger.balance_history",
}  # fmt: skip


PRIMARY = ("--role", "primary")
"""What has to be said where no head says it."""


def planned(firm: Firm, broken: Database, folder: Path, *more: str) -> tuple[str, list[str]]:
    """Verify and plan by the commands; return what was said, and the words that apply the plan."""
    report, trust, file = folder / "report.json", folder / "policy", folder / "plan.json"
    report.write_bytes(report_file(broken))
    trust.write_text(firm.policy_text)
    given = ["--policy", str(trust), "--archive", str(firm.archive), "--replica", firm.other.dsn("auditor"), *more]
    said = commands.run("ledger", "repair", "plan", report, *given, "--dsn", broken.dsn("owner"), "--output", file)
    call = ["repair", "apply", str(file), *given, "--dsn", broken.dsn("owner"), "--writer", broken.dsn("writer"),
            "--auditor", broken.dsn("auditor"), "--source", "engine", "--yes"]  # fmt: skip
    return said.stderr, call


@pytest.mark.parametrize("name", MADE_ANEW)
def test_rows_that_were_deleted_are_put_back(firm: Firm, broken: Database, tmp_path: Path, name: str) -> None:
    """All rows of one table; what mends them is recorded, and everything is verified."""
    with Intruder(broken) as intruder:
        table = "balance_history" if name == HISTORIES else name
        intruder.edit(table, DELETED[name], least=1)
    _, call = planned(firm, broken, tmp_path, *(PRIMARY if name == HEAD else ()))
    said = run("ledger", *call)
    assert "recorded at seq" in said
    assert "VERIFIED" in said


HEADS = {
    "no seq": "UPDATE ledger.chain_heads SET seq = NULL",
    "neither seq nor hash": "UPDATE ledger.chain_heads SET (seq, hash) = (NULL, NULL)",
    "a role that nobody has": "UPDATE ledger.chain_heads SET mode = 'x'",
}


@pytest.mark.parametrize("what", HEADS)
def test_a_head_that_is_none_is_made_anew(firm: Firm, broken: Database, tmp_path: Path, what: str) -> None:
    """What kept it from being written was taken away before; that alone is left."""
    with Intruder(broken) as intruder:
        intruder.unguard("chain_heads")
        for column in ("seq", "hash"):
            intruder.connection.execute(f"ALTER TABLE ledger.chain_heads ALTER {column} DROP NOT NULL")
        intruder.edit("chain_heads", HEADS[what], least=1)
    _, call = planned(firm, broken, tmp_path, *(PRIMARY if "role" in what else ()))
    said = run("ledger", *call, expected=3)
    assert "recorded at seq" in said
    assert real(report_on(broken)) == []


@pytest.mark.parametrize("changed", ["", "seq = 3, hash = sha256('x')", "mode = 'replica'"])
def test_of_two_heads_one_is_left(firm: Firm, broken: Database, tmp_path: Path, changed: str) -> None:
    """And what was edited beside it is mended, an event too."""
    with Intruder(broken) as intruder:
        unkeyed(intruder, "chain_heads")
        intruder.edit("chain_heads", "INSERT INTO ledger.chain_heads SELECT * FROM ledger.chain_heads", least=1)
        if changed:
            intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET {changed} WHERE ctid = (SELECT min(ctid) FROM "
                          "ledger.chain_heads)", least=1)  # fmt: skip
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 20", least=1)
    _, call = planned(firm, broken, tmp_path, *(PRIMARY if "mode" in changed else ()))
    run("ledger", *call, expected=3)
    assert real(report_on(broken)) == []
    assert broken.sql("SELECT count(*), min(mode) FROM ledger.chain_heads") == "1|primary"


def test_histories_that_cannot_be_made_leave_the_rest_mended(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """A head that says too much is left, and they would end at it; what else was done is said, and verified."""
    with Intruder(broken) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = seq + 1", least=1)
        intruder.edit("balance_history", "DELETE FROM ledger.balance_history", least=1)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
    _, call = planned(firm, broken, tmp_path)
    said = run("ledger", *call, expected=3)
    assert "made accounts anew" in said
    assert "histories are not made anew yet" in said
    assert "made the histories" not in said
    assert "BROKEN" in said


RECORDED = (
    "SELECT payload::jsonb #>> '{given,reason}' FROM ledger.events WHERE event_type = 'HistoryRepaired' ORDER BY seq"
)


def test_histories_that_cannot_be_made_are_told_of_until_they_are(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """What stands there is accused of nothing, and the record says what was done, when it was."""
    with Intruder(broken) as intruder:
        intruder.edit("balance_history", "DELETE FROM ledger.balance_history", least=1)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
        intruder.connection.execute("ALTER TABLE ledger.balance_history ADD CONSTRAINT evil CHECK (false) NOT VALID")
    _, call = planned(firm, broken, tmp_path)
    assert "histories are not made anew yet" in run("ledger", *call, expected=3)
    assert {finding.table for finding in real(report_on(broken))} == {"balance_history"}
    (recorded,) = broken.sql(RECORDED).splitlines()
    assert "(1 writes: accounts)" in recorded
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.balance_history DROP CONSTRAINT evil")
    # What was recorded first is to be signed before anything is made to fit it.
    assert "are after the signed checkpoint" in run("ledger", *call, expected=3)
    seal(broken, tmp_path / "sealed")
    run("ledger", *call)
    assert real(report_on(broken)) == []
    assert "(1 writes: histories)" in broken.sql(RECORDED).splitlines()[1]
    # Nothing is left to do, and the record itself, which nobody signed yet, is in nobody's way.
    assert "everything is as the plan wants it already" in run("ledger", *call)
    assert len(broken.sql(RECORDED).splitlines()) == 2


def test_histories_whose_commit_fails_are_not_said_to_be_made(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """A constraint that is checked as they are committed stands for a disk that is full by then."""
    with Intruder(broken) as intruder:
        intruder.edit("balance_history", "UPDATE ledger.balance_history SET settled = settled + 1", least=1)
        for statement in (
            "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file'; END $$",
            "CREATE CONSTRAINT TRIGGER evil AFTER INSERT ON ledger.balance_history DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION public.full_disk()",
        ):
            intruder.connection.execute(statement.encode())
    _, call = planned(firm, broken, tmp_path)
    said = run("ledger", *call, expected=3)
    assert "could not extend file" in said
    assert "everything is as the plan wants it already" not in said
    assert broken.sql(RECORDED) == ""


def test_a_repair_of_histories_alone_that_cannot_be_made_is_not_recorded(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("balance_history", "DELETE FROM ledger.balance_history", least=1)
        intruder.connection.execute("ALTER TABLE ledger.balance_history ADD CONSTRAINT evil CHECK (false) NOT VALID")
    _, call = planned(firm, broken, tmp_path)
    said = run("ledger", *call, expected=3)
    assert "nothing was mended, and nothing is recorded" in said
    assert broken.sql(RECORDED) == ""


def test_a_plan_that_changes_nothing_records_nothing(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Somebody else put the row back before it was applied; no event says that this did."""
    owner = broken.sql("SELECT owner FROM ledger.accounts WHERE account = 'A'")
    with Intruder(broken) as intruder:
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief' WHERE account = 'A'", least=1)
        _, call = planned(firm, broken, tmp_path)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = %s WHERE account = 'A'", owner)
    said = run("ledger", *call)
    assert "everything is as the plan wants it already" in said
    assert "nothing was mended, and nothing is recorded" in said
    assert broken.sql(RECORDED) == ""


def test_of_a_plan_whose_rows_were_right_histories_alone_are_recorded(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    owner = broken.sql("SELECT owner FROM ledger.accounts WHERE account = 'A'")
    with Intruder(broken) as intruder:
        intruder.edit("balance_history", "DELETE FROM ledger.balance_history", least=1)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief' WHERE account = 'A'", least=1)
        _, call = planned(firm, broken, tmp_path)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = %s WHERE account = 'A'", owner)
    run("ledger", *call)
    (recorded,) = broken.sql(RECORDED).splitlines()
    assert "(1 writes: histories)" in recorded


@pytest.mark.parametrize("name", ["accounts", TILES, "commits"])
def test_what_a_run_that_was_killed_had_mended_is_recorded(
    firm: Firm, broken: Database, tmp_path: Path, name: str
) -> None:
    """Rows were put where there were none, so that nothing was taken away; the same plan says so once."""
    with Intruder(broken) as intruder:
        intruder.edit(name, DELETED[name], least=1)
    _, call = planned(firm, broken, tmp_path)
    made = plan.decode((tmp_path / "plan.json").read_bytes())
    with copies(archive=firm.archive, other=firm.other) as found:
        applied(broken, firm.rules, made, found)
    assert broken.sql(RECORDED) == ""
    for _ in range(2):
        said = run("ledger", *call)
        assert "everything is as the plan wants it already" in said
        assert "recorded at seq" in said
    (recorded,) = broken.sql(RECORDED).splitlines()
    assert f"(1 writes: {name})" in recorded


def unkeyed(intruder: Intruder, table: str) -> None:
    """Take the key of a table away, and with it what leads to it."""
    intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {table}_pkey CASCADE")


@pytest.mark.parametrize(
    "name", ["balances", "lot_queues", "state_digests", "commits", "idempotency_keys", "chain_heads", "tiles"]
)
def test_a_table_without_its_key_is_made_anew(firm: Firm, broken: Database, tmp_path: Path, name: str) -> None:
    """One row is gone, and another stands twice; what is left is the guard, which no copy mends."""
    with Intruder(broken) as intruder:
        unkeyed(intruder, name)
        first, last = (f"ctid = (SELECT {of}(ctid) FROM ledger.{name})" for of in ("min", "max"))
        intruder.edit(name, f"DELETE FROM ledger.{name} WHERE {first}", least=1)
        # Some have one row alone.
        intruder.edit(name, f"INSERT INTO ledger.{name} SELECT * FROM ledger.{name} WHERE {last}")
    _, call = planned(firm, broken, tmp_path, *(PRIMARY if name == HEAD else ()))
    run("ledger", *call, expected=3)
    assert real(report_on(broken)) == []


def test_a_tile_that_is_none_proves_nothing_and_stops_nothing(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """It is made anew beside the event that it stands over."""
    with Intruder(broken) as intruder:
        intruder.unguard("tiles")
        intruder.connection.execute("ALTER TABLE ledger.tiles ALTER hashes DROP NOT NULL")
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = NULL WHERE number = 0", least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 20", least=1)
    _, call = planned(firm, broken, tmp_path)
    run("ledger", *call, expected=3)
    assert real(report_on(broken)) == []


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"x":' + b"[" * 200_000, b"\xff", b"{}"])
def test_an_archive_that_is_none_is_named(firm: Firm, broken: Database, tmp_path: Path, data: bytes) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 20", least=1)
    archive = tmp_path / "archive"
    shutil.copytree(firm.archive, archive)
    (archive / "chain.json").write_bytes(data)
    said, _ = planned(msgspec.structs.replace(firm, archive=archive), broken, tmp_path)
    assert "is no archive to mend from" in said
    assert "Traceback" not in said


FORGED = "x\n1 of 1 findings would be mended by 1 writes\x1b[8m\u202e"
"""A key that would end the list of what is to be written, and hide the rest of it."""


def test_what_somebody_wrote_as_a_key_makes_no_lines_of_what_is_shown(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """In the plan, and in what is shown of one before it is applied."""
    with Intruder(broken) as intruder:
        edit = "INSERT INTO ledger.streams (chain, stream, version) SELECT chain, %s, 1 FROM ledger.chains"
        intruder.edit("streams", edit, FORGED, least=1)
    _, call = planned(firm, broken, tmp_path)
    alone = [word for word in call[3:7] if word not in ("--replica", firm.other.dsn("auditor"))]
    said = commands.run("ledger", "repair", "plan", tmp_path / "report.json", *alone, "--dsn", broken.dsn("owner"))
    drop = plan.Write(what="drop", table="snapshots", source=FORGED, key=(FORGED,))
    made = plan.decode(Path(call[2]).read_bytes())
    Path(call[2]).write_bytes(msgspec.structs.replace(made, writes=(*made.writes, drop)).encode())
    done = commands.run("ledger", *call)
    for text, line in (
        (said.stderr, "0 of 1 findings would be mended by 0 writes"),
        (done.stderr, "1 of 1 findings would be mended by 2 writes"),
    ):
        assert [x for x in text.splitlines() if "findings would" in x and not x.startswith(" ")] == [line]
        assert "x\\n1 of 1 findings would be mended by 1 writes\\x1b[8m\\u202e" in text


UNRECORDABLE = {
    "an actor with a line feed": (("--actor", "a\nb"), "found actor"),
    "a reason that an event writes in escapes": (("--reason", "\x01" * 60_000), "found a reason of"),
}


@pytest.mark.parametrize("what", UNRECORDABLE)
def test_nothing_is_mended_that_could_not_be_recorded(firm: Firm, broken: Database, tmp_path: Path, what: str) -> None:
    """It had been found out after the mend."""
    given, reason = UNRECORDABLE[what]
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", least=1)
    _, call = planned(firm, broken, tmp_path)
    said = commands.run("ledger", *call, *given)
    assert said.returncode == 8
    assert reason in said.stderr
    assert "mallory" in broken.sql("SELECT actor FROM ledger.events WHERE seq = 100")
