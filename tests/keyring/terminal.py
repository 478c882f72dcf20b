"""
Run a command at a terminal of its own, as somebody sits at one.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from tests.commands import ROOT

WAIT_SECONDS = 30
_START = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "ledger", *sys.argv[1:]])
"""


class Terminal:
    """
    A running command, and what it has shown so far.
    """

    def __init__(self, *arguments: object, **environment: str) -> None:
        self._controller, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, arguments)], cwd=ROOT, stdin=terminal, stdout=terminal,
            stderr=terminal, env={**os.environ, **environment},
        )  # fmt: skip
        os.close(terminal)
        self.shown = b""

    def wait_for(self, words: bytes) -> None:
        """Read until these words were shown."""
        while words not in self.shown:
            assert self._readable(), self.shown
            self.shown += os.read(self._controller, 1000)

    def _readable(self) -> bool:
        ready = bool(select.select([self._controller], [], [], WAIT_SECONDS)[0])
        if not ready:
            self.process.kill()
        return ready

    def type(self, keys: bytes) -> None:
        """Type these keys, as somebody does: once the command waits for them."""
        # Between a prompt and the reading of its answer Python notes a signal, and tells of it at the next key only.
        until = time.monotonic() + WAIT_SECONDS
        while not self._asleep() and time.monotonic() < until:
            time.sleep(0.01)
        os.write(self._controller, keys)

    def _asleep(self) -> bool:
        status = Path(f"/proc/{self.process.pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "S"

    def end(self) -> int:
        """Read until the command has ended, and return its status."""
        # Linux says that a terminal without a program is an input/output error.
        with contextlib.suppress(OSError):
            while self._readable() and (more := os.read(self._controller, 1000)):
                self.shown += more
        os.close(self._controller)
        return self.process.wait(30)
