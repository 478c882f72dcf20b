"""
Say for which day an event counts: the day it is of, or an open one where that is closed.
"""

from __future__ import annotations

from ledger.domain.events.cash import CashMoved, FxConverted, JournalReversed
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import InstrumentAmended
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeAllocated, TradeSettled
from tests.model import money
from tests.model.history import History
from tests.model.periods import counted


def _own_day(history: History, event: Event, today: str) -> str:
    match event:
        case TradeExecuted() | TradeBusted() | TradeAllocated():
            return event.trade_date
        case TradeSettled() | SettlementFailed():
            return event.date
        case CashMoved() | FxConverted():
            return event.value_date
        case CashDividendAccrued() | SplitApplied():
            return event.ex_date
        case CashDividendPaid():
            return event.paid_on
        case InstrumentRenamed():
            return event.effective
        case InstrumentAmended():
            return event.effective_from
        case MarkRecorded():
            return event.day
        case JournalReversed():
            return counted_on_then(history, event.reverses_kind, event.reverses)
        case AllocationReversed():
            return next(x.trade_date for x in history.of(TradeAllocated) if x.allocation_id == event.allocation_id)
    return today


def counts_on(history: History, event: Event, today: str, *, quarantined: bool) -> str:
    """Return the day of an event that was just taken, or set aside, on *today*."""
    day = today if quarantined else _own_day(history, event, today)
    return counted(history, day, today)


def counted_on_then(history: History, kind: str, name: str) -> str:
    """Return for which day a movement counted when it was recorded."""
    entry = next(x for x in history.entries if not x.quarantined and money.movement_id(x.event) == (kind, name))
    return counts_on(history.until(entry.seq), entry.event, entry.day, quarantined=False)
