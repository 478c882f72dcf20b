"""
Run every measure once on very little, so that no benchmark can rot, and see that an interrupted run leaves nothing.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import zstandard

from benchmarks import measures, parts, proofs, report, run, verification, workload
from benchmarks.long_chain import Growth
from benchmarks.parts import Size
from ledger import Ledger, Receipt
from ledger.sandbox.postgres import Server
from tests.conftest import Database
from tests.verifier.intruder import Intruder, changed

TINY = Size(1, 400, 1.0, 20, Growth(900, early=400, chunk=300, samples=2, rounds=1, reads=3), 600, 400, 1)
SESSION_LINES = 400
ENDS_S = 60
"""Only to end a test that hangs."""


@pytest.fixture
def short_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recorded session end early."""
    (whole,) = measures.SESSION.glob("*.events.jsonl.zst")
    with zstandard.open(whole, "rt", encoding="utf-8") as lines:
        begun = "".join(itertools.islice(lines, SESSION_LINES))
    (tmp_path / whole.name).write_bytes(zstandard.compress(begun.encode()))
    (books,) = measures.SESSION.glob("*.expected.json")
    shutil.copy(books, tmp_path)
    monkeypatch.setattr(measures, "SESSION", tmp_path)


def test_every_measure_of_a_short_chain_runs(pg_server: Server, short_session: None) -> None:
    """Each has a value and a floor above zero."""
    found = {x.name: x for x in parts.appends(pg_server, TINY, "")}
    assert list(found) == [
        "append.bulk.2000", "append.bulk.200", "append.server.2000", "append.server.200", "append.callers64",
        "append.single.p50_ms", "append.with_evidence", "append.digest_share", "import.session",
    ]  # fmt: skip
    assert all(x.floor > 0 and x.value > 0 for x in found.values())


@pytest.mark.parametrize(("microseconds", "found"), [([15, 16, 900], 0.016), ([0, 0, 4_000], 0.25)])
def test_a_clock_that_stands_still_makes_no_floor_of_nothing(microseconds: list[int], found: float) -> None:
    """Its median is the floor that others are divided by."""
    assert measures.usual_ms(microseconds, 0.000_25) == pytest.approx(found)


def test_a_proof_is_measured_in_a_tree_of_any_size(pg_server: Server) -> None:
    """The made-up tiles lead to the root, or no proof would be returned."""
    for events in (401, 512, 66_000):
        growth = msgspec.structs.replace(TINY.growth, events=events)
        assert all(value > 0 and floor > 0 for value, floor in proofs.measure(pg_server, growth, 7))
    assert report.target(parts.PROVE)


def test_every_measure_of_a_long_chain_runs(pg_server: Server) -> None:
    """Names tell the length; there is a point for each chunk, with a floor where one was sampled and at the end."""
    found, points = parts.lengths(pg_server, TINY, 7)
    assert [x.name for x in found] == ["append.at_900", "writer.rss_at_900", *parts.READ_NAMES, *parts.LONG_VERIFIED]
    assert all(x.value > 0 and x.floor > 0 and report.target(x.name) for x in found)
    assert [point.length for point in points] == [300, 600, 900]
    assert [bool(point.floor) for point in points] == [True, True, True]


def test_an_archive_is_verified_by_one_and_by_two(pg_server: Server) -> None:
    """The same whole archive; its folder is gone afterwards."""
    (found,) = parts.archives(pg_server, TINY, "verify.")
    assert found.name == "verify.archive.jobs2"
    assert min(found.value, found.floor) > 0
    assert list(parts.archives(pg_server, TINY, "append.")) == []


def test_a_chain_is_verified_in_every_way(pg_server: Server) -> None:
    """Workers of a pool and of a Dask cluster are real ones."""
    found = list(parts.verifications(pg_server, TINY, ""))
    assert [x.name for x in found] == ["verify.chain", "verify.chain.jobs2", "verify.executor", "verify.full"]
    assert all(x.value > 0 and x.floor > 0 and report.target(x.name) for x in found)
    assert list(parts.verifications(pg_server, TINY, "append.")) == []


def test_a_broken_chain_measures_nothing(chain: Database, tmp_path: Path) -> None:
    """Its speed would be that of another piece of code."""
    measures.append(chain.server, chain.name, 30)
    with Intruder(chain) as intruder:
        assert changed(intruder, "events", "actor", "text", "seq = 20")
    for measure in (verification.chain, verification.everything):
        with pytest.raises(RuntimeError, match="broken"):
            measure(chain.dsn("auditor"))
    with pytest.raises(RuntimeError, match="broken"):
        verification.first(chain.dsn("auditor"), tmp_path / "books", 30)


def test_only_what_is_asked_for_is_measured(pg_server: Server) -> None:
    """A long chain is grown for its own measures alone."""
    assert [x.name for x in parts.appends(pg_server, TINY, "append.bulk.2000")] == ["append.bulk.2000"]
    asked = ("", "append.", "append.at_10m", "writer.", "read.balance.", "history.order", "verify.", "verify.memory")
    others = ("append.bulk", "import", "verify.full", "verify.chain")
    assert [parts.wants_lengths(only) for only in (*asked, *others)] == [True] * len(asked) + [False] * len(others)


def test_the_floor_is_of_the_same_finished_rows(chain: Database) -> None:
    """COPY writes the rows after a seq, events and keys, each as it is; its tables are gone afterwards."""
    first, _ = measures.append(chain.server, chain.name, 90)
    keys = f"FROM ledger.idempotency_keys WHERE first_seq > {first}"
    made = "SELECT chain, source, idempotency_key, seq FROM ledger.events WHERE chain = 1"
    assert chain.sql(f"SELECT count(*) {keys}") == "90"
    assert chain.sql(f"SELECT count(*) FROM (({made} AND seq > {first}) EXCEPT SELECT * {keys}) x") == "0"
    assert measures.copied(chain.server, chain.name, first, 40) > 0
    assert chain.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'floor%'") == "0"


def test_a_chain_that_grows_leaves_nothing_open(chain: Database) -> None:
    """Whatever its length, the writer's memory holds as many rows; of nine events 3, 3, 2 and 1 are of one type."""

    def rows() -> int:
        if ledger._writer is None:
            raise AssertionError("the ledger is open")
        return sum(1 for _ in ledger._writer.state.all_rows())

    with Ledger.open(chain.dsn("writer")) as ledger:
        workload.prepare(ledger)
        orders = workload.orders("c")
        kinds, seen = [], []
        for _ in range(3):
            groups = list(itertools.islice(orders, 90))
            assert all(isinstance(x, Receipt) and not x.quarantined for x in ledger.append_many(groups))
            kinds += [type(group.events[0]).__name__ for group in groups]
            with ledger.books() as books:
                assert books.open_orders().value == []
                assert [x.qty for x in books.positions().value] == [0]
            seen.append(rows())
    assert seen[0] == seen[1] == seen[2]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"OrderPlaced": 90, "OrderAccepted": 90, "TradeExecuted": 60, "OrderCanceled": 30}


def test_an_interrupted_run_leaves_no_data(tmp_path: Path) -> None:
    """Ctrl-C once the server runs: a sentence, status 130, and the temporary folder is empty."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--only", "append.at_"],
        cwd=run.ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + ENDS_S
        while time.monotonic() < deadline and not list(tmp_path.glob("tl-bench-*/server/provisioned")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=ENDS_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, "interrupted" in said, list(tmp_path.iterdir())) == (130, True, [])
