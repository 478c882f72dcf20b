"""
Record what happens to the chain and the books as a whole: keys, reigns, repairs; marks, reconciliations, closings.

These events move no value, but they are events like any other, hashed and replicated.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, get_args

from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text

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


class DivergentTailRecorded(Event, frozen=True, kw_only=True):
    """
    An old primary had events beyond the base of `epoch`; they are kept in a bundle, each to be disposed of.
    """

    KIND: ClassVar = "control"
    epoch: int
    from_seq: int
    to_seq: int
    head_hash: Identifier
    bundle_hash: Identifier
    count: int


class DivergentEventDisposed(Event, frozen=True, kw_only=True):
    """
    What became of the event that had `seq` in the divergent tail of `epoch`; `new_seq` is where it is recorded now.
    """

    KIND: ClassVar = "control"
    epoch: int
    seq: int
    disposition: Literal["duplicate", "resubmitted", "rejected", "compensated"]
    new_seq: int | None = None
    reason: Text
    decided_by: Identifier


class BackupVerified(Event, frozen=True, kw_only=True):
    """
    A backup was restored and verified up to `backup_seq`, whose hash is `head_hash`.
    """

    KIND: ClassVar = "control"
    label: Identifier
    backup_seq: int
    head_hash: Identifier
    seconds: int


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


class BreakResolution(Fields, frozen=True, kw_only=True):
    """
    What someone decided about one difference: `adjusted` (the books were mended, at seq `ref`), `theirs` (the source is
    wrong, and says so) or `explained` (it is understood, and may stand).
    """

    key: Identifier
    how: Literal["adjusted", "theirs", "explained"]
    reason: Text
    ref: int | None = None
    proposed_by: Identifier
    approved_by: Identifier | None = None


class ReconciliationRecorded(Event, frozen=True, kw_only=True):
    """
    The ledger was compared with a statement of `origin`; `breaks` are all differences that stand, `resolved` those that
    stand no more because someone decided so, `lapsed` those on which a decision of before counts no more, since
    both sides agree by now. `repeated` are those that this statement says too: of `breaks` that stood already, and of
    what someone decided before.
    """

    KIND: ClassVar = "command"
    origin: Identifier
    statement_hash: Identifier
    as_of: int
    matched: int
    breaks: tuple[Difference, ...] = ()
    resolved: tuple[BreakResolution, ...] = ()
    lapsed: tuple[Identifier, ...] = ()
    repeated: tuple[Identifier, ...] = ()


class MarkRecorded(Event, frozen=True, kw_only=True):
    """
    What one unit of an instrument, or of the currency `base` in `quote`, is worth on a day; `as_of` in ns.

    Of a day and kind the latest `as_of` counts, and of one `as_of` what was told last: correct a mark as of a later
    time, or a feed that tells the first one again, under another key, undoes it.
    """

    KIND: ClassVar = "fact"
    instrument: Identifier | None = None
    base: Identifier | None = None
    quote: Identifier | None = None
    price: Amount
    kind: Literal["eod", "settlement", "intraday"]
    day: Date
    as_of: int


class PeriodClosed(Event, frozen=True, kw_only=True):
    """
    The books are closed through a day. `trial_balance`, where given, must be the ledger's own digest of all balances.
    """

    KIND: ClassVar = "command"
    through: Date
    trial_balance: Identifier | None = None


class CheckpointSealed(Event, frozen=True, kw_only=True):
    """
    The first `size` events were sealed: chain head, Merkle root and state digest, signed by a key the chain names.
    """

    KIND: ClassVar = "command"
    size: int
    head_hash: Identifier
    root: Identifier
    state_digest: Identifier
    key_id: Identifier
    signature: Identifier


class SchemaRegistered(Event, frozen=True, kw_only=True):
    """
    The fields of an event type, in one version, have this hash.
    """

    KIND: ClassVar = "command"
    event_type: Identifier
    version: int
    schema_hash: Identifier
    encoder_version: Identifier


class KeyDestroyed(Event, frozen=True, kw_only=True):
    """
    The key under which one person's data were encrypted is gone, and with it what the data said.
    """

    KIND: ClassVar = "command"
    subject_key_id: Identifier
    authority: Text


class ControlsSet(Event, frozen=True, kw_only=True):
    """
    Which actions need a second person: resolutions of quarantined facts, manual journals, reversals; no others do.
    """

    KIND: ClassVar = "command"
    second_person: tuple[Controlled, ...]
    reason: Text
    proposed_by: Identifier
    approved_by: Identifier | None = None
