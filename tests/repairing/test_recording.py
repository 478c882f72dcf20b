"""
Mend a region at whose end something is wrong or missing: no record of the repair is put there before it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ledger.cli.creation import named
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey, with_signatures
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.repairing.conftest import follow
from tests.repairing.mending import Firm, archived, report_file, seal
from tests.sealing.regions import CHECKPOINT, REPLICA, append
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, copied, report_on

RECORDS = "SELECT count(*) FROM ledger.events WHERE event_type = 'HistoryRepaired'"
NEWEST = "SELECT note FROM ledger.checkpoints ORDER BY size DESC LIMIT 1"
HEAD = "SELECT seq, encode(hash, 'hex') FROM ledger.chain_heads"


def edited(region: Database, *edits: str) -> None:
    """Edit an event that the archive has, and whatever else is said."""
    with Intruder(region) as intruder:
        for edit in ("UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", *edits):
            intruder.edit(edit.split()[1].removeprefix("ledger."), edit, least=1)


def calls(
    firm: Firm, broken: Database, folder: Path, *named: str, expected: int = 0, data: bytes | None = None
) -> list[str]:
    """Verify and plan by copies that are named, and return the words that apply the plan; *data* is another report."""
    folder.mkdir()
    report, trust, file = folder / "report.json", folder / "policy", folder / "plan.json"
    report.write_bytes(data or report_file(broken))
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


@pytest.mark.parametrize("besides", ["nothing", "an event"])
def test_nothing_is_put_where_a_report_knows_of_events(
    firm: Firm, broken: Database, tmp_path: Path, besides: str
) -> None:
    """An older backup was put back, and whoever verified it brought the checkpoint that it lacks."""
    seal(broken, tmp_path / "before")
    head = broken.sql(HEAD)
    with copied(broken) as ahead:
        append(ahead, 3)
        seal(ahead, tmp_path / "after")
        (tmp_path / "note").write_text(ahead.sql(NEWEST) + "\n")
        size = int(ahead.sql("SELECT max(size) FROM ledger.checkpoints"))
        place = archived(ahead, tmp_path / "archive", firm.policy_text)
    if besides == "an event":
        edited(broken)
    trust, report, file = (tmp_path / name for name in ("policy", "report.json", "plan.json"))
    trust.write_text(firm.policy_text)
    given = ["--policy", str(trust), "--archive", str(firm.archive)]
    run("verifier", "full", "--dsn", broken.dsn("auditor"), "--policy", str(trust), "--expect", str(tmp_path / "note"),
        "--report", str(report), expected=3)  # fmt: skip
    ends = ["--dsn", broken.dsn("owner"), "--writer", broken.dsn("writer"), "--auditor", broken.dsn("auditor")]
    said = run("ledger", "repair", "plan", str(report), *given, *ends[:2], "--output", str(file), expected=3)
    assert f"the report knows of {size} events" in said
    assert "--checkpoint" in said
    assert "anew" not in said
    call = ["repair", "apply", str(file), *given, *ends, "--source", "engine", "--yes"]
    if besides == "an event":
        said = run("ledger", *call, expected=3)
        assert "restored event 100 (actor)" in said
        assert "take the place of one that is missing" in said
    else:
        assert "nothing to apply" in run("ledger", *call, expected=8)
    assert (broken.sql(HEAD), broken.sql(RECORDS)) == (head, "0")
    # With what the report was held against, and a copy that has the events, all of them come back.
    given = ["--policy", str(trust), "--archive", str(place)]
    # What was mended already is no longer to be.
    run("ledger", "repair", "plan", str(report), *given, "--checkpoint", str(tmp_path / "note"), *ends[:2], "--output",
        str(file), expected=0 if besides == "nothing" else 3)  # fmt: skip
    assert "VERIFIED" in run("ledger", "repair", "apply", str(file), *given, *ends, "--source", "engine", "--yes")
    assert broken.sql(RECORDS) == "1"


def test_a_state_that_knew_more_events_is_no_head_to_mend(firm: Firm, broken: Database, tmp_path: Path) -> None:
    seal(broken, tmp_path / "before")
    (tmp_path / "policy").write_text(firm.policy_text)
    with copied(broken) as ahead:
        append(ahead, 3)
        run("verifier", "incremental", "--dsn", ahead.dsn("auditor"), "--state", str(tmp_path / "state"))
    report = tmp_path / "report.json"
    run("verifier", "incremental", "--dsn", broken.dsn("auditor"), "--state", str(tmp_path / "state"), "--report",
        str(report), expected=3)  # fmt: skip
    said = run("ledger", "repair", "plan", str(report), "--policy", str(tmp_path / "policy"), "--archive",
               str(firm.archive), "--dsn", broken.dsn("owner"), expected=3)  # fmt: skip
    assert "not mended: ROLLBACK" in said
    assert "anew" not in said


@pytest.mark.parametrize("what", ["a snapshot", "a signed note", "tiles"])
def test_no_record_is_put_where_rows_speak_of_events(firm: Firm, broken: Database, tmp_path: Path, what: str) -> None:
    """The end was cut off, and the head set back, but not everything that speaks of it."""
    seal(broken, tmp_path / "before")
    head = broken.sql(HEAD)
    with copied(broken) as ahead:
        append(ahead, 3)
        seal(ahead, tmp_path / "after")
        note = ahead.sql(NEWEST)
        size = int(ahead.sql("SELECT max(size) FROM ledger.checkpoints"))
        tiles = ahead.sql("SELECT json_agg(t) FROM ledger.tiles t")
    edited(broken)
    with Intruder(broken) as intruder:
        if what == "a snapshot":
            intruder.edit("snapshots", f"UPDATE ledger.snapshots SET seq = {size}", least=1)
        elif what == "tiles":
            intruder.edit("tiles", "DELETE FROM ledger.tiles", least=1)
            intruder.edit("tiles", "INSERT INTO ledger.tiles SELECT (json_populate_recordset(NULL::ledger.tiles,"
                          f" '{tiles}')).*", least=1)  # fmt: skip
        else:
            # Of its three signatures the last is not there: the policy asks for more witnesses.
            text = "\n".join(note.strip().split("\n")[:-1]) + "\n"
            intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at)"
                          f" SELECT chain, {size}, sha256('x'), $note${text}$note$, sealed_at + 1"
                          " FROM ledger.checkpoints ORDER BY size DESC LIMIT 1", least=1)  # fmt: skip
    said = run("ledger", *calls(firm, broken, tmp_path / "plan", expected=3), expected=3)
    assert "restored event 100 (actor)" in said
    assert "is not recorded as an event yet" in said
    assert (f"a log has signed {size}" if what == "a signed note" else "rows here speak of more") in said
    if what == "tiles":
        assert broken.sql("SELECT json_agg(t) FROM ledger.tiles t") == tiles
    assert (broken.sql(HEAD), broken.sql(RECORDS)) == (head, "0")


def test_a_region_that_ends_here_as_well_settles_what_tiles_say(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """One hash too many behind the last leaf keeps nothing from being mended."""
    seal(broken, tmp_path / "sealed")
    with copied(broken) as other:
        follow(other)
        edited(
            broken, "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'",
            "UPDATE ledger.tiles SET hashes = hashes || sha256('x') WHERE (level, number) = (0, 1)",
        )  # fmt: skip
        alone = calls(firm, broken, tmp_path / "alone", expected=3)
        assert "name with --replica a region that ends here as well" in run("ledger", *alone, expected=3)
        said = run("ledger", *calls(firm, broken, tmp_path / "plan", *replica(other)), *replica(other))
    assert "made balances anew" in said
    assert "made tiles anew" in said
    assert "VERIFIED" in said


def test_no_record_waits_for_what_another_log_signed(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Of the policy's two the note is of the other, whose chain is elsewhere: it says nothing of the events here."""
    log = SigningKey("second.example/log", ED25519, bytes([77]) * 32)
    text = Checkpoint(log.name, int(broken.sql(HEAD).split("|")[0]) + 100, bytes(32)).text()
    note = with_signatures(text, (log.sign(text),)).encode().decode()
    of_both = msgspec.structs.replace(firm, policy_text=f"log {log.verifier.text()}\n{firm.policy_text}")
    edited(broken)
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at)"
                      f" SELECT chain, size + 1000, root, $note${note}$note$, sealed_at + 1"
                      " FROM ledger.checkpoints ORDER BY size DESC LIMIT 1", least=1)  # fmt: skip
    call = calls(of_both, broken, tmp_path / "plan", *replica(firm.other), expected=3)
    # The note itself is left to whoever knows whose it is.
    said = run("ledger", *call, *replica(firm.other), expected=3)
    assert "restored event 100 (actor)" in said
    assert ("recorded at seq" in said, broken.sql(RECORDS)) == (True, "1"), said


