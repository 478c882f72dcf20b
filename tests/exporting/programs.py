"""
Run beancount and hledger on journals, as programs of their own, and say what each refused.

Hledger is no Python package: where it is not installed, beancount judges alone, and `make test` says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_BEANCOUNT = """
import decimal, json, sys
decimal.getcontext().prec = 60
from beancount.loader import load_file
print(json.dumps([[error.message for error in load_file(path)[1]] for path in sys.argv[1:]]))
"""
FORMS = ("beancount", "hledger") if shutil.which("hledger") else ("beancount",)


def refused(form: str, *journals: Path) -> list[list[str]]:
    """Return what the program found wrong with each of *journals*."""
    if form == "beancount":
        done = subprocess.run(
            [sys.executable, "-c", _BEANCOUNT, *map(str, journals)], capture_output=True, text=True, check=True,
            env={**os.environ, "BEANCOUNT_DISABLE_LOAD_CACHE": "1"},
        )  # fmt: skip
        found: list[list[str]] = json.loads(done.stdout)
        return found
    return [_hledger(path) for path in journals]


def _hledger(path: Path) -> list[str]:
    checks = ("balanced", "assertions", "commodities", "accounts")
    done = subprocess.run(
        ["hledger", "--strict", "-f", str(path), "check", *checks], capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert (done.returncode == 0) == (not done.stderr)
    return [done.stderr] if done.returncode else []
