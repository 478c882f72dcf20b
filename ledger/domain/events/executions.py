"""
Record what was traded, corrected and busted, and what fits no rule.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text
from ledger.domain.events.orders import Side


class Fee(Fields, frozen=True, kw_only=True):
    """
    A fee taken with a trade; negative for a rebate.
    """

    kind: Identifier
    asset: Identifier
    amount: Amount


class TradeExecuted(Event, frozen=True, kw_only=True):
    """
    A trade took place. `gross` is qty x price x multiplier, in the quote asset, and may be left out. The multiplier is
    that of the trade date, or, where that is closed and the gross is given, any that the instrument had from then up to
    the day that the trade counts for.

    The `venue` is where it was traded, which may be another than the instrument's own; the `trade_date` is that of the
    session, at most a week to come. A `settle_date` other than the calendar's needs a `settle_date_reason`. The price
    is a multiple of the instrument's tick, but for a trade of the past (`historical`) and one that reconciliation
    inferred or confirmed. Whether a sale was short need not be said: any sale fits an order to sell.
    """

    KIND: ClassVar = "fact"
    exec_id: Identifier
    venue: Identifier
    venue_trade_id: Identifier | None = None
    order_id: Identifier | None = None
    account: Identifier
    instrument: Identifier
    side: Side
    qty: Amount
    price: Amount
    gross: Amount | None = None
    fees: tuple[Fee, ...] = ()
    liquidity: Literal["maker", "taker"] | None = None
    trade_date: Date
    settle_date: Date | None = None
    settle_date_reason: Text | None = None
    counterparty: Identifier | None = None
    capacity: Identifier | None = None
    reconciliation: bool = False
    historical: bool = False


class TradeCorrected(TradeExecuted, frozen=True, kw_only=True):
    """
    An earlier execution report was wrong: `exec_ref`, the newest version of a trade, is replaced as a whole.

    `trade_date` is that of the trade as it now stands; `ref_trade_date` that of `exec_ref`, where it is another one.
    """

    KIND: ClassVar = "fact"
    exec_ref: Identifier
    ref_trade_date: Date | None = None


class TradeBusted(Event, frozen=True, kw_only=True):
    """
    A trade is void. `reopens_order` says whether the venue works what it had filled again.

    `exec_ref` is the newest version of the trade, of `ref_trade_date` where that is not `trade_date`.
    """

    KIND: ClassVar = "fact"
    exec_id: Identifier
    exec_ref: Identifier
    venue: Identifier
    trade_date: Date
    ref_trade_date: Date | None = None
    reason: Text
    reopens_order: bool = True


class FactQuarantined(Event, frozen=True, kw_only=True):
    """
    A venue fact that fits no rule, kept whole and without effect until someone decides.

    `original` is the fact's canonical JSON, of schema `original_version`; without a version it is raw text that
    the caller could not read as an event, with a rule in the caller's own word, such as `unreadable`.
    """

    KIND: ClassVar = "fact"
    original_type: Identifier
    original_version: int | None = None
    original: Text
    rule: Identifier
    detail: Text


class QuarantineResolved(Event, frozen=True, kw_only=True):
    """
    Someone decided on the quarantined fact recorded at seq `ref`.

    Accepted, it was recorded after all, at `accepted_seq`: the newest event of its type and ids since it waits.
    """

    KIND: ClassVar = "command"
    ref: int
    resolution: Literal["accepted", "duplicate", "discarded"]
    accepted_seq: int | None = None
    proposed_by: Identifier
    approved_by: Identifier | None = None
