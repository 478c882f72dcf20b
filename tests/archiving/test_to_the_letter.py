"""
Check findings and reports of archives to the letter: kind, place, what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.archiving.stores import FILE_LIMIT_BYTES
from ledger.chain import entry
from ledger.evidence import note, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import KEY, ORIGIN, WITNESS, chain, root, signed
from tests.archiving.written import EVENTS, SIZE, verify
from verifier.archive import verification
from verifier.archive.checkpoints import OF_EARLIER
from verifier.archive.seams import finding
from verifier.archive.verification import COVERED, NOT_COVERED, UNKNOWN_KEYS
from verifier.report import Finding
from verifier.stored import Unreadable

LEAVES = [tree.leaf_hash(entry.encode(event)) for event in EVENTS]
ABOVE = "tile/1/000.p/2"
"""The tile above those of the leaves."""


def test_a_finding_of_an_archive_names_the_file() -> None:
    """As the key of a row in no table of the database."""
    assert finding("CLOCK", "a", "b", "x/y") == Finding("CLOCK", "a", "b", None, "archive", ("x/y",), None)
    assert finding("CLOCK", "a", "b", "x/y", 7, "seq") == Finding("CLOCK", "a", "b", 7, "archive", ("x/y",), "seq")


def test_of_a_whole_archive_everything_is_said_that_was_read(archived: Path) -> None:
    """And what was not, and how far it is good."""
    report = verify(archived)
    assert 0 <= report.seconds < 600
    assert (report.verdict, report.origin, report.region_mode, report.events) == ("verified", ORIGIN, "archive", SIZE)
    assert report.head == {"seq": SIZE, "hash": EVENTS[-1].hash.hex(), "root": root(EVENTS).hex()}
    assert (report.findings, report.rows, report.last_good_seq) == ([], {"bundles": 3}, SIZE)
    assert (report.covered, report.not_covered, report.spans) == (COVERED, [*NOT_COVERED, EARLIER], None)
    (seen,) = report.checkpoints
    assert (seen.size, seen.accepted) == (SIZE, True)


def test_a_verification_says_how_long_it_took(archived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the thousandth of a second, by a clock that nobody sets."""
    clock = iter((10.0, 12.3456))
    monkeypatch.setattr(verification, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert verify(archived).seconds == 2.346


def test_of_a_part_everything_is_said_that_was_not_read(archived: Path) -> None:
    """Events, keys and times."""
    report = verify(archived, first=300, last=400)
    assert (report.rows, report.last_good_seq, report.spans) == ({"bundles": 1}, 0, [(257, 512)])
    assert report.head == {"seq": SIZE, "hash": "", "root": root(EVENTS).hex()}
    of = "of events 257 to 512: "
    assert report.covered == [
        f"{of}every byte of every entry, against the links between them and, by the tiles above, the signed root",
        f"{of}payloads and salts, against their entries; seqs, times, event ids, groups and request hashes",
        "every checkpoint in the archive: signatures, by keys that the policy has not revoked, the policy's quorum for "
        "the newest, and its root",
    ]
    assert report.not_covered == [
        *NOT_COVERED,
        EARLIER,
        "events 1 to 256, and the link of event 257 to them",
        "events 513 to 700",
        "which keys the chain's own events have revoked: only those of the policy's lines were known",
        "when events were recorded, against when witnesses had seen them: the whole archive is needed",
    ]
    first = verify(archived, last=1)
    assert (first.last_good_seq, first.spans) == (256, [(1, 256)])
    assert first.not_covered[len(NOT_COVERED) + 1] == "events 257 to 700"


EARLIER = f"7 {OF_EARLIER}"
Change = Callable[[Path], object]


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(FILE_LIMIT_BYTES + 1)


TOO_LONG = f"has more than {FILE_LIMIT_BYTES} bytes; no file of an archive has"
NOT_READ = (
    "payloads of events 257 to 512: their segment is not there, or is none, or it or their entries cannot be read, or "
    "an entry does not say how long its payload is"
)
FILE, SIGNED, OF_CHAIN = "a file of an archive", "a signed checkpoint of 300 entries", f"the chain file of {ORIGIN}"

CHANGED: list[tuple[str, Change, str, str, str, int]] = [
    ("segment/001", gone, "ARCHIVE_MISSING", "a file", "none", 256),
    ("segment/001", huge, "BYTES_MODIFIED", FILE, TOO_LONG, 256),
    ("segment/001", empty, "PAYLOAD_MISMATCH", "the payloads that the entries name",
     "found a segment that unpacks to 0 bytes or more; its entries say 29580", 256),
    ("tile/entries/001", gone, "ARCHIVE_MISSING", "a file", "none", 256),
    ("tile/entries/001", huge, "BYTES_MODIFIED", FILE, TOO_LONG, 256),
    ("tile/entries/001", empty, "BYTES_MODIFIED", "256 entries",
     "tile/entries/001 has 0 entries or more; expected 256", 256),
    ("tile/0/001", gone, "ARCHIVE_MISSING", "a file", "none", SIZE),
    ("tile/0/001", huge, "BYTES_MODIFIED", FILE, TOO_LONG, SIZE),
    ("tile/0/001", empty, "TREE_MISMATCH", "256 hashes",
     "found 0 bytes in tile/0/001; expected 256 hashes of 32", SIZE),
    (ABOVE, gone, "ARCHIVE_MISSING", "a tile", "none", SIZE),
    (ABOVE, huge, "TREE_MISMATCH", "2 hashes", TOO_LONG, SIZE),
    (ABOVE, empty, "TREE_MISMATCH", "2 hashes", f"found 0 bytes in {ABOVE}; expected 2 hashes of 32", SIZE),
    ("chain.json", gone, "BYTES_MODIFIED", OF_CHAIN, "no file", 0),
    ("chain.json", huge, "BYTES_MODIFIED", OF_CHAIN, TOO_LONG, 0),
    ("chain.json", empty, "BYTES_MODIFIED", OF_CHAIN,
     "found JSON of another shape, or none: Input data was truncated", 0),
    ("checkpoints/300", empty, "CHECKPOINT_SIG", SIGNED, "found a note's text that ends in ''; expected a newline",
     SIZE),
    ("checkpoints/300", huge, "CHECKPOINT_SIG", SIGNED, TOO_LONG, SIZE),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "kind", "expected", "actual", "last_good"), CHANGED)
