"""
Check how a report is made of what was measured, and when it may be kept: without servers.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import plots, report, run, surroundings
from benchmarks.long_chain import Grown, Growth, Point
from benchmarks.report import Report, Target
from benchmarks.surroundings import Machine
from ledger.errors import InvalidInput, SetupNeeded

MACHINE = Machine("a processor", 2, 8 << 30, "6.1", "18.6", "3.11.7", True)
POINTS = [Point(n * 100_000, 20_000.0 - n, 100_000.0 if n % 2 else None, (100 + n) << 20) for n in range(1, 40)]


def made(points: list[Point] = POINTS) -> Report:
    """Return a report of two measures."""
    measures = [
        report.measure("append.bulk.2000", 40_000, report.RATE, "COPY", [(50_000.4, 100_000.0), (30_000.0, 90_000.0)]),
        report.measure("append.digest_share", 40_000, report.COST, "an append", [(4.0, 50.0)]),
    ]
    return Report(1, "2026-01-02T03:04:05+00:00", "abc", False, "make bench", 125, MACHINE, measures, points)


@pytest.mark.parametrize(
    ("target", "ratio", "reached"),
    [
        (Target(0.4, 0.6), 0.6, "aim"),
        (Target(0.4, 0.6), 0.59, "bar"),
        (Target(0.4, 0.6), 0.39, "no"),
        (Target(2.0, 1.3, lower=True), 1.3, "aim"),
        (Target(2.0, 1.3, lower=True), 1.31, "bar"),
        (Target(2.0, 1.3, lower=True), 2.01, "no"),
        (Target(1.0, None), 5.0, "bar"),
    ],
)
def test_a_ratio_reaches_aim_bar_or_nothing(target: Target, ratio: float, reached: str) -> None:
    """At least so much, or at most where lower is better."""
    assert target.judge(ratio) == reached


@pytest.mark.parametrize(
    ("name", "bar"),
    [
        ("append.at_10m", 0.9),
        ("append.at_300k", 0.9),
        ("writer.rss_at_10m", 1.3),
        ("append.bulk.2000", 0.4),
        ("append.bulk.20", None),
        ("append.digest_share", None),
    ],
)
def test_what_is_asked_is_asked_at_any_length(name: str, bar: float | None) -> None:
    """The length of the chain is part of some names; others are asked for as they are, or not at all."""
    found = report.target(name)
    assert (found.bar if found else None) == bar


def test_the_ratio_is_the_median_of_each_rounds_own() -> None:
    """A round that was slow as a whole moves values and floors, and not the ratio."""
    found = report.measure("append.bulk.2000", 1, report.RATE, "COPY", [(50, 100), (5, 10), (40, 100)])
    assert (found.ratio, found.value, found.floor, found.met) == (0.5, 40, 100, "bar")
    assert (found.values, found.floors) == ([50, 5, 40], [100, 10, 100])


def test_the_json_has_the_shape_that_programs_read() -> None:
    """Names of fields are a promise, and the whole comes back as it was."""
    found = msgspec.json.decode(report.as_json(made()))
    assert list(found) == ["format", "date", "commit", "changed", "command", "seconds", "machine", "measures", "chain"]
    assert list(found["machine"]) == ["cpu", "cores", "memory_bytes", "kernel", "postgresql", "python", "compiled"]
    assert list(found["measures"][0]) == [
        "name", "size", "unit", "value", "floor_name", "floor", "ratio", "bar", "aim", "better", "met", "values",
        "floors",
    ]  # fmt: skip
    assert [found["measures"][1][name] for name in ("bar", "aim", "better", "met")] == [None] * 4
    assert list(found["chain"][0]) == ["length", "rate", "floor", "resident"]
    assert msgspec.json.decode(report.as_json(made()), type=Report) == made()


def test_the_page_says_machine_commit_and_each_measure() -> None:
    """No number without what it was measured on, and beside what."""
    page = report.as_page(made(), [("rates", "rate.svg")])
    assert "| machine | a processor, 2 cores, 8.0 GiB, Linux 6.1 |" in page
    assert "| commit | abc |" in page
    assert "| commit | abc and changes |" in report.as_page(msgspec.structs.replace(made(), changed=True))
    assert "| command | `make bench`, 2 min 5 s |" in page
    assert "| append.bulk.2000 | 40,000 events/s | 95,000 (COPY) | 0.417 | ≥ 0.4 | ≥ 0.6 | bar |" in page
    assert "| append.digest_share | 4 µs | 50 (an append) | 0.08 |  |  |  |" in page
    assert "![rates](rate.svg)" in page


def test_the_page_shows_some_lengths_the_first_and_the_last() -> None:
    """Lengths with a floor, evenly spread; without a long chain there is no such part."""
    rows = [line for line in report.as_page(made()).splitlines() if "00,000 | 1" in line]
    assert len(rows) == report.ROWS
    assert rows[0] == "| 100,000 | 19,999 | 100,000 | 0.200 | 101 |"
    assert rows[-1] == "| 3,900,000 | 19,961 | 100,000 | 0.200 | 139 |"
    assert "| 100,000 | 19,999 |" in report.as_page(made(POINTS[:1]))
    assert "As the chain grows" not in report.as_page(made([]))


@pytest.mark.parametrize("points", [POINTS, POINTS[:1]])
def test_three_plots_are_drawn(points: list[Point]) -> None:
    """Each is SVG with a line of as many places as there are points."""
    found = plots.drawn(points)
    assert list(found) == ["rate.svg", "ratio.svg", "memory.svg"]
    for file, lines in (("rate.svg", 2), ("ratio.svg", 1), ("memory.svg", 1)):
        title, svg = found[file]
        root = ElementTree.fromstring(svg)
        assert title in "".join(root.itertext())
        assert len([x for x in root.iter() if x.tag.endswith("path")]) == lines


@pytest.mark.parametrize(("count", "name"), [(10_000_000, "10m"), (300_000, "300k"), (1_500_000, "1500k"), (7, "7")])
def test_lengths_have_short_names(count: int, name: str) -> None:
    """They are part of a measure's name."""
    assert report.short(count) == name


