"""
Hold what was measured against what it should reach, and write it as JSON and as a page.

Everything here is pure: the same measurements make the same report.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from benchmarks.long_chain import Point
from benchmarks.measures import Pair
from benchmarks.surroundings import Machine

FORMAT = 1
RATE, TIME, COST, MEMORY = "events/s", "ms", "µs", "MiB"
ROWS = 12
"""So many lengths of the chain are printed; the JSON has all."""


class Target(msgspec.Struct, frozen=True):
    """
    What a ratio must reach, and what it should: at least so much, or at most where *lower* is better.
    """

    bar: float
    aim: float | None
    lower: bool = False

    def judge(self, ratio: float) -> Literal["aim", "bar", "no"]:
        """
        Return what *ratio* reaches.
        """
        if self.aim is not None and self._reaches(ratio, self.aim):
            return "aim"
        return "bar" if self._reaches(ratio, self.bar) else "no"

    def _reaches(self, ratio: float, goal: float) -> bool:
        return ratio <= goal if self.lower else ratio >= goal

    def text(self, goal: float | None) -> str:
        """
        Return *goal* with its direction.
        """
        return "" if goal is None else f"{'≤' if self.lower else '≥'} {goal:g}"


TARGETS = {
    "append.bulk.2000": Target(0.40, 0.60),
    "append.bulk.200": Target(0.25, 0.45),
    "append.callers64": Target(0.7, 1.0),
    "append.single.p50_ms": Target(2.0, 1.3, lower=True),
    "append.with_evidence": Target(0.85, 0.95),
    "append.at_": Target(0.9, 1.0),
    "writer.rss_at_": Target(1.3, 1.05, lower=True),
    "read.balance.p50_ms": Target(1.5, 1.2, lower=True),
    "read.balance_as_of.p50_ms": Target(50, 10, lower=True),
    "history.order.p50_ms": Target(5, 2, lower=True),
    "import.session": Target(1.0, None),
    "verify.chain": Target(0.30, 0.50),
    "verify.chain.jobs2": Target(1.3, 1.5),
    "verify.archive.jobs2": Target(1.7, 1.95),
    "verify.full": Target(0.10, 0.25),
    "verify.memory": Target(1.3, 1.05, lower=True),
    "verify.incremental": Target(2.0, 1.2, lower=True),
    "verify.executor": Target(0.8, 1.0),
    "prove.p50_ms": Target(5, 2, lower=True),
}
"""By the measure's name, without the length of the chain where that is part of it."""


class Measure(msgspec.Struct, frozen=True):
    """
    One line of the report.

    `value` and `floor` are the medians of `values` and `floors`, which belong together round by round; `ratio` is the
    median of each round's own. `met` says what it reaches: the aim, the bar, or no; null where nothing is asked.
    """

    name: str
    size: int
    unit: str
    value: float
    floor_name: str
    floor: float
    ratio: float
    bar: float | None
    aim: float | None
    better: Literal["higher", "lower"] | None
    met: Literal["aim", "bar", "no"] | None
    values: list[float]
    floors: list[float]


class Report(msgspec.Struct, frozen=True):
    """
    All that one run found; `seconds` is how long it took, `chain` the points of the chain that grew long.

    `changed` says that files were not as they are in `commit`.
    """

    format: int
    date: str
    commit: str
    changed: bool
    command: str
    seconds: int
    machine: Machine
    measures: list[Measure]
    chain: list[Point]


def target(name: str) -> Target | None:
    """
    Return what is asked of the measure *name*, or None.
    """
    return TARGETS.get(name) or next((found for begin, found in TARGETS.items() if _names_length(begin, name)), None)


def _names_length(begin: str, name: str) -> bool:
    return begin.endswith("_") and name.startswith(begin)


def measure(name: str, size: int, unit: str, floor_name: str, pairs: Sequence[Pair]) -> Measure:
    """
    Return the report's line of *pairs*, one a round.
    """
    digits = 0 if unit == RATE else 3
    values, floors = ([round(pair[place], digits) for pair in pairs] for place in (0, 1))
    ratio = round(statistics.median(value / floor for value, floor in pairs), 3)
    asked = target(name)
    return Measure(
        name=name,
        size=size,
        unit=unit,
        value=statistics.median(values),
        floor_name=floor_name,
        floor=statistics.median(floors),
        ratio=ratio,
        bar=asked.bar if asked else None,
        aim=asked.aim if asked else None,
        better=None if asked is None else "lower" if asked.lower else "higher",
        met=asked.judge(ratio) if asked else None,
        values=values,
        floors=floors,
    )


def short(count: int) -> str:
    """
    Return *count* as names and pages have it: 10m, 300k, 750.
    """
    for unit, letter in ((1_000_000, "m"), (1_000, "k")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def as_json(report: Report) -> bytes:
    """
    Return the report for programs.
    """
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def as_page(report: Report, plots: Sequence[tuple[str, str]] = ()) -> str:
    """
    Return the report for people, with *plots*: what each shows, and its file.
    """
    machine = report.machine
    facts = (
        ("machine", f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.1f} GiB, Linux "
                    f"{machine.kernel}"),
        ("programs", f"PostgreSQL {machine.postgresql}, Python {machine.python}, inner modules "
                     f"{'compiled' if machine.compiled else 'interpreted'}"),
        ("commit", report.commit + (" and changes" if report.changed else "")),
        ("date", report.date),
        ("command", f"`{report.command}`, {report.seconds // 60} min {report.seconds % 60} s"),
    )  # fmt: skip
    lines = ["# Benchmark report", "", *_table(("", ""), facts), "", *_table(_HEAD, [_row(x) for x in report.measures])]
    lines += ["", "Ratios are medians of each round's own. [README.md](README.md) says what each measure is and how to",
              "read it; `report.json` has every round."]  # fmt: skip
    if report.chain:
        lines += ["", "## As the chain grows", ""]
        lines += [f"![{what}]({file})" for what, file in plots]
        lines += ["", *_table(_CHAIN_HEAD, [_chain_row(x) for x in _some(report.chain)])]
    return "\n".join(lines) + "\n"


_HEAD = ("measure", "value", "floor", "ratio", "bar", "aim", "reaches")
_CHAIN_HEAD = ("events", "events/s", "COPY, events/s", "ratio", "writer's memory, MiB")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _row(found: Measure) -> tuple[str, ...]:
    asked = target(found.name)
    goals = (asked.text(asked.bar), asked.text(asked.aim)) if asked else ("", "")
    return (
        found.name,
        f"{number(found.value)} {found.unit}",
        f"{number(found.floor)} ({found.floor_name})",
        f"{found.ratio:g}",
        *goals,
        found.met or "",
    )


def number(value: float) -> str:
    """
    Return *value* as people read it.
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _some(points: Sequence[Point]) -> list[Point]:
    """Return points with a floor, spread evenly, the first and the last among them."""
    whole = [point for point in points if point.floor]
    rows = min(ROWS, len(whole))
    return [whole[n * (len(whole) - 1) // max(1, rows - 1)] for n in range(rows)]


def _chain_row(point: Point) -> tuple[str, ...]:
    floor = point.floor or 0.0
    return (
        f"{point.length:,}",
        f"{point.rate:,.0f}",
        f"{floor:,.0f}",
        f"{point.rate / floor:.3f}",
        f"{point.resident / 2**20:,.0f}",
    )
