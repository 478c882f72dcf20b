"""
Check a good chain part by part, in one process and in two: what one part leaves to another is nowhere left out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger import Group, Ledger
from ledger.chain.entry import encode
from ledger.evidence.tree import Frontier, leaf_hash
from ledger.sandbox.postgres import Server
from ledger.spill.spill import Spill
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import deposit
from tests.verifier.history import written_in
from tests.verifier.intruder import Intruder, copied, report_on
from verifier import full
from verifier.reader import Reader
from verifier.report import COVERED, Report
from verifier.stored import Unreadable
from verifier.walk import good, incremental, keyed, ranges, rows
from verifier.walk.beside import Tell
from verifier.walk.books import Books
from verifier.walk.good import Whole
from verifier.walk.joined import verify_chain
from verifier.walk.replaying import Doubt
from verifier.walk.requests import crosses

SIZE = 16
"""Events of a range here."""


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    """A chain that ends with groups of five, so that some lie in one range of 16 and some in two."""

    def more(ledger: Ledger) -> None:
        for number in range(24):
            events = tuple(deposit(f"g{number}-{place}") for place in range(5))
            ledger.append_many([Group(events, f"g{number}")])

    with written_in(pg_server, migrated, "parted", more) as made:
        yield made


@pytest.fixture
def copy(written: Database) -> Iterator[Database]:
    with copied(written) as made:
        yield made


def silent(what: str, count: int) -> None:
    """Hear of progress, and say nothing."""


def whole(database: Database, jobs: int, path: Path | None = None, tell: Tell = silent) -> Whole:
    with (
        Reader(database.dsn("auditor"), ORIGIN) as reader,
        Spill() if path is None else Books(path) as spill,
    ):
        return good.check(reader, reader.chain, spill, tell, jobs, size=SIZE)


def verified(database: Database, path: Path, tell: Tell = silent) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader, Books(path) as books:
        return full.verify(reader, tell, 1, books)


def rewrite(database: Database, first: int, last: int, **columns: object) -> None:
    """Change columns of events from *first* to *last*, and hash all that follows anew, to the head."""
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        events = list(reader.events(first, 2**63 - 1))
    before = events[0].prev_hash
    with Intruder(database) as intruder:
        for event in events:
            changes = columns if event.seq <= last else {}
            event = msgspec.structs.replace(event, prev_hash=before, **changes)  # type: ignore[arg-type]
            names = ["prev_hash", "hash", *changes]
            given = [before, before := blake3(encode(event)).digest(), *changes.values()]
            listed = ", ".join(f"{name} = %s" for name in names)
            intruder.edit("events", f"UPDATE ledger.events SET {listed} WHERE seq = {event.seq}", *given)
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET hash = %s", before)


def root(database: Database) -> bytes:
    edge = Frontier()
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        for event in reader.events():
            edge.add(leaf_hash(encode(event)))
    return edge.root()


def groups(database: Database) -> list[int]:
    """Return the seq of the first event of each group of five."""
    sql = "SELECT seq FROM ledger.events WHERE group_index = 0 AND group_size = 5 ORDER BY seq"
    return [int(line) for line in database.sql(sql).splitlines()]


def test_two_processes_come_to_what_one_comes_to(written: Database, tmp_path: Path) -> None:
    """End, rows and tree; there are groups within a range and across two."""
    one, two = (whole(written, jobs, tmp_path / str(jobs)) for jobs in (1, 2))
    assert (one.end, one.counts) == (two.end, two.counts)
    assert one.frontier.root() == two.frontier.root() == root(written)
    alone = whole(written, 1)
    assert (alone.end, alone.counts) == (one.end, one.counts)
    assert {crosses(first, 5, SIZE) for first in groups(written)} == {True, False}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("across", [True, False], ids=["across two ranges", "within a range"])
def test_a_group_is_what_was_asked_for(copy: Database, jobs: int, across: bool) -> None:
    """Rewritten with good hashes, a group whose request hash is another is in doubt wherever it stands."""
    first = next(seq for seq in groups(copy) if crosses(seq, 5, SIZE) is across)
    rewrite(copy, first, first + 4, request_hash=bytes(32))
    with pytest.raises(Doubt):
        whole(copy, jobs)


def test_a_rewritten_chain_is_good_in_itself(copy: Database) -> None:
    """Hashed anew with another actor, nothing but a head that was kept outside tells: so it is the request that did."""
    first = groups(copy)[0]
    rewrite(copy, first, first + 4, actor="somebody else")
    assert whole(copy, 2).counts == whole(copy, 1).counts


@pytest.mark.parametrize(
    ("first", "size", "expected"),
    [(1, 16, False), (16, 1, False), (16, 2, True), (17, 16, False), (12, 5, False), (13, 5, True), (2, 40, True)],
)
def test_a_group_crosses_a_border_or_not(first: int, size: int, expected: bool) -> None:
    """Ranges are 1 to 16, 17 to 32, and so on."""
    assert crosses(first, size, 16) is expected


KEYS = {
    "a key is another": "UPDATE ledger.idempotency_keys SET key = key || 'x' WHERE key = 'g3'",
    "a source is another": "UPDATE ledger.idempotency_keys SET source = source || 'x' WHERE key = 'g3'",
    "a key is of another group": "UPDATE ledger.idempotency_keys SET first_seq = first_seq + 1 WHERE key = 'g3'",
    "a key is gone": "DELETE FROM ledger.idempotency_keys WHERE key = 'g3'",
    "the last key is gone": "DELETE FROM ledger.idempotency_keys WHERE key = 'g11'",
    "all keys are gone": "DELETE FROM ledger.idempotency_keys",
    "a key is too many": "INSERT INTO ledger.idempotency_keys SELECT chain, source, key || 'x', first_seq"
                         " FROM ledger.idempotency_keys WHERE key = 'g3'",
    "a key is past the end": "INSERT INTO ledger.idempotency_keys SELECT chain, source, 'x', 100000"
                             " FROM ledger.idempotency_keys WHERE key = 'g3'",
    "two keys stand in each other's place": "UPDATE ledger.idempotency_keys k SET first_seq = o.first_seq FROM"
        " ledger.idempotency_keys o WHERE (k.key, o.key) IN (('g3', 'g4'), ('g4', 'g3'))",
}  # fmt: skip


def test_keys_are_those_of_the_groups(copy: Database) -> None:
    """Any other row, more or fewer, and they are not the same; whoever checks them."""
    task = keyed.Task(copy.dsn("auditor"), None, 1)
    assert keyed.check(task)
    with Intruder(copy) as intruder:
        for number, (what, sql) in enumerate(KEYS.items()):
            with intruder.undone("idempotency_keys"):
                intruder.edit("idempotency_keys", sql)
                assert not keyed.check(task), what
                if number < 2:
                    with pytest.raises(Doubt):
                        whole(copy, number + 1)
    assert keyed.check(task)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs be short, and what was found good be kept after each."""
    monkeypatch.setattr(rows, "ROWS", SIZE)
    monkeypatch.setattr(good, "KEEP_S", 0.0)


