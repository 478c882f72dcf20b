"""
Prove events by all those of a copy, and take no other one that it says beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pytest
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import RecordedEvent
from ledger.errors import SetupNeeded, UnknownFormat
from ledger.evidence import policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tiles import Tile
from ledger.evidence.tree import Frontier
from ledger.repairing.proving import Proven, Prover, fetch, newest
from tests.archiving import chains

EVENTS = chains.chain(300)


class TwoFaced:
    """A copy without tiles that says what is true to whoever reads all of it, and one event otherwise by itself."""

    kind, mode = "replica", ""

    def __init__(self, false: RecordedEvent) -> None:
        self.chain_id, self._false = chains.CHAIN_ID, false
        self.walks = 0

    def newest(self, upto: int) -> RecordedEvent | None:
        return EVENTS[upto - 1]

    def events(self, seqs: Sequence[int]) -> dict[int, list[RecordedEvent]]:
        return {seq: [self._false if seq == self._false.seq else EVENTS[seq - 1]] for seq in seqs}

    def all_events(self, upto: int) -> Iterator[RecordedEvent]:
        self.walks += 1
        return iter(EVENTS[:upto])

    def tile(self, tile: Tile) -> bytes | None:
        return None

    def notes(self) -> Iterable[bytes]:
        return []

    def note(self, size: int) -> bytes | None:
        return None


def stated() -> Checkpoint:
    edge = Frontier()
    for event in EVENTS:
        edge.add(tree.leaf_hash(entries.encode(event)))
    return Checkpoint(chains.ORIGIN, len(EVENTS), edge.root())


def test_an_event_is_proven_by_the_very_walk_that_has_the_root() -> None:
    """One that is hashed well, at a place where another stands in the walk, is not; the others are, by one walk."""
    false = msgspec.structs.replace(EVENTS[199], actor="mallory")
    copy = TwoFaced(msgspec.structs.replace(false, hash=blake3(entries.encode(false)).digest()))
    prover = Prover(stated(), [copy])
    proven, reasons = fetch([1, 200, 300], [copy], prover)
    assert {seq: one.event for seq, one in proven.items()} == {1: EVENTS[0], 300: EVENTS[299]}
    assert "is not shown to be in the checkpoint" in reasons[200]
    assert copy.walks == 1
    assert isinstance(prover.prove(EVENTS[199], copy), Proven)
    assert isinstance(prover.prove(EVENTS[99], copy), Proven)
    assert not isinstance(prover.prove(msgspec.structs.replace(EVENTS[99], actor="x"), copy), Proven)


def test_of_a_copy_s_checkpoints_no_more_are_read_than_are_needed() -> None:
    """Largest first, and the first that is accepted; of several copies it is the largest of these."""
    rules = policy.decode(chains.POLICY_TEXT)
    sizes = [260, 270, 280]
    small, middle, large = (chains.signed(EVENTS, size) for size in sizes)

    def copy(*notes: bytes) -> Iterator[bytes]:
        yield from notes
        raise AssertionError("more were read than are needed")

    for copies in ([copy(b"junk", middle), copy(large)], [copy(large), copy(b"x", small)], [[], copy(large)]):
        assert newest(rules, copies, chains.ORIGIN).checkpoint.size == 280
    with pytest.raises(UnknownFormat):
        newest(rules, [[b"junk"], []], chains.ORIGIN)
    with pytest.raises(SetupNeeded):
        newest(rules, [[], []], chains.ORIGIN)
