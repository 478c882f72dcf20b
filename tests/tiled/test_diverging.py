"""
Find where two copies part: archives of made-up histories, and databases of which one went its own way.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger.archiving.stores import Folder
from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.evidence import tiles, tree
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import Tile
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade
from tests.archiving import chains
from tests.conftest import ORIGIN
from tests.sealing.regions import append
from tests.tiled.sealed import Sealed, archived, silent, stands
from tests.verifier.intruder import Intruder, copied
from verifier.report import Finding
from verifier.stored import Unreadable
from verifier.tiled import diverging
from verifier.tiled.archives import Archive
from verifier.tiled.copies import cut
from verifier.tiled.databases import Region


class Held:
    """A copy in memory, whose tiles may end before its events do, or lie."""

    def __init__(self, name: str, events: tuple[RecordedEvent, ...], tiled: int | None = None) -> None:
        self.name, self.requests, self.events = name, 0, events
        self.reigns_in: int | None = None
        self.place = name
        self.origin, self.chain_id = chains.ORIGIN, events[0].chain_id if events else chains.CHAIN_ID
        self._tiled = len(events) if tiled is None else tiled
        gained = TileEdge().extend([tree.leaf_hash(entries.encode(event)) for event in events[: self._tiled]])
        self.rows = [b"".join(row) for row in gained]

    def size(self) -> int:
        return self.events[-1].seq if self.events else 0

    def end(self, size: int) -> list[Finding]:
        return []

    def tree_size(self) -> int:
        return self._tiled

    def tile_hashes(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        self.requests += 1
        found = {}
        for tile in wanted:
            row = self.rows[tile.level] if tile.level < len(self.rows) else b""
            hashes = cut(row[tile.number * tiles.WIDTH * 32 :], tile)
            if hashes is not None:
                found[tile] = hashes
        return found

    def between(self, first: int, last: int) -> Iterator[RecordedEvent]:
        self.requests += 1
        return iter([event for event in self.events[max(0, first - 2) : last + 1] if first <= event.seq <= last])


def edited(events: tuple[RecordedEvent, ...], seq: int, actor: str = "somebody else") -> tuple[RecordedEvent, ...]:
    """Return the events with one changed, and every one after it linked anew."""
    made, before = list(events[: seq - 1]), events[seq - 2].hash if seq > 1 else events[0].prev_hash
    for event in events[seq - 1 :]:
        event = msgspec.structs.replace(event, prev_hash=before, actor=actor if event.seq == seq else event.actor)
        before = blake3(entries.encode(event)).digest()
        made.append(msgspec.structs.replace(event, hash=before))
    return tuple(made)


EVENTS = chains.chain(1300)


@pytest.mark.parametrize("seq", [1, 2, 255, 256, 257, 512, 513, 600, 1024, 1025, 1279, 1280, 1281, 1299, 1300])
@pytest.mark.parametrize("tiled", [None, 0, 1, 256, 700, 1280])
def test_the_first_event_that_differs_is_found_in_a_few_requests(seq: int, tiled: int | None) -> None:
    """Wherever it is, with the tiles of both, of one up to somewhere, or of none: by the logarithm of the length."""
    left, right = Held("A", EVENTS), Held("B", edited(EVENTS, seq), tiled)
    report = diverging.compare(left, right, silent)
    assert report.verdict == "broken"
    assert stands(report.findings) == [
        ("DIVERGENCE", seq, None, None, "actor"),
        ("DIVERGENCE", seq, None, None, "hash"),
    ]
    assert report.findings[0].expected == "A: engine-1"
    assert report.findings[0].actual == "B: somebody else"
    assert report.last_good_seq == seq - 1
    assert max(left.requests, right.requests) <= 2 * math.log2(len(EVENTS)) + 4
    assert f"in {left.requests} requests to A and {right.requests} to B" in " ".join(report.covered)
    if tiled is None:
        assert max(left.requests, right.requests) <= 10


def test_requests_grow_with_the_logarithm_of_the_length() -> None:
    """Sixteen times as many events cost four steps more where there are no tiles, and no more where there are."""
    spent = {}
    for size in (80, 1280):
        for tiled in (0, None):
            left, right = Held("A", EVENTS[:size], tiled), Held("B", edited(EVENTS[:size], size - 7), tiled)
            diverging.compare(left, right, silent)
            spent[size, tiled] = left.requests
    assert spent[1280, 0] - spent[80, 0] <= 5
    assert spent[1280, None] - spent[80, None] <= 2


@pytest.mark.parametrize("size", [1, 255, 256, 700, 1299])
def test_a_copy_that_is_only_shorter_does_not_differ(size: int) -> None:
    report = diverging.compare(Held("A", EVENTS), Held("B", EVENTS[:size]), silent)
    assert (report.verdict, report.findings, report.last_good_seq) == ("verified", [], size)
    assert f"events {size + 1} to 1300, which A has and B has not" in report.not_covered


def test_tiles_that_lie_are_not_believed() -> None:
    """A tile whose leaf is no event's is named, and what differs is found by the links; nothing else is made up."""
    right = Held("B", EVENTS)
    right.rows[0] = right.rows[0][: 32 * 700] + bytes(32) + right.rows[0][32 * 701 :]
    right.rows[1] = right.rows[1][: 32 * 2] + bytes(32) + right.rows[1][32 * 3 :]
    assert stands(diverging.compare(Held("A", EVENTS), right, silent).findings) == [
        ("TREE_MISMATCH", 701, "tiles", ("0", "2"), "hashes[188]")
    ]
    other = Held("B", edited(EVENTS, 900))
    other.rows = right.rows
    found = stands(diverging.compare(Held("A", EVENTS), other, silent).findings)
    assert found[0] == ("TREE_MISMATCH", 701, "tiles", ("0", "2"), "hashes[188]")
    assert found[1:] == [("DIVERGENCE", 900, None, None, "actor"), ("DIVERGENCE", 900, None, None, "hash")]
    # One that hides the difference: the tiles are those of the other copy.
    hiding = Held("B", edited(EVENTS, 900))
    hiding.rows = Held("A", EVENTS).rows
    found = stands(diverging.compare(Held("A", EVENTS), hiding, silent).findings)
    assert found == [("DIVERGENCE", 900, None, None, "actor"), ("DIVERGENCE", 900, None, None, "hash")]


