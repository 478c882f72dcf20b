"""
Check that of two files that contradict each other the one is named that rotted, and a fork only where there is one.

The signed root says which: whatever else lies in an archive, the file that leads to it is good.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.chain.entry import encode, parse
from ledger.evidence import note, segments, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import KEY, ORIGIN, WITNESS, chain, signed
from tests.archiving.written import EVENTS, SIZE, kinds, verify, write
from verifier.archive.seams import finding
from verifier.report import LISTED, Finding, Findings, Report

LEAVES = [tree.leaf_hash(encode(event)) for event in EVENTS]
FORK = chain(SIZE, seed=2)
KEPT = tuple((str(size), signed(EVENTS, size)) for size in (1, 256, 300, 512, SIZE))
"""Checkpoints that an auditor kept, all of this history."""


def rot(path: Path, place: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def places(report: Report) -> list[tuple[str, str, str | None]]:
    return [(one.kind, (one.key or ("",))[0], one.column) for one in report.findings]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bit_of_a_tile_is_one_finding_of_that_tile(copy: Path, jobs: int) -> None:
    """Entries, chain and signed root are whole, so nothing else is accused, and no fork is made of it."""
    rot(copy / "tile/0/001")
    report = verify(copy, jobs, expected=KEPT)
    (found,) = report.findings
    assert (found.kind, found.key, found.column, found.seq) == ("TREE_MISMATCH", ("tile/0/001",), "hash 1", None)
    entry = tiles.decode_bundle(tiles.Tile(0, 1), (copy / "tile/entries/001").read_bytes())[1]
    assert found.expected == tree.leaf_hash(entry).hex()
    assert found.actual == (copy / "tile/0/001").read_bytes()[32:64].hex()
    assert report.last_good_seq == SIZE
    assert report.checkpoints[0].accepted


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"])
@pytest.mark.parametrize("change", [rot, blank, Path.unlink])
def test_whatever_happens_to_a_tile_it_alone_is_named(copy: Path, name: str, change: Callable[[Path], None]) -> None:
    """By all of the archive, with checkpoints of every size that were kept before."""
    change(copy / name)
    report = verify(copy, expected=KEPT)
    assert {key for _, key, _ in places(report)} == {name}
    assert kinds(report) <= {"TREE_MISMATCH", "ARCHIVE_MISSING"}
    assert report.last_good_seq == SIZE or change is Path.unlink


@pytest.mark.parametrize(("name", "first"), [("tile/0/001", 257), ("tile/0/002.p/188", 600)])
def test_a_part_of_an_archive_says_it_too(copy: Path, name: str, first: int) -> None:
    """The tiles around it lead from the entries to the signed root."""
    rot(copy / name)
    assert {key for _, key, _ in places(verify(copy, first=first, last=first))} == {name}


def test_where_all_tiles_are_lost_the_entries_are_not_accused(copy: Path) -> None:
    """No tile leads anywhere, and all entries together have the signed root."""
    for name in ("tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"):
        blank(copy / name)
    report = verify(copy, expected=KEPT)
    assert {key for _, key, _ in places(report)} == {
        "tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"
    }  # fmt: skip
    assert report.last_good_seq == SIZE


def test_an_entry_and_a_tile_that_rotted_are_each_named(copy: Path) -> None:
    """The entries' root does not come out, and still the tile of another bundle is told from its good entries."""
    rot(copy / "tile/entries/000", 100)
    rot(copy / "tile/0/001")
    found = places(verify(copy))
    assert ("TREE_MISMATCH", "tile/entries/000", "leaf") in found
    assert ("TREE_MISMATCH", "tile/0/001", "hash 1") in found
    assert not any(key == "tile/entries/001" for _, key, _ in found)
    assert not any(kind == "CHECKPOINT_INCONSISTENT" for kind, _, _ in found)


def test_an_entry_that_rotted_is_no_fork(copy: Path) -> None:
    """Its tile leads to the root."""
    rot(copy / "tile/entries/001", 5000)
    report = verify(copy, expected=KEPT)
    assert "CHECKPOINT_INCONSISTENT" not in kinds(report)
    assert {key for kind, key, column in places(report) if column == "leaf"} == {"tile/entries/001"}


def test_where_entry_and_tile_both_rotted_the_entries_are_named(copy: Path) -> None:
    """Neither leads to the signed root, nor do all entries together: each leaf of which both say another."""
    bundle, tile = copy / "tile/entries/001", copy / "tile/0/001"
    rot(bundle, entry_at(bundle.read_bytes(), 256, 99).stop - 1)
    rot(tile, 32 * 7)
    entries, leaves = (tiles.decode_bundle(tiles.Tile(0, 1), bundle.read_bytes()), tile.read_bytes())
    assert [one for one in verify(copy).findings if one.column == "leaf"] == [
        finding("TREE_MISMATCH", leaves[32 * place : 32 * place + 32].hex(), tree.leaf_hash(entries[place]).hex(),
                "tile/entries/001", 257 + place, "leaf")
        for place in (7, 99)
    ]  # fmt: skip


