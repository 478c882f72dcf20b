"""
Check parts of archives for what they say of the rest, and that no stray file stands in for one that is checked.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ledger.archiving.layout import CHAIN, ChainFile
from ledger.archiving.stores import Folder
from ledger.chain import entry
from ledger.evidence import note, policy, segments, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.segments import Segment
from ledger.evidence.tiles import Tile
from ledger.evidence.tree import EMPTY_ROOT
from tests.archiving.chains import (
    CHAIN_ID,
    KEY,
    ORIGIN,
    POLICY,
    POLICY_TEXT,
    WITNESS,
    chain,
    edited,
    root,
    signed,
    silent,
)  # fmt: skip
from tests.archiving.written import EVENTS, SIZE, verify, write
from verifier.archive.seams import finding
from verifier.forms.sentences import verdict
from verifier.report import Report
from verifier.stored import Unreadable
from verifier.tiled import sample
from verifier.tiled.sample import Draw


def sampled(folder: Path, count: int, nonce: bytes = b"n") -> Report:
    return sample.of_archive(Folder(folder), POLICY, Draw(count, nonce, Decimal("0.001")), silent)


def rot(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"account/A-3", b"account/A-4", 1))


def test_what_was_not_read_is_not_called_whole(copy: Path) -> None:
    """Bundle 0 is broken and was left out: nothing is said of its events, in numbers, words or green."""
    rot(copy / "tile/entries/000")
    rot(copy / "tile/entries/002.p/188")
    report = verify(copy, first=600)
    assert (report.verdict, report.last_good_seq, report.spans) == ("broken", 0, [(513, 700)])
    assert "as they were recorded" not in verdict(report)
    assert verify(copy, first=1, last=1).last_good_seq == 0
    assert verify(copy, first=257, last=257).verdict == "verified"


def test_a_rotten_entry_in_a_sample_is_no_second_history(copy: Path) -> None:
    """Its own tile leads to the cosigned root."""
    rot(copy / "tile/entries/001")
    assert {one.kind for one in sampled(copy, 3).findings} == {"TREE_MISMATCH", "CHAIN_BREAK"}


def test_an_archive_of_no_events_is_not_sampled(tmp_path: Path) -> None:
    """A checkpoint of nothing, well signed and cosigned: there is nothing to draw from."""
    text = Checkpoint(ORIGIN, 0, EMPTY_ROOT).text()
    signatures = (KEY.sign(text), WITNESS.sign(text, 1))
    (tmp_path / "checkpoint").write_bytes(note.with_signatures(text, signatures).encode())
    (tmp_path / CHAIN).write_bytes(ChainFile(CHAIN_ID.hex(), ORIGIN, 1).encode())
    with pytest.raises(Unreadable, match="nothing to draw from"):
        sampled(tmp_path, 3)


def test_a_policy_that_was_exchanged_in_the_archive_is_told(copy: Path) -> None:
    """It is no finding, for nobody's verdict rests on it; one that trusts the same under other names is the same."""
    (copy / "policy").write_bytes(POLICY_TEXT.replace(b"w1 ", b"outside ").replace(b"w1\n", b"outside\n"))
    assert not any("trusts others" in line for line in verify(copy).not_covered)
    stranger = SigningKey(ORIGIN, ED25519, bytes(32)).verifier.text()
    for data in (
        f"log {stranger}\nquorum none\n".encode(), POLICY_TEXT.replace(b"quorum w1", b"quorum none"), b"no policy",
        POLICY_TEXT.replace(b"quorum w1", b"group g any w1\nquorum g"),
    ):  # fmt: skip
        (copy / "policy").write_bytes(data)
        report = verify(copy)
        assert report.verdict == "verified"
        assert any("trusts others than the policy given" in line for line in report.not_covered), data
    # One that lets a key count for larger trees, which the auditor's has revoked since.
    ended = policy.decode(POLICY_TEXT + f"revoked {KEY.verifier.text()} 1000000\n".encode())
    (copy / "policy").write_bytes(POLICY_TEXT)
    assert any("trusts others than the policy given" in line for line in verify(copy, trust=ended).not_covered)
    (copy / "policy").unlink()
    assert not any("trusts others" in line for line in verify(copy).not_covered)


