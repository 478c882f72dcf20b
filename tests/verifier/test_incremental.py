"""
Verify what was appended since the last time: whatever these events touch is found, and what they do not is said.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger import Group, Ledger
from ledger.chain.entry import encode
from ledger.domain import rows as read_models
from ledger.domain.registry import EVENT_TYPES
from ledger.domain.rows.row import Row
from ledger.evidence.tree import Frontier, leaf_hash
from ledger.reading import snapshots
from ledger.reading.follower import Follower
from ledger.sandbox.postgres import Server
from ledger.version import PROGRAM
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import deposit, order, trade
from tests.verifier.history import written_in
from tests.verifier.intruder import Intruder, copied, real, report_on
from tests.verifier.test_chain_walk import COPIED_BELOW
from verifier import full, indexes
from verifier.reader import Reader
from verifier.report import Ended, Finding, Outcome, Report
from verifier.stored import Unreadable
from verifier.walk import incremental, metrics, ranges, replayed
from verifier.walk.books import Books, Verified, rules, rules_of
from verifier.walk.metrics import Seen
from verifier.walk.watching import Check, Watch, run


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    with written_in(pg_server, migrated, "went_on") as made:
        yield made


@pytest.fixture(scope="module")
def books(written: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a verification of the whole chain leaves."""
    path = tmp_path_factory.mktemp("books") / "books"
    assert since(written, path).verdict == "verified"
    return path


@pytest.fixture
def state(books: Path, tmp_path: Path) -> Path:
    path = tmp_path / "books"
    path.write_bytes(books.read_bytes())
    return path


@pytest.fixture
def copy(written: Database) -> Iterator[Database]:
    with copied(written) as made:
        yield made


def since(database: Database, path: Path, jobs: int = 1) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return incremental.verify(reader, path, lambda what, count: None, jobs)


def go_on(database: Database, name: str = "on") -> int:
    """Append orders, fills and deposits, some of them as groups; return how many events."""
    with Ledger.open(database.dsn("writer")) as ledger:
        before = ledger.head().seq
        ledger.append_many([Group((deposit(f"{name}{n}"),), f"{name}{n}") for n in range(5)])
        ledger.append([order(f"{name}O"), order(f"{name}P")], key=f"{name}-orders")
        ledger.append([trade(f"{name}E", f"{name}O")], key=f"{name}-fill")
        return ledger.head().seq - before


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_what_is_new_is_read_and_the_result_is_that_of_all(copy: Database, tmp_path: Path, jobs: int) -> None:
    """The first time all is verified; then what was appended; the head and the root are the chain's."""
    path = tmp_path / "books"
    first = since(copy, path, jobs)
    assert (first.verdict, first.events) == ("verified", first.head["seq"])
    count = go_on(copy)
    second = since(copy, path, jobs)
    assert (second.verdict, second.events, second.findings) == ("verified", count, [])
    assert second.spans == [(first.events + 1, first.events + count)]
    assert {"orders", "balances", "executions"} <= set(second.rows)
    edge = Frontier()
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        for event in reader.events():
            edge.add(leaf_hash(encode(event)))
    assert second.head == {"seq": edge.size, "hash": event.hash.hex(), "root": edge.root().hex()}
    assert any(f"events up to {first.events}," in line for line in second.not_covered)
    assert since(copy, path).events == 0


EDITS = {
    "an event": "UPDATE ledger.events SET actor = actor || 'x' WHERE seq = (SELECT max(seq) - 2 FROM ledger.events)",
    "a touched balance": "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A' AND asset = 'USDT'",
    "a new order": "UPDATE ledger.orders SET qty = qty + 1 WHERE order_id = 'onP'",
    "a new order that is closed": "UPDATE ledger.orders SET status = 'canceled' WHERE order_id = 'onO'",
    "a new execution is gone": "DELETE FROM ledger.executions WHERE exec_id = 'onE'",
    "a key": "UPDATE ledger.idempotency_keys SET first_seq = first_seq - 1 WHERE key = 'on-fill'",
    "a key is gone": "DELETE FROM ledger.idempotency_keys WHERE key = 'on1'",
    "a commit": "UPDATE ledger.commits SET committed_at = committed_at + 1 WHERE last_seq = (SELECT max(last_seq) FROM"
                " ledger.commits)",
    "a commit is gone": "DELETE FROM ledger.commits WHERE last_seq = (SELECT max(last_seq) FROM ledger.commits)",
    "the head": "UPDATE ledger.chain_heads SET epoch = epoch + 1",
    "the digest": "UPDATE ledger.state_digests SET seq = seq - 1",
    "a version of a touched balance": "UPDATE ledger.balance_history SET settled = settled + 1 WHERE account = 'A' AND"
                                      " asset = 'USDT' AND seq = (SELECT max(seq) FROM ledger.balance_history)",
    "a version too many": "INSERT INTO ledger.balance_history SELECT chain, account, asset, settled, unsettled, held,"
                          " floor, credit_unsettled, breached FROM ledger.balances",
    "the watermark": "UPDATE ledger.read_model_watermarks SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)",
    "a row astray": "UPDATE ledger.orders SET chain = 77 WHERE order_id = 'onP'",
    "a guard": "ALTER TABLE ledger.orders DROP CONSTRAINT orders_qty_positive",
}  # fmt: skip
TABLES = ("events", "balances", "orders", "executions", "idempotency_keys", "commits", "chain_heads", "state_digests",
          "balance_history", "read_model_watermarks")  # fmt: skip


