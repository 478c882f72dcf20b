"""
Break rows of events in every way, and see them mended from a copy that is proven, and from no other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.repairing.plan import REMOVE, RESTORE
from ledger.storage import chains, events
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import Firm, applied, archived, copies, mended, planned, seal
from tests.verifier.intruder import Intruder, changed, columns, copied, real, report_on

SEQ = 20
COLUMNS = (
    "chain", "seq", "epoch", "prev_hash", "hash", "event_id", "event_type", "schema_version", "stream",
    "stream_version", "group_id", "group_index", "group_size", "idempotency_key", "request_hash", "occurred_at",
    "recorded_at", "effective_on", "actor", "source", "correlation_id", "causation_id", "salt", "payload",
)  # fmt: skip


def rows(database: Database) -> str:
    return database.sql("SELECT md5(string_agg(e::text, ',' ORDER BY seq, chain)) FROM ledger.events e")


def rows_to(database: Database, seq: int) -> str:
    return database.sql(
        f"SELECT md5(string_agg(e::text, ',' ORDER BY seq, chain)) FROM ledger.events e WHERE seq <= {seq}"
    )


def said_of(seq: int) -> bytes:
    found = {"kind": "BYTES_MODIFIED", "seq": seq}
    return msgspec.json.encode({"verdict": "broken", "origin": ORIGIN, "region_mode": "primary", "findings": [found],
                                "schema_version": 1})  # fmt: skip


@pytest.fixture(scope="module")
def region(firm: Firm) -> Iterator[Database]:
    """A copy that is broken and mended again and again."""
    with copied(firm.database) as made:
        yield made


def test_every_column_is_tried(region: Database) -> None:
    assert set(columns(region, "events")) == set(COLUMNS)


@pytest.mark.parametrize("column", COLUMNS)
def test_an_event_that_was_changed_is_restored(firm: Firm, region: Database, replica: Database, column: str) -> None:
    """The row is what it was, and what stood there is kept with the reason."""
    before, kept = rows(firm.database), int(region.sql("SELECT count(*) FROM ledger.history_changes"))
    with Intruder(region) as intruder:
        if column == "seq":
            intruder.edit("events", f"UPDATE ledger.events SET seq = 5000 WHERE seq = {SEQ}")
        else:
            assert changed(intruder, "events", column, columns(region, "events")[column], f"seq = {SEQ}")
    assert rows(region) != before
    # What a verification says of such a row, without one for each column; of those that move it, a real one.
    data = None if column in ("chain", "seq", "payload") else said_of(SEQ)
    with copies(replica) as found:
        plan = mended(region, firm, found, data)
    restored = [write for write in plan.writes if write.what == RESTORE]
    assert [(write.seq, write.source) for write in restored] == [(SEQ, "replica")]
    assert column in (*restored[0].columns, "chain", "seq")
    assert rows(region) == before
    assert int(region.sql("SELECT count(*) FROM ledger.history_changes")) > kept


def test_nothing_is_wrong_after_every_column_was_mended(region: Database) -> None:
    assert real(report_on(region)) == []


@pytest.mark.parametrize("source", ["replica", "archive", "backup"])
def test_events_that_were_deleted_are_restored(firm: Firm, broken: Database, replica: Database, source: str) -> None:
    """One in the middle, and two in a row; all that follows from them is whole as well, and so are the guards."""
    with Intruder(broken) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq IN (9, 280, 281)")
    given = {
        "replica": (replica, None, source, None), "archive": (None, firm.archive, "", firm.other),
        "backup": (replica, None, source, firm.other),
    }  # fmt: skip
    with copies(*given[source]) as found:
        plan = mended(broken, firm, found)
    assert {write.seq for write in plan.writes if write.what == RESTORE} == {9, 280, 281}
    assert {write.source for write in plan.writes if write.what == RESTORE} == {source}
    assert rows(broken) == rows(firm.database)
    assert report_on(broken).findings == []


def test_neighbours_that_were_changed_together_are_restored_together(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET hash = sha256('x') WHERE seq = 30")
        intruder.edit("events", "UPDATE ledger.events SET prev_hash = sha256('x') WHERE seq = 31")
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found)
    assert report_on(broken).findings == []


def test_a_row_that_was_moved_is_put_back_and_taken_away(firm: Firm, broken: Database, replica: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET seq = 5000 WHERE seq = 40")
    with copies(replica) as found:
        plan = mended(broken, firm, found)
    assert [write.key for write in plan.writes if write.what == REMOVE] == [("1", "5000")]
    assert report_on(broken).findings == []


@pytest.mark.parametrize("number", ["77", "-5", "NULL"])
def test_of_rows_that_no_chain_has_those_that_were_moved_are_taken_away(
    firm: Firm, broken: Database, number: str
) -> None:
    """Beside them stands one of nobody, which is not promised to go, and stays."""
    astray = f"ledger.events WHERE chain IS NOT DISTINCT FROM {number}"
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.events DROP CONSTRAINT events_pkey CASCADE, "
                                    "ALTER chain DROP NOT NULL")  # fmt: skip
        intruder.edit("events", f"UPDATE ledger.events SET chain = {number} WHERE seq IN (40, 41)", least=2)
    with copied(broken) as other, copies(archive=firm.archive, other=firm.other) as found:
        mended(other, firm, found)
        assert other.sql(f"SELECT count(*) FROM {astray}") == "0"
        assert real(report_on(other)) == []
    with Intruder(broken) as intruder:
        intruder.edit(
            "events",
            "INSERT INTO ledger.events SELECT (jsonb_populate_record(e, jsonb_build_object("
            f"'chain', {number}, 'actor', 'mallory'))).* FROM ledger.events e WHERE seq = 12",
            least=1,
        )
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        (stray,) = [judged for judged in plan.left() if judged.finding.kind == "STRAY_ROWS"]
        assert "1 of 3: rows of nobody" in stray.reason
        applied(broken, firm.rules, plan, found)
    assert broken.sql(f"SELECT seq, actor FROM {astray}") == "12|mallory"
    assert {x.kind for x in real(report_on(broken))} == {"STRAY_ROWS"}


def test_copies_under_numbers_that_no_chain_has_are_told_in_a_line_for_each_number(
    firm: Firm, broken: Database
) -> None:
    """The plan has each of them, so that a line can be taken out; a person reads how many there are, and of what."""
    with Intruder(broken) as intruder:
        for number, which in ((77, "IN (40, 41, 50)"), (78, "= 12")):
            moved = f"(jsonb_populate_record(e, jsonb_build_object('chain', {number}))).*"
            intruder.edit("events", f"INSERT INTO ledger.events SELECT {moved} FROM ledger.events e WHERE seq {which}")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert len(plan.writes) == 4
        told = [
            "the 3 rows of events at 77/40 to 77/50, which are copies of events from 40 to 50",
            "the row of events at 78/12, which is a copy of event 12",
        ]
        assert plan.sentences() == [f"remove {rows}" for rows in told]
        assert applied(broken, firm.rules, plan, found).done == [f"removed {rows}" for rows in told]
    assert real(report_on(broken)) == []


def copied_to(table: str, number: int, where: str = "true") -> str:
    """Return the statement that copies rows of the chain to another number."""
    return (
        f"INSERT INTO ledger.{table} SELECT (jsonb_populate_record(t, jsonb_build_object('chain', {number}))).*"
        f" FROM ledger.{table} t WHERE chain = 1 AND {where}"
    )


def test_all_that_was_copied_to_a_number_below_none_goes_at_once(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", copied_to("events", -5, "seq < 50"), least=49)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = mended(broken, firm, found)
    assert len(plan.writes) == 49
    assert real(report_on(broken)) == []


def test_nothing_rests_on_a_copy_of_an_event_that_nobody_signed(firm: Firm, broken: Database) -> None:
    """It stays, and what follows from the event in its place is made anew."""
    with Intruder(broken) as intruder:
        intruder.edit("events", copied_to("events", 5, f"seq = {firm.size + 1}"), least=1)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert [(judged.finding.kind, judged.finding.table) for judged in plan.left()] == [("STRAY_ROWS", "events")]
        assert "nothing that was signed covers it" in (plan.left()[0].reason or "")
        applied(broken, firm.rules, plan, found)
    assert {x.kind for x in real(report_on(broken))} == {"STRAY_ROWS"}


ASTRAY = {
    "a head and an event copied": {"chain_heads": copied_to("chain_heads", 9),
                                   "events": copied_to("events", 9, "seq = 200")},
    "a head copied, an event moved": {"chain_heads": copied_to("chain_heads", 9),
                                      "events": "UPDATE ledger.events SET chain = 9 WHERE seq = 40"},
    "both moved": {"chain_heads": "UPDATE ledger.chain_heads SET chain = 9",
                   "events": "UPDATE ledger.events SET chain = 9 WHERE seq = 40"},
}  # fmt: skip


@pytest.mark.parametrize("what", ASTRAY)
def test_a_stray_head_makes_no_place_of_a_chain(firm: Firm, broken: Database, what: str) -> None:
    """Under a number that no chain has: the head goes back with its role, and the events as without it."""
    with Intruder(broken) as intruder:
        for table, sql in ASTRAY[what].items():
            intruder.edit(table, sql, least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found)
    assert real(report_on(broken)) == []
    assert rows(broken) == rows(firm.database)


@pytest.mark.parametrize("is_signed", [True, False])
def test_events_that_were_all_moved_to_another_number_are_put_back(
    firm: Firm, broken: Database, tmp_path: Path, is_signed: bool
) -> None:
    """Row, head, books and what was signed say where they belong. Of those that nobody signed, nothing proves any."""
    if is_signed:
        seal(broken, tmp_path / "w")
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET chain = 5", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        size = plan.size
        assert {(write.what, write.seq) for write in plan.writes if write.table == "events"} == {
            (what, seq) for what in (RESTORE, REMOVE) for seq in range(1, size + 1)
        }
        assert (plan.left() == []) is is_signed
        applied(broken, firm.rules, plan, found)
    assert broken.sql("SELECT chain, count(*) FROM ledger.events GROUP BY chain ORDER BY chain").split() == (
        [f"1|{size}"] if is_signed else [f"1|{size}", "5|3"]
    )
    assert (real(report_on(broken)) == []) is is_signed


def test_a_tail_that_was_cut_up_to_a_checkpoint_is_restored(firm: Firm, broken: Database) -> None:
    """
    The intruder moved the head back as well. What came after the checkpoint is proven by nothing: the rows that speak
    of it stay, and go on to say that it is missing.
    """
    cut = firm.size - 12
    with Intruder(broken) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {cut}")
        intruder.edit(
            "chain_heads",
            "UPDATE ledger.chain_heads h SET (seq, hash, recorded_at, epoch) = (SELECT seq, hash, recorded_at, epoch "
            "FROM ledger.events e WHERE e.chain = h.chain ORDER BY seq DESC LIMIT 1)",
        )
    books = broken.sql("SELECT md5(string_agg(c::text, ',' ORDER BY last_seq)) FROM ledger.commits c")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert [x.seq for x in plan.writes if x.table != "tiles"] == list(range(cut + 1, firm.size + 1))
        assert any("rows here speak of more (commits of event" in judged.reason for judged in plan.left())
        applied(broken, firm.rules, plan, found)
    assert rows(broken) == rows_to(firm.database, firm.size)
    assert broken.sql("SELECT md5(string_agg(c::text, ',' ORDER BY last_seq)) FROM ledger.commits c") == books
    assert {"COMMIT_MISMATCH", "TRUNCATED"} & {finding.kind for finding in report_on(broken).findings}


def test_of_a_tail_that_was_cut_as_much_is_restored_as_a_copy_has(firm: Firm, broken: Database) -> None:
    """The head is the last of these; what no copy has is left, and said."""

    def cut(region: Database, last: int) -> None:
        with Intruder(region) as intruder:
            intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {last}")
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET (seq, hash, recorded_at) = (SELECT seq, hash, "
                          f"recorded_at FROM ledger.events WHERE seq = {last})")  # fmt: skip

    cut(broken, firm.size - 12)
    with copied(firm.other) as short:
        cut(short, firm.size - 4)
        with copies(short) as found:
            plan = planned(broken, firm.rules, found)
            applied(broken, firm.rules, plan, found)
            assert any(f"has no event {firm.size - 3}" in judged.reason for judged in plan.left())
    assert broken.sql("SELECT seq FROM ledger.chain_heads") == str(firm.size - 4)
    assert rows(broken) == rows_to(firm.database, firm.size - 4)


@pytest.mark.parametrize("column", ["actor", "payload", "recorded_at", "salt"])
def test_an_event_with_no_value_in_a_column_is_restored(firm: Firm, broken: Database, column: str) -> None:
    """Somebody took the guard away that keeps it out; of it nothing can be laid out."""
    with Intruder(broken) as intruder:
        intruder.connection.execute(f"ALTER TABLE ledger.events ALTER COLUMN {column} DROP NOT NULL".encode())
        intruder.edit("events", f"UPDATE ledger.events SET {column} = NULL WHERE seq IN ({SEQ}, {firm.size + 3})")
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [write.seq for write in plan.writes] == [SEQ]
        applied(broken, firm.rules, plan, found)
    assert rows_to(broken, firm.size) == rows_to(firm.database, firm.size)


def test_what_was_not_signed_is_not_mended(firm: Firm, broken: Database, replica: Database) -> None:
    """An event after the last checkpoint: the replica's may be right, and nothing shows it."""
    last = firm.size + 2
    with Intruder(broken) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET actor = 'mallory' WHERE seq IN (10, {last})")
    with copies(replica) as found:
        plan = planned(broken, firm.rules, found)
    assert [write.seq for write in plan.writes] == [10]
    (left,) = (judged for judged in plan.left() if judged.finding.seq == last)
    assert "nothing that was signed covers it" in left.reason


