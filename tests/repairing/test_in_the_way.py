"""
Leave what would keep a repair from being planned or applied, in one cell or one guard: it is mended, or the plan goes
on without it and says what stands in the way.
"""

from __future__ import annotations

import re

import msgspec
import pytest

from ledger.repairing import belonging
from ledger.repairing.applying import NotProven
from ledger.repairing.plan import Write
from ledger.repairing.reports import Found
from tests.conftest import Database
from tests.repairing.mending import Firm, applied, copies, mended, planned, report_file
from tests.sealing.regions import append
from tests.verifier.intruder import Intruder, copied, real, report_on

ACTOR = "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100"


@pytest.mark.parametrize("day", ["infinity", "-infinity"])
def test_an_event_without_a_day_is_restored(firm: Firm, broken: Database, day: str) -> None:
    """In another copy as well, and beside another one."""
    with copied(firm.other) as other:
        for database, seqs in ((broken, [1, 101]), (other, [2, 102])):
            with Intruder(database) as intruder:
                sql = "UPDATE ledger.events SET effective_on = %s WHERE seq = ANY(%s)"
                intruder.edit("events", sql, day, seqs, least=2)
        with Intruder(broken) as intruder:
            intruder.edit("events", ACTOR, least=1)
        with copies(firm.other, firm.archive) as found:
            plan = mended(broken, firm, found)
        assert {(x.seq, x.columns) for x in plan.writes} == {
            (1, ("effective_on",)), (100, ("actor",)), (101, ("effective_on",)),
        }  # fmt: skip
        assert real(report_on(broken)) == []
        with copies(other, firm.archive, other=firm.other) as found:
            with Intruder(broken) as intruder:
                intruder.edit("events", ACTOR.replace("100", "102"), least=1)
            assert [x.source for x in mended(broken, firm, found).writes] == ["archive"]


def test_an_event_without_a_day_that_nobody_signed_keeps_nothing_else_from_being_mended(
    firm: Firm, broken: Database
) -> None:
    """The books are not made to fit it."""
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET effective_on = 'infinity' WHERE seq = %s", firm.size + 2)
        intruder.edit("events", ACTOR, least=1)
        intruder.edit("commits", "UPDATE ledger.commits SET committed_at = 1 WHERE last_seq > 340", least=1)
    with copies(firm.other, firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [x.seq for x in plan.writes] == [100]
        assert applied(broken, firm.rules, plan, found).done[0].startswith("restored event 100 (actor)")


def test_a_column_more_on_events_keeps_none_from_being_restored(firm: Firm, broken: Database) -> None:
    """Whatever stands in it: nobody signed it."""
    with Intruder(broken) as intruder:
        intruder.edit("events", ACTOR, least=1)
        intruder.connection.execute("ALTER TABLE ledger.events ADD COLUMN remark text DEFAULT 'x'")
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 102", least=1)
    with copies(firm.other, firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert {(x.seq, x.columns) for x in plan.writes} >= {(100, ("actor",)), (102, ())}
        applied(broken, firm.rules, plan, found)
    assert {finding.kind for finding in real(report_on(broken))} <= {"GUARD_CHANGED"}


@pytest.mark.parametrize("seq", ["\u00b2", "9" * 5000, "-1"])
def test_a_snapshot_at_what_is_no_seq_is_looked_for_in_vain(firm: Firm, broken: Database, seq: str) -> None:
    """In a report that somebody edited, and in a plan."""
    finding = Found("STATE_MISMATCH", table="snapshots", key=(seq,))
    report = msgspec.json.decode(report_file(broken), type=dict[str, object])
    data = msgspec.json.encode({**report, "verdict": "broken", "findings": [finding]})
    with copies(firm.other, firm.archive) as found:
        plan = planned(broken, firm.rules, found, data)
        drop = Write(what="drop", table="snapshots", source="replay", key=(seq,))
        assert applied(broken, firm.rules, msgspec.structs.replace(plan, writes=(drop,)), found).done == []


GUARDS = {
    "ALTER TABLE ledger.events DISABLE TRIGGER refuse_change": (
        "ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER refuse_change"
    ),
    "ALTER TABLE ledger.events ENABLE TRIGGER check_appended": (
        "ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER check_appended"
    ),
    "CREATE RULE swallow AS ON INSERT TO ledger.events DO INSTEAD NOTHING": "DROP RULE swallow ON ledger.events",
    "CREATE TRIGGER own BEFORE DELETE ON ledger.events EXECUTE FUNCTION ledger.refuse_change()": (
        "DROP TRIGGER own ON ledger.events"
    ),
}
"""What an owner did to the guards of events, and what ends it."""


@pytest.mark.parametrize("done", GUARDS)
def test_guards_of_events_that_stand_otherwise_are_to_be_set_right_first(
    firm: Firm, broken: Database, done: str
) -> None:
    """The plan and an older one say how; then the same report is planned again."""
    with Intruder(broken) as intruder:
        intruder.edit("events", ACTOR, least=1)
        intruder.edit("events", "UPDATE ledger.events SET seq = 1000000 WHERE seq = 120", least=1)
        with copies(firm.other, firm.archive) as found:
            older = planned(broken, firm.rules, found)
            intruder.connection.execute(done)
            data = report_file(broken)
            plan = planned(broken, firm.rules, found, data)
            assert plan.writes == ()
            reasons = [one.reason for one in plan.left() if one.finding.seq == 100]
            assert reasons
            assert all(f"the guards of events come first: {GUARDS[done]}, as the tables' owner" in x for x in reasons)
            with pytest.raises(NotProven, match=re.escape(GUARDS[done])):
                applied(broken, firm.rules, older, found)
            intruder.connection.execute(GUARDS[done])
            mended(broken, firm, found, data)
    assert real(report_on(broken)) == []


def test_a_guard_of_events_that_is_gone_is_to_be_made_first(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", ACTOR, least=1)
        intruder.connection.execute("DROP TRIGGER refuse_change ON ledger.events")
    with copies(firm.other, firm.archive) as found:
        plan = planned(broken, firm.rules, found)
    assert plan.writes == ()
    assert any("make the trigger refuse_change again" in one.reason for one in plan.left())


@pytest.mark.parametrize("is_gone", [False, True])
def test_edited_events_that_nobody_signed_are_not_taken_for_another_chains(
    firm: Firm, broken: Database, is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them are drawn, and where the first of them is gone; an event that was signed is restored."""
    append(broken, 6)
    monkeypatch.setattr(belonging, "ASKED", 0)
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq > %s", firm.size, least=9)
        intruder.edit("events", ACTOR, least=1)
        if is_gone:
            intruder.edit("events", "DELETE FROM ledger.events WHERE seq = %s", firm.size + 1, least=1)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [x.seq for x in plan.writes] == [100]
        applied(broken, firm.rules, plan, found)
