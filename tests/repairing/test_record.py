"""
Seal a tail that was forged, and see what the region recorded of itself not made to fit it by the seal alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.chain import entry
from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.repairing.plan import NotProven
from ledger.storage import chains
from ledger.storage import database as db
from ledger.storage import events as stored
from tests.conftest import Database
from tests.repairing.mending import Firm, applied, copies, planned, report_file, seal
from tests.sealing.regions import append
from tests.tamper.forging import given, relink
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier import report

KEPT = "agree on the state after event"
FLIPPED = "set_byte(state_digest, 0, get_byte(state_digest, 0) # 1)"
COMMIT = "UPDATE ledger.commits SET state_digest ="
NEWEST = "WHERE last_seq = (SELECT max(last_seq) FROM ledger.commits)"


def forged(event: RecordedEvent) -> RecordedEvent:
    """Return the definition of an asset with another name in it, asked for and all."""
    made = given(event, b'"name":"a"', b'"name":"b"')
    asked = [(made.event_type, made.schema_version, made.occurred_at, split_payload(made.payload)[1])]
    return msgspec.structs.replace(made, request_hash=entry.request_hash(made.salt, asked))


def forge(region: Database, back: int = 1) -> int:
    """Forge one of the newest events, with good hashes; the books stay honest. Return its seq."""
    with db.connect(region.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, None)
        history = list(stored.read(connection, chain.chain, chain.chain_id))
    seq = history[-back].seq
    with Intruder(region) as intruder:
        relink(intruder, history, seq, forged)
    return seq


def test_a_seal_alone_does_not_make_a_record_fit_a_forged_tail(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Commit and state digest agree on another state; so nothing says which of both was written by somebody else."""
    seq = forge(broken)
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.size == seq
        assert plan.writes == ()
        assert {KEPT in judged.reason or "whole in itself" in judged.reason for judged in plan.left()} == {True}
        assert any(KEPT in judged.reason for judged in plan.left())
        # Who held the events against receipts says so, at both steps.
        plan = planned(broken, firm.rules, found, despite_record=True)
        assert plan.left() == []
        with pytest.raises(NotProven, match="make another"):
            applied(broken, firm.rules, plan, found)
        histories = msgspec.structs.replace(plan, writes=tuple(x for x in plan.writes if x.table == "histories"))
        with pytest.raises(NotProven, match=KEPT):
            applied(broken, firm.rules, histories, found)
        applied(broken, firm.rules, plan, found, despite_record=True)
    assert real(report_on(broken)) == []


