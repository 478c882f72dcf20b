"""
Say which fact an event from outside is, so that one that is told again is known.
"""

from __future__ import annotations

from typing import Any

from ledger.domain.events.cash import CashMoved, FxConverted
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed, TradeSettled
from tests.model.history import History
from tests.model.trades import key_of


def identity(event: Event) -> tuple[Any, ...] | None:
    """Return the ids of a fact that has its own; what only says how an order stands has none."""
    match event:
        case TradeExecuted() | TradeBusted():
            return ("execution", *key_of(event))
        case TradeSettled():
            return "settlement", event.settlement_id
        case SettlementFailed():
            return "fail", event.settlement_id, event.date
        case CashMoved():
            return "cash", event.movement_id
        case FxConverted():
            return "fx", event.fx_id
        case CashDividendPaid():
            return "payment", event.payment_id
        case CashDividendAccrued() | SplitApplied() | InstrumentRenamed():
            return "corporate action", event.ca_id
    return None


def told_before(history: History, event: Event) -> Event | None:
    """Return what took effect under the same ids."""
    its = identity(event)
    return None if its is None else next((x for _, x in history.steps() if identity(x) == its), None)
