"""
Hold docs/INVARIANTS.md to the program: what its table names is there, and what breaks an invariant is in its row.
"""

from __future__ import annotations

import functools
import json
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest

import verifier
from ledger import guards
from ledger.domain.rules.invariants import INVARIANTS, OF_RULE, PRINCIPLES
from tests.invariants import blocks, test_memory
from tests.invariants.test_rehashed import REWRITTEN

ROOT = Path(__file__).parents[2]
_NAMES = re.compile(r"`([^`]+)`")


class Entry(msgspec.Struct, frozen=True):
    """
    One row of the table, as it is written.
    """

    number: str
    says: str
    memory: str
    rules: str
    database: str
    finding: str
    test: str


@functools.cache
def table() -> dict[str, Entry]:
    lines = (ROOT / "docs" / "INVARIANTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| I[0-9]+ ", line)]
    return {row[0]: Entry(*row) for row in rows}


@functools.cache
def principles() -> dict[str, tuple[str, str]]:
    """Return what the second table says of each principle, and its rules."""
    lines = (ROOT / "docs" / "INVARIANTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| R[0-9]+ ", line)]
    return {number: (says, rules) for number, says, rules in rows}


def names(cell: str) -> set[str]:
    return set(_NAMES.findall(cell))


def test_the_page_has_every_invariant_in_the_program_s_words() -> None:
    """All twenty, in order, each said as `invariants.py` says it."""
    assert {number: entry.says for number, entry in table().items()} == INVARIANTS


def test_the_page_has_every_other_rule_under_its_principle() -> None:
    """Each principle in the program's words, with exactly the rules that carry its number."""
    assert {number: says for number, (says, _) in principles().items()} == PRINCIPLES
    for number, (_, rules) in principles().items():
        assert names(rules) == {rule for rule, kept in OF_RULE.items() if kept == number}


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_function_rule_and_test_is_there(number: str) -> None:
    """Functions by their full name, the rules that carry the number, and the test that breaks it by a request."""
    entry = table()[number]
    found = names(entry.memory)
    assert found
    for name in found:
        assert callable(pkgutil.resolve_name(name)), name
    assert names(entry.rules) == {rule for rule, kept in OF_RULE.items() if kept == number}
    (test,) = names(entry.test)
    assert callable(getattr(test_memory, test))
    assert f"{number}_" in test or number in test_memory.REFUSED


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_wall_stands_and_is_broken_by_a_block(number: str) -> None:
    """The constraints and triggers are the schema's, and exactly those that stop a block; else there is a reason."""
    entry = table()[number]
    stopped = {block.expected for block in blocks.of("writer") if block.invariant == number}
    assert stopped, "no block tries"
    walls, _, reason = entry.database.partition("none")
    assert bool(re.match(r"(?: for [^:]+)?: \w+", reason)) == ("taken" in stopped)
    assert {f"{code} {name}" for name, code in re.findall(r"`(\w+)` \((\w+)\)", walls)} == stopped - {"taken"}
    schema = json.loads(guards.EXPECTED.read_text())
    known = {part for key in schema for part in re.split(r"[ .(]", key)}
    assert names(walls) <= known


@pytest.mark.parametrize("number", INVARIANTS)
def test_what_no_wall_stops_is_named_by_the_verifier(number: str) -> None:
    """Each statement that goes through is run behind the walls too, where its finding is asked for."""
    taken, behind = ([block for block in blocks.of(who) if block.invariant == number] for who in ("writer", "intruder"))
    statements = {block.sql.partition("\n")[2] for block in taken if block.expected == "taken"}
    assert all(any(block.sql.endswith(sql) for block in behind) for sql in statements)


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_finding_is_the_verifier_s_and_is_brought_about(number: str) -> None:
    """The classes are those that the verifier's code has, and exactly those that intruders bring about in the tests."""
    brought = {block.expected for block in blocks.of("intruder") if block.invariant == number}
    brought |= {REWRITTEN[number][0]} if number in REWRITTEN else set()
    assert brought
    assert names(table()[number].finding) == brought
    code = "".join(path.read_text() for path in Path(verifier.__file__).parent.glob("*.py"))
    assert all(f'"{kind}"' in code for kind in brought)
