"""
Say what an issuer does to its holders: dividends, splits and new names.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text


class Entitled(Fields, frozen=True, kw_only=True):
    """
    What one account is entitled to. A `qty` other than the ledger's own at the ex-date needs a `reason`.
    """

    account: Identifier
    qty: Amount
    gross: Amount
    tax: Amount = "0"
    reason: Text | None = None


class CashDividendAccrued(Event, frozen=True, kw_only=True):
    """
    A dividend is due to those who held an instrument before its ex-date, in its quote asset unless `asset` says other.

    `rate` is for one share, `tax_rate` the most that is withheld of the gross amount (0 to 1). Who was short owes.
    """

    KIND: ClassVar = "fact"
    ca_id: Identifier
    instrument: Identifier
    ex_date: Date
    record_date: Date
    pay_date: Date
    asset: Identifier | None = None
    rate: Amount
    tax_rate: Amount = "0"
    entitlements: tuple[Entitled, ...]


class DividendLine(Fields, frozen=True, kw_only=True):
    """
    What one account was paid, before tax, and the tax that was withheld of it.
    """

    account: Identifier
    gross: Amount
    tax: Amount = "0"


class CashDividendPaid(Event, frozen=True, kw_only=True):
    """
    Some or all of an accrued dividend was paid. Several payments may follow one accrual, each with an id that is
    its own in the whole chain.
    """

    KIND: ClassVar = "fact"
    ca_id: Identifier
    payment_id: Identifier
    paid_on: Date
    lines: tuple[DividendLine, ...]


class CashInLieu(Fields, frozen=True, kw_only=True):
    """
    What one account was paid for its fraction of a share, in the instrument's quote asset.
    """

    account: Identifier
    amount: Amount


class OrderAdjustment(Fields, frozen=True, kw_only=True):
    """
    The terms of an open order after a split; a quantity of 0 where the split ends it.
    """

    order_id: Identifier
    qty: Amount
    price: Amount | None = None
    stop_price: Amount | None = None


class SplitApplied(Event, frozen=True, kw_only=True):
    """
    Each `ratio_den` shares became `ratio_num`, for those who held them before the ex-date.

    Every instrument of the asset is of the new shares from then on, whichever is named, and what is unsettled stays so:
    trades of before settle as they were traded, and reach the account in new shares. `rounding` says what becomes of
    a fraction: paid in `cash`, dropped (`down`), filled up (`up`) or the nearest. Open orders without an adjustment
    follow the ratio: quantity down to a lot, price to a tick (buys down, sales up); where that leaves nothing, or less
    than has filled, the split ends the order. One whose terms were said on the ex-date or later needs an adjustment,
    so record the split before the orders of its day, and before its deposits and journals: what moved shares by itself,
    or paid in them for something else, is multiplied if it was recorded before. Where some of that is of the ex-date or
    later, undone or not, the split needs a `moved_reason`: why those are old shares, or what becomes of them. What the
    ledger's owner has in `~fees`, `~rounding`, `~suspense` and `~fx_clearing` splits too, and a fraction of that needs
    no cash.
    """

    KIND: ClassVar = "fact"
    ca_id: Identifier
    instrument: Identifier
    ratio_num: int
    ratio_den: int
    ex_date: Date
    rounding: Literal["cash", "down", "up", "nearest"]
    cash_in_lieu: tuple[CashInLieu, ...] = ()
    order_adjustments: tuple[OrderAdjustment, ...] = ()
    moved_reason: Text | None = None


class InstrumentRenamed(Event, frozen=True, kw_only=True):
    """
    An instrument goes by another name. Positions, lots and open orders go over; what is said of the old counts for it.
    """

    KIND: ClassVar = "fact"
    ca_id: Identifier
    old: Identifier
    new: Identifier
    effective: Date
