"""
Keep files that are written once, in a folder.

`create` is the only way in, and refuses another content under a name that is taken. The names that move, those of the
newest checkpoint and of the policy, are moved by `move` from what was read there, so that of two who archive at the
same time one is told. Whoever may write to the store through this can add, not change. `objects` keeps the same in
object stores.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from ledger.errors import Corrupt, StorageFull, Unavailable
from ledger.whole_file import advice

FILE_LIMIT_BYTES: Final = 128 * 1024 * 1024
"""The largest file that is read: a segment of 256 payloads of 256 KiB each, that do not compress, and room."""


_NO_FILE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV))
"""What is said of a name that leads to no file: to nothing, to a folder, to itself, to a socket, to no device."""


class ArchiveDiffers(Corrupt):
    """
    An archive holds something else under a name than what is to be written there.
    """

    code = "archive_differs"


class TooLong(Unavailable):
    """
    A file of a store is larger than any that belongs to an archive, and was not read.
    """

    code = "file_too_long"


class MovedMeanwhile(Unavailable):
    """
    Another process archives to the same place and was first; the same again goes on from what it wrote.
    """

    code = "moved_meanwhile"


def differs(name: str, path: str, found: int, given: int) -> ArchiveDiffers:
    """
    Return the error that says that a name is taken, by another content of *found* bytes.
    """
    return ArchiveDiffers(
        f"{name}/{path} holds another {found} bytes than the {given} to be written; nothing was written over: verify "
        "both the archive and the database"
    )


def too_long(name: str, path: str) -> TooLong:
    """
    Return the error that says that a file is too large to be one of an archive.
    """
    return TooLong(f"{name}/{path} has more than {FILE_LIMIT_BYTES} bytes; no file of an archive has")


def moved(name: str, path: str) -> MovedMeanwhile:
    """
    Return the error that says that a name was moved by somebody else.
    """
    return MovedMeanwhile(f"{name}/{path} was replaced by another process meanwhile; run the same again")


class Readable(Protocol):
    """
    Where an archive is read.
    """

    name: str
    far: bool
    """Whether each read waits for a network, so that it is worth asking for several files at once."""

    @property
    def place(self) -> str:
        """
        Return which place this is, the same by whatever name and from whatever folder it was reached.
        """

    def read(self, path: str) -> bytes | None:
        """
        Return the bytes of a file, or None where there is none.

        Raises:
            TooLong: the file is larger than any that belongs there.
            Unavailable: it cannot be read, or the whole store cannot.
        """

    def names(self) -> Iterator[str]:
        """
        Return the name of every file, in any order.

        Raises:
            Unavailable: the store cannot be read, or a part of it; the names of the others were returned by then.
        """


class Store(Readable, Protocol):
    """
    Where an archive is kept.
    """

    def create(self, path: str, data: bytes) -> None:
        """
        Write a file that is not there yet; writing the same again is no change.

        Raises:
            ArchiveDiffers: there is another.
            Unavailable: the store cannot be written.
        """

    def move(self, path: str, data: bytes, seen: bytes | None) -> None:
        """
        Write a file in place of what was *seen* there; None: there was none.

        Raises:
            MovedMeanwhile: something else is there by now.
            Unavailable: the store cannot be written.
        """


class Folder:
    """
    An archive in a folder; a file is whole and on disk when its name appears.
    """

    far = False

    def __init__(self, root: Path) -> None:
        """
        Use the folder *root*, which is made when something is written.
        """
        self.name = str(root)
        self._root = root

    @property
    def place(self) -> str:
        """Return the folder's own path."""
        return os.path.realpath(self._root)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None."""
        try:
            # Not waiting: a pipe in the place of a file would never be opened, and is no file of an archive.
            with os.fdopen(os.open(self._root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    return None
                # Room is made for all that is asked for, so no more is asked for than there is.
                data = file.read(min(found.st_size, FILE_LIMIT_BYTES) + 1)
                if len(data) > found.st_size:
                    data += file.read(FILE_LIMIT_BYTES + 1 - len(data))
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise Unavailable(f"{self.name}/{path} cannot be read: {error.strerror}") from error
        if len(data) > FILE_LIMIT_BYTES:
            raise too_long(self.name, path)
        return data

    def names(self) -> Iterator[str]:
        """Return the name of every file; a folder that cannot be listed is named once the others are."""
        failed: list[OSError] = []
        for folder, _, files in os.walk(self._root, onerror=failed.append):
            for file in files:
                yield (Path(folder) / file).relative_to(self._root).as_posix()
        for error in failed:
            raise Unavailable(f"{error.filename} cannot be read: {error.strerror}") from error

    def create(self, path: str, data: bytes) -> None:
        """Write a file that is not there yet, or is the same."""
        beside = self._beside(path, data)
        try:
            # A link, unlike a rename, fails where the name is taken.
            os.link(beside, self._root / path)
            self._settle(path)
        except FileExistsError:
            found = self.read(path)
            if found != data:
                raise differs(self.name, path, len(found or b""), len(data)) from None
        except OSError as error:
            raise self._unwritten(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()

    def move(self, path: str, data: bytes, seen: bytes | None) -> None:
        """Write a file in place of what was seen there."""
        beside = self._beside(path, data)
        try:
            with self._alone():
                if self.read(path) != seen:
                    raise moved(self.name, path)
                beside.replace(self._root / path)
            self._settle(path)
        except OSError as error:
            raise self._unwritten(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep whoever else moves a name of this folder waiting."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _beside(self, path: str, data: bytes) -> Path:
        """Return a file on disk that holds *data* beside where *path* will be."""
        folder = (self._root / path).parent
        beside = folder / f".{secrets.token_hex(8)}.new"
        try:
            self._make(folder)
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise self._unwritten(path, error) from error
        return beside

    def _unwritten(self, path: str, error: OSError) -> Unavailable:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
        return kind(f"{self.name}/{path} cannot be written: {error.strerror}; {advice(error)}")

    def _make(self, folder: Path) -> None:
        """Make a folder, on disk, and those that it is in."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        _force(folder.parent)

    def _settle(self, path: str) -> None:
        _force((self._root / path).parent)


def _force(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
