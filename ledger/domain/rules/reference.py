"""
Rule on reference data: assets, instruments, calendars, accounts and their limits.
"""

from __future__ import annotations

import datetime
import functools
from typing import Any, Final

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events import reference as events
from ledger.domain.events.fields import Event
from ledger.domain.order_status import is_closed
from ledger.domain.rows import Account, AccountLimits, Asset, Calendar, Instrument
from ledger.domain.rules.ground import Broken, Effects, Now, check_scale, known, present_instrument, put_balance, units
from ledger.domain.rules.new_shares import newest
from ledger.domain.state import State
from ledger.domain.terms import amended, days_from, terms_on
from ledger.errors import InsufficientFunds

LONGEST_CYCLE_DAYS: Final = 30
"""In business days: no market settles later, and a slip of the pen (20 for 2) should not pass unseen."""


def _new(table: Any, key: str, what: str) -> None:
    if table.get(key) is not None:
        raise Broken(f"{what}_exists", f"found a second definition of {what} {key!r}; amend it instead")


def define_asset(state: State, event: events.AssetDefined, now: Now) -> Effects:
    """
    An asset is defined once; its scale is for good.
    """
    _new(state.assets, event.asset, "asset")
    if not 0 <= event.scale <= amounts.SCALE:
        raise Broken("scale", f"found scale {event.scale} of {event.asset}; expected 0 to {amounts.SCALE}")
    state.assets.put(Asset(event.asset, event.kind, event.scale, event.name, 1))
    return Effects(f"asset/{event.asset}", 1)


def _check_cycle(rule: str, days: int) -> None:
    if not 0 <= days <= LONGEST_CYCLE_DAYS:
        raise Broken(rule, f"found a settlement cycle of {days} days; expected 0 to {LONGEST_CYCLE_DAYS}")


def _check_terms(state: State, terms: Instrument) -> None:
    for name in ("tick", "lot", "multiplier"):
        if getattr(terms, name) <= 0:
            raise Broken(
                "terms",
                f"found {name} {amounts.render(getattr(terms, name))} of {terms.instrument}; expected more than 0",
            )
    check_scale(terms.lot, known(state.assets, terms.asset, "asset"), "lot")
    _check_cycle("terms", terms.settlement_cycle)
    if terms.calendar is not None:
        known(state.calendars, terms.calendar, "calendar")
    elif terms.product is not None:
        raise Broken(
            "terms",
            f"found product {terms.product!r} without a calendar; expected one, for cycles by product are a calendar's",
        )


def define_instrument(state: State, event: events.InstrumentDefined, now: Now) -> Effects:
    """
    An instrument names assets that exist, two of them, and terms above zero; where its asset has split, it is of the
    new shares.
    """
    _new(state.instruments, event.instrument, "instrument")
    for asset in (event.asset, event.quote_asset, event.settle_asset):
        known(state.assets, asset, "asset")
    if event.settle_asset != event.quote_asset:
        raise Broken("terms", f"found settle asset {event.settle_asset!r}; expected {event.quote_asset!r}, as quoted")
    if event.asset == event.quote_asset:
        # Money that buys itself is gained and spent at once, and no mark says what it is worth.
        raise Broken("terms", f"found {event.instrument!r} quoted in its own asset {event.asset!r}; expected another")
    split = newest(known(state.assets, event.asset, "asset"))
    terms = Instrument(
        event.instrument, event.asset, event.quote_asset, event.settle_asset, units(event.tick), units(event.lot),
        units(event.multiplier), event.settlement_cycle, event.calendar, event.product, event.venue,
        event.symbol, event.isin, 1, split.ex_date if split else None,
    )  # fmt: skip
    _check_terms(state, terms)
    state.instruments.put(terms)
    return Effects(f"instrument/{event.instrument}", 1)


def amend_instrument(state: State, event: events.InstrumentAmended, now: Now) -> Effects:
    """
    What the amendment leaves out stays as it was; it is in force from its day on, which may have passed or be to come.

    What is booked stays: trades, orders and corrections that are recorded after it are held to the terms of their day.
    """
    old = present_instrument(state, event.instrument)
    changes: dict[str, Any] = {
        name: units(value) for name in ("tick", "lot", "multiplier") if (value := getattr(event, name)) is not None
    }
    for name in ("settlement_cycle", "calendar", "product", "symbol", "isin"):
        if (value := getattr(event, name)) is not None:
            changes[name] = value
    terms = amended(msgspec.structs.replace(old, version=old.version + 1), event.effective_from, changes)
    for day in days_from(terms, event.effective_from):
        _check_terms(state, terms_on(terms, day))
    state.instruments.put(terms)
    return Effects(f"instrument/{event.instrument}", terms.version, effective_on=event.effective_from)


def publish_calendar(state: State, event: events.CalendarPublished, now: Now) -> Effects:
    """
    A calendar's own version rises with each publication; a product has one cycle from any one day on.
    """
    old = state.calendars.get(event.calendar)
    if event.calendar_version <= (old.calendar_version if old else 0):
        raise Broken(
            "calendar_version",
            f"found version {event.calendar_version} of {event.calendar}; expected one "
            f"above {old.calendar_version if old else 0}",
        )
    for cycle in event.cycles:
        _check_cycle("cycles", cycle.days)
    if len({(cycle.product, cycle.effective_from) for cycle in event.cycles}) < len(event.cycles):
        raise Broken("cycles", "found two cycles of one product from one day on; give one")
    cycles = msgspec.json.encode(event.cycles, order="sorted").decode()
    version = (old.version if old else 0) + 1
    holidays = tuple(sorted(set(event.holidays)))
    state.calendars.put(Calendar(event.calendar, event.calendar_version, holidays, cycles, version))
    return Effects(f"calendar/{event.calendar}", version)


