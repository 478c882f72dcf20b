"""
Walk a chain by ranges: what is good passes, and what is not is found as a full verification finds it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from distributed import LocalCluster

from ledger import Group, Ledger
from ledger.chain.entry import encode
from ledger.evidence.tree import Frontier, leaf_hash
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import deposit
from tests.verifier.history import written_in
from tests.verifier.intruder import Intruder, changed, columns, copied, report_on
from verifier import cli as verifier_cli
from verifier import indexes
from verifier.connection import open_connection
from verifier.reader import Reader
from verifier.report import Finding, Report
from verifier.stored import Unreadable
from verifier.walk import clusters, joined, layout, ranges, rows
from verifier.walk.joined import COVERED, verify_chain
from verifier.walk.layout import Rows

SIZE = 16
"""Events of a range here: the chain has some ten of them."""


def more(ledger: Ledger, name: str, count: int) -> None:
    ledger.append_many([Group((deposit(f"{name}{n}"),), f"{name}{n}") for n in range(count)])


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    with written_in(pg_server, migrated, "walked", lambda ledger: more(ledger, "w", 60)) as made:
        yield made


@pytest.fixture
def copy(written: Database) -> Iterator[Database]:
    with copied(written) as made:
        yield made


def walked(database: Database, **more: object) -> Report:
    return verify_chain(database.dsn("auditor"), ORIGIN, size=SIZE, **more)  # type: ignore[arg-type]


def of_events(found: list[Finding]) -> list[tuple[str, int | None, str | None]]:
    """Return the findings about events that stand by themselves."""
    kinds = ("BYTES_MODIFIED", "CHAIN_BREAK", "SEQ_GAP", "SEQ_DUP", "CLOCK", "TRUNCATED", "GROUP_PARTIAL")
    return sorted(
        ((x.kind, x.seq, x.column) for x in found if x.table is None and x.kind in kinds and x.after is None), key=str
    )


def test_a_good_chain_passes_and_its_root_is_the_tree_s(written: Database, tmp_path: Path) -> None:
    """Events, head and root are those that reading event by event gives; what is not covered is said."""
    edge, head = Frontier(), b""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        for event in reader.events():
            edge.add(leaf_hash(encode(event)))
            head = event.hash
    report = walked(written, state=tmp_path / "state")
    assert (report.verdict, report.findings, report.events) == ("verified", [], edge.size)
    assert report.head == {"seq": edge.size, "hash": head.hex(), "root": edge.root().hex()}
    assert report.last_good_seq == edge.size
    assert any("full" in line for line in report.not_covered)
    assert indexes.NOT_LOOKED_UP in report.not_covered


@pytest.mark.parametrize(
    "make", [lambda: ThreadPoolExecutor(2), lambda: ProcessPoolExecutor(2)], ids=["threads", "processes"]
)
def test_any_executor_gives_the_same_report(written: Database, make: Callable[[], ThreadPoolExecutor]) -> None:
    """Ranges can be checked anywhere, in any order."""
    alone = walked(written)
    with make() as executor:
        spread = walked(written, executor=executor)
    for report in (alone, spread):
        report.seconds = 0
    assert spread == alone


def test_ranges_in_turn_share_a_connection_and_lose_nothing_where_one_is_left_in_the_middle(
    copy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out is what each range comes to by itself; only a range that did not fit has the next one connect."""
    with Intruder(copy) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq = 40")
    opened: list[str | None] = []

    def counted(dsn: str, snapshot: str | None) -> psycopg.Connection[Any]:
        opened.append(snapshot)
        return open_connection(dsn, snapshot)

    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        (chain,) = reader.chains
        of_all = (copy.dsn("auditor"), reader.snapshot(), chain.chain, chain.chain_id, os.urandom(16))
        tasks = [ranges.Task(*of_all, *ends, leaves=True) for ends in ranges.cut(1, chain.seq, SIZE)]
        monkeypatch.setattr(rows, "ROWS", 2)
        monkeypatch.setattr(rows, "_AT_ONCE", 2)
        expected = [ranges.check(task) for task in tasks]
        monkeypatch.setattr(ranges, "open_connection", counted)
        assert list(ranges.check_in_turn(tasks)) == expected
    assert [done.first for done in expected if not done.whole] == [33]
    assert opened == [of_all[1]] * 2


