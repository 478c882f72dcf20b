"""
Check parts of archives: a run of bundles alone, by workers, and after an interruption.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ledger.archiving.stores import Folder
from ledger.errors import InvalidInput
from ledger.evidence import checkpoint
from ledger.evidence.checkpoint import Checkpoint
from tests.archiving.chains import CHAIN_ID, POLICY, chain, silent
from tests.archiving.written import SIZE, kinds, verify, write
from verifier import processes
from verifier.archive import ahead, verification
from verifier.archive.resuming import Kept, Task
from verifier.archive.verification import Wanted
from verifier.stored import Unreadable

FORK = chain(SIZE, seed=2)


@pytest.mark.parametrize(
    ("first", "last", "events", "left_out"),
    [
        (1, 1, 256, ["events 257 to 700"]),
        (257, 257, 256, ["events 1 to 256, and the link of event 257 to them", "events 513 to 700"]),
        (300, 700, 444, ["events 1 to 256, and the link of event 257 to them"]),
        (600, None, 188, ["events 1 to 512, and the link of event 513 to them"]),
        (None, 256, 256, ["events 257 to 700"]),
    ],
)
def test_a_run_of_bundles_is_verified_alone(
    archived: Path, first: int | None, last: int | None, events: int, left_out: list[str]
) -> None:
    """The bundles around the seqs that were asked for; what was left out is said, and nothing else is claimed."""
    report = verify(archived, first=first, last=last)
    assert (report.verdict, report.events, report.findings) == ("verified", events, [])
    assert [line for line in report.not_covered if line.startswith("events ") and "to" in line.split()] == left_out
    assert not any("from the genesis" in line for line in report.covered)


def test_seqs_that_are_not_there_are_refused(archived: Path) -> None:
    """Beyond the end, and the other way round."""
    for first, last in ((701, None), (1, 701), (5, 4)):
        with pytest.raises(InvalidInput, match="holds 1 to 700"):
            verify(archived, first=first, last=last)


def test_a_run_of_another_history_is_found_by_the_tiles_above(tmp_path: Path) -> None:
    """Its own leaves, links and payloads fit; the tile above, and with that exchanged too the signed root, do not."""
    copy = tmp_path / "copy"
    write(copy, SIZE)
    write(tmp_path / "fork", SIZE, events=FORK)
    for name in ("tile/0/001", "tile/entries/001", "segment/001"):
        shutil.copy(tmp_path / "fork" / name, copy / name)
    assert kinds(verify(copy, first=1, last=256)) == set()
    (found,) = verify(copy, first=257, last=257).findings
    # The tile above leads to the signed root, so what lies below it was exchanged.
    assert (found.kind, found.key, found.column) == ("TREE_MISMATCH", ("tile/entries/001",), "root")
    assert found.expected == (copy / "tile/1/000.p/2").read_bytes()[32:].hex()
    shutil.copy(tmp_path / "fork/tile/1/000.p/2", copy / "tile/1/000.p/2")
    report = verify(copy, first=257, last=257)
    assert ("TREE_MISMATCH", ("checkpoint",), "root") in {(one.kind, one.key, one.column) for one in report.findings}


def test_a_tile_of_another_tree_is_named(copy: Path, tmp_path: Path) -> None:
    """Each of its hashes is another than the entry's; the entries and the tile above are the signed tree's."""
    write(tmp_path / "fork", SIZE, events=FORK)
    shutil.copy(tmp_path / "fork/tile/0/001", copy / "tile/0/001")
    found = verify(copy).findings
    assert [(one.kind, one.key, one.column) for one in found] == [
        ("TREE_MISMATCH", ("tile/0/001",), f"hash {place}") for place in range(256)
    ]


class Stopped(Exception):
    """The machine stops here."""


def stopping(at: int) -> Callable[[str, int], None]:
    def told(what: str, events: int) -> None:
        if events >= at:
            raise Stopped

    return told


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cut archives into ranges of one bundle; return the numbers of those that are checked."""
    checked: list[int] = []
    check = verification.check_range

    def noting(where: str, stated: Checkpoint, chain_id: bytes, numbers: range, is_part: bool = False) -> Any:
        checked.extend(numbers)
        return check(where, stated, chain_id, numbers, is_part)

    monkeypatch.setattr(verification, "RANGE_BUNDLES", 1)
    monkeypatch.setattr(verification, "check_range", noting)
    return checked