@pytest.mark.parametrize("place", [0, 3, 4])
@pytest.mark.parametrize("differs", [0, 900])
def test_upper_tiles_that_differ_where_those_below_do_not_are_told_apart(place: int, differs: int) -> None:
    """Proofs are made of them: one copy answers with a hash that no event has a part in, and it is named."""
    left, right = Held("A", EVENTS), Held("B", edited(EVENTS, differs) if differs else EVENTS)
    right.rows[1] = right.rows[1][: 32 * place] + bytes(32) + right.rows[1][32 * (place + 1) :]
    if not differs or place < 3:
        lying = ("TREE_MISMATCH", None, "tiles", ("1", "0"), f"hashes[{place}]")
        after = [("DIVERGENCE", 900, None, None, name) for name in ("actor", "hash")] if differs else []
        for report in (diverging.compare(left, right, silent), diverging.compare(right, left, silent)):
            assert (report.verdict, stands(report.findings)) == ("broken", [lying, *after])
            assert report.findings[0].expected.endswith("of the tile below in B")
            assert report.last_good_seq == (differs - 1 if differs else 1300)
    both = Held("A", EVENTS)
    both.rows[1] = right.rows[1][: 32 * place] + b"1" * 32 + right.rows[1][32 * (place + 1) :]
    if not differs:
        assert [one.expected.split()[-1] for one in diverging.compare(both, right, silent).findings] == ["A", "B"]


def test_an_upper_tile_in_a_database_is_told_apart(made: Sealed, copy: Sealed) -> None:
    """And what was not led to is said to be left out."""
    with Intruder(copy.database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40))"
                      " WHERE level = 1")  # fmt: skip
    with made.region() as left, copy.region() as right:
        report = diverging.compare(left, right, silent)
    assert stands(report.findings) == [("TREE_MISMATCH", None, "tiles", ("1", "0"), "hashes[1]")]
    assert (report.verdict, report.last_good_seq) == ("broken", 1305)
    assert any("tiles that no difference led to" in words for words in report.not_covered)


def test_an_event_that_was_read_and_differs_is_told_though_the_links_go_on() -> None:
    """Changed with its own hash alone, and a tile that lies there: they agree up to it, and no further."""
    events = list(EVENTS)
    events[700] = edited(EVENTS, 701)[700]
    right = Held("B", EVENTS)
    right.events = tuple(events)
    right.rows[0] = right.rows[0][: 32 * 700] + bytes(32) + right.rows[0][32 * 701 :]
    right.rows[1] = right.rows[1][: 32 * 2] + bytes(32) + right.rows[1][32 * 3 :]
    report = diverging.compare(Held("A", EVENTS), right, silent)
    assert stands(report.findings) == [
        ("TREE_MISMATCH", 701, "tiles", ("0", "2"), "hashes[188]"),
        ("DIVERGENCE", 701, None, None, "actor"), ("DIVERGENCE", 701, None, None, "hash"),
    ]  # fmt: skip
    assert (report.last_good_seq, report.covered[0]) == (700, "both hold the same history up to event 700")


