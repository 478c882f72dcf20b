"""
Grow a Merkle tree over entries, and prove with a few hashes what it holds.

The tree is that of RFC 6962, section 2.1: a leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right), and a
tree of n leaves splits at the largest power of two below n. Two proofs follow from it. An inclusion proof shows that
an entry stands at an index of the tree; a consistency proof shows that a tree begins with all of an older one.

A complete subtree is named by (level, index): the 2^level leaves from index · 2^level. It never changes once its last
leaf is there, so it is what tiles keep; every other subtree is a few complete ones hashed from right to left. Proofs
are made from a function that reads complete subtrees, and checked from nothing but the proof.

This module knows no entry's meaning and no storage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import InvalidInput, ProofInvalid

HASH_BYTES: Final = 32
PROOF_LIMIT: Final = 63
"""How many hashes a proof can have: sizes are below 2^63."""

SIZE_LIMIT: Final = 1 << 63
EMPTY_ROOT: Final = sha256(b"").digest()

Node = tuple[int, int]
"""A complete subtree: its level and its index in that level."""

ReadNodes = Callable[[Sequence[Node]], Sequence[bytes]]
"""What returns the hashes of complete subtrees, in the order asked."""


def leaf_hash(entry: bytes) -> bytes:
    """
    Return the hash of the leaf that holds *entry*.
    """
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """
    Return the hash of the node over two subtrees.
    """
    return sha256(b"\x01" + left + right).digest()


def complete_nodes(start: int, end: int) -> list[Node]:
    """
    Return the fewest complete subtrees that cover leaves start ≤ i < end, from left to right.
    """
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def _join(hashes: Sequence[bytes]) -> bytes:
    joined = hashes[-1]
    for left in reversed(hashes[:-1]):
        joined = node_hash(left, joined)
    return joined


def _split(size: int) -> int:
    """Return the largest power of two below *size*, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