@pytest.mark.parametrize("what", [name for name in EDITS if name != "a version too many"])
def test_what_new_events_touch_is_found_as_full_finds_it(copy: Database, state: Path, what: str) -> None:
    """Whatever it is: the findings are those of a full verification, and the state stays as it was."""
    go_on(copy)
    with Follower(copy.dsn("writer")) as keeper:
        while keeper.step():
            pass
    before, sql = state.read_bytes(), EDITS[what]
    with Intruder(copy) as intruder:
        for table in TABLES:
            if f"ledger.{table} " in f"{sql} " and "DROP CONSTRAINT" not in sql:
                intruder.unguard(table)
        table = next(table for table in TABLES if f"ledger.{table} " in f"{sql} ")
        intruder.edit(table, sql)
    report, whole = since(copy, state), report_on(copy)
    assert report.verdict == "broken"
    assert report.findings == whole.findings
    assert what == "a guard" or real(report)
    assert state.read_bytes() == before


def test_what_no_new_event_touches_is_left_and_said(copy: Database, state: Path) -> None:
    """An edit of an old event or of a row that nothing touched since is not looked for, and full finds it."""
    with Intruder(copy) as intruder:
        intruder.edit("orders", "UPDATE ledger.orders SET strategy = 'x' WHERE order_id = 'O1'")
        intruder.edit("events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 20")
    go_on(copy)
    report = since(copy, state)
    assert report.verdict == "verified"
    assert any("no event since has touched" in line for line in report.not_covered)
    assert {x.seq or x.table for x in real(report_on(copy))} == {20, "orders"}


def test_an_event_before_the_first_is_found_though_no_old_event_is_read(copy: Database, state: Path) -> None:
    with Intruder(copy) as intruder:
        intruder.unguard("events")
        intruder.edit("events", COPIED_BELOW)
    assert ("SEQ_DUP", 0) in [(x.kind, x.seq) for x in since(copy, state).findings]


def test_a_database_behind_its_state_is_convicted(written: Database, state: Path) -> None:
    """An older backup, and one that went on otherwise."""
    with copied(written) as database:
        go_on(database)
        longer = since(database, state)
        kept = state.read_bytes()
        (finding,) = since(written, state).findings
        assert (finding.kind, finding.actual) == ("ROLLBACK", str(longer.last_good_seq - longer.events))
        with copied(written) as other:
            go_on(other, "other")
            (finding,) = since(other, state).findings
            assert (finding.kind, finding.seq) == ("CHECKPOINT_INCONSISTENT", longer.last_good_seq)
        assert state.read_bytes() == kept


def test_an_interrupted_verification_leaves_the_state(copy: Database, state: Path) -> None:
    """What was checked counts only once all of it was."""
    go_on(copy)
    before = state.read_bytes()

    def interrupt(what: str, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Reader(copy.dsn("auditor"), ORIGIN) as reader:
        incremental.verify(reader, state, interrupt)
    assert state.read_bytes() == before
    assert since(copy, state).verdict == "verified"


def test_a_broken_chain_leaves_no_state(copy: Database, tmp_path: Path) -> None:
    """There is nothing to go on from, and no file is left half made."""
    with Intruder(copy) as intruder:
        intruder.edit("orders", "UPDATE ledger.orders SET strategy = 'x' WHERE order_id = 'O1'")
    assert since(copy, tmp_path / "books").verdict == "broken"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"no database", b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_state_is_not_taken_for_one(written: Database, tmp_path: Path, data: bytes) -> None:
    """Nothing is verified by it, and the file stays."""
    path = tmp_path / "books"
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="delete it"):
        since(written, path)
    assert path.read_bytes() == data


