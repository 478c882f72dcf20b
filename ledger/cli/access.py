"""
Find the database that a command works on, and where its private keys are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ledger.errors import DatabaseDown
from ledger.sandbox import home


class Access(msgspec.Struct, frozen=True):
    """
    How to reach the database; `private` is the socket folder of an embedded server, None for a given address.
    """

    given: str | None
    private: str | None

    def dsn(self, login: str) -> str:
        """
        Return the address for *login*; a given address has its login already.
        """
        return self.given or f"postgresql://{login}@/ledger?host={self.private}"


@contextlib.contextmanager
def access(dsn: str | None) -> Iterator[Access]:
    """
    Yield the way to the database at *dsn*, `$LEDGER_DSN`, or a private one that runs for as long as this is used.

    Raises:
        SetupNeeded: no private one was ever made here, and who asks for what there is makes none.
    """
    if not (dsn or os.environ.get("LEDGER_DSN")):
        home.check_made()
    with making(dsn) as found:
        yield found


@contextlib.contextmanager
def making(dsn: str | None) -> Iterator[Access]:
    """
    Yield the same, of a private database that is made where there is none: for commands that begin a ledger.
    """
    given = dsn or os.environ.get("LEDGER_DSN")
    if given:
        yield Access(given, None)
        return
    with home.server() as socket:
        try:
            yield Access(None, str(socket))
        except DatabaseDown as error:
            # Whose server it is has no other way to learn why, such as a disk that is full.
            place = home.folder() / home.DEFAULT_REGION
            raise DatabaseDown(f"{error}. This server is private: its log is {place / 'log'}, on a disk with "
                               f"{shutil.disk_usage(place).free >> 20:,} MiB free") from error  # fmt: skip


def keys_folder(origin: str) -> Path:
    """
    Return where keys of *origin* are kept unless told otherwise.
    """
    return home.folder() / "keys" / origin.replace("/", "_")
