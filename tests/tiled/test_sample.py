"""
Draw tiles from what was cosigned, of a database and of an archive, and break what they show.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ledger.archiving.stores import Folder
from ledger.chain import entry
from ledger.chain.link import ChainHead
from ledger.evidence import policy, tree
from tests.archiving import chains
from tests.tamper.forging import grown, linked, relink
from tests.tiled.sealed import Sealed, archived, silent, stands
from tests.verifier.intruder import Intruder
from verifier import indexes
from verifier.report import Report
from verifier.stored import Unreadable
from verifier.tiled import draw, sample
from verifier.tiled.sample import Draw

THOUSANDTH = Decimal("0.001")


def sampled(sealed: Sealed, count: int = 100, nonce: bytes = b"n", quorum: str = "w", jobs: int = 1) -> Report:
    with sealed.region() as region:
        return sample.of_region(region, sealed.policy(quorum=quorum), Draw(count, nonce, THOUSANDTH), silent, jobs)


def timeless(report: Report) -> Report:
    return msgspec.structs.replace(report, seconds=0.0)


BREAKS = {
    "nothing": [],
    "events and a tile": [
        ("events", "UPDATE ledger.events SET actor = 'nobody' WHERE seq IN (5, 700)"),
        ("events", "DELETE FROM ledger.events WHERE seq BETWEEN 513 AND 600"),
        ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 65) WHERE level = 1"),
    ],
    "an end": [("events", "DELETE FROM ledger.events WHERE seq > 1000")],
}


@pytest.mark.parametrize("what", BREAKS)
def test_two_processes_find_exactly_what_one_finds(copy: Sealed, what: str) -> None:
    for table, edit in BREAKS[what]:
        with Intruder(copy.database) as intruder:
            intruder.edit(table, edit)
    for count in (3, 100):
        assert timeless(sampled(copy, count, jobs=2)) == timeless(sampled(copy, count))
    assert bool(sampled(copy).findings) == bool(BREAKS[what])


def test_a_rewritten_history_is_the_same_to_two_processes(copy: Sealed) -> None:
    with copy.region() as region:
        history = list(region.between(1, region.size()))
    with Intruder(copy.database) as intruder:
        relink(intruder, history, 600, lambda event: msgspec.structs.replace(event, actor="nobody"))
    grown(copy.database)
    assert timeless(sampled(copy, jobs=2)) == timeless(sampled(copy))
    assert {x.kind for x in sampled(copy).findings} == {"INCONSISTENT"}


def test_a_sample_says_what_it_drew_and_what_it_would_have_shown(made: Sealed) -> None:
    """Two of the six tiles that the newest cosigned root covers, the ones that the page's draw gives."""
    report = sampled(made, 2)
    root = made.database.sql("SELECT encode(root, 'hex') FROM ledger.checkpoints WHERE size = 1300")
    assert (report.verdict, report.findings, report.rows) == ("verified", [], {"tiles": 2})
    said = " ".join(report.covered)
    assert f"the checkpoint of 1300 events, root {root}, cosigned by w at " in said
    assert "2 of 6 tiles of 256 events, drawn from that root with nonce 6e" in said
    assert "at least 1 - (1 - 0.001)^2 = 0.1999 %" in said
    assert "had one tile alone been changed, with 33.3333 %" in said
    assert "4 of 6 tiles, which were not drawn" in report.not_covered
    assert "events 1301 to 1305, which no checkpoint that the policy accepts covers yet" in report.not_covered
    drawn = draw.draw(bytes.fromhex(root), b"n", 6, 2)
    assert report.events == sum(20 if number == 5 else 256 for number in drawn)


def test_all_tiles_are_a_certainty(made: Sealed) -> None:
    report = sampled(made)
    assert (report.verdict, report.events) == ("verified", 1300)
    assert "every tile: whatever was changed in any is found" in report.covered


def test_a_change_is_found_by_the_draws_that_hold_it_and_by_no_other(copy: Sealed) -> None:
    """One event in tile 2 of six, and nonces that draw it or do not."""
    root = bytes.fromhex(copy.database.sql("SELECT encode(root, 'hex') FROM ledger.checkpoints WHERE size = 1300"))
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 600")
    for place in range(8):
        nonce = bytes([place])
        expected = [("BYTES_MODIFIED", 600, None, None, "actor")] if 2 in draw.draw(root, nonce, 6, 2) else []
        assert stands(sampled(copy, 2, nonce).findings) == expected


def test_a_history_that_was_rewritten_with_its_tiles_is_not_in_the_root(copy: Sealed) -> None:
    """The tiles are those of the events, the events are those of the tiles, and neither is what was cosigned."""
    with copy.region() as region:
        history = list(region.between(1, region.size()))
    with Intruder(copy.database) as intruder:
        relink(intruder, history, 600, lambda event: msgspec.structs.replace(event, actor="nobody"))
    grown(copy.database)
    found = sampled(copy).findings
    assert {x.kind for x in found} == {"INCONSISTENT"}
    assert {x.key for x in found} == {("0", str(number)) for number in range(6)}


