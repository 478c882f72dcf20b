"""
Derive an order's FIX status from the facts about it.

Facts are stored and the status follows from them by precedence (FIX 5.0 SP2, appendix D): nothing is lost while a
request is pending, and nothing has to be restored after it.
"""

from __future__ import annotations

from typing import Final

from ledger.domain.rows import Order

CANCELED: Final = "canceled"
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"


def outlives_day(order: Order) -> bool:
    """
    Return whether the order is worked again on the next trading day, if it is not done by then.
    """
    return order.tif in ("gtc", "gtd")


def leaves(order: Order) -> int:
    """
    Return the quantity that may still fill (LeavesQty), in units of 10^-18.

    A day order that is done for the day is not worked any more; a good-till order only rests.
    """
    if order.terminal or (order.done_for_day and not outlives_day(order)):
        return 0
    return order.qty - order.cum_qty


def is_closed(order: Order) -> bool:
    """
    Return whether nothing is expected of the order any more: nothing left to fill, and nothing pending.
    """
    return not leaves(order) and not order.pending_cancel and not order.pending_replace


def derive(order: Order) -> str:
    """
    Return the status that the facts add up to: the one of highest precedence.
    """
    if order.terminal == REJECTED:
        return "REJECTED"
    if order.pending_cancel:
        return "PENDING_CANCEL"
    if order.pending_replace:
        return "PENDING_REPLACE"
    if order.done_for_day:
        return "DONE_FOR_DAY"
    if order.cum_qty == order.qty:
        return "FILLED"
    if order.terminal == CANCELED:
        return "CANCELED"
    if order.terminal == EXPIRED:
        return "EXPIRED"
    if order.cum_qty > 0:
        return "PARTIALLY_FILLED"
    return "NEW" if order.accepted else "PENDING_NEW"
