"""
Break what follows from events, and see it made anew from those that were signed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from ledger import Ledger
from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES
from ledger.errors import StateMismatch
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import SigningKey
from ledger.repairing import sources
from ledger.repairing.plan import NotProven, Write
from ledger.repairing.sources import Topic
from ledger.storage import chains, repairs
from ledger.storage import database as db
from ledger.storage import events as stored
from tests.conftest import ORIGIN, Database
from tests.journal.test_newer_program import new_fee, newer
from tests.repairing.conftest import follow
from tests.repairing.mending import Firm, applied, copies, mended, planned, report_file, seal
from tests.sealing.regions import LOG_KEY, append
from tests.tamper.forging import relink
from tests.verifier.intruder import Intruder, changed, columns, copied, real, report_on

KEPT = "SELECT count(*) FROM ledger.history_changes"
EDITS = {
    "a balance": ("balances", "UPDATE ledger.balances SET settled = settled + 7 WHERE NOT breached"),
    "a balance that is no number": ("balances", "UPDATE ledger.balances SET settled = 'NaN' WHERE asset = 'BTC'"),
    "a position that is gone": ("positions", "DELETE FROM ledger.positions"),
    "an order under another key": ("orders", "UPDATE ledger.orders SET order_id = order_id || 'x'"),
    "executions that name each other": ("executions", "UPDATE ledger.executions SET exec_id = exec_id || 'x'"),
    "a stream too many": ("streams", "INSERT INTO ledger.streams VALUES (1, 'order/nobody', 1)"),
    "rows of another chain number": ("accounts", "UPDATE ledger.accounts SET chain = 77"),
    "a key that is gone": ("idempotency_keys", "DELETE FROM ledger.idempotency_keys WHERE first_seq = 5"),
    "a key of another group": ("idempotency_keys", "UPDATE ledger.idempotency_keys SET first_seq = 6 "
                               "WHERE first_seq = 5"),
    "a commit": ("commits", "UPDATE ledger.commits SET state_digest = sha256('x') WHERE last_seq = 7"),
    "commits that are gone": ("commits", "DELETE FROM ledger.commits WHERE last_seq IN (9, 10)"),
    "a commit of another chain number": ("commits", "UPDATE ledger.commits SET chain = 77 "
                                          "WHERE last_seq = (SELECT min(last_seq) FROM ledger.commits WHERE "
                                          "last_seq > 20)"),
    "a head of another chain number": ("chain_heads", "UPDATE ledger.chain_heads SET chain = 77"),
    "the state digest": (
        "state_digests", "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, 255 - get_byte(lanes, 3))"
    ),
    "the head": ("chain_heads", "UPDATE ledger.chain_heads SET hash = sha256('x')"),
    "the head's epoch": ("chain_heads", "UPDATE ledger.chain_heads SET epoch = 9"),
    "a head of lists in lists": (
        "chain_heads", "UPDATE ledger.chain_heads SET unbalanced = (repeat('[', 4000) || repeat(']', 4000))::jsonb"
    ),
    "a tile": ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 65) "
               "WHERE level = 0 AND number = 0"),
    "a tile that is gone": ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 0"),
    "a tile too many": ("tiles", "INSERT INTO ledger.tiles VALUES (1, 5, 0, sha256('x'))"),
    "a history": ("balance_history", "UPDATE ledger.balance_history SET settled = settled + 1"),
    "a watermark": ("read_model_watermarks", "UPDATE ledger.read_model_watermarks SET seq = 3 "
                    "WHERE name = 'balance_history'"),
    "a snapshot": ("snapshots", "UPDATE ledger.snapshots SET rows = 'x'"),
    "the note of a checkpoint": ("checkpoints", "UPDATE ledger.checkpoints SET note = 'nothing' WHERE size > 100"),
    "the root of a checkpoint": ("checkpoints", "UPDATE ledger.checkpoints SET root = sha256('x')"),
    "the chain's genesis": ("chains", "UPDATE ledger.chains SET genesis = sha256('x')"),
    "the chain's id": ("chains", "UPDATE ledger.chains SET chain_id = '11111111-1111-1111-1111-111111111111'"),
    "the chain's origin": ("chains", "UPDATE ledger.chains SET origin = 'example.com/other'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def region(firm: Firm) -> Iterator[Database]:
    """A copy that is broken and mended again and again, in any order: what is lost for good, no other edit needs."""
    with copied(firm.database) as made:
        yield made


@pytest.mark.parametrize("what", EDITS)
def test_what_follows_from_events_is_made_anew(firm: Firm, region: Database, what: str) -> None:
    """Nothing is wrong afterwards, guards included; what stood there is kept."""
    table, edit = EDITS[what]
    kept = int(region.sql(KEPT))
    with Intruder(region) as intruder:
        if "NaN" in edit:
            intruder.unguard(table)
        intruder.edit(table, edit)
    with copies(archive=firm.archive, other=firm.other) as found:
        # A head that is gone said which role the region has.
        plan = mended(region, firm, found, said="primary" if what == "a head of another chain number" else None)
    assert plan.findings
    assert table in {write.table for write in plan.writes} | {"balance_history", "read_model_watermarks"}
    assert real(report_on(region)) == []
    if table not in ("balance_history", "read_model_watermarks") and "gone" not in what and "too many" not in what:
        assert int(region.sql(KEPT)) > kept


COPIED = "INSERT INTO ledger.{0} SELECT (jsonb_populate_record(t, '{{\"chain\": 77}}')).* FROM ledger.{0} t"
OTHERS = {
    "accounts": "UPDATE ledger.accounts SET kind = 'x' WHERE chain = 77",
    "commits": "UPDATE ledger.commits SET state_digest = sha256('x') WHERE chain = 77",
    "chain_heads": "UPDATE ledger.chain_heads SET hash = sha256('x') WHERE chain = 77",
    "balance_history": "UPDATE ledger.balance_history SET seq = seq WHERE chain = 77",
    "read_model_watermarks": "UPDATE ledger.read_model_watermarks SET seq = seq WHERE chain = 77",
}


@pytest.mark.parametrize("table", OTHERS)
def test_rows_of_nobody_stay_and_the_plan_says_so(firm: Firm, region: Database, table: str) -> None:
    """What equals nothing that follows from the events may be all that is left of another chain."""
    with Intruder(region) as intruder:
        for name, kind in intruder.connection.execute(
            "SELECT conname, contype::text FROM pg_constraint WHERE conrelid = %s::regclass", [f"ledger.{table}"]
        ).fetchall():
            if kind == "c":
                intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {name}")
        intruder.edit(table, COPIED.format(table), least=1)
        intruder.edit(table, OTHERS[table], least=1)
        count = region.sql(f"SELECT count(*) FROM ledger.{table} WHERE chain = 77")
        with copies(archive=firm.archive, other=firm.other) as found:
            plan = planned(region, firm.rules, found)
            (stray,) = [judged for judged in plan.left() if judged.finding.kind == "STRAY_ROWS"]
            assert "rows of nobody" in stray.reason
            applied(region, firm.rules, plan, found)
        assert region.sql(f"SELECT count(*) FROM ledger.{table} WHERE chain = 77") == count
        intruder.edit(table, f"DELETE FROM ledger.{table} WHERE chain = 77")


def test_what_nobody_signed_is_taken_from_among_the_checkpoints(firm: Firm, broken: Database) -> None:
    """Once something larger is signed; what the log signed stays, whatever stands beside it."""
    stranger = SigningKey(ORIGIN, LOG_KEY.algorithm, bytes([77]) * 32)
    text = Checkpoint(ORIGIN, firm.size - 1, bytes(32)).text()
    forked = note.with_signatures(text, (LOG_KEY.sign(text),)).encode().decode()
    strange = note.with_signatures(text, (stranger.sign(text),)).encode().decode()
    rows = [(firm.size - 2, "junk"), (firm.size - 1, strange), (firm.size + 1, "junk")]
    with Intruder(broken) as intruder:
        for size, said in rows:
            intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints VALUES (1, %s, %s, %s, 1)", size, bytes(32),
                          said)  # fmt: skip
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert {(x.what, x.size) for x in plan.writes} == {("remove", firm.size - 2), ("remove", firm.size - 1)}
        assert {judged.finding.key for judged in plan.left()} == {(str(firm.size + 1),)}
        assert all("record something and seal it" in judged.reason for judged in plan.left())
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = %s WHERE size = %s", forked,
                          firm.size - 1)  # fmt: skip
        with pytest.raises(NotProven, match="which a log has signed"):
            applied(broken, firm.rules, plan, found)
        assert broken.sql("SELECT count(*) FROM ledger.checkpoints") == "5"
        again = planned(broken, firm.rules, found)
        assert [(x.what, x.size) for x in again.writes] == [("remove", firm.size - 2)]
        applied(broken, firm.rules, again, found)
    sizes = broken.sql("SELECT string_agg(size::text, ' ' ORDER BY size) FROM ledger.checkpoints")
    assert sizes == " ".join(map(str, sorted({*firm.sealed, firm.size - 1, firm.size + 1})))
    assert "junk" in broken.sql("SELECT string_agg(old_row, '') FROM ledger.history_changes")


@pytest.mark.parametrize("to", [-5, 2])
def test_a_note_under_another_size_goes_back_to_its_own(firm: Firm, broken: Database, to: int) -> None:
    """As the row was, with the time that it says; and where it was copied there, the copy goes."""
    rows = "SELECT size, root, note, sealed_at FROM ledger.checkpoints ORDER BY size"
    before, size = broken.sql(rows), firm.sealed[-1]
    resized = f"UPDATE ledger.checkpoints SET size = {size + to} WHERE size = {size}"
    copied = (
        f"INSERT INTO ledger.checkpoints SELECT chain, {size + to}, root, note, sealed_at + 1 FROM ledger.checkpoints "
        f"WHERE size = {size}"
    )
    for edit, what in ((resized, "restore"), (copied, "remove")):
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", edit, least=1)
        with copies(other=firm.other) as found:
            plan = mended(broken, firm, found)
            assert [(x.what, x.table) for x in plan.writes] == [(what, "checkpoints")]
            applied(broken, firm.rules, plan, found)
        assert (broken.sql(rows), real(report_on(broken))) == (before, [])


ASTRAY = {
    "two exchanged": ("UPDATE ledger.checkpoints SET size = size + 1000",
                      "UPDATE ledger.checkpoints SET size = CASE size - 1000 WHEN {0} THEN {1} ELSE {0} END"),
    "one in the other's place": ("UPDATE ledger.checkpoints SET size = {1} - 9 WHERE size = {1}",
                                 "UPDATE ledger.checkpoints SET size = {1} WHERE size = {0}"),
    "two notes exchanged": ("UPDATE ledger.checkpoints SET (root, note) = (SELECT root, note FROM ledger.checkpoints o "
                            "WHERE o.size <> checkpoints.size)",),
}  # fmt: skip


@pytest.mark.parametrize("has_copies", [True, False])
@pytest.mark.parametrize("name", ASTRAY)
def test_rows_in_the_place_of_each_other_go_back_together(
    firm: Firm, broken: Database, name: str, has_copies: bool
) -> None:
    """Each note says its own size and is signed, so it is its own good copy; the time goes with it."""
    rows = "SELECT size, root, note, sealed_at FROM ledger.checkpoints ORDER BY size"
    shown = rows.replace(", sealed_at", "") if "notes" in name else rows
    before = broken.sql(shown)
    with Intruder(broken) as intruder:
        intruder.connection.execute(
            "ALTER TABLE ledger.checkpoints DROP CONSTRAINT IF EXISTS checkpoints_size_positive"
        )
        for edit in ASTRAY[name]:
            intruder.edit("checkpoints", edit.format(*firm.sealed), least=1)
    with copies(archive=firm.archive, other=firm.other) if has_copies else copies() as found:
        plan = planned(broken, firm.rules, found)
        assert {judged.finding.kind for judged in plan.left()} <= {"QUORUM_UNMET"}
        for _ in range(2):
            done = applied(broken, firm.rules, plan, found).done
    assert (broken.sql(shown), done) == (before, [])


def test_a_row_is_moved_over_none_that_stands_in_its_way(firm: Firm, broken: Database) -> None:
    """Not even where the plan was made before that stood there, or lacks the line that moves it."""
    first, last = firm.sealed
    with Intruder(broken) as intruder:
        for edit in ASTRAY["one in the other's place"]:
            intruder.edit("checkpoints", edit.format(first, last), least=1)
    rows = "SELECT string_agg(t::text, ',' ORDER BY size) FROM ledger.checkpoints t"
    before = broken.sql(rows)
    with copies() as found:
        plan = planned(broken, firm.rules, found)
        assert [(x.what, x.size, x.key) for x in plan.writes] == [
            ("restore", last, (str(last - 9),)), ("restore", first, (str(last),)),
        ]  # fmt: skip
        with pytest.raises(NotProven, match="where another row stands"):
            applied(broken, firm.rules, msgspec.structs.replace(plan, writes=plan.writes[:1]), found)
    assert broken.sql(rows) == before


def test_of_two_rows_with_one_note_one_is_moved_and_the_other_goes(firm: Firm, broken: Database) -> None:
    """Neither stands under the size that the note states."""
    rows, last = "SELECT size, note FROM ledger.checkpoints ORDER BY size", firm.sealed[-1]
    before = broken.sql(rows)
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET size = size - 9 WHERE size = %s", last, least=1)
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints SELECT chain, size - 9, root, note, sealed_at "
                      "FROM ledger.checkpoints WHERE size = %s", last - 9, least=1)  # fmt: skip
    with copies() as found:
        plan = planned(broken, firm.rules, found)
        assert sorted((x.what, x.size, x.key) for x in plan.writes) == [
            ("remove", last - 9, None), ("restore", last, (str(last - 18),)),
        ]  # fmt: skip
        both = (*plan.writes, msgspec.structs.replace(plan.writes[0], key=(str(last - 9),)))
        with pytest.raises(NotProven, match="two checkpoints to one place"):
            applied(broken, firm.rules, msgspec.structs.replace(plan, writes=both), found)
        applied(broken, firm.rules, plan, found)
    assert broken.sql(rows) == before


def test_what_stands_in_the_place_of_one_that_a_copy_has_is_moved_and_not_lost(firm: Firm, broken: Database) -> None:
    first, last = firm.sealed
    notes = "SELECT string_agg(size || note, ',' ORDER BY size) FROM ledger.checkpoints"
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size = %s", last, least=1)
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET size = %s WHERE size = %s", last, first, least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found)
    assert broken.sql(notes) == firm.database.sql(notes)
    assert real(report_on(broken)) == []


def test_a_second_history_that_a_log_signed_is_not_written_over(firm: Firm, broken: Database) -> None:
    """It convicts whoever holds the key; what nobody signed in its place is."""
    size = firm.sealed[-1]
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    stranger = SigningKey(ORIGIN, LOG_KEY.algorithm, bytes([77]) * 32)
    edit = "UPDATE ledger.checkpoints SET root = %s, note = %s WHERE size = %s"
    by_log, by_nobody = (note.with_signatures(text, (key.sign(text),)).encode().decode() for key in (LOG_KEY, stranger))
    with copies(archive=firm.archive, other=firm.other) as found:
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", edit, bytes(32), by_nobody, size)
        plan = planned(broken, firm.rules, found)
        assert [(x.what, x.size) for x in plan.writes] == [("restore", size)]
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", edit, bytes(32), by_log, size)
        with pytest.raises(NotProven, match="two signed histories"):
            applied(broken, firm.rules, plan, found)
        again = planned(broken, firm.rules, found)
        assert not again.writes
        assert all("two signed histories" in judged.reason for judged in again.left())
        assert broken.sql(f"SELECT note FROM ledger.checkpoints WHERE size = {size}").strip() == by_log.strip()
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", edit, bytes(32), by_nobody, size)
        applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert real(report_on(broken)) == []


def test_a_second_history_is_kept_in_whichever_row_it_stands(firm: Firm, broken: Database) -> None:
    """By the size that it states itself; a note of the same history that went astray is written over."""
    size, newest = firm.sealed
    edit = "UPDATE ledger.checkpoints SET note = %s WHERE size = %s"
    text = Checkpoint(ORIGIN, size - 1, bytes(32)).text()
    forked = note.with_signatures(text, (LOG_KEY.sign(text),)).encode().decode()
    with copies(archive=firm.archive, other=firm.other) as found:
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = (SELECT note FROM ledger.checkpoints "
                          f"WHERE size = {newest}) WHERE size = {size}", least=1)  # fmt: skip
        plan = planned(broken, firm.rules, found)
        assert [(x.what, x.size) for x in plan.writes] == [("restore", size)]
        with Intruder(broken) as intruder:
            intruder.edit("checkpoints", edit, forked, size, least=1)
        with pytest.raises(NotProven, match="is not shown to begin with it"):
            applied(broken, firm.rules, plan, found)
        again = planned(broken, firm.rules, found)
        assert not again.writes
        assert all(f"of {size - 1} events" in judged.reason for judged in again.left())


def test_of_two_rows_of_one_checkpoint_one_is_left(firm: Firm, broken: Database) -> None:
    """
    Whether they are the same or one is nobody's: that which was signed stays, with its time. Where a log has signed
    another history, both stay.
    """
    size = firm.size
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    forked = note.with_signatures(text, (LOG_KEY.sign(text),)).encode().decode()
    kept = broken.sql("SELECT string_agg(t::text, ',' ORDER BY size) FROM ledger.checkpoints t")
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.checkpoints DROP CONSTRAINT checkpoints_pkey CASCADE")
        for changed_to, at in (("note", ""), ("'junk'", ""), ("'junk'", " - 1"), (f"'{forked}'", "")):
            intruder.edit("checkpoints", f"INSERT INTO ledger.checkpoints SELECT chain, size, root, {changed_to}, "
                          f"sealed_at{at} FROM ledger.checkpoints WHERE size = {size}", least=1)  # fmt: skip
            with copies(archive=firm.archive, other=firm.other) as found:
                plan = planned(broken, firm.rules, found)
                if forked in changed_to:
                    assert not plan.writes
                    continue
                assert [(x.what, x.size) for x in plan.writes] == [("restore", size)]
                applied(broken, firm.rules, plan, found)
            assert real(report_on(broken)) == []
            assert broken.sql("SELECT string_agg(t::text, ',' ORDER BY size) FROM ledger.checkpoints t") == kept


def test_a_checkpoint_that_is_gone_is_restored_from_a_copy(firm: Firm, broken: Database) -> None:
    """Its row stands again where the verifier accepts it; of one that no copy has, that is said."""
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
    gone = json.loads(report_file(broken))
    gone["findings"] = [{"kind": "TREE_MISMATCH", "table": "checkpoints", "key": [str(size)]}
                        for size in (*firm.sealed, firm.size - 1)]  # fmt: skip
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, json.dumps(gone).encode())
        assert {write.size for write in plan.writes} == {*firm.sealed}
        assert ["no copy has one" in judged.reason for judged in plan.left()] == [True]
        applied(broken, firm.rules, plan, found)
    kept = "SELECT string_agg(size || note, ',' ORDER BY size) FROM ledger.checkpoints"
    assert broken.sql(kept) == firm.database.sql(kept)
    assert real(report_on(broken)) == []


def test_the_newest_checkpoint_is_found_whatever_its_row_says(firm: Firm, broken: Database) -> None:
    """Under another size, or beside an older note under a larger one."""
    with Intruder(broken) as intruder:
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints SELECT 1, size + 2, root, note, sealed_at "
                      "FROM ledger.checkpoints")  # fmt: skip
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size = %s", firm.size)
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints SELECT 1, %s, root, note, 1 FROM "
                      "ledger.checkpoints ORDER BY size LIMIT 1", firm.size + 3)  # fmt: skip
    plan = planned(broken, firm.rules, [])
    assert plan.size == firm.size


def events_of(database: Database) -> list[RecordedEvent]:
    with db.connect(database.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, None)
        return list(stored.read(connection, chain.chain, chain.chain_id))


def test_books_are_not_made_to_fit_a_tail_that_somebody_wrote(firm: Firm, broken: Database) -> None:
    """The newest events are of nobody's word: hashed well, they would have honest books written over."""
    with Intruder(broken) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    # No copy has those events at all; then one has others in their place.
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
    assert plan.writes == ()
    assert {"no other region that was named has the same" in judged.reason for judged in plan.left()} == {True}
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.writes
    with Intruder(broken) as intruder:
        relink(intruder, events_of(broken), firm.size + 1, lambda x: msgspec.structs.replace(x, actor="mallory"))
    with copies(archive=firm.archive, other=firm.other) as found:
        assert planned(broken, firm.rules, found).writes == ()
        with pytest.raises(NotProven, match="the replica has another event"):
            applied(broken, firm.rules, plan, found)
    # Neither a record that anybody wrote, nor the hash alone, nor one yes beside a no.
    false, true = events_of(broken)[-1], events_of(firm.other)[-1]
    for kind, event in (
        ("topic", false),
        ("replica", msgspec.structs.replace(true, hash=false.hash)),
        ("replica", false),
    ):
        with copies(archive=firm.archive, other=firm.other) as found:
            assert planned(broken, firm.rules, [Said(kind, event), *found]).writes == ()
            with pytest.raises(NotProven):
                applied(broken, firm.rules, plan, [Said(kind, event), *found])


