"""
Say whether what is said of the books as a whole may be said.
"""

from __future__ import annotations

from typing import Any

from ledger.domain.events.control import (
    ChainCreated,
    CheckpointSealed,
    KeyDestroyed,
    MarkRecorded,
    PeriodClosed,
    ReconciliationRecorded,
    SchemaRegistered,
)
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from tests.model import control, periods, reference
from tests.model.approvals import approved
from tests.model.firm import SCHEMAS, SIGNED, SIGNERS
from tests.model.history import History, number
from tests.model.moment import Moment


def creates(_: History, __: ChainCreated, now: Moment) -> bool:
    return now.seq == 1


def resolves(history: History, event: QuarantineResolved, _: Moment) -> bool:
    if not 0 < event.ref <= len(history.entries) or event.ref in control.resolved(history):
        return False
    entry = history.entries[event.ref - 1]
    if not control.waits(entry) or not approved(history, event, "resolution"):
        return False
    if event.resolution != "accepted":
        return event.accepted_seq is None
    if event.accepted_seq is None:
        return False
    if isinstance(entry.event, FactQuarantined):
        return event.ref < event.accepted_seq <= len(history.entries)
    return event.accepted_seq == control.answer(history, event.ref)


def marks(history: History, event: MarkRecorded, now: Moment) -> bool:
    if event.day > now.day:
        return False
    if event.instrument is not None:
        return event.base is None and event.quote is None and event.instrument in reference.instruments(history)
    if event.base is None or event.quote is None or event.base == event.quote:
        return False
    return number(event.price) > 0 and {event.base, event.quote} <= set(reference.scales(history))


def reconciles(history: History, event: ReconciliationRecorded, _: Moment) -> bool:
    keys = [x.key for x in event.breaks]
    ended = [x.key for x in event.resolved]
    if len(set(keys)) < len(keys) or len(set(ended)) < len(ended) or event.matched < 0:
        return False
    for x in event.resolved:
        stood = (event.origin, x.key) in control.breaks(history) and x.key not in keys
        mended = (x.ref is not None and 0 < x.ref <= len(history.entries)) if x.how == "adjusted" else x.ref is None
        if not (stood and mended and approved(history, x, "resolution")):
            return False
    return True


def closes(history: History, event: PeriodClosed, now: Moment) -> bool:
    if not periods.closed_through(history) < event.through < now.day:
        return False
    return event.trial_balance in (None, control.trial_balance(history))


def seals(_: History, event: CheckpointSealed, now: Moment) -> bool:
    stated = event.size, event.head_hash, event.root, event.state_digest, event.key_id
    return 0 < event.size < now.seq and event.key_id in SIGNERS and SIGNED.get(event.signature) == stated


def registers(history: History, event: SchemaRegistered, _: Moment) -> bool:
    own = SCHEMAS.get((event.event_type, event.version)) == event.schema_hash
    before = {(x.event_type, x.version) for x in history.of(SchemaRegistered)}
    return own and (event.event_type, event.version) not in before


def destroys(history: History, event: KeyDestroyed, _: Moment) -> bool:
    return all(x.subject_key_id != event.subject_key_id for x in history.of(KeyDestroyed))


JUDGES: dict[Any, Any] = {
    ChainCreated: creates, QuarantineResolved: resolves, MarkRecorded: marks, ReconciliationRecorded: reconciles,
    PeriodClosed: closes, CheckpointSealed: seals, SchemaRegistered: registers, KeyDestroyed: destroys,
}  # fmt: skip
