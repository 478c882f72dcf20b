"""
Describe the rows by which the books are watched: closings, quarantine, breaks, second persons, incidents.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class ClosedPeriod(Row, frozen=True, gc=False):
    """
    One closing of the books, numbered from 1; the last one says how far they are closed. Stream `period/ledger`.
    """

    number: int
    through: str
    event_seq: int
    trial_balance: str


class Quarantined(Row, frozen=True, gc=False):
    """
    A venue fact that fits no rule, waiting for someone to decide. `seq` is that of its FactQuarantined.

    `subject` is what the fact is about: its type and ids, or nothing where it could not be read. `answered_seq` is the
    newest event of that subject that was recorded while the fact waited.
    """

    seq: int
    original_type: str
    subject: str | None
    rule: str
    status: str
    answered_seq: int | None
    resolution: str | None
    proposed_by: str | None
    approved_by: str | None


class Break(Row, frozen=True, gc=False):
    """
    A difference between the ledger and an outside source, from when it appeared to when it ended.
    """

    source: str
    key: str
    ledger_value: str
    external_value: str
    as_of: int
    opened_seq: int
    closed_seq: int | None


class Control(Row, frozen=True, gc=False):
    """
    Whether an action needs a second person, since the event at `event_seq`.
    """

    action: str
    second_person: bool
    event_seq: int


class Stream(Row, frozen=True, gc=False):
    """
    The version of a stream whose entity has no row of its own: of the chain's own streams, marks and schemas, which
    stay few, and of keys that were destroyed.
    """

    stream: str
    version: int


class Incident(Row, frozen=True, gc=False):
    """
    Something that went wrong with the service, and how far it was dealt with. Stream `incident/…`. Times are in ns.
    """

    incident_id: str
    severity: str
    cause: str
    status: str
    opened_at: int
    acknowledged_at: int | None
    mitigated_at: int | None
    closed_at: int | None
    version: int
