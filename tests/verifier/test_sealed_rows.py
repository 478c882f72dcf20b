"""
Check how stored tiles and checkpoints are held against the events, in memory: one hash or number changed at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest

from ledger.chain import entry
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import WIDTH
from ledger.evidence.tree import HASH_BYTES
from tests.archiving import chains
from verifier.report import Finding
from verifier.sealed import BEHIND_NS, CLOCKS_NS, SealedCheck, not_here_yet
from verifier.stored import CheckpointRow

SIZE = 700
HISTORY = chains.chain(SIZE)
LEAVES = [tree.leaf_hash(entry.encode(event)) for event in HISTORY]
NOW = HISTORY[-1].recorded_at + 3600 * 10**9
SIZES = (256, 300, 511, 700)
ROOTS = {size: chains.root(HISTORY[:size]) for size in (*SIZES, 1, 257)}
ROWS = [CheckpointRow(size, ROOTS[size], b"", HISTORY[size - 1].recorded_at + 5) for size in SIZES]

Tiles = dict[int, list[tuple[int, bytes]]]
"""The stored tiles of each level, as (number, hashes)."""


def tiles_of(size: int) -> Tiles:
    found: Tiles = {}
    for level, hashes in enumerate(TileEdge().extend(LEAVES[:size])):
        rows = [hashes[start : start + WIDTH] for start in range(0, len(hashes), WIDTH)]
        found[level] = [(number, b"".join(row)) for number, row in enumerate(rows)]
    return found


GOOD = tiles_of(SIZE)


def sealed(
    tiles: Tiles = GOOD,
    rows: Sequence[CheckpointRow] = ROWS,
    expected: Sequence[Checkpoint] = (),
    size: int = SIZE,
    seqs: Sequence[int] = range(1, SIZE + 1),
) -> list[Finding]:
    def read(level: int) -> Iterator[tuple[int, bytes]]:
        return iter(tiles.get(level, []))

    check = SealedCheck(size, read, iter(rows), NOW, expected)
    assert check.is_empty == (not rows and not expected and not any(tiles.values()))
    found = [one for seq in seqs for one in check.take(seq, HISTORY[seq - 1].recorded_at, LEAVES[seq - 1])]
    return found + check.end()


def wrong(
    level: int, number: int, expected: str, actual: str, column: str | None = None, seq: int | None = None
) -> Finding:
    return Finding("TREE_MISMATCH", expected, actual, seq, "tiles", (str(level), str(number)), column)


def of_row(size: int, column: str, expected: str, actual: str, kind: str = "TREE_MISMATCH") -> Finding:
    return Finding(kind, expected, actual, size, "checkpoints", (str(size),), column)


def with_tile(level: int, number: int, change: Callable[[bytes], bytes | None]) -> Tiles:
    """Return the good tiles with one changed, or without it."""
    rows = [(n, change(data) if n == number else data) for n, data in GOOD[level]]
    return {**GOOD, level: [(n, data) for n, data in rows if data is not None]}


def put_in(place: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[: place * 32] + new + data[place * 32 + 32 :]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 600, 700])
def test_tiles_as_they_were_made_are_good(size: int) -> None:
    """Of all events, or of fewer: they are made behind the writer."""
    assert sealed(tiles_of(size), size=size) == []


def test_what_is_empty_has_nothing_wrong() -> None:
    """No tile, no checkpoint."""
    assert sealed({}, [], size=0) == []


ZERO = bytes(32)
CHANGED: list[tuple[Tiles, list[Finding]]] = [
    (with_tile(0, 1, put_in(44, ZERO)), [wrong(0, 1, LEAVES[300].hex(), ZERO.hex(), "hashes[44]", 301)]),
    (with_tile(0, 0, put_in(0, ZERO)), [wrong(0, 0, LEAVES[0].hex(), ZERO.hex(), "hashes[0]", 1)]),
    (with_tile(0, 0, put_in(255, ZERO)), [wrong(0, 0, LEAVES[255].hex(), ZERO.hex(), "hashes[255]", 256)]),
    (with_tile(0, 2, put_in(187, ZERO)), [wrong(0, 2, LEAVES[699].hex(), ZERO.hex(), "hashes[187]", 700)]),
    (with_tile(1, 0, put_in(1, ZERO)), [wrong(1, 0, GOOD[1][0][1][32:].hex(), ZERO.hex(), "hashes[1]")]),
    (with_tile(0, 0, lambda data: None), [wrong(0, 0, "a tile", "no such row")]),
    (with_tile(0, 1, lambda data: None), [wrong(0, 1, "a tile", "no such row")]),
    (with_tile(0, 2, lambda data: None), [wrong(0, 2, "a tile", "no such row")]),
    (with_tile(1, 0, lambda data: None), [wrong(1, 0, "a tile", "no such row")]),
    (with_tile(0, 2, lambda data: data[:-32]), [wrong(0, 2, LEAVES[699].hex(), "no such hash", "hashes[187]", 700)]),
    (with_tile(0, 2, lambda data: data[:-31]),
     [wrong(0, 2, LEAVES[699].hex(), LEAVES[699][:1].hex(), "hashes[187]", 700)]),
    (with_tile(0, 2, lambda data: data + ZERO), [wrong(0, 2, "188 hashes", "189 of them")]),
    (with_tile(1, 0, lambda data: data + ZERO), [wrong(1, 0, "2 hashes", "3 of them")]),
    (with_tile(0, 1, lambda data: data + b"x"), [wrong(0, 1, "no such row", "a row")]),
    ({**GOOD, 0: [(-1, b""), *GOOD[0]]}, [wrong(0, -1, "no such row", "a row")]),
    ({**GOOD, 0: [*GOOD[0], (3, ZERO)]}, [wrong(0, 3, "0 hashes", "1 of them")]),
    ({**GOOD, 2: [(0, ZERO)]}, [wrong(2, 0, "0 hashes", "1 of them")]),
    ({**GOOD, 7: [(9, ZERO)]}, [wrong(7, 9, "0 hashes", "1 of them")]),
    ({**GOOD, 2: [(-1, b"")]}, [wrong(2, -1, "no such row", "a row")]),
    ({**GOOD, 2: [(-2, b""), (-1, ZERO), (0, ZERO)]},
     [wrong(2, -2, "no such row", "a row"), wrong(2, -1, "no such row", "a row"),
      wrong(2, 0, "0 hashes", "1 of them")]),
]  # fmt: skip


@pytest.mark.parametrize(("tiles", "expected"), CHANGED)
def test_a_changed_tile_is_one_finding_with_its_place(tiles: Tiles, expected: list[Finding]) -> None:
    """Of a leaf it says the event."""
    assert sealed(tiles) == expected


def test_behind_a_missing_tile_the_next_is_held_against_the_events() -> None:
    """Though both were waited for at once, where a checkpoint stands inside a tile."""
    tiles = with_tile(0, 1, lambda data: None)
    tiles[0] = [*tiles[0][:1], (2, put_in(8, ZERO)(tiles[0][1][1]))]
    assert sealed(tiles, ROWS[1:2]) == [
        wrong(0, 1, "a tile", "no such row"), wrong(0, 2, LEAVES[520].hex(), ZERO.hex(), "hashes[8]", 521)
    ]  # fmt: skip


def test_what_is_stored_past_the_count_of_leaves_is_named() -> None:
    """Though the hashes are of the events; and a count beyond them has no tiles to show."""
    assert sealed(GOOD, size=600) == [wrong(0, 2, "88 hashes", "188 of them")]
    assert sealed(GOOD, size=500) == [
        wrong(0, 1, "244 hashes", "256 of them"), wrong(0, 2, "0 hashes", "188 of them"),
        wrong(1, 0, "1 hashes", "2 of them"),
    ]  # fmt: skip
    assert sealed(GOOD, size=10_000) == []
    short = sealed(GOOD, ROWS[:2], seqs=range(1, 301))
    assert short == [
        wrong(0, 1, "44 hashes", "256 of them"), wrong(0, 2, "0 hashes", "188 of them"),
        wrong(1, 0, "1 hashes", "2 of them"),
    ]  # fmt: skip


def test_a_changed_checkpoint_is_one_finding_with_its_column() -> None:
    """Its root, or its size: that it is there twice, of nothing, or of more events than there are."""
    other = msgspec.structs.replace(ROWS[1], root=ZERO)
    assert sealed(rows=[ROWS[0], other, *ROWS[2:]]) == [of_row(300, "root", ROOTS[300].hex(), ZERO.hex())]
    assert sealed(rows=[*ROWS[:2], ROWS[1], *ROWS[2:]]) == [of_row(300, "size", "1 or more, each once", "300")]
    for size in (0, -5):
        none = msgspec.structs.replace(ROWS[0], size=size)
        assert sealed(rows=[none, *ROWS]) == [of_row(size, "size", "1 or more, each once", str(size))]
    more = [msgspec.structs.replace(ROWS[3], size=size) for size in (701, 900)]
    assert sealed(rows=[*ROWS, *more]) == [
        Finding("TRUNCATED", f"{row.size} events, which a checkpoint covers", "700 events", 701, "checkpoints",
                (str(row.size),), "size") for row in more
    ]  # fmt: skip
    last = [msgspec.structs.replace(ROWS[3], size=701), ROWS[3]]
    assert [one.kind for one in sealed(rows=[*ROWS[:3], *last])] == ["TRUNCATED", "TRUNCATED"]


def test_of_a_chain_without_events_no_checkpoint_is_good() -> None:
    """One of an event or more covers what was cut off; one of none, or of less, belongs nowhere."""
    rows = [CheckpointRow(size, ZERO, b"", NOW) for size in (-5, 0, 1)]
    assert sealed({}, rows, size=0, seqs=()) == [
        *(of_row(size, "size", "1 or more, each once", str(size)) for size in (-5, 0)),
        Finding("TRUNCATED", "1 events, which a checkpoint covers", "0 events", 1, "checkpoints", ("1",), "size"),
    ]  # fmt: skip


def test_a_checkpoint_that_is_there_twice_hides_no_other() -> None:
    """Those behind it are held against the events, at the next event too, and none has to be there."""
    twice = of_row(256, "size", "1 or more, each once", "256")
    assert sealed(rows=[ROWS[0], ROWS[0]]) == [twice]
    good = CheckpointRow(257, ROOTS[257], b"", ROWS[0].sealed_at)
    bad = msgspec.structs.replace(good, root=ZERO)
    assert sealed(rows=[ROWS[0], ROWS[0], good]) == [twice]
    assert sealed(rows=[ROWS[0], ROWS[0], bad]) == [twice, of_row(257, "root", ROOTS[257].hex(), ZERO.hex())]


AT = HISTORY[299].recorded_at
TIMES: list[tuple[int, int, int | None]] = [
    (ROWS[0].sealed_at, AT - BEHIND_NS, None),
    (ROWS[0].sealed_at, AT - BEHIND_NS - 1, AT - BEHIND_NS),
    (ROWS[0].sealed_at, NOW + CLOCKS_NS, None),
    (ROWS[0].sealed_at, NOW + CLOCKS_NS + 1, AT - BEHIND_NS),
    # Not before the checkpoint below it either.
    (NOW - 5, NOW - 5 - BEHIND_NS, None),
    (NOW - 5, NOW - 6 - BEHIND_NS, NOW - 5 - BEHIND_NS),
]


@pytest.mark.parametrize(("before", "sealed_at", "earliest"), TIMES)
def test_a_checkpoint_was_sealed_between_its_events_and_now(before: int, sealed_at: int, earliest: int | None) -> None:
    """And not before the one below it, but for as much as clocks may differ."""
    rows = [msgspec.structs.replace(ROWS[0], sealed_at=before), msgspec.structs.replace(ROWS[1], sealed_at=sealed_at)]
    expected = f"between {earliest} and {NOW}, which is now"
    found = [] if earliest is None else [of_row(300, "sealed_at", expected, str(sealed_at), "CLOCK")]
    assert sealed(rows=rows) == found


def test_one_that_says_to_be_of_the_future_does_not_accuse_the_next() -> None:
    """It counts as sealed now."""
    rows = [msgspec.structs.replace(ROWS[0], sealed_at=NOW + 10 * CLOCKS_NS),
            msgspec.structs.replace(ROWS[1], sealed_at=NOW)]  # fmt: skip
    assert [one.seq for one in sealed(rows=rows)] == [256]


def stated(size: int, root: bytes) -> Checkpoint:
    return Checkpoint(chains.ORIGIN, size, root)


def test_a_checkpoint_that_was_brought_has_to_be_of_these_events() -> None:
    """At whatever size, in whatever order, beside those that are stored; more events than there are were cut off."""
    brought = [stated(size, root) for size, root in ROOTS.items()]
    assert sealed(expected=brought) == []
    assert sealed({}, [], brought[::-1], size=0) == []
    assert sealed(expected=[*brought, stated(0, tree.EMPTY_ROOT)]) == []
    fork = sealed(expected=[*brought, stated(257, ZERO), stated(256, ZERO)])
    assert fork == [Finding("INCONSISTENT", f"root {ZERO.hex()}", f"root {ROOTS[size].hex()}", size)
                    for size in (256, 257)]  # fmt: skip
    assert sealed(expected=[stated(0, ZERO)]) == [
        Finding("INCONSISTENT", f"root {ZERO.hex()}", f"root {tree.EMPTY_ROOT.hex()}", 0)
    ]
    assert sealed(expected=[stated(900, ZERO), *brought]) == [
        Finding("TRUNCATED", "900 events, which a checkpoint covers", "700 events", 701)
    ]


def test_a_stored_and_a_brought_checkpoint_of_one_size_are_both_named() -> None:
    """Each by itself: one says what was stored, the other what was signed."""
    rows = [ROWS[0], msgspec.structs.replace(ROWS[1], root=ZERO)]
    assert sealed(rows=rows, expected=[stated(300, ZERO)]) == [
        of_row(300, "root", ROOTS[300].hex(), ZERO.hex()),
        Finding("INCONSISTENT", f"root {ZERO.hex()}", f"root {ROOTS[300].hex()}", 300),
    ]


def test_past_a_missing_event_tiles_of_nobody_are_told() -> None:
    """Of each level: whatever the event was, they hold no hash over it."""
    far = {level: [*rows, (level + 4, b"x" * HASH_BYTES)] for level, rows in GOOD.items()}
    assert sealed(far, rows=(), seqs=[1, 2, 4, 5]) == [
        wrong(level, level + 4, "0 hashes", "1 of them") for level in sorted(far)
    ]


def test_past_a_missing_event_nothing_is_told() -> None:
    """Neither of tiles nor of checkpoints, but what was brought of no events."""
    seqs = [*range(1, 250), *range(251, SIZE + 1)]
    bad = with_tile(0, 1, put_in(44, ZERO))
    assert sealed(bad, seqs=seqs) == []
    brought = sealed(bad, [], [stated(0, ZERO), stated(256, ZERO)], seqs=seqs)
    assert [(one.kind, one.seq) for one in brought] == [("INCONSISTENT", 0)]


def test_an_event_that_has_no_entry_ends_what_is_told() -> None:
    """A field that no entry can have; before it, the tree is told from whole events."""
    rows = [CheckpointRow(5, ZERO, b"", HISTORY[4].recorded_at), CheckpointRow(20, ZERO, b"", HISTORY[19].recorded_at)]
    for broken, seqs in ((None, [5, 20]), (7, [5]), (3, [])):
        check = SealedCheck(0, lambda level: iter(()), iter(rows), NOW)
        found = []
        for event in HISTORY[:20]:
            found += check.reach(msgspec.structs.replace(event, epoch=-1) if event.seq == broken else event)
        assert [(one.seq, one.column) for one in found + check.end()] == [(seq, "root") for seq in seqs]


def reached(
    tiles: Tiles, unknown: Sequence[int], rows: Sequence[CheckpointRow] = ROWS, expected: Sequence[Checkpoint] = ()
) -> list[Finding]:
    """Return the findings of a walk along whole events, of which some are not what their hash says."""
    check = SealedCheck(SIZE, lambda level: iter(tiles.get(level, [])), iter(rows), NOW, expected)
    found = []
    for event in HISTORY:
        found += check.reach(msgspec.structs.replace(event, actor="x") if event.seq in unknown else event)
    return found + check.end()


def test_of_an_event_whose_content_is_not_known_the_stored_leaf_is_taken() -> None:
    """What is made of it may be wrong for that alone, and says so; a leaf beside it stands by itself."""
    assert reached(GOOD, ()) == reached(GOOD, (1,)) == reached(GOOD, (100, 256, 257, 700)) == []
    rows = [*ROWS[:2], msgspec.structs.replace(ROWS[2], root=ZERO), ROWS[3]]
    above = [
        msgspec.structs.replace(one, after=100)
        for one in (
            Finding("INCONSISTENT", f"root {ZERO.hex()}", f"root {ROOTS[257].hex()}", 257),
            of_row(511, "root", chains.root(HISTORY[:511]).hex(), ZERO.hex()),
        )
    ]
    assert reached(GOOD, (100, 300), rows, [stated(257, ZERO)]) == above
    beside = reached(with_tile(0, 1, put_in(44, ZERO)), (100,))
    assert beside == [wrong(0, 1, LEAVES[300].hex(), ZERO.hex(), "hashes[44]", 301)]
    over = reached(with_tile(1, 0, put_in(1, ZERO)), (100,))
    assert [(one.key, one.column, one.after) for one in over] == [(("1", "0"), "hashes[1]", 100)]
    followed = reached(with_tile(0, 0, put_in(99, ZERO)), (100,))
    assert [(one.table, one.seq, one.after) for one in followed] == [
        ("tiles", None, 100), *(("checkpoints", size, 100) for size in SIZES)
    ]  # fmt: skip


@pytest.mark.parametrize("change", [lambda data: None, lambda data: data[:-1], lambda data: data[:-32]])
def test_where_no_leaf_is_stored_for_it_nothing_is_told_any_more(change: Callable[[bytes], bytes | None]) -> None:
    """What was wrong before it is."""
    cut = with_tile(0, 2, change)
    assert reached(cut, (700,), [*ROWS[:3], msgspec.structs.replace(ROWS[3], root=ZERO)]) == (
        [] if cut[0][2:] else [wrong(0, 2, "a tile", "no such row")]
    )
    bad = {**cut, 0: [(-1, b""), (0, put_in(3, ZERO)(cut[0][0][1])), *cut[0][1:]]}
    found = reached(bad, (700,))
    assert found[:2] == [
        wrong(0, -1, "no such row", "a row"), wrong(0, 0, LEAVES[3].hex(), ZERO.hex(), "hashes[3]", 4)
    ]  # fmt: skip
    first = reached({**GOOD, 0: [(-1, b""), *GOOD[0][1:]]}, (1,))
    assert first == [wrong(0, -1, "no such row", "a row")]


@pytest.mark.parametrize("start", [1, 255, 256, 257, 300, 511, 699])
def test_from_an_edge_on_the_rest_is_held_as_from_the_start(start: int) -> None:
    """The tiles reach the edge: what is wrong after it is found, what is wrong before it was looked at then."""
    first = SealedCheck(start, lambda level: iter(tiles_of(start).get(level, [])), iter(()), NOW)
    for seq in range(1, start + 1):
        assert first.take(seq, HISTORY[seq - 1].recorded_at, LEAVES[seq - 1]) == []
    assert (first.covered.size, first.covered.root()) == (start, chains.root(HISTORY[:start]))

    def found(place: int | None) -> list[Finding]:
        changed = {level: list(rows) for level, rows in GOOD.items()}
        if place is not None:
            number, inside = divmod(place, WIDTH)
            hashes = bytearray(changed[0][number][1])
            hashes[inside * 32] ^= 1
            changed[0][number] = (number, bytes(hashes))
        onward = {level: [row for row in rows if row[0] >= start >> 8 * (level + 1)] for level, rows in changed.items()}
        rows = iter([row for row in ROWS if row.size > start])
        check = SealedCheck(SIZE, lambda level: iter(onward.get(level, [])), rows, NOW, start=first.covered)
        wrong = [one for seq in range(start + 1, SIZE + 1)
                 for one in check.take(seq, HISTORY[seq - 1].recorded_at, LEAVES[seq - 1])]  # fmt: skip
        wrong += check.end()
        assert (check.covered.size, check.covered.root()) == (SIZE, ROOTS[SIZE])
        return wrong

    assert found(None) == []
    for place in (start, SIZE - 1):
        assert [one.seq for one in found(place)] == [place + 1]
    assert found(start - 1) == []


@pytest.mark.parametrize(
    ("size", "rows", "covered", "is_signed"),
    [
        (600, (256, 300), 300, True),
        (300, (300,), 300, True),
        (300, (), 300, False),
        (600, (700,), 700, True),
        (0, (), 0, False),
        (0, (300, 511), 511, True),
    ],
)
def test_what_is_covered_ends_at_the_newest_checkpoint_or_else_with_the_tiles(
    size: int, rows: Sequence[int], covered: int, is_signed: bool
) -> None:
    """Not at the events beyond both, of which the tiles are still to come, nor at tiles beyond a checkpoint."""
    made = tiles_of(size)
    of_rows = iter([row for row in ROWS if row.size in rows])
    check = SealedCheck(size, lambda level: iter(made.get(level, [])), of_rows, NOW)
    for seq in range(1, SIZE + 1):
        assert check.take(seq, HISTORY[seq - 1].recorded_at, LEAVES[seq - 1]) == []
    assert check.end() == []
    assert (check.covered.size, check.is_signed) == (covered, is_signed)
    assert check.covered.root() == chains.root(HISTORY[:covered])


def test_what_a_replica_lacks_is_told_by_its_first_and_its_last_event() -> None:
    """One event is named as one."""
    ends = ", of w: the end was cut off, or has not got to this replica yet"
    assert not_here_yet(7, 8, "w") == f"event 8{ends}"
    assert not_here_yet(7, 9, "w") == f"events 8 to 9{ends}"