def test_a_lost_tail_beyond_the_checkpoint_is_not_forgotten(firm: Firm, broken: Database, replica: Database) -> None:
    """The head goes on to say that there was more: a repair that moved it back would hide what is missing."""
    with Intruder(broken) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {firm.size - 2}")
    with copies(replica) as found:
        plan = planned(broken, firm.rules, found)
    assert {write.table for write in plan.writes} == {"events"}
    assert any(f"event {firm.size + 1} is after" in judged.reason for judged in plan.left())


def test_a_source_that_lies_is_named(firm: Firm, broken: Database) -> None:
    """With the same false edit; and with the edit hashed again behind it."""
    edit = "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 25"
    with copied(firm.database) as liar:
        for database in (broken, liar):
            with Intruder(database) as intruder:
                intruder.edit("events", edit)
        with copies(liar) as found:
            plan = planned(broken, firm.rules, found)
        assert plan.writes == ()
        assert "not what its own hash is of" in plan.left()[0].reason
        with db.connect(liar.dsn("reader"), "test") as connection:
            chain = chains.find(connection, None)
            event = events.read_seqs(connection, chain.chain, chain.chain_id, [25])[25]
            rehashed = blake3(entries.encode(event)).digest()
        with Intruder(liar) as intruder:
            intruder.edit("events", "UPDATE ledger.events SET hash = %s WHERE seq = 25", rehashed)
        with copies(liar) as found:
            plan = planned(broken, firm.rules, found)
        assert plan.writes == ()
        assert "is not shown to be in the checkpoint" in plan.left()[0].reason
        # Where one copy lies, the next one is asked.
        with copies(liar, firm.archive) as found:
            plan = mended(broken, firm, found)
        assert {write.source for write in plan.writes if write.what == RESTORE} == {"archive"}
    assert report_on(broken).findings == []


