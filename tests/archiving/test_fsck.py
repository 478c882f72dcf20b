"""
Let Tessera's fsck judge archives: a program of other people that shares no line with this one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.evidence import note
from tests import programs
from tests.archiving.chains import CHAIN_ID, KEY, ORIGIN, POLICY_TEXT, chain, reader, root, signed, silent

EVENTS = chain(700)
FSCK = programs.path_of("fsck")
SIZES = [256, 700] if FSCK else []
"""Without the program nothing is claimed of it; `make test` says that it was left out."""


def accepts(folder: Path, size: int, key_file: Path) -> bool:
    # It ends with 0 when it found damage too, and can hang on some: only what it says counts, and only in time.
    command = [str(FSCK), "-ui=false", "-N", "8", "-storage_url", f"file://{folder}/", "-public_key", str(key_file)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stderr
    except subprocess.TimeoutExpired:
        return False
    found = re.search(r"Successfully fsck'd log with size (\d+) and root (\S+) ", said)
    return found is not None and int(found[1]) == size and note.decode_base64(found[2], "root") == root(EVENTS[:size])


@pytest.mark.parametrize("size", SIZES)
def test_fsck_accepts_an_archive_and_refuses_a_touched_one(tmp_path: Path, size: int) -> None:
    """The same root from the same files; one bit of an entry, a leaf or the checkpoint, and it does not."""
    key_file = tmp_path / "log.vkey"
    key_file.write_text(KEY.verifier.text() + "\n")
    folder = tmp_path / "a"
    Archive(Folder(folder), CHAIN_ID, ORIGIN).extend(signed(EVENTS, size), reader(EVENTS), POLICY_TEXT, silent)
    assert accepts(folder, size, key_file)
    assert not accepts(folder, size + 1, key_file)
    for name in ("tile/entries/000", "tile/0/000", "checkpoint"):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        data = bytearray((copy / name).read_bytes())
        data[40] ^= 1
        (copy / name).write_bytes(data)
        assert not accepts(copy, size, key_file), name
        shutil.rmtree(copy)
