"""
Run the mutants of a small program, and see that each gets its verdict.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.mutation import folder
from tests.mutation.groups import Group

RUNNER = Path(__file__).with_name("runner.py")
CODE = """
def asked(number):
    return number + 1

def passed_by(number):
    return number + 1

def never_called(number):
    return number + 1

def of_a_fixture():
    return 1 + 1

def counted_to(number):
    while number > 0:
        number -= 1
    return number
"""
TESTS = """
import pytest
from small import sums

def test_asked():
    assert sums.asked(1) == 2

def test_passed_by():
    sums.passed_by(1)

def test_counted_to():
    assert sums.counted_to(3) == 0

@pytest.fixture(scope="module")
def two():
    return sums.of_a_fixture()

def test_a_fixture_is_made(two):
    pass

def test_and_what_it_made_is_used(two, tmp_path):
    assert two == 2
    assert not list(tmp_path.iterdir())
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["small"]
only_mutate = ["small/sums.py"]
also_copy = ["tests"]
"""
NAMES = "small.sums.x_"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small program and its mutants."""
    made = tmp_path_factory.mktemp("mutants")
    files = {"small/__init__.py": "", "small/sums.py": CODE, "tests/test_sums.py": TESTS, "tests/__init__.py": "",
             "pyproject.toml": SETTINGS}  # fmt: skip
    for name, text in files.items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(text)
    ours = shutil.ignore_patterns("test_*", "__pycache__")
    shutil.copytree(Path(__file__).parent, made / "tests" / "mutation", ignore=ours)
    folder.make(made)
    return made


def _run(place: Path, names: Iterable[str], seconds: float = 60) -> int | None:
    group = Group("small", ("small/*",), ("tests",))
    return folder.run(place, group, list(names), seconds, children=2)


def _codes(place: Path) -> Mapping[str, int | None]:
    found: dict[str, int | None] = json.loads((place / "mutants/small/sums.py.meta").read_text())["exit_code_by_key"]
    return {name.removeprefix(NAMES): code for name, code in found.items()}


def test_each_mutant_gets_its_verdict(place: Path) -> None:
    """Noticed, by what the fixture of a module calls too; not noticed; without a test; without an end."""
    assert set(_codes(place).values()) == {None}
    assert _run(place, [NAMES + name for name in _codes(place)]) == 0
    by_function: dict[str, set[int | None]] = {}
    for name, code in _codes(place).items():
        by_function.setdefault(name.partition("__")[0], set()).add(code)
    # Where it counts down by two, or from one too many, it ends elsewhere; where it counts up it never does.
    assert by_function == {
        "asked": {1}, "passed_by": {0}, "never_called": {33}, "of_a_fixture": {1}, "counted_to": {1, 36},
    }  # fmt: skip
    assert not (place / "mutants" / "rooms").exists()


def test_no_mutant_is_run_where_a_test_fails_without_one(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """For every mutant would seem to be noticed."""
    test = place / "mutants" / "tests" / "test_more.py"
    test.write_text("def test_wrong():\n    assert 1 == 2\n")
    assert _run(place, [f"{NAMES}asked__mutmut_1"])
    test.unlink()
    assert "test_wrong (call)" in "".join(capfd.readouterr())


def test_no_mutant_is_begun_after_the_time(place: Path) -> None:
    """What was run stays as it was."""
    before = _codes(place)
    assert _run(place, [f"{NAMES}{name}" for name in before], seconds=0) == 0
    assert _codes(place) == before
