"""
Name what known days lack, where an event counts for them and what it is about does not.

Every event type is either skipped by the fold of known days, because what it says is known from the start, or it is
here with the tables that lack it when it finds no ground. None is left to a guess: a table that is not named would be
answered without the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.domain.events.cash import (
    CashMoved,
    FeeCharged,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
)
from ledger.domain.events.control import MarkRecorded, ReconciliationRecorded
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import (
    FactQuarantined,
    QuarantineResolved,
    TradeBusted,
    TradeCorrected,
    TradeExecuted,
)
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeAllocated, TradeSettled
from ledger.domain.rules import (
    approval,
    control,
    evidence,
    operations,
    order_reports,
    order_requests,
    periods,
    reference,
)
from ledger.domain.state import State
from ledger.reading.lineage import name_of, versions_before


class Misfit(msgspec.Struct, frozen=True):
    """
    An event that counts for the days asked about and finds no ground in them; `lacking` names the tables without it,
    and `about` the account and the order of the rows that lack it, where it is about those of one alone.
    """

    seq: int
    event_type: str
    rule: str
    detail: str
    lacking: frozenset[str]
    about: dict[str, str | None] = {}

    def concerns(self, table: str, equal: Mapping[str, Any]) -> bool:
        """
        Return whether one of those rows of *table* whose columns are as in *equal* (None: any) may lack the event.
        """
        of_others = any(equal.get(name) not in (None, value) for name, value in self.about.items())
        return table in self.lacking and not of_others


SKIPPED: Final = frozenset(
    {
        *reference.RULES, *control.RULES, *evidence.RULES, *operations.RULES, *periods.RULES, *approval.RULES,
        InstrumentRenamed,
    }
) - {ReconciliationRecorded}  # fmt: skip
"""What the fold of known days leaves out: it is known from the start, or refuses nothing there."""

HOLDINGS: Final = frozenset({"executions", "positions", "lots"})
"""The tables of a trade itself; its order lacks it besides."""


def about(given: Event, whole: State) -> dict[str, str | None]:
    """
    Return the account and the order (None: no order) that *given* is about, as *whole*, all that was known, has them;
    neither where it may be about several, or about any.
    """
    if isinstance(given, TradeExecuted | TradeBusted):
        versions = (whole.executions.get(*name) for name in (name_of(given), *versions_before(given, whole)) if name)
        rows = [row for row in versions if row is not None]
        found: dict[str, set[str | None]] = {
            "account": {x.account for x in rows},
            "order_id": {x.order_id for x in rows},
        }
        return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}
    order = whole.orders.get(getattr(given, "order_id", None))
    if order is not None:
        return {"account": order.account, "order_id": order.order_id}
    account = getattr(given, "account", None)
    return {} if account is None else {"account": account}


OF_ORDERS: Final[frozenset[Any]] = frozenset({*order_requests.RULES, *order_reports.RULES})
"""What is said of orders alone."""
_ORDERS: Final = frozenset({"orders", "client_order_ids"})
_QUARANTINE: Final = frozenset({"quarantine"})
_MOVEMENTS: Final = frozenset({"movements"})
_HOLDS: Final = frozenset({"holds"})
_ALLOCATIONS: Final = HOLDINGS | {"allocations"}
_OF_TRADE: Final = frozenset({"orders"})
LACKING: Final[dict[type[Event], frozenset[str]]] = {
    **dict.fromkeys(OF_ORDERS, _ORDERS),
    TradeExecuted: _OF_TRADE,
    TradeCorrected: _OF_TRADE,
    TradeBusted: _OF_TRADE,
    FactQuarantined: _QUARANTINE,
    QuarantineResolved: _QUARANTINE,
    FeeCharged: _MOVEMENTS,
    CashMoved: _MOVEMENTS,
    JournalPosted: _MOVEMENTS,
    JournalReversed: _MOVEMENTS,
    FxConverted: _MOVEMENTS,
    HoldPlaced: _HOLDS,
    HoldReleased: _HOLDS,
    ReconciliationRecorded: frozenset({"breaks"}),
    TradeSettled: _MOVEMENTS | {"executions"},
    SettlementFailed: frozenset({"settlement_fails"}),
    TradeAllocated: _ALLOCATIONS,
    AllocationReversed: _ALLOCATIONS,
    CashDividendAccrued: frozenset({"corporate_actions", "entitlements"}),
    CashDividendPaid: _MOVEMENTS | {"entitlements"},
    SplitApplied: frozenset({"corporate_actions", "entitlements", "orders", "positions", "lots"}),
    MarkRecorded: frozenset({"marks"}),
}
"""Which tables lack an event that found no ground. Balances lack none: they are sums of what was posted."""
