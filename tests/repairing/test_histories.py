"""
Let two regions go on by themselves, each with signed checkpoints of its own: neither is mended by the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.evidence import policy
from ledger.repairing.plan import NotProven
from tests.conftest import Database
from tests.repairing.conftest import follow
from tests.repairing.mending import Firm, applied, copies, planned, report_file
from tests.sealing.regions import LOG_KEY, append, sealing, signer
from tests.verifier.intruder import Intruder, copied

RULES = policy.decode(f"log {LOG_KEY.verifier.text()}\nquorum none\n".encode())


def sealed(region: Database, folder: Path) -> bytes:
    """Seal what there is by a signer that knows of no other history, and return the note."""
    folder.mkdir()
    with signer(folder) as place, sealing(region, place) as sealer:
        assert sealer.seal() is not None
    return f"{region.sql('SELECT note FROM ledger.checkpoints ORDER BY size DESC LIMIT 1')}\n".encode()


def edited(region: Database) -> None:
    """Edit an event of both histories, so that there is something to mend."""
    with Intruder(region) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", least=1)


@pytest.fixture
def other(firm: Firm, tmp_path: Path) -> Iterator[Database]:
    """A region that went on and sealed more than the one that is to be mended."""
    with copied(firm.database) as made:
        append(made, 9)
        sealed(made, tmp_path / "other")
        follow(made)
        yield made


@pytest.mark.parametrize("taken", ["nothing", "its tiles", "its tiles of leaves"])
def test_nothing_is_planned_of_two_signed_histories(
    broken: Database, other: Database, tmp_path: Path, taken: str
) -> None:
    """Whichever checkpoint is named; where a copy has no tiles its events tell."""
    append(broken, 5)
    own = sealed(broken, tmp_path / "own")
    edited(broken)
    with Intruder(other) as intruder:
        if taken != "nothing":
            intruder.edit("tiles", f"DELETE FROM ledger.tiles WHERE {'level = 0' if 'leaves' in taken else 'true'}")
    data = report_file(broken)
    with copies(replica=other) as found:
        for given in ([], [own]):
            plan = planned(broken, RULES, found, data, given)
            assert not plan.writes
            assert plan.findings
            assert all(judged.reason.startswith("two signed histories") for judged in plan.findings)


def test_a_plan_is_not_applied_where_the_region_has_signed_another_history_by_then(
    broken: Database, other: Database, tmp_path: Path
) -> None:
    append(broken, 5)
    edited(broken)
    with copies(replica=other) as found:
        plan = planned(broken, RULES, found)
        assert 100 in [write.seq for write in plan.writes]
        sealed(broken, tmp_path / "own")
        with pytest.raises(NotProven, match="two signed histories"):
            applied(broken, RULES, plan, found)
    assert broken.sql("SELECT actor FROM ledger.events WHERE seq = 100") == "mallory"


def test_an_older_note_of_another_history_is_found_beside_a_newer_one(
    broken: Database, other: Database, tmp_path: Path
) -> None:
    """As a repair would have left it that had brought the other region's newest."""
    append(broken, 5)
    sealed(broken, tmp_path / "own")
    newest = other.sql("SELECT chain, size, encode(root, 'hex'), note, sealed_at FROM ledger.checkpoints"
                       " ORDER BY size DESC LIMIT 1").split("|")  # fmt: skip
    edited(broken)
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints SELECT %s::smallint, %s::bigint,"
                      " decode(%s, 'hex'), %s, %s::bigint", *newest, least=1)  # fmt: skip
    with copies(replica=other) as found:
        plan = planned(broken, RULES, found)
    assert not plan.writes
    assert all(judged.reason.startswith("two signed histories") for judged in plan.findings)


def test_a_note_that_the_policy_does_not_accept_is_no_second_history(
    firm: Firm, broken: Database, other: Database, tmp_path: Path
) -> None:
    """One that no witness has cosigned, where the policy asks for one."""
    append(broken, 5)
    sealed(broken, tmp_path / "own")
    edited(broken)
    with copies(replica=other, archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
    assert plan.size == firm.size
    assert 100 in [write.seq for write in plan.writes]


def test_what_nothing_tells_is_refused_nowhere(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """The newest note alone is brought, of a history of which nobody here has tiles or events."""
    with copied(firm.database) as elsewhere:
        append(elsewhere, 9)
        note = sealed(elsewhere, tmp_path / "elsewhere")
    edited(broken)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, RULES, found, given=[note])
    assert not any(judged.reason.startswith("two signed histories") for judged in plan.findings)
