"""
Check snapshots and histories: quick ways to the past that say the same as the events, or are refused by name.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings

from ledger import Ledger
from ledger.domain.state import is_closed
from ledger.errors import (
    Divergence,
    HashMismatch,
    InvalidInput,
    NoSuchMoment,
    NotFound,
    NotPermitted,
    StateMismatch,
    StorageFull,
)
from ledger.queries import Books, Known, RecordedAt, Seq
from ledger.reading import follower, past, snapshots
from ledger.reading.follower import Follower
from ledger.reading.moment import parse_day
from ledger.storage import chains, histories
from ledger.storage import database as db
from tests.commands import ROOT, run
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import SEED, fee
from tests.reading.histories import DAYS, KINDS, STEPS, Teller
from tests.reading.test_past import answers, new_chain

_REAL = settings(
    max_examples=4, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def tell(database: Database, count: int = 25, origin: str = ORIGIN) -> int:
    """Append *count* events of a random history, and return the seq of its head: what is refused is no event."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    with Ledger.open(database.dsn("writer"), origin=origin) as ledger:
        teller = Teller(ledger)
        teller.setup()
        last = ledger.head().seq + count
        while ledger.head().seq < last:
            teller.tell(rng.choice(KINDS), rng.choice(DAYS), rng.choice(DAYS), rng.randrange(6))
        return ledger.head().seq


def stored(database: Database) -> dict[str, Any]:
    """Return every row of every history, and the watermarks."""
    with db.connect(database.dsn("auditor"), "test") as connection:
        chain = chains.find(connection, ORIGIN).chain
        found: dict[str, Any] = {name: histories.versions(connection, chain, name) for name in histories.HISTORIES}
        return found | {"watermarks": histories.watermarks(connection, chain)}