def stop(copy: Path, at: int, state: Path) -> None:
    with pytest.raises(Stopped):
        verification.verify(str(copy), POLICY, stopping(at), Wanted(state=state))


def test_an_interrupted_verification_goes_on(copy: Path, tmp_path: Path, small: list[int]) -> None:
    """What was checked is not checked again, its findings are told, and afterwards the file is gone."""
    state = tmp_path / "state"
    (copy / "segment/000").unlink()
    stop(copy, 512, state)
    assert small == [0, 1]
    report = verify(copy, state=state)
    assert small == [0, 1, 2]
    assert [(one.kind, one.key) for one in report.findings] == [("ARCHIVE_MISSING", ("segment/000",))]
    assert (report.events, report.last_good_seq) == (SIZE, 0)
    assert any("512 events that an interrupted run had checked" in line for line in report.not_covered)
    assert not state.exists()
    assert not any("interrupted run" in line for line in verify(copy, state=state).not_covered)
    assert small[3:] == [0, 1, 2]


def test_workers_go_on_from_a_state_too(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some ranges are had, the others are handed out."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", 1)
    (copy / "segment/002.p/188").unlink()
    state = tmp_path / "state"
    stop(copy, 256, state)
    report = verify(copy, jobs=2, state=state)
    assert [(one.kind, one.key) for one in report.findings] == [("ARCHIVE_MISSING", ("segment/002.p/188",))]
    assert report.events == SIZE


def test_a_line_that_was_cut_off_is_checked_again(copy: Path, tmp_path: Path, small: list[int]) -> None:
    """At every place: whatever stands after the last whole line counts as not checked, and is written anew."""
    state = tmp_path / "state"
    stop(copy, 512, state)
    whole = state.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut, left in (
        (len(whole) - 1, [1, 2]),
        (len(lines[0]) + len(lines[1]), [1, 2]),
        (len(lines[0]) + 5, [0, 1, 2]),
    ):
        state.write_bytes(whole[:cut])
        small.clear()
        stop(copy, SIZE, state)
        assert small == left
        small.clear()
        assert verify(copy, state=state).verdict == "verified"
        assert small == []


def test_a_state_of_another_checkpoint_is_begun_anew(copy: Path, tmp_path: Path, small: list[int]) -> None:
    """The archive has grown, or another run of it is wanted: nothing is taken up."""
    state = tmp_path / "state"
    write(tmp_path / "grows", 512)
    stop(tmp_path / "grows", 256, state)
    write(tmp_path / "grows", SIZE)
    small.clear()
    stop(tmp_path / "grows", 256, state)
    assert small == [0]
    small.clear()
    verify(tmp_path / "grows", first=257, state=state)
    assert small == [1, 2]


def test_what_was_read_of_one_copy_counts_for_no_other(copy: Path, tmp_path: Path, small: list[int]) -> None:
    """They have one checkpoint between them, and a broken one is no better for the other's having been read."""
    state = tmp_path / "state"
    shutil.copytree(copy, tmp_path / "mirror")
    (tmp_path / "mirror/segment/001").unlink()
    stop(copy, SIZE, state)
    small.clear()
    report = verify(tmp_path / "mirror", state=state)
    assert small == [0, 1, 2]
    assert [(one.kind, one.key) for one in report.findings] == [("ARCHIVE_MISSING", ("segment/001",))]
    assert not any("interrupted run" in line for line in report.not_covered)


