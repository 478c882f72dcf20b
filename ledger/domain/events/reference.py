"""
Say what can be owned and traded, by whom, and on which days it settles.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text

AccountKind = Literal["cash", "margin", "house", "fee", "clearing", "suspense"]


class Cycle(Fields, frozen=True, kw_only=True):
    """
    How many business days a product takes to settle, from a day on.
    """

    product: Identifier
    days: int
    effective_from: Date


class AssetDefined(Event, frozen=True, kw_only=True):
    """
    An asset exists, with *scale* decimals (0 to 18).
    """

    KIND: ClassVar = "command"
    asset: Identifier
    kind: Literal["currency", "security", "crypto", "contract"]
    scale: int
    name: Text


class InstrumentDefined(Event, frozen=True, kw_only=True):
    """
    An instrument may be traded. A settlement cycle of 0 days settles with the trade.

    The calendar's cycle for `product` goes before `settlement_cycle`, from the day on which it is effective.
    """

    KIND: ClassVar = "command"
    instrument: Identifier
    asset: Identifier
    quote_asset: Identifier
    settle_asset: Identifier
    tick: Amount
    lot: Amount
    multiplier: Amount = "1"
    settlement_cycle: int
    calendar: Identifier | None = None
    product: Identifier | None = None
    venue: Identifier
    symbol: Text | None = None
    isin: Identifier | None = None


class InstrumentAmended(Event, frozen=True, kw_only=True):
    """
    Terms of an instrument change from a day on, which may have passed or be to come; what is left out stays.
    """

    KIND: ClassVar = "command"
    instrument: Identifier
    effective_from: Date
    tick: Amount | None = None
    lot: Amount | None = None
    multiplier: Amount | None = None
    settlement_cycle: int | None = None
    calendar: Identifier | None = None
    product: Identifier | None = None
    symbol: Text | None = None
    isin: Identifier | None = None


class CalendarPublished(Event, frozen=True, kw_only=True):
    """
    A new version of a settlement calendar; Saturdays and Sundays never settle.
    """

    KIND: ClassVar = "command"
    calendar: Identifier
    calendar_version: int
    holidays: tuple[Date, ...] = ()
    cycles: tuple[Cycle, ...] = ()


class AccountOpened(Event, frozen=True, kw_only=True):
    """
    An account exists. Names that begin with `~` are the ledger's own.
    """

    KIND: ClassVar = "command"
    account: Identifier
    owner: Identifier
    kind: AccountKind
    base_asset: Identifier
    cost_method: Literal["AVG", "FIFO"] = "AVG"
    parent: Identifier | None = None


class AccountLimitsSet(Event, frozen=True, kw_only=True):
    """
    How far an account may go in one asset: a floor of at most 0, and whether incoming unsettled amounts count.
    """

    KIND: ClassVar = "command"
    account: Identifier
    asset: Identifier
    floor: Amount
    hold_policy: Literal["settled_only", "credit_unsettled"] = "settled_only"
    max_position: Amount | None = None


class AccountStatusSet(Event, frozen=True, kw_only=True):
    """
    An account may trade, may not, or is closed.

    It closes when it owns nothing, what waits for settlement counted net, no order of it may fill and no request for
    one waits for its answer. A day order that is done for the day is none of those; should the venue restate it, that
    is quarantined while the account is closed.
    """

    KIND: ClassVar = "command"
    account: Identifier
    status: Literal["open", "restricted", "closed"]
    reason: Text
