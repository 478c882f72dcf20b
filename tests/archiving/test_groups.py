"""
Check that what a group's caller asked for is recomputed from the payloads, wherever the group lies.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from ledger.chain.entry import RecordedEvent
from tests.archiving.chains import chain, edited
from tests.archiving.written import EVENTS, kinds, verify, write
from verifier.archive import groups, verification
from verifier.archive.groups import LIMIT_BYTES, Asked, Ends, joined
from verifier.archive.seams import finding

WIDE = chain(1_800, seed=3, largest=700, ends=())
"""Groups that reach over bundles, and over whole ones."""


def first_of(event: RecordedEvent) -> int:
    return event.seq - event.group_index


def put(event: RecordedEvent, payload: bytes) -> tuple[RecordedEvent, ...]:
    """Return the chain with another payload of one event, all hashes made anew but that of the request."""
    events = WIDE if event in WIDE else EVENTS
    return edited(events, event.seq, payload=payload)


@pytest.mark.parametrize("bundles", [1, 2, 64])
def test_groups_that_reach_over_bundles_and_ranges_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: int
) -> None:
    """However the archive is cut into ranges, each request hash comes out."""
    assert max(event.group_size for event in WIDE) > 600
    monkeypatch.setattr(verification, "RANGE_BUNDLES", bundles)
    write(tmp_path, len(WIDE), events=WIDE)
    assert verify(tmp_path).findings == []


@pytest.mark.parametrize("bundles", [1, 2, 64])
def test_a_payload_that_nobody_asked_for_is_named_by_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: int
) -> None:
    """With entry, links, tree and signature made anew over it: the request's hash alone is what was."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", bundles)
    for seq in (1, 256, 257, 700, 1_100, 1_536, 1_800):
        event = WIDE[seq - 1]
        place = tmp_path / str(seq)
        write(place, len(WIDE), events=put(event, b'{"derived":{},"given":{"note":"other"}}'))
        (found,) = verify(place).findings
        assert (found.kind, found.seq, found.column) == ("REQUEST_MISMATCH", first_of(event), "request_hash")
        assert found.actual == event.request_hash.hex()


def test_an_event_that_states_another_request_than_its_group_is_named(tmp_path: Path) -> None:
    """The hash of the first event is the group's."""
    event = next(event for event in EVENTS if event.group_index == 1)
    write(tmp_path, len(EVENTS), events=edited(EVENTS, event.seq, request_hash=bytes(32)))
    found = verify(tmp_path).findings
    assert ("GROUP_PARTIAL", event.seq, "request_hash") in {(one.kind, one.seq, one.column) for one in found}


def test_no_epoch_is_below_the_first(tmp_path: Path) -> None:
    """As the walk over a database's events has it."""
    write(tmp_path, len(EVENTS), events=edited(EVENTS, 1, epoch=0))
    found = [one for one in verify(tmp_path).findings if one.column == "epoch"]
    assert [(one.kind, one.seq, one.expected, one.actual) for one in found] == [
        ("STATE_MISMATCH", 1, "at least 1", "0")
    ]


def test_a_payload_without_its_two_members_is_named(tmp_path: Path) -> None:
    """What was given cannot be told from it."""
    write(tmp_path, len(EVENTS), events=put(EVENTS[9], b'{"given":{},"derived":{}}'))
    (found,) = verify(tmp_path).findings
    assert (found.kind, found.seq, found.column) == ("REQUEST_MISMATCH", 10, "payload")


def test_a_group_of_which_something_is_missing_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is missing is told once, and no request is called another for the want of it."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", 1)
    write(tmp_path, len(WIDE), events=WIDE)
    for name in ("segment/002", "segment/004", "tile/entries/005"):
        (tmp_path / name).unlink()
    assert kinds(verify(tmp_path)) == {"ARCHIVE_MISSING"}


@pytest.mark.parametrize("bundles", [1, 64])
def test_a_group_larger_than_any_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: int
) -> None:
    """It is told, where it reaches over ranges too, and what follows is judged again."""
    monkeypatch.setattr(verification, "RANGE_BUNDLES", bundles)
    monkeypatch.setattr(groups, "LIMIT_BYTES", 20_000)
    write(tmp_path, len(WIDE), events=WIDE)
    found = verify(tmp_path).findings
    assert {(one.kind, one.column) for one in found} == {("REQUEST_MISMATCH", "group_size")}
    large = {event.seq for event in WIDE if event.group_index == 0 and event.group_size > 500}
    assert large
    assert bundles == 1 or large <= {one.seq for one in found}


def test_a_group_that_goes_on_over_ranges_is_joined_up_to_its_limit() -> None:
    """To the byte; the next range has nothing to join to what was too long."""
    stated, path = bytes(32), "tile/entries/004"
    before = Asked(700, stated, b"x" * (LIMIT_BYTES - 1))
    tail = Asked(900, stated, b"z")
    whole = Asked(700, stated, before.preimage + b"y")
    assert joined(before, Ends(Asked(0, stated, b"y"), False, None), path) == (whole, [])
    larger = finding(
        "REQUEST_MISMATCH", f"a group of at most {LIMIT_BYTES} bytes", "a larger one", path, 700, "group_size"
    )
    assert joined(whole, Ends(Asked(0, stated, b"y"), False, None), path) == (None, [larger])
    # Where either part is not known, no group is judged, and the next one is taken up.
    assert joined(None, Ends(Asked(0, stated, b"y"), True, tail), path) == (tail, [])
    assert joined(before, Ends(None, True, tail), path) == (tail, [])
    other = finding("REQUEST_MISMATCH", blake3(whole.preimage).hexdigest(), stated.hex(), path, 700, "request_hash")
    assert joined(before, Ends(Asked(0, stated, b"y"), True, tail), path) == (tail, [other])
    good = Asked(700, blake3(whole.preimage).digest(), before.preimage)
    assert joined(good, Ends(Asked(0, stated, b"y"), True, tail), path) == (tail, [])
