"""
Go on past a file of an archive that cannot be read, and note it.

One bad sector, or one file that somebody has closed, must not hide what is wrong with the others. Such a file is
neither there nor missing: whoever needs it is told with `Unread`, and concludes nothing. Only where the checkpoint
cannot be read any more either, with which every verification began, it is the whole store that is gone, and then all
ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from ledger.archiving.layout import CHECKPOINT
from ledger.archiving.stores import Readable, TooLong
from ledger.errors import Unavailable

NAMED: Final = 20
"""How many of those that could not be read are named; the others are counted."""
_LIST: Final = ""
"""What stands for the list of all names among what could not be read."""


class Unread(Unavailable):
    """
    A file of an archive cannot be read, and was noted.
    """

    code = "file_unread"


class Noting:
    """
    An archive of which it is noted what cannot be read: by its name, what the store said.

    `files` is the archive itself, for what is as good as not there where it cannot be read.
    """

    def __init__(self, store: Readable) -> None:
        self.files = store
        self.name, self.far = store.name, store.far
        self.noted: dict[str, str] = {}

    @property
    def place(self) -> str:
        """Return which place this is."""
        return self.files.place

    @property
    def is_listed(self) -> bool:
        """
        Whether `names` told of every file, as far as it was asked.
        """
        return _LIST not in self.noted

    def read(self, path: str) -> bytes | None:
        """
        Return the bytes of a file, or None where there is none.

        Raises:
            TooLong: the file is larger than any that belongs there.
            Unread: it cannot be read, which is noted.
            Unavailable: the whole store cannot be read any more.
        """
        if path in self.noted:
            # An object store may take half a minute to say so.
            raise Unread(self.noted[path])
        try:
            return self.files.read(path)
        except TooLong:
            raise
        except Unavailable as error:
            self._note(path, error)
            raise Unread(str(error)) from error

    def names(self) -> Iterator[str]:
        """
        Return the name of every file that is told of; where that is not all of them, it is noted.

        Raises:
            Unavailable: the whole store cannot be read any more.
        """
        try:
            yield from self.files.names()
        except Unavailable as error:
            self._note(_LIST, error)

    def _note(self, path: str, error: Unavailable) -> None:
        with contextlib.suppress(TooLong):
            self.files.read(CHECKPOINT)
        self.noted[path] = str(error)


def sentence(noted: Mapping[str, str]) -> str:
    """
    Return what could not be read, and why, some of it by name.
    """
    more = f"; and {len(noted) - NAMED} more" if len(noted) > NAMED else ""
    return "; ".join([noted[path] for path in sorted(noted)][:NAMED]) + more
