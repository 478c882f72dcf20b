"""
Rewrite history as well as it can be done without the keys: an event, every hash after it, and the head.

Then no hash is wrong any more, and what is found is the broken invariant itself.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

import msgspec
import psycopg
import pytest

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.storage import chains, events
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.verifier.intruder import copied, real, report_on

Change = Callable[[RecordedEvent, RecordedEvent], RecordedEvent]
Choice = Callable[[RecordedEvent], bool]


def _with(**columns: object) -> Change:
    return lambda event, before: msgspec.structs.replace(event, **columns)


def _unbalanced(event: RecordedEvent, before: RecordedEvent) -> RecordedEvent:
    payload = re.sub(rb'("settled","-?)', rb"\g<1>9", event.payload, count=1)
    assert payload != event.payload
    return msgspec.structs.replace(event, payload=payload)


def _clock(event: RecordedEvent, before: RecordedEvent) -> RecordedEvent:
    return msgspec.structs.replace(event, recorded_at=before.recorded_at)


def _is(kind: str) -> Choice:
    return lambda event: event.event_type == kind


def _alone(event: RecordedEvent) -> bool:
    return event.seq > 5 and event.group_size == 1


REWRITTEN: dict[str, tuple[str, Choice, Change]] = {
    "I1": ("CHAIN_BREAK", _is("FeeCharged"), _with(prev_hash=bytes(32))),
    "I3": ("CLOCK", _is("FeeCharged"), _clock),
    "I4": ("STATE_MISMATCH", _is("FeeCharged"), _with(stream_version=1000)),
    "I5": ("REQUEST_MISMATCH", _is("FeeCharged"), _with(request_hash=bytes(32))),
    "I7": ("STATE_MISMATCH", _is("FeeCharged"), _unbalanced),
    "I16": ("STATE_MISMATCH", lambda x: b'"late"' in x.payload, _with(
        effective_on=(datetime.date(2024, 7, 31) - datetime.date(1970, 1, 1)).days)),
    "I17": ("GROUP_PARTIAL", _alone, _with(group_size=2)),
}  # fmt: skip


def rewrite(database: Database, choice: Choice, change: Change) -> int:
    """Make *change* to the first event of *choice*, redo all that follows, and return its seq."""
    with db.connect(database.dsn("auditor"), "test") as reader:
        chain = chains.find(reader, ORIGIN)
        stored = list(events.read(reader, chain.chain, chain.chain_id))
    place = next(n for n, event in enumerate(stored) if n and choice(event))
    new = change(stored[place], stored[place - 1])
    head = ChainHead(new.seq - 1, new.prev_hash).extend(new)
    redone = [msgspec.structs.replace(new, hash=head.hash)]
    for event in stored[place + 1 :]:
        linked = msgspec.structs.replace(event, prev_hash=head.hash)
        head = head.extend(linked)
        redone.append(msgspec.structs.replace(linked, hash=head.hash))
    with psycopg.connect(database.server.dsn("postgres", database.name)) as intruder:
        for table in ("events", "chain_heads"):
            intruder.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
        for x in redone:
            intruder.execute(
                "UPDATE ledger.events SET prev_hash = %s, hash = %s, recorded_at = %s, stream_version = %s, "
                "request_hash = %s, effective_on = date '1970-01-01' + %s, group_size = %s, payload = %s "
                "WHERE chain = %s AND seq = %s",
                [x.prev_hash, x.hash, x.recorded_at, x.stream_version, x.request_hash, x.effective_on, x.group_size,
                 x.payload.decode(), chain.chain, x.seq],
            )  # fmt: skip
        intruder.execute("UPDATE ledger.chain_heads SET hash = %s WHERE chain = %s", [head.hash, chain.chain])
    return new.seq


@pytest.mark.parametrize("number", REWRITTEN)
def test_a_history_that_was_rehashed_still_breaks_the_rule(written: Database, number: str) -> None:
    """The finding names the event whose invariant is broken, and no hash is wrong."""
    kind, choice, change = REWRITTEN[number]
    with copied(written) as copy:
        seq = rewrite(copy, choice, change)
        found = [x for x in real(report_on(copy)) if x.seq == seq]
    assert kind in {finding.kind for finding in found}
    assert "BYTES_MODIFIED" not in {finding.kind for finding in found}
