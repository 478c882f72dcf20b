"""
Follow one order through its life, in facts; its status is derived from them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Amount, Event, Fields, Identifier, Text

Side = Literal["buy", "sell", "sell_short"]


class HoldGiven(Fields, frozen=True, kw_only=True):
    """
    A hold that the caller sets in place of the ledger's own, and why.
    """

    asset: Identifier
    amount: Amount
    reason: Text


class OrderPlaced(Event, frozen=True, kw_only=True):
    """
    The engine places an order; what it may cost is held.

    `historical` records an order of the past as a fact: it is never refused for want of money.
    """

    KIND: ClassVar = "command"
    order_id: Identifier
    cl_ord_id: Identifier
    account: Identifier
    instrument: Identifier
    side: Side
    qty: Amount
    ord_type: Literal["market", "limit", "stop", "stop_limit", "other"]
    price: Amount | None = None
    stop_price: Amount | None = None
    tif: Literal["day", "gtc", "ioc", "fok", "gtd", "opg", "cls"] = "day"
    expire_at: int | None = None
    strategy: Identifier | None = None
    parent_order: Identifier | None = None
    hold: HoldGiven | None = None
    historical: bool = False


class OrderAccepted(Event, frozen=True, kw_only=True):
    """
    The venue works the order.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    venue: Identifier
    venue_order_id: Identifier | None = None


class OrderRejected(Event, frozen=True, kw_only=True):
    """
    The venue, or the engine's own checks, refused the order.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    reason_code: Identifier
    text: Text | None = None


class OrderTriggered(Event, frozen=True, kw_only=True):
    """
    The order's stop was reached.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    trigger_price: Amount | None = None


class ReplaceRequested(Event, frozen=True, kw_only=True):
    """
    The engine asks for other terms. What it does not name stays as in the pending request that `orig_cl_ord_id` names,
    or else as in the order. What may be needed beyond what is held for the order is held until this is answered.
    """

    KIND: ClassVar = "command"
    order_id: Identifier
    cl_ord_id: Identifier
    orig_cl_ord_id: Identifier
    new_qty: Amount | None = None
    new_price: Amount | None = None
    new_stop: Amount | None = None


class OrderReplaced(Event, frozen=True, kw_only=True):
    """
    The venue works the order on other terms; below what is filled, the quantity becomes what is filled. A price or
    stop price that is not said is the one that the request asked for, or stays. The price is a multiple of the
    instrument's tick, but for a replacement of the past (`historical`); a stop may trail between two.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    cl_ord_id: Identifier
    orig_cl_ord_id: Identifier
    qty: Amount
    price: Amount | None = None
    stop_price: Amount | None = None
    historical: bool = False


class ReplaceRejected(Event, frozen=True, kw_only=True):
    """
    The venue refused to change the order.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    cl_ord_id: Identifier
    reason: Text


class CancelRequested(Event, frozen=True, kw_only=True):
    """
    The engine asks for the order to end.
    """

    KIND: ClassVar = "command"
    order_id: Identifier
    cl_ord_id: Identifier
    orig_cl_ord_id: Identifier


class OrderCanceled(Event, frozen=True, kw_only=True):
    """
    The order ended unfilled, or partly filled.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    cl_ord_id: Identifier | None = None
    unsolicited: bool = False
    reason: Text | None = None


class CancelRejected(Event, frozen=True, kw_only=True):
    """
    The venue refused to end the order.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    cl_ord_id: Identifier
    reason: Text


class OrderExpired(Event, frozen=True, kw_only=True):
    """
    The order's time ran out.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier


class OrderDoneForDay(Event, frozen=True, kw_only=True):
    """
    The order does no more today.
    """

    KIND: ClassVar = "fact"
    order_id: Identifier


class OrderRestated(Event, frozen=True, kw_only=True):
    """
    The venue states the order's terms anew, unasked; it is live again if it was done for the day. The price is a
    multiple of the instrument's tick, but for a restatement of the past (`historical`).
    """

    KIND: ClassVar = "fact"
    order_id: Identifier
    reason: Literal["corporate_action", "repricing", "partial_decline", "new_day", "other"]
    qty: Amount | None = None
    price: Amount | None = None
    historical: bool = False
