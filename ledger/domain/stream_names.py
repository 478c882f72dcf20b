"""
Say which stream each event type goes to.

The rules put events there, each with the next version of its stream; this names the streams for whoever asks for one
(`tradeledger show history`, `Books.stream`) or expects a version of one (`Ledger.append`). An id in angle brackets is
a field of the event, or of the fact that it refers to; a mark told by an old name of its instrument goes to the new.
"""

from __future__ import annotations

from typing import Final

ORDER: Final = "order/<order_id>"
ACCOUNT: Final = "account/<account>"

_TYPES: Final[dict[tuple[str, ...], str]] = {
    ("asset/<asset>",): "AssetDefined",
    ("instrument/<instrument>",): "InstrumentDefined InstrumentAmended",
    ("instrument/<new>",): "InstrumentRenamed",
    ("calendar/<calendar>",): "CalendarPublished",
    (ACCOUNT,): "AccountOpened AccountLimitsSet AccountStatusSet CashMoved FeeCharged FxConverted TradeSettled "
                "SettlementFailed",
    (ORDER,): "OrderPlaced OrderAccepted OrderRejected OrderTriggered ReplaceRequested OrderReplaced ReplaceRejected "
              "CancelRequested OrderCanceled CancelRejected OrderExpired OrderDoneForDay OrderRestated",
    (ORDER, ACCOUNT): "TradeExecuted TradeCorrected TradeBusted",
    ("quarantine/facts",): "FactQuarantined QuarantineResolved",
    ("allocation/<allocation_id>",): "TradeAllocated AllocationReversed",
    ("hold/<hold_id>",): "HoldPlaced HoldReleased",
    ("journal/<journal_id>",): "JournalPosted JournalReversed",
    ("corporate-action/<ca_id>",): "CashDividendAccrued CashDividendPaid SplitApplied",
    ("mark/<instrument>", "mark/<base>/<quote>"): "MarkRecorded",
    ("reconciliation/<origin>",): "ReconciliationRecorded",
    ("period/ledger",): "PeriodClosed",
    ("schema/<event_type>",): "SchemaRegistered",
    ("subject-key/<subject_key_id>",): "KeyDestroyed",
    ("chain/control",): "ChainCreated EpochStarted EpochSealed DivergentTailRecorded DivergentEventDisposed "
                        "BackupVerified RpoGuardOverridden KeyRotated KeyRevoked HistoryRepaired CheckpointSealed "
                        "ControlsSet",
    ("incident/<incident_id>",): "IncidentOpened IncidentAcknowledged IncidentMitigated IncidentClosed",
    ("operations/steps",): "StepExecuted DegradationChanged",
}  # fmt: skip

STREAMS: Final[dict[str, tuple[str, ...]]] = {
    name: streams for streams, names in _TYPES.items() for name in names.split()
}
"""The stream of each event type; where there are two, the second is that of an event without the id of the first."""