class Frontier:
    """
    The right edge of a growing tree: all that is needed to add leaves and to know the root.

    It holds the complete subtrees that cover the leaves so far, at most one a level, the largest first.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """
        Begin with an empty tree, or go on from *hashes*, those of `complete_nodes(0, size)`.

        Raises:
            InvalidInput: there are not as many hashes of 32 bytes as *size* has bits set.
        """
        if not 0 <= size < SIZE_LIMIT or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
            raise InvalidInput(
                f"found {len(hashes)} hashes for the edge of a tree of {size} leaves; "
                f"expected {max(size, 0).bit_count()} of {HASH_BYTES} bytes"
            )
        self.size = size
        self._hashes = list(hashes)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """
        Return the hashes of `complete_nodes(0, size)`, from which the tree can be grown again.
        """
        return tuple(self._hashes)

    def add(self, leaf: bytes) -> None:
        """
        Add one leaf, given its hash.
        """
        self.add_complete(0, leaf)

    def add_complete(self, level: int, subtree: bytes) -> None:
        """
        Add a complete subtree of 2^level leaves at the right edge, given its hash.

        Raises:
            InvalidInput: the tree's size is no multiple of 2^level, so the subtree would not be one of this tree.
        """
        if self.size & (1 << level) - 1:
            raise InvalidInput(f"found a subtree of 2^{level} leaves to add to {self.size}, which it would straddle")
        filled = self.size >> level
        while filled & 1:
            subtree = node_hash(self._hashes.pop(), subtree)
            filled >>= 1
        self._hashes.append(subtree)
        self.size += 1 << level

    def root(self) -> bytes:
        """
        Return the root of the tree, 32 bytes.
        """
        return _join(self._hashes) if self._hashes else EMPTY_ROOT

    def copy(self) -> Frontier:
        """
        Return a frontier of its own that stands at the same leaf.
        """
        return Frontier(self.size, self._hashes)


def root_of(read: ReadNodes, size: int) -> bytes:
    """
    Return the root of the first *size* leaves of a tree whose complete subtrees *read* returns.
    """
    return _join(read(complete_nodes(0, size))) if size else EMPTY_ROOT


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """
    Return the ranges of leaves whose subtrees make the inclusion proof of leaf *index*, from the leaf up.

    Raises:
        InvalidInput: there is no such leaf in a tree of *size*.
    """
    if not 0 <= index < size < SIZE_LIMIT:
        raise InvalidInput(f"found leaf index {index} in a tree of {size} leaves; expected an index below the size")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """
    Return the ranges of leaves whose subtrees make the consistency proof of RFC 6962, section 2.1.2.

    Raises:
        InvalidInput: the old tree is the larger one.
    """
    if not 0 <= old <= new < SIZE_LIMIT:
        raise InvalidInput(
            f"found sizes {old} and {new} of an older and a newer tree; expected the older to be smaller"
        )
    if old in (0, new):
        return []
    ranges = []
    start, end, whole = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def _prove(read: ReadNodes, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    parts = [complete_nodes(start, end) for start, end in ranges]
    hashes: Iterator[bytes] = iter(read([node for part in parts for node in part]))
    return [_join([next(hashes) for _ in part]) for part in parts]


def prove_inclusion(read: ReadNodes, index: int, size: int) -> list[bytes]:
    """
    Return the proof that leaf *index* stands in the tree of *size* leaves: at most 63 hashes, from the leaf up.

    Raises:
        InvalidInput: there is no such leaf in a tree of *size*.
    """
    return _prove(read, inclusion_ranges(index, size))


def prove_consistency(read: ReadNodes, old: int, new: int) -> list[bytes]:
    """
    Return the proof that the tree of *new* leaves begins with the tree of *old* leaves: at most 63 hashes.

    Raises:
        InvalidInput: the old tree is the larger one.
    """
    return _prove(read, consistency_ranges(old, new))


def _check_hashes(proof: Sequence[bytes], what: str) -> None:
    if len(proof) > PROOF_LIMIT:
        raise ProofInvalid(f"found {what} proof of {len(proof)} hashes; at most {PROOF_LIMIT} can be needed")
    for place, found in enumerate(proof):
        if len(found) != HASH_BYTES:
            raise ProofInvalid(f"found {len(found)} bytes as hash {place} of {what} proof; expected {HASH_BYTES}")


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """
    Check that the tree of *size* leaves with this *root* has the *leaf* hash at *index* (RFC 9162, section 2.1.3.2).

    Raises:
        ProofInvalid: the proof does not show that.
    """
    if not 0 <= index < size < SIZE_LIMIT:
        raise ProofInvalid(f"found a proof for leaf index {index} of {size} leaves; expected an index below the size")
    if len(leaf) != HASH_BYTES:
        raise ProofInvalid(f"found a leaf hash of {len(leaf)} bytes; expected {HASH_BYTES}")
    _check_hashes(proof, "an inclusion")
    place, last, reached = index, size - 1, leaf
    for other in proof:
        if last == 0:
            raise ProofInvalid(f"found an inclusion proof of {len(proof)} hashes; {size} leaves need fewer")
        if place & 1 or place == last:
            reached = node_hash(other, reached)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            reached = node_hash(reached, other)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid(f"found an inclusion proof of {len(proof)} hashes; {size} leaves need more")
    if reached != root:
        raise ProofInvalid(
            f"the inclusion proof of leaf {index} leads to root {reached.hex()}; expected {root.hex()} "
            f"of {size} leaves: the entry, its place or the proof is another"
        )


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """
    Check that the tree of *new* leaves begins with the whole of the tree of *old* (RFC 9162, section 2.1.4.2).

    An empty old tree is the beginning of every tree and needs no proof; a tree is consistent with itself by its root
    alone. Both sizes must be used up by the proof: one that stops early shows nothing of what it left out.

    Raises:
        ProofInvalid: the proof does not show that.
    """
    if not 0 <= old <= new < SIZE_LIMIT:
        raise ProofInvalid(f"found a consistency proof from {old} to {new} leaves; expected the older to be smaller")
    if old < new and (len(old_root) != HASH_BYTES or len(new_root) != HASH_BYTES):
        raise ProofInvalid(f"found roots of {len(old_root)} and {len(new_root)} bytes; expected {HASH_BYTES}")
    _check_hashes(proof, "a consistency")
    if old in (0, new):
        if proof:
            raise ProofInvalid(f"found a consistency proof of {len(proof)} hashes from {old} to {new}; expected none")
        expected = EMPTY_ROOT if old == 0 else new_root
        if old_root != expected:
            raise ProofInvalid(f"found root {old_root.hex()} of {old} leaves; expected {expected.hex()}: a fork")
        if new == 0 and new_root != EMPTY_ROOT:
            raise ProofInvalid(f"found root {new_root.hex()} of an empty tree; expected {EMPTY_ROOT.hex()}")
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise ProofInvalid(f"found an empty consistency proof from {old} to {new} leaves; at least a hash is needed")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = hashes[0]
    for other in hashes[1:]:
        if last == 0:
            raise ProofInvalid(f"found a consistency proof of {len(proof)} hashes; {old} to {new} leaves need fewer")
        if place & 1 or place == last:
            older, newer = node_hash(other, older), node_hash(other, newer)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, other)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid(f"found a consistency proof of {len(proof)} hashes; {old} to {new} leaves need more")
    if older != old_root:
        raise ProofInvalid(f"the proof leads to root {older.hex()} of {old} leaves; expected {old_root.hex()}: a fork")
    if newer != new_root:
        raise ProofInvalid(f"the proof leads to root {newer.hex()} of {new} leaves; expected {new_root.hex()}: a fork")