def test_without_a_copy_nothing_is_mended(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 50")
    plan = planned(broken, firm.rules, [])
    assert plan.writes == ()
    assert all(judged.reason for judged in plan.findings)
    assert "no event 50" in plan.left()[0].reason


def test_tiles_that_are_gone_are_not_needed_where_a_copy_is_whole(firm: Firm, broken: Database) -> None:
    """All events of the replica have the signed root, so each of them is the one that was signed."""
    with copied(firm.database) as other:
        for database in (broken, other):
            with Intruder(database) as intruder:
                intruder.edit("tiles", "DELETE FROM ledger.tiles")
        with Intruder(broken) as intruder:
            intruder.edit("events", "UPDATE ledger.events SET source = 'mallory' WHERE seq = 60")
        with copies(other) as found:
            plan = mended(broken, firm, found)
    (write,) = (write for write in plan.writes if write.what == RESTORE)
    assert "all events of the replica" in write.proven_by
    assert report_on(broken).findings == []


def test_an_archive_with_a_rotten_tile_shows_by_its_entries(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Neither the region's tiles nor the archive's lead to the root; all the entries of the archive do."""
    archive = tmp_path / "archive"
    shutil.copytree(firm.archive, archive)
    rotten = archive / "tile" / "0" / "000"
    data = bytearray(rotten.read_bytes())
    data[40] ^= 1
    rotten.chmod(0o644)
    rotten.write_bytes(data)
    with Intruder(broken) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles")
        intruder.edit("events", "UPDATE ledger.events SET source = 'mallory' WHERE seq = 60")
    with copies(archive=archive, other=None) as found:
        plan = planned(broken, firm.rules, found)
    (write,) = (write for write in plan.writes if write.what == RESTORE)
    assert "all events of the archive" in write.proven_by
    # A byte of the entries besides, and nothing shows which is right.
    bundle = archive / "tile" / "entries" / "000"
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.chmod(0o644)
    bundle.write_bytes(data)
    with copies(archive=archive, other=None) as found:
        assert [write for write in planned(broken, firm.rules, found).writes if write.what == RESTORE] == []


@pytest.mark.parametrize("column", ["prev_hash = sha256('x')", "hash = sha256('x')", "event_id = gen_random_uuid()"])
def test_a_column_that_was_edited_in_every_event_comes_back(
    firm: Firm, broken: Database, tmp_path: Path, column: str
) -> None:
    """No event fits the chain's id then, and the chain's own row is as it was signed."""
    seal(broken, tmp_path / "sealed")
    place = archived(broken, tmp_path / "archive", firm.policy_text)
    with Intruder(broken) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET {column}", least=100)
    with copies(archive=place) as found:
        plan = planned(broken, firm.rules, found)
        assert len([write for write in plan.writes if write.table == "events"]) == int(
            broken.sql("SELECT count(*) FROM ledger.events")
        )
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_a_copy_in_the_first_free_place_keeps_nothing_else_from_being_restored(firm: Firm, broken: Database) -> None:
    """No repair empties a place of the chain; what it can do, it plans, and the rest it tells."""
    last = int(broken.sql("SELECT seq FROM ledger.chain_heads"))
    with Intruder(broken) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET seq = {last + 1} WHERE seq = 4", least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 7", least=1)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert [(write.what, write.seq) for write in plan.writes] == [(RESTORE, 7)]
        assert any(f"stands behind the last event, at {last + 1}" in one.reason for one in plan.left())
        applied(broken, firm.rules, plan, found)
    assert broken.sql("SELECT actor FROM ledger.events WHERE seq = 7") != "mallory"


def test_what_stands_before_a_missing_event_is_not_missed(firm: Firm, broken: Database, replica: Database) -> None:
    """The last that was signed is gone, and those that nobody signed are there, as another region has them."""
    before = rows(broken)
    with Intruder(broken) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {firm.size}", least=1)
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
    with copies(replica, archive=firm.archive) as found:
        mended(broken, firm, found)
    assert rows(broken) == before
    assert real(report_on(broken)) == []


def test_nothing_is_made_anew_before_an_event_behind_a_gap(firm: Firm, broken: Database, replica: Database) -> None:
    """Nobody signed it, nor what is missing: whose it is a person has to find out, and the plan promises nothing."""
    with Intruder(broken) as intruder:
        intruder.unguard("events")
        intruder.edit(
            "events", "INSERT INTO ledger.events SELECT (json_populate_record(e, json_build_object('seq', 5000,"
            " 'event_id', gen_random_uuid(), 'hash', '\\x' || repeat('ab', 32), 'idempotency_key', 'zz',"
            " 'stream', 'zz'))).* FROM ledger.events e WHERE seq = 4", least=1,
        )  # fmt: skip
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
    with copies(replica, archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
    assert plan.writes == ()
    told = {one.finding.kind for one in plan.findings if "gap" in one.reason or "that was signed" in one.reason}
    assert told >= {"SEQ_GAP", "PROJECTION_MISMATCH"}


def test_an_event_that_was_made_one_of_a_newer_program_is_restored(
    firm: Firm, broken: Database, replica: Database
) -> None:
    """It hashes as it stands, and the next one does not link: what was signed is another."""
    before = rows(broken)
    with db.connect(broken.dsn("reader"), "test") as connection:
        chain = chains.find(connection, None)
        (event,) = events.read(connection, chain.chain, chain.chain_id, SEQ - 1, 1)
    said = msgspec.structs.replace(event, schema_version=99)
    made = blake3(entries.encode(said)).digest()
    with Intruder(broken) as intruder:
        intruder.edit(
            "events", "UPDATE ledger.events SET schema_version = 99, hash = %s WHERE seq = %s", made, SEQ, least=1
        )
    with copies(replica) as found:
        assert {"UNKNOWN_FORMAT", "CHAIN_BREAK"} <= {one.finding.kind for one in mended(broken, firm, found).findings}
    assert rows(broken) == before
    assert real(report_on(broken)) == []
