"""
Say which role a region has, or let its rows and a named region say it: what a repair then makes of its head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.cli.repair import _second
from ledger.errors import NotPrimary
from ledger.repairing.applying import Applying
from ledger.repairing.plan import NotProven, Plan
from ledger.repairing.role import Mode
from ledger.repairing.sources import Source
from ledger.storage import database as db
from tests.conftest import Database
from tests.repairing.conftest import follow
from tests.repairing.mending import Firm, applied, copies, planned, seal
from tests.sealing.regions import append
from tests.verifier.intruder import Intruder, copied, real, report_on

PLACE = (
    "replica_state",
    "INSERT INTO ledger.replica_state (chain, topic, topic_id, next_offset) SELECT chain,"
    " 'ledger.' || replace(chain_id::text, '-', '') || '.segments.v1', 'AAAAAAAAAAAAAAAAAAAAAA', 5 FROM ledger.chains",
)
EVENT = ("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100")
NO_HEAD = ("chain_heads", "DELETE FROM ledger.chain_heads")
HEAD = ("chain_heads", "UPDATE ledger.chain_heads SET recorded_at = recorded_at + 1")


@pytest.fixture
def primary(firm: Firm) -> Iterator[Database]:
    """Another region's database, which says that it is the primary."""
    with copied(firm.database) as made:
        yield made


def edit(database: Database, *edits: tuple[str, str]) -> None:
    with Intruder(database) as intruder:
        for table, sql in edits:
            intruder.edit(table, sql, least=1)


def mend(broken: Database, firm: Firm, found: list[Source], said: Mode | None) -> tuple[Plan, list[str]]:
    plan = planned(broken, firm.rules, found, said=said)
    return plan, applied(broken, firm.rules, plan, found, said=said).done


def mode(database: Database) -> str:
    return database.sql("SELECT mode FROM ledger.chain_heads")


def test_a_sound_primary_keeps_its_role(firm: Firm, broken: Database, primary: Database) -> None:
    """Whoever says that it is a replica: an event is restored, and the head goes on saying what it said."""
    edit(broken, EVENT)
    with copies(other=primary) as found:
        plan, done = mend(broken, firm, found, "replica")
    assert ([write.table for write in plan.writes], mode(broken)) == (["events"], "primary")
    assert not any("let the region be" in line for line in done)
    assert real(report_on(broken)) == []


def test_a_primary_whose_head_is_made_anew_is_no_replica_by_word_alone(firm: Firm, broken: Database) -> None:
    edit(broken, HEAD)
    with copies(other=firm.other) as found:
        (left,) = planned(broken, firm.rules, found, said="replica").left()
    assert "a repair takes nobody's role away" in left.reason


@pytest.mark.parametrize("said", ["replica", None])
def test_a_role_that_is_mended_is_told(firm: Firm, broken: Database, primary: Database, said: Mode | None) -> None:
    """A follower whose head was made to say primary: its place, and the primary that is named or a person, say no."""
    edit(broken, PLACE, EVENT)
    with copies(other=primary) as found:
        plan, done = mend(broken, firm, found, said)
    assert plan.left() == []
    assert "make chain_heads anew from the events, of a region that is replica" in [x.sentence() for x in plan.writes]
    assert "let the region be replica, which its head said was primary" in done
    assert (mode(broken), real(report_on(broken))) == ("replica", [])


def test_a_region_without_a_head_follows_the_primary_that_is_named(
    firm: Firm, broken: Database, primary: Database
) -> None:
    """Also where that is ahead, as it is once it has recorded the repair; and it becomes no second one."""
    follow(broken)
    append(primary, 1)
    edit(broken, NO_HEAD, EVENT)
    with copies(other=primary) as found:
        left = planned(broken, firm.rules, found, said="primary").left()
        assert [one.finding.kind for one in left if "would be a second" in one.reason] == ["HEAD_MISMATCH"]
        plan, _ = mend(broken, firm, found, None)
    assert (plan.left(), mode(broken)) == ([], "replica")