@pytest.mark.parametrize("where", ["level = 0 AND number = 1", "level = 1 AND number = 0"])
def test_tiles_of_what_was_signed_are_made_whoever_wrote_what_came_after(
    firm: Firm, broken: Database, where: str
) -> None:
    """With one rotten on the edge nothing more could be sealed; books beside it wait for somebody who vouches."""
    with Intruder(broken) as intruder:
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 3, get_byte(hashes, 3) # 1) WHERE "
                      f"{where}")  # fmt: skip
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [write.table for write in plan.writes] == ["tiles"]
        assert {judged.finding.table for judged in plan.left()} == {"balances"}
        applied(broken, firm.rules, plan, found)
        assert {one.table for one in report_on(broken).findings} == {"balances"}
        # Further than what was signed they follow from what nobody vouches for.
        with Intruder(broken) as intruder:
            intruder.edit(
                "tiles", "UPDATE ledger.tiles SET hashes = hashes || sha256('x') WHERE level = 0 AND number = 1"
            )
        assert planned(broken, firm.rules, found).writes == ()
        with pytest.raises(NotProven, match="no other region that was named has the same"):
            applied(broken, firm.rules, plan, found)


class Said(Topic):
    """A copy that has one event, says it to whoever asks, and has nothing else."""

    def __init__(self, kind: str, event: RecordedEvent) -> None:
        self.kind, self.mode, self.chain_id, self._event = kind, "replica", event.chain_id, event

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        return {seq: [self._event] for seq in seqs if seq == self._event.seq}

    def newest(self, upto: int) -> RecordedEvent | None:
        return self._event if self._event.seq <= upto else None


def cut(region: Database, size: int) -> None:
    """Take every event after the first *size* away, and have the head fit."""
    with Intruder(region) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {size}")
        intruder.edit(
            "chain_heads",
            "UPDATE ledger.chain_heads h SET (seq, hash, recorded_at, epoch) = (SELECT seq, hash, recorded_at, epoch "
            "FROM ledger.events e WHERE e.chain = h.chain ORDER BY seq DESC LIMIT 1)",
        )


def test_books_are_not_made_to_fit_a_tail_that_was_cut_off(firm: Firm, broken: Database) -> None:
    """What is left ends with the newest checkpoint, so all of it was signed: its books speak of more."""
    with Intruder(broken) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    with copies(archive=firm.archive, other=firm.other) as found:
        before = planned(broken, firm.rules, found)
    cut(broken, firm.size)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.writes == ()
        assert any("rows here speak of more" in judged.reason for judged in plan.left())
        with pytest.raises(NotProven, match="rows here speak of more"):
            applied(broken, firm.rules, before, found)
    # Whoever makes all of them fit meets a copy that goes on.
    with Intruder(broken) as intruder:
        for table, column in repairs.SPEAKING.items():
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {column} > {firm.size}")
        intruder.edit("state_digests", f"UPDATE ledger.state_digests SET seq = {firm.size}")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.writes == ()
        assert any("the replica goes on from there" in judged.reason for judged in plan.left())
        with pytest.raises(NotProven, match="goes on from there"):
            applied(broken, firm.rules, before, found)


def test_a_replica_that_has_others_is_heard_beside_a_copy_that_was_made_after(
    firm: Firm, broken: Database, replica: Database
) -> None:
    """It stopped where the links tear, so that of the last event it has nothing; the copy has all of them."""
    with Intruder(broken) as intruder:
        relink(intruder, events_of(broken), firm.size + 1, lambda x: msgspec.structs.replace(x, actor="mallory"))
    append(broken, 1)
    with Intruder(broken) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    with copied(broken) as late:
        with copies(late, firm.archive, sources.BACKUP) as found:
            plan = planned(broken, firm.rules, found)
            assert plan.writes == ()
            assert any("no other region that was named has the same" in judged.reason for judged in plan.left())
        # Nor is it another region for being called one.
        with copies(late, firm.archive) as found:
            assert planned(broken, firm.rules, found).writes == ()
        follow(late)
        with copies(late, firm.archive) as found:
            plan = planned(broken, firm.rules, found)
            assert plan.writes
        with copies(late, firm.archive) as found, copies(replica) as others:
            both = [Renamed(others[0]), *found]
            refused = planned(broken, firm.rules, both)
            assert refused.writes == ()
            assert any(f"has another event {firm.size + 3}" in judged.reason for judged in refused.left())
            with pytest.raises(NotProven, match="has another event"):
                applied(broken, firm.rules, plan, both)


def test_a_region_that_says_it_follows_hides_no_end_that_was_cut_off(firm: Firm, broken: Database) -> None:
    """Neither by its head alone, nor with a place in a topic: what goes on is no primary's."""
    with Intruder(broken) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    cut(broken, firm.size)
    with Intruder(broken) as intruder:
        for table, column in repairs.SPEAKING.items():
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {column} > {firm.size}")
        intruder.edit("state_digests", f"UPDATE ledger.state_digests SET seq = {firm.size}")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
    with copied(firm.database) as whole:
        for place in (None, "INSERT INTO ledger.replica_state (chain, topic, topic_id, next_offset) VALUES "
                      "(1, 't', 'x', 1)"):  # fmt: skip
            if place is not None:
                with Intruder(broken) as intruder:
                    intruder.edit("replica_state", place)
            for copy, kind in ((whole, sources.BACKUP), (firm.other, sources.REPLICA)):
                with copies(copy, firm.archive, kind) as found:
                    plan = planned(broken, firm.rules, found)
                    assert plan.writes == ()
                    assert any("goes on from there" in judged.reason for judged in plan.left())


def test_a_snapshot_that_speaks_against_a_tail_is_not_thrown_away(firm: Firm, broken: Database) -> None:
    """All else was made to fit; the snapshot is the last that knows. One of what was signed may go."""
    with Intruder(broken) as intruder:
        intruder.edit("snapshots", "UPDATE ledger.snapshots SET rows = 'x'")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert [write.table for write in plan.writes] == ["snapshots"]
    with copies(archive=firm.archive) as found:
        assert planned(broken, firm.rules, found).writes == ()
        with pytest.raises(NotProven, match="no other region that was named has the same"):
            applied(broken, firm.rules, plan, found)
    with Intruder(broken) as intruder:
        intruder.edit("snapshots", f"UPDATE ledger.snapshots SET seq = {firm.size}")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [write.table for write in plan.writes] == ["snapshots"]
        assert applied(broken, firm.rules, plan, found).done