def test_a_region_that_applied_the_events_vouches_for_them(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Then it is the record that is wrong."""
    with copies(archive=firm.archive, other=firm.other) as found:
        seal(broken, tmp_path / "w")
        with Intruder(broken) as intruder:
            intruder.edit(
                "state_digests", "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, 255 - get_byte(lanes, 3))"
            )
            digest = "SELECT lanes FROM ledger.state_digests"
            (lanes,) = intruder.connection.execute(digest).fetchone() or ()
            made = StateDigest.from_lanes(lanes).digest()
            intruder.edit("commits", f"{COMMIT} %s {NEWEST}", made)
        assert planned(broken, firm.rules, found[:1]).writes == ()
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        with pytest.raises(NotProven, match=KEPT):
            applied(broken, firm.rules, plan, found[:1])
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def overtake(region: Database, change: Callable[[Database, int], object] = forge) -> int:
    """
    Change the newest event but one of another region that has one more, and take both from there, without their books.
    Return the seq of the first.
    """
    with copied(region) as ahead:
        seq = append(ahead, 1) - 1
        change(ahead, 2)
        with Intruder(region) as intruder, Intruder(ahead) as other:
            intruder.edit("events", f"DELETE FROM ledger.events WHERE seq >= {seq}")
            for table, of in (("events", f" WHERE seq >= {seq}"), ("chain_heads", "")):
                intruder.edit(table, f"DELETE FROM ledger.{table}{of}", least=int(table == "chain_heads"))
                with (
                    other.connection.cursor().copy(f"COPY (SELECT * FROM ledger.{table}{of}) TO STDOUT") as rows,
                    intruder.connection.cursor() as cursor, intruder.connection.transaction(),
                ):  # fmt: skip
                    cursor.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
                    with cursor.copy(f"COPY ledger.{table} FROM STDIN") as put:
                        for row in rows:
                            put.write(row)
                intruder.edit(table, "SELECT 1")
    return seq


SPOILT = {
    "nothing": ("commits", "SELECT 1"),
    "a false commit of the newest": ("commits",
        "INSERT INTO ledger.commits SELECT chain, last_seq + 1, last_seq + 1, sha256('x'), committed_at"
        " FROM ledger.commits ORDER BY last_seq DESC LIMIT 1"),
    "the digest is of the newest": ("state_digests", "UPDATE ledger.state_digests SET seq = seq + 1"),
    "a digest of nothing": (
        "state_digests", "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, 255 - get_byte(lanes, 3))"
    ),
    "a commit of nothing": ("commits", f"{COMMIT} {FLIPPED} {NEWEST}"),
}  # fmt: skip
"""What whoever forged the events can spoil beside them: two records are left, at an event that is not the last."""


@pytest.mark.parametrize("spoilt", SPOILT)
def test_one_event_more_does_not_silence_the_record(firm: Firm, broken: Database, tmp_path: Path, spoilt: str) -> None:
    """Commit, state digest and books are of the event before, where the events make another state."""
    seq = overtake(broken)
    with Intruder(broken) as intruder:
        intruder.edit("snapshots", "DELETE FROM ledger.snapshots")
        intruder.edit(*SPOILT[spoilt])
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert (plan.size, plan.writes) == (seq + 1, ())
        assert any(KEPT in judged.reason for judged in plan.left())
        plan = planned(broken, firm.rules, found, despite_record=True)
        assert plan.left() == []
        with pytest.raises(NotProven, match=KEPT):
            applied(broken, firm.rules, plan, found)


def test_a_region_that_has_another_event_is_heard_whoever_signed(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """All that the region recorded was spoilt; another one has the event that was forged and signed here."""
    seq = overtake(broken)
    with Intruder(broken) as intruder:
        intruder.edit("snapshots", "DELETE FROM ledger.snapshots")
        intruder.edit("commits", f"{COMMIT} {FLIPPED} {NEWEST}")
        intruder.edit(
            "state_digests", "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, 255 - get_byte(lanes, 3))"
        )
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, despite_record=True)
        assert plan.writes == ()
        assert any(f"the replica has another event {seq}" in judged.reason for judged in plan.left())
        alone = planned(broken, firm.rules, found[:1])
        assert alone.left() == []
        with pytest.raises(NotProven, match=f"the replica has another event {seq}"):
            applied(broken, firm.rules, alone, found)


@pytest.mark.parametrize("is_here", [True, False])
def test_a_broken_event_is_no_other_event(firm: Firm, broken: Database, tmp_path: Path, is_here: bool) -> None:
    """What is signed tells which of both was edited, and it is restored from the other, or nothing is to be."""
    seal(broken, tmp_path / "w")
    with copied(firm.other) as other, copies(other=other) as found:
        with Intruder(broken if is_here else other) as intruder:
            sets = "actor = 'mallory', hash = sha256('x')" if is_here else "actor = 'mallory'"
            newest = "WHERE seq = (SELECT max(seq) FROM ledger.events)"
            intruder.edit("events", f"UPDATE ledger.events SET {sets} {newest}", least=1)
        with Intruder(broken) as intruder:
            intruder.edit("streams", "UPDATE ledger.streams SET version = version + 1", least=1)
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_books_that_are_behind_are_no_other_state(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Digest, commit, books and snapshot agree on a state that the events made, before the last of them."""
    overtake(broken, lambda region, back: None)
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_a_digest_out_of_its_place_is_no_other_state(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """It is that of the books, whichever event it says."""
    seal(broken, tmp_path / "w")
    with Intruder(broken) as intruder:
        intruder.edit("state_digests", "UPDATE ledger.state_digests SET seq = seq - 1", least=1)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


@pytest.mark.parametrize("table", ["commits", "state_digests", "assets"])
def test_two_records_are_enough(firm: Firm, broken: Database, tmp_path: Path, table: str) -> None:
    """One bit of any of them, which whoever forged the events can flip as well, leaves the others at one."""
    forge(broken)
    with Intruder(broken) as intruder:
        intruder.edit("snapshots", "DELETE FROM ledger.snapshots")
        intruder.edit(table, {
            "commits": f"{COMMIT} {FLIPPED} {NEWEST}",
            "state_digests": "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, 255 - get_byte(lanes, 3))",
            "assets": "UPDATE ledger.assets SET name = 'x' WHERE asset = (SELECT max(asset) FROM ledger.assets)",
        }[table])  # fmt: skip
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        assert planned(broken, firm.rules, found).writes == ()
        plan = planned(broken, firm.rules, found, despite_record=True)
        assert plan.left() == []
        with pytest.raises(NotProven, match=KEPT):
            applied(broken, firm.rules, plan, found)


def test_what_came_after_the_forged_event_does_not_vouch_for_it(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """The engine goes on with honest books, so that its record is against every event from there on."""
    forge(broken)
    append(broken, 2)
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
    assert plan.writes == ()
    assert any(KEPT in judged.reason for judged in plan.left())


def test_a_row_by_itself_is_no_record(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """The newest commit alone, which the state digest contradicts, is made to fit."""
    seal(broken, tmp_path / "w")
    with Intruder(broken) as intruder:
        intruder.edit("commits", f"{COMMIT} sha256('x') {NEWEST}")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)


def test_a_snapshot_that_is_whole_is_not_thrown_away_for_a_sealed_tail(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """All else was made to fit what was forged, and signed; one that fits nothing, itself included, may go."""
    forge(broken)
    seal(broken, tmp_path / "w")
    with copies(archive=firm.archive) as found:
        made = planned(broken, firm.rules, found, despite_record=True)
        fits = tuple(x for x in made.writes if x.table != "snapshots")
        applied(broken, firm.rules, msgspec.structs.replace(made, writes=fits), found, despite_record=True)
        plan = planned(broken, firm.rules, found)
        assert plan.writes == ()
        assert all("whole in itself" in judged.reason for judged in plan.left())
        drop = planned(broken, firm.rules, found, despite_record=True)
        with pytest.raises(NotProven, match="whole in itself"):
            applied(broken, firm.rules, drop, found)
        with Intruder(broken) as intruder:
            intruder.edit("snapshots", "UPDATE ledger.snapshots SET rows = 'x'")
        assert [x.table for x in planned(broken, firm.rules, found).writes] == ["snapshots"]
        applied(broken, firm.rules, drop, found)
    assert real(report_on(broken)) == []


def test_events_that_were_hashed_again_are_restored_from_who_has_them(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """Their leaves are others than the tiles have, so a copy of each is asked; without tiles no finding names one."""
    seal(broken, tmp_path / "w")
    with db.connect(broken.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, None)
        history = list(stored.read(connection, chain.chain, chain.chain_id))
    seq, last = history[-10].seq, history[-1].seq
    with Intruder(broken) as intruder:
        relink(intruder, history, seq, lambda event: msgspec.structs.replace(event, actor="mallory"))
    with copied(broken) as bare, copies(other=firm.other) as found:
        with Intruder(bare) as intruder:
            intruder.edit("tiles", "DELETE FROM ledger.tiles")
        plan = planned(bare, firm.rules, found)
        said = {
            one.reason for one in plan.left() if one.finding.table == "checkpoints" and one.finding.column == "root"
        }
        assert any("it is the events that are others" in reason for reason in said)
    # Who has none of them but the false ones cannot mend the tiles either.
    alone = planned(broken, firm.rules, [])
    assert not any(write.table == "tiles" for write in alone.writes)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        assert [write.seq for write in plan.writes if write.table == "events"] == list(range(seq, last + 1))
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_events_that_were_hashed_again_are_restored_also_where_the_report_only_counts_them(
    firm: Firm, broken: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not listed is found by the links, as long as a copy has it; else what is listed is left as well."""
    seal(broken, tmp_path / "w")
    with db.connect(broken.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, None)
        history = list(stored.read(connection, chain.chain, chain.chain_id))
    seq, last = history[-40].seq, history[-1].seq
    with Intruder(broken) as intruder:
        relink(intruder, history, seq, lambda event: msgspec.structs.replace(event, actor="mallory"))
    monkeypatch.setattr(report, "LISTED", 2)
    data = report_file(broken)
    assert b"38 more of this class" in data
    alone = planned(broken, firm.rules, [], data)
    assert not any(write.table in ("events", "tiles") for write in alone.writes)
    with copies(other=firm.other) as found:
        plan = planned(broken, firm.rules, found, data)
        assert plan.left() == []
        assert [write.seq for write in plan.writes if write.table == "events"] == list(range(seq, last + 1))
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []
