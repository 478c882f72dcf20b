"""
Check that a file which cannot be read hides nothing that is wrong with the others, and accuses nobody.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.archiving.places import open_store
from ledger.archiving.stores import Folder, Store
from ledger.archiving.writer import Archive
from ledger.errors import Unavailable
from tests.archiving.chains import CHAIN_ID, ORIGIN, POLICY, POLICY_TEXT, chain, reader, signed, silent
from tests.archiving.written import EVENTS, SIZE, verify, write
from tests.commands import run
from verifier.archive import verification
from verifier.archive.seams import finding
from verifier.archive.unread import NAMED, sentence
from verifier.archive.verification import UNREAD
from verifier.stored import Unreadable

ABOVE = "tile/1/000.p/2"
NEEDED = ("segment/001", "tile/entries/001", "tile/0/001", ABOVE, "checkpoints/300", "chain.json")
REASON = "cannot be read: Input/output error"


def close(path: Path) -> None:
    """Let each reading of a file end as that of a bad sector does."""
    path.unlink()
    # What stands at the first address of a process can nobody read.
    path.symlink_to("/proc/self/mem")


def rot(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", NEEDED)
def test_one_file_that_cannot_be_read_is_no_verdict(
    copy: Path, name: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither there nor missing: nothing is verified, and the file and the reason are said."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", 1)
    close(copy / name)
    with pytest.raises(Unreadable) as told:
        verify(copy, jobs)
    assert f"nothing is wrong with what could be read of {copy}, and 1 of its files could not be: " in str(told.value)
    assert f"{copy / name} {REASON}; see that" in str(told.value)


@pytest.mark.parametrize("name", NEEDED)
def test_it_hides_nothing_that_is_wrong_elsewhere(copy: Path, name: str) -> None:
    """What is found without it is found beside it, and it is among what was not covered."""
    rot(copy / "segment/002.p/188")
    before = verify(copy)
    close(copy / name)
    report = verify(copy)
    assert (report.verdict, report.findings) == ("broken", before.findings)
    assert f"{UNREAD}: {copy / name} {REASON}" in report.not_covered
    assert report.last_good_seq == (256 if name in ("segment/001", "tile/entries/001") else before.last_good_seq)
    assert not report.checkpoints[0].accepted


def test_of_what_is_in_it_it_is_said_that_it_is_not_known(copy: Path) -> None:
    """Payloads, and keys that its events may have named."""
    rot(copy / "segment/002.p/188")
    for name in ("tile/entries/001", "segment/001"):
        close(copy / name)
        said = verify(copy).not_covered
        assert any(line.startswith("payloads of events 257 to 512") for line in said)
        assert any(line.startswith("which keys were revoked") for line in said)


def test_entries_that_cannot_be_read_are_not_missing(copy: Path) -> None:
    """Where neither a bundle nor its tile tells its leaves, no root is made, and nobody accused."""
    close(copy / "tile/entries/001")
    close(copy / "tile/0/001")
    with pytest.raises(Unreadable, match="and 2 of its files could not be"):
        verify(copy)
    # So it is with what was signed before, which neither shows any more.
    close(copy / ABOVE)
    with pytest.raises(Unreadable, match="and 3 of its files could not be"):
        verify(copy, expected=(("mine", signed(EVENTS, 512)),))


@pytest.mark.parametrize("first", [1, 300, 600])
def test_a_part_does_not_lead_elsewhere_where_the_tiles_above_cannot_be_read(copy: Path, first: int) -> None:
    """Nor is it shown to be signed; what is of another history is found all the same where they can."""
    close(copy / ABOVE)
    with pytest.raises(Unreadable, match=ABOVE):
        verify(copy, first=first, last=first)


def test_a_part_of_another_history_is_found_beside_it(tmp_path: Path) -> None:
    """By the tiles that can be read."""
    write(tmp_path, SIZE, events=chain(SIZE, seed=2))
    for path in (tmp_path / "checkpoint", tmp_path / f"checkpoints/{SIZE}"):
        path.write_bytes(signed(EVENTS, SIZE))
    close(tmp_path / f"checkpoints/{SIZE}")
    report = verify(tmp_path, first=1, last=1)
    assert ("TREE_MISMATCH", ("checkpoint",)) in {(one.kind, one.key) for one in report.findings}


def test_an_older_checkpoint_is_not_contradicted_by_what_cannot_be_read(copy: Path) -> None:
    """Neither by tiles nor by entries; one that another history signed is, where either tells."""
    (copy / "checkpoints/256").write_bytes(signed(chain(SIZE, seed=2), 256))
    close(copy / ABOVE)
    assert [one.kind for one in verify(copy).findings] == ["CHECKPOINT_INCONSISTENT"]
    close(copy / "tile/entries/000")
    with pytest.raises(Unreadable):
        verify(copy)


def _to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _a_socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    # The whole path may be longer than one of a socket can be.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("change", [_to_itself, _a_socket])
@pytest.mark.parametrize("name", ["segment/001", "tile/entries/001", "tile/0/001"])
def test_what_leads_to_no_file_is_not_there(copy: Path, name: str, change: Callable[[Path], None]) -> None:
    """A link to itself, and a socket."""
    change(copy / name)
    assert verify(copy).findings == [finding("ARCHIVE_MISSING", "a file", "none", name)]


@pytest.mark.parametrize("change", [_to_itself, _a_socket, Path.unlink, close])
def test_the_archives_own_policy_keeps_nothing_from_being_verified(copy: Path, change: Callable[[Path], None]) -> None:
    """Nothing rests on it; that it is not there, or cannot be read, is said."""
    assert not any("file policy" in line for line in verify(copy).not_covered)
    change(copy / "policy")
    report = verify(copy)
    assert (report.verdict, report.findings) == ("verified", [])
    said = f"on which nothing here rests: {copy / 'policy'} {REASON}" if change is close else "which is not there"
    assert [line for line in report.not_covered if "the file policy of the archive, " + said in line]
    rot(copy / "segment/001")
    assert verify(copy).verdict == "broken"


def test_that_the_newest_checkpoint_is_not_among_the_others_is_said(copy: Path) -> None:
    """It is no finding: a run that was stopped at its end leaves an archive so, and the next one writes it."""
    path = copy / f"checkpoints/{SIZE}"
    assert not any("checkpoints/" in line for line in verify(copy).not_covered)
    path.unlink()
    report = verify(copy)
    assert report.verdict == "verified"
    assert [line for line in report.not_covered if line.startswith(f"checkpoints/{SIZE}, where the newest checkpoint")]
    path.mkdir()
    assert verify(copy).not_covered == report.not_covered
    path.rmdir()
    write(copy, SIZE)
    assert not any("checkpoints/" in line for line in verify(copy).not_covered)


def test_what_could_not_be_read_is_read_by_the_next_run(copy: Path, tmp_path: Path) -> None:
    """A state has only what was checked whole; it goes when all is."""
    state, good = tmp_path / "state", (copy / "segment/001").read_bytes()
    close(copy / "segment/001")
    with pytest.raises(Unreadable):
        verify(copy, state=state)
    assert state.exists()
    (copy / "segment/001").unlink()
    (copy / "segment/001").write_bytes(good)
    rot(copy / "segment/001")
    assert [one.kind for one in verify(copy, state=state).findings] == ["PAYLOAD_MISMATCH"]
    assert not state.exists()


def test_a_folder_that_cannot_be_listed_hides_nothing(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds besides is not known; nothing is missing for that."""
    listed = os.scandir

    def scandir(path: str) -> object:
        if path == str(copy / "tile"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(verification, "SPARE_BUNDLES", 1)
    with pytest.raises(Unreadable, match=f"{copy / 'tile'} cannot be read: Permission denied"):
        verify(copy)
    rot(copy / "segment/000")
    rot(copy / "checkpoints/300")
    report = verify(copy)
    assert {one.kind for one in report.findings} == {"PAYLOAD_MISMATCH", "CHECKPOINT_SIG"}
    assert "events 257 to 700" in report.not_covered


def test_a_store_that_goes_away_is_not_verified(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the checkpoint can be read any more, no file is at fault."""
    rot(copy / "segment/000")
    inner, left = Folder.read, 12

    def read(folder: Folder, path: str) -> bytes | None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable(f"{path} cannot be read: Stale file handle")
        return inner(folder, path)

    monkeypatch.setattr(Folder, "read", read)
    with pytest.raises(Unavailable, match="checkpoint cannot be read: Stale"):
        verify(copy)


def test_one_object_that_is_withheld_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an object store too, of which files are asked for ahead of their turn."""
    objects = pytest.importorskip("ledger.archiving.objects")
    where = "memory://withheld"
    store: Store = open_store(where)
    Archive(store, CHAIN_ID, ORIGIN).extend(signed(EVENTS, SIZE), reader(EVENTS), POLICY_TEXT, silent)
    get = objects.obstore.get

    def withholding(inner: object, path: str) -> object:
        if path == "segment/001":
            raise objects.BaseError("the object's key was disabled")
        return get(inner, path)

    monkeypatch.setattr(objects.obstore, "get", withholding)
    with pytest.raises(Unreadable, match=f"{where}/segment/001 cannot be read: the object's key was disabled"):
        verification.verify(where, POLICY, silent)
    bundle = bytearray(store.read("tile/entries/002.p/188") or b"")
    # Another epoch, in the last of its entries.
    here = last = 0
    while here < len(bundle):
        last, here = here, here + 2 + int(struct.unpack_from(">H", bundle, here)[0])
    bundle[last + 2 + 43] ^= 1
    objects.obstore.put(store._store, "tile/entries/002.p/188", bytes(bundle))  # type: ignore[attr-defined]
    report = verification.verify(where, POLICY, silent)
    assert "TREE_MISMATCH" in {one.kind for one in report.findings}
    assert any(line.startswith(UNREAD) for line in report.not_covered)


def test_of_very_many_some_are_named() -> None:
    """The others are counted."""
    noted = {f"segment/{number:03}": f"{number} cannot be read" for number in range(NAMED + 3)}
    assert sentence(noted).endswith(f"{NAMED - 1} cannot be read; and 3 more")
    assert sentence({"b": "b", "a": "a"}) == "a; b"


def test_the_command_ends_with_4_and_with_3_where_anything_is_wrong(copy: Path, tmp_path: Path) -> None:
    """In a form for programs too."""
    trust = tmp_path / "trust"
    trust.write_bytes(POLICY_TEXT)
    close(copy / "tile/0/000")
    said = run("verifier", "archive", copy, "--policy", trust, "--format", "json")
    assert (said.returncode, json.loads(said.stdout)["verdict"]) == (4, "could not verify"), said
    assert str(copy / "tile/0/000") in said.stderr
    rot(copy / "segment/001")
    said = run("verifier", "archive", copy, "--policy", trust, "--format", "json")
    assert (said.returncode, json.loads(said.stdout)["verdict"]) == (3, "broken"), said
