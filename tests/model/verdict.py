"""
Say from a history what must become of an event: taken, told before, kept aside, or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.domain.events.cash import CashMoved, FxConverted
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed, TradeSettled
from tests.model import (
    approvals,
    control,
    verdicts_after_the_trade,
    verdicts_on_cash,
    verdicts_on_control,
    verdicts_on_issuers,
    verdicts_on_orders,
    verdicts_on_reference,
    verdicts_on_trades,
)
from tests.model.facts import told_before
from tests.model.history import History, number
from tests.model.moment import Moment

Judge = Callable[[History, Any, Moment], bool]
JUDGES: dict[type[Event], Judge] = {
    **verdicts_on_reference.JUDGES, **verdicts_on_orders.JUDGES, **verdicts_on_trades.JUDGES,
    **verdicts_on_cash.JUDGES, **approvals.JUDGES,
    **verdicts_after_the_trade.JUDGES,
    **verdicts_on_issuers.JUDGES, **verdicts_on_control.JUDGES,
}  # fmt: skip


def takes_effect(event: Event) -> str | None:
    """Return the day on which a fact that was announced takes effect; trades have rules of their own."""
    match event:
        case CashMoved() | FxConverted():
            return event.value_date
        case CashDividendAccrued() | SplitApplied():
            return event.ex_date
        case CashDividendPaid():
            return event.paid_on
        case InstrumentRenamed():
            return event.effective
        case TradeSettled() | SettlementFailed():
            return event.date
    return None


def verdict(history: History, event: Event, now: Moment) -> str:
    """Return `accepted`, `duplicate`, `quarantined` or `refused`."""
    if isinstance(event, MarkRecorded) and (event.instrument is None or event.base is event.quote is None):
        stands = control.marks(history).get((control.subject(history, event), event.day, event.kind))
        if stands == (number(event.price), event.as_of):
            return "duplicate"
    before = told_before(history, event)
    if before is not None:
        return "duplicate" if before == event else "quarantined"
    if (day := takes_effect(event)) is not None and day > now.day:
        return "quarantined"
    if JUDGES[type(event)](history, event, now):
        return "accepted"
    return "quarantined" if event.KIND == "fact" else "refused"