@_REAL
@given(steps=STEPS)
def test_snapshots_change_no_answer(database: Database, steps: list[Any]) -> None:
    """With snapshots made in the middle and at the end, every past seq reads as it does from the first event."""
    origin = new_chain(database)
    with Ledger.open(database.dsn("writer"), origin=origin) as ledger:
        teller = Teller(ledger)
        teller.setup()
        seqs = [teller.tell(*step) for step in steps]
    middle = seqs[len(seqs) // 2]
    assert snapshots.make(database.dsn("writer"), origin, middle)[0] == middle
    assert snapshots.make(database.dsn("writer"), origin, None)[0] == seqs[-1]
    listed = snapshots.listed(database.dsn("reader"), origin)
    assert sorted({middle, seqs[-1]}) == [seq for seq, _, _ in listed]
    with (
        Books(database.dsn("reader"), origin) as books,
        Books(database.dsn("reader"), origin, from_start=True) as slow,
    ):
        for seq in sorted({middle - 1, middle, middle + 1, seqs[-1]} & set(range(1, seqs[-1] + 1))):
            assert answers(books, at=Seq(seq)) == answers(slow, at=Seq(seq))
            assert books.pnl(at=Seq(seq)) == slow.pnl(at=Seq(seq))
        known = Known(books.recorded_at(), parse_day(DAYS[-1]))
        assert told(books, known) == told(slow, known)


def told(books: Books, known: Known) -> object:
    """What is read of days, or why it cannot be told: an order's end may count for an earlier day than its start."""
    try:
        return answers(books, at=known), books.pnl(at=known)
    except NotFound as error:
        return str(error)


@pytest.mark.parametrize(
    "how", ["a row", "a type", "bytes", "nothing", "more bytes", "a row too many", "another seq's", "the commit"]
)
def test_a_tampered_snapshot_is_refused_by_name(chain: Database, how: str) -> None:
    """Whatever was done to it, the read ends and names it; from the start it reads on, and dropping it mends that."""
    head = tell(chain, 8)
    writer = chain.dsn("writer")
    with Books(chain.dsn("reader")) as books:
        expected, pnl = answers(books), books.pnl()
    with db.connect(writer, "test") as connection:
        number = chains.find(connection, ORIGIN).chain
        snapshots.make(writer, None, head - 3)
        earlier = connection.execute("SELECT rows FROM ledger.snapshots").fetchone()
        snapshots.drop(writer, None, head - 3)
        snapshots.make(writer, None, head)
        row = connection.execute("SELECT rows FROM ledger.snapshots").fetchone()
        assert row is not None
        assert earlier is not None
        plain = zstandard.decompress(row[0])
        packed = zstandard.ZstdCompressor()
        changed = {
            "a row": lambda: packed.compress(plain.replace(b'balances ["A","USDT","', b'balances ["A","USDT","1')),
            "a type": lambda: packed.compress(plain.replace(b'accounts ["A",', b"accounts [5,")),
            "bytes": lambda: row[0][:40] + b"\xff" + row[0][41:],
            "nothing": lambda: b"",
            "more bytes": lambda: row[0] + b"x",
            "a row too many": lambda: packed.compress(plain + b'streams ["order/none",1]\n'),
            "another seq's": lambda: earlier[0],
            "the commit": lambda: row[0],
        }[how]()
        assert how == "the commit" or changed != row[0]
        if how == "the commit":
            chain.sql("ALTER TABLE ledger.commits DISABLE TRIGGER ALL; UPDATE ledger.commits"
                      f" SET state_digest = genesis FROM ledger.chains WHERE last_seq = {head}")  # fmt: skip
        else:
            chain.sql(f"UPDATE ledger.snapshots SET rows = '\\x{changed.hex()}' WHERE chain = {number}")
    with Books(chain.dsn("reader")) as books, Books(chain.dsn("reader"), from_start=True) as slow:
        with pytest.raises(StateMismatch, match=f"snapshot at seq {head} is not the state there"):
            books.positions(at=Seq(head))
        with pytest.raises(StateMismatch, match=f"snapshot at seq {head} is not the state there"):
            books.pnl(at=Seq(head))
        assert slow.pnl(at=Seq(head)) == pnl
        assert answers(slow, at=Seq(head)) == expected
        assert books.positions(at=Seq(head - 1)) == slow.positions(at=Seq(head - 1))
        snapshots.drop(writer, None, head)
        assert answers(books, at=Seq(head)) == expected
        assert books.pnl() == pnl


def test_a_snapshot_is_of_a_commit_and_of_true_books(chain: Database) -> None:
    """In the middle of a group there is none to make, changed books are not kept, and who may not is told."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        Teller(ledger).setup()
        last = ledger.append([fee("a"), fee("b")], key="g").last_seq
    with pytest.raises(NoSuchMoment, match="no commit ends"):
        snapshots.make(chain.dsn("writer"), None, last - 1)
    with pytest.raises(NoSuchMoment, match="no snapshot at seq 3"):
        snapshots.drop(chain.dsn("writer"), None, 3)
    done = run("ledger", "snapshot", "--dsn", chain.dsn("reader"))
    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    chain.sql("UPDATE ledger.positions SET cost = 1; UPDATE ledger.accounts SET owner = 'somebody'")
    with pytest.raises(StateMismatch, match="verify"):
        snapshots.make(chain.dsn("writer"), None, None)
    assert snapshots.listed(chain.dsn("reader"), None) == []


@pytest.mark.parametrize("together", [1, past.SETTLED_AT_ONCE])
def test_histories_follow_and_a_rebuild_is_the_same_row_for_row(
    chain: Database, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """Made in steps of three by followers that come and go, then all at once: the same rows and watermarks."""
    monkeypatch.setattr(past, "SETTLED_AT_ONCE", together)
    head = tell(chain, 30)
    for _ in range(3):
        with Follower(chain.dsn("writer"), batch_events=3) as one, Follower(chain.dsn("writer"), batch_events=4) as two:
            assert one.step() == 3
            assert two.step() == 4
    assert follower.status(chain.dsn("reader"), None)[0].watermark == 21
    with Follower(chain.dsn("writer"), batch_events=5) as keeper:
        while keeper.step():
            pass
    original = stored(chain)
    assert {mark.seq for mark in original["watermarks"].values()} == {head}
    with Books(chain.dsn("reader")) as books:
        newest: dict[tuple[str, str], Any] = {(x.account, x.asset): x for _, x in original["balances"]}
        assert sorted(newest.values(), key=lambda x: (x.account, x.asset)) == books.balances().value
    with Follower(chain.dsn("writer"), batch_events=7) as keeper:
        assert keeper.rebuild() == head
        assert stored(chain) == original
        chain.sql("UPDATE ledger.balance_history SET settled = settled + 1 WHERE seq = 6")
        assert stored(chain) != original
        keeper.rebuild()
        assert stored(chain) == original
        # Watermarks that differ are what a follower sends here for.
        chain.sql("UPDATE ledger.read_model_watermarks SET seq = 2 WHERE name = 'balance_history'")
        with Follower(chain.dsn("writer")) as other, pytest.raises(StateMismatch, match="read-models rebuild"):
            other.step()
        keeper.rebuild()
    assert stored(chain) == original


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_follower_holds_what_is_open_alone(chain: Database, monkeypatch: pytest.MonkeyPatch, snapshot: bool) -> None:
    """What is closed stands in a file, also what a snapshot had of it, and the file goes with the follower."""
    monkeypatch.setattr(past, "SETTLED_AT_ONCE", 1)
    head = tell(chain, 20)
    with Follower(chain.dsn("writer"), batch_events=head) as keeper:
        keeper.step()
        if snapshot:
            snapshots.make(chain.dsn("writer"), None, head)
    tell(chain, 20)
    with Follower(chain.dsn("writer")) as keeper:
        while keeper.step():
            pass
        assert keeper._replay is not None
        assert keeper._spill is not None
        rows = [*keeper._replay.state.all_rows()]
        assert {name for name, _ in rows} >= {"accounts", "balances"}
        assert [name for name, row in rows if is_closed(name, row)] == []
        with Books(chain.dsn("reader")) as books:
            for row in books.blotter().value:
                assert keeper._replay.state.executions.get(row.venue, row.trade_date, row.exec_id) is not None
        assert not Path(keeper._spill._folder.name).exists()


def test_where_closed_rows_find_no_room_a_follower_says_so(
    chain: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = tell(chain, 3)
    with Follower(chain.dsn("writer")) as keeper:
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
            with pytest.raises(StorageFull, match="set TMPDIR to a folder that has some"):
                keeper.step()
        assert keeper.step() == head


def test_a_follower_with_nothing_to_do_writes_nothing(chain: Database) -> None:
    """Steps at the head do not lock the watermark; what comes next is taken in."""
    tell(chain, 3)
    with Follower(chain.dsn("writer")) as keeper:
        while keeper.step():
            pass
        last_lock = "SELECT xmax FROM ledger.read_model_watermarks ORDER BY name"
        before = chain.sql(last_lock)
        assert [keeper.step() for _ in range(20)] == [0] * 20
        assert chain.sql(last_lock) == before
        with Ledger.open(chain.dsn("writer")) as ledger:
            ledger.append(fee("one more"), key="more")
        assert keeper.step() == 1


def test_point_reads_use_the_history_as_far_as_it_reaches(chain: Database) -> None:
    """Up to the watermark from the history, beyond it by replay, the same answers either way and for every account."""
    head = tell(chain, 20)
    with Follower(chain.dsn("writer"), batch_events=head - 4) as keeper:
        keeper.step()
    with Books(chain.dsn("reader")) as books, Books(chain.dsn("reader"), from_start=True) as slow:
        times = {x.seq: x.recorded_at for x in books.history("account/A").value}
        for seq in range(5, head + 1):
            for read in ("balances", "positions"):
                for account in (None, "A"):
                    quick, replayed = (
                        getattr(books, read)(account, at=Seq(seq)),
                        getattr(slow, read)(account, at=Seq(seq)),
                    )
                    assert (quick.seq, quick.value) == (replayed.seq, replayed.value)
                    assert (quick.by, replayed.by) == ("history" if seq <= head - 4 else "replay", "replay")
        for account in ("~external", "~nobody", "nobody"):
            for read in ("balances", "positions"):
                told = []
                for where in (books, slow):
                    try:
                        told.append(getattr(where, read)(account, at=Seq(8)).value)
                    except (NotFound, InvalidInput) as error:
                        told.append(str(error))
                assert told[0] == told[1]
        assert books.balance("A", "USDT", at=Seq(7)).by == "history"
        for seq in range(5, 8):
            quick, replayed = (where.balance("A", "BTC", at=Seq(seq)) for where in (books, slow))
            assert (quick.by, quick.seq, quick.value) == ("history", seq, replayed.value)
        assert books.balance("A", "BTC", at=Seq(5)).value.total == 0
        assert books.balance("A", "USDT", at=RecordedAt(times[5])).value.total == 0
        chain.sql("UPDATE ledger.read_model_watermarks SET hash = (SELECT genesis FROM ledger.chains)")
        with pytest.raises(StateMismatch, match="another event"):
            books.balances("A", at=Seq(7))
    with Follower(chain.dsn("writer")) as keeper, pytest.raises(Divergence, match="rebuild"):
        keeper.step()


def test_who_may_not_keep_histories_is_told_so(chain: Database) -> None:
    """A reader's login cannot write them, and cannot throw them away; the command says so in one sentence."""
    tell(chain, 1)
    with Follower(chain.dsn("reader")) as keeper:
        for act in (keeper.step, keeper.rebuild):
            with pytest.raises(NotPermitted, match=r"'reader' may not keep histories.*ledger_writer"):
                act()
    done = run("ledger", "read-models", "follow", "--once", "--dsn", chain.dsn("reader"))
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (8, 1, ""), done.stderr
    assert "error: login 'reader' may not keep histories" in done.stderr


def test_what_ends_a_pipeline_is_said_once(chain: Database) -> None:
    """A statement that the server refuses among many is raised, and the driver's log is not on stderr as well."""
    code = (
        "import sys; from ledger.storage import database\n"
        "c = database.open_connection(sys.argv[1], 'test')\n"
        "try: c.cursor().executemany('INSERT INTO ledger.chains (chain) VALUES (%s)', [(1,), (2,)])\n"
        "except database.DriverError as error: print(type(database.translated(error)).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, chain.dsn("reader")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("NotPermitted\n", "")


def test_the_commands_keep_and_tell(chain: Database) -> None:
    """Follow, status, rebuild and snapshot by the command, with their seqs; a read says what it was read from."""
    head = tell(chain, 5)

    def said(*arguments: object) -> str:
        done = run("ledger", *arguments, "--dsn", chain.dsn("writer"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = json.loads(said("read-models", "status", "--format", "json"))["read_models"]
    assert [(x["name"], x["watermark"], x["lag_events"]) for x in before] == [
        ("balance_history", 0, head), ("position_history", 0, head),
    ]  # fmt: skip
    said("read-models", "follow", "--once")
    after = json.loads(said("read-models", "status", "--format", "json"))["read_models"]
    assert [(x["watermark"], x["lag_events"], x["lag_seconds"]) for x in after] == [(head, 0, 0.0)] * 2
    assert said("read-models", "rebuild") == f"rebuilt up to seq {head}\n"
    assert said("snapshot").startswith(f"kept the state at seq {head} in ")
    assert [x["seq"] for x in json.loads(said("snapshot", "--list", "--format", "json"))["snapshots"]] == [head]
    balances = ("show", "balances", "--at-seq", head, "--format", "json")
    quick, slow = json.loads(said(*balances)), json.loads(said(*balances, "--from-start"))
    assert (quick["read_from"], slow["read_from"], quick["rows"]) == ("history", "replay", slow["rows"])
    chain.sql("UPDATE ledger.snapshots SET rows = '\\x00'")
    refused = run("ledger", "show", "orders", "--at-seq", head, "--dsn", chain.dsn("reader"))
    assert (refused.returncode, refused.stdout, f"--drop {head}" in refused.stderr) == (3, "", True), refused.stderr
    assert said("snapshot", "--drop", head) == f"dropped the snapshot at seq {head}\n"
    said("show", "orders", "--at-seq", head)


def test_a_process_that_is_killed_goes_on_where_its_watermark_is(chain: Database) -> None:
    """Killed three times while events come in: in the end the histories are those that a rebuild makes."""
    command = [sys.executable, "-m", "ledger", "read-models", "follow", "--dsn", chain.dsn("writer")]
    with Ledger.open(chain.dsn("writer")) as ledger:
        teller = Teller(ledger)
        teller.setup()
        for _ in range(3):
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                deadline, goal = time.monotonic() + 60, ledger.head().seq + 5
                while follower.status(chain.dsn("reader"), None)[0].watermark < goal:
                    teller.tell("lone trade", DAYS[1], DAYS[1], teller.count)
                    assert process.poll() is None
                    assert time.monotonic() < deadline, "the follower does not follow"
                process.kill()
        head = ledger.head().seq
    with Follower(chain.dsn("writer")) as keeper:
        while keeper.step():
            pass
        original = stored(chain)
        assert {mark.seq for mark in original["watermarks"].values()} == {head}
        keeper.rebuild()
    assert stored(chain) == original


@pytest.mark.parametrize("change", ["effective_on = effective_on + 1", "payload = (payload::text || ' ')::json"])
def test_events_before_a_snapshot_are_linked_before_profit_is_told_of_them(chain: Database, change: str) -> None:
    """An edit of one is found although the state is not folded from it."""
    head = tell(chain, 8)
    snapshots.make(chain.dsn("writer"), None, head)
    with Books(chain.dsn("reader")) as books:
        assert books.pnl().seq == head
        chain.sql(f"ALTER TABLE ledger.events DISABLE TRIGGER ALL; UPDATE ledger.events SET {change} WHERE seq = 5")
        with pytest.raises(HashMismatch, match="event 5"):
            books.pnl()
