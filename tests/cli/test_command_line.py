"""
Check how the three programs end: the status that README names, a sentence for people, plain text, no traceback.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import psycopg
import pytest

from ledger.cli import app
from ledger.whole_file import advice, whole
from tests.commands import ROOT, run
from tests.conftest import Database

PROGRAMS = {"ledger": "head", "verifier": "full", "replicator": "publish"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_argument_shows_help_and_a_wrong_one_is_usage(name: str) -> None:
    """Help on stdout with the statuses, what was wrong on stderr; 2 either way, and no escape codes."""
    bare = run(name, NO_COLOR="1")
    assert (bare.returncode, "Exit status" in bare.stdout) == (2, True)
    wrong = run(name, PROGRAMS[name], "--nope")
    assert (wrong.returncode, wrong.stdout, "No such option: --nope" in wrong.stderr) == (2, "", True)
    assert "\x1b" not in bare.stdout + wrong.stderr


@pytest.mark.parametrize(
    "words", [(), ("--help",), ("--nope",), ("head", "--dsn", "postgresql://nobody@127.0.0.1:1/x")]
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_was_loaded_before_does_what_a_fresh_one_does(name: str, words: tuple[str, ...]) -> None:
    """Tests run the first, users the second."""
    fresh = subprocess.run(
        [sys.executable, "-m", name, *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "90"},
    )  # fmt: skip
    loaded = run(name, *words, COLUMNS="90")
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_a_program_ends_that_leaves_processes_waiting_for_more() -> None:
    """Its pools are ended first, as a fresh interpreter does: they had been waited for, and they for work."""
    ended: list[str] = []
    waiting = threading.Thread(target=lambda: ended.append(run("tests.unfinished").stdout), daemon=True)
    waiting.start()
    waiting.join(60)
    assert ended == ["9\n"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_says_which_release_it_is(name: str) -> None:
    said = run(name, "--version")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"trade-ledger {metadata.version('trade-ledger')}\n", "")


def test_a_wrong_format_and_an_address_that_is_none_are_named() -> None:
    """A format is usage; an address that cannot be one has to be changed, or cannot be verified."""
    wrong = run("verifier", "full", "--format", "xml")
    assert (wrong.returncode, "table" in wrong.stderr and "json" in wrong.stderr) == (2, True)
    wrong = run("ledger", "event-types", "--format", "xml")
    assert (wrong.returncode, wrong.stdout, "table, json or markdown" in wrong.stderr) == (2, "", True)
    for name, status in (("ledger", 8), ("verifier", 4)):
        done = run(name, PROGRAMS[name], "--dsn", "no address")
        assert (done.returncode, done.stdout) == (status, "")
        assert "missing" in done.stderr


def test_an_output_that_takes_nothing_is_no_traceback(chain: Database) -> None:
    """A full disk under stdout is exit 5; a reader that has gone is no error at all."""
    command = [sys.executable, "-m", "ledger", "head", "--dsn", chain.dsn("reader")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "No space left on device" in done.stderr) == (5, True)
    assert "Traceback" not in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    gone = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (gone.returncode, gone.stderr) == (0, "")


@pytest.mark.parametrize(("words", "said"), [
    (("show", "history"), "'postgresql://house-\\udcff'"), (("show", "balances", "--account"), "house-\\udcff'"),
    (("head", "--origin"), "'postgresql://house-\\udcff'"), (("head", "--dsn"), "U+DCFF at place 20 of the database"),
])  # fmt: skip
def test_an_argument_in_no_encoding_is_named(chain: Database, words: tuple[str, ...], said: str) -> None:
    """Bytes that are no UTF-8 name nothing that the ledger could have; all but an address is shown as it came."""
    command = [sys.executable, "-m", "ledger", *words, b"postgresql://house-\xff"]
    surroundings = {**os.environ, "LEDGER_DSN": chain.dsn("reader")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=surroundings)
    assert (done.returncode, done.stdout, said in done.stderr) == (8, "", True), done.stderr
    assert done.stderr.startswith("error: found ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("show balances --account A", "nothing was changed"),
        ("import nautilus x", "what was recorded by then stays, and an import that is run again goes on from there"),
        ("archive a --policy p", "files that are whole stay, and an archive that is run again goes on from them"),
        ("keys show", "nothing was changed"),
        ("keys backup b", "what was recorded by then stays; a file that was not whole is not there"),
        ("repair plan r", "nothing was changed"),
        ("reconcile statement s", "what was recorded by then stays"),
        ("init --origin o", "what was recorded by then stays"),
        ("", "what was recorded by then stays"),
    ],
)
def test_an_interruption_says_what_that_command_leaves(words: str, left: str) -> None:
    """Only an import speaks of imports, and what reads leaves nothing."""
    assert app.interrupted(words.split()) == f"interrupted; {left}"


def test_every_command_that_is_named_for_its_interruption_is_one() -> None:
    """A command that was renamed would be told of in general words, and nobody would notice."""
    for name in app._INTERRUPTED:
        asked = run("ledger", *name.split(), "--help")
        assert asked.returncode == 0, name


def test_a_place_that_cannot_be_written_is_named_with_what_helps(chain: Database, tmp_path: Path) -> None:
    """A folder that is not there, one in place of a file, a file in place of a folder: as somebody named it."""
    (tmp_path / "file").write_text("x")
    for place, words in (
        (tmp_path / "none" / "x", "No such file or directory; make the folder that it is to be in"),
        (tmp_path, "Is a directory; name a file in it"),
        (tmp_path / "file" / "x", "Not a directory; a part of its path is no folder"),
    ):
        done = run("ledger", "export", "beancount", "--output", place, LEDGER_DSN=chain.dsn("reader"))
        assert (done.returncode, done.stderr) == (5, f"error: {place}: {words}{done.stderr.partition(words)[2]}")
        assert "make room" not in done.stderr


def test_a_disk_that_is_full_is_said_of_the_file_that_was_named(tmp_path: Path) -> None:
    """The system names none, and what else fails meanwhile keeps its own name."""
    for error, named in (
        (OSError(errno.ENOSPC, "No space"), str(tmp_path / "x")),
        (OSError(errno.EPIPE, "Broken pipe"), None),
        (OSError(errno.ENOSPC, "No space", "elsewhere"), "elsewhere"),
    ):
        with pytest.raises(OSError, match=r"No space|Broken") as failed, whole(tmp_path / "x"):
            raise error
        assert (failed.value.filename, list(tmp_path.iterdir())) == (named, [])
    assert advice(OSError(errno.ENOSPC, "")) == "make room, then run it again"


CLOSED = {"input": (0,), "output": (1,), "output and errors": (1, 2), "all": (0, 1, 2)}


@pytest.mark.parametrize("closed", CLOSED)
def test_a_program_without_standard_streams_does_what_it_is_asked(tmp_path: Path, closed: str) -> None:
    """As some daemons start programs: what has nowhere to go is no fault of the program, and the status is true."""
    out = tmp_path / "requests.jsonl"
    given = {"--events": "20", "--seed": "1", "--output": str(out)}
    for words, status in (([name for pair in given.items() for name in pair], 0), (["--events", "none"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", "import os, sys\nfor n in map(int, sys.argv[1].split(',')): os.close(n)\n"
             "os.execv(sys.executable, [sys.executable, '-m', 'ledger', 'generate', *sys.argv[2:]])",
             ",".join(map(str, CLOSED[closed])), *words],
            cwd=ROOT, check=False, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        assert (done.returncode, b"Traceback" in done.stderr) == (status, False), done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_output_of_another_encoding_has_escapes_for_what_it_lacks(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ledger", "show", "history", "--help"], cwd=ROOT, capture_output=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2026" in done.stdout


def test_keys_that_are_held_down_interrupt_once() -> None:
    """Those that come while the program takes itself down are the same Ctrl-C; a later one is another."""
    code = (
        "import os, signal, time\n"
        "from ledger import start\n"
        "signal.signal(signal.SIGINT, start._end)\n"
        "start.ready()\n"
        "for pause in (0, start.HELD_DOWN_S):\n"
        "    time.sleep(pause)\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        for _ in range(5): os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n" * 2, "")


def test_two_that_write_one_file_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    """Each has a part of its own until it is whole; a file of somebody's that is called so stays."""
    place, other = tmp_path / "file", tmp_path / "file.part"
    other.write_text("somebody's")
    with whole(place) as one:
        one.write(b"one" * 1000)
        with whole(place) as two:
            two.write(b"two")
        assert place.read_bytes() == b"two"
        one.write(b"one")
    assert place.read_bytes() == b"one" * 1001
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != place} == {
        "file.part": b"somebody's"
    }


FIRST = [
    "show balances", "show statement A --from 2026-01-01 --to 2026-01-02", "read-models status", "chain", "head",
    "import requests /dev/null",
]  # fmt: skip


@pytest.mark.parametrize("words", FIRST)
def test_a_session_that_is_ended_in_its_first_query_is_a_dependency_that_is_down(chain: Database, words: str) -> None:
    """As by a restart of the server: the same again later, and no fault of the program."""
    address = chain.server.dsn("postgres", chain.name)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(address) as lock,
        psycopg.connect(address, autocommit=True) as administrator,
    ):
        lock.execute("LOCK TABLE ledger.chains IN ACCESS EXCLUSIVE MODE")
        login = "writer" if "import" in words else "reader"
        done = pool.submit(run, "ledger", *words.split(), "--dsn", chain.dsn(login))
        deadline = time.monotonic() + 60
        while not administrator.execute(end, [chain.name]).fetchall():
            assert time.monotonic() < deadline, "the command does not ask for its chain"
            time.sleep(0.02)
        ended = done.result()
    assert (ended.returncode, "fault of the program" in ended.stderr) == (5, False), ended.stderr
