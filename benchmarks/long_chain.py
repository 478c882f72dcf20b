"""
Grow one chain, and measure what its length does to appends, to the writer's memory, and to reads of now and the past.

The writer's memory is that of this process, so nothing else that needs much of it may run in it before or meanwhile:
events are made and forgotten by chunks, and the histories are kept by a process of their own.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from benchmarks import workload
from benchmarks.measures import TRANSACTION_EVENTS, Pair, copied, database, timed
from benchmarks.progress import Told, stage
from ledger import Group, Ledger, WriterSettings
from ledger.errors import InvalidInput
from ledger.queries import Books, Seq
from ledger.reading import follower
from ledger.sandbox.postgres import Server

SELECT = "SELECT settled, unsettled, held FROM ledger.balances WHERE chain = 1 AND account = 'A' AND asset = 'USDT'"
POLL_S = 0.5


class Growth(msgspec.Struct, frozen=True):
    """
    How a chain grows: to `events` by `chunk`, called short at `early`, with COPY beside it at `samples` lengths.

    Then `rounds` compare it with a chain of `early` events, and each kind of read is done `reads` times a round.
    """

    events: int
    early: int
    chunk: int
    samples: int
    rounds: int
    reads: int

    def __post_init__(self) -> None:
        if not self.chunk <= self.early < self.events:
            raise InvalidInput(
                f"found a chain of {self.events} events beside one of {self.early}, by {self.chunk}; expected the "
                "short one to have at least one chunk, and the long one more events"
            )


class Point(msgspec.Struct, frozen=True):
    """
    What was seen as the chain came to `length`: events/s, those of COPY where it was sampled, and bytes resident.
    """

    length: int
    rate: float
    floor: float | None
    resident: int


class Read(msgspec.Struct, frozen=True):
    """
    One kind of read: its median time and the floor's, in ms, round by round.
    """

    name: str
    pairs: list[Pair]


class Grown(msgspec.Struct, frozen=True):
    """
    All that growing a chain showed; `late` are rates of the long chain beside those of the short one.
    """

    points: list[Point]
    late: list[Pair]
    reads: list[Read]

    def resident(self, length: int) -> float:
        """
        Return the most bytes that were in memory up to *length*.
        """
        return float(max(point.resident for point in self.points if point.length <= length))


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _opened(server: Server, name: str) -> Ledger:
    return Ledger.open(server.dsn("writer", name), settings=WriterSettings(batch_events=TRANSACTION_EVENTS))


class _Chain:
    """One chain that grows: its database, its writer, and the orders that go on from where they were."""

    def __init__(self, server: Server, name: str, ledger: Ledger) -> None:
        self._server, self._name, self._ledger = server, name, ledger
        self._orders: Iterator[Group] = workload.orders("c")
        workload.prepare(ledger)

    def grow(self, count: int) -> float:
        """Append *count* events, and return how many a second."""
        return count / timed(self._ledger, list(itertools.islice(self._orders, count))).seconds

    def floor(self, count: int) -> float:
        """Return how many of the last *count* events COPY writes in a second."""
        first = self._ledger.head().seq - count
        return count / copied(self._server, self._name, first, TRANSACTION_EVENTS)


def _points(chain: _Chain, growth: Growth, told: Told) -> list[Point]:
    found: list[Point] = []
    every = max(1, growth.events // growth.chunk // growth.samples)
    for number, done in enumerate(range(0, growth.events, growth.chunk)):
        count = min(growth.chunk, growth.events - done)
        rate = chain.grow(count)
        floor = chain.floor(count) if number % every == 0 or done + count == growth.events else None
        found.append(Point(done + count, rate, floor, _resident()))
        told(done + count)
    return found


def _late(server: Server, long: _Chain, growth: Growth) -> list[Pair]:
    """Append to the long chain and to a short one by turns, and return both rates of each round."""
    with database(server) as name, _opened(server, name) as ledger:
        short = _Chain(server, name, ledger)
        for done in range(0, growth.early, growth.chunk):
            short.grow(min(growth.chunk, growth.early - done))
        return [(long.grow(growth.chunk), short.grow(growth.chunk)) for _ in range(growth.rounds)]


def _keep_histories(server: Server, name: str, size: int) -> None:
    """Let a process of its own keep the histories up to the head."""
    dsn = server.dsn("writer", name)
    with stage("keeping the histories", size) as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "ledger", "read-models", "follow", "--once", "--dsn", dsn],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            while process.poll() is None:
                told(min(size, follower.status(server.dsn("reader", name), None)[0].watermark))
                time.sleep(POLL_S)
            _, said = process.communicate()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            raise RuntimeError(f"the histories were not kept: {said.decode(errors='replace')[-1500:]}")


def one_row(books: Books, query: str) -> Callable[[], object]:
    """
    Return what selects one row, prepared, over the connection of *books*.

    Another connection is another process of the server, on whichever core it happens to stand: to wake one on another
    core costs as much as the whole select, so that the floor would be half or twice as high by chance.
    """
    connection = books._connection
    return lambda: connection.execute(query, prepare=True).fetchone()


def by_turns(name: str, growth: Growth, read: Callable[[], object], floor: Callable[[], object]) -> Read:
    """Time *read* and *floor* by turns, so that whatever else the machine does meets both."""
    pairs: list[Pair] = []
    for _ in range(growth.rounds):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(growth.reads):
            for action, seconds in zip((read, floor), times, strict=True):
                began = time.perf_counter()
                action()
                seconds.append(time.perf_counter() - began)
        value, least = (statistics.median(seconds) * 1000 for seconds in times)
        pairs.append((value, least))
    return Read(name, pairs)


def _reads(server: Server, name: str, growth: Growth, seed: int) -> list[Read]:
    """
    Time reads: a balance now and at random past seqs, and the whole history of random orders.
    """
    random_ = random.Random(seed)
    with Books(server.dsn("reader", name)) as books:
        select = one_row(books, SELECT)

        first = books.head().seq - growth.events
        return [
            by_turns("read.balance.p50_ms", growth, lambda: books.balance("A", "USDT"), select),
            by_turns("read.balance_as_of.p50_ms", growth,
                      lambda: books.balance("A", "USDT", at=Seq(first + random_.randrange(1, growth.events + 1))),
                      select),
            by_turns("history.order.p50_ms", growth,
                      # Of three events an order.
                      lambda: books.history(f"order/c-{random_.randrange(growth.events // 3)}"), select),
        ]  # fmt: skip


def _warm(server: Server, name: str) -> None:
    """
    Read what the reads will read once, so that no disk is measured: the select's one row is in memory too.
    """
    server.sql("CREATE EXTENSION pg_prewarm", name)
    with stage("reading into memory what will be read", 1):
        server.sql(
            "SELECT sum(pg_prewarm(c.oid, 'read')) FROM pg_class c"
            " WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind IN ('r', 'i')"
            " AND c.relname ~ '^(events|balance_history)(_|$)'",
            name,
        )


def measure(server: Server, growth: Growth, seed: int, verify: Callable[[str, Callable[[int], float]], None]) -> Grown:
    """
    Grow a chain as *growth* says, and return what that showed; *seed* draws the past seqs and orders that are read.

    Once it is grown, *verify* is given the name of its database, and what appends so many events more.
    """
    with database(server) as name:
        with _opened(server, name) as ledger:
            chain = _Chain(server, name, ledger)
            with stage("growing the chain", growth.events) as told:
                points = _points(chain, growth, told)
            late = _late(server, chain, growth)
            verify(name, chain.grow)
        _keep_histories(server, name, growth.events)
        # As a database is that was used for a while: autovacuum would come at a moment of its own.
        server.sql("VACUUM ANALYZE", name)
        _warm(server, name)
        return Grown(points, late, _reads(server, name, growth, seed))
