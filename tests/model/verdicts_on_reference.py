"""
Say whether reference data fit what is there.
"""

from __future__ import annotations

from typing import Any

from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AccountStatusSet,
    AssetDefined,
    CalendarPublished,
    InstrumentAmended,
    InstrumentDefined,
)
from tests.model import money, orders, reference
from tests.model.history import History, fits, number
from tests.model.moment import Moment
from tests.model.periods import is_closed


def defines_asset(history: History, event: AssetDefined, _: Moment) -> bool:
    return event.asset not in reference.scales(history) and 0 <= event.scale <= 18


def _sound(history: History, asset: str, lot: str | None, multiplier: str | None, tick: str | None) -> bool:
    terms = [number(x) for x in (lot, multiplier, tick) if x is not None]
    return min(terms, default=1) > 0 and (lot is None or fits(number(lot), reference.scales(history)[asset]))


def defines_instrument(history: History, event: InstrumentDefined, _: Moment) -> bool:
    if event.instrument in reference.instruments(history):
        return False
    if not {event.asset, event.quote_asset, event.settle_asset} <= set(reference.scales(history)):
        return False
    if event.settle_asset != event.quote_asset or event.asset == event.quote_asset:
        return False
    known = event.calendar is None or event.calendar in reference.calendars(history)
    cycle = 0 <= event.settlement_cycle <= 30 and (event.product is None or event.calendar is not None)
    terms = (str(x) for x in (event.lot, event.multiplier, event.tick))
    return known and cycle and _sound(history, event.asset, *terms)


def amends_instrument(history: History, event: InstrumentAmended, _: Moment) -> bool:
    its = reference.instruments(history).get(event.instrument)
    if its is None or its.renamed_to is not None or is_closed(history, event.effective_from):
        return False
    known = event.calendar is None or event.calendar in reference.calendars(history)
    cycle = event.settlement_cycle is None or 0 <= event.settlement_cycle <= 30
    after = history.if_also(event)
    days = {event.effective_from, *(x.effective_from for x in history.of(InstrumentAmended) if _is_of(after, x, its))}
    for day in days:
        terms = reference.terms(after, its.name, day)
        if terms is None or (day >= event.effective_from and terms.product is not None and terms.calendar is None):
            return False
    return known and cycle and _sound(history, its.asset, event.lot, event.multiplier, event.tick)  # type: ignore[arg-type]


def _is_of(history: History, event: InstrumentAmended, its: reference.Terms) -> bool:
    return reference.called_now(history, event.instrument) == its.name


def publishes_calendar(history: History, event: CalendarPublished, _: Moment) -> bool:
    last = reference.calendars(history).get(event.calendar)
    days = [(x.product, x.effective_from) for x in event.cycles]
    one = len(days) == len(set(days)) and all(0 <= x.days <= 30 for x in event.cycles)
    return one and event.calendar_version > (last.calendar_version if last else 0)


def opens_account(history: History, event: AccountOpened, _: Moment) -> bool:
    parent = event.parent is None or reference.is_account(history, event.parent)
    taken = reference.is_account(history, event.account) or event.account.startswith("~")
    return not taken and parent and event.base_asset in reference.scales(history)


def sets_limits(history: History, event: AccountLimitsSet, _: Moment) -> bool:
    opened = reference.accounts(history).get(event.account)
    if opened is None or event.asset not in reference.scales(history):
        return False
    floor, scale = number(event.floor), reference.scales(history)[event.asset]
    most = None if event.max_position is None else number(event.max_position)
    if floor > 0 or (floor < 0 and opened.kind == "cash") or not fits(floor, scale):
        return False
    if most is not None and (most < 0 or not fits(most, scale)):
        return False
    after = history.if_also(event)
    place = event.account, event.asset
    old = reference.floor_of(history, *place)
    if not money.breached(after, *place):
        return True
    # A breach that facts brought about stays one while neither the floor rises nor credit is taken away.
    same = money.breached(history, *place) and old is not None and floor <= old
    return same and money.available(after, *place) >= money.available(history, *place)


def sets_status(history: History, event: AccountStatusSet, _: Moment) -> bool:
    if not reference.is_account(history, event.account):
        return False
    owns = any(place[0] == event.account for place in money.buckets(history))
    every = (x for x in orders.orders(history).values() if x.placed.account == event.account)
    waits = any(x.left or x.cancels or x.replaces for x in every)
    return event.status != "closed" or not (owns or waits)


JUDGES: dict[Any, Any] = {
    AssetDefined: defines_asset, InstrumentDefined: defines_instrument, InstrumentAmended: amends_instrument,
    CalendarPublished: publishes_calendar, AccountOpened: opens_account, AccountLimitsSet: sets_limits,
    AccountStatusSet: sets_status,
}  # fmt: skip
