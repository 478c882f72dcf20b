"""
Write a file that is there once it is whole: cut short, by Ctrl-C or a full disk, it leaves what was there before.

Half a file of requests is a smaller firm, and half a journal asserts nothing; neither can be told from a whole one.
What is no file, such as a pipe or a device, takes the bytes as they come and stays what it is; a pipe that nobody reads
is waited for a moment only, for it might never be opened.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What writing ends with, and nothing else that is done meanwhile."""

READER_SECONDS: Final = 2.0
"""How long is waited for somebody to read a pipe that nobody reads."""
_AGAIN_SECONDS: Final = 0.02


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """
    Yield a file to write, which takes the place of *path* when the block ends without an error.

    Raises:
        OSError: it cannot be written; *path* is the file that it names.
    """
    try:
        place = path.resolve()
    except RuntimeError as error:
        # What Python makes of a link that leads back to itself.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    if place.exists() and not place.is_file():
        with os.fdopen(_opened(path), "wb") as stream:
            yield stream
        return
    # Each writer has a part of its own, whoever else writes the same file.
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.replace(part, place)
    except OSError as error:
        # Of a full disk the system names no file, and of this one none that anybody named.
        if error.filename == str(part) or (error.filename is None and error.errno in _OF_THE_DISK):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _opened(path: Path) -> int:
    """Return a descriptor of what is no file, to write; it does not wait for ever to be opened."""
    began = time.monotonic()
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() - began > READER_SECONDS:
                raise OSError(errno.ENXIO, "it is a pipe that nobody reads; expected a file", str(path)) from error
        time.sleep(_AGAIN_SECONDS)
    os.set_blocking(descriptor, True)
    return descriptor


_ADVICE: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, then run it again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its rights, or name another place"),
    errno.ENOENT: "make the folder that it is to be in, or name another place",
    errno.ENOTDIR: "a part of its path is no folder: name another place",
    errno.EEXIST: "a part of its path is no folder: name another place",
    errno.ENXIO: "name a file, or a pipe that somebody reads",
    errno.EISDIR: "name a file in it",
    errno.EROFS: "name another place",
}  # fmt: skip


def advice(error: OSError) -> str:
    """
    Return what to do where a place that somebody named cannot be used, by what the system says of it.
    """
    return _ADVICE.get(error.errno or 0, "make room or change its rights, then run it again")
