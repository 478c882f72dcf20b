"""
Say what the made-up firm is: its assets, instruments, calendars and accounts, and the money that it begins with.

Everything here is data. Prices are whole ticks and quantities whole lots, so that no figure is ever rounded by
accident; where a venue's rounding is wanted, lot times tick has more decimals than the quote asset.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.control import ControlsSet
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AssetDefined,
    CalendarPublished,
    Cycle,
    InstrumentDefined,
)

FIRST_DAY: Final = datetime.date(2024, 5, 23)
"""A few days before settlement in US equities went from two days to one, so that small histories have both."""
ONE_DAY_CYCLE: Final = datetime.date(2024, 5, 28)
HOLIDAYS: Final = (
    "2024-05-27", "2024-06-19", "2024-07-04", "2024-09-02", "2024-11-28", "2024-12-25", "2025-01-01", "2025-01-20",
    "2025-02-17", "2025-04-18", "2025-05-26", "2025-06-19", "2025-07-04", "2025-09-01",
)  # fmt: skip

_ASSETS: Final[tuple[tuple[str, str, int, str], ...]] = (
    ("USD", "currency", 2, "1000000000"), ("EUR", "currency", 2, "1000000000"),
    ("JPY", "currency", 0, "100000000000"), ("USDT", "crypto", 6, "1000000000"), ("BTC", "crypto", 8, "20000"),
    ("ETH", "crypto", 18, "300000"), ("ACME", "security", 0, "5000000"), ("BOLT", "security", 0, "5000000"),
    ("EDEL", "security", 0, "5000000"), ("ESU4", "contract", 0, "100000"),
)  # fmt: skip
"""Each with its kind, its scale, and how much of it an account begins with: more than years of trading take."""
DEPOSITS: Final = {asset: amount for asset, _, _, amount in _ASSETS}


class Listing(msgspec.Struct):
    """
    An instrument as the firm trades it: terms that stay, and the name and price (in ticks) that change.
    """

    name: str
    asset: str
    quote: str
    venue: str
    tick: int
    lot: int
    price: int
    most: int
    product: str | None = None
    calendar: str | None = None
    multiplier: str = "1"
    cycle: int = 0
    split_on: str = ""

    def qty(self, lots: int) -> str:
        """Return a number of lots as a quantity."""
        return amounts.render(lots * self.lot)

    def at(self, ticks: int) -> str:
        """Return a number of ticks as a price."""
        return amounts.render(ticks * self.tick)


def listings() -> dict[str, Listing]:
    """
    Return every instrument of the firm, under the name that it begins with.
    """
    unit, parse = amounts.UNIT, amounts.parse
    cents, crypto = unit // 100, parse("0.0001")
    made = (
        Listing("ACME", "ACME", "USD", "XNAS", cents, unit, 18_250, 400, "equity", "us", cycle=2),
        Listing("BOLT", "BOLT", "USD", "XNYS", cents, unit, 4_120, 900, "equity", "us", cycle=2),
        Listing("EDEL", "EDEL", "EUR", "XETR", parse("0.005"), unit, 21_400, 300, "equity", "eu", cycle=2),
        Listing("EURUSD", "EUR", "USD", "FXALL", parse("0.00001"), 1000 * unit, 108_540, 50, "fx", "us", cycle=2),
        Listing("USDJPY", "USD", "JPY", "FXALL", parse("0.001"), 1000 * unit, 155_230, 50, "fx", "us", cycle=2),
        Listing("BTCUSDT", "BTC", "USDT", "BINANCE", cents, crypto, 6_745_012, 9_000),
        # Seven decimals of quantity times price against six of the asset: the gross is rounded.
        Listing("ETHUSDT", "ETH", "USDT", "BINANCE", cents, parse("0.00001"), 381_055, 900_000),
        Listing("ESU4", "ESU4", "USD", "XCME", unit // 4, unit, 21_300, 12, multiplier="50"),
    )
    return {listing.name: listing for listing in made}


def rates(of_day: dict[str, Listing]) -> Iterator[tuple[str, str, str]]:
    """
    Yield (base, quote, price) of all that an account may hold beside its base asset, at the prices of a day's listings.

    A USDT is taken for a dollar, and what is priced in euros is told in dollars through them.
    """
    for base, quote in (("EUR", "USD"), ("USD", "JPY")):
        listing = of_day[base + quote]
        yield base, quote, listing.at(listing.price)
    yield "USDT", "USD", "1"
    euro = of_day["EURUSD"]
    for name in ("BTCUSDT", "ETHUSDT", "ACME", "BOLT", "EDEL", "ESU4"):
        listing = of_day[name]
        in_quote, per_euro = listing.price * listing.tick * int(listing.multiplier), euro.price * euro.tick
        price = in_quote * per_euro // amounts.UNIT if listing.quote == "EUR" else in_quote
        yield listing.asset, "USD", amounts.render(price)


TRADERS: Final = ("house-1", "house-1", "house-1", "client-1", "client-3", "prime-1")
"""Who trades everything; more often named, more often trading."""
FIFO_CLIENT: Final = "client-2"
"""Trades one instrument now and then, whose splits give its lots a new ground."""
BLOCK: Final = "omnibus-1"
FUNDS: Final = ("fund-a", "fund-b", "fund-c")
SUSPENSE: Final = "suspense-1"
_ACCOUNTS: Final[tuple[tuple[str, str, str, str | None], ...]] = (
    ("house-1", "house", "AVG", None), ("client-1", "cash", "AVG", None), (FIFO_CLIENT, "cash", "FIFO", None),
    ("client-3", "cash", "AVG", None), ("prime-1", "margin", "AVG", None), (BLOCK, "clearing", "AVG", None),
    *((fund, "cash", "AVG", BLOCK) for fund in FUNDS), (SUSPENSE, "suspense", "AVG", None),
    ("custody-1", "fee", "AVG", None),
)  # fmt: skip
CLIENTS: Final = ("client-1", FIFO_CLIENT, "client-3", "prime-1", *FUNDS)
FUNDED: Final = ("house-1", *CLIENTS)


def _calendars(version: int) -> Iterator[Event]:
    usual = (
        Cycle(product="equity", days=2, effective_from="2017-09-05"),
        Cycle(product="fx", days=2, effective_from="2000-01-01"),
    )
    faster = (Cycle(product="equity", days=1, effective_from=ONE_DAY_CYCLE.isoformat()),)
    yield CalendarPublished(
        calendar="us", calendar_version=version, holidays=HOLIDAYS, cycles=usual if version == 1 else usual + faster
    )
    yield CalendarPublished(calendar="eu", calendar_version=version, holidays=HOLIDAYS, cycles=usual)


def calendars(version: int) -> Iterator[Event]:
    """
    Yield the calendars in a version; the second one knows of the shorter cycle.
    """
    yield from _calendars(version)


def reference(day: str) -> Iterator[Event]:
    """
    Yield what must be there before the first trade: reference data, controls, and what accounts begin with.
    """
    for asset, kind, scale, _ in _ASSETS:
        yield AssetDefined(asset=asset, kind=kind, scale=scale, name=f"{asset} of the made-up firm")  # type: ignore[arg-type]
    yield from _calendars(1)
    for listing in listings().values():
        yield InstrumentDefined(
            instrument=listing.name, asset=listing.asset, quote_asset=listing.quote, settle_asset=listing.quote,
            tick=listing.at(1), lot=listing.qty(1), multiplier=listing.multiplier, settlement_cycle=listing.cycle,
            calendar=listing.calendar, product=listing.product, venue=listing.venue, symbol=listing.name,
        )  # fmt: skip
    for account, kind, method, parent in _ACCOUNTS:
        named: Any = {"kind": kind, "cost_method": method}
        yield AccountOpened(account=account, owner=account.partition("-")[0], base_asset="USD", parent=parent, **named)
    for asset in ("USD", "EUR", "JPY"):
        yield AccountLimitsSet(account="prime-1", asset=asset, floor="-500000000", hold_policy="credit_unsettled")
    yield ControlsSet(
        second_person=("resolution", "journal", "reversal"), reason="the firm's policy", proposed_by="risk-1",
        approved_by="risk-2",
    )  # fmt: skip
    for account in FUNDED:
        for asset, amount in DEPOSITS.items():
            yield CashMoved(
                movement_id=f"begin-{account}-{asset}", account=account, asset=asset, amount=amount, kind="deposit",
                value_date=day,
            )  # fmt: skip


def trading_days() -> Iterator[datetime.date]:
    """
    Yield the days on which the firm trades, from the first.
    """
    day = FIRST_DAY
    while True:
        if day.weekday() < 5 and day.isoformat() not in HOLIDAYS:
            yield day
        day += datetime.timedelta(days=1)