class Renamed(sources.Database):
    """The same copy, named second."""

    def __init__(self, copy: sources.Source) -> None:
        assert isinstance(copy, sources.Database)
        super().__init__("second replica", copy._connection, copy._chain, copy.chain_id)


def test_a_database_is_no_copy_of_itself(firm: Firm, broken: Database, replica: Database) -> None:
    """Whatever login or address it is named by."""
    with contextlib.closing(db.connect(broken.dsn("auditor"), "test")) as connection, copies(broken) as found:
        (copy,) = found
        assert isinstance(copy, sources.Database)
        assert copy.is_in(connection)
    with contextlib.closing(db.connect(broken.dsn("auditor"), "test")) as connection, copies(replica) as found:
        (copy,) = found
        assert isinstance(copy, sources.Database)
        assert not copy.is_in(connection)


def test_every_read_model_at_once(firm: Firm, broken: Database) -> None:
    """One row of each was changed."""
    with Intruder(broken) as intruder:
        for table, spec in TABLES.items():
            column = next(name for name in spec.columns if name not in spec.key)
            key = " AND ".join(f'"{name}" = t."{name}"' for name in spec.key)
            where = f"ctid = (SELECT ctid FROM ledger.{table} t WHERE {key} ORDER BY ctid LIMIT 1)"
            assert changed(intruder, table, column, columns(broken, table)[column], where), table
    with copies(other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert [judged for judged in plan.left() if judged.finding.kind != "GUARD_CHANGED"] == []
        assert set(TABLES) <= {write.table for write in plan.writes}
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_events_and_what_follows_from_them_at_once(firm: Firm, broken: Database) -> None:
    """A row edited in every place it stands: the event, the balance and the digest."""
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET payload = regexp_replace(payload::text, '1', '2')::json "
                      "WHERE seq = 15")  # fmt: skip
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 7 WHERE NOT breached")
        intruder.edit(
            "state_digests", "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 9, 255 - get_byte(lanes, 9))"
        )
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found)
    assert report_on(broken).findings == []


