"""
Say which measures there are, and take them part by part, each beside its floor.

A part is what shares a chain, an archive or a server's state: short chains, an archive, a chain that is verified, a
chain that grows long. Whatever is asked for by the beginning of its name is taken, and said at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from benchmarks import archived, evidence, long_chain, measures, proofs, report, server_alone, verification
from benchmarks.long_chain import Growth, Point
from benchmarks.measures import Pair
from benchmarks.progress import stage
from benchmarks.report import COST, MEMORY, RATE, TIME, Measure
from ledger.sandbox.postgres import Server

CALLERS, CLIENTS = 64, 16
IMPORT_BAR: Final = 10_000
"""Events of an engine a second that an import must settle."""
ARCHIVE, PROVE = "verify.archive.jobs2", "prove.p50_ms"
READ_NAMES: Final = ("read.balance.p50_ms", "read.balance_as_of.p50_ms", "history.order.p50_ms")
LONG_VERIFIED: Final = ("verify.memory", "verify.incremental")
"""Verifications that are about the length of a chain."""


class Size(msgspec.Struct, frozen=True):
    """
    How much is measured: rounds, events of a short chain, seconds of callers, calls of one, the long chain, events of
    an archive, events of a chain that is verified, and rounds of verifying either, which take a minute each.
    """

    rounds: int
    bulk: int
    seconds: float
    singles: int
    growth: Growth
    archived: int
    verified: int
    verified_rounds: int


SIZES: Final = {
    "small": Size(
        3,
        40_000,
        5.0,
        1_000,
        Growth(300_000, early=100_000, chunk=20_000, samples=15, rounds=3, reads=200),
        300_000,
        100_000,
        3,
    ),
    "full": Size(
        5,
        100_000,
        10.0,
        2_000,
        Growth(10_000_000, early=100_000, chunk=20_000, samples=50, rounds=5, reads=400),
        1_000_000,
        1_000_000,
        3,
    ),
}


def tell(found: Measure) -> None:
    """
    Say what was found at once: the rest of a run may take long, and fail.
    """
    print(
        f"{found.name}: {report.number(found.value)} {found.unit}, ratio {found.ratio:g}", file=sys.stderr, flush=True
    )


def _told(name: str, size: int, unit: str, floor: str, pairs: list[Pair]) -> Measure:
    found = report.measure(name, size, unit, floor, pairs)
    tell(found)
    return found


def _rounds(name: str, count: int, once: Callable[[], Pair]) -> list[Pair]:
    """Measure so many rounds."""
    pairs = []
    with stage(name, count, "rounds") as told:
        for number in range(count):
            pairs.append(once())
            told(number + 1)
    return pairs


def appends(server: Server, size: Size, only: str) -> Iterator[Measure]:
    """
    Measure appends to a short chain, and an import.
    """

    def callers() -> Pair:
        return (
            measures.append_callers(server, CALLERS, size.seconds),
            measures.pgbench(server, CLIENTS, size.seconds)[0],
        )

    def single() -> Pair:
        return measures.append_single(server, size.singles), measures.pgbench(server, 1, size.seconds)[1]

    kinds = (
        ("append.bulk.2000", size.bulk, RATE, "COPY of the same rows",
         lambda: measures.append_bulk(server, size.bulk, 2_000)),
        ("append.bulk.200", size.bulk, RATE, "COPY of the same rows",
         lambda: measures.append_bulk(server, size.bulk, 200)),
        ("append.server.2000", size.bulk, RATE, "COPY of the same rows",
         lambda: server_alone.append(server, size.bulk, 2_000)),
        ("append.server.200", size.bulk, RATE, "COPY of the same rows",
         lambda: server_alone.append(server, size.bulk, 200)),
        ("append.callers64", CALLERS, RATE, f"pgbench insert, {CLIENTS} clients", callers),
        ("append.single.p50_ms", size.singles, TIME, "pgbench insert, 1 client", single),
        ("append.with_evidence", size.bulk, RATE, "the same append alone",
         lambda: evidence.append_with_evidence(server, size.bulk)),
        ("append.digest_share", size.bulk, COST, "a whole append",
         lambda: measures.digest_share(server, size.bulk)),
        ("import.session", 1, RATE, "required rate", lambda: (measures.import_session(server)[1], IMPORT_BAR)),
    )  # fmt: skip
    for name, count, unit, floor, once in kinds:
        if name.startswith(only):
            yield _told(name, count, unit, floor, _rounds(name, size.rounds, once))


def archives(server: Server, size: Size, only: str) -> Iterator[Measure]:
    """
    Measure how an archive is verified.
    """
    if not ARCHIVE.startswith(only):
        return
    with archived.archive(server, size.archived) as place:
        pairs = _rounds(ARCHIVE, size.verified_rounds, lambda: archived.two_by_one(place))
    yield _told(ARCHIVE, size.archived, RATE, "one process", pairs)


def verifications(server: Server, size: Size, only: str) -> Iterator[Measure]:
    """
    Measure how a chain in the database is verified.
    """
    copy = "binary COPY OUT"
    kinds = [
        kind
        for kind in (
            ("verify.chain", copy, verification.chain),
            ("verify.chain.jobs2", "one worker", verification.two_workers),
            ("verify.executor", "process pool of two", verification.on_dask),
            ("verify.full", copy, verification.everything),
        )
        if kind[0].startswith(only)
    ]
    if not kinds:
        return
    with verification.filled(server, size.verified) as dsn:
        for name, floor, once in kinds:
            yield _told(name, size.verified, RATE, floor, _rounds(name, size.verified_rounds, partial(once, dsn)))


def proof(server: Server, size: Size, only: str, seed: int) -> Iterator[Measure]:
    """
    Measure a proof in a tree as long as the long chain.
    """
    if PROVE.startswith(only):
        pairs = proofs.measure(server, size.growth, seed)
        yield _told(PROVE, size.growth.events, TIME, "select by primary key", pairs)


def wants_lengths(only: str) -> bool:
    """
    Return whether measures whose names begin with *only* include one of a long chain.
    """
    names = ("append.at_", "writer.rss_at_", *READ_NAMES, *LONG_VERIFIED)
    return any(x.startswith(only) or only.startswith(x) for x in names)


def lengths(server: Server, size: Size, seed: int, only: str = "") -> tuple[list[Measure], list[Point]]:
    """
    Measure a chain that grows long; return its measures and its points.
    """
    growth = size.growth
    verified: list[Measure] = []

    def verify(name: str, append: Callable[[int], float]) -> None:
        if any(x.startswith(only) for x in LONG_VERIFIED):
            verified.extend(_long_verified(server, name, append, size))

    grown = long_chain.measure(server, growth, seed, verify)
    at, early = report.short(growth.events), f"at {report.short(growth.early)} events"
    resident = [(grown.resident(growth.events) / 2**20, grown.resident(growth.early) / 2**20)]
    found = [
        _told(f"append.at_{at}", growth.events, RATE, early, grown.late),
        _told(f"writer.rss_at_{at}", growth.events, MEMORY, early, resident),
        *(_told(x.name, growth.events, TIME, "select by primary key", x.pairs) for x in grown.reads),
    ]
    return [*found, *verified], grown.points


def _long_verified(server: Server, name: str, append: Callable[[int], float], size: Size) -> Iterator[Measure]:
    """Measure how the long chain of database *name* is verified, to which *append* appends."""
    memory, incremental = LONG_VERIFIED
    events = size.growth.events
    with TemporaryDirectory(prefix="tl-books-") as folder:
        short, long = Path(folder) / "short", Path(folder) / "long"
        with verification.filled(server, size.verified) as dsn:
            least = verification.first(dsn, short, size.verified)
        most = verification.first(server.dsn("auditor", name), long, events)
        early = f"at {report.short(size.verified)} events"
        yield _told(memory, events, MEMORY, early, [(most / 2**20, least / 2**20)])
        new = min(verification.NEW, size.growth.chunk)
        with verification.since(server, server.dsn("auditor", name), long, append, new) as once:
            pairs = _rounds(incremental, size.growth.rounds, once)
        yield _told(incremental, events, TIME, f"all of {report.short(new)} alone", pairs)
