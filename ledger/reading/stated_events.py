"""
Find what a statement needs beside the events that name its account.

Postings are stored with the accounts that they move, so an account's own are found by its name. What they do to each
other by days depends on others that may not name it: on what made the trades that they settle; on a settlement of
several trades, which stores the sum of what it moves, and so nothing where that comes to nothing; and, for the issuer's
account, which is on the other side of what splits make of any, on whatever a split multiplied before its day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from ledger.chain.entry import RecordedEvent
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated, TradeSettled
from ledger.reading.known_days.split_days import TRADES, Splits
from ledger.reading.lineage import Name, lines_for, settled_by
from ledger.reading.posted import given_of, posted

OF_SEVERAL: Final = '"net":[{'
"""What the payload of a settlement of several trades has, and no other event's."""
_TELLING: Final = TRADES | {"TradeSettled"}


def _made(events: Iterable[RecordedEvent]) -> tuple[set[Name], set[Name], set[str], set[str]]:
    """Return the names of executions that are made and settled, and the ids of allocations made and reversed."""
    made, settled, allocated, reversed_ids = set[Name](), set[Name](), set[str](), set[str]()
    for event in events:
        given = given_of(event) if event.event_type in _TELLING else None
        if isinstance(given, TradeExecuted | TradeBusted):
            made.add((given.venue, given.trade_date, given.exec_id))
        elif isinstance(given, TradeSettled):
            settled.update(settled_by(given))
        elif isinstance(given, TradeAllocated):
            allocated.add(given.allocation_id)
            made.update(lines_for(given.venue, given.trade_date, given.allocation_id, len(given.lines)))
        elif isinstance(given, AllocationReversed):
            reversed_ids.add(given.allocation_id)
    return made, settled, allocated, reversed_ids


def made_elsewhere(events: Iterable[RecordedEvent]) -> tuple[set[Name], set[str]]:
    """
    Return the names of the executions that *events* settle, and the ids of the allocations that they reverse, where
    none of them made it.
    """
    made, settled, allocated, reversed_ids = _made(events)
    return settled - made, reversed_ids - allocated


def of_account(events: Iterable[RecordedEvent], named: Collection[str]) -> Iterator[RecordedEvent]:
    """
    Yield those of *events*, in order of seqs, that have one of *named* in their payloads, and those that settle what
    one of them made.
    """
    texts = [text.encode() for text in named]
    made, untold = set[Name](), list[RecordedEvent]()
    for event in events:
        if any(text in event.payload for text in texts):
            yield event
            untold.append(event)
            continue
        # A trade is recorded before what settles it.
        made |= _made(untold)[0]
        untold.clear()
        if not made.isdisjoint(_made([event])[1]):
            yield event


def multiplied_before(events: Iterable[RecordedEvent], splits: Splits) -> set[str]:
    """
    Return the assets that one of *events* moves which was told before a split of it and is of a day after the split's.
    """
    return {
        line.asset
        for event in events
        for line in posted(event)
        if any(event.seq < split.seq and split.day < event.effective_on for split in splits.get(line.asset, ()))
    }
