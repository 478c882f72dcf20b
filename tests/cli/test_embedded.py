"""
Check the private database that commands use when none is given: shared, private, gone afterwards, and hard to break.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.cli.app import app
from ledger.errors import SetupNeeded
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from tests.commands import ROOT, run, tradeledger
from tests.importing.test_bad_input import SESSION, session_files
from tests.importing.test_sessions import SEED

STARTING = "starting a private PostgreSQL in"


def started(home: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start the command on *home*."""
    return subprocess.Popen(
        [sys.executable, "-m", "ledger", *map(str, arguments)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "LEDGER_HOME": str(home), "LEDGER_DSN": ""},
    )  # fmt: skip


def processes(place: Path) -> list[int]:
    """Return the processes whose command line names *place*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(place) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_until_gone(place: Path) -> None:
    """Assert that within some time no process of *place* is left."""
    deadline = time.monotonic() + 40
    while processes(place):
        assert time.monotonic() < deadline, processes(place)
        time.sleep(0.1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a home under a long path, in a folder of mode 0700, and see that nothing runs there afterwards."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    place = private / "/".join(["deep-" * 20] * 3) / "home"
    yield place
    wait_until_gone(place)


def repair_files(folder: Path) -> tuple[object, ...]:
    """Write a report of one finding, and a policy with a checkpoint of a key of its own, which proves no event."""
    key = SigningKey("sandbox.example/trades", ED25519, bytes(32))
    text = Checkpoint(key.name, 1, bytes(32)).text()
    (folder / "policy").write_text(f"log {key.verifier.text()}\nquorum none\n")
    (folder / "signed").write_bytes(note.with_signatures(text, (key.sign(text),)).encode())
    (folder / "report.json").write_text(
        '{"verdict":"broken","origin":"sandbox.example/trades","region_mode":"primary","schema_version":1,'
        '"findings":[{"kind":"BYTES_MODIFIED","seq":1,"expected":"x","actual":"y"}]}'
    )
    return folder / "report.json", "--policy", folder / "policy", "--checkpoint", folder / "signed"


def test_every_command_uses_the_private_database_and_says_so(home: Path, tmp_path: Path) -> None:
    """Import makes schema and chain; head, check, verify and publish find them; apply fills a region of its own."""
    environment = {"LEDGER_HOME": str(home), "LEDGER_DSN": ""}
    done = tradeledger(*session_files(tmp_path), **environment)
    assert done.returncode == 0, done.stderr
    assert f"{STARTING} {home / 'a'}" in done.stderr
    assert "making the chain sandbox.example/trades with throwaway keys in" in done.stderr
    head = tradeledger("head", **environment)
    verified = run("verifier", "full", **environment)
    assert (verified.returncode, f"head {head.stdout.strip()}" in verified.stdout) == (0, True), verified.stderr
    assert tradeledger("db", "check", **environment).returncode == 0
    planned = tradeledger("repair", "plan", *repair_files(tmp_path), **environment)
    assert (planned.returncode, "not mended: BYTES_MODIFIED: event 1" in planned.stderr) == (3, True), planned.stderr
    keys = home / "keys" / "sandbox.example_trades"
    kafka = ("--kafka", "127.0.0.1:1")
    told = ("--origin", "sandbox.example/trades", "--chain-id", "0" * 32, "--trust", "0" * 64)
    sides = (
        ("publish", *kafka, "--key", keys / "publisher.json"),
        ("apply", *kafka, "--key", keys / "replica.json", *told),
    )
    with ThreadPoolExecutor(2) as pool:
        published, applied = pool.map(lambda side: run("replicator", *side, **environment), sides)
    assert f"{STARTING} {home / 'b'}" in applied.stderr
    for ended in (published, applied):
        assert (ended.returncode, ended.stdout) == (5, "")
        assert "127.0.0.1:1" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert {oct(path.stat().st_mode & 0o77) for path in (home, home / "a", home / "b")} == {"0o0"}


READS = (
    ("head",), ("show", "balances"), ("chain",), ("keys", "show"), ("quarantine", "list"), ("reconcile", "list"),
    ("db", "check"), ("snapshot", "--list"), ("read-models", "status"), ("export", "beancount"),
    ("prove", "1", "--out", "x.tlog-proof"), ("seal", "--once", "--signer", "run/signer"),
)  # fmt: skip


def test_what_reads_makes_no_server_where_the_home_was_mistyped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is not there and what makes one; those that begin a ledger go on doing so."""
    place = tmp_path / "mistyped"
    monkeypatch.setenv("LEDGER_HOME", str(place))
    monkeypatch.setenv("LEDGER_DSN", "")
    for command in READS:
        error = CliRunner().invoke(app, command).exception
        assert isinstance(error, SetupNeeded), (command, error)
        assert f"no private PostgreSQL was made in {place / 'a'}, which is no folder" in str(error), command
        assert "`tradeledger db upgrade` makes one" in str(error)
        assert not place.exists(), command
    # A home that has keys or another region alone is no other.
    (place / "a").mkdir(parents=True)
    done = tradeledger("head", LEDGER_HOME=str(place), LEDGER_DSN="")
    assert (done.returncode, "made in" in done.stderr, "no folder" in done.stderr) == (5, True, False)
    made = tradeledger("init", "--origin", "o.example/t", LEDGER_HOME=str(place), LEDGER_DSN="")
    assert made.returncode == 0, made.stderr
    assert tradeledger("head", LEDGER_HOME=str(place), LEDGER_DSN="").returncode == 0
    wait_until_gone(place)


