"""
Write docs/MUTATION.md: how many mutants of each module the tests notice, and why those live that do.

The reasons are in survivors.json, by function and change, for the numbers of mutants move with the code.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation import folder, verdicts
from tests.mutation.folder import KILLED, NO_TEST, ROOT, Mutant
from tests.mutation.groups import GROUPS, LATER, NOT_MUTATED, Group

PAGE: Final = ROOT / "docs" / "MUTATION.md"
REASONS: Final = Path(__file__).with_name("survivors.json")
HEAD: Final = """# Mutation

Whether the tests would notice a mistake is tried, not believed: [mutmut](https://mutmut.readthedocs.io) changes one
operator, number, name or argument at a time, and the tests that call the changed function have to fail. `make mutation`
runs what was not run yet, ten minutes a group, and writes this page; `.ci/run` does it for the modules that a change
touches. What was run is kept in [mutation/](mutation), by function, and a copy of the repository goes on from there.
[Decision 0029](decisions/0029-mutants-and-fuzz.md) says how and what with.
"""

Reasons = dict[tuple[str, str], str]


def reasons() -> Reasons:
    """
    Return why mutants may live, by function and change.
    """
    listed = json.loads(REASONS.read_text()) if REASONS.exists() else []
    return {(one["function"], one["change"]): one["reason"] for one in listed}


def for_no_reason(place: Path, living: Sequence[Mutant]) -> list[Mutant]:
    """
    Return those of the mutants of a folder that live although no reason is known.
    """
    known, changes = reasons(), folder.differences(place, living)
    return [one for one in living if (one.function, changes[one.name]) not in known]


def write(seed: int) -> None:
    """
    Write the page from what is kept of every group.
    """
    lines = [HEAD]
    living: list[str] = []
    lines += ["| module | mutants | run | noticed | live | without a test | score |", "|---|---|---|---|---|---|---|"]
    notes: list[str] = []
    for group in GROUPS:
        kept = verdicts.read(group)
        made = list(kept.mutants())
        if group.sample is not None and made:
            chosen = {one.name for one in folder.chosen(group, made, seed)}
            before = {one.name for one in made if one.exit_code is not None} - chosen
            count = len(folder.drawn(made, group.sample, seed))
            beside = f", beside all of {', '.join(group.whole)}" if group.whole else ""
            notes.append(
                f"of {group.name}, {count} of {len(made)} mutants are drawn, with seed {seed}{beside}; {len(before)} "
                "others that were run had been drawn of the code as it was then, and count as well"
            )
            made = [one for one in made if one.name in chosen | before]
        if not any(one.exit_code is not None for one in made):
            notes.append(f"{group.name} ({', '.join(group.sources)}): nothing was run")
            continue
        lines += _rows(group, made)
        living += _living(made, kept.living)
    lines += [
        "",
        "A mutant with which a test takes twenty times as long, and a second more, counts as noticed. Those with "
        "the quickest tests are run first, so where not all were run the score is of these and no sample of all. A "
        "verdict stays until the function changes; what lives for no reason is run `--again`.",
        "",
    ]
    lines += ["Not mutated, or not run:", "", *(f"- {said}" for said in (*NOT_MUTATED, *LATER, *notes)), ""]
    if living:
        lines += ["## What lives, and why", "", "| function | change | reason |", "|---|---|---|", *living, ""]
    PAGE.write_text("\n".join(lines))


def _rows(group: Group, made: list[Mutant]) -> list[str]:
    by_path: dict[str, list[Mutant]] = defaultdict(list)
    for one in made:
        by_path[one.path].append(one)
    rows = [_row(f"`{path}`", of_path) for path, of_path in sorted(by_path.items())]
    return [*rows, _row(f"**{group.name}**", made)]


def _row(name: str, made: list[Mutant]) -> str:
    ran = [one for one in made if one.exit_code is not None]
    noticed = sum(one.exit_code in KILLED for one in ran)
    untested = sum(one.exit_code in NO_TEST for one in ran)
    score = f"{100 * noticed / len(ran):.1f} %" if ran else ""
    return f"| {name} | {len(made)} | {len(ran)} | {noticed} | {len(ran) - noticed - untested} | {untested} | {score} |"


def _living(made: list[Mutant], changes: dict[str, str]) -> list[str]:
    known, rows = reasons(), []
    for one in verdicts.lives(made):
        unknown = "no test calls it" if one.exit_code in NO_TEST else "not judged yet"
        why = known.get((one.function, changes[one.name]), unknown)
        rows.append(f"| `{one.path}` {one.function} | `{changes[one.name].replace('|', '¦')[:200]}` | {why} |")
    return rows
