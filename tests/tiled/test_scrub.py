"""
Scrub a chain share by share, and break what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import SigningKey
from tests.conftest import ORIGIN
from tests.sealing.regions import LOG_KEY
from tests.tiled.sealed import Sealed, silent, stands
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier.report import Report
from verifier.stored import Unreadable
from verifier.tiled import diverging, scrub, scrubbed
from verifier.tiled.scrubbed import Scrubbed


def scrubs(sealed: Sealed, state: Path, share: Fraction = Fraction(1), now: int = 1_000, jobs: int = 1) -> Report:
    with sealed.region() as region:
        return scrub.verify(region, state, share, None, silent, lambda: now, jobs)


def read(path: Path) -> Scrubbed:
    return msgspec.json.decode(path.read_bytes(), type=Scrubbed)


def test_shares_add_up_to_a_round_and_say_how_far_it_is(made: Sealed, tmp_path: Path) -> None:
    """A third of six tiles each time: three runs read every event once, and the fourth begins again."""
    state = tmp_path / "state"
    reports = [scrubs(made, state, Fraction(1, 3), now) for now in (100, 200, 300)]
    assert [report.covered[0] for report in reports] == ["events 1 to 512", "events 513 to 1024", "events 1025 to 1305"]
    assert sum(report.events for report in reports) == 1305
    assert {report.verdict for report in reports} == {"verified"}
    begun = "in round 1, begun at 1970-01-01 00:01:40 UTC, events from 513 on"
    assert f"{begun}; it is complete after 2 more runs of this share" in reports[0].not_covered
    assert "it is complete after 1 more run of" in " ".join(reports[1].not_covered)
    ended = "1970-01-01 00:05:00 UTC"
    assert f"what changed since round 1 was complete at {ended} and was not read again" in reports[2].not_covered
    assert any(line.startswith("which region earlier runs of this state read") for line in reports[2].not_covered)
    assert (read(state).next, read(state).round, read(state).started_at) == (0, 2, 300)
    assert scrubs(made, state, Fraction(1, 3)).covered[0] == "events 1 to 512"


def test_a_run_by_seconds_says_how_long_the_round_takes(made: Sealed, tmp_path: Path) -> None:
    """It reads at least something; here a second is enough for all of it."""
    with made.region() as region:
        report = scrub.verify(region, tmp_path / "state", None, 1, silent, lambda: 5)
    assert (report.verdict, report.events) == ("verified", 1305)


EDITS = {
    "an account renamed": ("events", "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 700",
                           [("BYTES_MODIFIED", 700, None, None, "actor")]),
    "the first event of a tile": ("events", "UPDATE ledger.events SET recorded_at = recorded_at + 1 WHERE seq = 257",
                                  [("BYTES_MODIFIED", 257, None, None, "recorded_at")]),
    "the last event of a tile": ("events", "UPDATE ledger.events SET hash = sha256('x') WHERE seq = 512",
                                 [("BYTES_MODIFIED", 512, None, None, "hash")]),
    "an event that is gone": ("events", "DELETE FROM ledger.events WHERE seq = 513",
                              [("SEQ_GAP", 513, None, None, "seq")]),
    "a whole tile that is gone": ("events", "DELETE FROM ledger.events WHERE seq BETWEEN 257 AND 512",
                                  [("SEQ_GAP", 257, None, None, "seq")]),
    "zeros for no id": ("events", "UPDATE ledger.events SET correlation_id = '00000000-0000-0000-0000-000000000000' "
                        "WHERE seq = 300", [("BYTES_MODIFIED", 300, None, None, "correlation_id")]),
    "a leaf": ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 32 * 7 + 1) "
               "WHERE level = 0 AND number = 1", [("TREE_MISMATCH", 264, "tiles", ("0", "1"), "hashes[7]"),
                                                  ]),
    "a hash above": ("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 32 * 3 + 1) "
                     "WHERE level = 1", [("TREE_MISMATCH", None, "tiles", ("1", "0"), "hashes[3]")]),
    "a tile that is gone": ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 2",
                            [("TREE_MISMATCH", None, "tiles", ("0", "2"), None)]),
    "the last tile, gone": ("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 5",
                            [("TREE_MISMATCH", None, "tiles", ("0", "5"), None)]),
    "a tile far ahead": ("tiles", "INSERT INTO ledger.tiles SELECT chain, 0, 5000, hashes FROM ledger.tiles "
                         "WHERE level = 0 AND number = 1", [("TREE_MISMATCH", None, "tiles", ("0", "5000"), None)]),
    "leaves too many": ("tiles", "UPDATE ledger.tiles SET hashes = hashes || repeat('x', 32 * 40)::bytea "
                        "WHERE level = 0 AND number = 5", [("TREE_MISMATCH", None, "tiles", ("0", "5"), None)]),
}  # fmt: skip


@pytest.fixture(scope="module")
def broken(made: Sealed) -> Iterator[Sealed]:
    with copied(made.database) as database:
        yield Sealed(database, made.signer, made.witness)


@pytest.mark.parametrize("what", EDITS)
def test_what_was_changed_is_named_and_checked_again_until_it_is_mended(
    broken: Sealed, tmp_path: Path, what: str
) -> None:
    """By the run that reads it, and by each run after it, however small its share; once mended, by none."""
    table, edit, expected = EDITS[what]
    state = tmp_path / "state"
    with Intruder(broken.database) as intruder, intruder.undone(table):
        intruder.unguard(table)
        intruder.edit(table, edit)
        whole = scrubs(broken, state)
        assert set(expected) <= set(stands(whole.findings))
        if "far" in what:
            # It says nothing of what there is to be, and no leaf of another is missed for it.
            assert stands(whole.findings) == stands(real(report_on(broken.database))) == expected
        assert all(x.kind == "TREE_MISMATCH" for x in whole.findings if stands([x])[0] not in expected)
        assert whole.verdict == "broken"
        if what != "leaves too many":
            assert set(expected) <= set(stands(scrubs(broken, state, Fraction(1, 100)).findings))
    assert scrubs(broken, state, Fraction(1, 100)).findings == []
    assert read(state).broken == []


PADDED = (
    "UPDATE ledger.tiles SET hashes = hashes || "
    "decode(repeat('ab', 32 * (256 - octet_length(hashes) / 32)), 'hex') WHERE level = 0 AND number = 5"
)


@pytest.mark.parametrize("more", [[], ["INSERT INTO ledger.tiles VALUES (1, 0, 6, sha256('x'))"]])
def test_a_last_tile_of_false_leaves_says_nothing_of_more_events(
    made: Sealed, copy: Sealed, tmp_path: Path, more: list[str]
) -> None:
    """Nor does what follows it: its leaves of events that are there are of others. No good tile is accused for it."""
    with Intruder(copy.database) as intruder:
        for edit in (PADDED, *more):
            intruder.edit("tiles", edit, least=1)
    with copy.region() as left, made.region() as right:
        compared = diverging.compare(left, right, silent)
    for report in (scrubs(copy, tmp_path / "state"), report_on(copy.database), compared):
        found = [x for x in real(report) if x.kind != "TWO_PRIMARIES"]
        assert {(x.kind, x.table) for x in found} == {("TREE_MISMATCH", "tiles")}
        assert {x.key for x in found} == {("0", "5"), *((("0", "6"),) if more else ())}
        assert ("25 hashes", "256 of them") in {(x.expected, x.actual.removesuffix(" in the database")) for x in found}


@pytest.mark.parametrize("last", [1290, 1280])
@pytest.mark.parametrize("is_edited", [False, True])
def test_leaves_of_events_that_were_cut_off_are_missed(
    copy: Sealed, tmp_path: Path, last: int, is_edited: bool
) -> None:
    """By the leaf of the last event, or of the one before where that is not what it was."""
    with Intruder(copy.database) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {last}", least=1)
        if is_edited:
            intruder.edit("events", f"UPDATE ledger.events SET actor = 'm' WHERE seq = {last}", least=1)
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET seq = {last}, hash = (SELECT hash FROM "
                      f"ledger.events WHERE seq = {last})", least=1)  # fmt: skip
        intruder.edit("checkpoints", f"DELETE FROM ledger.checkpoints WHERE size > {last}", least=1)
    cut = ("TRUNCATED", last + 1, None, None, "seq")
    assert cut in stands(scrubs(copy, tmp_path / "state").findings)


@pytest.mark.parametrize("seq", [90_000_000, 5000 * 256 + 7], ids=["beyond the tile", "within the tile"])
def test_an_event_far_ahead_makes_no_room_for_a_tile(copy: Sealed, tmp_path: Path, seq: int) -> None:
    """Each is named by whoever reads all, and no tile that holds its leaves is accused of holding too few."""
    far = ("tiles", ("0", "5000"))
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", EDITS["a tile far ahead"][1], least=1)
        intruder.edit("events", f"UPDATE ledger.events SET seq = {seq} WHERE seq = 700", least=1)
    for report in (scrubs(copy, tmp_path / "state"), report_on(copy.database)):
        assert {(x.table, x.key) for x in report.findings if x.table == "tiles"} == {far}
        assert next(x.seq for x in report.findings if x.kind == "SEQ_GAP") == 700


def test_a_history_that_went_back_or_is_another_is_known_by_the_state(copy: Sealed, tmp_path: Path) -> None:
    """Told in each run, and the state keeps what it saw; another chain's state is no state for this one."""
    state = tmp_path / "state"
    assert scrubs(copy, state).verdict == "verified"
    seen = read(state)
    assert (seen.size, len(seen.hash)) == (1305, 64)
    scrubbed.write(state, msgspec.structs.replace(seen, size=1400))
    for _ in range(2):
        assert stands(scrubs(copy, state).findings) == [("ROLLBACK", 1306, None, None, None)]
    scrubbed.write(state, msgspec.structs.replace(seen, hash="00" * 32))
    for _ in range(2):
        assert stands(scrubs(copy, state).findings) == [("INCONSISTENT", 1305, None, None, "hash")]
    scrubbed.write(state, msgspec.structs.replace(seen, chain_id="00" * 16))
    with pytest.raises(Unreadable, match="give each chain a file of its own"):
        scrubs(copy, state)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"origin": 1}', b"\xff", b"x" * (1 << 21)])
