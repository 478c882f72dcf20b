"""
Keep two regions and a broker running for an operator to play with, until they are told to stop.

`up` starts one process, the holder, which uses the private servers of both regions and runs the broker; `down` ends
it, and with it everything. The file `sandbox.json` in the home says where things are, and the holder keeps a lock on
`sandbox.lock`, so that what an ended holder left behind is never taken for a running one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from ledger import foreign_json
from ledger.errors import LedgerError, SetupNeeded, UnknownFormat
from ledger.sandbox import guardian, home
from ledger.sandbox.kafka import Broker, java
from ledger.sandbox.postgres import embedded_binaries

REGIONS: Final = ("a", "b")
_STOP_TIMEOUT_S: Final = 60
_ANSWER_TIMEOUT_S: Final = 5
LINGER_TIMEOUT_S: Final = 40
"""A private server outlives its last user for a moment, and may take half a minute to stop."""


class Running(msgspec.Struct, frozen=True):
    """
    What a running sandbox is: the holder's process id, the broker's address, and each region's socket folder.
    """

    pid: int
    kafka: str
    sockets: dict[str, str]

    def dsn(self, region: str, login: str) -> str:
        """
        Return the address at which *login* finds the database of *region*.
        """
        return f"postgresql://{login}@/ledger?host={self.sockets[region]}"


def _place(environment: Mapping[str, str]) -> Path:
    return home.folder(environment) / "sandbox.json"


def _holder(environment: Mapping[str, str]) -> int | None:
    """Return the process that holds a sandbox in this home, or is about to; None where there is none."""
    try:
        with _lock(environment).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(_lock(environment).read_text() or 0)
    return None


def _lock(environment: Mapping[str, str]) -> Path:
    return home.folder(environment) / "sandbox.lock"


def status(environment: Mapping[str, str] = os.environ) -> Running | None:
    """
    Return the sandbox that runs in this home, or None.

    What the file says counts only while its holder lives: the kernel drops the holder's lock however it ends, and a
    process number may be another's by now.
    """
    holder = _holder(environment)
    try:
        found = foreign_json.decode(_place(environment).read_bytes(), Running)
    except (FileNotFoundError, UnknownFormat):
        return None
    return found if found.pid == holder else None


def missing(found: Running) -> list[str]:
    """
    Return the parts of a sandbox that answer no more, each by its name and place; none when all is well.
    """
    host, _, port = found.kafka.rpartition(":")
    parts: list[tuple[str, int, str | tuple[str, int]]] = [
        (f"the PostgreSQL of region {region}", socket.AF_UNIX, f"{place}/.s.PGSQL.5432")
        for region, place in found.sockets.items()
    ]
    parts.append((f"the broker at {found.kafka}", socket.AF_INET, (host, int(port))))
    return [name for name, family, place in parts if not _answers(family, place)]


def _answers(family: int, place: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(_ANSWER_TIMEOUT_S)
        try:
            probe.connect(place)
        except OSError:
            return False
    return True


def up(environment: Mapping[str, str] = os.environ) -> Running:
    """
    Start the sandbox, or find it running; one that has lost a part is stopped and started anew, its data kept.

    Raises:
        SetupNeeded: a part of it cannot be started; the message says why.
    """
    if (found := status(environment)) is not None:
        if not (lost := missing(found)):
            return found
        print(f"{' and '.join(lost)}: down; starting the sandbox anew, data kept", file=sys.stderr)
        down(environment)
    embedded_binaries()
    java()
    place = home.folder(environment)
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = (place / "sandbox.log").open("ab")
    except OSError as error:
        raise SetupNeeded(f"{place} cannot be written: {error.strerror}; set LEDGER_HOME to another folder") from error
    print(f"starting two private PostgreSQL servers and a Kafka broker in {place}", file=sys.stderr)
    with log:
        begun = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "ledger.sandbox.regions"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=Path(__file__).parents[2], env={**environment, "LEDGER_HOME": str(place)}, start_new_session=True,
        )  # fmt: skip
    while process.poll() is None:
        if (found := status(environment)) is not None:
            # It outlives this process by design; `down` ends it.
            process.returncode = 0
            return found
        time.sleep(0.1)
    if process.returncode == 0 and (found := _other_holders(environment)) is not None:
        return found
    said = (place / "sandbox.log").read_bytes()[begun:].decode(errors="replace")[-1500:].strip()
    raise SetupNeeded(f"the sandbox did not start:\n{said or _silent(place, process.returncode)}")


def _silent(place: Path, status: int) -> str:
    """Return what is known of a start of which the log says nothing, as where there is no room for a line."""
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    room = shutil.disk_usage(place).free >> 20
    return f"its process ended {ended} and wrote nothing to its log; the disk of {place} has {room:,} MiB free: make " \
           "room, or set LEDGER_HOME to another folder"  # fmt: skip


def _other_holders(environment: Mapping[str, str]) -> Running | None:
    """Wait for the sandbox that another `up` is starting at this moment."""
    while _holder(environment) is not None:
        if (found := status(environment)) is not None:
            return found
        time.sleep(0.1)
    return None


def down(environment: Mapping[str, str] = os.environ) -> bool:
    """
    Stop the sandbox, also one that is just starting; return False where none was running.
    """
    holder = _holder(environment)
    if holder is None:
        return False
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while holder is not None:
        if holder:
            os.kill(holder, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise SetupNeeded(f"the sandbox's process {holder} does not end; look at it, then end it by hand")
        time.sleep(0.1)
        holder = _holder(environment)
    return True


def lingering(environment: Mapping[str, str] = os.environ) -> list[str]:
    """
    Wait until the regions' private servers are gone, and return those that are not after some time, by name.
    """
    deadline = time.monotonic() + LINGER_TIMEOUT_S
    while left := [region for region in REGIONS if guardian.lives_in(home.folder(environment) / region)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return [f"the PostgreSQL of region {region}" for region in left]


class _Asked(Exception):
    """
    A signal asked the holder to end.
    """


def _ask(number: int, frame: object) -> None:
    print("it was told to stop", file=sys.stderr, flush=True)
    raise _Asked


def _hold() -> None:
    """Run both regions and the broker until a signal comes, also while they start."""
    lock = _lock(os.environ).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    with contextlib.suppress(_Asked), contextlib.ExitStack() as stack:
        place = _place(os.environ)
        stack.callback(_deaf)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ask)
        sockets = {region: str(stack.enter_context(home.server(region))) for region in REGIONS}
        broker = Broker.start(home.folder() / "kafka")
        stack.callback(broker.stop)
        stack.callback(lambda: place.unlink(missing_ok=True))
        stack.callback(_deaf)
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(Running(os.getpid(), broker.bootstrap, sockets)))
        part.replace(place)
        while True:
            signal.pause()


def _deaf() -> None:
    """Take no more signals: what was started is being stopped."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    try:
        _hold()
    except (LedgerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status if isinstance(error, LedgerError) else 5)