def test_a_file_that_is_none_is_one_finding(
    copy: Path, name: str, change: Change, kind: str, expected: str, actual: str, last_good: int
) -> None:
    """Missing, empty, longer than any: of that file, and of nothing else; what is before its events is good."""
    change(copy / name)
    report = verify(copy)
    said = f"{copy / name} {actual}" if actual == TOO_LONG else actual
    assert report.findings == [finding(kind, expected, said, name)]
    assert (report.verdict, report.last_good_seq) == ("broken", last_good)
    assert report.not_covered == [
        *NOT_COVERED, *([NOT_READ] if name == "segment/001" else []),
        *([UNKNOWN_KEYS] if name.endswith("/001") and not name.startswith("tile/0/") else []), EARLIER,
    ]  # fmt: skip
    assert report.checkpoints[0].accepted


def test_of_several_segments_that_are_gone_the_events_are_counted(copy: Path) -> None:
    """The first run is named."""
    for name in ("segment/000", "segment/002.p/188"):
        (copy / name).unlink()
    report = verify(copy)
    not_read = NOT_READ.replace("257 to 512", "1 to 256 and 1 more such runs")
    assert report.not_covered == [*NOT_COVERED, not_read, UNKNOWN_KEYS, EARLIER]
    assert [one.key for one in report.findings] == [("segment/000",), ("segment/002.p/188",)]


