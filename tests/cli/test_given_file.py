"""
Name what is no file in place of one, and be told at once what it is: no command waits for ever or fills the memory.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger import given_file, whole_file
from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput
from ledger.importing import lines
from ledger.sealing.promises import Promises
from tests import commands
from verifier.archive.resuming import Kept, Task
from verifier.commands import _lines
from verifier.stored import Unreadable
from verifier.tiled import scrubbed
from verifier.walk import saved
from verifier.walk.books import Books

LIMIT = 100_000


@contextlib.contextmanager
def pipe(folder: Path) -> Iterator[Path]:
    path = folder / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


@contextlib.contextmanager
def writing(path: Path, data: bytes, after: float = 0.0) -> Iterator[None]:
    """Have somebody write into a pipe, who comes so many seconds later."""

    def write() -> None:
        time.sleep(after)
        with contextlib.suppress(BrokenPipeError), path.open("wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("data", [b"", b"x", b"y" * LIMIT])
def test_a_file_is_read_up_to_its_limit(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert given_file.read(path, LIMIT) == data
    path.write_bytes(data + bytes(LIMIT + 1 - len(data)))
    with pytest.raises(OSError, match=f"it has {LIMIT + 1} bytes; expected at most {LIMIT} bytes"):
        given_file.read(path, LIMIT)


@pytest.mark.parametrize(("name", "says"), [("/dev/zero", "a device"), ("/dev/null", "a device"), ("/tmp", "a folder")])
def test_what_is_no_file_is_named(name: str, says: str) -> None:
    for ask in (lambda path: given_file.read(path, LIMIT), given_file.check):
        with pytest.raises(OSError, match=f"it is {says}; expected a file"):
            ask(Path(name))


def test_a_file_that_is_leased_is_read_once_it_is_given_back(tmp_path: Path) -> None:
    """As a file server holds one for a client: whoever opens it waits until the client has let it go."""
    path = tmp_path / "file"
    path.write_bytes(b"leased")
    holds = (
        "import fcntl, signal, sys, time\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "def give(*_):\n"
        "    time.sleep(0.2)\n"
        "    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)\n"
        "signal.signal(signal.SIGIO, give)\n"
        "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", holds, str(path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert given_file.read(path, LIMIT) == b"leased"
        finally:
            holder.kill()


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match=r"No such device or address"):
            given_file.read(tmp_path / "socket", LIMIT)
        with pytest.raises(OSError, match=r"it is a socket; expected a file"):
            given_file.check(tmp_path / "socket")


def test_a_pipe_into_which_nobody_writes_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_file, "NOBODY_SECONDS", 0.1)
    with pipe(tmp_path) as path:
        began = time.monotonic()
        with pytest.raises(OSError, match="into which nobody writes"):
            given_file.read(path, LIMIT)
        assert time.monotonic() - began < 2
        with pytest.raises(OSError, match=r"it is a pipe; expected a file"):
            given_file.check(path)


@pytest.mark.parametrize("after", [0.0, 0.4])
def test_a_pipe_is_read_to_its_end(tmp_path: Path, after: float) -> None:
    """Whoever writes may come a moment later, and writes more than a pipe holds."""
    with pipe(tmp_path) as path, writing(path, b"z" * LIMIT, after):
        assert given_file.read(path, LIMIT) == b"z" * LIMIT


def test_a_pipe_has_its_limits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes, and of time where it is read as a whole: one who holds it open and says nothing is not waited for."""
    with pipe(tmp_path) as path:
        with writing(path, b"z" * (LIMIT + 1)), pytest.raises(OSError, match=f"expected at most {LIMIT} bytes"):
            given_file.read(path, LIMIT)
        monkeypatch.setattr(given_file, "PIPE_SECONDS", 0.3)
        holder = os.open(path, os.O_RDWR)
        try:
            os.write(holder, b"begun")
            with pytest.raises(OSError, match="a pipe that did not end"):
                given_file.read(path, LIMIT)
        finally:
            os.close(holder)


def test_what_a_shell_hands_over_is_read() -> None:
    """`<(…)`, standard input from a pipe, and standard input from a file."""
    call = f"{sys.executable} -c 'import sys; from ledger.given_file import read; from pathlib import Path; " \
           "print(len(read(Path(sys.argv[1]), 100000)))'"  # fmt: skip
    for words in (f"{call} <(sleep 0.3; echo hello)", f"echo hello | {call} /dev/stdin",
                  f"echo hello > $0/x; {call} /dev/stdin < $0/x"):  # fmt: skip
        folder = os.environ.get("TMPDIR", "/tmp")
        done = subprocess.run(["bash", "-c", words, folder], capture_output=True, text=True, check=False,
                              cwd=commands.ROOT)  # fmt: skip
        assert (done.stdout, done.returncode) == ("6\n", 0), (words, done.stderr)


