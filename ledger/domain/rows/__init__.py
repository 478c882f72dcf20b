"""
Describe the rows of the inline read models, one struct a table, and name every table.

These tables guard an invariant, so they are written in the transaction that appends the event: what an order
still may fill, what an account may spend, which execution ids are taken. A row here has the columns of its
table in PostgreSQL, in the same order and by the same names (`chain` apart), and the state digest is taken over
these columns and no others; docs/FORMAT.md states the bytes.
Each module here has the rows of one subject; what uses rows takes them from the package.

Amounts are integers in units of 10^-18 (`numeric` in the database), times are nanoseconds since 1970, dates are
ISO text. Structured values are canonical JSON text. Rows are never deleted.
"""

from __future__ import annotations

from typing import Final

from ledger.domain.rows.control import Break, ClosedPeriod, Control, Incident, Quarantined, Stream
from ledger.domain.rows.evidence import ChainKey, DivergentEvent, DivergentTail, Schema
from ledger.domain.rows.holdings import CorporateAction, Entitlement, Lot, LotQueue, Mark, Position
from ledger.domain.rows.money import Balance, Hold, Movement
from ledger.domain.rows.reference import Account, AccountLimits, Asset, Calendar, Instrument
from ledger.domain.rows.row import Row, TableSpec
from ledger.domain.rows.trading import Allocation, ClientOrderId, Execution, Order, SettlementFail

__all__ = [
    "TABLES", "Account", "AccountLimits", "Allocation", "Asset", "Balance", "Break", "Calendar", "ChainKey",
    "ClientOrderId", "ClosedPeriod", "Control", "CorporateAction", "DivergentEvent", "DivergentTail", "Entitlement",
    "Execution", "Hold", "Incident", "Instrument", "Lot", "LotQueue", "Mark", "Movement", "Order", "Position",
    "Quarantined", "Row", "Schema", "SettlementFail", "Stream", "TableSpec",
]  # fmt: skip


def _spec(name: str, row_type: type[Row], key: str, amounts: str = "", dates: str = "") -> TableSpec:
    return TableSpec(name, row_type, tuple(key.split()), frozenset(amounts.split()), frozenset(dates.split()))


TABLES: Final[dict[str, TableSpec]] = {
    spec.name: spec
    for spec in (
        _spec("assets", Asset, "asset", dates="moved_on"),
        _spec("instruments", Instrument, "instrument", "tick lot multiplier", "split_on"),
        _spec("calendars", Calendar, "calendar"),
        _spec("accounts", Account, "account"),
        _spec("account_limits", AccountLimits, "account asset", "floor max_position"),
        _spec(
            "orders", Order, "order_id",
            "qty price stop_price cum_qty cum_notional hold_amount hold_given asked_hold", "split_on terms_day",
        ),
        _spec("client_order_ids", ClientOrderId, "account cl_ord_id"),
        _spec(
            "executions", Execution, "venue trade_date exec_id",
            "qty price gross settled_qty settled_gross cost_change realised_change",
            "trade_date settle_date ref_trade_date root_trade_date",
        ),
        _spec("balances", Balance, "account asset", "settled unsettled held floor"),
        _spec("positions", Position, "account instrument", "qty cost realised fees opening", "day"),
        _spec("lots", Lot, "account instrument number", "qty value open_qty open_cost", "trade_date"),
        _spec("lot_queues", LotQueue, "account instrument", "base_realised"),
        _spec("corporate_actions", CorporateAction, "ca_id", dates="ex_date"),
        _spec(
            "entitlements", Entitlement, "ca_id account",
            "qty new_qty gross tax paid_gross paid_tax cost_change realised_change settled_qty",
        ),
        _spec("marks", Mark, "subject day kind", "price", "day"),
        _spec("closed_periods", ClosedPeriod, "number", dates="through"),
        _spec("holds", Hold, "hold_id"),
        _spec("movements", Movement, "kind movement_id", dates="effective_on"),
        _spec("quarantine", Quarantined, "seq"),
        _spec("breaks", Break, "source key"),
        _spec(
            "settlement_fails", SettlementFail, "settlement_id failed_on number", "qty amount",
            "failed_on trade_date new_intended_date",
        ),
        _spec("allocations", Allocation, "allocation_id", "rounding", "trade_date"),
        _spec("controls", Control, "action"),
        _spec("streams", Stream, "stream"),
        _spec("chain_keys", ChainKey, "key_id"),
        _spec("incidents", Incident, "incident_id"),
        _spec("divergent_tails", DivergentTail, "epoch"),
        _spec("divergent_events", DivergentEvent, "epoch seq"),
        _spec("schemas", Schema, "event_type schema_version"),
    )
}  # fmt: skip
"""Every inline read model, by table name, in the order in which they are written."""
