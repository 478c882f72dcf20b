"""
Run every benchmark, print a table, and write build/bench/report.json.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import long_chain, measures
from ledger.sandbox.postgres import Server

REPORT = Path(__file__).parents[1] / "build" / "bench" / "report.json"
CALLERS, CLIENTS, SINGLES = 64, 16, 1_000
READS, EARLY = 500, 100_000
RATE = "events/s"
IMPORT_BAR = 10_000


class Line(msgspec.Struct):
    """
    One line of the report. Values of all rounds are kept as least, median and most; the ratio is the median of each
    round's own.
    """

    name: str
    size: int
    value: float
    unit: str
    floor_name: str
    floor: float
    ratio: float
    min: float
    median: float
    max: float


def line(name: str, size: int, values: list[float], floor_name: str, floors: list[float], unit: str = RATE) -> Line:
    """
    Return the report's line of *values* beside their *floors*, round by round.
    """
    digits = 0 if unit in (RATE, "bytes") else 3
    least, middle, most = (round(f(values), digits) for f in (min, statistics.median, max))
    ratio = statistics.median(value / floor for value, floor in zip(values, floors, strict=True))
    floor = round(statistics.median(floors), digits)
    return Line(name, size, middle, unit, floor_name, floor, round(ratio, 3), least, middle, most)


def appends(server: Server, given: argparse.Namespace) -> Iterator[Line]:
    """
    Yield the lines of appends on a short chain.
    """
    for transaction in (2_000, 200):
        if (name := f"append.bulk.{transaction}").startswith(given.only):
            pairs = [measures.append_bulk(server, given.size, transaction) for _ in range(given.rounds)]
            yield line(name, given.size, [p[0] for p in pairs], "COPY of the same rows", [p[1] for p in pairs])
    if "append.callers64".startswith(given.only):
        rates, floors = [], []
        for _ in range(given.rounds):
            rates.append(measures.append_callers(server, CALLERS, given.seconds))
            floors.append(measures.pgbench(server, CLIENTS, given.seconds)[0])
        yield line("append.callers64", CALLERS, rates, f"pgbench one-row insert, {CLIENTS} clients", floors)
    if "append.single.p50_ms".startswith(given.only):
        times, floors = [], []
        for _ in range(given.rounds):
            times.append(measures.append_single(server, SINGLES))
            floors.append(measures.pgbench(server, 1, given.seconds)[1])
        yield line("append.single.p50_ms", SINGLES, times, "pgbench one-row insert, 1 client", floors, "ms")
    if "import.session".startswith(given.only):
        found = [measures.import_session(server) for _ in range(given.rounds)]
        bars = [float(IMPORT_BAR)] * given.rounds
        yield line("import.session", found[0][0], [rate for _, rate in found], "required rate", bars)


def lengths(server: Server, given: argparse.Namespace) -> Iterator[Line]:
    """
    Yield the lines of a chain that grows long: appends and memory beside those of a short one, and reads of it.
    """
    names = [f"append.at_{short(given.chain)}", f"writer.rss_at_{short(given.chain)}", "read.", "history."]
    if not any(name.startswith(given.only) or given.only.startswith(name) for name in names):
        return
    said = sys.stderr.isatty()

    def told(text: str) -> None:
        if said:
            print(f"\r{text}  ", end="", file=sys.stderr)

    grown, reads = long_chain.measure(
        server,
        given.chain,
        EARLY,
        READS,
        given.seed,
        lambda text: print(f"\r{text}  ", end="", file=sys.stderr) if said else None,
    )
    at = f"the same at {EARLY:,} events"
    yield line(names[0], given.chain, [grown.rate_at(given.chain)], at, [grown.rate_at(EARLY)])
    resident = [float(grown.resident_at(given.chain))], [float(grown.resident_at(EARLY))]
    yield line(names[1], given.chain, resident[0], at, resident[1], "bytes")
    for read in reads:
        yield line(read.name, given.chain, [read.value], "select by primary key", [read.floor], "ms")


def short(count: int) -> str:
    """
    Return *count* as the report names it: 10m, 300k.
    """
    return f"{count // 1_000_000}m" if count % 1_000_000 == 0 else f"{count // 1000}k"


def machine() -> str:
    """
    Say which machine and commit the numbers are of.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((x.split(":", 1)[1].strip() for x in lines if "model name" in x), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return f"{processor}, Python {platform.python_version()}, commit {commit.strip() or 'unknown'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain", type=int, default=300_000, help="events of the chain that grows long")
    parser.add_argument("--seed", type=int, default=7, help="draws the past seqs and orders that are read")
    parser.add_argument("--size", type=int, default=40_000, help="events of append.bulk")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the callers call")
    parser.add_argument("--only", default="", help="measures whose names begin so")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as folder:
        server = Server.start(Path(folder) / "server")
        try:
            report = [*appends(server, given), *lengths(server, given)]
        finally:
            server.stop()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    print(machine())
    for found in report:
        print(
            f"{found.name:26} {found.median:>12,} {found.unit} ({found.min:,} to {found.max:,}); "
            f"{found.floor_name}: {found.floor:,}; ratio {found.ratio}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