def test_a_file_that_is_no_state_is_refused(made: Sealed, tmp_path: Path, data: bytes) -> None:
    state = tmp_path / "state"
    state.write_bytes(data)
    with pytest.raises(Unreadable, match=r"no state of a scrub|expected at most"):
        scrubs(made, state)
    with pytest.raises(Unreadable, match="cannot be read"):
        scrubs(made, tmp_path)


def test_a_checkpoint_that_nobody_signed_accuses_no_tile(copy: Sealed, tmp_path: Path) -> None:
    """One of more events than the tiles hold is not held; what the log signed beside it still needs its tile."""
    text = Checkpoint(ORIGIN, 1304, bytes(32)).text()
    stranger = SigningKey(ORIGIN, LOG_KEY.algorithm, bytes([77]) * 32)
    forged = note.with_signatures(text, (stranger.sign(text),)).encode().decode()
    forge = "INSERT INTO ledger.checkpoints VALUES (1, 1304, decode(repeat('00', 32), 'hex'), %s, 0)"
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", forge, forged, least=1)
        intruder.edit("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 5", least=1)
    assert stands(scrubs(copy, tmp_path / "state").findings) == [("TREE_MISMATCH", None, "tiles", ("0", "5"), None)]
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size <> 1304", least=1)
    report = scrubs(copy, tmp_path / "other")
    assert report.findings == []
    assert any("1 checkpoint of 1304 events would need, which no key" in line for line in report.not_covered)