def test_one_place_is_known_by_any_name(
    copy: Path, tmp_path: Path, small: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a link, as a URL, or from another folder."""
    state = tmp_path / "state"
    (tmp_path / "link").symlink_to(copy)
    monkeypatch.chdir(copy.parent)
    for name in (str(tmp_path / "link"), copy.as_uri(), copy.name):
        stop(copy, 512, state)
        small.clear()
        assert verification.verify(name, POLICY, silent, Wanted(state=state)).verdict == "verified"
        assert small == [2]


def test_a_file_that_is_no_state_is_left_alone(archived: Path, tmp_path: Path) -> None:
    """Somebody's file, a damaged state, and a folder: named, and not written over."""
    for content in (b"my notes", b"my notes\n", b"{}\n", b'{"checkpoint":"x","first":0,"last":3,"format":1}x\n'):
        path = tmp_path / "notes"
        path.write_bytes(content)
        with pytest.raises(Unreadable, match="name another --state"):
            verify(archived, state=path)
        assert path.read_bytes() == content
    with pytest.raises(Unreadable, match="cannot be used as state"):
        verify(archived, state=tmp_path)


def test_ranges_with_very_many_findings_are_not_kept(copy: Path, tmp_path: Path, small: list[int]) -> None:
    """They are checked again, so that the file stays as small as the archive is long."""
    for name in ("tile/0/000", "tile/0/001"):
        (copy / name).write_bytes(bytes(8192))
    task = Task("here", "x", 0, 3)
    stated, _ = checkpoint.decode_note((copy / "checkpoint").read_bytes())
    (done,) = [verification.check_range(str(copy), stated, CHAIN_ID, range(1))]
    kept = Kept(tmp_path / "state", task)
    kept.keep(done)
    done.findings *= 5
    kept.keep(done)
    assert len((tmp_path / "state").read_bytes().splitlines()) == 2
    assert list(Kept(tmp_path / "state", task).firsts) == [0]


class Counting(ProcessPoolExecutor):
    """A pool that counts what it was given."""

    given = 0

    def __init__(self, jobs: int, context: BaseContext, *more: Any) -> None:
        assert context.get_start_method() == "spawn"
        super().__init__(jobs, context, *more)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        Counting.given += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize("each", [1, 3])
def test_as_many_ranges_are_in_hand_as_workers_need(
    each: int, archived: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No worker waits for another; what is done ahead of its turn stays in memory, so no more is handed out."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", 1)
    monkeypatch.setattr(verification, "AHEAD", each)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", Counting)
    events = chain(256 * 8 + 5, seed=5)
    write(tmp_path / "long", len(events), events=events)
    Counting.given = 0
    kept = Kept(None, Task("here", "x", 0, 9))
    stated, _ = checkpoint.decode_note((tmp_path / "long/checkpoint").read_bytes())
    walk = verification._checked(str(tmp_path / "long"), stated, CHAIN_ID, range(9), 2, kept)
    for number in range(9):
        assert next(walk).first == number
        assert Counting.given == min(number + 2 * each, 9)
    assert list(walk) == []
    assert Counting.given == 9


class Far(Folder):
    """A folder that is said to be behind a network."""

    far = True
    asked: ClassVar[list[str]] = []

    def read(self, path: str) -> bytes | None:
        Far.asked.append(path)
        if path == "wrong":
            raise Unreadable("wrong")
        return super().read(path)


def test_files_are_asked_for_ahead_of_their_turn(tmp_path: Path) -> None:
    """Each once, in order; what is passed over is let go, what fails fails in its turn, and others are read as well."""
    store = Far(tmp_path)
    names = [f"file{number:02}" for number in range(40)]
    for name in names:
        store.create(name, name.encode())
    Far.asked.clear()
    with ahead.reading(store, [*names[:30], "wrong", *names[30:]]) as read:
        assert [read(name) for name in names[:20]] == [name.encode() for name in names[:20]]
        assert set(Far.asked) <= {*names[: 20 + ahead.AT_ONCE], "wrong"}
        assert 20 <= len(Far.asked) == len(set(Far.asked)) < 20 + ahead.AT_ONCE
        assert read(names[25]) == names[25].encode()
        assert read(names[0]) == names[0].encode()
        with pytest.raises(Unreadable):
            read("wrong")
        assert read("none") is None
        assert read(names[39]) == names[39].encode()
    with ahead.reading(Folder(tmp_path), names) as read:
        assert read(names[7]) == names[7].encode()
