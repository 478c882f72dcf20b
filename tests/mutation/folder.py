"""
Give mutmut a folder in which to work: the sources by links, its own copy of them beside, and what it found so far.

mutmut works where it stands and keeps what it knows in `mutants/` there. So each group has a folder of its own, with
links to the code and a configuration that is written anew each time: nothing is mutated in the tree itself. What runs
the mutants is `runner`, a program of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.mutation.groups import LINES_NOT_MUTATED, Group

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / "build" / "mutation"
LINKED: Final = ("ledger", "verifier", "replicator", "tests", "examples", "docs", "migrations", "benchmarks")
KILLED: Final = frozenset({1, 3, 24, -24, 36, 152, 255})
"""Exit codes of pytest, and of running out of time, that say that a test noticed (mutmut's own numbers)."""
NO_TEST: Final = frozenset({5, 33})
LATEST_S: Final = 900.0
"""So long after its time a run is ended: until then tests are measured, and the mutants at hand run to an end."""


class Mutant(msgspec.Struct, frozen=True):
    """
    One mutant: its name, the file it is of, and what the tests' exit code was; None: not run.
    """

    name: str
    path: str
    exit_code: int | None

    @property
    def function(self) -> str:
        """
        Return the function that is mutated, with its class.
        """
        name = self.name.rpartition(".")[2].rpartition("__mutmut_")[0]
        return name.removeprefix("x_").replace("xǁ", "").replace("ǁ", ".")


def folder_of(group: Group, home: Path = HOME) -> Path:
    """
    Return the folder of a group, with its links and its configuration as they are now.
    """
    folder = home / group.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    (folder / "pyproject.toml").write_text(_configuration(group))
    return folder


def _configuration(group: Group) -> str:
    pytest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    listed = {
        "source_paths": ["ledger", "verifier", "replicator"],
        "only_mutate": list(group.sources),
        "do_not_mutate_patterns": list(LINES_NOT_MUTATED),
        "also_copy": [name for name in LINKED if name not in ("ledger", "verifier", "replicator")],
    }
    lines = ["[tool.pytest.ini_options]", *(f"{name} = {json.dumps(value)}" for name, value in pytest.items())]
    lines += ["[tool.mutmut]", *(f"{name} = {json.dumps(value)}" for name, value in listed.items())]
    return "\n".join(lines) + "\n"


def is_source(group: Group, path: str) -> bool:
    """
    Whether the file *path* is one of those that a group mutates.
    """
    return any(fnmatch(path, pattern) for pattern in group.sources)


def mutants(folder: Path) -> Iterator[Mutant]:
    """
    Yield every mutant that mutmut has made in *folder*.
    """
    for meta in sorted((folder / "mutants").rglob("*.py.meta")):
        path = meta.relative_to(folder / "mutants").as_posix().removesuffix(".meta")
        found: dict[str, Any] = json.loads(meta.read_text())
        for name, code in found["exit_code_by_key"].items():
            yield Mutant(name, path, code)


def chosen(group: Group, made: Sequence[Mutant], seed: int) -> list[Mutant]:
    """
    Return those of the mutants of a group that are to be run: all, or those that are drawn and those of whole files.
    """
    if group.sample is None:
        return list(made)
    found = {one.name for one in drawn(made, group.sample, seed)}
    return [one for one in made if one.name in found or one.path in group.whole]


def drawn(made: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """
    Return *count* of the mutants, the same for the same seed; where a function changes, the others stay drawn.
    """
    chosen = sorted(made, key=lambda one: sha256(f"{seed} {one.name}".encode()).digest())[:count]
    return sorted(chosen, key=lambda one: one.name)


_MAKE: Final = """
from mutmut.__main__ import create_mutants
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir
copy_src_dir()
copy_also_copy_files()
create_mutants(1)
"""


def make(folder: Path) -> None:
    """
    Make the mutants in *folder*, where the code is newer than they are; verdicts on functions that changed are dropped.
    """
    (folder / "mutants").mkdir(exist_ok=True)
    environment = {**os.environ, "MUTANT_UNDER_TEST": "mutant_generation"}
    command = [sys.executable, "-c", _MAKE]
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if said.returncode:
        raise RuntimeError(f"no mutants were made in {folder}: {said.stderr}")


def run(
    folder: Path, group: Group, names: Sequence[str], seconds: float, *, children: int = 1, afresh: bool = False
) -> int | None:
    """
    Run the mutants of these names by the tests of *group*, and return the exit status; None where it had to be ended.

    After so many seconds no other is begun. *afresh* measures again which test calls what.
    """
    tests = [*group.tests, *(f"--deselect={name}" for name in group.without)]
    asked = {
        "names": list(names), "tests": tests, "first": list(group.first), "seconds": seconds, "children": children,
        "afresh": afresh,
    }  # fmt: skip
    environment = {
        **os.environ, "LEDGER_TEST_SERVERS": "none", "PYTHONHASHSEED": "0",
        "PYTEST_ADDOPTS": "-p tests.mutation.unhurried",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.mutation.runner", json.dumps(asked)]
    with subprocess.Popen(command, cwd=folder / "mutants", env=environment, start_new_session=True) as process:
        try:
            return process.wait(seconds + LATEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return None


_SHOW: Final = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
print(json.dumps({name: get_diff_for_mutant(name, path=path) for name, path in json.load(sys.stdin)}))
"""


def differences(folder: Path, living: Sequence[Mutant]) -> dict[str, str]:
    """
    Return what each of these mutants changes, by name: the line before, an arrow, and the line after.
    """
    if not living:
        return {}
    asked = json.dumps([(one.name, one.path) for one in living])
    said = subprocess.run(
        [sys.executable, "-c", _SHOW], cwd=folder, input=asked, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(said.stdout)
    return {name: _arrow(difference) for name, difference in found.items()}


def _arrow(difference: str) -> str:
    lines = [line for line in difference.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    before, after = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    return f"{' '.join(before)} → {' '.join(after)}"