def test_an_entry_says_which_event_it_is(copy: Path) -> None:
    """Where the number of one rotted, that is said of it, and that it may follow from the entry's being another."""
    bundle = copy / "tile/entries/001"
    entry = entry_at(bundle.read_bytes(), 256, 99)
    rot(bundle, entry.start + bundle.read_bytes()[entry].index((356).to_bytes(8, "big")) + 7)
    said = finding("BYTES_MODIFIED", "356", "357", "tile/entries/001", 356, "seq")
    assert msgspec.structs.replace(said, after=356) in verify(copy).findings


def entry_at(bundle: bytes, width: int, place: int) -> slice:
    """Return where the entry at *place* of a bundle stands in it."""
    found = tiles.decode_bundle(tiles.Tile(0, 0, width), bundle)
    start = sum(2 + len(entry) for entry in found[:place]) + 2
    return slice(start, start + len(found[place]))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("back", [1, 9, 40, 100, 150], ids=lambda back: f"{back} from the end")
@pytest.mark.parametrize(("number", "place"), [(0, 0), (0, 255), (1, 0), (1, 100), (1, 255), (2, 0), (2, 187)])
def test_a_bit_of_an_entry_is_one_finding_of_its_event(
    copy: Path, number: int, place: int, back: int, jobs: int
) -> None:
    """
    Its tile leads to the signed root, so all other events are shown to be what they were. What its false bytes bring
    with them, in the next event's link, in its payload or its group, is said to follow from it.
    """
    width = 256 if number < 2 else SIZE % 256
    path = copy / tiles.Tile(0, number, width).bundle_path()
    rot(path, entry_at(path.read_bytes(), width, place).stop - back)
    report, seq = verify(copy, jobs, expected=KEPT), number * 256 + place + 1
    alone = [one for one in report.findings if one.after is None]
    leaves = [one for one in alone if one.column == "leaf"]
    assert [(one.kind, one.seq, one.expected) for one in leaves] == [("TREE_MISMATCH", seq, LEAVES[seq - 1].hex())]
    assert {one.after for one in report.findings} <= {None, seq}
    assert [one for one in alone if one.column != "leaf"] == []
    assert not any(key == "checkpoint" for _, key, _ in places(report))
    assert report.last_good_seq == seq - 1
    assert report.checkpoints[0].accepted


@pytest.mark.parametrize("back", [0, 1], ids=["no entry", "an entry"])
def test_a_rotten_entry_hides_nothing_of_the_payloads_beside_it(copy: Path, back: int) -> None:
    """The next event's payload is wrong by itself; a segment that is gone, or was not read, vouches for none."""
    bundle, segment = copy / "tile/entries/000", copy / "segment/000"
    entry, whole = entry_at(bundle.read_bytes(), 256, 249), segment.read_bytes()
    sizes = [parse(one).payload_size for one in tiles.decode_bundle(tiles.Tile(0, 0), bundle.read_bytes())]
    rot(bundle, entry.stop - 1 if back else entry.start)
    told = "payloads of events 1 to 256: their segment"

    def hold(last_good: int, is_read: bool) -> Report:
        report = verify(copy)
        assert report.last_good_seq == last_good
        assert any(line.startswith(told) for line in report.not_covered) == (not is_read)
        return report

    hold(249 if back else 0, bool(back))
    events = list(segments.decode(whole, sizes).events)
    salt, payload = events[250]
    events[250] = salt, payload[:-3] + b"7" + payload[-2:]
    forged = msgspec.structs.replace(segments.decode(whole, sizes), events=tuple(events))
    segment.write_bytes(segments.encode(forged))
    found = [one for one in hold(249 if back else 0, bool(back)).findings if one.kind == "PAYLOAD_MISMATCH"]
    assert [one.seq for one in found if one.after is None] == ([251] if back else [])
    segment.write_bytes(b"x" * 100)
    hold(0, False)
    segment.unlink()
    assert [one.after for one in hold(0, False).findings if one.kind == "ARCHIVE_MISSING"] == [None]


@pytest.mark.parametrize("seq", [253, 254, 256])
def test_no_group_is_judged_by_an_entry_that_rotted(tmp_path: Path, seq: int) -> None:
    """One of seven events begins at 253 and ends in the next bundle: its request is not held against a false part."""
    events = chain(SIZE, 2, 9, ends=(SIZE,))
    assert [(one.group_index, one.group_size) for one in events[252:256]] == [(place, 7) for place in range(4)]
    write(tmp_path, SIZE, events=events)
    bundle = tmp_path / "tile/entries/000"
    good = bundle.read_bytes()
    entry = entry_at(good, 256, seq - 1)
    for place in range(entry.start, entry.stop, 5):
        bundle.write_bytes(good)
        rot(bundle, place)
        alone = [one for one in verify(tmp_path).findings if one.after is None]
        assert [(one.kind, one.seq, one.column) for one in alone] == [("TREE_MISMATCH", seq, "leaf")]


