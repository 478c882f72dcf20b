"""
Record incidents and what was done about them, in the chain `ops` or in any other.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Event, Identifier, Text


class IncidentOpened(Event, frozen=True, kw_only=True):
    """
    Something went wrong with the service, from `at` (ns) on.
    """

    KIND: ClassVar = "control"
    incident_id: Identifier
    severity: Literal["critical", "major", "minor"]
    cause: Identifier
    summary: Text
    at: int


class IncidentAcknowledged(Event, frozen=True, kw_only=True):
    """
    Someone took the incident on.
    """

    KIND: ClassVar = "control"
    incident_id: Identifier
    who: Identifier
    at: int


class IncidentMitigated(Event, frozen=True, kw_only=True):
    """
    The service works again, whether or not the cause is gone.
    """

    KIND: ClassVar = "control"
    incident_id: Identifier
    how: Text
    at: int


class IncidentClosed(Event, frozen=True, kw_only=True):
    """
    Nothing more is to be done about it.
    """

    KIND: ClassVar = "control"
    incident_id: Identifier
    summary: Text
    at: int


class StepExecuted(Event, frozen=True, kw_only=True):
    """
    One step of a recovery plan was carried out.
    """

    KIND: ClassVar = "control"
    plan: Identifier
    step: Identifier
    outcome: Literal["done", "failed", "skipped"]
    detail: Text
    incident_id: Identifier | None = None
    started_at: int
    ended_at: int


class DegradationChanged(Event, frozen=True, kw_only=True):
    """
    A component does less than it should, or more again.
    """

    KIND: ClassVar = "control"
    component: Identifier
    from_level: Identifier
    to_level: Identifier
    reason: Text