def test_an_event_that_is_missing_or_not_what_its_hash_says_is_named() -> None:
    gone = (*EVENTS[:600], *EVENTS[601:])
    other = Held("B", edited(EVENTS, 601))
    other.events = (*other.events[:600], *other.events[601:])
    found = stands(diverging.compare(Held("A", EVENTS), other, silent).findings)
    assert ("SEQ_GAP", 601, None, None, "seq") in found
    changed = list(edited(EVENTS, 601))
    changed[600] = msgspec.structs.replace(changed[600], source="x")
    other.events = tuple(changed)
    found = stands(diverging.compare(Held("A", EVENTS), other, silent).findings)
    assert ("BYTES_MODIFIED", 601, None, None, None) in found
    assert ("DIVERGENCE", 601, None, None, "source") in found
    del gone


def test_an_archive_is_a_copy(tmp_path: Path) -> None:
    """Held against another, and against one that cannot be read."""
    stores = [Folder(archived(tmp_path / name, events)) for name, events in
              (("a", EVENTS[:700]), ("b", edited(EVENTS[:700], 555)), ("c", EVENTS[:700]))]  # fmt: skip
    first, second, third = map(Archive, stores)
    found = stands(diverging.compare(first, second, silent).findings)
    assert found == [("DIVERGENCE", 555, None, None, "actor"), ("DIVERGENCE", 555, None, None, "hash")]
    assert diverging.compare(first, third, silent).verdict == "verified"
    (tmp_path / "b/segment/002.p/188").unlink()
    with pytest.raises(Unreadable, match="verify the archive"):
        diverging.compare(first, Archive(stores[1]), silent)


def cut_off(intruder: Intruder, size: int) -> None:
    """Leave of a chain what a copy has that is only behind."""
    intruder.edit("events", "DELETE FROM ledger.events WHERE seq > %s", size)
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = %s", size)
    intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size > %s", size)
    kept = f"({size} >> 8 * level) - 256 * number"
    intruder.edit("tiles", f"DELETE FROM ledger.tiles WHERE {kept} <= 0")
    intruder.edit("tiles", f"UPDATE ledger.tiles SET hashes = substr(hashes, 1, (32 * ({kept}))::int)")


