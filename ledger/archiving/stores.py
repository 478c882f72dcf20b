"""
Keep files that are written once, in a folder.

`create` is the only way in, and refuses another content under a name that is taken; the one name that moves is the
newest checkpoint's, which `move` puts there. So whoever may write to the store through this can add, not change.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from ledger.errors import Corrupt, InvalidInput, StorageFull, Unavailable

FILE_LIMIT_BYTES: Final = 128 * 1024 * 1024
"""The largest file that is read: a segment of 256 payloads of 256 KiB each, that do not compress, and room."""


class ArchiveDiffers(Corrupt):
    """
    An archive holds something else under a name than what is to be written there.
    """

    code = "archive_differs"


class Store(Protocol):
    """
    Where an archive is kept.
    """

    name: str

    def read(self, path: str) -> bytes | None:
        """
        Return the bytes of a file, or None where there is none.

        Raises:
            Unavailable: the store cannot be read, or the file is larger than any that belongs there.
        """

    def names(self) -> Iterator[str]:
        """
        Return the name of every file, in any order.

        Raises:
            Unavailable: the store cannot be read.
        """

    def create(self, path: str, data: bytes) -> None:
        """
        Write a file that is not there yet; writing the same again is no change.

        Raises:
            ArchiveDiffers: there is another.
            Unavailable: the store cannot be written.
        """

    def move(self, path: str, data: bytes) -> None:
        """
        Write a file, whatever was there before.

        Raises:
            Unavailable: the store cannot be written.
        """


class Folder:
    """
    An archive in a folder; a file is whole and on disk when its name appears.
    """

    def __init__(self, root: Path) -> None:
        """
        Use the folder *root*, which is made when something is written.
        """
        self.name = str(root)
        self._root = root

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None."""
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(FILE_LIMIT_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unavailable(f"{self.name}/{path} cannot be read: {error.strerror}") from error
        if len(data) > FILE_LIMIT_BYTES:
            raise Unavailable(f"{self.name}/{path} has more than {FILE_LIMIT_BYTES} bytes; no file of an archive has")
        return data

    def names(self) -> Iterator[str]:
        """Return the name of every file."""

        def fail(error: OSError) -> None:
            raise Unavailable(f"{error.filename} cannot be read: {error.strerror}") from error

        for folder, _, files in os.walk(self._root, onerror=fail):
            for file in files:
                yield (Path(folder) / file).relative_to(self._root).as_posix()

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
                size = len(found or b"")
                raise ArchiveDiffers(
                    f"{self.name}/{path} holds another {size} bytes than the {len(data)} to be written; nothing was "
                    "written over: verify both the archive and the database"
                ) from None
        except OSError as error:
            raise Unavailable(f"{self.name}/{path} cannot be written: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()

    def move(self, path: str, data: bytes) -> None:
        """Write a file, whatever was there before."""
        beside = self._beside(path, data)
        try:
            beside.replace(self._root / path)
            self._settle(path)
        except OSError as error:
            raise Unavailable(f"{self.name}/{path} cannot be written: {error.strerror}") from error

    def _beside(self, path: str, data: bytes) -> Path:
        """Return a file on disk that holds *data* beside where *path* will be."""
        folder = (self._root / path).parent
        beside = folder / f".{secrets.token_hex(8)}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            kind = StorageFull if error.errno in (28, 122) else Unavailable
            raise kind(f"{self.name}/{path} cannot be written: {error.strerror}") from error
        return beside

    def _settle(self, path: str) -> None:
        folder = os.open((self._root / path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_store(where: str) -> Store:
    """
    Return the store that *where* names: the path of a folder; no URL is taken yet.

    Raises:
        InvalidInput: it names none.
    """
    if "://" not in where:
        return Folder(Path(where))
    raise InvalidInput(f"found archive {where!r}; expected the path of a folder")
