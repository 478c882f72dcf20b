"""
Find the key files in a folder, and say what is wrong with those that cannot be used.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from ledger.chain import private_files, signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput, LedgerError

SUFFIX: Final = ".json"
_NUMBERED: Final = re.compile(r"-[1-9][0-9]*\Z")


class KeyFile(msgspec.Struct, frozen=True):
    """
    A file that holds a key, or one of which nobody can tell, with the reason why it cannot be used.
    """

    path: Path
    pair: KeyPair | None
    problem: str | None = None


def is_listed(path: Path) -> bool:
    """
    Return whether the file of a key at *path* is one that `key_files` lists, by its name.
    """
    return path.suffix == SUFFIX and not path.name.startswith(".")


def key_files(folder: Path) -> list[KeyFile]:
    """
    Return the key files of *folder* by name; other files, such as a signer's state, are passed over.

    Raises:
        InvalidInput: there is no such folder, or it cannot be read.
    """
    try:
        paths = sorted(filter(is_listed, folder.iterdir()))
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be read: {error.strerror}; name the folder of the keys with --keys"
        ) from error
    return [found for path in paths if (found := _read(path)) is not None]


def _read(path: Path) -> KeyFile | None:
    try:
        data = private_files.read(path)
        return KeyFile(path, signatures.decode(data)) if _is_meant(data) else None
    except OSError as error:
        return KeyFile(path, None, f"{path} cannot be read: {error.strerror}")
    except LedgerError as error:
        said = str(error)
        return KeyFile(path, None, said if said.startswith(str(path)) else f"{path}: {said}")


def _is_meant(data: bytes) -> bool:
    """Whether a file is meant to be a key's, be it a broken one."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
    return isinstance(found, dict) and bool({"seed", "key_id"} & found.keys())


def following(old: Path, number: int) -> Path:
    """
    Return the file beside *old* for the key that takes over from it, the *number*th of its kind.

    The same for every try, so that a second one finds what the first one left.
    """
    return old.with_name(f"{_NUMBERED.sub('', old.stem)}-{number}{old.suffix}")
