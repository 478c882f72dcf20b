"""
Grow one chain, and measure what its length does to appends, to the writer's memory, and to reads of now and the past.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable

import msgspec
import psycopg

from benchmarks import workload
from benchmarks.measures import TRANSACTION_EVENTS, database, turns
from ledger import Ledger, Receipt, WriterSettings
from ledger.queries import Books, Seq
from ledger.reading.follower import Follower
from ledger.sandbox.postgres import Server

CHUNK = 20_000
"""Events made, appended and forgotten at once, so that memory is the writer's and not the workload's."""
RATES = 3
"""So many chunks make a rate: the median of theirs."""
SELECT = "SELECT settled, unsettled, held FROM ledger.balances WHERE chain = 1 AND account = 'A' AND asset = 'USDT'"


class Grown(msgspec.Struct):
    """
    What was seen while the chain grew: the rate of each chunk, and the memory after it, by the length of the chain.
    """

    rates: list[tuple[int, float]] = []
    resident: list[tuple[int, int]] = []

    def rate_at(self, size: int) -> float:
        """
        Return events a second where the chain came to *size*.
        """
        return statistics.median(rate for length, rate in self.rates if size - RATES * CHUNK < length <= size)

    def resident_at(self, size: int) -> int:
        """
        Return bytes in memory where the chain came to *size*.
        """
        return max(found for length, found in self.resident if length <= size)


class Read(msgspec.Struct):
    """
    How long one kind of read takes, and the floor beside it: the median of each, in ms.
    """

    name: str
    value: float
    floor: float


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def grow(ledger: Ledger, size: int, told: Callable[[int], None]) -> Grown:
    """
    Append order and fill events until there are *size* of them.
    """
    found = Grown()
    for done in range(0, size, CHUNK):
        groups = workload.orders_and_fills(f"c{done}", min(CHUNK, size - done))
        with turns():
            began = time.perf_counter()
            outcomes = ledger.append_many(groups)
            seconds = time.perf_counter() - began
        refused = [outcome for outcome in outcomes if not isinstance(outcome, Receipt) or outcome.quarantined]
        if refused:
            raise RuntimeError(f"{len(refused)} of {len(groups)} were refused; the first: {refused[0]}")
        length = done + len(groups)
        found.rates.append((length, len(groups) / seconds))
        del groups, outcomes
        found.resident.append((length, _resident()))
        told(length)
    return found


def _medians(name: str, rounds: int, read: Callable[[], object], floor: Callable[[], object]) -> Read:
    """Time *read* and *floor* by turns, so that whatever else the machine does meets both."""
    values: list[float] = []
    floors: list[float] = []
    for _ in range(rounds):
        for action, times in ((floor, floors), (read, values)):
            began = time.perf_counter()
            action()
            times.append((time.perf_counter() - began) * 1000)
    return Read(name, statistics.median(values), statistics.median(floors))


def reads(server: Server, name: str, size: int, rounds: int, seed: int) -> list[Read]:
    """
    Return how long reads of a chain of *size* events take: a balance now and at random past seqs, an order's history.
    """
    random_ = random.Random(seed)
    with (
        psycopg.connect(server.dsn("reader", name), autocommit=True) as plain,
        Books(server.dsn("reader", name)) as books,
    ):

        def select() -> object:
            return plain.execute(SELECT, prepare=True).fetchone()

        def order() -> str:
            done = random_.randrange(0, size, CHUNK)
            # Of three events an order, so of fewer orders than events.
            return f"order/c{done}-{random_.randrange(min(CHUNK, size - done) // 3)}"

        first = books.head().seq - size
        return [
            _medians("read.balance.p50_ms", rounds, lambda: books.balance("A", "USDT"), select),
            _medians("read.balance_as_of.p50_ms", rounds,
                     lambda: books.balance("A", "USDT", at=Seq(first + random_.randrange(1, size + 1))), select),
            _medians("history.order.p50_ms", rounds, lambda: books.history(order()), select),
        ]  # fmt: skip


def measure(
    server: Server, size: int, early: int, rounds: int, seed: int, told: Callable[[str], None]
) -> tuple[Grown, list[Read]]:
    """
    Return what growing a chain to *size* showed, and how long reads of it take; *early* is where it is called short.
    """
    if not RATES * CHUNK <= early < size:
        raise ValueError(f"found a chain of {size} events beside one of {early}; expected the short one to have at "
                         f"least {RATES * CHUNK}, and the long one more")  # fmt: skip
    with database(server) as name:
        settings = WriterSettings(batch_events=TRANSACTION_EVENTS)
        with Ledger.open(server.dsn("writer", name), settings=settings) as ledger:
            workload.prepare(ledger)
            grown = grow(ledger, size, lambda length: told(f"appended {length:,} of {size:,} events"))
        with Follower(server.dsn("writer", name)) as follower:
            done = 0
            while taken := follower.step():
                done += taken
                told(f"kept the histories of {done:,} of {size:,} events")
        server.sql("VACUUM ANALYZE", name)
        return grown, reads(server, name, size, rounds, seed)
