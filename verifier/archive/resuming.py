"""
Remember which ranges were checked, so that a verification that was interrupted goes on where it stood.

The file is the auditor's own, as the policy is: whoever can write to it decides what is checked again. Its first line
binds it to one checkpoint and one run of bundles; each other line is what came out of one range. A line that was being
written when the machine stopped has no end, and its range is checked again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from verifier.archive.ranges import Range
from verifier.stored import Unreadable

FORMAT: Final = 1
KEPT_FINDINGS: Final = 1_000
"""A range with more is not kept but checked again, so that the file does not grow with what is wrong."""


class Task(msgspec.Struct, frozen=True):
    """
    What is being verified: the hash of the whole checkpoint (SHA-256, hexadecimal), and bundles first to last.
    """

    checkpoint: str
    first: int
    last: int
    format: int = FORMAT


class Kept:
    """
    The ranges of one task that are done, in a file or, without one, nowhere.
    """

    def __init__(self, path: Path | None, task: Task) -> None:
        """
        Take up what *path* has of *task*; of another task, as after the archive grew, nothing is taken up.

        Raises:
            Unreadable: the file cannot be read, or is none of these.
        """
        self._path = path
        self.done: dict[int, Range] = {}
        if path is None:
            return
        try:
            data = path.read_bytes() if path.exists() else b""
            lines = data.split(b"\n")
            torn = lines.pop()
            if lines and msgspec.json.decode(lines[0], type=Task) == task:
                found = [msgspec.json.decode(line, type=Range) for line in lines[1:]]
                self.done = {one.first: one for one in found}
                os.truncate(path, len(data) - len(torn))
            elif torn and not lines:
                raise Unreadable(f"{path} is no state of a verification; name another --state")
            else:
                path.write_bytes(msgspec.json.encode(task) + b"\n")
        except OSError as error:
            raise Unreadable(f"{path} cannot be used as state: {error.strerror}; name another --state") from error
        except msgspec.MsgspecError as error:
            raise Unreadable(
                f"{path} is no state of a verification: {error}; remove it, or name another --state"
            ) from error

    def keep(self, done: Range) -> None:
        """
        Remember a range that was checked.

        Raises:
            Unreadable: the file cannot be written.
        """
        if self._path is None or len(done.findings) > KEPT_FINDINGS:
            return
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(done) + b"\n")
        except OSError as error:
            raise Unreadable(f"{self._path} cannot be written: {error.strerror}; name another --state") from error

    def forget(self) -> None:
        """
        Remove the file, once all is checked: the next verification begins anew.
        """
        if self._path is not None:
            self._path.unlink(missing_ok=True)
