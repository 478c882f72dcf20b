"""
Describe the rows of orders and executions, and of what becomes of executions: allocated, or not settled.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class Order(Row, frozen=True, gc=False):
    """
    The facts about one order, and the status they add up to. Stream `order/…`.

    `hold_amount` is what is still held for it, in `hold_asset`; `hold_given` is what the caller set for the whole of
    `qty`, in place of the ledger's own reckoning. `split_on` is the newest split that its terms are after, None where
    there is none: an order that was closed when its instrument split stays in older shares. `terms_day` is when its
    terms were last said. `asked` has the day, the quantity, the price and the stop price that each of `pending_replace`
    is of and asks for, `-` for one that it does not have; what they may take beyond `hold_amount`, in the dearest order
    of grants, is held as well: `asked_hold`.
    """

    order_id: str
    cl_ord_id: str
    account: str
    instrument: str
    side: str
    qty: int
    ord_type: str
    price: int | None
    stop_price: int | None
    tif: str
    expire_at: int | None
    strategy: str | None
    parent_order: str | None
    venue: str | None
    venue_order_id: str | None
    status: str
    accepted: bool
    triggered: bool
    terminal: str | None
    done_for_day: bool
    pending_cancel: tuple[str, ...]
    pending_replace: tuple[str, ...]
    cum_qty: int
    cum_notional: int
    hold_asset: str | None
    hold_amount: int
    hold_given: int | None
    split_on: str | None
    terms_day: str
    version: int
    asked: tuple[str, ...] = ()
    asked_hold: int = 0


class ClientOrderId(Row, frozen=True, gc=False):
    """
    Which order a client order id belongs to; an id is used once an account.
    """

    account: str
    cl_ord_id: str
    order_id: str


class Execution(Row, frozen=True, gc=False):
    """
    One execution report that moved value: a trade, the correction of one, its bust, or an account's line of a block.

    `live` is the version that counts. Executions that were allocated do not count while `allocation_id` is in force;
    the accounts' lines, of kind `allocation`, do in their place. `settled_qty` and `settled_gross` are how much of the
    trade has moved from unsettled to settled, `settled_days` the days that settlements gave, each with its quantity.
    `cost_change` and `realised_change` are what it does to the position; where cost is reckoned by the average, they
    are so among the trades that stand, and `follows` names the one before (venue, trade date and execution id), so
    that one that is undone is as if it had never been. `content` is the hash of what the venue gave, to tell a
    duplicate.
    An execution id is unique a venue and trade date, so each reference is a pair: `ref_…` names the version that this
    one takes the place of, `root_…` the trade that all versions are of.
    """

    venue: str
    trade_date: str
    exec_id: str
    kind: str
    event_seq: int
    order_id: str | None
    account: str
    instrument: str
    side: str
    qty: int
    price: int
    asset: str
    gross: int
    gross_asset: str
    fees: str
    bucket: str
    settle_date: str
    live: bool
    ref_trade_date: str | None
    ref_exec_id: str | None
    root_trade_date: str
    root_exec_id: str
    settled_qty: int
    settled_gross: int
    cost_change: int
    realised_change: int
    late: bool
    allocation_id: str | None
    content: str
    follows: tuple[str, ...] = ()
    settled_days: tuple[str, ...] = ()


class SettlementFail(Row, frozen=True, gc=False):
    """
    One execution that did not settle as intended on a day, and when it is tried again.

    `qty` and `amount` are what was left to settle, as the account sees it: positive where it should have received; the
    amount with the fees on it. A fee in another asset has a row of its own, with its amount and no quantity. `number`
    counts the rows of one settlement.
    """

    settlement_id: str
    failed_on: str
    number: int
    event_seq: int
    venue: str
    trade_date: str
    exec_id: str
    account: str
    asset: str
    qty: int
    amount_asset: str
    amount: int
    leg: str
    reason: str
    new_intended_date: str
    content: str


class Allocation(Row, frozen=True, gc=False):
    """
    Which executions of a block account were given to others, and how many lines they became.

    `rounding` is what the lines cost more than the executions (less: negative), for want of decimals.
    """

    allocation_id: str
    event_seq: int
    account: str
    venue: str
    trade_date: str
    exec_ids: tuple[str, ...]
    lines: int
    rounding: int
    reversed_by: int | None

    @property
    def version(self) -> int:
        """
        Return the version of its stream, which holds the allocation and, once that is undone, its reversal.
        """
        return 1 if self.reversed_by is None else 2
