"""
Check trees and proofs against the RFC's own recursive definition and other people's vectors.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput, ProofInvalid
from ledger.evidence import tree
from ledger.evidence.tree import Frontier, Node

OTHERS = json.loads((Path(__file__).parents[1] / "vectors" / "others" / "merkle_proofs.json").read_text())


def split(size: int) -> int:
    """The RFC's k: the largest power of two smaller than n."""
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def reader(leaves: Sequence[bytes]) -> tree.ReadNodes:
    def read(nodes: Sequence[Node]) -> list[bytes]:
        return [mth(leaves[index << level : index + 1 << level]) for level, index in nodes]

    return read


LEAVES = [b"entry %d" % number for number in range(70)]


def test_every_proof_of_every_small_tree_is_the_rfcs() -> None:
    """All inclusion and consistency proofs up to 70 leaves are the recursive definition's, and check."""
    read = reader(LEAVES)
    edge = Frontier()
    for size in range(len(LEAVES) + 1):
        assert edge.root() == tree.root_of(read, size) == mth(LEAVES[:size])
        for index in range(size):
            proof = tree.prove_inclusion(read, index, size)
            assert proof == path(index, LEAVES[:size])
            tree.check_inclusion(tree.leaf_hash(LEAVES[index]), index, size, proof, edge.root())
        for old in range(size + 1):
            proof = tree.prove_consistency(read, old, size)
            assert proof == (subproof(old, LEAVES[:size], True) if old else [])
            tree.check_consistency(old, mth(LEAVES[:old]), size, edge.root(), proof)
        if size < len(LEAVES):
            edge.add(tree.leaf_hash(LEAVES[size]))


def refused(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except ProofInvalid:
        return True
    return False


@pytest.mark.parametrize("vector", OTHERS["inclusion"], ids=lambda vector: vector["name"])
def test_inclusion_vectors_of_other_people(vector: dict[str, Any]) -> None:
    """What transparency-dev/merkle accepts and refuses is accepted and refused here."""
    proof = [base64.b64decode(part) for part in vector["proof"] or []]
    leaf, root = (base64.b64decode(vector[name] or "") for name in ("leafHash", "root"))
    assert refused(tree.check_inclusion, leaf, vector["leafIdx"], vector["treeSize"], proof, root) == vector["wantErr"]


@pytest.mark.parametrize("vector", OTHERS["consistency"], ids=lambda vector: vector["name"])
def test_consistency_vectors_of_other_people(vector: dict[str, Any]) -> None:
    """What transparency-dev/merkle accepts and refuses is accepted and refused here."""
    proof = [base64.b64decode(part) for part in vector["proof"] or []]
    old_root, new_root = (base64.b64decode(vector[name] or "") for name in ("root1", "root2"))
    arguments = (vector["size1"], old_root, vector["size2"], new_root, proof)
    assert refused(tree.check_consistency, *arguments) == vector["wantErr"]


def test_a_proof_that_stops_before_both_sizes_are_used_up_is_refused() -> None:
    """The bug of hash-tree 0.1.1: a prefix of a good proof that reaches the old root says nothing of the new one."""
    read = reader(LEAVES)
    for old in range(1, 40):
        for new in range(old + 1, 41):
            proof = tree.prove_consistency(read, old, new)
            for cut in range(len(proof)):
                assert refused(tree.check_consistency, old, mth(LEAVES[:old]), new, mth(LEAVES[:new]), proof[:cut])
            longer = [*proof, bytes(32)]
            assert refused(tree.check_consistency, old, mth(LEAVES[:old]), new, mth(LEAVES[:new]), longer)


@given(st.data())
def test_no_changed_proof_is_accepted(data: st.DataObject) -> None:
    """Another bit, another order, another place, another size: none checks."""
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    read, root, leaf = reader(LEAVES), mth(LEAVES[:size]), tree.leaf_hash(LEAVES[index])
    proof = tree.prove_inclusion(read, index, size)
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(proof[place], "big") ^ 1 << bit).to_bytes(32, "big")
    assert refused(tree.check_inclusion, leaf, index, size, [*proof[:place], flipped, *proof[place + 1 :]], root)
    assert refused(tree.check_inclusion, flipped, index, size, proof, root)
    other = data.draw(st.integers(0, 69).filter(lambda found: found != index))
    assert refused(tree.check_inclusion, leaf, other, size, proof, root)
    width = data.draw(st.integers(0, 64).filter(lambda found: found != 32))
    assert refused(tree.check_inclusion, leaf, index, size, [*proof[:place], bytes(width), *proof[place + 1 :]], root)


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_complete_subtrees_cover_a_range_once(start: int, end: int) -> None:
    """They follow each other from start to end, each at a multiple of its size, and none could be larger."""
    place = start
    nodes = tree.complete_nodes(start, end)
    for level, index in nodes:
        assert index << level == place
        place += 1 << level
        assert place <= end
        if not index & 1:
            assert place + (1 << level) > end
    assert place == max(start, end)


