"""
Keep in docs/mutation what was run, so that another copy of the repository goes on from there and not from nothing.

A verdict is of a function as it was when its mutants were run, which its hash says: mutmut drops those of functions
that changed since. A letter stands for each mutant of a function, in the order of their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.mutation import folder
from tests.mutation.folder import KILLED, NO_TEST, ROOT, Mutant
from tests.mutation.groups import Group

HOME: Final = ROOT / "docs" / "mutation"
NOT_RUN: Final = "."
CODES: Final[dict[str, int | None]] = {"k": 1, "t": 36, "l": 0, "n": 33, NOT_RUN: None}
"""Killed, ran out of time, lives, no test calls it, not run: mutmut's exit code for each letter."""
_FAILED: Final = (1, 3)
_INTERRUPTED: Final = 2
_BETWEEN: Final = "__mutmut_"


class Function(msgspec.Struct, frozen=True):
    """
    The verdicts on the mutants of one function, and the hash of what it was.
    """

    hash: str
    verdicts: str


class Kept(msgspec.Struct):
    """
    What is known of a group: by file and function, and what those mutants change that live.
    """

    modules: dict[str, dict[str, Function]] = {}
    living: dict[str, str] = {}

    def mutants(self) -> Iterator[Mutant]:
        """
        Yield every mutant, as `folder.mutants` does.
        """
        for path, functions in self.modules.items():
            for function, of in functions.items():
                for number, letter in enumerate(of.verdicts, 1):
                    yield Mutant(f"{_module(path)}.{function}{_BETWEEN}{number}", path, CODES[letter])


def read(group: Group) -> Kept:
    """
    Return what is kept of a group; nothing where none was ever run.
    """
    file = _file(group)
    return msgspec.json.decode(file.read_bytes(), type=Kept) if file.exists() else Kept()


def write(group: Group, place: Path) -> None:
    """
    Keep what the folder *place* of a group knows.
    """
    made = list(folder.mutants(place))
    if not any(one.exit_code is not None for one in made):
        return
    kept = Kept({}, {})
    for path in sorted({one.path for one in made}):
        hashes: dict[str, str] = _read(place, path)["hash_by_function_name"]
        of_path = [one for one in made if one.path == path]
        functions: dict[str, list[Mutant]] = {}
        for one in sorted(of_path, key=lambda one: int(one.name.rpartition(_BETWEEN)[2])):
            functions.setdefault(one.name.rpartition(_BETWEEN)[0].rpartition(".")[2], []).append(one)
        kept.modules[path] = {
            name: Function(hashes.get(name, ""), "".join(map(_letter, found)))
            for name, found in sorted(functions.items())
        }
    kept.living = folder.differences(place, lives(made))
    HOME.mkdir(exist_ok=True)
    _file(group).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


def seed(group: Group, place: Path, of: Group) -> None:
    """
    Tell a new folder *place* for sources of *group* what is kept of the group *of*, which has them too.
    """
    if list((place / "mutants").rglob("*.py.meta")):
        return
    for path, functions in read(of).modules.items():
        if folder.is_source(group, path):
            codes = {one.name: one.exit_code for one in Kept({path: functions}).mutants()}
            meta = place / "mutants" / f"{path}.meta"
            meta.parent.mkdir(parents=True, exist_ok=True)
            told: dict[str, Any] = {
                "exit_code_by_key": codes,
                "hash_by_function_name": {name: of_one.hash for name, of_one in functions.items()},
                "type_check_error_by_key": {},
                "durations_by_key": {},
                "estimated_durations_by_key": {},
            }
            meta.write_text(json.dumps(told))


def lives(made: Sequence[Mutant]) -> list[Mutant]:
    """
    Return the mutants that were run and that no test noticed.
    """
    return [one for one in made if _letter(one) in "ln"]


def _letter(one: Mutant) -> str:
    if one.exit_code is None or one.exit_code == _INTERRUPTED:
        return NOT_RUN
    if one.exit_code in KILLED:
        return "k" if one.exit_code in _FAILED else "t"
    return "n" if one.exit_code in NO_TEST else "l"


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _read(place: Path, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "mutants" / f"{path}.meta").read_text())
    return found


def _file(group: Group) -> Path:
    return HOME / f"{group.name}.json"
