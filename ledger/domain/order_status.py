"""
Derive an order's FIX status from the facts about it.

Facts are stored and the status follows from them by precedence (FIX 5.0 SP2, appendix D): nothing is lost while a
request is pending, and nothing has to be restored after it.
"""

from __future__ import annotations

from typing import Final

from ledger.domain import amounts
from ledger.domain.rows import Order

CANCELED: Final = "canceled"
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"

Terms = tuple[int, int | None, int | None]
"""Quantity, price and stop price, in units of 10^-18."""


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
    return order.qty - order.cum_qty if is_worked(order) else 0


def is_worked(order: Order) -> bool:
    """
    Return whether the venue may fill what is left of the order, or what it grants: it has not ended, nor is it a day
    order that is done for the day.
    """
    return not order.terminal and (not order.done_for_day or outlives_day(order))


def asked_text(day: str, qty: int, price: int | None, stop: int | None) -> str:
    """
    Return the terms that a request of *day* asks for, as `asked` keeps them: the day, the quantity, the price and the
    stop price; `-` for one that it does not have.
    """
    return " ".join((day, *("-" if x is None else amounts.render(x) for x in (qty, price, stop))))


def asked_terms(order: Order) -> list[Terms]:
    """
    Return the terms that each pending request for others asks for.
    """
    return [_parsed(*terms.split(" ")[1:]) for terms in order.asked]


def _parsed(qty: str, price: str, stop: str) -> Terms:
    return (
        amounts.parse(qty),
        None if price == "-" else amounts.parse(price),
        None if stop == "-" else amounts.parse(stop),
    )


def terms_by(order: Order, cl_ord_id: str) -> Terms:
    """
    Return the terms that the pending request of this id asks for, or the order's own where none is.
    """
    own = (order.qty, order.price, order.stop_price)
    return dict(zip(order.pending_replace, asked_terms(order), strict=True)).get(cl_ord_id, own)


def asked_days(order: Order) -> list[str]:
    """
    Return the day of each pending request for other terms: its terms are of the shares of then.
    """
    return [terms.partition(" ")[0] for terms in order.asked]


def asked_qty(order: Order) -> int:
    """
    Return the most that the order may come to be for: its quantity, or one that is asked for, in units of 10^-18.
    """
    return max([order.qty, *(qty for qty, _, _ in asked_terms(order))]) if order.asked else order.qty


def may_fill(order: Order) -> int:
    """
    Return the most that may still fill, should the venue grant what is asked of it, in units of 10^-18.
    """
    return leaves(order) if not order.asked or not is_worked(order) else asked_qty(order) - order.cum_qty


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
