"""
Check that private files are their owner's alone, whole or not there, and never taken from where others could put them.
"""

from __future__ import annotations

import os
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest

from ledger import given_file
from ledger.chain import private_files, signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput, NotPermitted

PAIR = KeyPair("publisher", "region-a", bytes(range(32)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """Reading, writing, running it: by the group or by all."""
    path = tmp_path / "key.json"
    signatures.write(path, PAIR)
    path.chmod(mode)
    with pytest.raises(NotPermitted, match=rf"mode {mode:04o}.*chmod 600 {path}"):
        signatures.read(path)
    path.chmod(0o400)
    assert signatures.read(path) == PAIR


def test_a_folder_in_which_others_may_replace_the_file_is_refused(tmp_path: Path) -> None:
    """For reading and for writing, also where only a link lies there; the sticky bit makes it safe."""
    folder = tmp_path / "keys"
    path = folder / "key.json"
    signatures.write(path, PAIR)
    link = tmp_path / "links" / "key.json"
    link.parent.mkdir()
    link.symlink_to(path)
    for place in (folder, link.parent):
        for mode in (0o770, 0o707):
            place.chmod(mode)
            with pytest.raises(NotPermitted, match=f"chmod go-w {place}"):
                signatures.read(link)
        place.chmod(0o1777)
        assert signatures.read(link) == PAIR
        place.chmod(0o755)
    folder.chmod(0o777)
    with pytest.raises(NotPermitted, match="go-w"):
        signatures.write(folder / "another.json", PAIR)
    assert [one.name for one in folder.iterdir()] == ["key.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    """Whoever owns file or folder can read the one and swap what is in the other."""
    path = tmp_path / "keys" / "key.json"
    signatures.write(path, PAIR)
    os.chown(path, 12345, -1)
    with pytest.raises(NotPermitted, match=r"belongs to user 12345.*chown 0"):
        signatures.read(path)
    os.chown(path, 0, -1)
    os.chown(path.parent, 12345, -1)
    with pytest.raises(NotPermitted, match="belongs to user 12345"):
        signatures.read(path)


def test_a_pipe_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though somebody has begun to write into it."""
    monkeypatch.setattr(given_file, "PIPE_SECONDS", 0.1)
    path = tmp_path / "key.json"
    os.mkfifo(path, 0o600)
    with open(os.open(path, os.O_RDWR), "wb", buffering=0) as writing:
        writing.write(b"secret")
        # So that a reader who waits for the end does not keep this test for ever.
        end = threading.Timer(5, writing.close)
        end.start()
        try:
            with pytest.raises(OSError, match="it is a pipe that did not end"):
                private_files.read(path)
        finally:
            end.cancel()
            end.join()


def test_a_new_file_is_whole_and_private_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask; a disk that fills up leaves nothing, and what was there stays."""
    path = tmp_path / "keys" / "key.json"
    before = os.umask(0)
    try:
        private_files.write_new(path, b"secret")
    finally:
        os.umask(before)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    with pytest.raises(FileExistsError):
        private_files.write_new(path, b"another")
    assert path.read_bytes() == b"secret"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private_files.write_new(tmp_path / "keys" / "next.json", b"secret")
    assert [one.name for one in path.parent.iterdir()] == ["key.json"]


def test_what_is_too_long_or_no_key_is_refused_without_repeating_it(tmp_path: Path) -> None:
    """A message never shows what may be most of a seed."""
    path = tmp_path / "key.json"
    private_files.write_new(path, b"x" * (private_files.LIMIT_BYTES + 1))
    with pytest.raises(InvalidInput, match="more than"):
        private_files.read(path)
    seed = PAIR.seed.hex()
    whole = signatures.encode(PAIR)
    for wrong in (
        whole.replace(seed.encode(), seed.upper().encode()),
        whole.replace(seed.encode(), seed[:-2].encode()),
        whole.replace(b'"seed":"', b'"seed":"\xff'),
        whole.replace(b'"seed"', b'"sead"'),
        whole[:-9],
        b"[]",
    ):
        with pytest.raises(InvalidInput, match="no key file") as error:
            signatures.decode(wrong)
        assert seed[:16] not in str(error.value).lower()
    assert signatures.decode(whole) == PAIR
    assert seed not in repr(PAIR)
    assert repr(PAIR.seed) not in repr(PAIR)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_nobody_but_root_is_trusted_beside_the_owner(tmp_path: Path) -> None:
    """The first user after root is a stranger: with a file of theirs, or a folder."""
    path = tmp_path / "keys" / "key.json"
    signatures.write(path, PAIR)
    os.chown(path, 1, -1)
    with pytest.raises(NotPermitted, match="belongs to user 1,"):
        signatures.read(path)
    os.chown(path, 0, -1)
    os.chown(path.parent, 1, -1)
    with pytest.raises(NotPermitted, match="belongs to user 1,"):
        signatures.read(path)


def test_a_private_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    """One of just that size is read whole, a larger one refused before all of it is in memory."""
    path = tmp_path / "key.json"
    private_files.write_new(path, b"")
    os.truncate(path, private_files.LIMIT_BYTES)
    assert len(private_files.read(path)) == private_files.LIMIT_BYTES
    os.truncate(path, 8 * private_files.LIMIT_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="more than"):
            private_files.read(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * private_files.LIMIT_BYTES
    finally:
        tracemalloc.stop()


def test_folders_above_a_new_file_are_made(tmp_path: Path) -> None:
    """All of them, for their owner alone as far as it is the file's own."""
    path = tmp_path / "a" / "b" / "key.json"
    private_files.write_new(path, b"x")
    assert (private_files.read(path), stat.S_IMODE(path.parent.stat().st_mode)) == (b"x", 0o700)


def test_a_file_that_cannot_be_made_is_said_by_the_system(tmp_path: Path) -> None:
    """A name that is too long is an OSError, and nothing is left to be removed."""
    with pytest.raises(OSError, match="too long"):
        private_files.write_new(tmp_path / ("x" * 250), b"x")
    assert list(tmp_path.iterdir()) == []