@pytest.mark.parametrize(("level", "number", "place"), [(0, 3, 2), (0, 5, 2), (1, 0, 2)])
def test_a_tile_that_rotted_is_named_and_is_no_second_history(
    copy: Sealed, level: int, number: int, place: int
) -> None:
    """Proofs go past a hash that is not that of what is below it: every other tile's leads to another root."""
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 65) "
                      f"WHERE level = {level} AND number = {number}")  # fmt: skip
    seq = number * 256 + place + 1 if level == 0 else None
    expected = [("TREE_MISMATCH", seq, "tiles", (str(level), str(number)), f"hashes[{place}]")]
    assert stands(sampled(copy).findings) == expected


def test_a_tail_that_was_cut_and_tiles_that_are_gone_are_named(copy: Sealed) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq > 1000")
        intruder.edit("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 0")
    found = stands(sampled(copy).findings)
    assert ("TRUNCATED", 1001, None, None, "seq") in found
    assert ("TREE_MISMATCH", None, "tiles", ("0", "0"), None) in found
    assert {x[0] for x in found} == {"TRUNCATED", "TREE_MISMATCH"}


def test_a_tile_without_events_is_a_gap_of_its_place_and_counts_none(copy: Sealed) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq BETWEEN 513 AND 768")
    report = sampled(copy)
    assert [x.sentence() for x in report.findings] == [
        "SEQ_GAP: event 513, column seq: expected event 513 to 768, found no such row"
    ]
    assert report.events == 1300 - 256


def test_an_event_that_is_gone_hides_no_rewriting_of_those_before_it(copy: Sealed) -> None:
    """Links and leaves of the tile are made anew up to the gap; what is above the tile is untouched."""
    with copy.region() as region:
        history = list(region.between(1, region.size()))
    with Intruder(copy.database) as intruder:
        relink(intruder, history[:199], 5, lambda event: msgspec.structs.replace(event, actor="nobody"))
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 200")
        with copy.region() as region:
            made = b"".join(tree.leaf_hash(entry.encode(event)) for event in region.between(1, 199))
        intruder.edit(
            "tiles",
            "UPDATE ledger.tiles SET hashes = %s || substr(hashes, %s) WHERE level = 0 AND number = 0",
            made,
            len(made) + 1,
        )
    report = sampled(copy)
    assert ("SEQ_GAP", 200, None, None, "seq") in stands(report.findings)
    assert ("TREE_MISMATCH", 1, "tiles", ("0", "0"), None) in stands(report.findings)
    assert [seen.accepted for seen in report.checkpoints] == [False]
    assert report.last_good_seq == 0


def test_an_event_that_is_gone_leaves_those_before_it_proven(copy: Sealed) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 200")
    report = sampled(copy)
    assert stands(report.findings) == [("SEQ_GAP", 200, None, None, "seq")]
    assert ([seen.accepted for seen in report.checkpoints], report.last_good_seq) == ([True], 199)


def test_without_a_checkpoint_that_counts_nothing_is_drawn(copy: Sealed) -> None:
    """None that the policy accepts is a finding; none at all, or another log's policy, leaves nothing to verify."""
    with Intruder(copy.database) as intruder:
        text = "split_part(note, E'\\n\\n', 1) || E'\\n\\n'"
        by_log = "split_part(split_part(note, E'\\n\\n', 2), E'\\n', 1) || E'\\n'"
        intruder.edit("checkpoints", f"UPDATE ledger.checkpoints SET note = {text} || {by_log}")
        assert stands(sampled(copy).findings) == [("QUORUM_UNMET", None, "checkpoints", (), None)]
        # Who asks for no quorum takes the log's own word.
        report = sampled(copy, quorum="none")
        assert report.verdict == "verified"
        assert "cosigned by nobody" in " ".join(report.covered)
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = 'x' WHERE size = 1300")
        assert ("CHECKPOINT_SIG", 1300, "checkpoints", ("1300",), "note") in stands(sampled(copy).findings)
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
    with pytest.raises(Unreadable, match="has no checkpoint"):
        sampled(copy)
    with (
        copy.region() as region,
        pytest.raises(Unreadable, match=r"policy is for other logs \(ledger.example/trades\)"),
    ):
        sample.of_region(region, chains.POLICY, Draw(1, b"", THOUSANDTH), silent)


