"""
Check that an archive is written once, grows, goes on after a stop, and is found out wherever it was touched.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from ledger.archiving.places import open_store
from ledger.archiving.stores import FILE_LIMIT_BYTES, ArchiveDiffers, Folder
from ledger.archiving.writer import Archive
from ledger.errors import Divergence, HashMismatch, InvalidInput, SequenceGap, StorageFull, Unavailable
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import CHAIN_ID, KEY, ORIGIN, POLICY_TEXT, chain, reader, root, signed, silent
from tests.archiving.written import EVENTS, SIZE, files, kinds, verify, write
from verifier.forms import sentences
from verifier.stored import Unreadable


@pytest.mark.parametrize("sizes", [(1,), (255,), (256,), (257,), (512, 512), (1, 2, 3, 300, 511, 700)])
def test_an_archive_of_any_size_is_verified(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """However it grew, all of it is covered and nothing is wrong."""
    assert write(tmp_path, *sizes).size() == sizes[-1]
    report = verify(tmp_path)
    assert (report.verdict, report.findings) == ("verified", [])
    assert (report.events, report.last_good_seq) == (sizes[-1], sizes[-1])
    assert report.head["hash"] == EVENTS[sizes[-1] - 1].hash.hex()
    assert report.head["root"] == root(EVENTS[: sizes[-1]]).hex()


def test_an_archive_that_grew_holds_what_one_made_at_once_holds(tmp_path: Path, archived: Path) -> None:
    """Same events, same bytes: only the partial tiles and checkpoints of its earlier sizes are there besides."""
    write(tmp_path, SIZE)
    grown, whole = files(archived), files(tmp_path)
    assert {name: grown[name] for name in whole} == whole
    assert all(".p/" in name or name.startswith("checkpoints/") for name in set(grown) - set(whole))


def test_a_folder_is_not_touched_by_writing_the_same_again(archived: Path) -> None:
    """Not one file is written anew."""
    before = {
        path: path.stat().st_ino for path in archived.rglob("*") if path.is_file() and "checkpoint" not in path.name
    }
    write(archived, SIZE)
    assert {path: path.stat().st_ino for path in before if path.name != "policy"} == {
        path: inode for path, inode in before.items() if path.name != "policy"
    }


class Stopped(Exception):
    """The machine stops here."""


def test_an_archive_whose_writing_was_stopped_goes_on(tmp_path: Path, archived: Path) -> None:
    """After every single write: what stands is an archive of the size before, and the next run makes it whole."""
    writes, one_at_a_time = 0, threading.Lock()
    while True:
        folder = tmp_path / str(writes)
        write(folder, 300)
        store, left = Folder(folder), writes

        def counting(kind: str, store: Folder = store) -> Callable[..., None]:
            inner = getattr(store, kind)

            def one(*given: object) -> None:
                nonlocal left
                # Files are written by several threads, and after the last write none.
                with one_at_a_time:
                    if left == 0:
                        raise Stopped
                    left -= 1
                    inner(*given)

            return one

        store.create, store.move = counting("create"), counting("move")  # type: ignore[method-assign]
        try:
            Archive(store, CHAIN_ID, ORIGIN).extend(signed(EVENTS, SIZE), reader(EVENTS), POLICY_TEXT, silent)
        except Stopped:
            report = verify(folder)
            assert report.findings == [], writes
            assert report.events in (300, SIZE)
            write(folder, SIZE)
        assert verify(folder).verdict == "verified"
        assert {f"checkpoints/{size}" for size in (300, SIZE)} <= files(folder).keys()
        if left > 0:
            break
        shutil.rmtree(folder)
        writes += 1
    assert writes > 10


def test_nothing_is_archived_of_a_history_that_is_another(tmp_path: Path) -> None:
    """Other events than were signed or archived, a gap, an edit: all are refused and nothing is written."""
    fork = chain(SIZE, seed=2)
    archive = write(tmp_path, 300)
    before = files(tmp_path)
    edited = [msgspec.structs.replace(event, actor="mallory") if event.seq == 400 else event for event in EVENTS]
    relinked = [*EVENTS[:300], *fork[300:]]
    for events, error, says in (
        (fork, HashMismatch, "does not follow"),
        (relinked, HashMismatch, "event 301"),
        (edited, HashMismatch, "event 400"),
        ([event for event in EVENTS if event.seq != 400], SequenceGap, "expected event 400"),
        (EVENTS[:600], SequenceGap, "found no event"),
    ):
        with pytest.raises(error, match=says):
            archive.extend(signed(EVENTS, SIZE), reader(events), POLICY_TEXT, silent)
    other = Checkpoint(ORIGIN, SIZE, bytes(32)).text()
    with pytest.raises(Divergence, match="nothing was archived"):
        archive.extend(note.with_signatures(other, (KEY.sign(other),)).encode(), reader(EVENTS), POLICY_TEXT, silent)
    for stated, says in (
        (Checkpoint(ORIGIN, 299, bytes(32)), "at least 300"),
        (Checkpoint("x", SIZE, bytes(32)), "of x"),
    ):
        data = note.with_signatures(stated.text(), (KEY.sign(stated.text()),)).encode()
        with pytest.raises(InvalidInput, match=says):
            archive.extend(data, reader(EVENTS), POLICY_TEXT, silent)
    assert files(tmp_path) == before
    with pytest.raises(ArchiveDiffers, match="another chain"):
        Archive(Folder(tmp_path), bytes(16), ORIGIN)


def test_a_fork_is_not_archived_over_what_is_there(tmp_path: Path) -> None:
    """Its own good hashes and signature do not help a history that begins otherwise."""
    write(tmp_path, 300)
    fork = chain(SIZE, seed=2)
    shutil.rmtree(tmp_path / "tile")
    shutil.rmtree(tmp_path / "segment")
    write(tmp_path / "fork", 256, events=fork)
    for name in ("tile", "segment"):
        shutil.copytree(tmp_path / "fork" / name, tmp_path / name)
    with pytest.raises(Divergence, match="not those that"):
        write(tmp_path, SIZE, events=fork)


def test_every_file_is_covered(tmp_path: Path, archived: Path) -> None:
    """One bit changed, a byte cut, a byte more, all of it twice, nothing, no file: each is found, in each file."""
    random = Random(7)
    used = files(archived)
    del used["policy"]
    # Of the tiles and bundles of earlier sizes nothing depends; those of this size and all the full ones are read.
    for name in [name for name in used if ".p/" in name]:
        tile_end = name.rpartition("/")[2]
        if tile_end not in (str(SIZE % 256), "2"):
            del used[name]
    assert len(used) > 15
    for name, good in used.items():
        flipped = bytearray(good)
        flipped[random.randrange(len(good))] ^= 1 << random.randrange(8)
        for bad in (bytes(flipped), good[:-1], good + b"\0", good + good, b"", None):
            folder = tmp_path / "copy"
            shutil.copytree(archived, folder)
            if bad is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(bad)
            try:
                report = verify(folder)
            except Unreadable:
                assert name == "checkpoint"
            else:
                gone = bad is None and name.startswith("checkpoints/")
                assert (report.verdict == "broken") != gone, (name, bad)
            shutil.rmtree(folder)


@pytest.mark.parametrize("jobs", [1, 2])
def test_findings_name_the_place_and_are_all_told(tmp_path: Path, archived: Path, jobs: int) -> None:
    """Three edits in three bundles are told, each with its seq; workers say the same as one process."""
    folder = tmp_path / "copy"
    shutil.copytree(archived, folder)
    bundle = folder / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"account/A-3", b"account/A-4", 1))
    segment = folder / "segment/001"
    content = gzip.decompress(segment.read_bytes())
    place = content.index(b'"note":"') + 9
    segment.write_bytes(gzip.compress(content[:place] + b"!" + content[place + 1 :]))
    (folder / "tile/1/000.p/2").write_bytes(bytes(64))
    report = verify(folder, jobs)
    places = {(finding.kind, finding.seq, (finding.key or ("",))[0]) for finding in report.findings}
    assert ("TREE_MISMATCH", 3, "tile/entries/000") in places
    assert ("CHAIN_BREAK", 4, "tile/entries/000") in places
    assert ("PAYLOAD_MISMATCH", 257, "segment/001") in places
    assert ("TREE_MISMATCH", None, "tile/1/000.p/2") in places
    assert report.verdict == "broken"


def test_a_checkpoint_that_nobody_trusts_is_told(tmp_path: Path, archived: Path) -> None:
    """Another log's, a thief's, without its quorum, of another root, and one larger than the newest."""
    thief = SigningKey(ORIGIN, ED25519, bytes(32))
    lie = Checkpoint(ORIGIN, SIZE, bytes(32)).text()
    larger = Checkpoint(ORIGIN, SIZE + 1, bytes(32)).text()
    for name, data, kind in (
        ("checkpoint", signed(EVENTS, SIZE, thief), "CHECKPOINT_SIG"),
        ("checkpoint", signed(EVENTS, SIZE, cosigned=False), "QUORUM_UNMET"),
        ("checkpoint", signed(EVENTS, SIZE, SigningKey("another.example/log", ED25519, bytes(32))), "CHECKPOINT_SIG"),
        ("checkpoint", signed(EVENTS, 300), "ROLLBACK"),
        ("checkpoints/256", note.with_signatures(lie, (KEY.sign(lie),)).encode(), "CHECKPOINT_SIG"),
        ("checkpoints/256", signed(chain(SIZE, seed=2), 256), "CHECKPOINT_INCONSISTENT"),
        (f"checkpoints/{SIZE + 1}", note.with_signatures(larger, (KEY.sign(larger),)).encode(), "ROLLBACK"),
        ("checkpoints/300", signed(EVENTS, 300, thief), "CHECKPOINT_SIG"),
    ):
        folder = tmp_path / "copy"
        shutil.copytree(archived, folder)
        (folder / name).write_bytes(data)
        report = verify(folder)
        assert kind in kinds(report), (name, kind)
        if kind == "CHECKPOINT_INCONSISTENT":
            # The log has signed two histories: of neither is it said that it is as it was recorded.
            assert (report.last_good_seq, "as they were recorded" in sentences.verdict(report)) == (0, False)
        shutil.rmtree(folder)


def test_a_whole_archive_rewritten_with_good_hashes_is_told(tmp_path: Path) -> None:
    """Everything fits everything else, and the signature is not the log's: the policy is what tells."""
    fork = chain(SIZE, seed=2)
    thief = SigningKey(ORIGIN, ED25519, bytes(32))
    archive = Archive(Folder(tmp_path), CHAIN_ID, ORIGIN)
    archive.extend(signed(fork, SIZE, thief), reader(fork), POLICY_TEXT, silent)
    assert kinds(verify(tmp_path)) == {"CHECKPOINT_SIG"}
    (tmp_path / "checkpoint").write_bytes(signed(EVENTS, SIZE))
    report = verify(tmp_path)
    assert ("TREE_MISMATCH", ("checkpoint",)) in {(one.kind, one.key) for one in report.findings}
    assert report.last_good_seq == 0