def test_two_databases_are_held_against_each_other(made: Sealed, copy: Sealed) -> None:
    """Both the primary; the same; one that is shorter; then one whose event was changed, and every hash after it."""
    with made.region() as left, copy.region() as right:
        right.name = "B"
        assert stands(diverging.compare(left, right, silent).findings) == [
            ("TWO_PRIMARIES", None, "chain_heads", (ORIGIN,), "mode")
        ]
    with Intruder(copy.database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
    with made.region() as left, copy.region() as right:
        right.name = "B"
        report = diverging.compare(left, right, silent)
        assert (report.verdict, report.last_good_seq) == ("verified", 1305)
    with copied(copy.database) as shorter, Intruder(shorter) as intruder:
        for last in (900, 0):
            intruder.edit("events", "DELETE FROM ledger.events WHERE seq > %s", last)
            with made.region() as left, Sealed(shorter, "", "").region() as right:
                # What its head names it had: that is no copy which is only behind.
                report = diverging.compare(left, right, silent)
                assert stands(report.findings) == [("TRUNCATED", last + 1, None, None, "seq")]
                assert report.last_good_seq == last
    with copied(copy.database) as shorter, Intruder(shorter) as intruder:
        cut_off(intruder, 900)
        with made.region() as left, Sealed(shorter, "", "").region() as right:
            report = diverging.compare(left, right, silent)
            assert (report.verdict, report.last_good_seq) == ("verified", 900)
    with Intruder(copy.database) as intruder:
        # Linked anew, one after the other, by the verifier's own reading of them.
        with copy.region() as region:
            events = edited(tuple(region.between(1, 1305)), 800)
        for event in events[799:]:
            intruder.edit("events", "UPDATE ledger.events SET actor = %s, prev_hash = %s, hash = %s WHERE seq = %s",
                          event.actor, event.prev_hash, event.hash, event.seq)  # fmt: skip
    with made.region() as left, copy.region() as right:
        report = diverging.compare(left, right, silent)
    assert stands(report.findings) == [
        ("DIVERGENCE", 800, None, None, "actor"),
        ("DIVERGENCE", 800, None, None, "hash"),
    ]
    assert left.requests <= 2 * math.log2(1305) + 8


HEADLESS = ("HEAD_MISMATCH", None, "chain_heads", (ORIGIN,), None)
AT_900 = [
    ("TRUNCATED", 901, None, None, "seq"),
    ("TRUNCATED", 901, "checkpoints", ("1300",), "size"),
]
"""What tiles and a checkpoint say of a copy that has 900 events."""


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        ("DELETE FROM ledger.chain_heads", [HEADLESS, *AT_900]),
        ("UPDATE ledger.chain_heads SET seq = NULL",
         [("HEAD_MISMATCH", None, "chain_heads", (ORIGIN,), "seq"), *AT_900]),
        ("UPDATE ledger.chain_heads SET seq = 800",
         [("HEAD_MISMATCH", None, "chain_heads", (ORIGIN,), "seq"), *AT_900]),
        ("UPDATE ledger.chain_heads SET seq = 900", AT_900),
        ("DELETE FROM ledger.tiles; DELETE FROM ledger.chain_heads", [HEADLESS, AT_900[1]]),
        ("DELETE FROM ledger.tiles; DELETE FROM ledger.checkpoints; DELETE FROM ledger.chain_heads", [HEADLESS]),
    ],
)  # fmt: skip
def test_a_copy_that_was_cut_off_is_told_whatever_its_head_says(
    made: Sealed, copy: Sealed, edit: str, found: list[object]
) -> None:
    with Intruder(copy.database) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.chain_heads ALTER seq DROP NOT NULL")
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq > 900")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        for one in edit.split("; "):
            intruder.edit(one.split("ledger.")[1].split()[0], one, least=1)
    with made.region() as left, copy.region() as right:
        right.name = "B"
        for report in (diverging.compare(left, right, silent), diverging.compare(right, left, silent)):
            assert (report.verdict, report.last_good_seq, stands(report.findings)) == ("broken", 900, found)
            assert all(finding.actual.endswith(" in B") for finding in report.findings)


JUNK = (
    "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at)"
    " SELECT chain, 9000, root, {}, sealed_at + 1 FROM ledger.checkpoints WHERE size = 1300"
)
OF_9000 = ("CHECKPOINT_SIG", None, "checkpoints", ("9000",), "note")


def tile(number: int, column: str | None = None) -> tuple[str, None, str, tuple[str, str], str | None]:
    return ("TREE_MISMATCH", None, "tiles", ("0", str(number)), column)