def interrupted(place: int) -> Tell:
    """Return what interrupts as soon as so many events were checked."""

    def tell(what: str, count: int) -> None:
        if count >= place:
            raise KeyboardInterrupt

    return tell


def kept(path: Path) -> int:
    """Return how far the books at *path* are."""
    with Books(path) as books:
        assert books.said is not None
        assert not books.said.compared
        return books.said.at.end.seq


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_verification_goes_on(written: Database, tmp_path: Path, jobs: int) -> None:
    """From near where it was; end, rows and tree are those of one that was not interrupted."""
    expected = whole(written, jobs)
    for place in (100, 150):
        with pytest.raises(KeyboardInterrupt):
            whole(written, jobs, tmp_path / "books", interrupted(place))
        assert place - 4 * SIZE < kept(tmp_path / "books") < place
    seen: list[int] = []
    found = whole(written, jobs, tmp_path / "books", lambda what, count: seen.append(count))
    assert (found.end, found.counts) == (expected.end, expected.counts)
    assert found.frontier.root() == root(written)
    assert min(filter(None, seen)) > 100


@pytest.mark.usefixtures("often")
def test_a_report_says_what_was_checked_before(copy: Database, tmp_path: Path) -> None:
    """Events that an earlier verification checked are not counted again; what was appended since is."""
    path = tmp_path / "books"
    with pytest.raises(KeyboardInterrupt):
        verified(copy, path, interrupted(100))
    before = kept(path)
    second = verified(copy, path)
    assert (second.verdict, second.events, second.last_good_seq) == ("verified", second.head["seq"] - before,
                                                                     second.head["seq"])  # fmt: skip
    assert any(f"events 1 to {before} again" in line for line in second.not_covered)
    assert second.head["root"] == root(copy).hex()
    third = verified(copy, path)
    assert (third.verdict, third.events, third.head, third.rows) == ("verified", 0, second.head, second.rows)
    with Ledger.open(copy.dsn("writer")) as ledger:
        ledger.append(deposit("more"), key="more")
    assert verified(copy, path).events == 1
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        assert incremental.verify(reader, path, silent).events == 0


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("verify", ["full", "incremental"])
def test_read_models_are_compared_whole_after_an_interruption(copy: Database, tmp_path: Path, verify: str) -> None:
    """A row that no later event touches was never compared before: it is found as without a state."""
    path = tmp_path / "books"
    with pytest.raises(KeyboardInterrupt):
        verified(copy, path, interrupted(150))
    with Intruder(copy) as intruder:
        intruder.edit("orders", "UPDATE ledger.orders SET cl_ord_id = cl_ord_id || 'x' WHERE order_id ="
                      " (SELECT min(order_id) FROM ledger.orders)")  # fmt: skip
    report = verified(copy, path) if verify == "full" else since(copy, path)
    assert report.verdict == "broken"
    assert {finding.kind for finding in report.findings} >= {"PROJECTION_MISMATCH"}
    assert report.findings == report_on(copy).findings


