"""
See that a plan is not believed: edited, forged, applied by the wrong role, stopped in the middle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from ledger.errors import InvalidInput, LedgerError, NotPermitted, SetupNeeded, SignatureInvalid
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.repairing import plan as plans
from ledger.repairing import reports
from ledger.repairing.plan import NotProven, Plan, Write
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import Firm, applied, copies, planned, report_file
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, copied, report_on

BALANCES = "UPDATE ledger.balances SET settled = settled + 7 WHERE NOT breached"
EVENT = "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 20"
Edit = Callable[[Plan], Plan]


def state(database: Database) -> str:
    """Return everything that a repair could change, and how the guards stand."""
    tables = ("events", "balances", "history_changes", "chain_heads", "tiles", "checkpoints", "chains")
    parts = [database.sql(f"SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM ledger.{name} t")
             for name in tables]  # fmt: skip
    return " ".join(parts) + database.sql("SELECT md5(string_agg(concat(tgrelid, tgname, tgenabled), ',' ORDER BY "
                                          "tgrelid, tgname)) FROM pg_trigger")  # fmt: skip


def broken_by(database: Database, *edits: tuple[str, str]) -> None:
    with Intruder(database) as intruder:
        for table, sql in edits:
            intruder.edit(table, sql)


def with_write(plan: Plan, **other: object) -> Plan:
    return msgspec.structs.replace(plan, writes=(msgspec.structs.replace(plan.writes[0], **other), *plan.writes[1:]))


FORGER = SigningKey(ORIGIN, ED25519, bytes(31) + b"\x66")


def forged(firm: Firm, root: bytes = bytes(32)) -> bytes:
    text = Checkpoint(ORIGIN, firm.size, root).text()
    return note.with_signatures(text, (FORGER.sign(text),)).encode()


class Marred(msgspec.Struct):
    """A copy in which one event was changed, and the plan that mends it."""

    firm: Firm
    database: Database
    plan: Plan


@pytest.fixture(scope="module")
def marred(firm: Firm) -> Iterator[Marred]:
    with copied(firm.database) as made:
        broken_by(made, ("events", EVENT))
        with copies(archive=firm.archive, other=firm.other) as found:
            yield Marred(firm, made, planned(made, firm.rules, found))


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda plan: with_write(plan, hash="00" * 32), NotProven),
        (lambda plan: with_write(plan, leaf="00" * 32), NotProven),
        (lambda plan: with_write(plan, seq=21), NotProven),
        (lambda plan: with_write(plan, seq=999_999), NotProven),
        (lambda plan: with_write(plan, table="history_changes"), InvalidInput),
        (lambda plan: with_write(plan, source="topic"), InvalidInput),
        (lambda plan: msgspec.structs.replace(plan, root="00" * 32), InvalidInput),
        (lambda plan: msgspec.structs.replace(plan, size=plan.size - 1), InvalidInput),
        (lambda plan: msgspec.structs.replace(plan, checkpoint=plan.checkpoint.replace("\n\n", "x\n\n", 1)),
         LedgerError),
    ],
)  # fmt: skip
def test_a_plan_that_was_edited_is_refused(marred: Marred, edit: Edit, error: type[LedgerError]) -> None:
    """Whatever it claims, nothing is written."""
    before = state(marred.database)
    with copies(archive=marred.firm.archive, other=marred.firm.other) as found, pytest.raises(error):
        applied(marred.database, marred.firm.rules, plans.decode(edit(marred.plan).encode()), found)
    assert state(marred.database) == before


def test_what_an_edit_adds_has_no_say(firm: Firm, broken: Database) -> None:
    """A row that would be taken away stands where it belongs, so it stays; the event is mended all the same."""
    broken_by(broken, ("events", EVENT))
    more = Write(what="remove", table="events", source="archive", seq=1, key=("1", "1"))
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        plan = msgspec.structs.replace(plan, writes=(*plan.writes, more), findings=())
        applied(broken, firm.rules, plans.decode(plan.encode()), found)
    assert report_on(broken).findings == []


def test_a_plan_has_one_form(marred: Marred) -> None:
    data = report_file(marred.database)
    with copies(archive=marred.firm.archive, other=marred.firm.other) as found:
        made = [planned(marred.database, marred.firm.rules, found, data) for _ in range(2)]
    assert made[0].encode() == made[1].encode()
    assert plans.decode(made[0].encode()) == made[0]


def test_a_forged_checkpoint_proves_nothing(marred: Marred) -> None:
    rules, note_of = marred.firm.rules, forged(marred.firm)
    with copies(archive=marred.firm.archive, other=marred.firm.other) as found:
        with pytest.raises(SignatureInvalid):
            planned(marred.database, rules, found, given=[note_of])
        swapped = msgspec.structs.replace(marred.plan, checkpoint=note_of.decode(), root=bytes(32).hex())
        with pytest.raises(SignatureInvalid):
            applied(marred.database, rules, swapped, found)


def test_without_any_checkpoint_nothing_is_planned(firm: Firm, broken: Database) -> None:
    broken_by(broken, ("events", EVENT), ("checkpoints", "DELETE FROM ledger.checkpoints"))
    with pytest.raises(SetupNeeded, match="seal the chain"):
        planned(broken, firm.rules, [])


@pytest.mark.parametrize("login", ["auditor", "reader", "writer"])
def test_only_the_owner_of_the_tables_mends(marred: Marred, login: str) -> None:
    before = state(marred.database)
    with (
        copies(archive=marred.firm.archive, other=marred.firm.other) as found,
        pytest.raises(NotPermitted, match="ledger_owner"),
    ):
        applied(marred.database, marred.firm.rules, marred.plan, found, login)
    assert state(marred.database) == before


def test_a_dry_run_takes_all_of_it_back(firm: Firm, broken: Database) -> None:
    broken_by(broken, ("events", EVENT), ("balances", BALANCES))
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        before = state(broken)
        assert applied(broken, firm.rules, plan, found, dry_run=True).done
    assert state(broken) == before


def test_the_same_again_changes_nothing(firm: Firm, broken: Database) -> None:
    broken_by(broken, ("events", EVENT), ("balances", BALANCES))
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        applied(broken, firm.rules, plan, found)
        kept = broken.sql("SELECT count(*) FROM ledger.history_changes")
        applied(broken, firm.rules, plan, found)
    assert broken.sql("SELECT count(*) FROM ledger.history_changes") == kept


def files(firm: Firm, broken: Database, folder: Path) -> tuple[Path, Path]:
    """Write the policy and a report, and return their paths."""
    trust, report = folder / "policy", folder / "report.json"
    trust.write_text(firm.policy_text)
    report.write_bytes(report_file(broken))
    return trust, report


def words(firm: Firm, broken: Database, plan: Path, trust: Path) -> list[str]:
    return ["repair", "apply", str(plan), "--policy", str(trust), "--archive", str(firm.archive), "--replica",
            firm.other.dsn("auditor"), "--dsn",
            broken.dsn("owner"), "--writer", broken.dsn("writer"), "--auditor", broken.dsn("auditor"), "--source",
            "engine"]  # fmt: skip


def test_a_login_that_may_not_compare_is_told_which_may(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """As in a database whose rights were taken from everybody, and given to roles by name."""
    broken_by(broken, ("events", EVENT))
    trust, report = files(firm, broken, tmp_path)
    broken.sql(f"REVOKE TEMPORARY ON DATABASE {broken.name} FROM PUBLIC")
    call = ("ledger", "repair", "plan", str(report), "--policy", str(trust), "--archive", str(firm.archive), "--dsn")
    said = run(*call, broken.dsn("reader"), expected=8)
    assert f'plan as the owner\'s login, or GRANT TEMPORARY ON DATABASE "{broken.name}" TO "reader"' in said
    assert "restore event 20 (actor) from archive" in run(*call, broken.dsn("owner"))
    endless = run("ledger", "repair", "plan", "/dev/zero", "--policy", str(trust), expected=8)
    assert "/dev/zero cannot be read: it is a device" in endless


def test_the_commands_mend_record_and_verify(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """As operators do it; whoever declines changes nothing."""
    broken_by(broken, ("events", EVENT), ("balances", BALANCES))
    trust, report = files(firm, broken, tmp_path)
    plan = tmp_path / "plan.json"
    said = run("ledger", "repair", "plan", str(report), "--policy", str(trust), "--archive", str(firm.archive),
               "--replica", firm.other.dsn("auditor"), "--dsn", broken.dsn("reader"),
               "--output", str(plan))  # fmt: skip
    assert "restore event 20 (actor) from replica" in said
    call, before = words(firm, broken, plan, trust), state(broken)
    assert "nobody to ask" in run("ledger", *call, expected=8)
    assert declined(call) == 8
    assert state(broken) == before
    assert "would have restored event 20" in run("ledger", *call, "--dry-run")
    assert state(broken) == before
    said = run("ledger", *call, "--yes", "--reason", "bit rot")
    assert "restored event 20" in said
    assert "VERIFIED" in said
    assert report_on(broken).findings == []
    event = "SELECT payload::jsonb #>> '{given,%s}' FROM ledger.events WHERE event_type = 'HistoryRepaired'"
    assert broken.sql(event % "from_seq") == "20"
    assert broken.sql(event % "reason").startswith("bit rot")
    # Again: nothing is written, nothing recorded twice.
    assert "already" in run("ledger", *call, "--yes")
    assert broken.sql("SELECT count(*) FROM ledger.events WHERE event_type = 'HistoryRepaired'") == "1"


def test_what_was_mended_in_part_is_verified_whether_it_can_be_recorded_or_not(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """Books that speak of a tail which is gone keep every append out, so that the record waits; it is said before."""
    with Intruder(broken) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {firm.size - 5}")
        intruder.edit(
            "chain_heads",
            "UPDATE ledger.chain_heads h SET (seq, hash, recorded_at, epoch) = (SELECT seq, hash, recorded_at, epoch "
            "FROM ledger.events e WHERE e.chain = h.chain ORDER BY seq DESC LIMIT 1)",
        )
    trust, _ = files(firm, broken, tmp_path)
    with copies(archive=firm.archive) as found:
        made = planned(broken, firm.rules, found)
    plan = tmp_path / "plan.json"
    plan.write_bytes(made.encode())
    said = run("ledger", *words(firm, broken, plan, trust), "--yes", expected=3)
    assert "the record then waits until they do" in said
    assert f"restored event {firm.size}" in said
    assert "is not recorded as an event yet" in said
    assert "BROKEN" in said


def declined(call: list[str]) -> int:
    """Answer the question with another word, at a terminal."""
    leader, follower = os.openpty()
    try:
        process = subprocess.Popen([sys.executable, "-m", "ledger", *call], stdin=follower,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        os.write(leader, b"yes\n")
        return process.wait(60)
    finally:
        os.close(leader)
        os.close(follower)


def test_what_cannot_be_mended_ends_with_3(firm: Firm, broken: Database, tmp_path: Path) -> None:
    broken_by(broken, ("events", EVENT))
    trust, report = files(firm, broken, tmp_path)
    said = run("ledger", "repair", "plan", str(report), "--policy", str(trust), "--dsn", broken.dsn("reader"),
               expected=3)  # fmt: skip
    assert "not mended: BYTES_MODIFIED: event 20" in said
    # The database itself is no copy, whatever login it is named by.
    said = run("ledger", "repair", "plan", str(report), "--policy", str(trust), "--dsn", broken.dsn("reader"),
               "--replica", broken.dsn("auditor"), expected=8)  # fmt: skip
    assert "the replica that was named is the database to be mended" in said


def test_a_head_far_ahead_has_no_plan_without_end(firm: Firm, broken: Database) -> None:
    """One event stands for all that were never signed."""
    with Intruder(broken) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET seq = 10000000000000 WHERE seq = {firm.size + 3}")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = 10000000000000")
    gaps = [{"kind": "SEQ_GAP", "seq": seq} for seq in (firm.size + 3, 1_000_349, 10**13 - 1)]
    data = msgspec.json.encode({"verdict": "broken", "origin": ORIGIN, "region_mode": "primary", "findings": gaps,
                                "schema_version": 1})  # fmt: skip
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, data)
    assert plan.writes == ()
    assert {"nothing that was signed covers it" in judged.reason for judged in plan.left()} == {True}


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "found no report"), (b"[]", "found no report"), (b'{"verdict": "could not verify", "code": "x"}', "no rep"),
     (b'{"verdict":"broken","origin":"o","region_mode":"primary","findings":[],"schema_version":9}', "version 9"),
     (b'{"verdict":"odd","origin":"o","region_mode":"primary","findings":[],"schema_version":1}', "verdict 'odd'")],
)  # fmt: skip
def test_what_is_no_report_is_told(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        reports.decode(data)


def test_a_kill_in_the_middle_leaves_everything_as_it_was(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """The event is restored and the balances are not yet, when the process is killed; the same again does it."""
    broken_by(broken, ("events", EVENT), ("balances", BALANCES))
    trust, _ = files(firm, broken, tmp_path)
    with copies(archive=firm.archive, other=firm.other) as found:
        made = planned(broken, firm.rules, found)
    plan = tmp_path / "plan.json"
    plan.write_bytes(made.encode())
    call, before = words(firm, broken, plan, trust), state(broken)
    with psycopg.connect(broken.server.dsn("postgres", broken.name)) as other:
        other.execute("LOCK TABLE ledger.balances IN SHARE MODE")
        process = subprocess.Popen([sys.executable, "-m", "ledger", *call, "--yes"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        deadline = time.monotonic() + 60
        while broken.sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ledger.balances'::regclass"
                         ) == "0":  # fmt: skip
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        other.rollback()
    deadline = time.monotonic() + 30
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tradeledger repair%' AND datname = '%s'"
    while broken.sql(left.replace("%s", broken.name)) != "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state(broken) == before
    assert "restored event 20" in run("ledger", *call, "--yes")
