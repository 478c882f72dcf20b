"""
Check that an archive is held against a checkpoint that the auditor had before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import chain, signed
from tests.archiving.written import EVENTS, SIZE, verify, write
from verifier.stored import Unreadable

FORK = chain(SIZE, seed=2)


@pytest.mark.parametrize("size", [1, 256, 300, 512, SIZE])
def test_an_archive_that_follows_what_was_known_is_verified(archived: Path, size: int) -> None:
    """Of any smaller size, and of its own, also where no witness cosigned it."""
    assert verify(archived, expected=(("mine", signed(EVENTS, size, cosigned=False)),)).findings == []


def test_an_archive_that_ends_before_what_was_known_is_a_rollback(tmp_path: Path) -> None:
    """Whole and well signed, and shorter than it was: both notes are in the finding."""
    write(tmp_path, 300)
    known = signed(EVENTS, SIZE)
    (found,) = verify(tmp_path, expected=(("mine", known),)).findings
    assert (found.kind, found.column) == ("ROLLBACK", "size")
    assert (found.expected, found.actual) == (known.decode(), (tmp_path / "checkpoint").read_text())


@pytest.mark.parametrize("size", [1, 300, SIZE])
def test_an_archive_of_another_history_than_was_known_is_a_fork(archived: Path, size: int) -> None:
    """Two roots of one log that no tree has: both notes are in the finding, and convict its key."""
    known = signed(FORK, size)
    (found,) = verify(archived, expected=(("mine", known),)).findings
    assert (found.kind, found.column) == ("CHECKPOINT_INCONSISTENT", "root")
    assert (found.expected, found.actual) == (known.decode(), (archived / "checkpoint").read_text())


def test_where_tiles_and_entries_are_missing_it_is_not_said_to_follow(copy: Path) -> None:
    """The root of the smaller size cannot be made, which is told."""
    (copy / "tile/1/000.p/2").unlink()
    (copy / "tile/entries/001").unlink()
    found = verify(copy, expected=(("mine", signed(EVENTS, 512)),)).findings
    assert any("root of 512 entries" in one.expected for one in found)


def test_several_checkpoints_are_all_held_against_it(archived: Path) -> None:
    """One that fits does not make up for another."""
    known = (("a", signed(EVENTS, 300)), ("b", signed(FORK, 256)), ("c", signed(EVENTS, 1)))
    assert [one.kind for one in verify(archived, expected=known).findings] == ["CHECKPOINT_INCONSISTENT"]


def test_what_is_no_checkpoint_of_this_log_shows_nothing(archived: Path) -> None:
    """Another log's, and a file that is none: nothing is verified, and the file is named."""
    other = SigningKey("another.example/log", ED25519, bytes(32))
    for data in (signed(EVENTS, 300, other), b"hello\n", b""):
        with pytest.raises(Unreadable, match=r"^mine is (no|a) checkpoint"):
            verify(archived, expected=(("mine", data),))


def test_a_part_does_not_follow_what_neither_tiles_nor_entries_tell(tmp_path: Path) -> None:
    """A rewritten archive with the true leaves and a rotten entry below the part: nothing shows the kept root there."""
    write(tmp_path / "true", SIZE)
    fork = tmp_path / "fork"
    write(fork, SIZE, events=FORK)
    shutil.copy(tmp_path / "true/tile/0/000", fork / "tile/0/000")
    entry = fork / "tile/entries/000"
    data = bytearray(entry.read_bytes())
    data[50] ^= 1
    entry.write_bytes(bytes(data))
    report = verify(fork, expected=(("mine", signed(EVENTS, 100)),), first=257)
    assert [(one.kind, one.key) for one in report.findings] == [("TREE_MISMATCH", ("checkpoint",))]
    assert "root of 100 entries" in report.findings[0].expected
    (fork / "checkpoints/100").write_bytes(signed(EVENTS, 100))
    report = verify(fork, first=257)
    assert [(one.kind, one.key) for one in report.findings] == [("TREE_MISMATCH", ("checkpoints/100",))]
