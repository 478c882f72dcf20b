"""
Remember how far a chain was found good, so that the next walk begins there: written only once all before it was
checked.

A state is one JSON object in a file that is replaced whole. It names the chain it is of, the last event that was
checked with its hash, and the edge of the tree up to there. Whoever can write the file can have a walk skip what it
says was checked: keep it where the ledger's owner cannot reach it, as a policy is kept.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from ledger import foreign_json, given_file
from ledger.errors import InvalidInput, UnknownFormat
from ledger.evidence.tree import Frontier
from verifier.stored import Unreadable
from verifier.walk.layout import End

FORMAT: Final = 1
_LIMIT_BYTES: Final = 1 << 16


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How far a chain was found good: `end` is the last event, `edge` the hashes of `tree.complete_nodes(0, end.seq)`.
    """

    format_version: int
    origin: str
    chain_id: bytes
    end: End
    edge: list[bytes]

    def names(self) -> tuple[list[str], list[bytes]]:
        """
        Return what the chain was called, and its id.
        """
        return [self.origin], [self.chain_id]

    def frontier(self) -> Frontier:
        """
        Return the edge of the tree over the events that were checked.
        """
        return Frontier(self.end.seq, self.edge)


def read(path: Path) -> Saved | None:
    """
    Return the state in a file, or None where there is no such file.

    Raises:
        Unreadable: it is no state of this format.
    """
    try:
        given_file.check(path)
        data = given_file.read(path, _LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"the state {path} cannot be read: {error.strerror}; name another file") from error
    try:
        found = foreign_json.decode(data, Saved)
        if found.format_version != FORMAT or found.end.seq < 1:
            raise InvalidInput(f"found format {found.format_version} at event {found.end.seq}, expected {FORMAT}")
        found.frontier()
    except (UnknownFormat, InvalidInput) as error:
        raise Unreadable(
            f"{path} is no state of a verification: {error}; name another file, or delete it if it was one, and all is "
            "verified from the first event"
        ) from error
    return found


def write(path: Path, state: Saved) -> None:
    """
    Put *state* in the place of what the file holds, whole or not at all, and on disk when this returns.

    Raises:
        Unreadable: it cannot be written; what was there is there.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(msgspec.json.encode(state) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unreadable(f"the state {path} cannot be written: {error.strerror}; name another file") from error
