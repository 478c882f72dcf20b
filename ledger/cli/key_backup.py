"""
Write the keys and the signer's state into one sealed file, and read them back into an empty folder.
"""

from __future__ import annotations

import datetime
import getpass
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ledger.chain import private_files, signatures
from ledger.errors import InvalidInput, LedgerError, StorageFull
from ledger.keyring import backup as sealed
from ledger.keyring.backup import Backup
from ledger.keyring.folder import key_files
from ledger.sealing import promises

STATE_NAME = "signer.state"
_FULL = (28, 122)
"""The numbers of the errors that say that a disk or a quota is full."""

Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File of the passphrase, which its owner alone may read; else it is asked."),
]


def _passphrase(path: Path | None, *, twice: bool) -> bytes:
    """
    Return the passphrase in a file, without the end of its line, or as it is typed.
    """
    if path is not None:
        try:
            return private_files.read(path).removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    if not sys.stdin.isatty():
        raise InvalidInput("there is nobody to ask for the passphrase; give a file of it with --passphrase-file")
    given = getpass.getpass("passphrase: ")
    if twice and getpass.getpass("the same again: ") != given:
        raise InvalidInput("the two passphrases differ; nothing was written")
    return given.encode()


def _gathered(keys: Path, state: Path | None) -> Backup:
    files = key_files(keys)
    if broken := [found.problem for found in files if found.problem]:
        raise InvalidInput(f"not every key can be read, so nothing was backed up: {'; '.join(broken)}")
    kept = {}
    for found in files:
        if found.pair is not None and found.pair.purpose == "witness":
            print(f"left out {found.path}: a witness that forgot is to be another witness", file=sys.stderr)
        elif found.pair is not None:
            sealed.check_name(found.path.name)
            kept[found.path.name] = signatures.encode(found.pair).decode()
    if not kept:
        raise InvalidInput(f"{keys} holds no keys to back up; name their folder with --keys")
    return Backup(int(time.time()), kept, None if state is None else _state(state))


def _state(path: Path) -> str:
    """Return the text of a signer's state; it is replaced as a whole, so a running signer need not stop."""
    try:
        data = promises.read(path)
        promises.decode(data)
    except OSError as error:
        raise InvalidInput(f"the state {path} cannot be read: {error.strerror}; name the signer's") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    return data.decode()


def backup(
    file: Annotated[Path, typer.Argument(help="The file to make; it is never written over.")],
    keys: Annotated[Path, typer.Option(help="Folder of the key files.")],
    state: Annotated[
        Path | None, typer.Option(help="The signer's state, as in `signer serve --state`; the signer may run.")
    ] = None,
    passphrase_file: Passphrase = None,
) -> None:
    """
    Seal the keys of a folder, and the signer's state, into one file under a passphrase; it is read back once made.
    """
    if file.exists():
        raise InvalidInput(f"{file} is there already and stays as it is; name another file")
    content = _gathered(keys, state)
    passphrase = _passphrase(passphrase_file, twice=True)
    data = sealed.encode(
        content, passphrase, secrets.token_bytes(sealed.SALT_BYTES), secrets.token_bytes(sealed.NONCE_BYTES)
    )
    try:
        private_files.write_new(file, data)
        again = sealed.decode(private_files.read(file), passphrase)
    except FileExistsError as error:
        raise InvalidInput(f"{file} is there already and stays as it is; name another file") from error
    except OSError as error:
        raise _unwritten(file, error) from error
    if again != content:
        raise InvalidInput(f"{file} reads back as something else; do not rely on it")
    if any(found.pair is not None and found.pair.purpose == "recovery" for found in key_files(keys)):
        print(f"the recovery key lies in {keys} and is in {file} with the keys that it is to end, so that one theft "
              "has all of them: carry it to a safe, and back up again without it", file=sys.stderr)  # fmt: skip
    print(f"backed up to {file}: {', '.join(sorted(content.keys))}{'' if state is None else ' and the state'}")
    if state is None and _holds_signer(content):
        print("without the signer's state: a signer that is restored from this learns it from witnesses alone")


def _holds_signer(content: Backup) -> bool:
    """Whether a signer can be started from it, and so needs to be told what was signed."""
    pairs = (signatures.decode(text.encode()) for text in content.keys.values())
    return content.state is not None or any(pair.purpose == "checkpoint" for pair in pairs)


def _unwritten(path: Path, error: OSError) -> LedgerError:
    kind = StorageFull if error.errno in _FULL else InvalidInput
    return kind(f"{path} cannot be written: {error.strerror}; nothing was made")


def restore(
    file: Annotated[Path, typer.Argument(help="The file that `keys backup` made.")],
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one that is not there yet.")],
    passphrase_file: Passphrase = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is in the file, and write nothing.")] = False,
) -> None:
    """
    Read a backup into an empty folder, all of it or nothing.

    The state that it writes is marked: a signer with it signs nothing before witnesses said what they saw.
    """
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        data = private_files.read(file)
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}") from error
    if taken:
        raise InvalidInput(f"{folder} is not empty, and stays as it is; name an empty folder")
    passphrase = _passphrase(passphrase_file, twice=False)
    try:
        content = sealed.decode(data, passphrase)
    except LedgerError as error:
        raise InvalidInput(f"{file}: {error}") from error
    names = ", ".join(sorted(content.keys))
    if dry_run:
        made = datetime.datetime.fromtimestamp(content.made_at, datetime.UTC)
        print(f"{file} was made at {made:%Y-%m-%d %H:%M:%S} UTC and holds {names}"
              f"{' and a state' if content.state is not None else ''}")  # fmt: skip
        return
    _write(folder, content)
    print(f"restored to {folder}: {names}{f', and {STATE_NAME}' if _holds_signer(content) else ''}")
    if not _holds_signer(content):
        return
    print(f"tradeledger signer serve … --state {folder / STATE_NAME} --witnesses POLICY asks the witnesses first; "
          "stop the signer that had these keys before")  # fmt: skip


def _write(folder: Path, content: Backup) -> None:
    """Write all files beside *folder* and put them in its place at once."""
    folder = folder.resolve()
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        private_files.check_folder(folder.parent)
        beside.mkdir(mode=0o700)
        for name, text in content.keys.items():
            private_files.write_new(beside / name, text.encode())
        if _holds_signer(content):
            private_files.write_new(beside / STATE_NAME, sealed.restored_state(content))
        os.rename(beside, folder)
        private_files.settle(folder.parent)
    except OSError as error:
        raise _unwritten(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