@pytest.mark.parametrize("count", [14, 15, 16, 17, 31, 32])
def test_a_connection_serves_another_range_after_one_of_any_length(
    written: Database, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also where what ends the rows is the last message that is taken at once."""
    monkeypatch.setattr(rows, "ROWS", 16)
    monkeypatch.setattr(rows, "_AT_ONCE", 16)
    with (
        Reader(written.dsn("auditor"), ORIGIN) as reader,
        open_connection(written.dsn("auditor"), reader.snapshot()) as connection,
    ):
        reading, absent, (chain,) = rows.Reading(connection), os.urandom(16), reader.chains
        for first in (1, 40):
            found = [*reading.rows(chain.chain, first, first + count - 1, absent)]
            assert sum(map(len, found)) == count


def test_a_dask_cluster_gives_the_same_report(
    written: Database, copy: Database, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Two workers of its own check the ranges, and find what this process finds; without a scheduler nothing is."""
    with Intruder(copy) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq = 40")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
    ) as workers:
        with clusters.cluster(workers.scheduler_address) as executor:
            alone, spread = walked(written), walked(written, executor=executor)
            for report in (alone, spread):
                report.seconds = 0
            assert spread == alone
            assert of_events(walked(copy, executor=executor).findings) == [("BYTES_MODIFIED", 40, "actor")]
        given = ["chain", "--dsn", written.dsn("auditor"), "--format", "json", "--scheduler", workers.scheduler_address]
        assert verifier_cli.app(given, standalone_mode=False) in (0, None)
        assert msgspec.json.decode(capsysbinary.readouterr().out)["verdict"] == "verified"
        lost = workers.scheduler_address
    with pytest.raises(Unreadable, match="no Dask scheduler"), clusters.cluster(lost):
        pass


def test_two_processes_find_what_one_finds(copy: Database) -> None:
    """An edited event is named by seq and column however many look."""
    with Intruder(copy) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq = 40")
    assert of_events(walked(copy, jobs=2).findings) == [("BYTES_MODIFIED", 40, "actor")]


COLUMNS = [
    "epoch", "prev_hash", "hash", "event_id", "event_type", "schema_version", "stream", "stream_version", "group_id",
    "group_index", "group_size", "idempotency_key", "request_hash", "occurred_at", "recorded_at", "effective_on",
    "actor", "source", "correlation_id", "causation_id", "salt", "payload",
]  # fmt: skip


def test_every_column_is_found_where_full_finds_it(copy: Database) -> None:
    """At the start of a range, at its end, inside a group and at the head: the same class, seq and column."""
    kinds = columns(copy, "events")
    assert {"chain", "seq", *COLUMNS} == set(kinds)
    last = int(copy.sql("SELECT max(seq) FROM ledger.events"))
    with Intruder(copy) as intruder:
        for place, column in enumerate(COLUMNS):
            seq = (17, 32, 12, last)[place % 4]
            with intruder.undone("events"):
                assert changed(intruder, "events", column, kinds[column], f"seq = {seq}")
                found = of_events(walked(copy).findings)
                assert found == [("BYTES_MODIFIED", seq, column)]
                assert found == of_events(report_on(copy).findings)
        assert walked(copy).findings == []


EDITS = {
    "an event is missing inside a range": "DELETE FROM ledger.events WHERE seq = 20",
    "the last of a range is missing": "DELETE FROM ledger.events WHERE seq = 32",
    "the first of a range is missing": "DELETE FROM ledger.events WHERE seq = 33",
    "a whole range is missing": "DELETE FROM ledger.events WHERE seq BETWEEN 33 AND 48",
    "the first event is missing": "DELETE FROM ledger.events WHERE seq = 1",
    "the tail is cut": "DELETE FROM ledger.events WHERE seq > 100",
    "two ranges are edited": "UPDATE ledger.events SET actor = actor || 'x' WHERE seq IN (20, 70)",
    "an event is moved behind the head": "UPDATE ledger.events SET seq = 900 WHERE seq = 50",
    "an event is moved before the first": "UPDATE ledger.events SET seq = -3 WHERE seq = 50",
    "two events stand in each other's place": "UPDATE ledger.events SET seq = 5000 WHERE seq = 20; "
        "UPDATE ledger.events SET seq = 20 WHERE seq = 70; UPDATE ledger.events SET seq = 70 WHERE seq = 5000",
    "an id is zeros": f"UPDATE ledger.events SET causation_id = '{'0' * 32}' WHERE seq = 30",
    "an id is all ones": f"UPDATE ledger.events SET causation_id = '{'f' * 32}' WHERE seq = 30",
    "a column is NULL": "ALTER TABLE ledger.events ALTER salt DROP NOT NULL; UPDATE ledger.events SET salt = NULL"
                        " WHERE seq = 30",
    "a date is infinite": "UPDATE ledger.events SET effective_on = 'infinity' WHERE seq = 30",
    "a hash is longer": "UPDATE ledger.events SET hash = hash || '\\x00' WHERE seq = 30",
}  # fmt: skip