TRUE = [tree.leaf_hash(entry.encode(event)) for event in EVENTS]


def test_a_wider_tile_does_not_vouch_for_a_forged_run(copy: Path) -> None:
    """The true leaves lie in a tile that no archive of this size has; the root is not made of them."""
    forge(copy, Tile(0, 2, 188))
    (copy / "tile/0/002").write_bytes(tiles.encode_tile([*TRUE[512:], *[bytes(32)] * 68]))
    for first in (513, 1):
        report = verify(copy, first=first)
        assert ("TREE_MISMATCH", ("checkpoint",)) in {(one.kind, one.key) for one in report.findings}
        assert not report.checkpoints[0].accepted


def forge(copy: Path, tile: Tile) -> None:
    """Change event 600 and what hangs on it in its bundle, down to the tile, as who has no key can."""
    forged = edited(EVENTS, 600, correlation_id=b"m" * 16)[512:]
    entries = [entry.encode(event) for event in forged]
    payloads = tuple((event.salt, event.payload) for event in forged)
    segment = Segment(CHAIN_ID, 513, forged[0].prev_hash, forged[-1].hash, payloads)
    (copy / tile.bundle_path()).write_bytes(tiles.encode_bundle(entries))
    (copy / segments.path(tile)).write_bytes(segments.encode(segment))
    (copy / tile.path()).write_bytes(tiles.encode_tile(map(tree.leaf_hash, entries)))


def test_a_tile_that_is_another_when_it_is_read_again_vouches_for_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store shows the forged tile to the entries and the true one to the root: the leaves in hand count."""
    tile = Tile(0, 2, 188)
    true = (copy / tile.path()).read_bytes()
    forge(copy, tile)
    read, seen = Folder.read, list[str]()

    def two_faced(store: Folder, path: str) -> bytes | None:
        seen.append(path)
        return true if seen.count(path) > 1 and path == tile.path() else read(store, path)

    monkeypatch.setattr(Folder, "read", two_faced)
    expected = f"entries of the tree with root {root(EVENTS).hex()}"
    assert verify(copy, first=513).findings == [
        finding("TREE_MISMATCH", expected, "others", tile.bundle_path(), column="root")
    ]


def test_wider_tiles_do_not_hide_a_rewritten_history(tmp_path: Path) -> None:
    """The kept checkpoint's own tiles lie beside those of another history, which was signed and cosigned anew."""
    write(tmp_path, SIZE, events=chain(SIZE, seed=2))
    (tmp_path / "tile/0/002").write_bytes(tiles.encode_tile([*TRUE[512:], *[bytes(32)] * 68]))
    above = [tiles.subtree_hash(TRUE[:256]), tiles.subtree_hash(TRUE[256:512])]
    (tmp_path / "tile/1/000").write_bytes(tiles.encode_tile([*above, *[bytes(32)] * 254]))
    (tmp_path / "checkpoints/600").write_bytes(signed(EVENTS, 600))
    found = verify(tmp_path, expected=(("kept", signed(EVENTS, 600)),)).findings
    assert [(one.kind, one.key) for one in found] == [
        ("CHECKPOINT_INCONSISTENT", ("checkpoint",)), ("CHECKPOINT_INCONSISTENT", ("checkpoints/600",))
    ]  # fmt: skip


def test_few_files_are_asked_for_that_are_not_there(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to an object store takes a while, and there may be thousands of older checkpoints."""
    missed: list[str] = []
    read = Folder.read

    def counting(store: Folder, path: str) -> bytes | None:
        found = read(store, path)
        missed.extend([path] if found is None else [])
        return found

    monkeypatch.setattr(Folder, "read", counting)
    assert verify(copy).verdict == "verified"
    assert missed == []