def test_where_there_is_no_archive_nothing_is_verified(tmp_path: Path, archived: Path) -> None:
    """An empty folder, a file, no checkpoint: never a verdict."""
    with pytest.raises(Unreadable, match="nothing to verify"):
        verify(tmp_path)
    with pytest.raises(InvalidInput, match="path of a folder"):
        open_store("gopher://x/y")
    (tmp_path / "checkpoint").write_text("hello\n")
    with pytest.raises(Unreadable, match="is no checkpoint"):
        verify(tmp_path)


def test_a_bomb_does_not_go_off(tmp_path: Path, archived: Path) -> None:
    """A segment that unpacks to a gigabyte is refused at the size that its entries say; a huge file is not read."""
    folder = tmp_path / "copy"
    shutil.copytree(archived, folder)
    (folder / "segment/000").write_bytes(gzip.compress(bytes(1 << 28)))
    report = verify(folder)
    (finding,) = report.findings
    assert (finding.kind, finding.key) == ("PAYLOAD_MISMATCH", ("segment/000",))
    large = {"segment/001", "tile/entries/000", "tile/0/001", "tile/1/000.p/2"}
    for name in large:
        with (folder / name).open("wb") as file:
            file.truncate(FILE_LIMIT_BYTES + 1)
    report = verify(folder)
    told = {(finding.key or ("",))[0] for finding in report.findings if "has more than" in finding.actual}
    assert told >= large
    with (folder / "checkpoint").open("wb") as file:
        file.truncate(FILE_LIMIT_BYTES + 1)
    with pytest.raises(Unreadable, match="has more than"):
        verify(folder)


