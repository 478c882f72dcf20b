"""
Measure everything beside its floor, print a table, and write build/bench/report.json, its page and its plots.

The servers' data lie in a temporary folder that is gone at the end, also after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Column, Table

from benchmarks import archived, evidence, long_chain, measures, plots, proofs, report, surroundings
from benchmarks.long_chain import Growth, Point
from benchmarks.measures import Pair
from benchmarks.progress import stage
from benchmarks.report import COST, MEMORY, RATE, TIME, Measure, Report
from ledger import command, start
from ledger.errors import LedgerError, SetupNeeded
from ledger.sandbox.postgres import Server

ROOT = Path(__file__).parents[1]
CALLERS, CLIENTS = 64, 16
IMPORT_BAR = 10_000
"""Events of an engine a second that an import must settle."""
EVENT_BYTES, WORK_BYTES = 2_000, 5 << 30
"""Room on disk: of one event with its rows, keys and versions, and of write-ahead log and short chains."""
ENDINGS = (signal.SIGINT, signal.SIGTERM)
WIDE = 120
"""Columns of the table where nobody says how many there are."""
PROVE = "prove.p50_ms"
READ_NAMES = ("read.balance.p50_ms", "read.balance_as_of.p50_ms", "history.order.p50_ms")


class Size(msgspec.Struct, frozen=True):
    """
    How much is measured: rounds, events of a short chain, seconds of callers, calls of one, the long chain, and events
    of an archive.
    """

    rounds: int
    bulk: int
    seconds: float
    singles: int
    growth: Growth
    archived: int


SIZES = {
    "small": Size(
        3, 40_000, 5.0, 1_000, Growth(300_000, early=100_000, chunk=20_000, samples=15, rounds=3, reads=200), 300_000
    ),
    "full": Size(
        5,
        100_000,
        10.0,
        2_000,
        Growth(10_000_000, early=100_000, chunk=20_000, samples=50, rounds=5, reads=400),
        1_000_000,
    ),
}


@contextmanager
def scratch() -> Iterator[Server]:
    """
    Yield a server whose data are gone afterwards, whatever happens meanwhile.
    """
    # A second Ctrl-C, while the first one's cleaning is at work, would leave gigabytes behind.
    with _signals_kept(), tempfile.TemporaryDirectory(prefix="tl-bench-") as folder:
        server = Server.start(Path(folder) / "server")
        try:
            yield server
        finally:
            for number in ENDINGS:
                signal.signal(number, signal.SIG_IGN)
            server.stop()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore how the signals that end a run are taken, which the block may have changed."""
    before = [(number, signal.getsignal(number)) for number in ENDINGS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def check_room(events: int) -> None:
    """
    Raise SetupNeeded where the temporary folder's disk cannot hold a chain of *events*.
    """
    place = tempfile.gettempdir()
    needed, free = WORK_BYTES + events * EVENT_BYTES, shutil.disk_usage(place).free
    if free < needed:
        raise SetupNeeded(
            f"the disk of {place} has {free >> 30} GiB free and a chain of {events:,} events needs {needed >> 30}; "
            "make room, or set TMPDIR to a folder on another disk"
        )


def tell(found: Measure) -> None:
    """
    Say what was found at once: the rest of a run may take long, and fail.
    """
    print(
        f"{found.name}: {report.number(found.value)} {found.unit}, ratio {found.ratio:g}", file=sys.stderr, flush=True
    )


def lengths(server: Server, growth: Growth, seed: int) -> tuple[list[Measure], list[Point]]:
    """
    Measure a chain that grows long; return its measures and its points.
    """
    grown = long_chain.measure(server, growth, seed)
    at, early = report.short(growth.events), f"at {report.short(growth.early)} events"
    resident = [(grown.resident(growth.events) / 2**20, grown.resident(growth.early) / 2**20)]
    found = [
        report.measure(f"append.at_{at}", growth.events, RATE, early, grown.late),
        report.measure(f"writer.rss_at_{at}", growth.events, MEMORY, early, resident),
        *(report.measure(x.name, growth.events, TIME, "select by primary key", x.pairs) for x in grown.reads),
    ]
    for one in found:
        tell(one)
    return found, grown.points


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
        ("append.callers64", CALLERS, RATE, f"pgbench insert, {CLIENTS} clients", callers),
        ("append.single.p50_ms", size.singles, TIME, "pgbench insert, 1 client", single),
        ("append.with_evidence", size.bulk, RATE, "the same append alone",
         lambda: evidence.append_with_evidence(server, size.bulk)),
        ("append.digest_share", size.bulk, COST, "a whole append",
         lambda: measures.digest_share(server, size.bulk)),
        ("import.session", 1, RATE, "required rate", lambda: (measures.import_session(server)[1], IMPORT_BAR)),
    )  # fmt: skip
    for name, count, unit, floor_name, once in kinds:
        if name.startswith(only):
            pairs = []
            with stage(name, size.rounds, "rounds") as told:
                for number in range(size.rounds):
                    pairs.append(once())
                    told(number + 1)
            found = report.measure(name, count, unit, floor_name, pairs)
            tell(found)
            yield found


