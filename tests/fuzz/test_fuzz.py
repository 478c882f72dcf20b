"""
Run the fuzz test for a few seconds under its limit of memory, and see that it notices what it is there to notice.

`LEDGER_FUZZ_SECONDS` (of the processor) and `LEDGER_FUZZ_SEED` change what is run; `make fuzz` runs it longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from ledger.errors import UnknownFormat
from tests.fuzz import examples, feeding, folders, targets
from tests.fuzz.feeding import Feeding
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import MIB, Target

SECONDS = os.environ.get("LEDGER_FUZZ_SECONDS", "4")


def test_changed_inputs_end_in_named_errors_in_bounded_memory_and_time(tmp_path: Path) -> None:
    """Every target, in a process that may take so much memory and no more; the seed is in what a failure shows."""
    report = tmp_path / "report.json"
    given = [sys.executable, "-m", "tests.fuzz", "--seconds", SECONDS, "--report", str(report)]
    ended = subprocess.run(given, capture_output=True, text=True, timeout=60 + 20 * float(SECONDS), check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(report.read_text())
    assert said["failures"] == 0
    assert said["grown_mib"] < said["limit_mib"]
    # Each target got as far as being accepted, at least by the examples that a change left as they mean.
    assert all(one["inputs"] >= 20 for one in said["targets"])
    assert sum(one["accepted"] > 0 for one in said["targets"]) > len(said["targets"]) // 2


@pytest.mark.parametrize("target", targets.pure(), ids=lambda target: target.name)
def test_an_input_takes_no_more_memory_than_its_format_allows(target: Target) -> None:
    """Measured at its peak, of every example, bombs among them, and of changed ones."""
    peak, size = feeding.peak_of(target, 1, 50)
    assert peak <= target.memory_bytes, f"{peak} bytes for an input of {size}"


def test_an_archive_takes_no_more_memory_than_its_format_allows(tmp_path: Path) -> None:
    """A bomb in the place of a segment among them."""
    for target in (one for one in folders.archives(tmp_path) if one.name == "archive: segment"):
        peak, size = feeding.peak_of(target, 1, 2)
        assert peak <= target.memory_bytes, f"{target.name}: {peak} bytes for an input of {size}"


def test_the_examples_themselves_are_accepted(tmp_path: Path) -> None:
    """What is changed is good before: a target that refuses everything would notice nothing."""
    for target in (*targets.pure(), *folders.archives(tmp_path / "a"), *folders.states(tmp_path / "s")):
        target.feed(target.wrap(target.examples[0]))


def test_a_seed_repeats_its_inputs() -> None:
    """The same changes of the same examples, and others with another seed."""
    one, again, other = (Mutator(examples.policies(), Random(seed)) for seed in ("1", "1", "2"))
    made = [one.make() for _ in range(50)]
    assert made == [again.make() for _ in range(50)]
    assert made != [other.make() for _ in range(50)]


def takes_memory(data: bytes) -> None:
    bytearray(64 * MIB)


def raises_nothing_named(data: bytes) -> None:
    data.decode("ascii")


def refuses(data: bytes) -> None:
    raise UnknownFormat("found nothing")


def accepts(data: bytes) -> None:
    targets.same(data, b"another")


def test_what_has_no_name_is_noticed_and_kept(tmp_path: Path) -> None:
    """An error that is none of the ledger's, and an input that is read as another, each with the input."""
    for feed, said in ((raises_nothing_named, "UnicodeDecodeError"), (accepts, "Wrong")):
        run = Feeding(Target("a target", [b"\xff" * 20], feed), 1)
        run.batch(20)
        assert [failure.said.partition(":")[0] for failure in run.fed.failures] == [said]
        (path,) = feeding.keep(run.fed.failures, tmp_path)
        with pytest.raises(Exception, match=r"codec|reads as"):
            feed(path.read_bytes())
    run = Feeding(Target("a target", [b"x"], refuses), 1)
    run.batch(20)
    assert (run.fed.failures, run.fed.refused["UnknownFormat"]) == ([], 20)


def test_memory_and_time_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that takes 64 MiB, one that takes too long, and one that would never end."""
    assert feeding.peak_of(Target("a target", [b"x"], takes_memory), 1, 1)[0] > 63 * MIB
    monkeypatch.setattr(feeding, "SECONDS_LIMIT", 0.01)
    monkeypatch.setattr(feeding, "HANG_SECONDS", 0.05)

    def never_ends(data: bytes) -> None:
        while True:
            pass

    run = Feeding(Target("a target", [b"x"], never_ends), 1)
    with feeding.watched():
        run.one()
    assert [failure.said.partition(" ")[0] for failure in run.fed.failures] == ["Hang:", "it"]
