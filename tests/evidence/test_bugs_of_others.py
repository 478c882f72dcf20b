"""
Refuse what four real verifiers took: each bug by its name, with a model of the check that was too weak.

A model is no copy: it is the least that has the hole. That it takes the forgery shows that the forgery is one; then
the verifier gets the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from ledger.archiving.layout import CHAIN, CHECKPOINT, ChainFile
from ledger.archiving.stores import Folder
from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.errors import ProofInvalid
from ledger.evidence import note, policy, signer, tiles, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.proof_file import ProofFile
from ledger.evidence.tiles import Tile
from ledger.evidence.tree import Frontier, Node
from ledger.evidence.witness import Kept, Request
from tests.archiving.chains import CHAIN_ID, KEY, ORIGIN, POLICY, WITNESS, chain, signed
from tests.archiving.written import EVENTS, kinds, verify, write
from verifier import proof, receipts
from verifier.report import Findings
from verifier.stored import Unreadable
from verifier.tiled import scrubbed
from verifier.tiled.scrubbed import Scrubbed

ENTRIES = [entry.encode(event) for event in EVENTS]
LEAVES = [tree.leaf_hash(one) for one in ENTRIES]


def reading(leaves: Sequence[bytes]) -> tree.ReadNodes:
    def read(nodes: Sequence[Node]) -> list[bytes]:
        return [tiles.subtree_hash(list(leaves[index << level : index + 1 << level])) for level, index in nodes]

    return read


def root(leaves: Sequence[bytes]) -> bytes:
    edge = Frontier()
    for leaf in leaves:
        edge.add(leaf)
    return edge.root()


def stated(size: int, said: bytes, origin: str = ORIGIN, key: SigningKey = KEY) -> bytes:
    """Return a checkpoint that log and witness signed, whatever it says."""
    text = Checkpoint(origin, size, said).text()
    return note.with_signatures(text, (key.sign(text), WITNESS.sign(text, 1_700_000_001))).encode()


# 1. immudb, CVE-2022-36111: of a run of linked transactions only the first and the last were held against the tree. So
# a server could have one content in the middle of the run and another in the tree, and each verified.

MIDDLE = 130
# Of what its group does not have in common: the chain alone is to tell.
FORGED = msgspec.structs.replace(EVENTS[MIDDLE - 1], stream="account/nobody")


def takes_a_run_by_its_ends(events: Sequence[bytes], leaves: Sequence[bytes]) -> bool:
    """What the clients did: the links of the run, and its two ends in the tree."""
    links = all(after[44:76] == blake3(before).digest() for before, after in itertools.pairwise(events))
    ends = [tree.leaf_hash(events[0]), tree.leaf_hash(events[-1])]
    for place, leaf in zip((0, len(events) - 1), ends, strict=True):
        proven = tree.prove_inclusion(reading(leaves), place, len(leaves))
        tree.check_inclusion(leaf, place, len(leaves), proven, root(leaves))
    return links


def with_leaves(folder: Path, leaves: Sequence[bytes]) -> None:
    """Write the true archive of 256 events over a tree of other leaves, which log and witness have signed."""
    write(folder, 256)
    (folder / Tile(0, 0).path()).write_bytes(b"".join(leaves))
    (folder / Tile(1, 0, 1).path()).write_bytes(root(leaves))
    (folder / CHECKPOINT).write_bytes(stated(256, root(leaves)))
    (folder / "checkpoints/256").write_bytes(stated(256, root(leaves)))


def test_another_content_in_the_middle_of_a_run_is_found_in_the_tree(tmp_path: Path) -> None:
    """CVE-2022-36111: the chain has the true event, the tree another, and both ends are the same."""
    leaves = LEAVES[:256]
    leaves[MIDDLE - 1] = tree.leaf_hash(entry.encode(FORGED))
    assert takes_a_run_by_its_ends(ENTRIES[:256], leaves)
    with_leaves(tmp_path, leaves)
    report = verify(tmp_path)
    assert report.verdict == "broken"
    assert [finding.seq for finding in report.findings if finding.column == "leaf"] == [MIDDLE]


def test_another_content_in_the_middle_of_a_run_is_found_in_the_chain(tmp_path: Path) -> None:
    """CVE-2022-36111: the archive shows the event that the tree has, so it is the chain that it does not fit."""
    leaves = LEAVES[:256]
    leaves[MIDDLE - 1] = tree.leaf_hash(entry.encode(FORGED))
    with_leaves(tmp_path, leaves)
    bundle = tmp_path / Tile(0, 0).bundle_path()
    shown = [*ENTRIES[: MIDDLE - 1], entry.encode(FORGED), *ENTRIES[MIDDLE:256]]
    bundle.write_bytes(tiles.encode_bundle(shown))
    report = verify(tmp_path)
    assert kinds(report) == {"CHAIN_BREAK"}
    assert [finding.seq for finding in report.findings] == [MIDDLE + 1]


@pytest.mark.parametrize("seq", [1, 2, 128, 255, 256])
def test_every_place_of_a_run_is_held_against_the_tree(tmp_path: Path, seq: int) -> None:
    """Its ends are no better than its middle: one leaf that is another, anywhere, is named by its seq."""
    leaves = LEAVES[:256]
    leaves[seq - 1] = tree.leaf_hash(b"another entry")
    with_leaves(tmp_path, leaves)
    assert seq in {finding.seq for finding in verify(tmp_path).findings if finding.column == "leaf"}


# 2. immudb, CVE-2022-39199: the client kept what it had verified under the name that the server said of itself. A
# server that said another name was met as one never seen before, and whatever it showed was taken at first sight.

OTHER_ID = bytes(reversed(CHAIN_ID))
OTHER_ORIGIN = "another.example/trades"
OTHER_KEY = SigningKey(OTHER_ORIGIN, ED25519, bytes([7]) * 32)


def takes_what_it_never_saw(known: dict[str, Checkpoint], said: str, now: Checkpoint) -> bool:
    """What the client did: compare with what it knows of the name that is said, and trust a new name at first sight."""
    before = known.get(said)
    return before is None or (before.size, before.root) == (now.size, now.root)


def of_another_chain(count: int) -> tuple[RecordedEvent, ...]:
    """Return a whole and well linked history under another id."""
    made, before = [], genesis(OTHER_ID, ORIGIN)
    for event in chain(count, seed=9):
        event = msgspec.structs.replace(event, chain_id=OTHER_ID, prev_hash=before)
        before = blake3(entry.encode(event)).digest()
        made.append(msgspec.structs.replace(event, hash=before))
    return tuple(made)


def test_a_log_that_says_another_name_is_not_a_new_log(tmp_path: Path) -> None:
    """CVE-2022-39199: the policy says the name, and nothing that is verified can say another."""
    write(tmp_path, 300)
    text = Checkpoint(OTHER_ORIGIN, 300, root(LEAVES[:300])).text()
    swapped = note.with_signatures(text, (OTHER_KEY.sign(text), WITNESS.sign(text, 1))).encode()
    assert takes_what_it_never_saw({ORIGIN: Checkpoint(ORIGIN, 7, bytes(32))}, OTHER_ORIGIN, Checkpoint(
        OTHER_ORIGIN, 300, root(LEAVES[:300])))  # fmt: skip
    (tmp_path / CHECKPOINT).write_bytes(swapped)
    # Who exchanged the checkpoint alone is convicted by the rest; who exchanged all of it is not of this policy.
    assert "CHECKPOINT_SIG" in kinds(verify(tmp_path))
    (tmp_path / CHAIN).write_bytes(ChainFile(CHAIN_ID.hex(), OTHER_ORIGIN, 1).encode())
    with pytest.raises(Unreadable, match="other logs"):
        verify(tmp_path)
    # Nor is it one of which a witness would remember nothing, and so cosign whatever it shows.
    asked = Request(0, (), swapped).encode()
    assert witness.answer({}, {ORIGIN: [KEY.verifier]}, asked, WITNESS, 1).status == 404


def test_a_chain_of_another_id_is_not_the_chain_under_its_name(tmp_path: Path) -> None:
    """CVE-2022-39199: well linked and well signed, but its genesis is of another id than the archive is of."""
    events = of_another_chain(300)
    leaves = [tree.leaf_hash(entry.encode(event)) for event in events]
    write(tmp_path, 300)
    for number, width in ((0, 256), (1, 44)):
        tile = Tile(0, number, width)
        (tmp_path / tile.bundle_path()).write_bytes(
            tiles.encode_bundle(entry.encode(event) for event in events[tile.start : tile.end])
        )
        (tmp_path / tile.path()).write_bytes(b"".join(leaves[tile.start : tile.end]))
    (tmp_path / CHECKPOINT).write_bytes(stated(300, root(leaves)))
    report = verify(tmp_path)
    assert report.verdict == "broken"
    (found,) = [finding for finding in report.findings if finding.key == (CHAIN,)]
    assert (found.kind, found.column, found.actual) == ("BYTES_MODIFIED", "chain_id", CHAIN_ID.hex())


def test_what_was_kept_of_one_chain_is_never_passed_by_for_another(tmp_path: Path) -> None:
    """CVE-2022-39199: a state is of a chain by name and id, and where another answers it is refused, not begun anew."""
    path = tmp_path / "round.json"
    scrubbed.write(path, Scrubbed(ORIGIN, CHAIN_ID.hex(), 1, next=3, size=900, hash="00"))
    found = scrubbed.read(path)
    assert found is not None
    for origin, chain_id in ((ORIGIN, OTHER_ID), (OTHER_ORIGIN, CHAIN_ID)):
        with pytest.raises(Unreadable, match="is of chain"):
            scrubbed.check(found, path, origin, chain_id)
    write(tmp_path / "a", 300)
    of_other = note.with_signatures(text := Checkpoint(OTHER_ORIGIN, 7, bytes(32)).text(), (OTHER_KEY.sign(text),))
    with pytest.raises(Unreadable, match="this archive is of"):
        verify(tmp_path / "a", expected=(("kept", of_other.encode()),))


# 3. hash-tree 0.1.1 (Haskell): a consistency proof was walked until its hashes were used up, not until both sizes were.


def takes_a_proof_that_stops_early(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """Walk as RFC 9162 says, section 2.1.4.2, but for its last step: that the newer size is used up too."""
    hashes = [old_root, *proof] if old & (old - 1) == 0 else proof
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = hashes[0]
    for other in hashes[1:]:
        if place & 1 or place == last:
            older, newer = tree.node_hash(other, older), tree.node_hash(other, newer)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            newer = tree.node_hash(newer, other)
        place, last = place >> 1, last >> 1
    return older == old_root and newer == new_root


SHORT = [(2, 4, 5), (2, 4, 1 << 40), (3, 4, 5), (4, 8, 13), (6, 8, 300), (7, 8, (1 << 63) - 1)]


@pytest.mark.parametrize(("old", "reached", "claimed"), SHORT)
def test_a_consistency_proof_uses_up_both_sizes(old: int, reached: int, claimed: int) -> None:
    """hash-tree 0.1.1: the root of a small tree is no root of a larger one, though every hash of the proof is right."""
    shown = tree.prove_consistency(reading(LEAVES), old, reached)
    roots = root(LEAVES[:old]), root(LEAVES[:reached])
    assert takes_a_proof_that_stops_early(old, roots[0], claimed, roots[1], shown)
    with pytest.raises(ProofInvalid, match="need more"):
        tree.check_consistency(old, roots[0], claimed, roots[1], shown)


@pytest.mark.parametrize(("old", "reached", "claimed"), SHORT)
def test_neither_witness_nor_signer_follows_a_proof_that_stops_early(old: int, reached: int, claimed: int) -> None:
    """hash-tree 0.1.1: who remembers the older tree answers 422, and keeps what it kept."""
    shown = tuple(tree.prove_consistency(reading(LEAVES), old, reached))
    kept = Kept(old, root(LEAVES[:old]), stated(old, root(LEAVES[:old])))
    asked = Request(old, shown, stated(claimed, root(LEAVES[:reached]))).encode()
    for said in (
        witness.answer({ORIGIN: kept}, {ORIGIN: [KEY.verifier]}, asked, WITNESS, 1),
        signer.answer(kept, asked, KEY, policy.decode(b"quorum none\n")),
    ):
        assert (said.status, said.keep) == (422, None)
    honest = Request(old, shown, stated(reached, root(LEAVES[:reached]))).encode()
    assert witness.answer({ORIGIN: kept}, {ORIGIN: [KEY.verifier]}, honest, WITNESS, 1).status == 200


# 4. A bare root, without the size that it is of and the log that it is of: the same hashes lead to the same root for
# other places in trees of other sizes, and from a node as well as from a leaf.

ALIKE = [(2, 3, 1, 2), (4, 5, 1, 2), (6, 7, 3, 4), (256, 257, 1, 2)]
"""Index and size of a true proof, and index and size of another place that its hashes lead to the same root from."""


def takes_a_bare_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes], bare: bytes) -> bool:
    """Walk as who is given a proof with its own index and size, and knows of the tree nothing but the root."""
    try:
        tree.check_inclusion(leaf, index, size, proof, bare)
    except ProofInvalid:
        return False
    return True


def proven(index: int, size: int, said_index: int, checkpoint: bytes) -> set[str]:
    hashes = tuple(tree.prove_inclusion(reading(LEAVES), index, size))
    shown = ProofFile(said_index, hashes, checkpoint, ENTRIES[index]).encode()
    report = proof.verify("a.tlog-proof", shown, POLICY, None)
    assert (report.verdict == "verified") == (not report.findings) == bool(report.proven)
    return kinds(report)


@pytest.mark.parametrize(("index", "size", "other_index", "other_size"), ALIKE)
def test_a_proof_is_of_a_size_that_was_signed_with_the_root(
    index: int, size: int, other_index: int, other_size: int
) -> None:
    """Whoever moved the event to another place in a tree of another size would have to have that size signed."""
    bare, hashes = root(LEAVES[:size]), tree.prove_inclusion(reading(LEAVES), index, size)
    assert takes_a_bare_root(LEAVES[index], other_index, other_size, hashes, bare)
    assert proven(index, size, index, stated(size, bare)) == set()
    # The size is the checkpoint's, not the proof's: the other place is none of its tree, or its entry is not of it.
    assert {"TREE_MISMATCH", "BYTES_MODIFIED"} <= proven(index, size, other_index, stated(size, bare))
    unsigned = stated(size, bare).replace(f"\n{size}\n".encode(), f"\n{other_size}\n".encode(), 1)
    assert "CHECKPOINT_SIG" in proven(index, size, other_index, unsigned)
    # Even signed with a size that is not its root's: the entry says its own seq, and is of no other place.
    assert proven(index, size, other_index, stated(other_size, bare)) == {"BYTES_MODIFIED"}


def test_a_root_is_of_the_log_that_signed_it() -> None:
    """The same root under another origin, or by another log's key, is not this log's."""
    bare = root(LEAVES[:300])
    text = Checkpoint(OTHER_ORIGIN, 300, bare).text()
    with pytest.raises(Unreadable, match="other logs"):
        proven(5, 300, 5, note.with_signatures(text, (KEY.sign(text), WITNESS.sign(text, 1))).encode())
    by_other = stated(300, bare, key=SigningKey(ORIGIN, ED25519, OTHER_KEY.seed))
    assert proven(5, 300, 5, by_other) == {"CHECKPOINT_SIG"}


def test_a_node_is_no_leaf() -> None:
    """The 64 bytes under a node, shown as an entry, hash to something else than the node."""
    left, right = LEAVES[0], LEAVES[1]
    above = tree.node_hash(left, right), tree.node_hash(LEAVES[2], LEAVES[3])
    assert tree.node_hash(*above) == root(LEAVES[:4])
    assert takes_a_bare_root(above[0], 0, 2, [above[1]], root(LEAVES[:4]))
    assert not takes_a_bare_root(tree.leaf_hash(left + right), 0, 2, [above[1]], root(LEAVES[:4]))


def test_one_root_is_of_one_size_for_whoever_remembers_it(tmp_path: Path) -> None:
    """A witness, a signer and an auditor who kept a checkpoint refuse its root under another size."""
    bare = root(LEAVES[:300])
    kept = Kept(300, bare, stated(300, bare))
    for size, shown in ((301, ()), (301, (bytes(32),)), (512, ())):
        asked = Request(300, shown, stated(size, bare)).encode()
        said = witness.answer({ORIGIN: kept}, {ORIGIN: [KEY.verifier]}, asked, WITNESS, 1)
        assert (said.status, said.keep) == (422, None)
        assert signer.answer(kept, asked, KEY, policy.decode(b"quorum none\n")).status == 422
    write(tmp_path, 300, 512)
    assert kinds(verify(tmp_path, expected=(("kept", stated(300, bare)),))) == set()
    for size in (299, 301, 511, 512):
        found = verify(tmp_path, expected=(("kept", stated(size, bare)),))
        assert kinds(found) == {"CHECKPOINT_INCONSISTENT"}
    # The archive's own checkpoint with another size over its root: the entries are not of that tree.
    (tmp_path / CHECKPOINT).write_bytes(stated(511, root(LEAVES[:512])))
    assert "TREE_MISMATCH" in kinds(verify(tmp_path))


def test_receipts_rest_on_size_and_root_together(tmp_path: Path) -> None:
    """Of an archive whose checkpoint has another size over its root no bundle counts, and no receipt is vouched for."""
    write(tmp_path, 512)
    (tmp_path / CHECKPOINT).write_bytes(stated(511, root(LEAVES[:512])))
    findings = Findings()
    holder = receipts.ArchiveHolder(Folder(tmp_path), POLICY, findings)
    assert holder.recorded([5, 300]) == {}
    assert {finding.kind for finding in findings.all(None)} >= {"TREE_MISMATCH"}


def test_what_the_forgeries_are_made_of_is_good(tmp_path: Path) -> None:
    """The events as they are, signed as they are: so it is for the forgery alone that each is refused."""
    with_leaves(tmp_path, LEAVES[:256])
    assert kinds(verify(tmp_path)) == set()
    assert stated(300, root(LEAVES[:300])) == signed(EVENTS, 300)