def test_a_given_address_wins(tmp_path: Path) -> None:
    """With an address no server is started and no home is made, in all three programs."""
    environment = {"LEDGER_HOME": str(tmp_path / "home"), "LEDGER_DSN": "postgresql://x@/ledger?host=/nowhere"}
    key = ("--kafka", "127.0.0.1:1", "--key", tmp_path / "none")
    for name, arguments, status in (
        ("ledger", ("head",), 5), ("verifier", ("full",), 4), ("replicator", ("publish", *key), 8),
    ):  # fmt: skip
        done = run(name, *arguments, **environment)
        assert (done.returncode, STARTING in done.stderr) == (status, False), done.stderr
    assert not (tmp_path / "home").exists()


def test_commands_at_once_share_one_server_and_make_one_chain(home: Path, tmp_path: Path) -> None:
    """Three imports of one file on an empty home: all succeed, and what is there is there once."""
    arguments = session_files(tmp_path)
    running = [started(home, *arguments) for _ in range(3)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sum("throwaway keys" in one for one in said) == 1
    environment = {"LEDGER_HOME": str(home), "LEDGER_DSN": ""}
    again = tradeledger(*arguments, "--format", "json", **environment)
    assert '"appended": {}' in again.stdout
    assert run("verifier", "full", **environment).returncode == 0


def test_a_killed_guardian_is_replaced(home: Path) -> None:
    """kill -9 of the server's parent, and at once the next command: it waits for the old server and works."""
    environment = {"LEDGER_HOME": str(home), "LEDGER_DSN": ""}
    assert tradeledger("db", "upgrade", **environment).returncode == 0
    command = [sys.executable, "-m", "ledger.sandbox.guardian", str(home / "a")]
    for _ in range(2):
        wait_until_gone(home)
        guardian = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
        assert guardian.stdout is not None
        sockets = Path(guardian.stdout.readline().decode().strip())
        guardian.kill()
        guardian.wait()
        guardian.stdout.close()
        done = tradeledger("db", "check", **environment)
        assert done.returncode == 0, done.stderr
        assert not sockets.exists()


def test_keys_that_a_making_left_behind_are_moved_aside(home: Path, tmp_path: Path) -> None:
    """It was killed between its keys and its chain: the next command says where they are now, and makes both anew."""
    left = home / "keys" / "sandbox.example_trades"
    for place in (left, left.with_name(f"{left.name}.1")):
        place.mkdir(parents=True)
        (place / "checkpoint.json").write_text(place.name)
    done = tradeledger(*session_files(tmp_path), LEDGER_HOME=str(home), LEDGER_DSN="")
    assert done.returncode == 0, done.stderr
    aside = left.with_name(f"{left.name}.2")
    assert f"they are now in {aside}" in done.stderr
    assert (aside / "checkpoint.json").read_text() == left.name
    assert len(list(left.iterdir())) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_interrupted_anywhere_leaves_nothing_running_and_goes_on(
    home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C says what stays, at any moment after the start; then the same command works, and all is there once."""
    print(f"seed {SEED}")
    rng, arguments = random.Random(SEED), session_files(tmp_path)
    for turn in range(3):
        process = started(home, *arguments)
        assert process.stderr is not None
        # The server of an import that was interrupted may be there still, and then none is started.
        first = process.stderr.readline()
        time.sleep(rng.uniform(0, 2.5))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert STARTING in first or turn > 0
        assert "Traceback" not in said
        if number == signal.SIGINT:
            assert process.returncode in (0, 130), said
            assert process.returncode == 0 or "what was recorded by then stays" in said
        if rng.random() < 0.5:
            wait_until_gone(home)
    environment = {"LEDGER_HOME": str(home), "LEDGER_DSN": ""}
    done = tradeledger(*arguments, "--format", "json", **environment)
    assert done.returncode == 0, done.stderr
    assert run("verifier", "full", **environment).returncode == 0
    assert sum(SESSION.read.values()) > 0


def test_places_that_cannot_be_are_named(tmp_path: Path) -> None:
    """A home below a file, and one whose path is too long, are a sentence; a long temporary folder does not matter."""
    (tmp_path / "file").write_text("")
    for place, words in ((tmp_path / "file" / "home", "set LEDGER_HOME"), (tmp_path / ("x/" * 600), "has 1")):
        for command, said in ((("db", "upgrade"), words), (("head",), "no private PostgreSQL was made in")):
            done = tradeledger(*command, LEDGER_HOME=str(place), LEDGER_DSN="")
            assert (done.returncode, done.stdout) == (5, ""), done.stderr
            assert said in done.stderr
            assert "Traceback" not in done.stderr
    temporary = tmp_path / ("t" * 100)
    temporary.mkdir()
    home = tmp_path / "home"
    done = tradeledger("db", "upgrade", LEDGER_HOME=str(home), LEDGER_DSN="", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    wait_until_gone(home)
    assert list(temporary.iterdir()) == []