def test_tables_are_not_made_of_an_event_that_is_not_mended(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 15")
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 7 WHERE NOT breached")
    plan = planned(broken, firm.rules, [])
    assert plan.writes == ()
    assert any("made anew only of events that are all as signed" in judged.reason for judged in plan.left())


def test_a_head_that_is_gone_is_made_beside_an_event_that_is_restored(firm: Firm, broken: Database) -> None:
    """It is the last event's there is, as the one alone would be; not the last that was restored."""
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 15")
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, said="primary")
        assert plan.left() == []
        done = applied(broken, firm.rules, plan, found, said="primary").done
    assert "made chain_heads anew: 0 rows went, 1 came" in done
    assert real(report_on(broken)) == []


def test_no_head_is_promised_over_an_event_that_nobody_signed_and_somebody_changed(
    firm: Firm, broken: Database
) -> None:
    """Without a head the last events are those that follow the signed ones, and it is said of them that none is."""
    last = firm.size + 2
    with Intruder(broken) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET actor = 'mallory' WHERE seq = {last}", least=1)
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, said="primary")
    assert plan.writes == ()
    of_event = next(judged.reason for judged in plan.left() if judged.finding.seq == last)
    assert "nothing that was signed covers it" in of_event
    of_head = next(judged.reason for judged in plan.left() if judged.finding.table == "chain_heads")
    assert "made anew only of events that are all as signed" in of_head