@pytest.mark.parametrize(
    ("edit", "last", "found"),
    [
        (JUNK.format("note"), 1305, [OF_9000]),
        (JUNK.format("replace(note, E'\\n1300\\n', E'\\n9000\\n')"), 1305, [OF_9000]),
        # A row that nobody signed hides none that somebody did.
        (JUNK.format("note"), 900, [OF_9000, AT_900[1]]),
        ("INSERT INTO ledger.tiles SELECT chain, 0, 77, hashes FROM ledger.tiles WHERE level = 0 AND number = 1", 1305,
         [tile(77)]),
        ("INSERT INTO ledger.tiles SELECT chain, 0, 6, hashes FROM ledger.tiles WHERE level = 0 AND number = 1", 1305,
         [tile(6)]),
        ("INSERT INTO ledger.tiles SELECT chain, 0, 4, NULL FROM ledger.tiles WHERE level = 0 AND number = 1", 900,
         [tile(4, "hashes")]),
        ("UPDATE ledger.tiles SET hashes = NULL WHERE level = 0 AND number = 3", 900, [tile(3, "hashes")]),
        ("UPDATE ledger.tiles SET hashes = substr(hashes, 1, 4000) || '!' WHERE level = 0 AND number = 3", 900,
         [tile(3, "hashes")]),
        ("UPDATE ledger.tiles SET hashes = '' WHERE level = 0 AND number = 3", 900, [tile(3, "hashes")]),
        ("INSERT INTO ledger.chain_heads SELECT chain, seq - 5, hash, recorded_at, epoch, mode, unbalanced"
         " FROM ledger.chain_heads", 1305, [("HEAD_MISMATCH", None, "chain_heads", (ORIGIN,), None)]),
    ],
)  # fmt: skip
def test_a_row_that_says_nothing_of_the_end_is_wrong_itself(
    made: Sealed, copy: Sealed, edit: str, last: int, found: list[object]
) -> None:
    """No event is missed for what nobody signed, and a copy is not whole beside it."""
    with Intruder(copy.database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        intruder.connection.execute("ALTER TABLE ledger.chain_heads DROP CONSTRAINT chain_heads_pkey CASCADE")
        intruder.connection.execute(
            "ALTER TABLE ledger.tiles ALTER hashes DROP NOT NULL, DROP CONSTRAINT tiles_whole_hashes"
        )
        if last < 1305:
            signed = "SELECT chain, size, root, note, sealed_at FROM ledger.checkpoints WHERE size = 1300"
            (kept,) = intruder.connection.execute(signed).fetchall()
            cut_off(intruder, last)
            if "checkpoints" in edit:
                put = "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) VALUES (%s, %s, %s, %s, %s)"
                intruder.edit("checkpoints", put, *kept)
        intruder.edit(edit.split("ledger.")[1].split()[0], edit, least=1)
    with made.region() as left, copy.region() as right:
        right.name = "B"
        for report in (diverging.compare(left, right, silent), diverging.compare(right, left, silent)):
            assert (report.verdict, report.last_good_seq, stands(report.findings)) == ("broken", last, found)
            assert all(finding.actual.endswith(" in B") for finding in report.findings)


def test_a_backup_is_no_second_primary_until_it_goes_on(made: Sealed, copy: Sealed) -> None:
    """What it says of itself is what its original said, and whoever compares them says which is which."""
    with made.region() as left, copy.region() as right:
        report = diverging.compare(left, right, silent, backup=True)
        assert report.verdict == "verified"
        assert diverging.IS_BACKUP in report.not_covered
    append(copy.database, 1)
    with made.region() as left, copy.region() as right:
        longer = diverging.compare(left, right, silent, backup=True)
        assert [finding.kind for finding in longer.findings] == ["TWO_PRIMARIES"]
        assert diverging.compare(right, left, silent, backup=True).verdict == "verified"
    with Intruder(copy.database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
    with made.region() as left, copy.region() as right:
        assert diverging.IS_BACKUP not in diverging.compare(left, right, silent, backup=True).not_covered


def test_a_standby_is_no_second_primary(tmp_path: Path) -> None:
    """A server in recovery has its primary's rows, the one about who reigns included, and can write none."""
    first = Server.start(tmp_path / "first")
    try:
        upgrade.upgrade(first.dsn("owner"))
        create_chain(first.dsn("owner"), ORIGIN, [], [("writer", "engine")])
        first.stop()
        subprocess.run(["cp", "-a", tmp_path / "first", tmp_path / "second"], check=True)
        first.restart()
        (tmp_path / "second/data/standby.signal").touch()
        second = Server.start(tmp_path / "second")
        try:
            with Region(first.dsn("auditor"), ORIGIN) as left, Region(second.dsn("auditor"), ORIGIN) as right:
                assert (left.reigns_in, right.reigns_in) == (1, None)
                assert diverging.compare(left, right, silent).findings == []
        finally:
            second.stop()
    finally:
        first.stop()


def test_one_place_is_not_compared_with_itself(made: Sealed, tmp_path: Path) -> None:
    """A copied line in which one address was not changed is no good news."""
    store = Folder(archived(tmp_path / "a", EVENTS[:700]))
    with pytest.raises(Unreadable, match="are one place, so that nothing was compared"):
        diverging.compare(Archive(store), Archive(store), silent)
    with made.region() as left, made.region() as right, pytest.raises(Unreadable, match="are one place"):
        diverging.compare(left, right, silent)


def test_two_chains_and_empty_copies_are_not_compared(made: Sealed) -> None:
    with made.region() as left, pytest.raises(Unreadable, match="name two copies of one chain"):
        diverging.compare(left, Held("B", EVENTS), silent)
    with pytest.raises(Unreadable, match="B has no events"):
        diverging.compare(Held("A", EVENTS), Held("B", ()), silent)
    # One origin and another id: not even the first event is the same.
    other = edited(tuple(msgspec.structs.replace(event, chain_id=bytes(16)) for event in EVENTS), 1, "engine-1")
    found = stands(diverging.compare(Held("A", EVENTS), Held("B", other), silent).findings)
    assert ("DIVERGENCE", 1, None, None, "chain_id") in found
