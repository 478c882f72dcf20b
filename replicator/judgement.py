"""
Judge a signed segment against what a replica has: a signature says who wrote it, not that it belongs here.

This knows no topic, no database and no clock: the caller says what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.errors import Divergence
from replicator.segment import Segment


class Verdict(Enum):
    """
    What to do with a segment.
    """

    APPLY = "it follows the head"
    SKIP = "all of it is here"
    WAIT = "something before it is missing"


def judge(
    found: Segment,
    head: ChainHead,
    epoch: int,
    held: Mapping[int, RecordedEvent],
    hash_at: Callable[[int], bytes | None],
) -> Verdict:
    """
    Return what to do with a segment that follows, repeats or overlaps what is here up to *head*.

    *held* are the events up to the head that wait for the end of their commit; *hash_at* is the hash of one that is
    applied.

    Raises:
        Divergence: the segment contradicts what is here.
    """
    if found.first_seq > head.seq + 1:
        return Verdict.WAIT
    if found.first_seq == head.seq + 1:
        if found.prev_hash != head.hash:
            raise Divergence(
                f"event {found.first_seq} follows {found.prev_hash.hex()}; the head here is {head.hash.hex()}"
            )
        if found.epoch < epoch:
            raise Divergence(f"event {found.first_seq} is of epoch {found.epoch}, which has ended; here it is {epoch}")
        return Verdict.APPLY
    applied = min(found.last_seq, head.seq - len(held))
    for event in found.events:
        # What is applied was chained, so the newest stands for all before it; what is held was not chained yet.
        differs = event.seq in held and held[event.seq].hash != event.hash
        if differs or (event.seq == applied and hash_at(applied) != event.hash):
            raise Divergence(
                f"event {event.seq} is {event.hash.hex()} in the topic and another here: a fork; keep both, verify both"
            )
    return Verdict.SKIP if found.last_seq <= head.seq else Verdict.APPLY
