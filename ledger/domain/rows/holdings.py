"""
Describe the rows of positions: their lots, what corporate actions give for them, the prices they are valued at.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class Position(Row, frozen=True, gc=False):
    """
    One account's net holding of one instrument, by trade date.

    `cost` is the total, exact cost of `qty` (negative for a short); cost - realised is the net cash paid.
    `fees` sums the fees that were charged in the instrument's settle asset. `day` is the newest trade date in it and
    `opening` the quantity before the trades of that day: who held what when an instrument went ex. `day_trades` counts
    those of that day that stand, and a split. Once all of them are undone, `day` is the day before, on which it may
    have traded, and `opening` says nothing: the trades that stand tell. Where cost is reckoned by the average, `newest`
    names the last trade since the last split: venue, trade date and execution id.
    """

    account: str
    instrument: str
    qty: int
    cost: int
    realised: int
    fees: int
    day: str | None = None
    opening: int = 0
    newest: tuple[str, ...] = ()
    day_trades: int = 0


class Lot(Row, frozen=True, gc=False):
    """
    One trade of an account that reckons its cost first in, first out, and what of it is still open.

    `qty` and `value` are those of the trade, negative for a sale; of a lot that a split changed, what it stood at then.
    """

    account: str
    instrument: str
    number: int
    venue: str
    trade_date: str
    exec_id: str
    qty: int
    value: int
    open_qty: int
    open_cost: int
    live: bool


class LotQueue(Row, frozen=True, gc=False):
    """
    Where the lots of one position begin and end.

    Lots before `first_open` are closed. Nothing before `base`, where the last split left the position with the result
    `base_realised`, is undone.
    """

    account: str
    instrument: str
    first_open: int
    last: int
    base: int
    base_realised: int


class CorporateAction(Row, frozen=True, gc=False):
    """
    A dividend, split or renaming that was recorded, so that its id is used once. Stream `corporate-action/…`.
    """

    ca_id: str
    kind: str
    instrument: str
    asset: str | None
    ex_date: str
    event_seq: int
    content: str
    version: int


class Entitlement(Row, frozen=True, gc=False):
    """
    What a corporate action gives one account: cash that is due and paid, or a quantity in the place of another.

    `cost_change` and `realised_change` are what a fraction paid in cash did to the position. `settled_qty` is how many
    of the shares of before a split have settled since it, net: bought less sold.
    """

    ca_id: str
    account: str
    instrument: str
    qty: int
    new_qty: int
    gross: int
    tax: int
    paid_gross: int
    paid_tax: int
    cost_change: int
    realised_change: int
    settled_qty: int = 0


class Mark(Row, frozen=True, gc=False):
    """
    The price of an instrument, or of a currency (`base/quote`), that counts for a day.
    """

    subject: str
    day: str
    kind: str
    price: int
    as_of: int
    event_seq: int
