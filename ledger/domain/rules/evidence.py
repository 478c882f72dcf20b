"""
Rule on what the chain says of itself for others to hold it to: checkpoints, schemas, backups, divergent tails.

A fold sees events one by one and knows no hash of the chain, so whether a checkpoint's or a backup's hash is that of
the chain is for who verifies those. What can be said here is: by whom, once, and of what is already there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.chain import signatures
from ledger.domain import registry, schemas
from ledger.domain.events import control as events
from ledger.domain.events.fields import Event
from ledger.domain.rows import DivergentEvent, DivergentTail, Schema
from ledger.domain.rules.control import CONTROL_STREAM
from ledger.domain.rules.ground import Broken, Effects, Now, known, next_version
from ledger.domain.state import SUBJECT_KEY, State
from ledger.errors import SignatureInvalid

CHECKPOINT_DOMAIN: Final = b"trade-ledger/cps1"


def _noted(state: State) -> Effects:
    return Effects(CONTROL_STREAM, next_version(state, CONTROL_STREAM))


def checkpoint_statement(event: events.CheckpointSealed) -> bytes:
    """
    Return what a checkpoint key signs of a sealed checkpoint.
    """
    return f"{event.size}\n{event.head_hash}\n{event.root}\n{event.state_digest}".encode()


def seal(state: State, event: events.CheckpointSealed, now: Now) -> Effects:
    """
    Of events that are there, signed by a checkpoint key that counts.
    """
    if not 0 < event.size < now.seq:
        raise Broken("size", f"found a checkpoint of {event.size} events; expected 1 to {now.seq - 1}")
    key = known(state.chain_keys, event.key_id, "key")
    if key.purpose != "checkpoint" or key.revoked:
        raise Broken("key_mismatch", f"key {event.key_id} is for {key.purpose}, or revoked; expected a checkpoint key")
    try:
        signatures.check(
            bytes.fromhex(key.public_key), CHECKPOINT_DOMAIN, checkpoint_statement(event),
            bytes.fromhex(event.signature),
        )  # fmt: skip
    except (SignatureInvalid, ValueError):
        raise Broken(
            "signature", f"the signature is not by {event.key_id} of this checkpoint; expected one that checks"
        ) from None
    return _noted(state)


def register_schema(state: State, event: events.SchemaRegistered, now: Now) -> Effects:
    """
    Each version of an event type has one hash for good, this program's own, and versions are registered as they rise.
    """
    kind = registry.kind_of(event.event_type, event.version)
    if kind is None or event.version < 1:
        raise Broken("schema_version", f"found version {event.version} of {event.event_type}; expected one that this "
                                       f"program knows: {registry.newest(event.event_type)}")  # fmt: skip
    if event.schema_hash != schemas.schema_hash(kind):
        raise Broken("schema_hash", f"found hash {event.schema_hash} of {event.event_type} in version {event.version}; "
                                    f"expected {schemas.schema_hash(kind)}, that of this program's fields")  # fmt: skip
    old = state.schemas.get(event.event_type, event.version)
    if old is not None:
        raise Broken("schema_exists", f"version {event.version} of {event.event_type} has hash {old.schema_hash} since "
                                      f"seq {old.event_seq}; expected that, or a new version")  # fmt: skip
    if event.version > 1 and state.schemas.get(event.event_type, event.version - 1) is None:
        raise Broken(
            "schema_version",
            f"found version {event.version} of {event.event_type} before the one below it; expected each in its turn",
        )
    state.schemas.put(
        Schema(event.event_type, event.version, event.schema_hash, event.encoder_version, now.seq)
    )  # fmt: skip
    stream = f"schema/{event.event_type}"
    return Effects(stream, next_version(state, stream))


def destroy_key(state: State, event: events.KeyDestroyed, now: Now) -> Effects:
    """
    A key is destroyed once.
    """
    stream = f"{SUBJECT_KEY}{event.subject_key_id}"
    if state.streams.get(stream) is not None:
        raise Broken(
            "key_destroyed", f"found {event.subject_key_id} destroyed a second time; expected a key that is there"
        )
    return Effects(stream, next_version(state, stream))


def verify_backup(state: State, event: events.BackupVerified, now: Now) -> Effects:
    """
    Of events that are there; otherwise only noted.
    """
    if not 0 < event.backup_seq < now.seq or event.seconds < 0:
        raise Broken("backup_seq", f"found a backup up to {event.backup_seq}; expected 1 to {now.seq - 1}")
    return _noted(state)


def record_tail(state: State, event: events.DivergentTailRecorded, now: Now) -> Effects:
    """
    One tail an epoch, whose count is that of its seqs.
    """
    if not 0 < event.from_seq <= event.to_seq or event.count != event.to_seq - event.from_seq + 1:
        raise Broken(
            "tail_count",
            f"found {event.count} events from {event.from_seq} to {event.to_seq}; expected as many as there are seqs",
        )
    if state.divergent_tails.get(event.epoch) is not None:
        raise Broken(
            "tail_exists", f"the divergent tail of epoch {event.epoch} is recorded already; expected one tail an epoch"
        )
    state.divergent_tails.put(
        DivergentTail(event.epoch, event.from_seq, event.to_seq, event.head_hash, event.bundle_hash, 0)
    )
    return _noted(state)


def dispose(state: State, event: events.DivergentEventDisposed, now: Now) -> Effects:
    """
    Each event of a tail is disposed of once; what is recorded elsewhere names where.
    """
    tail = state.divergent_tails.get(event.epoch)
    if tail is None:
        raise Broken(
            "unknown_tail",
            f"no divergent tail of epoch {event.epoch} is recorded; expected DivergentTailRecorded first",
        )
    if not tail.from_seq <= event.seq <= tail.to_seq:
        raise Broken(
            "not_in_tail", f"found seq {event.seq}; expected one of the tail, {tail.from_seq} to {tail.to_seq}"
        )
    if state.divergent_events.get(event.epoch, event.seq) is not None:
        raise Broken(
            "disposed_before", f"seq {event.seq} of epoch {event.epoch} was disposed of before; expected one that waits"
        )
    if (event.disposition in ("duplicate", "resubmitted")) != (event.new_seq is not None):
        raise Broken("new_seq", "give new_seq with 'duplicate' and 'resubmitted', and only with them")
    if event.new_seq is not None and not 0 < event.new_seq < now.seq:
        raise Broken("new_seq", f"found {event.new_seq}; expected the seq of an event that is recorded")
    state.divergent_events.put(DivergentEvent(event.epoch, event.seq, event.disposition, event.new_seq))
    state.divergent_tails.put(msgspec.structs.replace(tail, disposed=tail.disposed + 1))
    return _noted(state)


RULES: dict[type[Event], object] = {
    events.CheckpointSealed: seal,
    events.SchemaRegistered: register_schema,
    events.KeyDestroyed: destroy_key,
    events.BackupVerified: verify_backup,
    events.DivergentTailRecorded: record_tail,
    events.DivergentEventDisposed: dispose,
}
