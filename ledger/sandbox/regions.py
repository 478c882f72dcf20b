"""
Keep two regions and a broker running for an operator to play with, until they are told to stop.

`up` starts one process, the holder, which uses the private servers of both regions and runs the broker; `down` ends
it, and with it everything. The file `sandbox.json` in the home says where things are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import LedgerError, SetupNeeded
from ledger.sandbox import home
from ledger.sandbox.kafka import Broker

REGIONS: Final = ("a", "b")
_STOP_TIMEOUT_S: Final = 60


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


def status(environment: Mapping[str, str] = os.environ) -> Running | None:
    """
    Return the sandbox that runs in this home, or None.
    """
    try:
        found = msgspec.json.decode(_place(environment).read_bytes(), type=Running)
        os.kill(found.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.MsgspecError):
        return None
    return found


def up(environment: Mapping[str, str] = os.environ) -> Running:
    """
    Start the sandbox, or find it running.

    Raises:
        SetupNeeded: a part of it cannot be started; the message says why.
    """
    if (found := status(environment)) is not None:
        return found
    place = home.folder(environment)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / "sandbox.log").open("wb") as log:
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
    raise SetupNeeded(f"the sandbox did not start:\n{(place / 'sandbox.log').read_text()[-1500:].strip()}")


def down(environment: Mapping[str, str] = os.environ) -> bool:
    """
    Stop the sandbox; return False where none was running.
    """
    found = status(environment)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while status(environment) is not None:
        if time.monotonic() > deadline:
            raise SetupNeeded(f"the sandbox's process {found.pid} does not end; look at it, then end it by hand")
        time.sleep(0.1)
    return True


def _hold() -> None:
    """Run both regions and the broker until a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    place = _place(os.environ)
    with contextlib.ExitStack() as stack:
        sockets = {region: str(stack.enter_context(home.server(region))) for region in REGIONS}
        broker = Broker.start(home.folder() / "kafka")
        stack.callback(broker.stop)
        stack.callback(lambda: place.unlink(missing_ok=True))
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(Running(os.getpid(), broker.bootstrap, sockets)))
        part.replace(place)
        stop.wait()


if __name__ == "__main__":
    try:
        _hold()
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
