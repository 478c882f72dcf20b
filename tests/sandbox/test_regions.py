"""
Check the operator's sandbox: up, found, used, down, and nothing left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ledger.sandbox import regions
from tests.cli.test_embedded import wait_until_gone
from tests.importing.test_import import ROOT, tradeledger


def test_the_sandbox_goes_up_is_found_and_goes_down(tmp_path: Path) -> None:
    """Two regions and a broker run until told to stop; up again is the same; afterwards no process is left."""
    environment = {"LEDGER_HOME": str(tmp_path / "home")}
    none = tradeledger("sandbox", "status", **environment)
    assert (none.returncode, "sandbox up" in none.stderr) == (5, True)
    shown = tradeledger("sandbox", "up", **environment)
    assert shown.returncode == 0, shown.stderr
    try:
        found = regions.status({**os.environ, **environment})
        assert found is not None
        assert f"region b auditor {found.dsn('b', 'auditor')}" in shown.stdout
        assert tradeledger("sandbox", "up", **environment).stdout == shown.stdout
        assert tradeledger("db", "check", LEDGER_DSN=found.dsn("b", "owner")).returncode == 0
    finally:
        assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    assert regions.status({**os.environ, **environment}) is None
    assert tradeledger("sandbox", "down", **environment).stdout == "no sandbox was running here\n"


def test_what_an_ended_sandbox_left_behind_is_never_taken_for_a_running_one(tmp_path: Path) -> None:
    """A state file that names a living process which is no sandbox: status says none, and down ends nobody."""
    home = tmp_path / "home"
    home.mkdir()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        state = {"pid": bystander.pid, "kafka": "127.0.0.1:1", "sockets": {"a": "/nowhere", "b": "/nowhere"}}
        for content in (json.dumps(state), "no JSON", "{}"):
            (home / "sandbox.json").write_text(content)
            (home / "sandbox.lock").write_text(str(bystander.pid))
            assert tradeledger("sandbox", "status", LEDGER_HOME=str(home)).returncode == 5
            assert tradeledger("sandbox", "down", LEDGER_HOME=str(home)).stdout == "no sandbox was running here\n"
            assert bystander.poll() is None
        bystander.kill()


def test_the_sandbox_stands_two_starts_at_once_a_kill_and_a_stop_in_the_middle(tmp_path: Path) -> None:
    """Two `up` are one sandbox; its holder killed, nothing runs and `up` works again; `down` ends one that starts."""
    home = tmp_path / "home"
    environment = {"LEDGER_HOME": str(home)}
    command = [sys.executable, "-m", "ledger", "sandbox", "up"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    shown = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert shown[0] == shown[1]
    found = regions.status({**os.environ, **environment})
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    wait_until_gone(home)
    assert tradeledger("sandbox", "status", **environment).returncode == 5
    again = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not regions._holder({**os.environ, **environment}):
        assert again.poll() is None
        time.sleep(0.05)
    assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    _, said = again.communicate(timeout=120)
    assert (again.returncode, "told to stop" in said) == (5, True), said
    wait_until_gone(home)
    assert tradeledger("sandbox", "up", **environment).returncode == 0
    assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    wait_until_gone(home)
