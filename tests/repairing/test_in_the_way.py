"""
Leave what would keep a repair from being planned or applied, in one cell or one guard: it is mended, or the plan goes
on without it and says what stands in the way.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
import pytest

from ledger.errors import Corrupt
from ledger.repairing import belonging
from ledger.repairing.plan import NotProven, Write
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


WIDENED: Final = ("events", "balances", "commits", "tiles", "state_digests", "idempotency_keys", "chain_heads")


@pytest.mark.parametrize("more", ["text NOT NULL DEFAULT 'x'", "text"])
def test_a_column_more_on_any_table_is_the_operators_own(firm: Firm, broken: Database, more: str) -> None:
    """What comes has its default; of what stays it says what it said, and no row is another for it."""
    with Intruder(broken) as intruder:
        intruder.edit("events", ACTOR, least=1)
        for table in WIDENED:
            intruder.connection.execute(f"ALTER TABLE ledger.{table} ADD COLUMN remark {more}")
            intruder.edit(table, f"UPDATE ledger.{table} SET remark = 'mine'", least=1)
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
        intruder.edit("commits", "UPDATE ledger.commits SET committed_at = 1 WHERE first_seq = 1", least=1)
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = sha256('x') WHERE level = 1", least=1)
        intruder.edit("idempotency_keys", "DELETE FROM ledger.idempotency_keys WHERE first_seq = 50", least=1)
        intruder.edit("state_digests", "UPDATE ledger.state_digests SET seq = 1", least=1)
    with copies(firm.other, firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        done = applied(broken, firm.rules, plan, found).done
        assert "made commits anew: 1 rows went, 1 came" in done
        assert "made idempotency_keys anew: 0 rows went, 1 came" in done
    assert {finding.kind for finding in real(report_on(broken))} <= {"GUARD_CHANGED"}
    kept = " ".join(broken.sql(f"SELECT count(*) FROM ledger.{table} WHERE remark IS DISTINCT FROM 'mine'")
                    for table in WIDENED)  # fmt: skip
    accounts = broken.sql("SELECT count(*) FROM ledger.balances WHERE account = 'A'")
    assert kept == f"1 {accounts} 1 1 1 1 0"


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


NOTHING = """
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing BEFORE INSERT ON ledger.history_changes FOR EACH ROW EXECUTE FUNCTION public.nothing()
"""
SWALLOWED: dict[str, tuple[str, str, str]] = {
    f"{how} into {table} with {broken}": (statement, broken, edit)
    for how, table, statement, edits in (
        ("a rule", "history_changes",
         "CREATE RULE nothing AS ON INSERT TO ledger.history_changes DO INSTEAD NOTHING",
         {"events": ACTOR, "accounts": "UPDATE ledger.accounts SET owner = 'thief'",
          "streams": "DELETE FROM ledger.streams",
          "checkpoints": "UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = 75"}),
        ("a trigger", "history_changes", NOTHING, {"events": ACTOR}),
        ("a rule", "accounts", "CREATE RULE nothing AS ON INSERT TO ledger.accounts DO INSTEAD NOTHING",
         {"accounts": "UPDATE ledger.accounts SET owner = 'thief'"}),
        ("a rule", "streams", "CREATE RULE nothing AS ON INSERT TO ledger.streams DO INSTEAD NOTHING",
         {"streams": "DELETE FROM ledger.streams"}),
        ("a rule", "balances", "CREATE RULE nothing AS ON DELETE TO ledger.balances DO INSTEAD NOTHING",
         {"balances": "UPDATE ledger.balances SET settled = settled + 1 WHERE NOT breached"}),
        ("a rule", "chain_heads", "CREATE RULE nothing AS ON UPDATE TO ledger.chain_heads DO INSTEAD NOTHING",
         {"chain_heads": "UPDATE ledger.chain_heads SET recorded_at = recorded_at + 1"}),
        ("a rule", "checkpoints", "CREATE RULE nothing AS ON UPDATE TO ledger.checkpoints DO INSTEAD NOTHING",
         {"checkpoints": "UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = 75"}),
        ("one rule", "checkpoints", "CREATE RULE nothing AS ON UPDATE TO ledger.checkpoints DO INSTEAD NOTHING",
         {"checkpoints": "UPDATE ledger.checkpoints SET note = 'x' WHERE size = 75"}),
        ("a rule", "snapshots", "CREATE RULE nothing AS ON DELETE TO ledger.snapshots DO INSTEAD NOTHING",
         {"snapshots": "UPDATE ledger.snapshots SET state_digest = sha256('x')"}),
    )
    for broken, edit in edits.items()
}  # fmt: skip


@pytest.mark.parametrize("what", SWALLOWED)
def test_nothing_is_mended_where_something_takes_away_what_is_written(firm: Firm, broken: Database, what: str) -> None:
    """Rows that come, or the rows that went: apply names the table, and all is as it was."""
    statement, table, edit = SWALLOWED[what]
    place = what.split()[3]
    with Intruder(broken) as intruder:
        intruder.edit(table, edit, least=1)
        data = report_file(broken)
        intruder.connection.execute(statement)
    state = f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ledger.{table} t"
    before = broken.sql(state)
    with copies(firm.other, firm.archive) as found:
        plan = planned(broken, firm.rules, found, data, despite_record=True)
        assert plan.writes
        with pytest.raises(Corrupt, match=f"ledger.{place} does not have what was written there"):
            applied(broken, firm.rules, plan, found, despite_record=True)
    assert broken.sql(state) == before