def test_a_head_that_runs_ahead_is_not_believed_and_not_moved_back(firm: Firm, broken: Database) -> None:
    """Seq and hash are others: whether events were cut off behind it cannot be proven."""
    with Intruder(broken) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = seq + 1, hash = sha256('x')")
    with copies(other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert not any(write.table == "chain_heads" for write in plan.writes)
        assert plan.left()
        # A report that has nothing of the events which the head counts brings it no further.
        of_head = json.loads(report_file(broken))
        of_head["findings"] = [{"kind": "STATE_MISMATCH", "table": "chain_heads", "key": [ORIGIN], "column": "seq"}]
        (left,) = planned(broken, firm.rules, found, json.dumps(of_head).encode()).left()
        assert "which of both is true cannot be proven" in left.reason
        more = (*plan.writes, Write(what="rebuild", table="chain_heads", source="replay", key=("primary",)))
        with pytest.raises(StateMismatch, match="which of both is true cannot be proven"):
            applied(broken, firm.rules, msgspec.structs.replace(plan, writes=more), found)


BACK = "UPDATE ledger.chain_heads SET (seq, hash, recorded_at) = (SELECT seq, hash, recorded_at FROM ledger.events "


@pytest.mark.parametrize("edited", [False, True], ids=["alone", "beside an event"])
def test_a_head_that_was_set_back_is_moved_on_where_another_region_has_the_rest(
    firm: Firm, broken: Database, edited: bool
) -> None:
    """Up to what was signed the copy proves it; an event behind it is restored in any case."""
    with Intruder(broken) as intruder:
        if edited:
            intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 310")
        intruder.edit("chain_heads", f"{BACK} WHERE seq = 300)")
    with copied(broken) as other, copies(archive=firm.archive) as found:
        plan = planned(other, firm.rules, found)
        assert [write.seq for write in plan.writes] == [310] * edited
        assert any("no other region that was named has the same" in judged.reason for judged in plan.left())
        if edited:
            applied(other, firm.rules, plan, found)
            assert other.sql("SELECT seq FROM ledger.chain_heads") == "300"
            assert other.sql("SELECT actor FROM ledger.events WHERE seq = 310") != "mallory"
            assert planned(other, firm.rules, found).writes == ()
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_nothing_is_made_anew_by_rules_that_a_newer_program_has(firm: Firm) -> None:
    """An event that this program does not know is among them: what follows from it, it would have to guess."""
    with copied(firm.database) as broken, Intruder(broken) as intruder:
        with newer(), Ledger.open(broken.dsn("writer")) as ledger:
            ledger.append(new_fee("new"), key="new")
        intruder.edit("commits", "UPDATE ledger.commits SET state_digest = sha256('x') WHERE last_seq = 7")
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 7 WHERE NOT breached")
        plan = planned(broken, firm.rules, [])
        assert {one.finding.kind for one in plan.findings} == {"UNKNOWN_FORMAT", "COMMIT_MISMATCH"}
        assert (plan.writes, [one.reason for one in plan.findings if "newest release" not in one.reason]) == ((), [])
        (first,) = [one.finding.seq for one in plan.findings if one.finding.kind == "UNKNOWN_FORMAT"]
        assert any(f"what event {first} does" in one.reason for one in plan.findings)


@pytest.mark.parametrize("table", ["", "accounts"])
def test_histories_are_made_to_fit_no_event_that_came_unsigned_since_the_plan(
    firm: Firm, tmp_path: Path, table: str
) -> None:
    """A plan that is made then would not have it; rows that speak of the new events may be the last that know."""
    with copied(firm.database) as broken, Intruder(broken) as intruder:
        seal(broken, tmp_path / "sealed")
        intruder.edit("balance_history", "UPDATE ledger.balance_history SET settled = settled + 1", least=1)
        if table:
            intruder.edit(table, f"UPDATE ledger.{table} SET owner = 'thief'", least=1)
        with copies(archive=firm.archive) as found:
            plan = planned(broken, firm.rules, found)
            assert [write.table for write in plan.writes] == [*([table] if table else []), "histories"]
            append(broken, 3)
            with pytest.raises(NotProven, match="are after the signed checkpoint"):
                applied(broken, firm.rules, plan, found)
            assert report_on(broken).findings
            # Held against receipts and sealed, they are covered, whichever checkpoint the plan was made by.
            seal(broken, tmp_path / "again")
            applied(broken, firm.rules, plan, found)
        assert real(report_on(broken)) == []


def test_tiles_of_what_was_signed_stay_where_one_before_them_is_gone(firm: Firm) -> None:
    """Also where no row says any more how many events were signed: the checkpoint of the plan does."""
    select = "SELECT level, number, encode(hashes, 'hex') FROM ledger.tiles ORDER BY 1, 2"
    with copied(firm.database) as broken, Intruder(broken) as intruder:
        before = broken.sql(select)
        intruder.edit("tiles", "DELETE FROM ledger.tiles WHERE (level, number) = (0, 0)", least=1)
        intruder.edit("checkpoints", f"DELETE FROM ledger.checkpoints WHERE size = {firm.size}", least=1)
        with copies(archive=firm.archive) as found:
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
        assert broken.sql(select) == before


def test_one_note_under_two_numbers_of_no_chain_is_brought_once(firm: Firm) -> None:
    with copied(firm.database) as broken, Intruder(broken) as intruder:
        row = "SELECT (json_populate_record(c, '{\"chain\": 78}')).* FROM ledger.checkpoints c"
        size = min(firm.sealed)
        intruder.edit("checkpoints", f"INSERT INTO ledger.checkpoints {row} WHERE size = {size}", least=1)
        intruder.edit("checkpoints", f"UPDATE ledger.checkpoints SET chain = 77 WHERE size = {size} AND chain = 1")
        with copies(archive=firm.archive) as found:
            plan = mended(broken, firm, found)
        assert [(write.what, write.key) for write in plan.writes] == [
            ("restore", ("77", str(size))), ("remove", ("78", str(size))),
        ]  # fmt: skip
        assert real(report_on(broken)) == []
