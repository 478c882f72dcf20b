"""
Read a file that somebody named, and neither wait for ever nor take more than such a file can be.

A name may stand for anything: a folder, a device without end, a pipe into which nobody writes. What is no file is
refused, and so is what is larger than any of its kind. A pipe is read as long as somebody writes into it, for shells
hand over what a program says as one: `--policy <(gpg -d auditor.policy.gpg)`. So is a terminal, at which somebody
types.

Whatever is wrong is an OSError whose `strerror` says what was found and what was expected; whoever asked for the file
says which it was and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

NOBODY_SECONDS: Final = 2.0
"""How long is waited for somebody to write into a pipe into which nobody does."""

PIPE_SECONDS: Final = 300.0
"""How long a pipe may take that is read as a whole: whoever decrypts a file into it may have to type a passphrase."""

SILENT_SECONDS: Final = 300.0
"""How long nothing may come through a pipe of any size, for the same reason."""

LEASE_SECONDS: Final = 60.0
"""How long is waited for whoever has a lease on a file; Linux ends one by itself 45 seconds after it is asked for."""

_CHUNK_BYTES: Final = 1 << 20
_AGAIN_MS: Final = 500
_AGAIN_SECONDS: Final = 0.02
_OTHERS: Final = {
    stat.S_IFDIR: (errno.EISDIR, "a folder"), stat.S_IFCHR: (errno.EINVAL, "a device"),
    stat.S_IFBLK: (errno.EINVAL, "a disk"), stat.S_IFSOCK: (errno.EINVAL, "a socket"),
}  # fmt: skip


def read(path: Path, limit: int) -> bytes:
    """
    Return what is in a file of at most *limit* bytes.

    Raises:
        OSError: it cannot be read, is no file, has more bytes, or is a pipe that does not end in time.
    """
    with opened(path, PIPE_SECONDS) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_long(path, limit, f"{size} bytes")
        data = bytearray()
        # Room is made for all that is asked for, so no more is asked for than comes.
        while part := file.read(min(_CHUNK_BYTES, limit + 1 - len(data))):
            data += part
            if len(data) > limit:
                raise _too_long(path, limit, "more")
    return bytes(data)


@contextlib.contextmanager
def opened(path: Path, seconds: float | None = None, silent: float | None = None) -> Iterator[BinaryIO]:
    """
    Yield a file to be read in parts, whatever its size; of a pipe what comes in these *seconds*, or else all of it, as
    long as it is not *silent* for more than so many.

    Raises:
        OSError: it cannot be read, or is no file; while it is read, that a pipe does not end or is silent.
    """
    descriptor = _open(path)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG and kind != stat.S_IFIFO and not os.isatty(descriptor):
            number, found = _OTHERS.get(kind, (errno.EINVAL, "of another kind"))
            raise OSError(number, f"it is {found}; expected a file", str(path))
        raw = io.FileIO(descriptor, closefd=False) if kind == stat.S_IFREG else _Pipe(path, descriptor, seconds, silent)
        with io.BufferedReader(raw) as file:
            yield file
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Return a descriptor that does not wait: a pipe into which nobody writes would never be opened."""
    began = time.monotonic()
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except BlockingIOError:
            # Somebody has a lease on the file, as a file server for a client, and is asked by this to give it back.
            if time.monotonic() - began > LEASE_SECONDS:
                raise
        time.sleep(_AGAIN_SECONDS)


def check(path: Path) -> None:
    """
    Raise an OSError where *path* is there and is no file, for whoever writes into it as well; a pipe is none.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        number, found = {**_OTHERS, stat.S_IFIFO: (errno.EINVAL, "a pipe")}.get(kind, (errno.EINVAL, "of another kind"))
        raise OSError(number, f"it is {found}; expected a file", str(path))


def _too_long(path: Path, limit: int, found: str) -> OSError:
    return OSError(errno.EFBIG, f"it has {found}; expected at most {limit} bytes", str(path))


class _Pipe(io.RawIOBase):
    """
    What comes through a pipe or from a terminal, opened so that reading does not wait.
    """

    def __init__(self, path: Path, descriptor: int, seconds: float | None, silent: float | None) -> None:
        self._path, self._descriptor, self._seconds, self._silent = str(path), descriptor, seconds, silent
        self._began = self._heard = time.monotonic()
        self._has_come = False
        self._coming = select.poll()
        self._coming.register(descriptor, select.POLLIN)

    def fileno(self) -> int:
        """Return what it is read by."""
        return self._descriptor

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, into: Any) -> int:
        """
        Read what has come; wait while nothing has and somebody may yet write.
        """
        while True:
            waited = time.monotonic() - self._began
            if self._seconds is not None and waited > self._seconds:
                found = f"it is a pipe that did not end; expected a file, or that it ends in {self._seconds:g} seconds"
                raise OSError(errno.EINVAL, found, self._path)
            if self._silent is not None and time.monotonic() - self._heard > self._silent:
                found = f"it is a pipe through which nothing came for {self._silent:g} seconds; expected a file"
                raise OSError(errno.EINVAL, found, self._path)
            try:
                count = os.readv(self._descriptor, [into])
            except BlockingIOError:
                self._coming.poll(_AGAIN_MS)
                continue
            if count or self._has_come:
                self._has_come, self._heard = True, time.monotonic()
                return count
            if waited > NOBODY_SECONDS:
                raise OSError(errno.EINVAL, "it is a pipe into which nobody writes; expected a file", self._path)
            time.sleep(_AGAIN_SECONDS)