@pytest.mark.parametrize("sql", EDITS.values(), ids=EDITS.keys())
def test_what_is_wrong_with_events_is_found_as_full_finds_it(copy: Database, sql: str) -> None:
    """Gaps, moves and edits, inside ranges and where they meet."""
    with Intruder(copy) as intruder:
        intruder.unguard("events")
        intruder.edit("events", sql)
    found, whole = of_events(walked(copy).findings), of_events(report_on(copy).findings)
    assert found
    assert [x[:2] for x in found] == [x[:2] for x in whole]
    # Where the bytes cannot tell which column it was, full asks the rules too, and has fewer suspects.
    suspects = [[set((x[2] or "").split(" or ")) for x in some] for some in (found, whole)]
    assert all(more >= less for more, less in zip(*suspects, strict=True))


def test_a_rewritten_tail_is_joined_to_nothing(copy: Database) -> None:
    """Events whose bytes fit their hashes, and which name another event before them, break the chain at the seam."""
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        event = next(reader.events(33, 33))
    from blake3 import blake3

    event = msgspec.structs.replace(event, prev_hash=bytes(32))
    with Intruder(copy) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET prev_hash = %s, hash = %s WHERE seq = 33", bytes(32),
                      blake3(encode(event)).digest())  # fmt: skip
    found = of_events(walked(copy).findings)
    assert ("CHAIN_BREAK", 34, "prev_hash") in found or ("BYTES_MODIFIED", 33, "prev_hash") in found
    assert found == of_events(report_on(copy).findings)


def test_no_byte_of_a_row_can_differ(written: Database) -> None:
    """Any one byte of a run of rows, changed in any bit, and the run does not fit."""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        chain = reader.chain
    absent = os.urandom(16)
    with open_connection(written.dsn("auditor")) as connection:
        (found,) = rows.Reading(connection).rows(chain.chain, 20, 24, absent)
    ends = list(accumulate(found.lengths))
    good = [found.data[end - length : end] for end, length in zip(ends, found.lengths, strict=True)]

    def fits(some: list[bytes]) -> bool:
        parsed = layout.parse(Rows(b"".join(some), [len(row) for row in some]), chain.chain_id, absent)
        return parsed is not None and layout.check(parsed, lambda: None, leaves=False) is not None

    assert fits(good)
    draw = random.Random(5)
    for number in (0, 2, 4):
        for place in range(len(good[number])):
            edited = bytearray(good[number])
            edited[place] ^= 1 << draw.randrange(8)
            assert not fits([*good[:number], bytes(edited), *good[number + 1 :]]), (number, place)
        for cut in (0, 1, layout.FIXED_BYTES - 1, layout.FIXED_BYTES, len(good[number]) - 1):
            assert not fits([*good[:number], good[number][:cut], *good[number + 1 :]])
        assert not fits([*good[:number], good[number] + b"\0", *good[number + 1 :]])
    assert not fits([good[0], *good[2:]])
    assert not fits([good[1], good[0], *good[2:]])


def test_no_epoch_is_below_the_first(written: Database) -> None:
    """As the walk event by event has it."""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        chain = reader.chain
    absent, place = os.urandom(16), layout._ROW.fields["epoch"][1]  # type: ignore[index]
    with open_connection(written.dsn("auditor")) as connection:
        (found,) = rows.Reading(connection).rows(chain.chain, 1, 1, absent)
    for epoch, is_one in ((1, True), (0, False), (-1, False)):
        data = found.data[:place] + epoch.to_bytes(4, "big", signed=True) + found.data[place + 4 :]
        assert (layout.parse(Rows(data, found.lengths), chain.chain_id, absent) is not None) == is_one