DAMAGES = {
    "a row of another shape": "UPDATE open SET row = '[1]'",
    "a table that is gone": "DROP TABLE kept",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_state_with_rows_that_are_none_is_named_in_every_mode_that_goes_on_from_it(
    copy: Database, state: Path, what: str
) -> None:
    with contextlib.closing(sqlite3.connect(state)) as damaged:
        damaged.execute(DAMAGES[what])
        damaged.commit()
    go_on(copy)
    with pytest.raises(Unreadable, match="is no whole state"):
        since(copy, state)
    with (
        Books(state) as books,
        Reader(copy.dsn("auditor"), ORIGIN) as reader,
        pytest.raises(Unreadable, match="is no whole state"),
    ):
        full.verify(reader, books=books)


def test_a_disk_that_is_full_is_not_taken_for_a_state_that_is_damaged(
    copy: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete a state for want of room, and no file that was only begun stays."""
    connect, words = sqlite3.connect, "is full; make room"
    for pages in (1, 5):

        def small(*given: object, pages: int = pages, **more: object) -> sqlite3.Connection:
            connection = connect(*given, **more)  # type: ignore[call-overload]
            connection.execute(f"PRAGMA max_page_count = {pages}")
            return typing.cast("sqlite3.Connection", connection)

        monkeypatch.setattr(sqlite3, "connect", small)
        with pytest.raises(Unreadable, match=words) as refused:
            since(copy, tmp_path / "state")
        assert "delete" not in str(refused.value)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with pytest.raises(Unreadable, match="No such file or directory; make room"):
        Books(tmp_path / "nowhere" / "state")


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_boundary_that_is_gone_since_is_no_other_history(copy: Database, state: Path, mode: str) -> None:
    """A repair makes fewer of them, and another region takes several in at once; one that overlaps is found."""
    end = int(copy.sql("SELECT seq FROM ledger.chain_heads"))
    go_on(copy)

    def again() -> Report:
        path = state.with_name("again")
        path.write_bytes(state.read_bytes())
        if mode == "incremental":
            return since(copy, path)
        with Books(path) as books, Reader(copy.dsn("auditor"), ORIGIN) as reader:
            return full.verify(reader, books=books)

    first = int(copy.sql(f"SELECT first_seq FROM ledger.commits WHERE last_seq = {end}"))
    with Intruder(copy) as intruder:
        intruder.edit("commits", f"UPDATE ledger.commits SET first_seq = {first} WHERE first_seq = {end + 1}")
        assert {one.table for one in again().findings} == {"commits"}
        intruder.edit("commits", f"DELETE FROM ledger.commits WHERE last_seq = {end}")
        assert again().findings == []


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_state_that_a_good_chain_does_not_fit_is_told(copy: Database, state: Path, mode: str) -> None:
    """Whichever was changed: to verify everything anew without a word would be to forget what the file knows."""
    with contextlib.closing(sqlite3.connect(state)) as changed:
        ((what,),) = changed.execute("SELECT what FROM said").fetchall()
        said = msgspec.msgpack.decode(what, type=Verified)
        other = msgspec.structs.replace(said, lanes=bytes([said.lanes[0] ^ 1]) + said.lanes[1:])
        changed.execute("UPDATE said SET what = ?", [msgspec.msgpack.encode(other)])
        changed.commit()
    go_on(copy)
    before = state.read_bytes()
    if mode == "incremental":
        report = since(copy, state)
    else:
        with Books(state) as books, Reader(copy.dsn("auditor"), ORIGIN) as reader:
            report = full.verify(reader, books=books)
    assert (report.verdict, report.last_good_seq) == ("broken", 0)
    (found,) = report.findings
    assert (found.kind, found.seq) == ("CHAIN_BREAK", said.at.end.seq)
    assert str(state) in found.expected
    assert "go on with another file" in found.actual
    assert state.read_bytes() == before
    assert since(copy, state.with_name("another")).verdict == "verified"


def test_a_state_of_other_rules_is_not_gone_on_from(
    written: Database, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one program let pass, another may not; and rows of other columns are not to be read as these."""
    monkeypatch.setattr("verifier.walk.books.rules", lambda: "others")
    with pytest.raises(Unreadable, match="another release made it, or a program with other rules"):
        since(written, state)


def test_the_rules_of_a_state_are_those_of_a_release_and_of_every_field() -> None:
    """A field more, or one of another type, an event type's next version, and another release: each is another."""
    tables = read_models.TABLES
    assert rules() == rules_of(PROGRAM, EVENT_TYPES, tables)
    spec, kind = tables["assets"], EVENT_TYPES["CashMoved"]
    described = [(name, hint) for name, hint in typing.get_type_hints(spec.row_type).items()]
    more = msgspec.defstruct("Asset", [*described, ("more", str)], bases=(Row,), frozen=True)
    other = msgspec.defstruct("Asset", [(name, int if name == "name" else hint) for name, hint in described],
                              bases=(Row,), frozen=True)  # fmt: skip
    later = type("CashMoved", (kind,), {"SCHEMA_VERSION": kind.SCHEMA_VERSION + 1})
    made = {
        rules(),
        rules_of("trade-ledger 9", EVENT_TYPES, tables),
        rules_of(PROGRAM, {**EVENT_TYPES, "CashMoved": later}, tables),
        *(
            rules_of(PROGRAM, EVENT_TYPES, {**tables, "assets": msgspec.structs.replace(spec, row_type=row)})
            for row in (more, other)
        ),
        rules_of(
            PROGRAM,
            EVENT_TYPES,
            {**tables, "assets": msgspec.structs.replace(spec, dates=frozenset({"name"}))},
        ),
    }
    assert len(made) == 6


def test_two_verifications_do_not_share_a_state(written: Database, state: Path) -> None:
    """The second is told so, and the first goes on."""
    with Books(state), pytest.raises(Unreadable, match="another verification"):
        since(written, state)
    assert since(written, state).verdict == "verified"


def test_state_says_what_the_events_make(written: Database) -> None:
    """Balances and positions are those of the ledger's own rows, and the digest too."""
    with Reader(written.dsn("auditor"), ORIGIN) as reader:
        report = replayed.verify(reader, lambda what, count: None)
        assert isinstance(report, replayed.Replayed)
        stored = {
            (row["account"], row["asset"]): row["settled"]
            for row in ({"account": a, "asset": b, "settled": c} for a, b, c in reader.query(
                "SELECT account, asset, settled::text FROM ledger.balances"))
        }  # fmt: skip
        (digest,) = reader.query("SELECT state_digest FROM ledger.commits ORDER BY last_seq DESC LIMIT 1")
    assert {(row["account"], row["asset"]): row["settled"] for row in report.balances} == stored
    assert report.state_digest == digest[0].hex()
    assert report.positions
    assert indexes.NOT_LOOKED_UP in report.not_covered
    assert len(replayed.lines(report)) == 1 + len(report.balances) + len(report.positions) + len(report.sealed)


@pytest.mark.parametrize("broken", [False, True])
def test_two_processes_make_exactly_what_one_makes_of_the_events(
    copy: Database, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """State, digest and findings; an event whose link alone was changed is met by the process that hashes."""
    monkeypatch.setattr(ranges, "RANGE", 7)
    if broken:
        with Intruder(copy) as intruder:
            intruder.edit("events", "UPDATE ledger.events SET prev_hash = sha256('x') WHERE seq = 20")
    reports = []
    for jobs in (1, 2):
        with Reader(copy.dsn("auditor"), ORIGIN) as reader:
            report = replayed.verify(reader, lambda what, count: None, jobs)
        reports.append(msgspec.structs.replace(report, seconds=0.0))
    assert reports[0] == reports[1]
    assert isinstance(reports[0], replayed.Replayed) != broken
    assert bool(reports[0].findings) == broken


def test_state_of_a_broken_chain_is_a_broken_report(copy: Database) -> None:
    """Nothing is said of balances that follow from edited events."""
    with Intruder(copy) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 20")
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        report = replayed.verify(reader, lambda what, count: None)
    assert [(x.kind, x.seq) for x in report.findings] == [("BYTES_MODIFIED", 20)]
    assert replayed.lines(report) == []


def _command(database: Database, *words: str) -> list[str]:
    return [sys.executable, "-m", "verifier", *words, "--dsn", database.dsn("auditor"), "--origin", ORIGIN]


def test_a_watch_finds_what_is_changed_while_it_watches(copy: Database, state: Path) -> None:
    """Metrics are served, appended events are verified, and a touched row that was edited ends it with 3."""
    where = state.with_name("metrics")
    words = ("watch", "--state", str(state), "--every", "0.2", "--listen", "127.0.0.1:0")
    words = (*words[:-1], str(where))
    process = subprocess.Popen(_command(copy, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _until(lambda: 'tradeledger_verify_up{mode="incremental"} 1' in _metrics(where))
        seq = go_on(copy) + int(copy.sql("SELECT max(seq) FROM ledger.events")) - 8
        _until(lambda: f'tradeledger_verify_verified_seq{{mode="incremental"}} {seq}' in _metrics(where))
        # In one transaction: a guard that is off for a moment would be found first.
        with Intruder(copy) as intruder, intruder.connection.transaction():
            intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
        go_on(copy, "again")
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 3
    assert "PROJECTION_MISMATCH: balances A/USDT" in out


def _until(true: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _metrics(where: Path) -> str:
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(where))
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def test_a_watch_reads_old_events_again_too(copy: Database, state: Path) -> None:
    """An event behind the state, which nothing touches any more, is found by the scrub beside it."""
    rolling = state.with_name("rolling")
    words = ("watch", "--state", str(state), "--scrub", str(rolling), "--days", "1", "--every", "0.2", "--rounds", "2")
    done = subprocess.run(_command(copy, *words), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("VERIFIED") == 2
    with Intruder(copy) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 3")
    done = subprocess.run(_command(copy, *words), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "BYTES_MODIFIED" in done.stdout


def test_the_report_of_a_watch_is_the_worst_of_its_newest_round(copy: Database, state: Path) -> None:
    """What one check finds is not written over by another that finds nothing, nor is it told before that."""
    kept = state.with_name("kept.json")
    words = ("watch", "--state", str(state), "--scrub", str(state.with_name("rolling")), "--every", "0.1",
             "--rounds", "2", "--report", str(kept))  # fmt: skip
    done = subprocess.run(_command(copy, *words), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, json.loads(kept.read_bytes())["verdict"]) == (0, "verified")
    with Intruder(copy) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    state.unlink()
    done = subprocess.run(_command(copy, *words), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, json.loads(kept.read_bytes())["verdict"]) == (3, "broken")
    verdicts = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith(("VERIFIED", "BROKEN"))]
    assert verdicts == ["BROKEN"]


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_watch_that_finds_something_ends_with_3_wherever_its_report_goes(
    copy: Database, state: Path, form: str
) -> None:
    """Where neither the file nor the output can be written, standard error says both; with nothing found it is 4."""
    kept = state.with_name("kept.json")
    kept.symlink_to(kept)
    words = ("watch", "--state", str(state), "--every", "0.1", "--rounds", "2", "--report", str(kept), "--format", form)
    done = subprocess.run(_command(copy, *words), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, f"the report {kept} was not written: " in done.stderr) == (4, True)
    go_on(copy)
    with Intruder(copy) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    for more in ((), ("--on-findings", "continue")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(_command(copy, *words, *more), stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False, timeout=60)  # fmt: skip
        assert done.returncode == 3
        assert f"the report {kept} was not written: " in done.stderr
        assert "its report was not printed: No space left on device" in done.stderr


def test_the_report_of_a_watch_says_that_nothing_could_be_verified(state: Path) -> None:
    """In each form, and in the file, as other commands say how they ended."""
    kept = state.with_name("kept.json")
    words = ("watch", "--state", str(state), "--rounds", "1", "--format", "json", "--report", str(kept), "--dsn",
             "postgresql://auditor@127.0.0.1:1/nowhere")  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "verifier", *words], capture_output=True, text=True, check=False,
                          timeout=60)  # fmt: skip
    assert done.returncode == 4
    assert json.loads(done.stdout)["verdict"] == json.loads(kept.read_bytes())["verdict"] == "could not verify"


def test_a_watch_ends_with_a_ctrl_c_and_leaves_its_state(copy: Database, state: Path) -> None:
    """Ctrl-C and SIGTERM are the same to it: 130, and what was verified stays."""
    process = subprocess.Popen(_command(copy, "watch", "--state", str(state), "--every", "0.2"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    # Its first report: all before it is verified, and written down.
    assert process.stdout is not None
    process.stdout.readline()
    seq = int(copy.sql("SELECT max(seq) FROM ledger.events"))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    *lines, last = said.strip().splitlines()
    assert re.fullmatch(rf"incremental: \d+ verifications?; .* at 20.* UTC, up to event {seq}", lines[-1])
    assert last == "interrupted; the verification that was under way came to no verdict"
    assert since(copy, state).verdict == "verified"


def test_a_rolling_check_says_where_its_round_is_and_no_last_event() -> None:
    """It reads one stretch after another, each of which is good by itself; before the first nothing was verified."""
    rolling = Seen("scrub", verified_seq=None)
    assert rolling.sentence() == "scrub: nothing was verified"
    found = Seen("incremental")
    finding = Finding("SEQ_GAP", "a", "b", seq=3)
    for _ in range(2):
        found.take(Report("broken", "o", "primary", 9, {}, [finding], {}, [], [], [], 2, 0.5), 1_800_000_000.0)
    assert found.sentence() == "incremental: 2 verifications, none without a finding"
    for _ in range(2):
        rolling.take(Report("verified", "o", "primary", 256, {}, [], {}, [], [], [], 0, 0.5), 1_800_000_000.0)
    rolling.next_seq = 513
    assert 'verified_seq{mode="scrub"}' not in metrics.text([rolling])
    assert 'round_next_seq{mode="scrub"} 513' in metrics.text([rolling])
    assert rolling.sentence() == (
        "scrub: 2 verifications; the newest that found nothing ended at 2027-01-15 08:00:00 UTC"
    )


def test_a_watch_tries_again_and_goes_on_where_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    """A round that could not verify is none; findings stay in the metrics while it goes on."""
    good = Report("verified", "o", "primary", 1, {}, [], {}, [], [], [], 7, 0.5)
    bad = Report("broken", "o", "primary", 1, {}, [Finding("CLOCK", "a", "b", seq=9)], {}, [], [], [], 8, 0.5)
    answers = iter([Unreadable("the server cannot be reached"), bad, good])
    seen, shown, kept = Seen("incremental"), list[Outcome](), list[Outcome]()

    def verify() -> Report:
        answer = next(answers)
        if isinstance(answer, Report):
            return answer
        raise answer

    assert run([Check(verify, seen)], Watch(0.01, goes_on=True, rounds=3), shown.append, kept.append) is bad
    away = Ended("could not verify", "could_not_verify", "the server cannot be reached")
    assert (shown, kept) == ([away, bad], [away, bad, good])
    text = metrics.text([seen, Seen("scrub", next_seq=257)])
    for line in ('runs_total{mode="incremental",verdict="broken"} 1', 'verified_seq{mode="incremental"} 7',
                 'runs_total{mode="incremental",verdict="could not verify"} 1', 'up{mode="incremental"} 1',
                 'findings{mode="incremental",class="CLOCK"} 1', 'up{mode="scrub"} 0',
                 'round_next_seq{mode="scrub"} 257'):  # fmt: skip
        assert f"tradeledger_verify_{line}\n" in text
    ended = iter([bad])

    def interrupted() -> Report:
        raise KeyboardInterrupt

    again = [Check(lambda: next(ended), Seen("incremental")), Check(interrupted, Seen("scrub"))]
    shown.clear()
    kept.clear()
    with pytest.raises(KeyboardInterrupt):
        run(again, Watch(0.01, goes_on=True), shown.append, kept.append)
    assert shown == kept == [bad]
    assert "the server cannot be reached; it is tried again" in capsys.readouterr().err
    both = [seen, Seen("scrub", next_seq=257)]
    assert metrics.respond(both, "GET", "/metrics").body.decode() == text
    assert metrics.respond(both, "GET", "/").status == 404


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_snapshots_since_are_checked_and_those_of_before_are_named(copy: Database, tmp_path: Path, mode: str) -> None:
    """Whichever of an event up to the state, also one made since, was changed, no report speaks of it as checked."""
    path = tmp_path / "books"
    since(copy, path)
    end = int(copy.sql("SELECT max(seq) FROM ledger.events"))
    snapshots.make(copy.dsn("writer"), None, 8)
    go_on(copy)
    snapshots.make(copy.dsn("writer"), None, None)

    def again() -> Report:
        state = tmp_path / "again"
        state.write_bytes(path.read_bytes())
        if mode == "incremental":
            return since(copy, state)
        with Books(state) as books, Reader(copy.dsn("auditor"), ORIGIN) as reader:
            return full.verify(reader, books=books)

    for bound, found in ((f"<= {end}", set()), (f"> {end}", {"snapshots"})):
        cut = f"UPDATE ledger.snapshots SET rows = substring(rows FOR 20) WHERE seq {bound}"
        with Intruder(copy) as intruder, intruder.undone("snapshots"):
            intruder.edit("snapshots", cut, least=1)
            report = again()
            assert {one.table for one in report.findings} == found
            if not found:
                assert any("snapshots since" in line for line in report.covered)
                assert any(f"snapshots of events up to {end}" in line for line in report.not_covered)