THIEF, OTHER = SigningKey(ORIGIN, ED25519, bytes(32)), SigningKey("another.example/log", ED25519, bytes(32))
TEXT_256 = note.decode(signed(EVENTS, 256)).text


def by_the_witness_alone() -> bytes:
    return note.with_signatures(TEXT_256, [WITNESS.sign(TEXT_256, 1)]).encode()


@pytest.mark.parametrize(
    ("data", "actual"),
    [
        (signed(EVENTS, 300), f"a checkpoint of 300 entries of {ORIGIN}"),
        (signed(EVENTS, 256, THIEF, cosigned=False), f"found signatures under '{ORIGIN}' and none by a known key"),
        (signed(EVENTS, 256, THIEF), "no signature of its log"),
        (by_the_witness_alone(), "no signature of its log"),
        (signed(EVENTS, 256, OTHER, cosigned=False), f"found signatures under '{OTHER.name}' and none by a known key"),
        (signed(EVENTS, 256, OTHER), "no signature of its log"),
    ],
)
def test_an_older_checkpoint_is_signed_by_its_log(copy: Path, data: bytes, actual: str) -> None:
    """By another key of that name, by a witness, by another log, or of another size, it is none: nothing follows."""
    (copy / "checkpoints/256").write_bytes(data)
    report = verify(copy)
    expected = "a signed checkpoint of 256 entries"
    assert report.findings == [finding("CHECKPOINT_SIG", expected, actual, "checkpoints/256")]
    assert report.last_good_seq == SIZE


def test_an_older_checkpoint_needs_no_quorum_of_its_own(copy: Path) -> None:
    """The newest one has it, and begins with the same entries."""
    (copy / "checkpoints/256").write_bytes(signed(EVENTS, 256, cosigned=False))
    assert verify(copy).findings == []


def test_of_older_checkpoints_all_are_told_in_the_order_of_their_names(copy: Path) -> None:
    """Two of another history, one that is no note, one larger than the newest."""
    fork = chain(SIZE, seed=2)
    for size in (300, 256):
        (copy / f"checkpoints/{size}").write_bytes(signed(fork, size))
    larger = Checkpoint(ORIGIN, 800, bytes(32)).text()
    (copy / "checkpoints/800").write_bytes(note.with_signatures(larger, [KEY.sign(larger)]).encode())
    (copy / "checkpoints/1").write_bytes(b"x\n")
    none = "found a note without signatures; expected a blank line and at least one signature line"
    report = verify(copy)
    assert report.findings == [
        finding("CHECKPOINT_SIG", "a signed checkpoint of 1 entries", none, "checkpoints/1"),
        *(
            finding("CHECKPOINT_INCONSISTENT", root(EVENTS[:size]).hex(), root(fork[:size]).hex(),
                    f"checkpoints/{size}", column="root")
            for size in (256, 300)
        ),
        finding("ROLLBACK", f"at most {SIZE} entries, as the newest checkpoint says", "a signed checkpoint of 800",
                "checkpoints/800"),
    ]  # fmt: skip
    assert report.last_good_seq == 0


def test_of_files_that_belong_to_no_archive_twenty_are_named(copy: Path) -> None:
    """By their names; the others are counted. A tile or a segment beyond the end is one of them."""
    for number in range(30, 51):
        (copy / f"z{number}").write_text("")
    for name in ("checkpoints/0300", "segment/003", "tile/0/002.p/189", "checkpoints/x"):
        (copy / name).write_bytes(b"")
    names = ["checkpoints/0300", "checkpoints/x", "segment/003", "tile/0/002.p/189", *(f"z{n}" for n in range(30, 46))]
    said = f"files that belong to no archive: {', '.join(names)}"
    report = verify(copy)
    assert (report.verdict, report.not_covered) == ("verified", [*NOT_COVERED, f"{said} and 5 more", EARLIER])
    for number in range(46, 51):
        (copy / f"z{number}").unlink()
    assert verify(copy).not_covered == [*NOT_COVERED, said, EARLIER]


