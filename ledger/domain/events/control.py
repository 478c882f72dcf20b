"""
Record what happens to the chain itself: its keys, its reigns, its reconciliations and repairs.

These events move no value, but they are events like any other, hashed and replicated.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, get_args

from ledger.domain.events.fields import Event, Fields, Identifier, Text

Controlled = Literal["resolution", "journal", "reversal"]
CONTROLLED: Final[tuple[str, ...]] = get_args(Controlled)
"""What may be made to need a second person."""
KeyPurpose = Literal["checkpoint", "publisher", "replica", "recovery"]


class KeyNamed(Fields, frozen=True, kw_only=True):
    """
    A public key (hexadecimal) and what it may sign.
    """

    key_id: Identifier
    purpose: KeyPurpose
    name: Identifier
    public_key: Identifier


class ChainCreated(Event, frozen=True, kw_only=True):
    """
    The first event: which chain this is, in which format, and whose signatures count.
    """

    KIND: ClassVar = "control"
    origin: Text
    format_version: int
    keys: tuple[KeyNamed, ...]


class EpochStarted(Event, frozen=True, kw_only=True):
    """
    A reign begins after (base_seq, base_hash).
    """

    KIND: ClassVar = "control"
    epoch: int
    base_seq: int
    base_hash: Identifier
    reason: Text
    from_region: Identifier


class EpochSealed(Event, frozen=True, kw_only=True):
    """
    A reign ends as planned, with the event before this one.
    """

    KIND: ClassVar = "control"
    epoch: int
    final_seq: int
    final_hash: Identifier


class RpoGuardOverridden(Event, frozen=True, kw_only=True):
    """
    Someone let the writer go on past the recovery point budget, until a time in ns.
    """

    KIND: ClassVar = "control"
    who: Identifier
    why: Text
    until: int


class KeyRotated(Event, frozen=True, kw_only=True):
    """
    A new key takes over from an old one of the same purpose and name; both signed the change.
    """

    KIND: ClassVar = "control"
    old_key_id: Identifier
    new_key: KeyNamed
    old_signature: Identifier
    new_signature: Identifier


class KeyRevoked(Event, frozen=True, kw_only=True):
    """
    A key counts no more after `last_valid_seq`; the recovery key signed this.
    """

    KIND: ClassVar = "control"
    key_id: Identifier
    last_valid_seq: int
    reason: Text
    signature: Identifier


class HistoryRepaired(Event, frozen=True, kw_only=True):
    """
    Rows of history were mended from a good copy.
    """

    KIND: ClassVar = "control"
    from_seq: int
    to_seq: int
    good_copy: Text
    report_digest: Identifier
    reason: Text


class Difference(Fields, frozen=True, kw_only=True):
    """
    One value on which the ledger and an outside source disagree.
    """

    key: Identifier
    ledger: Text
    external: Text


class ReconciliationRecorded(Event, frozen=True, kw_only=True):
    """
    The ledger was compared with a statement of `source`; `breaks` are all differences that stand.
    """

    KIND: ClassVar = "command"
    origin: Identifier
    statement_hash: Identifier
    as_of: int
    matched: int
    breaks: tuple[Difference, ...] = ()


class ControlsSet(Event, frozen=True, kw_only=True):
    """
    Which actions need a second person: resolutions of quarantined facts, manual journals, reversals; no others do.
    """

    KIND: ClassVar = "command"
    second_person: tuple[Controlled, ...]
    reason: Text
    proposed_by: Identifier
    approved_by: Identifier | None = None