@given(st.integers(0, 70), st.integers(0, 70))
def test_an_edge_goes_on_where_it_was_kept(cut: int, size: int) -> None:
    """A frontier made anew from its hashes grows the same tree, leaf by leaf or by subtrees."""
    cut = min(cut, size)
    edge = Frontier()
    for leaf in LEAVES[:cut]:
        edge.add(tree.leaf_hash(leaf))
    again = Frontier(cut, edge.hashes)
    by_subtrees = edge.copy()
    for leaf in LEAVES[cut:size]:
        again.add(tree.leaf_hash(leaf))
    for level, index in tree.complete_nodes(cut, size):
        by_subtrees.add_complete(level, mth(LEAVES[index << level : index + 1 << level]))
    assert again.root() == by_subtrees.root() == mth(LEAVES[:size])
    assert edge.size == cut


def test_what_is_no_tree_is_refused() -> None:
    """Edges of another size, subtrees that straddle, leaves and trees that are not there."""
    with pytest.raises(InvalidInput, match="expected 2 of 32 bytes"):
        Frontier(3, [bytes(32)])
    with pytest.raises(InvalidInput, match="straddle"):
        Frontier(1, [bytes(32)]).add_complete(1, bytes(32))
    with pytest.raises(InvalidInput, match="below the size"):
        tree.prove_inclusion(reader(LEAVES), 5, 5)
    with pytest.raises(InvalidInput, match="older to be smaller"):
        tree.prove_consistency(reader(LEAVES), 6, 5)
    for size in (-1, 0, 1 << 63):
        assert refused(tree.check_inclusion, bytes(32), 0, size, [], bytes(32))
        assert refused(tree.check_consistency, 1, bytes(32), size, bytes(32), [bytes(32)])
    assert refused(tree.check_inclusion, bytes(32), 0, 1 << 62, [bytes(32)] * 64, bytes(32))
    assert refused(tree.check_consistency, 0, tree.EMPTY_ROOT, 0, bytes(32), [])


def test_no_tree_is_larger_than_a_size_can_say() -> None:
    """Though its root is given for both sizes, and a leaf for the root of a tree of one."""
    root = bytes(32)
    assert refused(tree.check_consistency, 2**63, root, 2**63, root, [])
    assert not refused(tree.check_consistency, 2**63 - 1, root, 2**63 - 1, root, [])


def test_the_longest_proof_is_one_of_the_largest_tree() -> None:
    """The first of 2^63 - 1 leaves has 63 hashes beside it; one leaf more is more than a size can say."""
    largest = 2**63 - 1
    assert [end - start for start, end in tree.inclusion_ranges(0, largest)] == [
        *(1 << level for level in range(62)), 2**62 - 1
    ]  # fmt: skip
    leaf = tree.leaf_hash(b"first")
    proof = [tree.leaf_hash(b"%d" % level) for level in range(tree.PROOF_LIMIT)]
    root = leaf
    for beside in proof:
        root = tree.node_hash(root, beside)
    tree.check_inclusion(leaf, 0, largest, proof, root)
    assert refused(tree.check_inclusion, leaf, 0, largest + 1, proof, root)
    with pytest.raises(InvalidInput, match="below the size"):
        tree.inclusion_ranges(0, largest + 1)
    assert Frontier(largest, [bytes(32)] * 63).size == largest
    with pytest.raises(InvalidInput, match="the edge of a tree"):
        Frontier(largest + 1, [bytes(32)])