def test_what_an_auditor_kept_needs_no_signature(archived: Path) -> None:
    """It is believed because it was kept: its text is held against the archive as it stands."""
    for size in (300, SIZE):
        text = note.decode(signed(EVENTS, size)).text
        assert verify(archived, expected=(("mine", f"{text}\n".encode()),)).findings == []
        other = Checkpoint(ORIGIN, size, bytes(32)).text()
        (found,) = verify(archived, expected=(("mine", f"{other}\n".encode()),)).findings
        assert (found.kind, found.expected) == ("CHECKPOINT_INCONSISTENT", f"{other}\n")


def test_where_no_tile_is_above_a_part_that_is_said_too(copy: Path) -> None:
    """The one that is gone, and that nothing leads from the part to the root without it."""
    (copy / ABOVE).unlink()
    assert verify(copy, first=513).findings == [
        finding("ARCHIVE_MISSING", "a tile", "none", ABOVE),
        finding("ARCHIVE_MISSING", f"tiles that make the root of {SIZE} entries",
                f"found no such tile for {ABOVE}; expected 2 hashes", "checkpoint"),
    ]  # fmt: skip


def test_where_the_tile_above_a_part_leads_elsewhere_that_is_said(copy: Path) -> None:
    """Of the part that it is above, that one of its hashes is another; of one beside it, that its root is."""
    of_first, of_second = (tiles.subtree_hash(LEAVES[start : start + 256]) for start in (0, 256))
    (copy / ABOVE).write_bytes(of_first + bytes(32))
    rest = [tree.root_of(_nodes_of(LEAVES[512:]), SIZE - 512)]
    made = tree.node_hash(tree.node_hash(of_first, bytes(32)), *rest)
    of_root = finding("TREE_MISMATCH", root(EVENTS).hex(), made.hex(), "checkpoint", column="root")
    assert verify(copy, first=513).findings == [of_root]
    of_tile = finding("TREE_MISMATCH", of_second.hex(), bytes(32).hex(), ABOVE, column="hash 1")
    assert verify(copy, first=257).findings == [of_tile, of_root]


def test_where_tiles_lead_elsewhere_it_is_said_which_root_they_have(copy: Path) -> None:
    """Of a checkpoint that was kept: it is neither the archive's nor a fork's, as far as can be told."""
    (copy / ABOVE).write_bytes(bytes(64))
    (copy / "tile/entries/002.p/188").unlink()
    made = tree.node_hash(bytes(32), tree.root_of(_nodes_of(LEAVES[256:]), 44))
    said = f"tiles that have root {made.hex()} there, and lead to another than the newest root"
    expected = finding("TREE_MISMATCH", "tiles or entries that make the root of 300 entries", said, "checkpoint")
    assert expected in verify(copy, expected=(("mine", signed(EVENTS, 300)),)).findings


def _nodes_of(leaves: list[bytes]) -> tree.ReadNodes:
    def subtree(level: int, index: int) -> bytes:
        edge = tree.Frontier()
        for leaf in leaves[index << level : index + 1 << level]:
            edge.add(leaf)
        return edge.root()

    return lambda nodes: [subtree(*node) for node in nodes]


def test_a_file_of_the_chain_that_is_too_long_says_no_origin(copy: Path) -> None:
    """So that a checkpoint of nobody is held against no log of the policy."""
    path = copy / "checkpoint"
    path.write_bytes(path.read_bytes().replace(ORIGIN.encode(), b"x" * len(ORIGIN)))
    with (copy / "chain.json").open("wb") as file:
        file.truncate(FILE_LIMIT_BYTES + 1)
    with pytest.raises(Unreadable, match=r"for other logs \(ledger\.example/trades\), and checkpoint is of x+"):
        verify(copy)