def open_account(state: State, event: events.AccountOpened, now: Now) -> Effects:
    """
    An account opens once, in an asset that exists, under a name that is not the ledger's own.
    """
    _new(state.accounts, event.account, "account")
    if postings.is_system(event.account):
        raise Broken(
            "system_account",
            f"found account {event.account!r}; expected a name that does not begin with '~', as the ledger's own do",
        )
    known(state.assets, event.base_asset, "asset")
    if event.parent is not None:
        known(state.accounts, event.parent, "account")
    state.accounts.put(
        Account(event.account, event.owner, event.kind, event.base_asset, event.cost_method, event.parent, "open", 1)
    )
    return Effects(f"account/{event.account}", 1)


def set_limits(state: State, event: events.AccountLimitsSet, now: Now) -> Effects:
    """
    A floor is at most 0, and 0 for cash accounts; it may not be raised past what is available.

    Nor may a policy take away credit that is spent. A breach stays one while the floor does not rise.
    """
    account = known(state.accounts, event.account, "account")
    asset = known(state.assets, event.asset, "asset")
    floor = units(event.floor)
    check_scale(floor, asset, "floor")
    if floor > 0 or (floor < 0 and account.kind == "cash"):
        raise Broken(
            "floor",
            f"found floor {event.floor} for {event.account}, a {account.kind} account; expected at "
            "most 0, and 0 for cash",
        )
    limit = None if event.max_position is None else units(event.max_position)
    if limit is not None and limit < 0:
        raise Broken("max_position", f"found {event.max_position} for {event.account}; expected 0 or more")
    check_scale(limit or 0, asset, "max_position")
    state.account_limits.put(AccountLimits(event.account, event.asset, floor, event.hold_policy, limit))
    balance = state.balances.get(event.account, event.asset)
    if balance is not None:
        credit = event.hold_policy == "credit_unsettled"
        changed = msgspec.structs.replace(balance, floor=floor, credit_unsettled=credit)
        tighter = balance.floor is None or floor > balance.floor or changed.available < balance.available
        if tighter and changed.available < floor:
            raise Broken(
                "insufficient_funds",
                f"account {event.account} has {amounts.render(changed.available)} {event.asset} available; its floor "
                f"would be {event.floor}: give one that is no higher",
                InsufficientFunds,
            )
        put_balance(state, changed, balance.available, may_refuse=False)
    version = account.version + 1
    state.accounts.put(msgspec.structs.replace(account, version=version))
    return Effects(f"account/{event.account}", version)


def set_status(state: State, event: events.AccountStatusSet, now: Now) -> Effects:
    """
    An account closes only when it owns nothing and owes nothing, in any bucket, and nothing is expected of its orders:
    none may fill, and no request for one waits for its answer. Buckets are net: trades that wait for settlement and
    cancel each other out do not keep it open, and settle in it, closed, as facts do, flagged where one before the other
    takes it below its floor. Nor does a position whose shares were journaled away, which no trade will close any more.
    """
    account = known(state.accounts, event.account, "account")
    if event.status == "closed":
        left = [
            b.asset
            for (name, _), b in state.balances.rows.items()
            if name == event.account and (b.settled or b.unsettled or b.held)
        ]
        if left:
            raise Broken(
                "account_not_empty",
                f"account {event.account} still has {', '.join(sorted(left))}; expected nothing: move it out",
            )
        every = (row for row in state.orders.rows.values() if row.account == event.account)
        orders = [row.order_id for row in every if not is_closed(row)]
        if orders:
            raise Broken(
                "account_not_empty",
                f"account {event.account} has order {min(orders)}, which may fill or waits for an answer; expected "
                "none: end it first",
            )
    version = account.version + 1
    state.accounts.put(msgspec.structs.replace(account, status=event.status, version=version))
    return Effects(f"account/{event.account}", version)


@functools.lru_cache(maxsize=4096)
def _business_day(day: str, cycle: int, holidays: tuple[str, ...]) -> str:
    date = datetime.date.fromisoformat(day)
    while cycle > 0:
        date += datetime.timedelta(days=1)
        cycle -= date.weekday() < 5 and date.isoformat() not in holidays
    return date.isoformat()


@functools.lru_cache(maxsize=4096)
def _cycle(cycles: str, product: str, day: str) -> int | None:
    since = [
        (cycle.effective_from, cycle.days)
        for cycle in msgspec.json.decode(cycles, type=tuple[events.Cycle, ...])
        if cycle.product == product and cycle.effective_from <= day
    ]
    return max(since)[1] if since else None


def settles_on(state: State, instrument: Instrument, trade_date: str) -> tuple[str, bool]:
    """
    Return the day on which a trade of *trade_date* settles, and whether it settles with the trade.

    The cycle is the one that the calendar has for the instrument's product on that day, else the instrument's own.

    Raises:
        Broken: that would be after 9999-12-31.
    """
    calendar = state.calendars.get(instrument.calendar) if instrument.calendar else None
    days = instrument.settlement_cycle
    if calendar is not None and instrument.product is not None:
        by_product = _cycle(calendar.cycles, instrument.product, trade_date)
        days = days if by_product is None else by_product
    try:
        return _business_day(trade_date, days, calendar.holidays if calendar else ()), not days
    except OverflowError:
        raise Broken(
            "settle_date", f"found trade date {trade_date}; expected one that settles by {datetime.date.max}"
        ) from None


RULES: dict[type[Event], object] = {
    events.AssetDefined: define_asset,
    events.InstrumentDefined: define_instrument,
    events.InstrumentAmended: amend_instrument,
    events.CalendarPublished: publish_calendar,
    events.AccountOpened: open_account,
    events.AccountLimitsSet: set_limits,
    events.AccountStatusSet: set_status,
}
