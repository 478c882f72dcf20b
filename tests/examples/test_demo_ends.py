"""
Check how the demo ends when it is not let through: interrupted as it starts, or beside another one.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from examples.demo import run, screen
from ledger.errors import SetupNeeded
from ledger.storage.database import translated
from tests.commands import ROOT

EDITS = [
    {"region": "a", "what": "events", "edited_seq": 5, "found_seq": 5, "edited_column": "actor",
     "found_column": "actor", "findings": 2},
    {"region": "a", "what": "balances", "edited_key": "A/U", "found_key": "", "edited_column": "settled",
     "found_column": None, "findings": 2},
]  # fmt: skip
REPORT = {"verdict": "verified", "events": 36_316, "findings": []}


def test_a_second_demo_in_one_clone_says_so_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one holds the clone the other ends with 5, and the first one's folder stays as it is."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    kept = tmp_path / "build" / "demo" / "region-a"
    kept.mkdir(parents=True)
    with (tmp_path / "build" / "demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as ended:
                run.main()
        finally:
            signal.signal(signal.SIGINT, before)
    assert (ended.value.code, "another demo is running" in capsys.readouterr().err) == (5, True)
    assert kept.exists()
    with run.alone(), pytest.raises(SetupNeeded, match="another demo"), run.alone():
        pass


def test_a_demo_speaks_of_no_key() -> None:
    """A lost server's sentence is the ledger's, but what to do is the demo's."""
    said = run.worded(translated(psycopg.OperationalError("the connection is lost")))
    assert (said.endswith("the connection is lost; run the demo again"), "key" in said) == (True, False)


def test_the_demo_says_what_the_verifier_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdict, events and findings of a region, and for each edit what was edited and what was named."""
    with screen.say.capture() as said:
        screen.tell_verdict("a", REPORT)
        screen.tell_edits("a", EDITS)
    assert said.get().splitlines() == [
        "    region A: verified, 36,316 events, 0 findings",
        "    region A: edited events 5 actor; the verifier named events 5 actor",
        "    region A: edited balances A/U settled; the verifier named balances nothing",
        "    region A: 2 findings in all",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    books: dict[str, object] = {"balances": {}, "positions": {}, "distinct_fills": 1, "events": 2, "seconds": 3}
    screen.show({**books, "verify_a": REPORT, "verify_b": REPORT, "tamper": EDITS, "max_rpo_seconds": 1})
    assert capsys.readouterr().out.count("verified, 36,316 events, 0 findings") == 2


@pytest.mark.parametrize("module", ["ledger", "replicator", "verifier", "examples.demo"])
def test_ctrl_c_while_a_program_loads_is_a_sentence(module: str) -> None:
    """The signal comes in the middle of the first import that a program makes: no traceback, nothing begun."""
    code = (
        "import importlib.abc, os, runpy, signal, sys\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name in ('typer', 'rich', 'msgspec', 'psycopg'):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        f"sys.argv = ['{module}', 'head']\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted before anything was begun\n"
