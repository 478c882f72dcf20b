"""
Rule on incidents: opened once, then acknowledged, mitigated and closed in that order of time.

An acknowledgement may be left out. Steps and degradations are only noted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.domain.events import operations as events
from ledger.domain.events.fields import Event
from ledger.domain.rows import Incident
from ledger.domain.rules.ground import Broken, Effects, Now, known, next_version
from ledger.domain.state import State
from ledger.domain.times import time_text

OPERATIONS_STREAM = "operations/steps"


def _effects(row: Incident) -> Effects:
    return Effects(f"incident/{row.incident_id}", row.version)


def open_incident(state: State, event: events.IncidentOpened, now: Now) -> Effects:
    """
    An incident with an unused id.
    """
    if state.incidents.fresh(event.incident_id) is not None:
        raise Broken("incident_exists", f"found incident {event.incident_id!r} a second time; expected a new id")
    row = Incident(event.incident_id, event.severity, event.cause, "open", event.at, None, None, None, 1)
    state.incidents.put(row)
    return _effects(row)


def _step(state: State, incident_id: str, at: int, allowed: tuple[str, ...], **changes: Any) -> Effects:
    row = known(state.incidents, incident_id, "incident")
    if row.status not in allowed:
        raise Broken("incident_status", f"incident {incident_id} is {row.status}; expected {' or '.join(allowed)}")
    latest = max(x for x in (row.opened_at, row.acknowledged_at, row.mitigated_at) if x is not None)
    if at < latest:
        raise Broken(
            "incident_time", f"found {time_text(at)}; expected {time_text(latest)} or later, when it was {row.status}"
        )
    row = msgspec.structs.replace(row, version=row.version + 1, **changes)
    state.incidents.put(row)
    return _effects(row)


def acknowledge(state: State, event: events.IncidentAcknowledged, now: Now) -> Effects:
    """
    An open incident is taken on once.
    """
    return _step(state, event.incident_id, event.at, ("open",), status="acknowledged", acknowledged_at=event.at)


def mitigate(state: State, event: events.IncidentMitigated, now: Now) -> Effects:
    """
    An incident that is not mitigated yet.
    """
    return _step(
        state, event.incident_id, event.at, ("open", "acknowledged"), status="mitigated", mitigated_at=event.at
    )  # fmt: skip


def close(state: State, event: events.IncidentClosed, now: Now) -> Effects:
    """
    A mitigated incident, once every event of every divergent tail in this chain was disposed of.
    """
    for tail in state.divergent_tails.rows.values():
        left = tail.to_seq - tail.from_seq + 1 - tail.disposed
        if left:
            raise Broken("tail_not_disposed", f"{left} events of the divergent tail of epoch {tail.epoch} wait to be "
                                              "disposed of; expected none when an incident closes")  # fmt: skip
    return _step(state, event.incident_id, event.at, ("mitigated",), status="closed", closed_at=event.at)


def note(state: State, event: Event, now: Now) -> Effects:
    """
    Recorded, and nothing follows from it.
    """
    return Effects(OPERATIONS_STREAM, next_version(state, OPERATIONS_STREAM))


RULES: dict[type[Event], object] = {
    events.IncidentOpened: open_incident,
    events.IncidentAcknowledged: acknowledge,
    events.IncidentMitigated: mitigate,
    events.IncidentClosed: close,
    events.StepExecuted: note,
    events.DegradationChanged: note,
}