def test_a_primary_with_a_place_in_a_topic_is_told_which_row_is_too_many(firm: Firm, broken: Database) -> None:
    """Not to find the place anew, which a primary cannot. Until a person says which it is, nothing tells."""
    edit(broken, PLACE, HEAD)
    with copies(other=firm.other) as found:
        assert all("nothing here tells" in one.reason for one in planned(broken, firm.rules, found).left())
        plan, _ = mend(broken, firm, found, "primary")
    (left,) = plan.left()
    assert "DELETE FROM ledger.replica_state WHERE chain = 1" in left.reason
    edit(broken, ("replica_state", "DELETE FROM ledger.replica_state WHERE chain = 1"))
    assert (mode(broken), real(report_on(broken))) == ("primary", [])


FLIPPED = ("chain_heads", "UPDATE ledger.chain_heads SET mode = 'primary'")


@pytest.mark.parametrize("named", [False, True], ids=["with a place, and nobody named", "beside a named primary"])
def test_nothing_is_recorded_where_the_chain_may_not_be_primary(
    firm: Firm, broken: Database, primary: Database, named: bool
) -> None:
    """A follower whose head says primary: the record would be an event that the primary does not have."""
    follow(broken)
    edit(broken, FLIPPED, EVENT, *(() if named else (PLACE,)))
    with copies(archive=firm.archive, other=primary if named else None) as found:
        plan = planned(broken, firm.rules, found)
        assert [write.seq for write in plan.writes] == [100]
        with (
            contextlib.closing(db.connect(broken.dsn("owner"), "test")) as connection,
            contextlib.closing(_second(broken.dsn("owner"))) as reading,
            contextlib.closing(db.connect(broken.dsn("writer"), "test")) as writer,
        ):
            applying_it = Applying(connection, reading, firm.rules, plan, found, "a test")
            with pytest.raises(NotPrimary, match=r"which --writer is not known to be: .*(nothing here|a second)"):
                applying_it.check_recorder(writer)


def test_a_follower_behind_what_its_primary_sealed_is_mended_by_an_older_checkpoint(
    firm: Firm, broken: Database, primary: Database, tmp_path: Path
) -> None:
    """The plan promises nothing by the newest, and names the way out."""
    append(primary, 10)
    seal(primary, tmp_path / "sealed")
    follow(broken)
    edit(broken, PLACE, ("accounts", "UPDATE ledger.accounts SET owner = 'thief'"))
    older = broken.sql("SELECT note FROM ledger.checkpoints ORDER BY size DESC LIMIT 1")
    with copies(other=primary) as found:
        plan = planned(broken, firm.rules, found)
        assert not plan.writes
        assert all("or name with --checkpoint one of at most 348 events" in one.reason for one in plan.left())
        plan = planned(broken, firm.rules, found, given=[f"{older}\n".encode()])
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


PLANNED = {
    "a head that is gone": (NO_HEAD,),
    "a head beside a place in a topic": (HEAD, PLACE),
}


@pytest.mark.parametrize("roles", [("replica", "primary"), ("primary", "replica")])
@pytest.mark.parametrize("what", PLANNED)
def test_the_role_that_was_planned_is_the_one_that_is_applied(
    firm: Firm, broken: Database, tmp_path: Path, what: str, roles: tuple[Mode, Mode]
) -> None:
    """Who applies a plan cannot say another one than who made it."""
    seal(broken, tmp_path / "sealed")
    edit(broken, *PLANNED[what])
    before = mode(broken)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found, said=roles[0])
        assert [write.table for write in plan.writes] == ["chain_heads"]
        with pytest.raises(NotProven, match=f"of a region that is '{roles[0]}', and this one would be {roles[1]}"):
            applied(broken, firm.rules, plan, found, said=roles[1])
        assert mode(broken) == before
        applied(broken, firm.rules, plan, found, said=roles[0])
    assert mode(broken) == roles[0]


def test_a_plan_of_a_region_that_said_its_role_is_none_of_another(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Its head says so as the plan is made, and is gone before that is applied."""
    seal(broken, tmp_path / "sealed")
    follow(broken)
    edit(broken, ("chain_heads", "UPDATE ledger.chain_heads SET hash = sha256('x')"))
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        edit(broken, ("chain_heads", "DELETE FROM ledger.chain_heads"))
        with pytest.raises(NotProven, match="of a region that is 'replica', and this one would be primary"):
            applied(broken, firm.rules, plan, found, said="primary")
    assert mode(broken) == ""
