"""
Say of which machine, programs and commit the numbers are: without those they mean nothing.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import msgspec

from ledger.domain import fold
from ledger.errors import SetupNeeded

KEPT = "docs/benchmarks"
"""Where reports are kept. What lies there is not measured, so it may differ from the commit."""


class Machine(msgspec.Struct, frozen=True):
    """
    What the numbers depend on and the code does not decide.
    """

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    postgresql: str
    python: str
    compiled: bool
    """Whether the inner modules are, as in a wheel."""


def machine(postgresql: str) -> Machine:
    """
    Return this machine, with the server's version *postgresql* as it says it.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return Machine(
        cpu=next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        postgresql=postgresql.split()[0],
        python=platform.python_version(),
        compiled=not fold.__file__.endswith(".py"),
    )


def _git(root: Path, *words: str) -> str | None:
    """Return what git says about *root*, or None where it knows nothing of it."""
    try:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(root: Path) -> str:
    """
    Return the commit that *root* is at, or "unknown".
    """
    return _git(root, "rev-parse", "HEAD") or "unknown"


def changes(root: Path) -> list[str] | None:
    """
    Return the files of *root* that are not as committed, without kept reports; None where git knows nothing of it.
    """
    said = _git(root, "status", "--porcelain", "--", ".", f":(exclude){KEPT}")
    return None if said is None else [line.split(maxsplit=1)[-1] for line in said.splitlines()]


def check_clean(root: Path) -> None:
    """
    Raise SetupNeeded unless the files of *root* are those of its commit: the numbers would be of no commit.
    """
    found = changes(root)
    if found is None:
        raise SetupNeeded("a report is kept with its commit, and this folder is no git repository: measure in a clone")
    if found:
        raise SetupNeeded(
            f"a report is kept with its commit, and these files are not as committed: {', '.join(found[:5])}; "
            "commit or stash them"
        )
