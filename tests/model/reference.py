"""
Say what there is to own and trade, and when a trade settles, from a history.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from fractions import Fraction

from ledger.domain.events.corporate_actions import InstrumentRenamed, SplitApplied
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AccountStatusSet,
    AssetDefined,
    CalendarPublished,
    InstrumentAmended,
    InstrumentDefined,
)
from tests.model.history import History, asked, number, rounded

LAST = "9999-12-31"
"""When all that was ever amended counts."""


@dataclass(frozen=True)
class Terms:
    """
    An instrument as it is on some day.
    """

    name: str
    asset: str
    quote: str
    tick: Fraction
    lot: Fraction
    multiplier: Fraction
    cycle: int
    calendar: str | None
    product: str | None
    venue: str
    split_on: str = ""
    renamed_to: str | None = None


@asked
def scales(history: History) -> dict[str, int]:
    return {x.asset: x.scale for x in history.of(AssetDefined)}


@asked
def instruments(history: History, day: str = LAST) -> dict[str, Terms]:
    """Return every instrument on the terms of *day*: each amendment counts from its own day on, the later one last."""
    found: dict[str, Terms] = {}
    amended: dict[str, list[InstrumentAmended]] = {}
    splits: dict[str, str] = {}
    for _, event in history.steps():
        if isinstance(event, InstrumentDefined):
            found[event.instrument] = Terms(
                event.instrument, event.asset, event.quote_asset, number(event.tick), number(event.lot),
                number(event.multiplier), event.settlement_cycle, event.calendar, event.product, event.venue,
                splits.get(event.asset, ""),
            )  # fmt: skip
            amended[event.instrument] = []
        elif isinstance(event, InstrumentAmended):
            amended[event.instrument].append(event)
        elif isinstance(event, InstrumentRenamed):
            old = found[event.old]
            found[event.new], amended[event.new] = replace(old, name=event.new), [*amended[event.old]]
            found[event.old] = replace(old, renamed_to=event.new)
        elif isinstance(event, SplitApplied):
            # What splits is the share, under whichever names it trades.
            asset = found[event.instrument].asset
            splits[asset] = event.ex_date
            found |= {
                name: replace(x, split_on=event.ex_date)
                for name, x in found.items()
                if x.asset == asset and x.renamed_to is None
            }
    for name, changes in amended.items():
        for event in sorted(changes, key=lambda x: x.effective_from):
            if event.effective_from <= day:
                found[name] = _changed(found[name], event)
    return found


def _changed(old: Terms, event: InstrumentAmended) -> Terms:
    return replace(
        old,
        tick=old.tick if event.tick is None else number(event.tick),
        lot=old.lot if event.lot is None else number(event.lot),
        multiplier=old.multiplier if event.multiplier is None else number(event.multiplier),
        cycle=old.cycle if event.settlement_cycle is None else event.settlement_cycle,
        calendar=event.calendar or old.calendar,
        product=event.product or old.product,
    )


def called_now(history: History, instrument: str) -> str:
    """Return the name that an instrument goes by now."""
    found = instruments(history)
    while instrument in found and (to := found[instrument].renamed_to) is not None:
        instrument = to
    return instrument


def terms(history: History, instrument: str, day: str = LAST) -> Terms | None:
    """Return the terms of an instrument, by any name it has had, on *day*."""
    return instruments(history, day).get(called_now(history, instrument))


@asked
def calendars(history: History) -> dict[str, CalendarPublished]:
    return {x.calendar: x for x in history.of(CalendarPublished)}


def cycle_of(history: History, its: Terms, day: str) -> int:
    """Return in how many business days a trade of *day* settles."""
    calendar = calendars(history).get(its.calendar or "")
    cycles = [x for x in calendar.cycles if x.product == its.product and x.effective_from <= day] if calendar else []
    return max(cycles, key=lambda x: x.effective_from).days if cycles else its.cycle


def settle_day(history: History, its: Terms, day: str) -> str:
    calendar = calendars(history).get(its.calendar or "")
    found, left = datetime.date.fromisoformat(day), cycle_of(history, its, day)
    while left:
        found += datetime.timedelta(days=1)
        if found.weekday() < 5 and not (calendar and found.isoformat() in calendar.holidays):
            left -= 1
    return found.isoformat()


def multipliers(history: History, instrument: str, day: str, until: str = LAST) -> list[Fraction]:
    """Return what one of the instrument has stood for from *day* until another, that of *day* first."""
    days = sorted({x.effective_from for x in history.of(InstrumentAmended) if day < x.effective_from <= until})
    found = (terms(history, instrument, x) for x in (day, *days))
    return [x.multiplier for x in found if x is not None]


def gross_of(history: History, its: Terms, qty: Fraction, price: Fraction) -> Fraction:
    return rounded(qty * price * its.multiplier, scales(history)[its.quote])


@asked
def accounts(history: History) -> dict[str, AccountOpened]:
    return {x.account: x for x in history.of(AccountOpened)}


def is_account(history: History, account: str) -> bool:
    return account in accounts(history)


@asked
def status_of(history: History, account: str) -> str:
    said = [x.status for x in history.of(AccountStatusSet) if x.account == account]
    return said[-1] if said else "open"


@asked
def limits(history: History) -> dict[tuple[str, str], AccountLimitsSet]:
    return {(x.account, x.asset): x for x in history.of(AccountLimitsSet)}


def floor_of(history: History, account: str, asset: str) -> Fraction | None:
    """Return what an account may not fall below, None where nothing keeps it."""
    if (account, asset) in limits(history):
        return number(limits(history)[account, asset].floor)
    opened = accounts(history).get(account)
    return Fraction(0) if opened is not None and opened.kind in ("cash", "margin") else None
