"""
Name what known days lack, where an event counts for them and what it is about does not.

Every event type is either skipped by the fold of known days, because what it says is known from the start, or it is
here with the tables that lack it when it finds no ground. None is left to a guess: a table that is not named would be
answered without the event.
"""

from __future__ import annotations

from collections import defaultdict
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
from ledger.reading.lineage import needed_by, told_by

About = dict[str, frozenset[str | None]]
"""By columns, what the rows that lack an event have in them: one of so many values each."""


class Misfit(msgspec.Struct, frozen=True):
    """
    An event that counts for the days asked about and finds no ground in them; `lacking` names the tables without it,
    and `about` what is known of the rows that lack it: of which accounts, orders and allocations they are, and of which
    `kind` if they are movements.
    """

    seq: int
    event_type: str
    rule: str
    detail: str
    lacking: frozenset[str]
    about: About = {}

    def concerns(self, table: str, equal: Mapping[str, Any]) -> bool:
        """
        Return whether one of those rows of *table* whose columns are as in *equal* (None: any) may lack the event.
        """
        columns = self.about.keys() if table == "movements" else self.about.keys() - {"kind"}
        of_others = any(equal.get(name) is not None and equal[name] not in self.about[name] for name in columns)
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


_KINDS: Final[dict[type[Event], str]] = {
    FeeCharged: "fee", CashMoved: "cash", JournalPosted: "journal", JournalReversed: "journal", FxConverted: "fx",
    TradeSettled: "settlement", CashDividendPaid: "dividend",
}  # fmt: skip
"""The kind of the movement that an event makes."""


def about(given: Event, whole: State) -> About:
    """
    Return what is known of the rows that *given* makes or changes, as *whole*, all that was known, has them: accounts,
    orders (None: of no order), allocations, kinds of movements. What it says nothing of may be any.
    """
    found: dict[str, set[str | None]] = defaultdict(set)
    if type(given) in _KINDS:
        found["kind"].add(_KINDS[type(given)])
    if isinstance(given, JournalReversed):
        found["kind"].add(given.reverses_kind)
    for name in {*needed_by(given, whole), *told_by(given, whole)}:
        row = whole.executions.rows[name]
        found["account"].add(row.account)
        found["order_id"].add(row.order_id)
    if isinstance(given, TradeAllocated | AllocationReversed):
        found["allocation_id"].add(given.allocation_id)
    elif isinstance(given, CashDividendAccrued | CashDividendPaid):
        lines = given.entitlements if isinstance(given, CashDividendAccrued) else given.lines
        found["account"].update(line.account for line in lines)
    if "account" not in found:
        order = whole.orders.get(getattr(given, "order_id", None))
        account = getattr(given, "account", None) if order is None else order.account
        if account is not None:
            found["account"].add(account)
        if order is not None:
            found["order_id"].add(order.order_id)
    return {name: frozenset(values) for name, values in found.items()}


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