def test_a_chain_without_tiles_is_scrubbed_and_that_is_said(copy: Sealed, tmp_path: Path) -> None:
    with Intruder(copy.database) as intruder:
        for table in ("tiles", "checkpoints"):
            intruder.edit(table, f"DELETE FROM ledger.{table}")
    report = scrubs(copy, tmp_path / "state")
    assert report.findings == []
    assert "leaves of events 1 to 1305, which no tile holds yet" in report.not_covered


FAR = 10**13


def moved_ahead(sealed: Sealed, *, hashed: bool) -> None:
    """Give the last event, and the head, a seq that is far ahead; with the hash that it has there, or its own."""
    with sealed.region() as region:
        (last,) = region.between(1305, 1305)
    there = blake3(entries.encode(msgspec.structs.replace(last, seq=FAR))).digest() if hashed else last.hash
    with Intruder(sealed.database) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET seq = %s, hash = %s WHERE seq = 1305", FAR, there)
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = %s, hash = %s", FAR, there)


def test_events_that_are_gone_from_the_end_are_missed_by_the_head(copy: Sealed, tmp_path: Path) -> None:
    """Those that no tile has, in the first share too; only the head says that there were any."""
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq > 1303")
    for share in (Fraction(1, 100), Fraction(1)):
        report = scrubs(copy, tmp_path / "state", share)
        assert [(x.kind, x.seq) for x in report.findings] == [("TRUNCATED", 1304)]
        assert scrub.HEAD in report.covered


