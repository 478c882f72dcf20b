"""
Say what is mutated, and which tests have to notice.

The tests of a group need no server, so that a mutant takes a part of a second and not a minute; what only a database
can show is in `LATER`, and the page says that nothing of it was run.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import msgspec


class Group(msgspec.Struct, frozen=True):
    """
    Source files (patterns), the tests that are to notice, and how many mutants are drawn where not all are taken.

    `whole` are files of which all are taken, drawn or not. `first` are those of the tests, by how their names begin,
    that are asked before the others: they notice most. `without` are those that read the code itself, in which all
    mutants stand, and those that take too long for what they would notice.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    sample: int | None = None
    whole: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


_ARCHIVES: Final = tuple(
    f"tests/archiving/test_{name}.py"
    for name in (
        "archive",
        "bad_input",
        "chain_file",
        "contradictions",
        "expected",
        "groups",
        "growing",
        "one_edit",
        "parts",
        "ranges",
        "revoked",
        "stated_size",
        "tiers",
        "to_the_letter",
    )
)

_OF_ARCHIVES: Final = (
    *_ARCHIVES,
    "tests/evidence/test_bugs_of_others.py",
    "tests/evidence/test_hostile_json.py",
    "tests/verifier/test_in_turn.py",
    "tests/verifier/test_witness_times.py",
)

_CHECKS: Final = (
    "acknowledgements",
    "chain",
    "commits",
    "conviction",
    "held",
    "keys",
    "meaning",
    "report",
    "revocations",
    "sealed",
    "signed",
    "spans",
    "stored",
)
"""Modules of the verifier that are handed rows and say what is wrong with them: no server is needed to try them."""

_OF_CHECKS: Final = tuple(
    f"tests/verifier/test_{name}.py"
    for name in (
        "acknowledgements",
        "chain_checks",
        "commits",
        "conviction",
        "held",
        "in_turn",
        "key_rows",
        "meaning",
        "report",
        "revocations",
        "sealed_rows",
        "signed",
        "spans",
    )
)

_RANDOM: Final = frozenset(
    f"test_{name}.py"
    for name in ("any_values", "event_catalogue", "holdings_model", "model", "mutations", "settlement_model")
)
"""
Tests of the domain that draw another history each time, or start programs: minutes for each mutant, and another verdict
each time. `tests/model/test_known_histories.py` has the same events in histories that stay.
"""
_OF_DOMAIN: Final = tuple(
    f"tests/domain/{file.name}"
    for file in sorted((Path(__file__).parents[1] / "domain").glob("test_*.py"))
    if file.name not in _RANDOM
)

GROUPS: Final = (
    Group(
        "chain",
        ("ledger/chain/*",),
        ("tests/chain", "tests/keyring/test_private_files.py", "tests/replicator/test_segment_bytes.py"),
    ),
    Group("evidence", ("ledger/evidence/*",), ("tests/evidence", "tests/verifier/test_proof.py")),
    Group(
        "archives",
        ("verifier/archive/*",),
        _OF_ARCHIVES,
        sample=300,
        first=tuple(f"tests/archiving/test_{name}.py" for name in ("one_edit", "tiers", "to_the_letter")),
        without=tuple(
            f"tests/archiving/test_archive.py::{name}"
            for name in (
                "test_an_archive_whose_writing_was_stopped_goes_on",
                "test_the_command_ends_as_a_program_should",
            )
        ),
    ),
    Group(
        "proofs",
        ("verifier/proof.py", "verifier/vouching.py"),
        (
            "tests/verifier/test_proof.py",
            "tests/verifier/test_witness_times.py",
            "tests/evidence/test_bugs_of_others.py",
        ),
    ),
    Group(
        "checks",
        (*(f"verifier/{name}.py" for name in _CHECKS), "ledger/spill/*"),
        (*_OF_CHECKS, "tests/spill"),
    ),
    Group(
        "drawing",
        ("verifier/tiled/draw.py", "verifier/tiled/gathered.py"),
        ("tests/tiled/test_draw.py", "tests/tiled/test_gathered.py"),
    ),
    Group(
        "forms",
        ("verifier/forms/*",),
        ("tests/verifier/forms", "tests/verifier/test_spans.py"),
        without=("tests/verifier/forms/test_judged.py::test_every_class_of_finding_has_a_meaning",),
    ),
    Group(
        "fold",
        (
            "ledger/domain/fold.py",
            "ledger/domain/ladder.py",
            "ledger/domain/positions.py",
            "ledger/domain/postings.py",
            "ledger/domain/profit_and_loss.py",
            "ledger/domain/rulebook.py",
            "ledger/domain/rules/*",
        ),
        (*_OF_DOMAIN, "tests/model/test_known_histories.py", "tests/reading/test_split_rounding.py"),
        sample=200,
        whole=("ledger/domain/rulebook.py",),
        first=("tests/model/test_known_histories.py::test_a_known_history",),
        without=("tests/reading/test_split_rounding.py::test_all_days_add_up_over_splits_with_deposits_and_trades",),
    ),
)

LATER: Final = (
    "what of verifier/*.py, verifier/walk and verifier/tiled is in no group: nearly all of it reads PostgreSQL or a "
    "command line, and its tests start servers, a minute for each mutant; `make tamper` and the tests that edit rows "
    "hold it instead",
)
"""What no group mutates, and why not yet."""

NOT_MUTATED: Final = (
    "decorated functions, such as properties, constants of modules, and defaults of fields: mutmut leaves them alone",
    "the text of errors (`raise …` and what it is given): the class decides what a caller does, words are for people",
)
LINES_NOT_MUTATED: Final = (r"^\s*raise\b",)
"""Lines on which no mutant is made, as patterns."""


def group_of(path: str) -> Group | None:
    """
    Return the group that mutates the file *path*, if one does.
    """
    return next((one for one in GROUPS if any(fnmatch(path, pattern) for pattern in one.sources)), None)