ODD = ("/dev/zero", "PIPE", "/tmp")
COMMANDS = {
    "a policy, archive": (("verifier", "archive", "nowhere", "--policy", "ODD"), 4),
    "a policy, proof": (("verifier", "proof", "POLICY", "--policy", "ODD"), 4),
    "a proof": (("verifier", "proof", "ODD", "--policy", "POLICY"), 4),
    "a payload": (("verifier", "proof", "POLICY", "--policy", "POLICY", "--payload", "ODD"), 4),
    "a witness's key": (("verifier", "witness", "show", "--key", "ODD"), 4),
    "a signer's key": (("ledger", "signer", "show", "--key", "ODD", "--origin", "a.example/b"), 8),
    "a report": (("ledger", "repair", "plan", "ODD", "--policy", "POLICY"), 8),
    "a policy, repair": (("ledger", "repair", "plan", "POLICY", "--policy", "ODD"), 8),
    "a plan": (("ledger", "repair", "apply", "ODD", "--policy", "POLICY"), 8),
    "a backup": (("ledger", "keys", "restore", "ODD", "new", "--passphrase-file", "POLICY"), 8),
    "a passphrase": (("ledger", "keys", "backup", "new", "--keys", "keys", "--passphrase-file", "ODD"), 8),
}  # fmt: skip


@pytest.mark.parametrize("what", COMMANDS)
@pytest.mark.parametrize("odd", ODD[:2])
def test_no_command_waits_for_what_is_no_file(tmp_path: Path, what: str, odd: str) -> None:
    """Its status is that of a file which cannot be read, it says why, and it takes a moment."""
    (program, *words), status = COMMANDS[what]
    signatures.write(tmp_path / "keys" / "one.json", KeyPair("checkpoint", "a.example/b", bytes(range(32))))
    (tmp_path / "policy").write_text("quorum none\n")
    with pipe(tmp_path) as path:
        names = {"ODD": str(path) if odd == "PIPE" else odd, "POLICY": str(tmp_path / "policy")}
        done = commands.run(program, *(names.get(word, word) for word in words), cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert any(text in done.stderr for text in ("expected a file", "chmod 600", "belongs to user")), done.stderr
    assert names["ODD"] in done.stderr


STATES = {
    "a walk's": lambda path: saved.read(path),
    "a scrub's": lambda path: scrubbed.read(path),
    "the books": Books,
    "an archive's": lambda path: Kept(path, Task("place", "00", 0, 1)),
    "a signer's": Promises,
}


@pytest.mark.parametrize("what", STATES)
@pytest.mark.parametrize("odd", ODD)
def test_a_state_is_a_file(tmp_path: Path, what: str, odd: str) -> None:
    """One is written in its place, so a pipe is none even where somebody writes into it."""
    with pipe(tmp_path) as path, pytest.raises((Unreadable, InvalidInput), match=r"expected a file|cannot be used"):
        STATES[what](path if odd == "PIPE" else Path(odd))


@pytest.mark.parametrize("odd", ODD)
def test_what_is_read_line_by_line_is_a_file_too(tmp_path: Path, odd: str) -> None:
    """Receipts, and recordings of other engines, of whatever size."""
    with pipe(tmp_path) as path:
        name = path if odd == "PIPE" else Path(odd)
        with pytest.raises(Unreadable, match="expected a file"), _lines(name) as found:
            next(found)
        with pytest.raises(InvalidInput, match="expected a file"):
            next(lines.read_raw(name))


def test_receipts_are_not_waited_for_where_a_pipe_is_held_and_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before is read; somebody who holds it open and says no more would be waited for without end."""
    monkeypatch.setattr(given_file, "SILENT_SECONDS", 0.7)
    with pipe(tmp_path) as path:
        holder = os.open(path, os.O_RDWR)
        try:
            said = threading.Timer(0.4, os.write, (holder, b"a receipt\n"))
            said.start()
            began = time.monotonic()
            came: list[bytes] = []
            with pytest.raises(Unreadable, match=r"which nothing came for 0\.7 seconds"), _lines(path) as found:
                came.extend(found)
            assert came == [b"a receipt\n"]
            # From when something came last, and not from the beginning.
            assert 1.0 < time.monotonic() - began < 5
        finally:
            said.join()
            os.close(holder)


@pytest.mark.parametrize("odd", ["PIPE", "/dev/zero", "/tmp"])
def test_a_report_that_is_to_go_into_no_file_is_refused_before_anything_is_verified(tmp_path: Path, odd: str) -> None:
    """A pipe that nobody reads would hold up the verdict once everything was verified."""
    with pipe(tmp_path) as path:
        report = tmp_path / "report.json"
        report.symlink_to(path if odd == "PIPE" else odd)
        done = commands.run("verifier", "full", "--dsn", "postgresql://x@127.0.0.1:1/x", "--report", report)
    assert done.returncode == 2, done.stderr
    assert "expected a file" in " ".join(done.stderr.replace("│", " ").split())


def test_what_nobody_reads_is_not_written_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that it is a pipe; whoever comes to read it meanwhile gets all."""
    with pipe(tmp_path) as path:
        with ThreadPoolExecutor(1) as reader:
            came = reader.submit(lambda: (time.sleep(0.3), path.read_bytes()))
            with whole_file.whole(path) as out:
                out.write(b"z" * LIMIT)
            assert came.result()[1] == b"z" * LIMIT
        monkeypatch.setattr(whole_file, "READER_SECONDS", 0.1)
        with pytest.raises(OSError, match="it is a pipe that nobody reads; expected a file") as failed, \
                whole_file.whole(path):  # fmt: skip
            pass
    assert failed.value.filename == str(path)
    assert whole_file.advice(failed.value) == "name a file, or a pipe that somebody reads"