def test_rows_are_the_events_that_the_reader_reads(written: Database) -> None:
    """Both ways to read a row give the same columns, whatever is absent in it."""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        expected, chain = list(reader.events()), reader.chain
    absent = os.urandom(16)
    with open_connection(written.dsn("auditor")) as connection:
        found = [
            event
            for some in rows.Reading(connection).rows(chain.chain, 1, len(expected), absent)
            if (parsed := layout.parse(some, chain.chain_id, absent)) is not None
            for event in parsed.events(chain.chain_id)
        ]
    assert found == expected


COPIED_BELOW = (
    "UPDATE ledger.events SET seq = 0 WHERE seq = 50; INSERT INTO ledger.events SELECT (jsonb_populate_record(events, "
    "'{\"seq\": 50}')).* FROM ledger.events WHERE seq = 0"
)
"""What leaves event 50 as it is and puts another row below the first."""


def test_an_event_before_the_first_is_found_from_a_state_too(
    copy: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was there when the state was written, in the middle of a walk, or came since."""
    state = tmp_path / "state"
    assert walked(copy, state=state).verdict == "verified"
    with Intruder(copy) as intruder:
        intruder.unguard("events")
        intruder.edit("events", COPIED_BELOW)
    assert ("SEQ_DUP", 0, "seq") in of_events(walked(copy, state=state).findings)
    monkeypatch.setattr(joined, "SAVE_S", 0.0)
    state.unlink()
    for _ in range(2):
        assert ("SEQ_DUP", 0, "seq") in of_events(walked(copy, state=state).findings)


def test_a_walk_goes_on_where_the_state_says(written: Database, tmp_path: Path) -> None:
    """The second walk checks what came since; root and head are those of a walk of all."""
    state = tmp_path / "state"
    with copied(written) as database:
        first = walked(database, state=state)
        with Ledger.open(database.dsn("writer")) as ledger:
            more(ledger, "more", 30)
        second = walked(database, state=state)
        assert second.events == 30
        assert second.verdict == "verified"
        assert any(f"events 1 to {first.events} again" in line for line in second.not_covered)
        assert second.spans == [(first.events + 1, first.events + 30)]
        assert second.last_good_seq == first.events + 30
        assert second.head == walked(database, state=tmp_path / "another").head
        third = walked(database, state=state)
        assert (third.events, third.verdict, third.head) == (0, "verified", second.head)


def test_of_a_part_it_is_said_which_events_were_read(written: Database) -> None:
    """And how many from the first are whole only where these were read."""
    part, begun, whole = walked(written, first=20, last=40), walked(written, last=40), walked(written)
    assert (part.spans, part.events, part.last_good_seq) == ([(20, 40)], 21, 0)
    assert (begun.spans, begun.events, begun.last_good_seq) == ([(1, 40)], 40, 40)
    assert (whole.spans, whole.last_good_seq) == (None, whole.events)


def test_a_database_behind_its_state_is_convicted(written: Database, tmp_path: Path) -> None:
    """An older backup, a cut tail and another history of the same length are each told, and the state stays."""
    state = tmp_path / "state"
    with copied(written) as database:
        with Ledger.open(database.dsn("writer")) as ledger:
            more(ledger, "more", 30)
        longer = walked(database, state=state)
        kept = state.read_bytes()
        report = walked(written, state=state)
        assert [(x.kind, x.expected.split()[2]) for x in report.findings] == [("ROLLBACK", str(longer.events))]
        with copied(written) as other:
            with Ledger.open(other.dsn("writer")) as ledger:
                more(ledger, "other", 30)
            (finding,) = walked(other, state=state).findings
            assert (finding.kind, finding.seq, finding.column) == ("CHECKPOINT_INCONSISTENT", longer.events, "hash")
        assert state.read_bytes() == kept


def test_an_interrupted_walk_goes_on(written: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked before the interruption is not checked again."""
    from verifier.walk import joined

    monkeypatch.setattr(joined, "SAVE_S", 0.0)
    state, seen = tmp_path / "state", 0

    def interrupt(what: str, count: int) -> None:
        nonlocal seen
        seen = count
        if count >= 3 * SIZE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walked(written, state=state, tell=interrupt)
    whole = walked(written)
    rest = walked(written, state=state)
    assert rest.verdict == "verified"
    assert 0 < rest.events == whole.events - 2 * SIZE
    assert seen == 3 * SIZE


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"format_version":2}', b"\xff" * 100, b"{" * 60_000])
def test_a_file_that_is_no_state_is_not_taken_for_one(written: Database, tmp_path: Path, data: bytes) -> None:
    """Nothing is verified by it, and the file stays."""
    state = tmp_path / "state"
    state.write_bytes(data)
    with pytest.raises(Unreadable, match="delete it"):
        walked(written, state=state)
    assert state.read_bytes() == data