def test_an_event_without_a_seq_is_missed_at_its_place(copy: Sealed, tmp_path: Path) -> None:
    """Sorted from the end it would be the last; whoever owns the table can let a column have none."""
    for change in ("DROP CONSTRAINT events_pkey CASCADE", "ALTER seq DROP NOT NULL"):
        copy.database.sql(f"ALTER TABLE ledger.events {change}")
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET seq = NULL WHERE seq = 50")
    report = scrubs(copy, tmp_path / "state")
    assert ("SEQ_GAP", 50) in [(x.kind, x.seq) for x in report.findings]
    assert report.events == 1304


def test_an_event_whose_seq_is_far_ahead_is_counted_once_and_told_by_its_hash(copy: Sealed, tmp_path: Path) -> None:
    """There are as many events as rows; once it is mended, the history did not go back."""
    state = tmp_path / "state"
    assert scrubs(copy, state).verdict == "verified"
    moved_ahead(copy, hashed=False)
    for share in (Fraction(1), Fraction(1, 100)):
        report = scrubs(copy, state, share)
        assert stands(report.findings) == [
            ("INCONSISTENT", 1305, None, None, "hash"), ("BYTES_MODIFIED", FAR, None, None, "seq")
        ]  # fmt: skip
        assert (report.findings[1].expected, report.findings[1].actual) == ("1305", str(FAR))
        assert report.events == (1305 if share == 1 else 256 + 24 + 1)
        assert report.last_good_seq == (1304 if share == 1 else 256)
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET seq = 1305 WHERE seq = %s", FAR)
        # The head still names another.
        assert [x.kind for x in scrubs(copy, state).findings] == ["TRUNCATED"]
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = 1305")
    assert scrubs(copy, state).findings == []
    assert read(state).broken == []


def test_places_without_events_are_one_gap_and_no_events(copy: Sealed, tmp_path: Path) -> None:
    """However long it is, it is told once, in true words, by the runs on either side of it."""
    moved_ahead(copy, hashed=True)
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq BETWEEN 601 AND 1304")
    report = scrubs(copy, tmp_path / "state")
    assert [x.sentence() for x in report.findings if x.kind == "SEQ_GAP"] == [
        f"SEQ_GAP: event 601, column seq: expected event 601 to {FAR - 1}, found no such row"
    ]
    assert report.events == 601
    assert report.last_good_seq == 600
    assert "events 1 to 768" in report.covered


@pytest.mark.parametrize("broken", [False, True])
def test_two_processes_find_exactly_what_one_finds(
    copy: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Run by run, a state and a report each: also where tiles are read again, and a gap goes over several."""
    monkeypatch.setattr(scrub, "RUN_TILES", 1)
    if broken:
        with Intruder(copy.database) as intruder:
            intruder.edit("events", "UPDATE ledger.events SET actor = 'nobody' WHERE seq IN (5, 300, 1100)")
            intruder.edit("events", "DELETE FROM ledger.events WHERE seq BETWEEN 512 AND 1030")
            intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 97) "
                          "WHERE level = 0 AND number = 0")  # fmt: skip
    states = [tmp_path / "one", tmp_path / "two"]
    for share in (Fraction(1, 3), Fraction(1), Fraction(1, 2)):
        reports = [scrubs(copy, path, share, jobs=jobs) for jobs, path in enumerate(states, 1)]
        one, two = (msgspec.structs.replace(report, seconds=0.0) for report in reports)
        assert one == two
        assert bool(reports[0].findings) == broken
        assert read(states[0]) == read(states[1])


def test_several_processes_end_when_the_time_is_up_and_the_state_says_what_was_read(
    made: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read ahead and not taken is read again by the next run."""
    monkeypatch.setattr(scrub, "RUN_TILES", 1)
    asked: list[int] = []

    def is_late() -> bool:
        asked.append(1)
        return len(asked) == 2

    kept: list[Scrubbed] = []
    with made.region() as region:
        state = Scrubbed(region.origin, region.chain_id.hex(), 5)
        run = scrub.Scrub(region, state, lambda reached: kept.append(msgspec.structs.replace(reached)))
        run.run(6, is_late, silent, lambda: 5, jobs=2)
    assert (run.events, run.checked, kept[-1].next, run.findings.all(None)) == (512, {0, 1}, 2, [])