def test_files_of_nobody_are_named(tmp_path: Path, archived: Path) -> None:
    """They are no finding, for they change nothing, and are not passed over in silence."""
    folder = tmp_path / "copy"
    shutil.copytree(archived, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "tile/0/x001/000").parent.mkdir()
    (folder / "tile/0/x001/000").write_bytes(bytes(8192))
    report = verify(folder)
    assert report.verdict == "verified"
    assert "files that belong to no archive: notes.txt, tile/0/x001/000" in report.not_covered


def test_the_chain_file_says_whose_archive_it_is(tmp_path: Path, archived: Path) -> None:
    """Another id or origin there is a finding; the entries still say which chain they are of."""
    for change in ({"chain_id": "00" * 16}, {"chain_id": "xyz"}, {"format_version": 2}, {"origin": "x"}):
        folder = tmp_path / "copy"
        shutil.copytree(archived, folder)
        said = json.loads((folder / "chain.json").read_bytes()) | change
        (folder / "chain.json").write_text(json.dumps(said, indent=2) + "\n")
        assert "BYTES_MODIFIED" in kinds(verify(folder))
        shutil.rmtree(folder)


def test_a_full_disk_and_a_closed_folder_are_named(tmp_path: Path) -> None:
    """What cannot be written says why, and nothing half-written bears a name."""
    store = Folder(tmp_path / "a")
    (tmp_path / "a").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"a/x cannot be written: .*; a part of its path is no folder: name another"):
        store.create("x", b"y")
    full = Folder(Path("/dev/full"))
    with pytest.raises((Unavailable, StorageFull)):
        full.create("x", b"y")


def test_the_command_ends_as_a_program_should(tmp_path: Path, archived: Path) -> None:
    """Whole 0, broken 3, nothing 4, in a process of its own; `test_bad_input` asks all the rest in this one."""
    trust = tmp_path / "policy"
    trust.write_bytes(POLICY_TEXT)
    folder = tmp_path / "copy"
    shutil.copytree(archived, folder)
    (folder / "tile/entries/001").unlink()
    for place, status, verdict in (
        (archived, 0, "verified"), (folder, 3, "broken"), (tmp_path / "nowhere", 4, "could not verify")
    ):  # fmt: skip
        command = [sys.executable, "-m", "verifier", "archive", str(place), "--policy", str(trust), "--jobs", "2"]
        said = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False, timeout=60)
        assert (said.returncode, "Traceback" in said.stderr) == (status, False), said
        assert json.loads(said.stdout)["verdict"] == verdict
