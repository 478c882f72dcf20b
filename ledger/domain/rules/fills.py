"""
Tell what a fill makes of its order, what one in the place of another does, and what is left once a fill is undone.

Positions, and what is paid, are of the trade itself, in `executions.py`.
"""

from __future__ import annotations

import msgspec

from ledger.domain import amounts
from ledger.domain.events import executions as events
from ledger.domain.order_status import CANCELED, REJECTED, leaves, outlives_day
from ledger.domain.positions import share
from ledger.domain.postings import Line
from ledger.domain.rows import Execution, Order
from ledger.domain.rules.ground import Broken, current_name, known, units
from ledger.domain.rules.orders import changed, check_shares, ended, held_for, rehold, with_terms
from ledger.domain.state import State


def order_of_fill(state: State, event: events.TradeExecuted, freed: int) -> Order | None:
    """
    Return the order that *event* is of, which fills it in the place of *freed* that had filled; None where of none.

    Raises Broken where there is no such order, it is of other terms, was rejected or is for less.
    """
    if event.order_id is None:
        return None
    order = known(state.orders, event.order_id, "order")
    expected = (order.account, order.instrument, order.side == "buy")
    if (event.account, event.instrument, event.side == "buy") != expected and (
        (event.account, current_name(state, event.instrument), event.side == "buy")
        != (order.account, current_name(state, order.instrument), order.side == "buy")
    ):
        found, meant = (event.account, event.instrument, event.side), (order.account, order.instrument, order.side)
        raise Broken(
            "order_mismatch", f"found {' '.join(found)}; expected {' '.join(meant)}, as order {event.order_id} is"
        )
    check_shares(state, order)
    if order.terminal == REJECTED:
        raise Broken("order_rejected", f"order {event.order_id} was rejected and cannot fill; expected another order")
    cum = order.cum_qty - freed + units(event.qty)
    if cum > order.qty:
        raise Broken(
            "overfill",
            f"order {event.order_id} of {amounts.render(order.qty)} would have filled {amounts.render(cum)}; expected "
            f"at most {amounts.render(order.qty - order.cum_qty + freed)} in {event.exec_id!r}",
        )
    return order


def filled(state: State, order: Order, row: Execution, day: str) -> tuple[Order, list[Line]]:
    """
    Put *order* with *row* among its fills, and return it and the postings of its hold.
    """
    scale = known(state.assets, order.hold_asset, "asset").scale if order.hold_asset else 0
    before = leaves(order)
    hold = order.hold_amount
    if 0 < row.qty <= before:
        hold = share(hold, before - row.qty, before, scale)
    facts = {"cum_qty": order.cum_qty + row.qty, "cum_notional": order.cum_notional + row.gross, "accepted": True}
    if order.done_for_day and outlives_day(order):
        # It is worked again; a venue need not restate it in the morning.
        facts["done_for_day"] = False
    changes, lines = held_for(state, msgspec.structs.replace(order, **facts) if order.asked else order, hold, day)
    return changed(state, order, **facts, **changes), lines


def filled_otherwise(
    state: State, order: Order, old: Execution, row: Execution | None, day: str
) -> tuple[Order, list[Line]]:
    """
    Put *order* with *row*, or nothing, in the place of *old* among its fills; return it and the postings of its hold.
    """
    qty, gross = (row.qty, row.gross) if row is not None else (0, 0)
    cum_qty, cum_notional = order.cum_qty - old.qty + qty, order.cum_notional - old.gross + gross
    order, lines = rehold(state, msgspec.structs.replace(order, cum_qty=cum_qty, cum_notional=cum_notional), day)
    return changed(state, order), lines


def unfilled(state: State, order: Order, old: Execution, day: str, *, reopens: bool) -> tuple[Order, list[Line]]:
    """
    Put *order* without *old* among its fills, and return it and the postings of its hold.

    Unless that *reopens* it, what is undone is not worked again: a live order is for less by as much, and one that had
    filled has ended.
    """
    if order.terminal is None and not reopens:
        whole = order.cum_qty == order.qty
        order = ended(order, CANCELED) if whole else with_terms(state, order, order.qty - old.qty)
    return filled_otherwise(state, order, old, None, day)