def since(database: Database, path: Path) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return incremental.verify(reader, path, silent)


@pytest.mark.usefixtures("often")
def test_a_database_behind_the_books_is_convicted(written: Database, copy: Database, tmp_path: Path) -> None:
    """A cut tail and another history are each told although an event at the end of the books is all that is read."""
    path = tmp_path / "books"
    with Ledger.open(copy.dsn("writer")) as ledger:
        ledger.append_many([Group((deposit(f"on{n}"),), f"on{n}") for n in range(20)])
    verified(copy, path)
    before = path.read_bytes()
    assert [finding.kind for finding in verified(written, path).findings] == ["ROLLBACK"]
    with copied(written) as other:
        with Ledger.open(other.dsn("writer")) as ledger:
            ledger.append_many([Group((deposit(f"else{n}"),), f"else{n}") for n in range(20)])
        assert [finding.kind for finding in verified(other, path).findings] == ["CHECKPOINT_INCONSISTENT"]
    assert path.read_bytes() == before


def end_oneself(task: object) -> None:
    """End this worker as the kernel does for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_ended_is_told_by_name(written: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was verified, and the reader is told what to do: not a fault of the program."""
    monkeypatch.setattr(ranges, "check", end_oneself)
    with pytest.raises(Unreadable, match="a worker process was ended"):
        whole(written, 2)
    with pytest.raises(Unreadable, match="a worker process was ended"):
        verify_chain(written.dsn("auditor"), ORIGIN, jobs=2, size=SIZE)


@pytest.mark.usefixtures("often")
def test_who_goes_on_says_what_it_read_and_what_the_state_says(written: Database, tmp_path: Path) -> None:
    """An old event that was edited since is not found, so nothing of it is among what was checked."""
    path = tmp_path / "books"
    with copied(written) as copy, Intruder(copy) as intruder:
        with pytest.raises(KeyboardInterrupt):
            whole(copy, 1, path, interrupted(150))
        first, last = kept(path) + 1, int(copy.sql("SELECT max(seq) FROM ledger.events"))
        intruder.edit("events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 20")
        report = verified(copy, path)
        assert (report.verdict, report.events, report.spans) == ("verified", last - first + 1, [(first, last)])
        assert report.covered[0].startswith(f"every column of events {first} to {last}, ")
        assert not set(COVERED[:3]) & set(report.covered)
        assert any(
            line.startswith(f"events 1 to {first - 1} again") and str(path) in line for line in report.not_covered
        )
        again = verified(copy, path)
        assert (again.verdict, again.events, again.spans) == ("verified", 0, None)
        assert not [line for line in again.covered if line.startswith(("every column of", "their "))]
        # Where something else is wrong, all is read again, and that is what is said.
        intruder.edit("orders", "UPDATE ledger.orders SET strategy = 'x' WHERE order_id = 'O1'")
        found = verified(copy, path)
        assert {one.seq or one.table for one in found.findings if one.after is None} == {20, "orders"}
        assert (found.covered, found.spans) == (COVERED, None)
