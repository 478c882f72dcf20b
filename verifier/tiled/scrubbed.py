"""
Remember how far a scrub has come, in a file that is replaced whole.

The file names the chain, the tile that is next, the tiles that were found broken, and the last event that was there:
a later run then knows a history that is shorter, or another one. It says what need not be read again for a while, so
it belongs where the ledger's owner cannot write, as a policy does.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from ledger import foreign_json, given_file
from ledger.errors import UnknownFormat
from verifier.stored import Unreadable

FORMAT: Final = 1
STATE_LIMIT_BYTES: Final = 1 << 20
BROKEN_LIMIT: Final = 1000
"""How many tiles are remembered as broken; who has more needs a full verification."""


class Scrubbed(msgspec.Struct, forbid_unknown_fields=True):
    """
    How far the rolling check of one chain has come; times are seconds since 1970.

    `next` is the tile to go on with; `round` counts from 1, and the round before it, if any, was complete at
    `completed_at`. `size` and `hash` are of the last event that was there when the state was written.
    """

    origin: str
    chain_id: str
    started_at: int
    next: int = 0
    round: int = 1
    completed_at: int | None = None
    broken: list[int] = msgspec.field(default_factory=list)
    size: int = 0
    hash: str = ""
    format_version: int = FORMAT

    def names(self) -> tuple[list[str], list[bytes]]:
        """
        Return what the chain was called, and its id where the file says one.
        """
        try:
            return [self.origin], [bytes.fromhex(self.chain_id)]
        except ValueError:
            return [self.origin], []


def read(path: Path) -> Scrubbed | None:
    """
    Return the state in a file, or None where there is no file.

    Raises:
        Unreadable: it is no state.
    """
    try:
        given_file.check(path)
        data = given_file.read(path, STATE_LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"the state {path} cannot be read: {error.strerror}; name another file") from error
    try:
        found = foreign_json.decode(data, Scrubbed)
    except UnknownFormat as error:
        raise Unreadable(f"{path} is no state of a scrub: {error}; delete it, and the round begins anew") from error
    if found.format_version != FORMAT or found.next < 0 or found.size < 0 or found.round < 1 or min(
        found.broken, default=0) < 0:  # fmt: skip
        raise Unreadable(f"{path} is a state of format {found.format_version} at tile {found.next}; expected format "
                         f"{FORMAT}: delete it, and the round begins anew")  # fmt: skip
    return found


def check(found: Scrubbed, path: Path, origin: str, chain_id: bytes) -> None:
    """
    Raise Unreadable where the state that was *found* in a file is of another chain.
    """
    if (found.origin, found.chain_id) != (origin, chain_id.hex()):
        raise Unreadable(
            f"{path} is of chain {found.origin} with id {found.chain_id}, and this is {origin} with id "
            f"{chain_id.hex()}; give each chain a file of its own"
        )


def write(path: Path, state: Scrubbed) -> None:
    """
    Put *state* in the place of what the file holds, whole or not at all, and on disk when this returns.

    Raises:
        Unreadable: it cannot be written; what was there is there.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unreadable(f"the state {path} cannot be written: {error.strerror}; name another file") from error
