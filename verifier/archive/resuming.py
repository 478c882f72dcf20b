"""
Remember which ranges were checked, so that a verification that was interrupted goes on where it stood.

The file is the auditor's own, as the policy is: whoever can write to it decides what is checked again. Its first line
binds it to one place, one checkpoint and one run of bundles: a copy in another place has the same checkpoint, and
nothing of it was read. Each other line is what came out of one range. A line that was being written when the machine
stopped has no end, and its range is checked again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from ledger import foreign_json, given_file
from ledger.errors import UnknownFormat
from verifier.archive.ranges import Range
from verifier.stored import Unreadable

FORMAT: Final = 5
LINE_LIMIT_BYTES: Final = 1 << 26
"""No line is longer, which is what came out of one range."""

KEPT_FINDINGS: Final = 1_000
"""A range with more is not kept but checked again, so that the file does not grow with what is wrong."""


class Task(msgspec.Struct, frozen=True):
    """
    What is being verified: where, the hash of the whole checkpoint (SHA-256, hexadecimal), and bundles first to last.
    """

    place: str
    checkpoint: str
    first: int
    last: int
    format: int = FORMAT


class Kept:
    """
    The ranges of one task that are done, in a file or, without one, nowhere.

    They are read when their turn comes: in memory are only the numbers of their first bundles, `firsts`. `events` says
    how many events they have.
    """

    def __init__(self, path: Path | None, task: Task) -> None:
        """
        Take up what *path* has of *task*; of another, as of a copy or after the archive grew, nothing is taken up.

        Raises:
            Unreadable: the file cannot be read, or is none of these.
        """
        self._path = path
        self._places: dict[int, tuple[int, int]] = {}
        self.events = 0
        if path is None:
            return
        with _saying(path):
            if path.exists():
                given_file.check(path)
                with path.open("rb+") as file:
                    self._take_up(file, task)
            else:
                path.write_bytes(msgspec.json.encode(task) + b"\n")

    def _take_up(self, file: BinaryIO, task: Task) -> None:
        head = file.readline(LINE_LIMIT_BYTES)
        if foreign_json.decode(head, Task) != task:
            file.seek(0)
            file.truncate()
            file.write(msgspec.json.encode(task) + b"\n")
            return
        place = len(head)
        while (line := file.readline(LINE_LIMIT_BYTES)).endswith(b"\n"):
            done = foreign_json.decode(line, Range)
            self._places[done.first] = (place, len(line))
            self.events += done.events
            place += len(line)
        file.truncate(place)

    @property
    def firsts(self) -> Collection[int]:
        """
        Return the number of the first bundle of each range that is done.
        """
        return self._places.keys()

    def take(self, first: int) -> Range | None:
        """
        Return what came out of the range that begins at bundle *first*, or None where it is not kept.
        """
        if self._path is None or first not in self._places:
            return None
        place, length = self._places[first]
        with _saying(self._path), self._path.open("rb") as file:
            file.seek(place)
            return foreign_json.decode(file.read(length), Range)

    def keep(self, done: Range) -> Range:
        """
        Remember a range that was checked, unless not all of it could be read, and return it.

        Raises:
            Unreadable: the file cannot be written.
        """
        found = len(done.findings) + sum(len(doubt.of_entries) for doubt in done.doubts)
        if self._path is not None and found <= KEPT_FINDINGS and not done.noted:
            with _saying(self._path), self._path.open("ab") as file:
                file.write(msgspec.json.encode(done) + b"\n")
        return done

    def forget(self) -> None:
        """
        Remove the file, once all is checked: the next verification begins anew.
        """
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _saying(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreadable(f"{path} cannot be used as state: {error.strerror}; name another --state") from error
    except UnknownFormat as error:
        raise Unreadable(
            f"{path} is no state of a verification: {error}; remove it, or name another --state"
        ) from error