def test_a_letter_of_the_checkpoints_origin_is_one_finding_of_it(copy: Path) -> None:
    """The chain's file and the older checkpoints are held against the log that the policy has."""
    rot(copy / "checkpoint", 3)
    report, said = verify(copy), (copy / "checkpoint").read_text().splitlines()[0]
    assert said != ORIGIN
    assert report.findings == [finding("CHECKPOINT_SIG", f"a checkpoint of {ORIGIN}", f"one of {said}", "checkpoint")]
    assert report.origin == ORIGIN


@pytest.mark.parametrize("name", [None, "tile/0/001", "tile/1/000.p/2"])
def test_a_fork_is_a_fork_whatever_else_rotted(copy: Path, name: str | None) -> None:
    """The entries have the newest root, so another one of 300 or 512 entries is of another history."""
    (copy / "checkpoints/300").write_bytes(signed(FORK, 300))
    if name is not None:
        rot(copy / name)
    report = verify(copy, expected=(("kept", signed(FORK, 512)),))
    assert [key for kind, key, _ in places(report) if kind == "CHECKPOINT_INCONSISTENT"] == [
        "checkpoint", "checkpoints/300"
    ]  # fmt: skip


def test_tiles_of_a_fork_do_not_hide_it(copy: Path, tmp_path: Path) -> None:
    """An older checkpoint of another history has that history's tiles below it, and is held against the newest."""
    write(tmp_path / "fork", SIZE, events=FORK)
    for name in ("tile/0/000", "tile/0/001", "tile/1/000.p/2"):
        shutil.copy(tmp_path / "fork" / name, copy / name)
    (copy / "checkpoints/300").write_bytes(signed(FORK, 300))
    report = verify(copy)
    assert ("CHECKPOINT_INCONSISTENT", "checkpoints/300", "root") in places(report)
    assert not any(key.startswith("tile/entries") for _, key, _ in places(report))


def test_where_nothing_leads_to_the_newest_root_no_fork_is_claimed(copy: Path) -> None:
    """Neither tiles nor entries have it: what an older checkpoint is cannot be told, and that is what is said."""
    rot(copy / "tile/entries/002.p/188", 100)
    rot(copy / "tile/1/000.p/2", 3)
    report = verify(copy, expected=(("kept", signed(EVENTS, 300)),))
    assert "CHECKPOINT_INCONSISTENT" not in kinds(report)
    untold = {
        one.key for one in report.findings if one.expected == "tiles or entries that make the root of 300 entries"
    }
    assert untold == {("checkpoint",), ("checkpoints/300",)}


def test_what_the_log_did_not_sign_convicts_it_of_nothing(tmp_path: Path) -> None:
    """A thief's rewritten archive contradicts the older checkpoints and the kept one; the log's key signed one side."""
    write(tmp_path, 300)
    thief = SigningKey(ORIGIN, ED25519, bytes(32))
    fork = tmp_path / "fork"
    write(fork, SIZE, events=FORK)
    (fork / "checkpoint").write_bytes(signed(FORK, SIZE, thief))
    (fork / f"checkpoints/{SIZE}").unlink()
    shutil.copy(tmp_path / "checkpoints/300", fork / "checkpoints/300")
    report = verify(fork, expected=(("kept", signed(EVENTS, 256)),))
    assert kinds(report) == {"CHECKPOINT_SIG", "TREE_MISMATCH"}
    (found,) = [one for one in report.findings if one.key == ("checkpoints/300",)]
    assert found.actual != found.expected


def test_a_root_that_was_written_over_is_not_a_second_history(copy: Path) -> None:
    """The newest checkpoint's signature is false, and the same one, signed, lies beside it."""
    text = Checkpoint(ORIGIN, SIZE, bytes(32)).text()
    of_another = Checkpoint(ORIGIN, SIZE, bytes(31) + b"x").text()
    exchanged = note.with_signatures(text, (KEY.sign(of_another), WITNESS.sign(of_another, 1)))
    (copy / "checkpoint").write_bytes(exchanged.encode())
    assert kinds(verify(copy)) == {"CHECKPOINT_SIG", "TREE_MISMATCH"}


def test_findings_that_waited_are_counted_as_they_are() -> None:
    """More than are listed, taken over from another collection: listed and counted, once."""
    several, all_of_them = Findings(), Findings()
    found = [Finding("TREE_MISMATCH", "a", "b", seq=seq, table="archive") for seq in range(LISTED + 5)]
    several.add(found)
    all_of_them.add(found[:2])
    all_of_them.take(several)
    assert len(all_of_them) == LISTED + 7
    assert len(all_of_them.all(None)) == LISTED + 1
    assert all_of_them.all(None)[-1].actual == "7 more of this class"