def test_part_of_a_chain_is_checked_and_the_rest_is_said(copy: Database) -> None:
    """From one seq to another: what is wrong outside is not found, and the report says what was left out."""
    with Intruder(copy) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq IN (20, 120)")
    report = walked(copy, first=40, last=100)
    assert (report.verdict, report.events) == ("verified", 61)
    assert [line for line in report.not_covered if "on purpose" in line] == [
        "events before 40, which were left out on purpose",
        "events after 100, which were left out on purpose, and the head",
    ]  # fmt: skip
    assert report.covered[0].startswith("every column of events 40 to 100,")
    assert not any("genesis" in line or "head" in line for line in report.covered)
    assert of_events(walked(copy, first=15, last=25).findings) == [("BYTES_MODIFIED", 20, "actor")]


def test_the_event_before_a_part_is_told_where_it_is_gone_or_another(copy: Database) -> None:
    """It is read for the link to it, so that what was seen is not passed over."""
    with Intruder(copy) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq = 99")
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 49")
    for first, kind in ((100, "BYTES_MODIFIED"), (50, "SEQ_GAP")):
        report = walked(copy, first=first, last=first + 10)
        assert [(x.kind, x.seq) for x in report.findings] == [(kind, first - 1)]
        assert f"the link of event {first} to the one before" in report.not_covered


def test_a_wrong_head_beside_good_events_is_no_rollback(copy: Database, tmp_path: Path) -> None:
    """A state, and a walk without one, say the same of it."""
    state = tmp_path / "state"
    assert walked(copy, state=state).findings == []
    with Intruder(copy) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = 5")
    for report in (walked(copy, state=state), walked(copy)):
        assert {x.kind for x in report.findings} == {"HEAD_MISMATCH"}


def test_events_that_are_asked_for_and_gone_are_not_left_out_on_purpose(copy: Database) -> None:
    """Where the head still says that they were there it is a cut, and where it does not nothing is verified."""
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        size = reader.chain.seq
    to_the_end = walked(copy, last=size)
    assert (to_the_end.verdict, to_the_end.covered) == ("verified", walked(copy).covered)
    with pytest.raises(Unreadable, match=f"found events to {size + 1} to verify; .* has events 1 to {size}"):
        walked(copy, last=size + 1)
    with Intruder(copy) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq > %s", size - 10)
        assert "TRUNCATED" in {finding.kind for finding in walked(copy, last=size).findings}
        for last in (None, size):
            cut = walked(copy, first=size - 3, last=last)
            assert [x.actual for x in cut.findings if x.kind == "TRUNCATED"] == [
                x.actual for x in walked(copy).findings if x.kind == "TRUNCATED"
            ]
            assert cut.covered == [COVERED[-1]]
        intruder.edit(
            "chain_heads",
            "UPDATE ledger.chain_heads h SET seq = e.seq, hash = e.hash, recorded_at = e.recorded_at"
            " FROM ledger.events e WHERE e.chain = h.chain AND e.seq = %s",
            size - 10,
        )
    for first in (1, size - 20):
        with pytest.raises(Unreadable, match="found events to"):
            walked(copy, first=first, last=size)


def test_an_empty_database_has_nothing_to_verify(database: Database) -> None:
    """It is neither verified nor broken."""
    with pytest.raises(Unreadable):
        verify_chain(database.dsn("auditor"))


def test_a_head_that_is_gone_is_no_break_in_its_chain(copy: Database) -> None:
    """All events come after it then, and are read one by one: that nothing is wrong with them contradicts nothing."""
    with Intruder(copy) as intruder:
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads", least=1)
    report = walked(copy)
    assert {(x.kind, x.table) for x in report.findings} == {("HEAD_MISMATCH", "chain_heads")}
    assert report.last_good_seq == int(copy.sql("SELECT count(*) FROM ledger.events"))
