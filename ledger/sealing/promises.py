"""
Keep the newest checkpoints that were signed in a file, so that a promise outlives the process that made it.

A new state is written beside the old one, forced to disk and put in its place before anybody hears of it. One process
holds the file at a time: two with one key could each keep a promise and together break it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from ledger import foreign_json, given_file
from ledger.chain import private_files
from ledger.errors import InvalidInput, LedgerError, NotPermitted, Unavailable
from ledger.evidence import checkpoint
from ledger.evidence.witness import Kept

STATE_VERSION: Final = 1
STATE_LIMIT_BYTES: Final = 1 << 26
"""No state is larger: it has one checkpoint of each log."""


class _State(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    schema_version: int
    checkpoints: dict[str, str]
    restored: bool = False


def encode(kept: dict[str, Kept], *, restored: bool = False) -> bytes:
    """
    Return the bytes of a state: for each log the newest checkpoint, as the note that was signed.

    *restored* marks one that a backup held, and that may be older than what was signed since.
    """
    state = _State(STATE_VERSION, {origin: kept[origin].signed.decode() for origin in sorted(kept)}, restored)
    return msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"


def read(path: Path) -> bytes:
    """
    Return what is in the file of a state.

    Raises:
        OSError: it cannot be read, or is no such file.
    """
    return given_file.read(path, STATE_LIMIT_BYTES)


def decode(data: bytes) -> dict[str, Kept]:
    """
    Return the state in a file's bytes.

    Raises:
        InvalidInput: it is none.
    """
    return _decode(data)[0]


def _decode(data: bytes) -> tuple[dict[str, Kept], bool]:
    try:
        state = foreign_json.decode(data, _State)
        if state.schema_version != STATE_VERSION:
            raise InvalidInput(f"found a state of version {state.schema_version}; expected {STATE_VERSION}")
        kept = {}
        for origin, signed in state.checkpoints.items():
            stated, _ = checkpoint.decode_note(signed.encode())
            if stated.origin != origin:
                raise InvalidInput(f"found a checkpoint of {stated.origin!r} under {origin!r}")
            kept[origin] = Kept(stated.size, stated.root, signed.encode())
    except LedgerError as error:
        raise InvalidInput(f"it holds no state of checkpoints: {error}") from error
    return kept, state.restored


class Promises:
    """
    The state file of a signer or a witness, held by one process.

    `kept` is the newest checkpoint of each log; `restored` says that it is as a backup had it, until it is kept anew.
    """

    def __init__(self, path: Path) -> None:
        """
        Hold the file at *path*, which is made if it is not there, or the one that a link there leads to.

        Raises:
            Unavailable: another process holds it.
            NotPermitted: others may write it.
            InvalidInput: it cannot be read or holds no state, or is a link that leads nowhere.
        """
        self._lock = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.is_symlink() and not path.exists():
                # As on a volume that is not mounted: a new state would have forgotten what was promised.
                raise InvalidInput(
                    f"{path} is a link to {path.readlink()}, and nothing is there; mount what it is on or, for a state "
                    "that is to begin anew, remove the link"
                )
            # The file itself is locked and replaced, by whatever name it was called.
            path = self._path = path.resolve()
            self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = None
            if path.exists():
                given_file.check(path)
                data = read(path)
        except BlockingIOError as error:
            self.close()
            raise Unavailable(
                f"{path} is held by another process; one signs at a time: stop the other first"
            ) from error
        except OSError as error:
            self.close()
            raise InvalidInput(
                f"{path} cannot be used to keep what is signed: {error.strerror}; name another file"
            ) from error
        if data is not None and path.stat().st_mode & 0o022:
            self.close()
            raise NotPermitted(f"others may write {path}, and so undo what was promised; run: chmod 600 {path}")
        try:
            self.kept, self.restored = ({}, False) if data is None else _decode(data)
        except InvalidInput as error:
            self.close()
            raise InvalidInput(f"{path}: {error}; restore it from a copy, newest first") from error

    def keep(self, origin: str, newest: Kept) -> None:
        """
        Put the *newest* checkpoint of a log in the place of the one before, on disk when this returns.
        """
        changed = {**self.kept, origin: newest}
        beside = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(changed))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        private_files.settle(self._path.parent)
        self.kept, self.restored = changed, False

    def close(self) -> None:
        """
        Let the file go.
        """
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
