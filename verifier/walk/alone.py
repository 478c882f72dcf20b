"""
Keep a state for one verification at a time, from before there is a file until it ends.

A lock within a file that does not yet exist is none, and one within a file that changes places is lost with it. So it
is on an empty file beside, which is gone when who holds it ends. A process that is killed leaves the empty file and no
lock. Processes that are divided from the holder do not hold it, so that none which outlives it stands in the way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

_LOCK: Final = ".lock"
_HELD: Final[set[Path]] = set()
"""What this process holds: the system's locks are a process's, and a second one here would lose the first's."""


class Alone:
    """
    The right to begin, read and write one state; `release` gives it back.
    """

    def __init__(self, path: Path) -> None:
        """
        Take it for the state at *path*.

        Raises:
            BlockingIOError: somebody has it.
            OSError: no file can be made beside the state.
        """
        self._path = path.resolve().with_name(path.name + _LOCK)
        if self._path in _HELD:
            raise BlockingIOError
        self._descriptor = _locked(self._path)
        _HELD.add(self._path)

    def release(self) -> None:
        """
        Give it back; once more does nothing.
        """
        if self._path in _HELD and self._descriptor >= 0:
            # Before the lock goes: whoever has opened the file meanwhile sees that it is no more the one of this name.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
            _HELD.discard(self._path)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except PermissionError as error:
            # Some systems say so of a lock that another process has.
            os.close(descriptor)
            raise BlockingIOError from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
