"""
Rewrite history as well as somebody can who owns every database and has no key.

Three degrees. `relink` edits some events and makes every hash after them anew, in place: the chain is good again, and
what follows from the events is not. `remade` decides every event anew after some were changed, left out or put in, by
the ledger's own rules: amounts, versions and consequences are those of the other history. `installed` then builds a
whole database of it, read models, digests and head included, as a replica would: no two rows in it disagree. `grown`
makes the tree over it as well.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from ledger.chain import entry
from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.cli.seal import opened
from ledger.domain import fold
from ledger.domain.fold import Context
from ledger.domain.row_bytes import digest_after
from ledger.domain.state import State
from ledger.sealing.growth import Growth
from ledger.storage import chains, events, read_models
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.tamper.way import Unexpected
from tests.verifier.intruder import Intruder

Change = Callable[[RecordedEvent], RecordedEvent]
_EPOCH: Final = datetime.date(1970, 1, 1)


def linked(history: Iterable[RecordedEvent], head: ChainHead) -> list[RecordedEvent]:
    """Return the events with every link after *head* made anew."""
    made = []
    for event in history:
        event = msgspec.structs.replace(event, prev_hash=head.hash)
        head = head.extend(event)
        made.append(msgspec.structs.replace(event, hash=head.hash))
    return made


def relink(intruder: Intruder, history: Sequence[RecordedEvent], seq: int, change: Change) -> None:
    """Change event *seq* in the database, and every hash from there to the head."""
    old = history[seq - 1 :]
    new = linked([change(old[0]), *old[1:]], ChainHead(seq - 1, old[0].prev_hash))
    columns = [name for name in RecordedEvent.__struct_fields__ if name not in ("chain_id", "seq", "prev_hash", "hash")]
    changed = [name for name in columns if getattr(new[0], name) != getattr(old[0], name)]
    with intruder.connection.transaction():
        intruder.connection.execute("ALTER TABLE ledger.events DISABLE TRIGGER ALL")
        sets = ", ".join(f"{name} = %s" for name in changed)
        if changed:
            intruder.connection.execute(
                f"UPDATE ledger.events SET {sets} WHERE seq = %s", [*(_stored(new[0], name) for name in changed), seq]
            )
        with intruder.connection.cursor() as cursor:
            cursor.executemany("UPDATE ledger.events SET prev_hash = %s, hash = %s WHERE seq = %s",
                               [(event.prev_hash, event.hash, event.seq) for event in new])  # fmt: skip
    intruder.edit("events", "SELECT 1")
    last = new[-1]
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET hash = %s, recorded_at = %s, epoch = %s", last.hash,
                  last.recorded_at, last.epoch)  # fmt: skip


def _stored(event: RecordedEvent, name: str) -> Any:
    value = getattr(event, name)
    if name == "effective_on":
        return _EPOCH + datetime.timedelta(days=value)
    if name in ("event_id", "group_id", "correlation_id", "causation_id"):
        return None if value == entry.NO_ID else value.hex()
    return value.decode() if name == "payload" else value


def given(event: RecordedEvent, old: bytes, new: bytes) -> RecordedEvent:
    """Return the event with *new* instead of *old* in what its caller gave."""
    derived, asked = split_payload(event.payload)
    if old not in asked:
        raise Unexpected(f"event {event.seq} was not given {old!r} but {asked!r}")
    payload = b'{"derived":' + derived + b',"given":' + asked.replace(old, new) + b"}"
    return msgspec.structs.replace(event, payload=payload)


def remade(history: Iterable[RecordedEvent]) -> list[RecordedEvent]:
    """
    Return a history in which each event is what the rules make of what was given, in the order in which they are.

    Seqs count from one, and groups, requests and links are made anew.
    """
    state, decided = State(certain=True), []
    for seq, event in enumerate(history, 1):
        _, asked = split_payload(event.payload)
        wanted, written = fold.asked(event.event_type, event.schema_version, asked)
        context = Context(seq, event.recorded_at, event.occurred_at)
        # What stood in a group, or was quarantined, may be so again.
        made = fold.record(state, wanted, context, written, alone=False)
        payload = b'{"derived":' + made.derived + b',"given":' + made.given + b"}"
        decided.append(msgspec.structs.replace(
            event, seq=seq, payload=payload, event_type=made.event_type, schema_version=made.schema_version,
            stream=made.stream, stream_version=made.stream_version, effective_on=made.effective_on,
        ))  # fmt: skip
    first = decided[0]
    return linked(_requested(decided), ChainHead(0, genesis(first.chain_id, ORIGIN)))


def _requested(history: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """Return the events with the request hash of each group made anew."""
    made: list[RecordedEvent] = []
    for event in history:
        if event.group_index == 0:
            group = history[event.seq - 1 : event.seq - 1 + event.group_size]
            parts = [(x.event_type, x.schema_version, x.occurred_at, split_payload(x.payload)[1]) for x in group]
            asked = entry.request_hash(event.salt, parts)
        made.append(msgspec.structs.replace(event, request_hash=asked))
    return made


def _ends(event: RecordedEvent) -> bool:
    return event.group_index == event.group_size - 1


def installed(region: Database, history: Sequence[RecordedEvent], ends: Collection[int]) -> Database:
    """
    Build in an empty database all that a region has that recorded *history*, and return it.

    *ends* are the last seqs of the transactions, as far as groups end there.
    """
    state, digest, before = State(certain=True), StateDigest(), 0
    chain_id = history[0].chain_id
    with contextlib.closing(db.connect(region.dsn("applier"), "tamper")) as connection:
        chain = chains.create(connection, chain_id, ORIGIN, genesis(chain_id, ORIGIN), "replica").chain
        connection.commit()
        while before < len(history):
            mark, run = state.begin(), [history[before]]
            while run[-1].seq < len(history) and not (_ends(run[-1]) and run[-1].seq in ends):
                run.append(history[run[-1].seq])
            for event in run:
                derived, asked = split_payload(event.payload)
                stored = (event.stream, event.stream_version, event.effective_on)
                context = Context(event.seq, event.recorded_at, event.occurred_at)
                wrong = fold.replay(state, event.event_type, event.schema_version, asked, derived, stored, context)
                if wrong:
                    raise Unexpected(f"event {event.seq} of the forged history is not by the rules: {wrong[0]}")
            changes = state.changes(mark)
            digest = digest_after(digest.lanes(), changes)
            last = run[-1]
            chains.advance(connection, chain, last.seq, last.hash, last.recorded_at, last.epoch)
            events.insert(connection, chain, run)
            keys = [(event.source, event.idempotency_key, event.seq) for event in run if event.group_index == 0]
            events.insert_keys(connection, chain, keys)
            read_models.write(connection, chain, changes)
            chains.write_lanes(connection, chain, last.seq, digest.lanes())
            chains.insert_commit(connection, chain, before + 1, last.seq, digest.digest(), last.recorded_at)
            connection.commit()
            before = last.seq
    with Intruder(region) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'primary'")
    return region


def grown(region: Database) -> Database:
    """Make the tree over what is in *region* anew, as `tradeledger seal` would, and return the region."""
    with Intruder(region) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles")
    connection, chain = opened(region.dsn("sealer"), ORIGIN)
    with contextlib.closing(connection):
        Growth(connection, chain).catch_up()
    return region


def checkpoints_of(source: Database, region: Database) -> Database:
    """Store in *region* the checkpoints that stand in another, and return it."""
    with db.connect(source.dsn("auditor"), "tamper") as connection:
        kept = connection.execute("SELECT size, root, note, sealed_at FROM ledger.checkpoints ORDER BY size").fetchall()
    with Intruder(region) as intruder:
        for row in kept:
            intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints VALUES (1, %s, %s, %s, %s)", *row)
    return region
