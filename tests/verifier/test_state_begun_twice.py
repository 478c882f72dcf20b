"""
Begin one new state from two processes at once: one of them makes it, the other is told so, and no file is damaged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database
from tests.verifier.history import written_in
from verifier.stored import Unreadable
from verifier.walk.books import Books

BUSY = "another verification is at work with"
BEGUN = """
import os, sys
from pathlib import Path
from ledger.domain.state import State
from verifier.reader import Reader
from verifier.walk import incremental

def tell(what, count):
    if not told:
        told.append(print("begun", flush=True))
        forked = os.fork() if sys.argv[3] == "forked" else None
        # Of a process that was divided from it, its end is not waited for.
        sys.stdin.readline() if forked != 0 else os.read(int(sys.argv[4]), 1)

told = []
with Reader(sys.argv[1], "ORIGIN") as reader:
    print(incremental.verify(reader, Path(sys.argv[2]), tell).verdict)
""".replace("ORIGIN", ORIGIN)


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    with written_in(pg_server, migrated, "begun_twice") as made:
        yield made


def _command(database: Database, *words: str) -> list[str]:
    return [sys.executable, "-m", "verifier", words[0], "--dsn", database.dsn("auditor"), *words[1:]]


def _begun(database: Database, path: Path, *more: str, keep: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """Return a process that is in the middle of its first verification, and goes on when it is written to."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGUN, database.dsn("auditor"), str(path), *(more or ("alone",))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=keep,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_who_comes_second_is_told_and_who_came_first_ends(written: Database, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "books"
    first = _begun(written, path)
    second = subprocess.run(_command(written, mode, "--state", str(path)), capture_output=True, text=True, check=False)
    assert (second.returncode, f"{BUSY} {path}; let it end first" in second.stderr) == (4, True), second
    assert first.communicate("go on\n", timeout=60)[0] == "verified\n"
    assert list(tmp_path.iterdir()) == [path]
    with Books(path) as books:
        assert books.said is not None
        assert books.said.compared


def test_any_number_that_begin_at_once_leave_a_whole_state(written: Database, tmp_path: Path) -> None:
    """Each ends with a verdict or is told that another is at work."""
    path = tmp_path / "books"
    command = _command(written, "incremental", "--state", str(path))
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in begun]
    assert {status for _, status in ended} <= {0, 4}
    assert 0 in [status for _, status in ended]
    assert all(BUSY in said for said, status in ended if status == 4), ended
    assert list(tmp_path.iterdir()) == [path]
    last = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    assert (last.returncode, '"events":0' in last.stdout.replace(" ", "")) == (0, True), last


def test_one_that_was_killed_stands_in_nobodys_way(written: Database, tmp_path: Path) -> None:
    """Nor does a process of its own that outlives it, and what it had begun is made anew."""
    path = tmp_path / "books"
    reading, writing = os.pipe()
    first = _begun(written, path, "forked", str(reading), keep=(reading,))
    first.send_signal(signal.SIGKILL)
    with first:
        first.wait(timeout=20)
    assert path.with_name("books.part").exists()
    again = subprocess.run(_command(written, "incremental", "--state", str(path)), capture_output=True, check=False)
    os.close(writing)
    os.close(reading)
    assert again.returncode == 0, again
    assert list(tmp_path.iterdir()) == [path]


def test_one_process_does_not_begin_a_state_twice(tmp_path: Path) -> None:
    path = tmp_path / "books"
    with Books(path):
        for _ in range(2):
            with pytest.raises(Unreadable, match=BUSY):
                Books(path)
        assert path.with_name("books.part").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "/", "folder"])
def test_what_can_be_no_file_is_refused_and_nothing_is_made_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    with pytest.raises(Unreadable, match="a folder"):
        Books(Path(name) if name != "folder" else tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
