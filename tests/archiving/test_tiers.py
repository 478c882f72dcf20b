"""
Check tiles above the leaves tier by tier, of a tree of more than 65,536 leaves, which has two tiers of them.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from ledger.archiving.stores import FILE_LIMIT_BYTES, TooLong
from ledger.evidence import tiles
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tree import Frontier
from tests.archiving.chains import ORIGIN
from verifier.archive.seams import finding
from verifier.archive.signed_tree import leads, nodes_of
from verifier.archive.tiers import Tiers
from verifier.report import Finding

COUNT = 2 * 256 + 5
"""How many full tiles of leaves there are."""
BELOW = [sha256(b"%d" % number).digest() for number in range(COUNT)]
"""The hashes of the tiles of leaves."""
ABOVE = [tiles.subtree_hash(BELOW[start : start + 256]) for start in (0, 256)]
FILES = {
    "tile/1/000": b"".join(BELOW[:256]),
    "tile/1/001": b"".join(BELOW[256:512]),
    "tile/1/002.p/5": b"".join(BELOW[512:]),
    "tile/2/000.p/2": b"".join(ABOVE),
}
OTHER = bytes(32)


def _edge() -> Frontier:
    edge = Frontier()
    for one in BELOW:
        edge.add_complete(8, one)
    return edge


STATED = Checkpoint(ORIGIN, COUNT * 256, _edge().root())


class Files:
    """A store of these files alone."""

    far = False

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes | None:
        data = self.files.get(path)
        if data is not None and len(data) > FILE_LIMIT_BYTES:
            raise TooLong(f"{path} is too long")
        return data


def found(
    files: dict[str, bytes] = FILES, below: dict[int, list[bytes]] | None = None, first: int = 0, last: int = COUNT
) -> list[Finding]:
    """Return what is wrong above the tiles of leaves from *first*, of which some have other hashes *below*."""
    store: Any = Files(files)
    tiers = Tiers(store, STATED, first)
    wrong = [one for place in range(first, last) for one in tiers.add((below or {}).get(place, [BELOW[place]]))]
    return wrong + tiers.end()


def put(name: str, place: int, new: bytes = OTHER) -> dict[str, bytes]:
    data = FILES[name]
    return {**FILES, name: data[: place * 32] + new + data[place * 32 + 32 :]}


@pytest.mark.parametrize("first", [0, 1, 255, 256, 300, 512, COUNT - 1])
@pytest.mark.parametrize("last", [1, 256, 257, 512, COUNT])
def test_tiles_that_are_what_is_below_them_are_good(first: int, last: int) -> None:
    """From wherever on, up to wherever."""
    if first < last:
        assert found(first=first, last=last) == []


@pytest.mark.parametrize(
    ("name", "place", "below"),
    [("tile/1/000", 0, 0), ("tile/1/000", 255, 255), ("tile/1/001", 7, 263), ("tile/1/002.p/5", 4, 516)],
)
def test_a_hash_of_a_tile_is_that_of_the_tile_below_it(name: str, place: int, below: int) -> None:
    """Where it is not, and does not lead to the signed root, it is at fault, and no tile above it."""
    expected = [finding("TREE_MISMATCH", BELOW[below].hex(), OTHER.hex(), name, column=f"hash {place}")]
    assert found(put(name, place)) == expected
    assert found(put(name, place), first=below, last=below + 1) == expected
    # Of a part beside it the tile of two tiers up says that it is another; over one at the edge there is none.
    start = below // 256 * 256
    whole = [OTHER if at == below else BELOW[at] for at in range(start, min(start + 256, COUNT))]
    told = []
    if len(whole) == 256:
        told = [
            finding("TREE_MISMATCH", ABOVE[start // 256].hex(), tiles.subtree_hash(whole).hex(), name, column="root")
        ]
    beside = below - 1 if place else below + 1
    assert found(put(name, place), first=beside, last=beside + 1) == told


@pytest.mark.parametrize("place", [0, 1])
def test_so_it_is_two_tiers_up(place: int) -> None:
    """Where the tile below has been passed."""
    top = "tile/2/000.p/2"
    expected = [finding("TREE_MISMATCH", ABOVE[place].hex(), OTHER.hex(), top, column=f"hash {place}")]
    assert found(put(top, place)) == expected
    assert found(put(top, place), first=300 if place else 3) == expected
    assert found(put(top, place), last=256 * (place + 1)) == expected


@pytest.mark.parametrize("place", [0, 300, 516])
def test_a_tile_that_leads_to_the_signed_root_accuses_what_is_below_it(place: int) -> None:
    """What was put in its place is another than was signed."""
    path = tiles.Tile(0, place).bundle_path()
    expected = [finding("TREE_MISMATCH", BELOW[place].hex(), OTHER.hex(), path, column="root")]
    assert found(below={place: [OTHER]}) == expected


def test_of_two_hashes_in_doubt_the_tile_has_to_have_one() -> None:
    """Either; with neither, what was made first is said. Where nothing is known, nothing is."""
    assert found(below={3: [OTHER, BELOW[3]]}) == found(below={3: [BELOW[3], OTHER]}) == found(below={3: []}) == []
    path = tiles.Tile(0, 3).bundle_path()
    assert found(below={3: [OTHER, bytes([1]) * 32]}) == [
        finding("TREE_MISMATCH", BELOW[3].hex(), OTHER.hex(), path, column="root")
    ]


def test_a_whole_tile_of_another_tree_is_named_by_the_one_above_it() -> None:
    """What lies below fits it, and the signed root does not."""
    others = [sha256(b"x%d" % number).digest() for number in range(256)]
    below = {place: [one] for place, one in enumerate(others)}
    expected = [finding("TREE_MISMATCH", ABOVE[0].hex(), tiles.subtree_hash(others).hex(), "tile/1/000", column="root")]
    assert found({**FILES, "tile/1/000": b"".join(others)}, below) == expected


def test_where_all_above_is_of_another_tree_too_the_root_is_left_to_tell() -> None:
    """They fit each other: that they do not make the signed root is found by whoever makes it."""
    others = [sha256(b"x%d" % number).digest() for number in range(256)]
    files = {**put("tile/2/000.p/2", 0, tiles.subtree_hash(others)), "tile/1/000": b"".join(others)}
    assert found(files, {place: [one] for place, one in enumerate(others)}) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda data: None, "ARCHIVE_MISSING", "none"),
        (lambda data: data[:-32], "TREE_MISMATCH", "found {} bytes in"),
        (lambda data: data + OTHER, "TREE_MISMATCH", "found {} bytes in"),
        (lambda data: bytes(FILE_LIMIT_BYTES + 1), "TREE_MISMATCH", "is too long"),
    ],
    ids=["gone", "cut", "longer", "too long"],
)
def test_a_tile_that_is_none_is_named_alone(
    name: str, change: Callable[[bytes], bytes | None], kind: str, said: str
) -> None:
    """What is above it is held against what lies below it all the same."""
    data = change(FILES[name])
    files = {path: one for path, one in FILES.items() if path != name}
    if data is not None:
        files[name] = data
    (one,) = found(files)
    hashes = f"{len(FILES[name]) // 32} hashes"
    assert (one.kind, one.expected, one.key, one.column) == (
        kind, "a tile" if data is None else hashes, (name,), None
    )  # fmt: skip
    assert said.format(len(data or b"")) in one.actual
    if name.startswith("tile/1/00") and len(FILES[name]) == 256 * 32:
        place = int(name[-1])
        top = "tile/2/000.p/2"
        second = finding("TREE_MISMATCH", ABOVE[place].hex(), OTHER.hex(), top, column=f"hash {place}")
        changed = {**files, top: put(top, place)[top]}
        assert second in found(changed)


def test_a_tile_leads_to_the_root_by_itself_alone() -> None:
    """Of any level, in any place, with all of its hashes, and with no other."""
    store: Any = Files(FILES)
    read = nodes_of(store, STATED.size)
    for name, data in FILES.items():
        tile, _ = tiles.decode_path(name)
        hashes = [data[start : start + 32] for start in range(0, len(data), 32)]
        assert leads(read, STATED, tile, hashes), name
        for place in {0, len(hashes) // 2, len(hashes) - 1}:
            assert not leads(read, STATED, tile, [*hashes[:place], OTHER, *hashes[place + 1 :]]), (name, place)
        without: Any = Files({path: one for path, one in FILES.items() if path != name})
        # The hashes in hand count, whatever lies there; all others are read.
        assert leads(nodes_of(without, STATED.size), STATED, tile, hashes)
        nothing: Any = Files({})
        assert not leads(nodes_of(nothing, STATED.size), STATED, tile, hashes)