def test_what_was_mended_is_told_whatever_the_last_event_is(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """No day that a date can be is one that every program can read."""
    seal(broken, tmp_path / "before")
    last = broken.sql(HEAD).split("|")[0]
    edited(broken, f"UPDATE ledger.events SET effective_on = 'infinity' WHERE seq = {last}")
    said = run("ledger", *calls(firm, broken, tmp_path / "plan", expected=3), expected=3)
    assert "restored event 100 (actor)" in said
    assert f"the last event here, {last}, is not shown to be in" in said
    assert broken.sql(RECORDS) == "0"


def test_a_cut_end_comes_back_from_a_copy_that_has_it(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """No finding names the events: nothing in the region knows of them any more."""
    seal(broken, tmp_path / "before")
    place = archived(broken, tmp_path / "archive", firm.policy_text)
    first, last = firm.size + 1, int(broken.sql(HEAD).split("|")[0])
    of = {"events": "seq", "commits": "last_seq", "idempotency_keys": "first_seq", "checkpoints": "size"}
    with Intruder(broken) as intruder:
        for table, column in of.items():
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {column} >= {first}")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET (seq, hash, recorded_at) = (SELECT seq, hash,"
                      f" recorded_at FROM ledger.events WHERE seq = {first - 1})", least=1)  # fmt: skip
    assert not any(finding.seq == last for finding in report_on(broken).findings)
    # The snapshot of the end, which no event made any more, is what it was once they are back.
    call = calls(firm, broken, tmp_path / "plan", "--archive", str(place))
    assert "VERIFIED" in run("ledger", *call, "--archive", str(place))
    assert broken.sql(HEAD).split("|")[0] == str(last + 1)
    assert broken.sql(f"SELECT count(*) FROM ledger.snapshots WHERE seq = {last}") == "1"
    assert broken.sql(f"SELECT count(*) FROM ledger.checkpoints WHERE size = {last}") == "1"


def test_each_time_that_a_plan_mends_something_is_recorded(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """The same damage came again, and the same plan was applied again."""
    seal(broken, tmp_path / "before")
    edited(broken)
    call = calls(firm, broken, tmp_path / "plan")
    for count in (1, 2):
        assert "recorded at seq" in run("ledger", *call)
        assert broken.sql(RECORDS) == str(count)
        seal(broken, tmp_path / f"after{count}")
        # Nothing is left to do, and nothing more is said.
        assert "recorded at seq" in run("ledger", *call)
        assert broken.sql(RECORDS) == str(count)
        edited(broken)


def test_each_time_that_histories_are_made_anew_is_recorded(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """As long as they were others; to make the same of the same is nothing that is recorded."""
    seal(broken, tmp_path / "before")
    edit = "UPDATE ledger.balance_history SET settled = settled + 1"
    with Intruder(broken) as intruder:
        intruder.edit("balance_history", edit, least=1)
    call = calls(firm, broken, tmp_path / "plan")
    for count in (1, 2):
        assert "made the histories of balances and positions anew" in run("ledger", *call)
        assert broken.sql(RECORDS) == str(count)
        seal(broken, tmp_path / f"after{count}")
        assert "everything is as the plan wants it already" in run("ledger", *call)
        assert broken.sql(RECORDS) == str(count)
        with Intruder(broken) as intruder:
            intruder.edit("balance_history", edit, least=1)


def test_the_same_plan_is_recorded_for_each_region_that_it_mends(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Both were edited alike, and what was mended here is told of no other."""
    with copied(broken) as other:
        follow(other)
        for region in (broken, other):
            edited(region)
        seal(broken, tmp_path / "sealed")
        call = calls(firm, broken, tmp_path / "plan")
        assert "recorded at seq" in run("ledger", *call)
        named = {broken.dsn(login): other.dsn(login) for login in ("owner", "auditor")}
        seal(other, tmp_path / "other")
        # What stays is that it has no place in a topic.
        assert "recorded at seq" in run("ledger", *(named.get(word, word) for word in call), expected=3)
    assert broken.sql(RECORDS) == "2"


@pytest.mark.parametrize("signed", [True, False])
def test_no_record_takes_the_place_of_an_event_that_the_primary_lost(
    firm: Firm, broken: Database, tmp_path: Path, signed: bool
) -> None:
    """
    It was restored from an older backup, and the replica that is mended has what was signed, and more; or rows of more,
    the first of which was edited as well.
    """
    last = append(broken, 3)
    if signed:
        seal(broken, tmp_path / "sealed")
    follow(broken)
    edited(broken, *(() if signed else (f"UPDATE ledger.events SET actor = 'mallory' WHERE seq = {last - 2}",)))
    call = calls(firm, broken, tmp_path / "plan", expected=3)
    with copied(firm.database) as old:
        named = {broken.dsn("writer"): old.dsn("writer")}
        before = old.sql(HEAD)
        said = run("ledger", *(named.get(word, word) for word in call), expected=3)
        assert "restored event 100 (actor)" in said
        assert "is not recorded as an event yet" in said
        assert ("take the place of one that is missing" if signed else "where it would be recorded") in said
        assert (old.sql(HEAD), old.sql(RECORDS)) == (before, "0")


@pytest.mark.parametrize("column", ["", "epoch", "seq"])
def test_a_report_of_more_events_than_there_are_is_believed(
    firm: Firm, broken: Database, tmp_path: Path, column: str
) -> None:
    """
    The region was put back from an older backup after it was verified: nothing takes the place of what it had, whatever
    else was edited in its head.
    """
    edits = ["UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'"]
    edits += [f"UPDATE ledger.chain_heads SET {column} = {column} + 1"] if column else []
    with copied(broken) as newer:
        append(newer, 3)
        edited(newer, *edits)
        data = report_file(newer)
    seal(broken, tmp_path / "sealed")
    edited(broken, edits[0])
    before = broken.sql(HEAD)
    last = int(before.split("|")[0])
    said = run("ledger", *calls(firm, broken, tmp_path / "plan", data=data, expected=3), expected=3)
    assert "restored event 100 (actor)" in said
    assert f"the events end at {last} here, and {last + 3} were verified" in said
    assert f"{last + 3} were there when the plan or its report was made" in said
    assert (broken.sql(HEAD), broken.sql(RECORDS)) == (before, "0")
