"""
Check what is said of one event that was edited before all was hashed and signed anew, and of one field of a segment.

Whoever has the log's key can sign whatever they wrote, so what an event says has to fit what stands around it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.archiving.stores import Folder
from ledger.chain import entry, event_id
from ledger.chain.link import genesis
from ledger.evidence import segments
from ledger.evidence.checkpoint import Checkpoint
from tests.archiving.chains import CHAIN_ID, ORIGIN, edited, root
from tests.archiving.written import EVENTS, SIZE, verify, write
from verifier.archive.groups import Ends
from verifier.archive.joining import Joining
from verifier.archive.ranges import Range
from verifier.archive.seams import Seam, finding, seam_of
from verifier.archive.verification import _Good
from verifier.report import Finding

SEQ = 400
EVENT, NEXT = EVENTS[SEQ - 1], EVENTS[SEQ]
"""The two events of one group."""
BUNDLE, SEGMENT = "tile/entries/001", "segment/001"
AT = EVENT.recorded_at
FIRST = f"event 1 of 2 of group {EVENT.group_id.hex()}"
OTHER_PAYLOAD = b'{"derived":{},"given":{"note":"other"}}'


def in_bundle(kind: str, expected: str, actual: str, column: str, seq: int = SEQ) -> Finding:
    return finding(kind, expected, actual, BUNDLE, seq, column)


def asked(*payloads: bytes) -> str:
    """Return the request hash of the group with these payloads."""
    of = [(one.event_type, one.schema_version, one.occurred_at, entry.split_payload(payload)[1])
          for one, payload in zip((EVENT, NEXT), payloads, strict=True)]  # fmt: skip
    return entry.request_hash(EVENT.salt, of).hex()


EDITS: list[tuple[dict[str, Any], list[Finding]]] = [
    ({"event_id": event_id.make(AT - 1, bytes(7))},
     [in_bundle("CLOCK", f"an id of {AT}", str(AT - 1), "event_id")]),
    ({"event_id": b"\xff" * 16},
     [in_bundle("CLOCK", f"an id of {AT}", f"found {'ff' * 16} where an event id is expected: a UUIDv7 of 16 bytes",
                "event_id"),
      in_bundle("CLOCK", f"later than {AT}", str(NEXT.recorded_at), "recorded_at", SEQ + 1)]),
    ({"recorded_at": AT - 10**6},
     [in_bundle("CLOCK", f"later than {EVENTS[SEQ - 2].recorded_at}", str(AT - 10**6), "recorded_at"),
      in_bundle("CLOCK", f"an id of {AT - 10**6}", str(AT), "event_id")]),
    ({"epoch": 2}, [in_bundle("STATE_MISMATCH", "at least 2", "1", "epoch", SEQ + 1)]),
    ({"group_id": bytes(16)},
     [in_bundle("GROUP_PARTIAL", f"event 1 of 2 of group {'00' * 16}", FIRST, "group_id", SEQ + 1)]),
    ({"group_size": 7},
     [in_bundle("GROUP_PARTIAL", FIRST.replace("of 2", "of 7"), FIRST, "group_id", SEQ + 1)]),
    ({"group_size": 1},
     [in_bundle("REQUEST_MISMATCH", entry.request_hash(EVENT.salt, [(EVENT.event_type, 1, EVENT.occurred_at,
                entry.split_payload(EVENT.payload)[1])]).hex(), EVENT.request_hash.hex(), "request_hash"),
      in_bundle("GROUP_PARTIAL", "the first event of a group", FIRST, "group_id", SEQ + 1)]),
    ({"request_hash": bytes(32)},
     [in_bundle("GROUP_PARTIAL", bytes(32).hex(), EVENT.request_hash.hex(), "request_hash", SEQ + 1)]),
    ({"payload": OTHER_PAYLOAD},
     [in_bundle("REQUEST_MISMATCH", asked(OTHER_PAYLOAD, NEXT.payload), EVENT.request_hash.hex(), "request_hash")]),
    ({"payload": b'{"given":{},"derived":{}}'},
     [in_bundle("REQUEST_MISMATCH", "a payload of what the rules made and what was given",
                "found a payload with its two members in another order or spacing than is written", "payload")]),
    *(({column: "mallory"}, [in_bundle("GROUP_PARTIAL", "mallory", getattr(NEXT, column), column, SEQ + 1)])
      for column in ("actor", "source", "idempotency_key")),
    ({"correlation_id": b"m" * 16}, []),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), EDITS, ids=lambda one: "-".join(one) if type(one) is dict else "")
def test_one_edited_event_is_what_it_does_not_fit(
    tmp_path: Path, changes: dict[str, Any], expected: list[Finding]
) -> None:
    """No more, and no less; what contradicts nothing is as the log has signed it."""
    write(tmp_path, SIZE, events=edited(EVENTS, SEQ, **changes))
    report = verify(tmp_path)
    assert report.findings == expected
    # All is good up to the first of which something is said.
    assert report.last_good_seq == min((one.seq or 0 for one in expected), default=SIZE + 1) - 1


def test_the_last_group_ends_with_the_archive(tmp_path: Path) -> None:
    """One of which events are missing was cut off."""
    write(tmp_path, SIZE, events=edited(EVENTS, SIZE, group_size=EVENTS[-1].group_size + 2))
    found = [one for one in verify(tmp_path).findings if one.column == "group_size"]
    size, index = EVENTS[-1].group_size + 2, EVENTS[-1].group_index
    assert found == [
        finding("GROUP_PARTIAL", f"all {size} events of the last group", str(index + 1), "checkpoint", SIZE,
                "group_size")
    ]  # fmt: skip


SIZES = [len(event.payload) for event in EVENTS[256:512]]
HEADS = {
    "chain_id": (CHAIN_ID.hex(), bytes(16)), "first_seq": ("257", 258),
    "prev_hash": (EVENTS[256].prev_hash.hex(), bytes(32)), "last_hash": (EVENTS[511].hash.hex(), bytes(32)),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_segment_says_where_it_belongs(copy: Path, name: str) -> None:
    """Whoever has it alone has nothing else to say so."""
    path = copy / SEGMENT
    expected, other = HEADS[name]
    whole = segments.decode(path.read_bytes(), SIZES)
    path.write_bytes(segments.encode(msgspec.structs.replace(whole, **{name: other})))
    report = verify(copy)
    said = str(other) if isinstance(other, int) else other.hex()
    assert report.findings == [finding("BYTES_MODIFIED", expected, said, SEGMENT, column=name)]
    assert report.last_good_seq == 256


@pytest.mark.parametrize("place", [0, 3, 255])
def test_a_salt_and_a_payload_are_those_that_the_entry_names(copy: Path, place: int) -> None:
    """Either of another is named by its event, and its group is not judged by it."""
    path, seq = copy / SEGMENT, 257 + place
    whole = segments.decode(path.read_bytes(), SIZES)
    salt, payload = whole.events[place]
    for other in ((bytes(16), payload), (salt, payload[:-1] + b" ")):
        events = list(whole.events)
        events[place] = other
        path.write_bytes(segments.encode(msgspec.structs.replace(whole, events=tuple(events))))
        report = verify(copy)
        expected, actual = (entry.payload_hash(*content).hex() for content in ((salt, payload), other))
        assert report.findings == [finding("PAYLOAD_MISMATCH", expected, actual, SEGMENT, seq, "payload")]
        assert report.last_good_seq == seq - 1


def test_what_is_wrong_by_itself_does_not_follow_from_an_entry_that_rotted_later(tmp_path: Path) -> None:
    """A request that nobody made, in a bundle before: its events are not good, whatever else rotted."""
    write(tmp_path, SIZE, events=edited(EVENTS, 100, payload=OTHER_PAYLOAD))
    bundle = tmp_path / BUNDLE
    data = bytearray(bundle.read_bytes())
    data[5000] ^= 1
    bundle.write_bytes(data)
    report = verify(tmp_path)
    first = EVENTS[99].seq - EVENTS[99].group_index
    assert [one.seq for one in report.findings if one.after is None and one.kind == "REQUEST_MISMATCH"] == [first]
    assert report.last_good_seq == first - 1


def test_where_tile_and_bundle_are_both_gone_no_root_is_made(tmp_path: Path) -> None:
    """Nothing tells of these entries, so nothing says that all of them together are those that were signed."""
    write(tmp_path, SIZE)
    for name in ("tile/0/000", "tile/entries/000"):
        (tmp_path / name).unlink()
    report = verify(tmp_path)
    assert report.findings == [
        finding("ARCHIVE_MISSING", "a file", "none", "tile/0/000"),
        finding("ARCHIVE_MISSING", "a file", "none", "tile/entries/000"),
        finding("TREE_MISMATCH", f"a root of {SIZE} entries", "entries are missing", "checkpoint"),
    ]
    assert (report.last_good_seq, report.checkpoints[0].accepted) == (0, False)


def test_where_no_event_is_named_none_is_good(copy: Path) -> None:
    """What is wrong may be of any; of a tile it is of none, and all that were read stay good."""
    for path, events in (("somewhere", 0), ("tile/0/000", 256), ("tile/entries/000", 0), ("tile/entries/001", 256)):
        good, joining = _Good(True), Joining(Folder(copy), Checkpoint(ORIGIN, SIZE, root(EVENTS)), CHAIN_ID, 0)
        joining.is_signed, joining.events = True, SIZE
        good.take(READ, [finding("BYTES_MODIFIED", "a", "b", path)], 256)
        assert good.events(joining) == events


READ = Range(0, [], (None, None), [], [], [], Ends(None, False, None), 256)


def seam(seq: int) -> Seam:
    return seam_of(entry.parse(entry.encode(EVENTS[seq - 1])), EVENTS[seq - 1].hash)


def test_the_first_link_is_made_from_the_genesis(copy: Path) -> None:
    """Of this chain and origin; what stands before a part is not read."""

    def link(first: Seam | None, last: Seam | None = None, chain_id: bytes = CHAIN_ID) -> list[Finding]:
        joining = Joining(Folder(copy), Checkpoint(ORIGIN, SIZE, root(EVENTS)), chain_id, 0)
        joining.last = last
        return joining._link(first, "x")

    first = seam(1)
    assert link(first) == link(None) == link(seam(3), seam(2)) == []
    expected, other = genesis(CHAIN_ID, ORIGIN).hex(), msgspec.structs.replace(first, prev_hash=bytes(32))
    assert link(other) == [finding("CHAIN_BREAK", expected, bytes(32).hex(), "x", 1, "prev_hash")]
    assert link(msgspec.structs.replace(other, seq=2)) == []
    of_another = genesis(bytes(16), ORIGIN).hex()
    assert link(first, chain_id=bytes(16)) == [
        finding("CHAIN_BREAK", of_another, first.prev_hash.hex(), "x", 1, "prev_hash")
    ]
    broken = link(msgspec.structs.replace(seam(3), prev_hash=bytes(32)), seam(2))
    assert broken == [finding("CHAIN_BREAK", seam(2).hash.hex(), bytes(32).hex(), "x", 3, "prev_hash")]