def test_an_event_that_is_missing_hides_no_rewriting_before_it(copy: Sealed) -> None:
    """Leaves were put right for the false events, as far as the gap; the tile above has what was cosigned."""
    with copy.region() as region:
        history = list(region.between(1, 199))
    false = linked([msgspec.structs.replace(history[4], actor="mallory"), *history[5:]],
                   ChainHead(4, history[4].prev_hash))  # fmt: skip
    leaves = b"".join(tree.leaf_hash(entry.encode(event)) for event in [*history[:4], *false])
    with Intruder(copy.database) as intruder:
        for event in false:
            intruder.edit("events", "UPDATE ledger.events SET (actor, prev_hash, hash) = (%s, %s, %s) WHERE seq = %s",
                          event.actor, event.prev_hash, event.hash, event.seq)  # fmt: skip
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 200")
        sql = "UPDATE ledger.tiles SET hashes = %s || substr(hashes, %s) WHERE level = 0 AND number = 0"
        intruder.edit("tiles", sql, leaves, len(leaves) + 1)
    report = sampled(copy)
    assert {one.kind for one in report.findings} == {"SEQ_GAP", "TREE_MISMATCH"}
    assert (report.last_good_seq, [seen.accepted for seen in report.checkpoints]) == (0, [False])
    # Without that leaf there is nothing to lead to the root, and nothing is said of what is before.
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 0")
    report = sampled(copy)
    assert (report.last_good_seq, [seen.accepted for seen in report.checkpoints]) == (0, [False])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(archived(tmp_path / "archive", chains.chain(700)))


def test_an_archive_is_sampled_as_a_database_is(folder: Folder) -> None:
    report = sample.of_archive(folder, chains.POLICY, Draw(2, b"n", THOUSANDTH), silent)
    assert (report.verdict, report.findings, report.region_mode) == ("verified", [], "archive")
    assert indexes.NOT_LOOKED_UP not in report.not_covered
    assert "2 of 3 tiles of 256 events" in " ".join(report.covered)
    whole = sample.of_archive(folder, chains.POLICY, Draw(9, b"n", THOUSANDTH), silent)
    assert (whole.verdict, whole.events) == ("verified", 700)


def test_two_processes_find_exactly_what_one_finds_in_an_archive(folder: Folder) -> None:
    bundle = Path(folder.name) / "tile/entries/001"
    good = bundle.read_bytes()
    for data in (good, good[:-1] + bytes([good[-1] ^ 1])):
        bundle.write_bytes(data)
        reports = [
            timeless(sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent, jobs))
            for jobs in (1, 2)
        ]
        assert reports[0] == reports[1]
        assert bool(reports[0].findings) == (data != good)


def test_a_bundle_that_is_gone_with_its_tile_is_named(folder: Folder) -> None:
    for path in ("tile/0/002.p/188", "tile/entries/002.p/188"):
        (Path(folder.name) / path).unlink()
    report = sample.of_archive(folder, chains.POLICY, Draw(9, b"n", THOUSANDTH), silent)
    assert ("ARCHIVE_MISSING", ("tile/entries/002.p/188",)) in {(x.kind, x.key) for x in report.findings}
    assert report.verdict == "broken"


def test_of_a_bundle_whose_payloads_were_not_read_no_event_is_whole(folder: Folder) -> None:
    """An entry that is none hides how long every payload is; and where the last tile is gone, nothing is led."""
    place = Path(folder.name)
    segment, bundle = place / "segment/001", place / "tile/entries/001"
    good, content = bundle.read_bytes(), segment.read_bytes()
    bundle.write_bytes(good[:2] + bytes([good[2] ^ 1]) + good[3:])
    segment.unlink()
    report = sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent)
    assert (report.verdict, report.last_good_seq) == ("broken", 256)
    assert any(line.startswith("payloads of events 257 to 512") for line in report.not_covered)
    bundle.write_bytes(good)
    segment.write_bytes(content)
    for name in ("tile/0/002.p/188", "tile/entries/002.p/188"):
        (place / name).unlink()
    report = sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent)
    # The way of every other tile to the root goes past that one.
    assert (report.verdict, report.last_good_seq) == ("broken", 0)
    assert {one.kind for one in report.findings} == {"ARCHIVE_MISSING", "TREE_MISMATCH"}


def test_what_was_changed_in_an_archive_is_named(folder: Folder) -> None:
    """A byte of an entry, and a hash above the leaves."""
    bundle = Path(folder.name) / "tile/entries/001"
    good = bundle.read_bytes()
    bundle.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    found = sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent).findings
    assert {x.kind for x in found} == {"PAYLOAD_MISMATCH", "TREE_MISMATCH", "BYTES_MODIFIED"}
    assert {x.key for x in found if x.kind == "TREE_MISMATCH"} == {("tile/entries/001",)}
    bundle.write_bytes(good)
    upper = Path(folder.name) / "tile/1/000.p/2"
    upper.write_bytes(bytes(64))
    found = sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent).findings
    assert {x.kind for x in found} == {"TREE_MISMATCH"}
    upper.unlink()
    found = sample.of_archive(folder, chains.POLICY, Draw(9, b"", THOUSANDTH), silent).findings
    assert {x.kind for x in found} == {"TREE_MISMATCH"}
    other = policy.decode(chains.POLICY_TEXT.replace(b"quorum w1", b"quorum none"))
    assert sample.of_archive(folder, other, Draw(1, b"", THOUSANDTH), silent).verdict in ("verified", "broken")
    with pytest.raises(Unreadable, match="name the place of an archive"):
        sample.of_archive(Folder(bundle.parent / "none"), chains.POLICY, Draw(1, b"", THOUSANDTH), silent)
