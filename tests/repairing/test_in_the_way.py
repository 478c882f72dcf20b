"""
Leave what would keep a repair from being planned or applied, in one cell or one guard: it is mended, or the plan goes
on without it and says what stands in the way.
"""

from __future__ import annotations

import pytest

from tests.conftest import Database
from tests.repairing.mending import Firm, applied, copies, mended, planned
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
