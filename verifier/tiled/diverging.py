"""
Find the first event at which two copies of one chain differ, asking each a few times only.

Tiles are compared from the top down: where a hash differs, the difference is below it, so that each step leaves a
256th. The tiles are believed by nobody: what they lead to is confirmed by the events, whose own hashes must differ
there and agree on the event before; a hash that differs above a tile that does not is false in one copy at least. Where
tiles are missing, or say what the events do not, the hashes of the chain are bisected instead, each of which stands for
all before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import Rejected
from ledger.evidence import tiles, tree
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import HASH_BYTES
from verifier.conviction import COLUMNS, hashes_to
from verifier.report import BROKEN, VERIFIED, Finding, Report
from verifier.stored import Unreadable
from verifier.tiled.check import of_tile
from verifier.tiled.copies import Copy

COVERED: Final = [
    "hashes from the root down to the first that differ, and there the events themselves: each hashes to what its copy "
    "says, and both follow the same event",
    "that not both say to be the primary of one epoch, and that each ends at the event that its own one head names, "
    "and has no tile of leaves and no checkpoint of more",
]
NOT_COVERED: Final = [
    "events that were changed in one copy behind their hash, or are missing between others: no tile shows either; "
    "verify each copy, with `scrub` or `full`",
    "what differs after the first difference: from there on they are two histories",
    "tiles that no difference led to: `scrub` and `full` hold every one against the events",
    "who signed what: the copies are held against each other, not against a policy",
]
IS_BACKUP: Final = (
    "whether anybody writes to B, which says that it is the primary as A does: it was named as a backup, which says "
    "what its original said"
)


class Divergence(msgspec.Struct):
    """
    The first event at which the copies differ (None: they agree as far as both go), and what is wrong there.
    """

    seq: int | None
    findings: list[Finding]


def compare(
    left: Copy,
    right: Copy,
    tell: Callable[[str, int], None],
    *,
    backup: bool = False,
    settled: Sequence[Finding] = (),
) -> Report:
    """
    Return the report on where two copies of one chain differ; *backup* says that the right one is one of the left, and
    *settled* what is wrong with the rows that say which chain they are.

    Raises:
        Unreadable: they are of two chains or are one place, one of them is empty, or a part of one cannot be read.
    """
    started = time.monotonic()
    if left.origin != right.origin:
        raise Unreadable(f"{left.name} is of chain {left.origin} and {right.name} of {right.origin}; name two copies "
                         "of one chain")  # fmt: skip
    if left.place == right.place:
        raise Unreadable(f"{left.name} and {right.name} are one place, so that nothing was compared; name two copies")
    sizes = left.size(), right.size()
    cut: list[Finding] = []
    for copy, size in zip((left, right), sizes, strict=True):
        wrong = copy.end(size)
        cut += (msgspec.structs.replace(one, actual=f"{one.actual} in {copy.name}") for one in wrong)
        if not size and not wrong:
            raise Unreadable(f"{copy.name} has no events of chain {copy.origin}, so there is nothing to compare")
    tell("comparing hashes", 0)
    found = first(left, right, min(sizes))
    # What a backup says of itself, its original said. One that has gone on has been written to.
    repeats = backup and sizes[1] <= sizes[0]
    findings = [*settled, *cut, *found.findings, *([] if repeats else _two_primaries(left, right))]
    agreed = min(sizes) if found.seq is None else found.seq - 1
    left_out = [*NOT_COVERED, *([IS_BACKUP] if repeats and left.reigns_in == right.reigns_in is not None else [])]
    if found.seq is None and sizes[0] != sizes[1]:
        longer, shorter = (left, right) if sizes[0] > sizes[1] else (right, left)
        left_out.insert(
            0, f"events {min(sizes) + 1} to {max(sizes)}, which {longer.name} has and {shorter.name} has not"
        )
    return Report(
        BROKEN if findings else VERIFIED, left.origin, "two copies", agreed, {}, findings,
        {"requests": left.requests + right.requests},
        [
            f"both hold the same history up to event {agreed}" if agreed else "they agree on no event",
            f"of {min(sizes)} events, in {left.requests} requests to {left.name} and {right.requests} to {right.name}",
            *COVERED,
        ],
        left_out, [], agreed, round(time.monotonic() - started, 3), spans=[],
    )  # fmt: skip


def _two_primaries(left: Copy, right: Copy) -> list[Finding]:
    """Return that both would record events in one reign, if they say so: each could be one that the other lacks."""
    epoch = left.reigns_in
    if epoch is None or epoch != right.reigns_in:
        return []
    return [Finding("TWO_PRIMARIES", f"one primary in epoch {epoch}", f"{left.name} and {right.name} both say so",
                    table="chain_heads", key=(left.origin,), column="mode")]  # fmt: skip


def first(left: Copy, right: Copy, size: int) -> Divergence:
    """
    Return the first of *size* events at which the copies differ.
    """
    covered = min(left.tree_size(), right.tree_size(), size)
    leaf, wrong = _by_tiles(left, right, covered)
    behind: Divergence | None = None
    if leaf is not None and leaf < covered:
        pair = _event(left, leaf + 1), _event(right, leaf + 1)
        wrong = [*_tile_of(left, leaf, pair[0]), *_tile_of(right, leaf, pair[1])]
        if not wrong and _agree(left, right, leaf):
            return _diverged(left, right, leaf + 1, pair)
        if pair[0] != pair[1]:
            # The links after it may agree all the same: then it was changed behind them.
            behind = _diverged(left, right, leaf + 1, pair)
    low = covered if leaf == covered and _agree(left, right, covered) else 0
    seq = _by_links(left, right, low, size)
    found = None if seq is None else _diverged(left, right, seq, (_event(left, seq), _event(right, seq)))
    met = sorted((one for one in (found, behind) if one is not None), key=lambda one: one.seq or 0)
    return Divergence(met[0].seq, [*wrong, *met[0].findings]) if met else Divergence(None, wrong)


def _by_tiles(left: Copy, right: Copy, size: int) -> tuple[int | None, list[Finding]]:
    """
    Return the first leaf at which tiles of *size* leaves differ (*size* if none does; None if they cannot say), and
    the hashes on the way that are not those of what is below them.
    """
    edge = tiles.edge_of(size)
    rows = (left.tile_hashes(edge), right.tile_hashes(edge)) if edge else ({}, {})
    # The highest partial tile stands over what is furthest to the left, and together they stand over every leaf.
    for tile in reversed(edge):
        place = _differing(rows[0].get(tile), rows[1].get(tile), tile.width)
        if place is None:
            return None, []
        if place < tile.width:
            return _below(left, right, tile, place, (rows[0][tile], rows[1][tile]))
    return size, []


def _below(
    left: Copy, right: Copy, tile: Tile, place: int, rows: tuple[bytes, bytes]
) -> tuple[int | None, list[Finding]]:
    """As `_by_tiles`, below the hash at *place* of a tile whose hashes the copies say to be *rows*."""
    while tile.level:
        above, there, differing = tile, place, rows
        tile = Tile(tile.level - 1, tile.number * WIDTH + place)
        mine, theirs = left.tile_hashes([tile]).get(tile), right.tile_hashes([tile]).get(tile)
        found = _differing(mine, theirs, tile.width)
        if found is None or mine is None or theirs is None:
            return None, []
        rows = mine, theirs
        if found == tile.width:
            # Both say the same here, so that of two hashes of it that differ one is false at least.
            made = tiles.subtree_hash(tiles.decode_tile(tile, mine))
            said = [(copy, _at(hashes, there)) for copy, hashes in zip((left, right), differing, strict=True)]
            return None, [
                of_tile(above, f"{made.hex()} of the tile below in {copy.name}", stored.hex(), there)
                for copy, stored in said if stored != made
            ]  # fmt: skip
        place = found
    return tile.number * WIDTH + place, []


def _at(hashes: bytes, place: int) -> bytes:
    return hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]


def _differing(left: bytes | None, right: bytes | None, width: int) -> int | None:
    """Return the place of the first hash that differs, *width* if none does, or None where a tile is missing."""
    if left is None or right is None:
        return None
    for place in range(width):
        if _at(left, place) != _at(right, place):
            return place
    return width


def _by_links(left: Copy, right: Copy, low: int, high: int) -> int | None:
    """Return the first event after *low*, on which they agree, whose hashes differ; None if they agree on *high*."""
    if high <= low or _hash(left, high) == _hash(right, high) != b"":
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _hash(left, middle) == _hash(right, middle) != b"":
            low = middle
        else:
            high = middle
    return high


def _event(copy: Copy, seq: int) -> RecordedEvent | None:
    return next(iter(copy.between(seq, seq)), None)


def _hash(copy: Copy, seq: int) -> bytes:
    """Return the hash that stands for all up to *seq*, or nothing where there is no such event."""
    event = _event(copy, seq)
    return b"" if event is None else event.hash


def _agree(left: Copy, right: Copy, seq: int) -> bool:
    """Return whether both hold event *seq*, which names all before it by its hash."""
    return seq == 0 or _hash(left, seq) == _hash(right, seq) != b""


def _tile_of(copy: Copy, leaf: int, event: RecordedEvent | None) -> list[Finding]:
    """Return that the tile has another leaf than the event makes, if it is so."""
    tile = Tile(0, leaf // WIDTH, leaf % WIDTH + 1)
    stored = copy.tile_hashes([tile]).get(tile, b"")[-HASH_BYTES:]
    try:
        made = b"" if event is None else tree.leaf_hash(entries.encode(event))
    except Rejected:
        made = b""
    if stored == made:
        return []
    return [
        of_tile(tile, f"{made.hex() or 'a leaf of event ' + str(leaf + 1)} in {copy.name}", stored.hex(), leaf % WIDTH,
                leaf + 1)
    ]  # fmt: skip


def _diverged(left: Copy, right: Copy, seq: int, pair: tuple[RecordedEvent | None, RecordedEvent | None]) -> Divergence:
    """Return the columns in which both events differ, and whether one of them is not even what its own hash says."""
    found = []
    for copy, event in zip((left, right), pair, strict=True):
        if event is None:
            found.append(Finding("SEQ_GAP", f"event {seq}", f"no such row in {copy.name}", seq=seq, column="seq"))
        elif not hashes_to(event, event.hash):
            found.append(Finding("BYTES_MODIFIED", f"bytes of hash {event.hash.hex()} in {copy.name}", "other bytes",
                                 seq=seq))  # fmt: skip
    if pair[0] is not None and pair[1] is not None:
        found += [
            Finding("DIVERGENCE", f"{left.name}: {_text(mine)}", f"{right.name}: {_text(theirs)}", seq=seq, column=name)
            for name in (*COLUMNS, "hash")
            if (mine := getattr(pair[0], name)) != (theirs := getattr(pair[1], name))
        ]  # fmt: skip
    return Divergence(seq, found)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode() if value.startswith(b"{") else value.hex()
        except UnicodeDecodeError:
            return value.hex()
    return str(value)
