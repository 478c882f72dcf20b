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

from benchmarks import parts, plots, report, surroundings
from benchmarks.long_chain import Point
from benchmarks.parts import SIZES, Size
from benchmarks.report import Measure, Report
from ledger import command, start
from ledger.errors import LedgerError, SetupNeeded
from ledger.sandbox.postgres import Server

ROOT = Path(__file__).parents[1]
EVENT_BYTES, WORK_BYTES = 2_500, 5 << 30
"""
Room on disk: of one event with its rows, keys, versions and what a verification keeps of it, and of write-ahead log and
short chains.
"""
ENDINGS = (signal.SIGINT, signal.SIGTERM)
WIDE = 120
"""Columns of the table where nobody says how many there are."""


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
        if parts.wants_lengths(only):
            long, points = parts.lengths(server, size, seed, only)
        short = [
            *parts.appends(server, size, only), *parts.archives(server, size, only),
            *parts.verifications(server, size, only), *parts.proof(server, size, only, seed),
        ]  # fmt: skip
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
    if parts.wants_lengths(given.only):
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
