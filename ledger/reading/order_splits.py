"""
Tell of a split what it did to one order.

A split is an event of its corporate action, in whose stream it is whole; the order's stream does not move. Yet it may
have changed the order's terms, or ended it, and who asks what became of the order is to see that: so the split is among
the lines of its history, with what it says of this order. What is of others is left out there.
"""

from __future__ import annotations

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.reading.posted import of_orders
from ledger.reading.views import HistoryLine, history


class _Given(msgspec.Struct):
    order_adjustments: list[dict[str, str]] = []


def line_of(event: RecordedEvent, order_id: str) -> HistoryLine | None:
    """
    Return the line of a split in the history of an order; None where it neither changed nor ended it.
    """
    done, given = of_orders(event), split_payload(event.payload)[1]
    orders = [terms for terms in done.orders if terms[0] == order_id]
    if not orders and order_id not in done.ended:
        return None
    said = msgspec.json.decode(given, type=dict[str, object])
    told = msgspec.json.decode(given, type=_Given).order_adjustments
    said["order_adjustments"] = [terms for terms in told if terms["order_id"] == order_id]
    kept = {name: value for name, value in said.items() if value != [] and name != "cash_in_lieu"}
    (line,) = history([event])
    return msgspec.structs.replace(
        line,
        given=msgspec.json.encode(kept, order="sorted").decode(),
        derived=msgspec.json.encode({"orders": orders} if orders else {"ended": [order_id]}).decode(),
    )
