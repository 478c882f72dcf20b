"""
Measure verifications beside what any reader of the same rows has to do: a binary COPY OUT that is drained.

Each round takes the measure and its floor one after the other, on a chain that nobody appends to meanwhile.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks import measures
from benchmarks.measures import Pair, database
from benchmarks.progress import stage
from ledger.sandbox.postgres import Server
from verifier import full
from verifier.connection import open_connection
from verifier.reader import Reader
from verifier.report import VERIFIED, Report
from verifier.walk import incremental, joined, rows

NEW: Final = 10_000
"""Events that an incremental verification finds new, where the long chain grows by chunks as large."""
JOBS: Final = 2
EVERY: Final = "SELECT * FROM ledger.events WHERE chain = 1"
_FIRST: Final = """
import sys
from pathlib import Path
from ledger import for_throughput
from verifier.reader import Reader
from verifier.walk import incremental

for_throughput()
with Reader(sys.argv[1], None) as reader:
    report = incremental.verify(reader, Path(sys.argv[2]), lambda what, count: print(count, flush=True))
if report.verdict != "verified":
    raise SystemExit(f"{report.findings[:3]}: the chain is {report.verdict}")
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM:")))
"""
"""
Verify everything in a process of its own; print how far it is, and last the most that it had in memory, in KiB.

The resource module would count what the process that began it had in memory then.
"""


@contextlib.contextmanager
def filled(server: Server, size: int) -> Iterator[str]:
    """
    Yield the auditor's address of a chain of that many order events and what came before them.
    """
    with database(server) as name:
        measures.fill(server, name, size, "appending what is verified")
        # As a database is that was used for a while: autovacuum would come at a moment of its own.
        server.sql("VACUUM ANALYZE", name)
        yield server.dsn("auditor", name)


def _timed(verify: Callable[[], Report]) -> tuple[float, Report]:
    """Return the seconds of a verification; one that finds something, or reads nothing, measures nothing."""
    with measures.tuned():
        began = time.perf_counter()
        report = verify()
        seconds = time.perf_counter() - began
    if report.verdict != VERIFIED or not report.events:
        raise RuntimeError(f"{report.events} events were {report.verdict}: {report.findings[:3]}")
    return seconds, report


def drained(dsn: str) -> float:
    """
    Return how many events a second a binary COPY OUT of all of them has, read and thrown away.
    """
    with open_connection(dsn) as connection:
        began = time.perf_counter()
        count = rows.drain(connection, EVERY)
        return count / (time.perf_counter() - began)


def _rate(dsn: str, executor: Executor | None = None) -> float:
    seconds, report = _timed(lambda: joined.verify_chain(dsn, executor=executor))
    return report.events / seconds


def chain(dsn: str) -> Pair:
    """
    Return events a second of bytes, columns and links in one process, beside the drained COPY OUT.
    """
    return _rate(dsn), drained(dsn)


def two_workers(dsn: str) -> Pair:
    """
    Return events a second of two workers, beside one: both at work already, and reading from the same two cores.
    """
    with _workers(JOBS) as two, _workers(1) as one:
        return _rate(dsn, two), _rate(dsn, one)


@contextlib.contextmanager
def _workers(count: int) -> Iterator[Executor]:
    with ProcessPoolExecutor(count) as pool:
        # All are there, and have loaded what they need, before anything is timed.
        list(pool.map(_loaded, range(count * 4)))
        yield pool


def _loaded(number: int) -> int:
    time.sleep(0.02)
    return number


def on_dask(dsn: str) -> Pair:
    """
    Return events a second through a Dask cluster of two workers, beside a process pool of two.
    """
    from distributed import Client, LocalCluster

    with (
        _workers(JOBS) as pool,
        tempfile.TemporaryDirectory(prefix="tl-dask-") as folder,
        LocalCluster(
            n_workers=JOBS, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(_loaded, range(JOBS * 4)))
        return _rate(dsn, client.get_executor(pure=False)), _rate(dsn, pool)


def everything(dsn: str) -> Pair:
    """
    Return events a second of a full verification by two processes, beside the drained COPY OUT.
    """
    return _everything(dsn, JOBS), drained(dsn)


def _everything(dsn: str, jobs: int) -> float:
    with Reader(dsn, None) as reader:
        seconds, report = _timed(lambda: full.verify(reader, jobs=jobs))
        return report.events / seconds


def first(dsn: str, books: Path, size: int) -> float:
    """
    Verify everything of a chain of *size* events, keep what it came to in *books*, and return the most bytes that the
    process which did it had in memory.
    """
    said = "0"
    with (
        stage("verifying all for the first time", size) as told,
        subprocess.Popen(
            [sys.executable, "-c", _FIRST, dsn, str(books)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            for said in process.stdout or ():
                told(min(size, int(said)))
            _, wrong = process.communicate()
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the chain was not verified: {wrong[-500:]}")
    return float(said) * 1024


@contextlib.contextmanager
def since(
    server: Server, dsn: str, books: Path, append: Callable[[int], object], count: int
) -> Iterator[Callable[[], Pair]]:
    """
    Yield what measures a round: the milliseconds of verifying *count* new events, which *append* appends, beside all of
    a chain of as many. *books* say what was verified before.
    """
    with database(server) as name:
        measures.append(server, name, count)
        alone = server.dsn("auditor", name)

        def new() -> Report:
            with Reader(dsn, None) as reader:
                return incremental.verify(reader, books, lambda what, done: None)

        def whole() -> Report:
            with Reader(alone, None) as reader:
                return full.verify(reader)

        def once() -> Pair:
            append(count)
            seconds, report = _timed(new)
            if report.events != count:
                raise RuntimeError(f"{report.events} events were new; expected {count}")
            return seconds * 1000, _timed(whole)[0] * 1000

        yield once
