"""
Find the database a command should use: the one given, or else a private one under the ledger's home.

The private server lies in `$LEDGER_HOME` (default `.tradeledger`), one folder a region. It is started when a command
needs it, shared by commands that run at once, and stopped after the last of them (see guardian.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ledger.errors import SetupNeeded
from ledger.sandbox.postgres import MADE, embedded_binaries

DEFAULT_HOME: Final = ".tradeledger"
DEFAULT_REGION: Final = "a"
_PATH_BYTES: Final = 900
"""PostgreSQL keeps its paths in 1,024 bytes; those of its own files below the folder take the rest."""
_PACKAGES: Final = Path(__file__).parents[2]
"""Where the guardian finds this package, installed or not."""


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """
    Return the folder that holds everything private: `$LEDGER_HOME`, or `.tradeledger` here.
    """
    return Path(environment.get("LEDGER_HOME") or DEFAULT_HOME).absolute()


@contextlib.contextmanager
def database(
    login: str, *, dsn: str | None = None, region: str = DEFAULT_REGION, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """
    Yield the address of the database: *dsn*, else `$LEDGER_DSN`, else a private server of *region* for *login*.

    None is made: who verifies or publishes has something to, and a folder that was mistyped has nothing.

    Raises:
        SetupNeeded: there is no private server, or it cannot be started.
    """
    given = dsn or environment.get("LEDGER_DSN")
    if given:
        yield given
        return
    check_made(region, environment)
    with server(region, environment=environment) as socket_folder:
        yield f"postgresql://{login}@/ledger?host={socket_folder}"


def check_made(region: str = DEFAULT_REGION, environment: Mapping[str, str] = os.environ) -> None:
    """
    Raise SetupNeeded where no private server of *region* was ever made here: a folder that was mistyped has nothing.
    """
    place = folder(environment) / region
    if not _is_there(place / MADE):
        raise SetupNeeded(
            f"no private PostgreSQL was made in {place}{'' if _is_there(place) else ', which is no folder'}: name the "
            "database with --dsn or LEDGER_DSN, or another folder with LEDGER_HOME; `tradeledger db upgrade` makes "
            "one, as do `init` and `import`"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A name that is too long, or a folder that may not be looked into.
        return False


@contextlib.contextmanager
def alone(name: str, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """
    Let one command at a time do what *name* says in this home.
    """
    with (folder(environment) / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def server(region: str = DEFAULT_REGION, *, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """
    Yield the socket folder of the private server of *region*, running for as long as it is used.
    """
    place = folder(environment) / region
    if len(os.fsencode(place)) > _PATH_BYTES:
        raise SetupNeeded(
            f"the path of {str(place)[:60]}… has {len(os.fsencode(place))} bytes, and PostgreSQL's may have "
            f"{_PATH_BYTES}; set LEDGER_HOME to another folder"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(exist_ok=True, mode=0o700)
        lock = (place / "lock").open("a")
    except OSError as error:
        raise SetupNeeded(f"{place} cannot be written: {error.strerror}; set LEDGER_HOME to another folder") from error
    with lock:
        # One command at a time decides whether the server runs; the others then find it running.
        fcntl.flock(lock, fcntl.LOCK_EX)
        lease = _join(place)
        if lease is None:
            # Without its programs nothing is started, and nobody is told so.
            embedded_binaries()
            print(f"starting a private PostgreSQL in {place}", file=sys.stderr)
            _launch(place)
            lease = _join(place)
        fcntl.flock(lock, fcntl.LOCK_UN)
    if lease is None:
        raise SetupNeeded(f"the private PostgreSQL in {place} ended as it started; see {place / 'log'}")
    with lease[0]:
        yield lease[1]


def _join(place: Path) -> tuple[socket.socket, Path] | None:
    try:
        sockets = Path((place / "guardian").read_text().strip())
    except FileNotFoundError:
        return None
    lease = socket.socket(socket.AF_UNIX)
    try:
        lease.settimeout(10)
        lease.connect(str(sockets / "guardian"))
        if lease.recv(1) == b"+":
            lease.settimeout(None)
            return lease, sockets
    except OSError:
        # The guardian of that address is gone: another is started in its place.
        pass
    lease.close()
    return None


def _launch(place: Path) -> None:
    command = [sys.executable, "-m", "ledger.sandbox.guardian", str(place)]
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=_PACKAGES, start_new_session=True
        )
    if process.stdout is None:
        raise AssertionError("the guardian's output is a pipe")
    said = process.stdout.readline().decode() + ("" if process.poll() is None else process.stdout.read().decode())
    if not said or said.startswith("error: "):
        rest = process.stdout.read().decode()
        raise SetupNeeded((said + rest).removeprefix("error: ").strip() or f"see {place / 'log'}")
    process.stdout.close()
    # It outlives this process by design; nobody waits for it.
    process.returncode = 0