def test_memory_is_the_most_that_was_seen_up_to_a_length() -> None:
    """A moment after a collection would flatter."""
    grown = Grown([Point(1, 1, None, 7), Point(2, 1, None, 9), Point(3, 1, None, 8)], [], [])
    assert [grown.resident(length) for length in (1, 2, 3)] == [7, 9, 9]


@pytest.mark.parametrize(("events", "early", "chunk"), [(100, 100, 10), (100, 5, 10)])
def test_a_long_chain_is_longer_than_a_short_one(events: int, early: int, chunk: int) -> None:
    """A comparison of a length with itself would say 1 and mean nothing."""
    with pytest.raises(InvalidInput, match="expected the short one"):
        Growth(events, early, chunk, samples=1, rounds=1, reads=1)


def git(folder: Path, *words: str) -> str:
    """Run git in *folder*."""
    return subprocess.run(
        ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e", *words],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Begin")
    return tmp_path


def test_a_clean_tree_may_keep_its_report(clone: Path) -> None:
    """What lies where reports are kept is not measured, and may differ."""
    kept = clone / surroundings.KEPT
    kept.mkdir(parents=True)
    (kept / "report.json").write_text("{}")
    surroundings.check_clean(clone)
    assert (surroundings.changes(clone), surroundings.commit(clone)) == ([], git(clone, "rev-parse", "HEAD"))


@pytest.mark.parametrize("file", ["code", "new", "docs/other.md"])
def test_a_dirty_tree_keeps_no_report(clone: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """It is refused by name before anything is measured: the numbers would be of no commit."""
    (clone / file).parent.mkdir(exist_ok=True)
    (clone / file).write_text("2")
    monkeypatch.setattr(run, "ROOT", clone)
    given = argparse.Namespace(size="small", chain=None, seed=7, only="", keep=True)
    with pytest.raises(SetupNeeded, match=file.partition("/")[0]):
        run.measured(given)
    assert not (clone / "build").exists()


def test_a_folder_without_git_keeps_no_report(tmp_path: Path) -> None:
    """There is no commit to keep it with."""
    with pytest.raises(SetupNeeded, match="no git repository"):
        surroundings.check_clean(tmp_path)
    assert surroundings.commit(tmp_path) == "unknown"


def test_a_full_disk_is_seen_before_an_hour_is_spent() -> None:
    """The message says how to use another disk."""
    with pytest.raises(SetupNeeded, match="set TMPDIR"):
        run.check_room(10**12)
