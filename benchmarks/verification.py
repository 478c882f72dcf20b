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
from ledger.sandbox.postgres import Server
from verifier import full
from verifier.reader import Reader, open_connection
from verifier.report import VERIFIED, Report
from verifier.walk import incremental, joined, rows

NEW: Final = 10_000
"""Events that an incremental verification finds new."""
JOBS: Final = 2
EVERY: Final = "SELECT * FROM ledger.events WHERE chain = 1"
_RESIDENT: Final = (
    "import resource, sys; from verifier import full; from verifier.reader import Reader\n"
    "with Reader(sys.argv[1], None) as reader: report = full.verify(reader)\n"
    "assert report.verdict == 'verified', report.findings[:3]\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)
"""Verify everything in a process of its own, and say the most that it had in memory, in KiB."""


def _timed(verify: Callable[[], Report]) -> tuple[float, Report]:
    """Return the seconds of a verification; one that finds something, or reads nothing, measures nothing."""
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


def _rate(dsn: str, jobs: int = 1, executor: Executor | None = None) -> float:
    seconds, report = _timed(lambda: joined.verify_chain(dsn, jobs=jobs, executor=executor))
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
        return _rate(dsn, executor=two), _rate(dsn, executor=one)


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
    from dask.distributed import Client, LocalCluster

    with (
        _workers(JOBS) as pool,
        LocalCluster(n_workers=JOBS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(_loaded, range(JOBS * 4)))
        return _rate(dsn, executor=client.get_executor()), _rate(dsn, executor=pool)


def everything(dsn: str, jobs: int = JOBS) -> Pair:
    """
    Return events a second of a full verification by so many processes, beside the drained COPY OUT.
    """
    return _everything(dsn, jobs), drained(dsn)


def _everything(dsn: str, jobs: int) -> float:
    with Reader(dsn, None) as reader:
        seconds, report = _timed(lambda: full.verify(reader, jobs=jobs))
        return report.events / seconds


def resident(dsn: str) -> float:
    """
    Return the most bytes that a process which verifies everything had in memory.
    """
    said = subprocess.run([sys.executable, "-c", _RESIDENT, dsn], capture_output=True, text=True, check=True).stdout
    return float(said) * 1024


def since(server: Server, dsn: str, append: Callable[[int], None], count: int = NEW) -> Pair:
    """
    Return the milliseconds of verifying *count* new events, which *append* appends, beside all of a chain of as many.

    The state up to them is made first, and not timed.
    """
    with tempfile.TemporaryDirectory(prefix="tl-books-") as folder, database(server) as name:
        books = Path(folder) / "books"

        def verify() -> Report:
            with Reader(dsn, None) as reader:
                return incremental.verify(reader, books, lambda what, done: None)

        _timed(verify)
        append(count)
        seconds, report = _timed(verify)
        if report.events != count:
            raise RuntimeError(f"{report.events} events were new; expected {count}")
        measures.append(server, name, count)
        return seconds * 1000, _whole(server.dsn("auditor", name)) * 1000


def _whole(dsn: str) -> float:
    with Reader(dsn, None) as reader:
        return _timed(lambda: full.verify(reader))[0]
