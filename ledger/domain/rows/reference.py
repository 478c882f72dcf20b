"""
Describe the rows of what trades are about and who makes them: assets, instruments, calendars, accounts.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class Asset(Row, frozen=True, gc=False):
    """
    What is owned or owed: a currency, a security, a crypto asset, a contract. Stream `asset/…`.

    `splits` is JSON of what became of what there was of it: [seq, ex-date, action, ratio_num, ratio_den, rounding] of
    each split, the newest last, and empty before the first. `moved_on` is the newest day on which something else than
    a trade of it moved it, and absent before the first; what is undone stays counted.
    """

    asset: str
    kind: str
    scale: int
    name: str
    version: int
    splits: str = "[]"
    moved_on: str | None = None


class Instrument(Row, frozen=True, gc=False):
    """
    What can be traded. Stream `instrument/…`.

    `settlement_cycle` counts business days; 0 settles with the trade. `calendar` may be absent then. It is what counts
    where the calendar has no cycle for `product`. `split_on` is the newest split of the asset, in whichever instrument
    it was; trades of days before it are of other shares. What is said of an instrument that was renamed counts for the
    new one.

    The terms are those of the newest day that they are amended for. `amendments` is JSON, [day, changes] by day with
    those of the definition first, and empty while there are none; `terms_on` finds the terms of a day.
    """

    instrument: str
    asset: str
    quote_asset: str
    settle_asset: str
    tick: int
    lot: int
    multiplier: int
    settlement_cycle: int
    calendar: str | None
    product: str | None
    venue: str
    symbol: str | None
    isin: str | None
    version: int
    split_on: str | None = None
    renamed_to: str | None = None
    amendments: str = "[]"


class Calendar(Row, frozen=True, gc=False):
    """
    The days on which nothing settles, and the cycles by product. Stream `calendar/…`.
    """

    calendar: str
    calendar_version: int
    holidays: tuple[str, ...]
    cycles: str
    version: int


class Account(Row, frozen=True, gc=False):
    """
    Who owns. Stream `account/…`.
    """

    account: str
    owner: str
    kind: str
    base_asset: str
    cost_method: str
    parent: str | None
    status: str
    version: int


class AccountLimits(Row, frozen=True, gc=False):
    """
    How far an account may go in one asset.
    """

    account: str
    asset: str
    floor: int
    hold_policy: str
    max_position: int | None
