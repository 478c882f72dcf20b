"""
Open the books that every history begins with: shares, coins and a contract, and four accounts with something in them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.domain.events.cash import CashMoved
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AssetDefined,
    CalendarPublished,
    Cycle,
    InstrumentDefined,
)

FIRST_DAY = "2024-05-22"
"""A Wednesday, two business days before US equities went from T+2 to T+1 over Memorial Day."""
CYCLES = (
    Cycle(product="us_equity", days=2, effective_from="2017-09-05"),
    Cycle(product="us_equity", days=1, effective_from="2024-05-28"),
)
HOLIDAYS = ("2024-05-27", "2024-06-19")
SHARES = InstrumentDefined(
    instrument="XYZ.N", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.01", lot="0.1", settlement_cycle=5,
    calendar="us", product="us_equity", venue="N",
)  # fmt: skip
COINS = InstrumentDefined(
    instrument="BTC-USD", asset="BTC", quote_asset="USD", settle_asset="USD", tick="0.005", lot="0.001",
    settlement_cycle=0, venue="V",
)  # fmt: skip
CONTRACT = InstrumentDefined(
    instrument="FUT", asset="FUT", quote_asset="EUR", settle_asset="EUR", tick="0.25", lot="1", multiplier="12.5",
    settlement_cycle=1, venue="N",
)  # fmt: skip
ACCOUNTS = ("A", "F", "M", "BLOCK")


def opening() -> Iterator[Event]:
    for asset, kind, scale in (("USD", "currency", 2), ("EUR", "currency", 2), ("XYZ", "security", 1),
                               ("BTC", "crypto", 8), ("FUT", "contract", 0)):  # fmt: skip
        yield AssetDefined(asset=asset, kind=kind, scale=scale, name=asset)  # type: ignore[arg-type]
    yield CalendarPublished(calendar="us", calendar_version=1, holidays=HOLIDAYS, cycles=CYCLES)
    yield from (SHARES, COINS, CONTRACT)
    for account, kind, method in (("A", "cash", "AVG"), ("F", "cash", "FIFO"), ("M", "margin", "FIFO"),
                                  ("BLOCK", "house", "AVG")):  # fmt: skip
        yield AccountOpened(account=account, owner="o", kind=kind, base_asset="USD", cost_method=method)  # type: ignore[arg-type]
    yield AccountLimitsSet(account="M", asset="USD", floor="-2000")
    for account, asset, amount in (("A", "USD", "5000"), ("A", "XYZ", "20"), ("F", "USD", "3000"), ("F", "BTC", "2"),
                                   ("A", "EUR", "900"), ("M", "XYZ", "1.5")):  # fmt: skip
        yield CashMoved(movement_id=f"{account}.{asset}", account=account, asset=asset, amount=amount, kind="deposit",
                        value_date=FIRST_DAY)  # fmt: skip