def archives(server: Server, size: Size, only: str) -> Iterator[Measure]:
    """
    Measure how an archive is verified.
    """
    name = "verify.archive.jobs2"
    if not name.startswith(only):
        return
    with archived.archive(server, size.archived) as place, stage(name, size.rounds, "rounds") as told:
        pairs = []
        for number in range(size.rounds):
            pairs.append(archived.two_by_one(place))
            told(number + 1)
    found = report.measure(name, size.archived, RATE, "one process", pairs)
    tell(found)
    yield found


def wants_lengths(only: str) -> bool:
    """
    Return whether measures whose names begin with *only* include one of a long chain.
    """
    return any(x.startswith(only) or only.startswith(x) for x in ("append.at_", "writer.rss_at_", *READ_NAMES))


def run(size: Size, seed: int, only: str, said: str) -> Report:
    """
    Measure all whose names begin with *only*; *said* is the command that asked for it.
    """
    began, commit, changed = time.monotonic(), surroundings.commit(ROOT), bool(surroundings.changes(ROOT))
    long: list[Measure] = []
    points: list[Point] = []
    with scratch() as server:
        machine = surroundings.machine(server.sql("SHOW server_version"))
        # First, while this process is as small as a writer's own: what comes after leaves memory behind.
        if wants_lengths(only):
            long, points = lengths(server, size.growth, seed)
        short = [*appends(server, size, only), *archives(server, size, only)]
        if PROVE.startswith(only):
            pairs = proofs.measure(server, size.growth, seed)
            long.append(report.measure(PROVE, size.growth.events, TIME, "select by primary key", pairs))
            tell(long[-1])
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    seconds = round(time.monotonic() - began)
    return Report(report.FORMAT, now, commit, changed, said, seconds, machine, [*short, *long], points)


def write(found: Report, folder: Path) -> None:
    """
    Write the report, its page and its plots into *folder*.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = plots.drawn(found.chain) if found.chain else {}
    for file, (_, svg) in drawn.items():
        (folder / file).write_text(svg)
    (folder / "report.json").write_bytes(report.as_json(found))
    (folder / "report.md").write_text(report.as_page(found, [(title, file) for file, (title, _) in drawn.items()]))


def show(found: Report) -> None:
    """
    Print the measures.
    """
    table = Table(Column("measure", no_wrap=True), "value", "floor", "ratio", "bar", "aim", "reaches")
    for one in found.measures:
        asked = report.target(one.name)
        goals = (asked.text(asked.bar), asked.text(asked.aim)) if asked else ("", "")
        table.add_row(
            one.name, f"{report.number(one.value)} {one.unit}", report.number(one.floor), f"{one.ratio:g}", *goals,
            one.met or "",
        )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=WIDE)).print(table)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small: minutes; full: ten million events")
    parser.add_argument("--chain", type=int, help="events of the chain that grows long, in place of the size's own")
    parser.add_argument("--seed", type=int, default=7, help="draws the past seqs and orders that are read")
    parser.add_argument("--only", default="", help="measures whose names begin so")
    parser.add_argument("--keep", action="store_true", help=f"write the report into {surroundings.KEPT} as well")
    return parser.parse_args()


def measured(given: argparse.Namespace) -> int:
    """
    Run what was asked for, and return the exit status.
    """
    size = SIZES[given.size]
    if given.chain is not None:
        size = msgspec.structs.replace(size, growth=msgspec.structs.replace(size.growth, events=given.chain))
    if given.keep:
        # Before an hour is spent, and again before anything is kept.
        surroundings.check_clean(ROOT)
    if wants_lengths(given.only):
        check_room(size.growth.events)
    found = run(size, given.seed, given.only, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    build = ROOT / "build" / "bench"
    write(found, build)
    show(found)
    print(f"the report is in {build.relative_to(ROOT)}")
    if given.keep:
        surroundings.check_clean(ROOT)
        write(found, ROOT / surroundings.KEPT)
        print(f"and in {surroundings.KEPT}")
    return 0


def main() -> None:
    """
    Run the benchmarks, and end with a sentence whatever happens.
    """
    given = arguments()
    try:
        start.ready()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ended = measured(given)
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        ended = error.exit_status
    except KeyboardInterrupt:
        print("interrupted; nothing was left running, and no data are left", file=sys.stderr)
        ended = start.INTERRUPTED
    command.end(ended)
