"""
Keep what one person alone may know in files: keys, passphrases, backups of both.

As ssh does, a file that others may read is refused each time it is read, and so is one that others could put another
in the place of; a warning would be read by nobody. A new file is whole and on disk when its name appears, it never
takes the place of one that is there, and what was left half written under another name is removed.

The folders above the file's own are the operator's to guard: a container may well run in one of another's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from ledger import given_file
from ledger.errors import InvalidInput, NotPermitted

LIMIT_BYTES: Final = 16 * 1024 * 1024
"""The largest private file that is read: a backup of thousands of keys is smaller."""


def read(path: Path) -> bytes:
    """
    Return the bytes of a private file.

    Raises:
        NotPermitted: others may read or change it, or put another in its place; the message says what to run.
        InvalidInput: it is larger than any that belongs here.
        OSError: it cannot be read, or is no file.
    """
    with given_file.opened(path, given_file.PIPE_SECONDS) as file:
        # Asked of what was opened, not of the name: that may stand for another file by now.
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise NotPermitted(f"{path} has mode {mode:04o}, so others may read it; run: chmod 600 {path}")
        if found.st_uid not in (os.geteuid(), 0):
            raise NotPermitted(f"{path} belongs to user {found.st_uid}, who may read it; run: chown {_me()} {path}")
        for folder in dict.fromkeys((path.absolute().parent, path.resolve().parent)):
            check_folder(folder)
        data = file.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise InvalidInput(f"{path} has more than {LIMIT_BYTES} bytes; name the right file")
    return data


def check_folder(folder: Path) -> None:
    """
    Raise NotPermitted where others could take a file of *folder* away and put another in its place.

    A folder such as /tmp, in which each may remove only what is their own (the sticky bit), is safe.
    """
    found = folder.stat()
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(found.st_mode)
        raise NotPermitted(
            f"{folder} has mode {mode:04o}, so others may put another file in the place of a key; "
            f"run: chmod go-w {folder}"
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise NotPermitted(
            f"{folder} belongs to user {found.st_uid}, who may put another file in the place of a key; "
            f"run: chown {_me()} {folder}"
        )


def _me() -> int:
    return os.geteuid()


def write_new(path: Path, content: bytes) -> None:
    """
    Write *content* to a new file that its owner alone may read; the folder is made if it is not there.

    Raises:
        FileExistsError: there is a file of this name; it stays as it is.
        NotPermitted: others may write the folder.
        OSError: it cannot be written; nothing is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from error
    check_folder(path.parent)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails where the name is taken.
        os.link(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    settle(path.parent)


def settle(folder: Path) -> None:
    """
    Force to disk which names *folder* holds: what is in a file outlives a power cut only with its name.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
