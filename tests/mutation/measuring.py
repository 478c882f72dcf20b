"""
Measure, once, what each test takes and which of the mutated functions it calls.

Both are kept beside the mutants, until the test or the code is another.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from mutmut.state import state

from tests.mutation import child

KEPT: Final = Path("measured.json")


class Measure(NamedTuple):
    """
    What a test takes on the processor, the functions it calls, and the hash of what it was when that was measured.
    """

    seconds: float
    calls: list[str]
    of: str


class Measuring:
    """
    A plugin of pytest that notes what is called while a test runs, and whether it fails.
    """

    def __init__(self) -> None:
        self._failed: list[str] = []
        self._of_fixtures: dict[object, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure of any part of a test."""
        if report.failed:
            self._failed.append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note what a fixture calls, for only the first of the tests that share it calls that too."""
        before = set(state()._stats)
        state()._stats.clear()
        try:
            return (yield)
        finally:
            self._of_fixtures[fixturedef] = set(state()._stats)
            state()._stats |= before

    def measures(self, items: Sequence[pytest.Item], code: str, *, afresh: bool) -> dict[str, Measure]:
        """
        Return the measures of all *items* by their ids; those are taken that are not known, or all *afresh*.

        Raises:
            pytest.UsageError: a test fails as it is, so that every mutant would seem to be noticed.
        """
        known: dict[str, Measure] = {}
        if KEPT.exists() and not afresh:
            known = {name: Measure(*told) for name, told in json.loads(KEPT.read_text()).items()}
        paths = {item.path for item in items}
        hashes = {path: sha256(path.read_bytes() + code.encode()).hexdigest() for path in paths}
        new = [item for item in items if item.nodeid not in known or known[item.nodeid].of != hashes[item.path]]
        if new:
            # In a child, so that what a test leaves in memory is in none of those that run mutants.
            told = child.said_by(lambda: self._taken(new, hashes)) or {"failed": "the tests ended the process"}
            if "failed" in told:
                raise pytest.UsageError(f"a test fails before anything is mutated: {told['failed']}")
            known |= {name: Measure(*one) for name, one in told.items()}
            KEPT.write_text(json.dumps(known))
        return known

    def _taken(self, items: Sequence[pytest.Item], hashes: dict[Path, str]) -> dict[str, Any]:
        child.begin("stats", items[0].config)
        child.call_mutant("stats")
        told: dict[str, Measure] = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            state()._stats.clear()
            began = child.processor_s()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return {"failed": self._failed[0]}
            calls = set(state()._stats)
            for found in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                calls.update(*(self._of_fixtures.get(fixture, ()) for fixture in found))
            told[item.nodeid] = Measure(round(child.processor_s() - began, 4), sorted(calls), hashes[item.path])
        return told
