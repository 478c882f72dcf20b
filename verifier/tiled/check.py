"""
Check the events of some tiles by themselves: bytes, links, times, and the leaves that they make.

What fits is checked once and fast. Where anything does not, the stretch is walked again by `verifier.chain`, which
names the column as a full verification would; only what the rules would make of an event is not known here, so that a
column which they alone can tell from another is named among suspects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.errors import Rejected
from ledger.evidence import tiles, tree
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Frontier
from verifier import conviction
from verifier.chain import ChainCheck
from verifier.keys import KeyCheck
from verifier.report import Finding, Findings
from verifier.tiled.copies import CopyNodes
from verifier.tiled.databases import Region

GROUP_LIMIT: Final = 10_000
"""No group has more events."""
LOOK_BACK: Final = 1000
"""How many events before a broken one are walked for what their columns hold: candidates for what was changed."""


class Checked(msgspec.Struct):
    """
    What came out of a run of events: what is wrong, by seq the leaf of each event whose content is known, how many
    events there were, and the first place where there was none.
    """

    findings: list[Finding]
    leaves: dict[int, bytes]
    count: int
    missing: int | None = None


def events(region: Region, first: int, last: int) -> Checked:
    """
    Return what came out of the events from seq *first* to *last*, the link to the event before them included.

    What is missing at either end is told as the gap that it is part of, from the event before it to the one after it.
    """
    region.zeros.clear()
    found = list(region.between(first - 1, last))
    zeros = [finding for finding in region.zeros if finding.seq != first - 1]
    before = found.pop(0) if first > 1 and found and found[0].seq == first - 1 else None
    hashed = before.hash if before is not None else genesis(region.chain_id, region.origin) if first == 1 else None
    leaves = _fitting(found, first, last, hashed, before.recorded_at if before is not None else 0)
    if leaves is not None:
        return Checked(zeros, leaves, len(found))
    wrong, leaves = _again(region, first, last)
    there = {event.seq for event in found}
    missing = next((seq for seq in range(first, last + 1) if seq not in there), None)
    return Checked([*wrong, *zeros], leaves, len(found), missing)


def _fitting(
    found: Sequence[RecordedEvent], first: int, last: int, hashed: bytes | None, recorded_at: int
) -> dict[int, bytes] | None:
    """Return the leaves of the events, or None where any does not fit."""
    leaves: dict[int, bytes] = {}
    for seq, event in enumerate(found, first):
        try:
            entry = entries.encode(event)
        except Rejected:
            return None
        if event.seq != seq or event.prev_hash != hashed or blake3(entry).digest() != event.hash:
            return None
        if event.recorded_at <= recorded_at or conviction.event_time(event.event_id) != event.recorded_at:
            return None
        hashed, recorded_at = event.hash, event.recorded_at
        leaves[seq] = tree.leaf_hash(entry)
    return leaves if len(leaves) == last - first + 1 else None


def _again(region: Region, first: int, last: int) -> tuple[list[Finding], dict[int, bytes]]:
    """
    Walk the events once more, with those around them that they have to fit; return what is wrong, and the leaves.
    """
    begin, end = _begin(region, max(1, first - LOOK_BACK)), _end(region, last)
    low, high = region.seq_before(first) + 1, region.seq_from(last)
    others = [other.chain_id for other in region.chains if other.chain_id != region.chain_id]
    findings = Findings()
    # Of the keys only what they witness is asked; that each has its group is for a full verification.
    check = ChainCheck(
        region.chain, others, KeyCheck(region.keys_between(begin, end)), lambda event: {}, findings, edits=region.edits
    )
    seq_before = region.seq_before(begin)
    for before in region.between(seq_before, seq_before):
        check.start_after(before.seq, before.hash, before.recorded_at, before.epoch)
    leaves = {}
    for event in check.walk(region.between(begin, max(end, high or 0))):
        # Where it cannot be told what was changed, the event is handed on as it is, and no leaf is made of it.
        if first <= event.seq <= last and conviction.hashes_to(event, event.hash):
            leaves[event.seq] = tree.leaf_hash(entries.encode(event))
    if high is None:
        after = max(first, check.seq + 1)
        missing = f"event {last}" if after == last else f"events {after} to {last}"
        findings.add([Finding("SEQ_GAP", missing, "no such rows", seq=after, column="seq")])
    wrong = [
        x for x in findings.all(check.lost)
        # Of the event after a gap no more is told than that it is not where it belongs.
        if x.seq is None or low <= x.seq <= last or (x.seq == high and x.column == "seq")
    ]  # fmt: skip
    if not wrong:
        # Two readings that differ are no verification, whichever of them is wrong.
        wrong = [
            Finding(
                "CHAIN_BREAK",
                "events that two ways to read them agree on",
                f"events {first} to {last}: one found that they do not fit, the other nothing",
                seq=first,
            )
        ]
    return wrong, leaves


def _begin(region: Region, seq: int) -> int:
    """Return the seq at which the group of event *seq* begins, as that event says it."""
    found = next(region.between(seq, seq), None)
    if found is None or not 0 <= found.group_index < min(GROUP_LIMIT, seq):
        return seq
    return seq - found.group_index


def _end(region: Region, seq: int) -> int:
    """Return the seq of the first event after the group of event *seq*: what follows vouches for what it links to."""
    found = next(region.between(seq, seq), None)
    left = 0 if found is None else found.group_size - 1 - found.group_index
    return seq + (left if 0 <= left < GROUP_LIMIT else 0) + 1


def leaves(tile: Tile, made: dict[int, bytes], stored: Sequence[bytes] | None) -> list[Finding]:
    """
    Hold the hashes that a tile of leaves has against those that the events make, by seq.
    """
    if stored is None:
        return [of_tile(tile, f"{tile.width} hashes", "no such row, or fewer")]
    return [
        of_tile(tile, made[seq].hex(), hashed.hex(), place, seq)
        for place, (seq, hashed) in enumerate(zip(range(tile.start + 1, tile.start + 1 + WIDTH), stored, strict=False))
        if seq in made and made[seq] != hashed
    ]


def above(nodes: CopyNodes, size: int, number: int, made: Sequence[bytes]) -> list[Finding]:
    """
    Hold the tiles above full tile *number* of leaves, in a tree of *size* leaves, against its 256 hashes.

    A tile above is held against the next one where its last hash is reached: so each hash of each tile is checked once
    while all the tiles of leaves are.
    """
    place, hashed = number, tiles.subtree_hash(made)
    for level in range(1, tiles.LEVELS):
        count = size >> HEIGHT * level
        if place >= count:
            break
        upper, inside = divmod(place, WIDTH)
        tile = Tile(level, upper, min(WIDTH, count - upper * WIDTH))
        stored = nodes.tile(tile)
        if stored is None:
            return [of_tile(tile, f"{tile.width} hashes", "no such row, or fewer")]
        if stored[inside] != hashed:
            return [of_tile(tile, hashed.hex(), stored[inside].hex(), inside)]
        if inside < WIDTH - 1:
            break
        place, hashed = upper, tiles.subtree_hash(stored)
    return []


def of_tile(tile: Tile, expected: str, actual: str, place: int | None = None, seq: int | None = None) -> Finding:
    """
    Return that a tile, or its hash at *place*, of event *seq*, is another than it should be.
    """
    column = None if place is None else f"hashes[{place}]"
    return Finding("TREE_MISMATCH", expected, actual, seq=seq, table="tiles", key=(str(tile.level), str(tile.number)),
                   column=column)  # fmt: skip


def proof_of_tile(nodes: CopyNodes, number: int, size: int) -> list[bytes]:
    """
    Return the hashes that lead from tile *number* of leaves to the root of *size* leaves.

    Above tiles, the tree over leaves is the same as the tree of RFC 6962 over the hashes of the tiles, the partial one
    among them: both split at the same places. So `tree.check_inclusion` checks the proof of a tile's hash.

    Raises:
        UnknownFormat: a tile is missing.
    """
    read, proof = nodes.read(), []
    for first, end in tree.inclusion_ranges(number, -(-size // WIDTH)):
        parts = read(tree.complete_nodes(first * WIDTH, min(end * WIDTH, size)))
        joined = parts[-1]
        for left in reversed(parts[:-1]):
            joined = tree.node_hash(left, joined)
        proof.append(joined)
    return proof


def hash_of_tile(made: Sequence[bytes]) -> bytes:
    """
    Return the hash of the subtree over the leaves of one tile, full or not.
    """
    edge = Frontier()
    for leaf in made:
        edge.add(leaf)
    return edge.root()
