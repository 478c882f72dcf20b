"""
Prove that an event is the one that was signed: a checkpoint that the policy accepts, and its tree.

The checkpoint is believed because of its signatures, an event because its leaf stands at its place of the signed tree.
The hashes between come from whatever copy has them, since false ones lead to another root: the tiles of any copy, or,
where no tiles lead there, all the events of a copy whose root is the signed one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import LedgerError, Rejected, SetupNeeded
from ledger.evidence import policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy, Trusted
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tree import Frontier
from ledger.repairing.sources import TOPIC, Source

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


def newest(rules: Policy, notes: Iterable[bytes], origin: str | None) -> Trusted:
    """
    Return the largest checkpoint among *notes* that the policy accepts, of *origin* where one is named.

    Raises:
        SetupNeeded: there is none at all.
        LedgerError: the policy accepts none; the reason is that of the first.
    """
    best: Trusted | None = None
    refused: LedgerError | None = None
    for note in notes:
        try:
            found = policy.check(rules, note)
        except LedgerError as error:
            refused = refused or error
            continue
        stated = found.checkpoint
        if origin in (None, stated.origin) and (best is None or stated.size > best.checkpoint.size):
            best = found
    if best is not None:
        return best
    if refused is not None:
        raise refused
    raise SetupNeeded("found no signed checkpoint; nothing can be proven without one: seal the chain, or give one with "
                      "--checkpoint")  # fmt: skip


def laid_out(event: RecordedEvent) -> bytes | None:
    """
    Return the event's entry, or None where its hash is another or it has none.
    """
    try:
        entry = entries.encode(event)
    except Rejected:
        return None
    return entry if blake3(entry).digest() == event.hash else None


class Prover:
    """
    What proves events of the tree that a checkpoint states, by hashes from these copies.
    """

    def __init__(self, stated: Checkpoint, copies: Sequence[Source]) -> None:
        self._stated, self._copies = stated, copies
        self._nodes = [(copy, TileNodes(copy.tile)) for copy in copies]
        self._whole: dict[str, bool] = {}

    def words(self) -> str:
        """
        Return the checkpoint as words.
        """
        return f"the checkpoint of {self._stated.size} events, root {self._stated.root.hex()}"

    def prove(self, event: RecordedEvent, source: Source) -> Proven | str:
        """
        Return the event as proven, or why it is not.
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
        if self._is_whole(source):
            return Proven(event, leaf, source.kind, f"all events of the {source.kind}, which have the root of "
                          f"{self.words()}")  # fmt: skip
        return (
            f"the {source.kind}'s event {event.seq}, whose leaf is {leaf.hex()}, is not shown to be in {self.words()}"
        )

    def holds(self, older: Checkpoint) -> bool:
        """
        Whether the signed tree begins with that of an *older* checkpoint, by the tiles of any copy.
        """
        if older.size == self._stated.size:
            return older.root == self._stated.root
        return any(self._extends(older, nodes) for _, nodes in self._nodes)

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

    def _is_whole(self, source: Source) -> bool:
        if source.kind not in self._whole:
            try:
                self._whole[source.kind] = _root(source.all_events(self._stated.size)) == self._stated.root
            except LedgerError:
                self._whole[source.kind] = False
        return self._whole[source.kind]


def _root(events: Iterator[RecordedEvent]) -> bytes | None:
    """Return the root over events, None where one is missing or not what its hash is of."""
    edge = Frontier()
    for seq, event in enumerate(events, 1):
        entry = laid_out(event)
        if entry is None or event.seq != seq:
            return None
        edge.add(tree.leaf_hash(entry))
    return edge.root()


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
                made = prover.prove(event, source)
                if isinstance(made, Proven):
                    proven[seq] = made
                    break
                reasons[seq].append(made)
    none = "no source was given that has a copy: give --replica, --topic, --archive or --backup"
    return proven, {seq: "; ".join(said) or none for seq, said in reasons.items() if seq not in proven}


def unvouched(seq: int, hashed: Collection[bytes], size: int, sources: Sequence[Source], *, follows: bool) -> str:
    """
    Return why what follows from the events up to *seq*, the last here, of one of these hashes, is not made anew;
    nothing where it may be.

    Whoever can write the newest events can write them with good hashes, and can take them away. So no copy may go on
    after the last one, unless this region *follows* another; and where it is after the *size* that were signed, a copy
    has to have the same one, since its hash holds all before it, and none another. Anybody may write to a topic: it is
    not asked.
    """
    vouched = seq <= size
    for source in sources:
        if source.kind == TOPIC:
            continue
        try:
            found = source.events([seq, seq + 1])
        except LedgerError:
            continue
        same = [event.hash in hashed for event in found.get(seq, []) if laid_out(event) is not None]
        if seq > size and not all(same):
            return (
                f"the {source.kind} has another event {seq}, after the signed checkpoint, and nothing tells which of "
                "both is true: seal what is, where it is"
            )
        onward = [event for event in found.get(seq + 1, []) if laid_out(event) is not None]
        if not follows and any(event.prev_hash in hashed for event in onward):
            return (
                f"the events end at {seq} here, and the {source.kind} goes on from there: the end was cut off, and "
                "books made to fit it would hide that; take that copy as the primary, or restore a backup"
            )
        vouched |= any(same)
    if vouched:
        return ""
    return (
        f"events {size + 1} to {seq} are after the signed checkpoint, and no copy that was named has the same: seal "
        "first, or name a copy that has them"
    )


def unheard(seq: int, spoken: Sequence[tuple[str, int]]) -> str:
    """
    Return why nothing is made to fit events that end at *seq* where rows speak of later ones, by table; nothing where
    none does.
    """
    beyond = [f"{table} of event {last}" for table, last in spoken if last > seq]
    if not beyond:
        return ""
    return (
        f"the events end at {seq}, and rows here speak of more ({', '.join(beyond)}): the end was cut off, or these "
        "rows were made up, and nothing that was signed tells which; take another region as the primary, or restore a "
        "backup"
    )
