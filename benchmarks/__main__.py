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
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import measures
from ledger.sandbox.postgres import Server

REPORT = Path(__file__).parents[1] / "build" / "bench" / "report.json"
CALLERS, CLIENTS = 64, 16
IMPORT_BAR = 10_000


def entry(name: str, size: int, values: list[float], floor_name: str, floors: list[float]) -> dict[str, Any]:
    """
    Return one line of the report; the ratio is the median of each round's own.
    """
    return {
        "name": name, "size": size, "value": round(statistics.median(values)), "unit": "events/s",
        "floor_name": floor_name, "floor": round(statistics.median(floors)),
        "ratio": round(statistics.median(value / floor for value, floor in zip(values, floors, strict=True)), 3),
        "min": round(min(values)), "median": round(statistics.median(values)), "max": round(max(values)),
    }  # fmt: skip


def measured(server: Server, rounds: int, size: int, seconds: float, only: str) -> list[dict[str, Any]]:
    """
    Return the report: every measure whose name begins with *only*.
    """
    report = []
    if "append.bulk.2000".startswith(only):
        pairs = [measures.append_bulk(server, size) for _ in range(rounds)]
        floor = "COPY of the same rows"
        report.append(entry("append.bulk.2000", size, [p[0] for p in pairs], floor, [p[1] for p in pairs]))
    if "append.callers64".startswith(only):
        rates, floors = [], []
        for _ in range(rounds):
            rates.append(measures.append_callers(server, CALLERS, seconds))
            floors.append(measures.pgbench(server, CLIENTS, seconds))
        floor = f"pgbench one-row insert, {CLIENTS} clients"
        report.append(entry("append.callers64", CALLERS, rates, floor, floors))
    if "import.session".startswith(only):
        found = [measures.import_session(server) for _ in range(rounds)]
        bars = [float(IMPORT_BAR)] * rounds
        report.append(entry("import.session", found[0][0], [rate for _, rate in found], "required rate", bars))
    return report


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
    parser.add_argument("--size", type=int, default=40_000, help="events of append.bulk.2000")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the callers call")
    parser.add_argument("--only", default="", help="measures whose names begin so")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as folder:
        server = Server.start(Path(folder) / "server")
        try:
            report = measured(server, given.rounds, given.size, given.seconds, given.only)
        finally:
            server.stop()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    print(machine())
    for line in report:
        print(
            f"{line['name']:18} {line['median']:>8,} {line['unit']} ({line['min']:,} to {line['max']:,}); "
            f"{line['floor_name']}: {line['floor']:,}; ratio {line['ratio']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
