"""
Check of the modules that a wheel may have compiled that nothing in them is lost by it.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "mypyc"
]


def classes() -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield of every class its name, its bases, and what is said of it in its own line."""
    left_out = {ROOT / name for name in HOOK["exclude"]}
    for place in (place for pattern in HOOK["include"] for place in ROOT.glob(pattern) if place not in left_out):
        for node in ast.walk(ast.parse(place.read_text())):
            if isinstance(node, ast.ClassDef):
                said = ({ast.unparse(x) for x in nodes} for nodes in (node.bases, node.keywords))
                yield f"{place.name}: {node.name}", *said


def test_every_name_of_the_list_is_a_module() -> None:
    """One that was moved would be left out, and nobody would see it but by how slow it is."""
    assert all(list(ROOT.glob(pattern)) for pattern in HOOK["include"])
    assert HOOK["enable-by-default"] is False


def test_what_is_said_of_a_class_is_inherited_and_not_said_in_its_own_line_alone() -> None:
    """The compiler drops `array_like=True` and its like, so that a row would be stored otherwise than it is read."""
    assert [
        name for name, bases, said in classes() if said and not (said == {"frozen=True"} and "Value" in bases)
    ] == []


def test_messages_of_events_are_not_compiled() -> None:
    """Their fields are known by annotations that a compiled class does not keep."""
    assert [name for name, bases, _ in classes() if bases & {"Event", "Fields", "Row"}] == []
    assert all((ROOT / name).exists() for name in HOOK["exclude"])
