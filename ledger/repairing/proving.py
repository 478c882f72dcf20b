"""
Prove that an event is the one that was signed: a checkpoint that the policy accepts, and its tree.

The checkpoint is believed because of its signatures, an event because its leaf stands at its place of the signed tree.
The hashes between come from whatever copy has them, since false ones lead to another root: the tiles of any copy, or,
where no tiles lead there, all the events of a copy whose root is the signed one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import LedgerError, Rejected, SetupNeeded, UnknownFormat
from ledger.evidence import note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import VerifierKey
from ledger.evidence.policy import Policy, Trusted
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tree import Frontier
from ledger.reading.kept_checkpoints import LOOKED_BACK
from ledger.repairing.sources import Source

EVENTS_LIMIT: Final = 100_000
"""How many events one plan may restore; a region that lost more is better made anew from another one."""


class Proven(msgspec.Struct, frozen=True):
    """
    An event that is the one that was signed: its leaf, the kind of copy it came from, and what shows it.
    """

    event: RecordedEvent
    leaf: bytes
    source: str
    by: str


UNLAID: Final = (Rejected, AttributeError, TypeError)
"""What laying out an event ends with that has no entry: a column of it may be NULL, where a guard was taken away."""


def newest(rules: Policy, copies: Iterable[Iterable[bytes]], origin: str | None) -> Trusted:
    """
    Return the largest checkpoint that the policy accepts among the notes of *copies*, of *origin* where one is named.

    Each copy gives its largest first, and is asked for no more than the first that is accepted.

    Raises:
        SetupNeeded: there is none at all.
        LedgerError: the policy accepts none; the reason is that of the first.
    """
    best: Trusted | None = None
    refused: LedgerError | None = None
    for notes in copies:
        for data in itertools.islice(notes, LOOKED_BACK):
            try:
                found = policy.check(rules, data)
            except LedgerError as error:
                refused = refused or error
                continue
            if origin in (None, found.checkpoint.origin):
                if best is None or found.checkpoint.size > best.checkpoint.size:
                    best = found
                break
    if best is not None:
        return best
    if refused is not None:
        raise refused
    raise SetupNeeded("found no signed checkpoint; nothing can be proven without one: seal the chain, or give one with "
                      "--checkpoint")  # fmt: skip


def is_signed(rules: Policy, keys: Iterable[VerifierKey], data: bytes) -> bool:
    """
    Whether a log of *rules*, or one of these *keys*, has signed the note at all: of whatever size, and revoked or not.
    """
    try:
        signed = note.decode(data)
    except UnknownFormat:
        return False
    return note.is_by(signed, [*(log.key for log in rules.logs), *keys])


def laid_out(event: RecordedEvent) -> bytes | None:
    """
    Return the event's entry, or None where its hash is another or it has none.
    """
    try:
        entry = entries.encode(event)
    except UNLAID:
        return None
    return entry if blake3(entry).digest() == event.hash else None


class Prover:
    """
    What proves events of the tree that a checkpoint states, by hashes from these copies.
    """

    def __init__(self, stated: Checkpoint, copies: Sequence[Source]) -> None:
        self._stated, self._copies = stated, copies
        self._nodes = [(copy, TileNodes(copy.tile)) for copy in copies]
        self._walked: dict[str, dict[int, bytes | None]] = {}
        """By source the leaf at each seq that was asked for, of all its events, where these have the signed root."""

    @property
    def size(self) -> int:
        """
        How many events the checkpoint states.
        """
        return self._stated.size

    @property
    def root(self) -> bytes:
        """
        The root that the checkpoint states.
        """
        return self._stated.root

    def words(self) -> str:
        """
        Return the checkpoint as words.
        """
        return f"the checkpoint of {self._stated.size} events, root {self._stated.root.hex()}"

    def prove(self, event: RecordedEvent, source: Source, asked: Sequence[int] = ()) -> Proven | str:
        """
        Return the event as proven, or why it is not; *asked* are the seqs of others that will be, of the same source.
        """
        if event.seq > self._stated.size:
            return f"event {event.seq} is after {self.words()}: nothing that was signed covers it"
        entry = laid_out(event)
        if entry is None:
            return f"the {source.kind}'s event {event.seq} is not what its own hash is of"
        leaf = tree.leaf_hash(entry)
        for copy, nodes in self._nodes:
            if self._included(leaf, event.seq - 1, nodes):
                return Proven(event, leaf, source.kind, f"inclusion in {self.words()}, by tiles of the {copy.kind}")
        if self._is_of_whole(leaf, event.seq, source, asked):
            return Proven(event, leaf, source.kind, f"all events of the {source.kind}, which have the root of "
                          f"{self.words()}")  # fmt: skip
        return (
            f"the {source.kind}'s event {event.seq}, whose leaf is {leaf.hex()}, is not shown to be in {self.words()}"
        )

    def shows(self, event: RecordedEvent) -> bool:
        """
        Whether the event is the one that was signed, by tiles or by all events of any copy.
        """
        return any(isinstance(self.prove(event, copy), Proven) for copy in self._copies)

    def holds(self, older: Checkpoint) -> bool:
        """
        Whether the signed tree begins with that of an *older* checkpoint, by the tiles of any copy.
        """
        if older.size == self._stated.size:
            return older.root == self._stated.root
        return any(self._extends(older, nodes) for _, nodes in self._nodes)

    def roots(self, sizes: Collection[int]) -> dict[int, bytes]:
        """
        Return by size the roots of the trees with which the signed one begins, as far as the tiles of a copy show them,
        or all events of one.
        """
        found = {self.size: self.root}
        for size in {*sizes} - {self.size}:
            for _, nodes in self._nodes:
                root = self._begins(size, nodes)
                if root is not None:
                    found[size] = root
                    break
        for copy in self._copies:
            if found.keys() >= {*sizes}:
                break
            found |= self._walk_roots(copy, sizes)
        return {size: found[size] for size in sizes if size in found}

    def _begins(self, size: int, nodes: TileNodes) -> bytes | None:
        """Return the root at *size* by the tiles of a copy, where the signed tree begins with it."""
        try:
            root = tree.root_of(nodes.of(size), size)
        except LedgerError:
            return None
        return root if self._extends(Checkpoint(self._stated.origin, size, root), nodes) else None

    def _walk_roots(self, source: Source, sizes: Collection[int]) -> dict[int, bytes]:
        """Return the roots at these sizes by the events of a source, where these have the signed root; else none."""
        edge, roots = Frontier(), dict[int, bytes]()
        for leaf in self._leaves(source):
            edge.add(leaf)
            if edge.size in sizes:
                roots[edge.size] = edge.root()
        return roots if edge.root() == self.root else {}

    def _extends(self, older: Checkpoint, nodes: TileNodes) -> bool:
        size = self._stated.size
        try:
            proof = tree.prove_consistency(nodes.of(size), older.size, size)
            tree.check_consistency(older.size, older.root, size, self._stated.root, proof)
        except LedgerError:
            return False
        return True

    def _included(self, leaf: bytes, index: int, nodes: TileNodes) -> bool:
        size = self._stated.size
        try:
            tree.check_inclusion(
                leaf, index, size, tree.prove_inclusion(nodes.of(size), index, size), self._stated.root
            )
        except LedgerError:
            return False
        return True

    def _is_of_whole(self, leaf: bytes, seq: int, source: Source, asked: Sequence[int]) -> bool:
        """
        Whether all events of a source have the signed root and this leaf is among them at its place.

        The leaves are those of this one walk: a source that is asked for an event by itself may say another.
        """
        known = self._walked.setdefault(source.kind, {})
        if seq not in known:
            known |= dict.fromkeys([seq, *asked]) | self._walk(source, {seq, *asked})
        return known[seq] == leaf

    def _walk(self, source: Source, wanted: Collection[int]) -> dict[int, bytes]:
        """Return the leaves at these seqs, of a source whose events are whole and have the signed root; else none."""
        edge, leaves = Frontier(), dict[int, bytes]()
        for seq, leaf in enumerate(self._leaves(source), 1):
            edge.add(leaf)
            if seq in wanted:
                leaves[seq] = leaf
        return leaves if edge.root() == self._stated.root else {}

    def _leaves(self, source: Source) -> Iterator[bytes]:
        """Yield the leaves of the events of a source, up to the first that is none or cannot be read."""
        try:
            for seq, event in enumerate(source.all_events(self._stated.size), 1):
                entry = laid_out(event)
                if entry is None or event.seq != seq:
                    return
                yield tree.leaf_hash(entry)
        except LedgerError:
            return


def fetch(seqs: Sequence[int], sources: Sequence[Source], prover: Prover) -> tuple[dict[int, Proven], dict[int, str]]:
    """
    Return by seq the events that a source has and that are proven, from the first such source; and why others are not.
    """
    proven: dict[int, Proven] = {}
    reasons: dict[int, list[str]] = {seq: [] for seq in seqs}
    for source in sources:
        left = [seq for seq in seqs if seq not in proven]
        if not left:
            break
        try:
            found = source.events(left)
        except LedgerError as error:
            for seq in left:
                reasons[seq].append(f"{source.kind}: {error}")
            continue
        for seq in left:
            if seq not in found:
                reasons[seq].append(f"the {source.kind} has no event {seq}")
                continue
            for event in found[seq]:
                made = prover.prove(event, source, left)
                if isinstance(made, Proven):
                    proven[seq] = made
                    break
                reasons[seq].append(made)
    none = "no source was given that has a copy: give --replica, --topic, --archive or --backup"
    return proven, {seq: "; ".join(said) or none for seq, said in reasons.items() if seq not in proven}
