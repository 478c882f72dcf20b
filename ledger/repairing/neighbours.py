"""
Follow the links of events that are to be restored to their neighbours, which stand as somebody may have written them.

Events are signed in one chain, so a neighbour that does not link with a proven event is none that was signed, whether
a report names it or not: a report lists only so many of a class. It is asked for as well, and where no copy has it the
events beside it cannot be restored either, since what links before would be torn.

Pure: what stands comes in as (prev hash, hash) by seq.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from ledger.chain.entry import RecordedEvent
from ledger.repairing.proving import EVENTS_LIMIT

Links: TypeAlias = Mapping[int, tuple[bytes, bytes]]

GROWTH: Final = 9
"""
How many times as many as were asked for are asked for next: events are mostly hashed again up to the last one, and
each time may read all of a copy.
"""


def around(planned: Collection[int]) -> list[int]:
    """
    Return the seqs of the *planned* events and of their neighbours, in order.
    """
    return sorted({near for seq in planned for near in (seq - 1, seq, seq + 1)})


def unasked(planned: Mapping[int, RecordedEvent], links: Links, asked: Collection[int], size: int) -> list[int]:
    """
    Return the signed seqs to ask for next, in order: from each neighbour on that does not link and was not *asked* for.

    None where there is no such neighbour up to *size*; more than `EVENTS_LIMIT` with those asked for where one plan
    cannot have them all.
    """
    steps = {
        near: near - seq
        for seq in planned
        for near in _torn(planned, links, seq)
        if 1 <= near <= size and near not in asked
    }
    if not steps:
        return []
    reach = max(1, min(GROWTH * len(asked), EVENTS_LIMIT - len(asked)) // len(steps))
    found = {seq for near, step in steps.items() for seq in range(near, near + step * reach, step)}
    return sorted(seq for seq in found if 1 <= seq <= size and seq not in asked)


def unlinked(planned: Mapping[int, RecordedEvent], links: Links) -> dict[int, int]:
    """
    Return those of the *planned* events that cannot be restored, each with the neighbour that does not link with it.

    That neighbour stays as it is: it was not planned, or cannot be restored itself.
    """
    kept, left = dict(planned), dict[int, int]()
    doubtful = list(planned)
    while doubtful:
        seq = doubtful.pop()
        torn = _torn(kept, links, seq) if seq in kept else []
        if torn:
            left[seq] = torn[0]
            del kept[seq]
            doubtful += [seq - 1, seq + 1]
    return left


def _torn(planned: Mapping[int, RecordedEvent], links: Links, seq: int) -> list[int]:
    """Return the neighbours of a planned event that stay as they are and do not link with it."""
    event = planned[seq]
    return [
        near for near in (seq - 1, seq + 1)
        if near not in planned and near in links
        and (links[near][1] != event.prev_hash if near < seq else links[near][0] != event.hash)
    ]  # fmt: skip
