"""
Mutate groups of modules, and write what came of it: python -m tests.mutation [GROUP …] [--minutes N] [--page]

`--changed BASE` takes the modules that differ from that commit and makes mutants of them alone. With `--least SHARE` it
ends with 1 where the tests notice less than that share of them, those left out that live for a known reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from tests.mutation import folder, page, verdicts
from tests.mutation.folder import KILLED, ROOT, Mutant
from tests.mutation.groups import GROUPS, Group, group_of

SEED: Final = 20261129


def main() -> int:
    """
    Run what is asked for, and return the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *(group.name for group in GROUPS)], metavar="GROUP")
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="for each group; a later run goes on; 0: only drop verdicts on what changed",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of what is drawn where not all mutants are run")
    parser.add_argument("--page", action="store_true", help="write docs/MUTATION.md from what was run, and no more")
    parser.add_argument("--children", type=int, default=1, help="mutants at a time")
    parser.add_argument("--changed", metavar="BASE", help="the modules that differ from this commit, and no others")
    parser.add_argument(
        "--least", type=float, default=0.0, metavar="SHARE", help="what has to be noticed, such as 0.95"
    )
    parser.add_argument(
        "--again", action="store_true", help="run what lives for no reason once more: tests may be better now"
    )
    asked = parser.parse_args()
    if asked.page:
        page.write(asked.seed)
        return 0
    if asked.changed is not None:
        return changed(asked.changed, asked.minutes, asked.least)
    print(f"seed {asked.seed}", flush=True)
    for group in GROUPS:
        if not asked.groups or group.name in asked.groups:
            mutate(group, asked.minutes * 60, asked)
            verdicts.write(group, folder.folder_of(group))
    page.write(asked.seed)
    return 0


def mutate(group: Group, seconds: float, asked: argparse.Namespace) -> None:
    """
    Run the mutants of a group that were not run yet, or those that live for no reason, for so many seconds.
    """
    place = folder.folder_of(group)
    verdicts.seed(group, place, group)
    folder.make(place)
    made = list(folder.mutants(place))
    if asked.again:
        chosen = page.for_no_reason(place, verdicts.lives(made))
    else:
        chosen = [one for one in folder.chosen(group, made, asked.seed) if one.exit_code is None]
    if chosen and seconds > 0:
        names = [one.name for one in chosen]
        folder.run(place, group, names, seconds, children=asked.children, afresh=asked.again)


def changed(base: str, minutes: float, least: float) -> int:
    """
    Mutate the modules that differ from *base*; return 1 where too many mutants live.

    Modules of which no mutant was run, for want of time, are named at the end: nothing is known of them.
    """
    said = subprocess.run(["git", "diff", "--name-only", base, "--", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if said.returncode:
        print(f"nothing was mutated: git knows no {base}: {said.stderr.strip()}")
        return 0
    until, status, left_out = time.monotonic() + minutes * 60, 0, list[str]()
    for group in GROUPS:
        paths = [path for path in said.stdout.split() if group_of(path) == group and (ROOT / path).exists()]
        if paths:
            left = until - time.monotonic()
            if left < 10:
                left_out += paths
                continue
            bad, unrun = _changed_of(group, paths, left, least)
            status |= bad
            left_out += unrun
    if left_out:
        print(f"LEFT OUT: mutants of {', '.join(left_out)}, of which there was time for none: make mutation")
    return status


def _changed_of(group: Group, paths: Sequence[str], seconds: float, least: float) -> tuple[int, list[str]]:
    """Return the status, and the modules that have mutants of which none was run."""
    # In a folder of its own, for one that mutates some files only would forget the others.
    of_these = msgspec.structs.replace(group, name=f"{group.name} changed", sources=tuple(paths))
    place = folder.folder_of(of_these)
    verdicts.seed(of_these, place, group)
    folder.make(place)
    names = [one.name for one in folder.mutants(place) if one.exit_code is None and one.path in paths]
    status = folder.run(place, group, names, seconds) if names else 0
    if status:
        print(f"{group.name}: the run ended with {status}, so nothing is known of {', '.join(paths)}")
        return 1, []
    made = [one for one in folder.mutants(place) if one.path in paths]
    ran = [one for one in made if one.exit_code is not None]
    living = [one for one in ran if one.exit_code not in KILLED]
    unknown = page.for_no_reason(place, living)
    print(f"{group.name}: {', '.join(paths)}: {len(made)} mutants, {len(ran)} run, {len(living)} not noticed, "
          f"{len(unknown)} of them for no reason that is known")  # fmt: skip
    changes = folder.differences(place, unknown)
    for one in unknown:
        print(f"  {one.path} {one.function}: {changes[one.name]}")
    return int(share(ran, unknown) < least), unrun(made)


def unrun(made: Sequence[Mutant]) -> list[str]:
    """
    Return the modules that have mutants of which none was run.
    """
    return sorted({one.path for one in made} - {one.path for one in made if one.exit_code is not None})


def share(ran: Sequence[Mutant], unknown: Sequence[Mutant]) -> float:
    """
    Return the share of mutants that were noticed, or that live for a known reason; 1 where none was run.
    """
    return 1 - len(unknown) / len(ran) if ran else 1.0


if __name__ == "__main__":
    sys.exit(main())
