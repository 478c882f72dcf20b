"""
Open the books of a small market in shares: two currencies, settlement by product, a block account and its clients.
"""

from __future__ import annotations

from ledger.domain.amounts import render
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.reference import (
    AccountOpened,
    AssetDefined,
    CalendarPublished,
    Cycle,
    InstrumentDefined,
)
from ledger.domain.events.settlement import TradeSettled
from tests.domain.books import Books

DAY = "2024-08-08"
"""A Thursday."""
DUE = "2024-08-09"
CYCLES = (
    Cycle(product="us_equity", days=3, effective_from="1995-06-07"),
    Cycle(product="us_equity", days=2, effective_from="2017-09-05"),
    Cycle(product="us_equity", days=1, effective_from="2024-05-28"),
)
HOLIDAYS = ("2017-09-04", "2024-05-27", "2024-07-04", "2024-09-02")
ACCOUNTS = ("A", "B", "BLOCK")


def market(
    usd: str = "100000",
    scale: int = 2,
    share_scale: int = 0,
    shares: str = "0",
    cost_method: str = "AVG",
    kind: type[Books] = Books,
) -> Books:
    """Return books in which XYZ trades in USD, and each account has *usd* and *shares*."""
    books = kind()
    books.set_day("2024-10-01")
    books.give(AssetDefined(asset="USD", kind="currency", scale=scale, name="US dollar"))
    books.give(AssetDefined(asset="EUR", kind="currency", scale=2, name="Euro"))
    books.give(AssetDefined(asset="XYZ", kind="security", scale=share_scale, name="Shares of XYZ"))
    books.give(CalendarPublished(calendar="us", calendar_version=1, holidays=HOLIDAYS, cycles=CYCLES))
    books.give(
        InstrumentDefined(
            instrument="XYZ.N", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.000000000000000001",
            lot="1", settlement_cycle=5, calendar="us", product="us_equity", venue="N",
        )
    )  # fmt: skip
    for account in ACCOUNTS:
        kind = "house" if account == "BLOCK" else "cash"
        opened = AccountOpened(account=account, owner="o", kind=kind, base_asset="USD", cost_method=cost_method)  # type: ignore[arg-type]
        books.give(opened)
        for asset, amount in (("USD", usd), ("XYZ", shares)):
            if amount != "0":
                books.give(
                    CashMoved(
                        movement_id=f"{account}-{asset}", account=account, asset=asset, amount=amount, kind="deposit",
                        value_date=DAY,
                    )
                )  # fmt: skip
    return books


def trade(
    exec_id: str = "E", side: str = "buy", qty: str = "100", price: str = "10", account: str = "A", fee: str = "1",
    **more: object,
) -> TradeExecuted:  # fmt: skip
    fees = (Fee(kind="commission", asset="USD", amount=fee),) if fee != "0" else ()
    given = {"trade_date": DAY, "fees": fees, **more}
    return TradeExecuted(
        exec_id=exec_id, venue="N", account=account, instrument="XYZ.N", side=side, qty=qty, price=price, **given
    )  # type: ignore[arg-type]  # fmt: skip


def settled(name: str = "S", exec_id: str = "E", qty: str = "100", **more: object) -> TradeSettled:
    given = {"trade_date": DAY, "exec_id": exec_id, "date": DUE, **more}
    return TradeSettled(settlement_id=name, venue="N", qty=qty, **given)  # type: ignore[arg-type]


def buckets(books: Books, account: str = "A", asset: str = "USD") -> tuple[str, str]:
    """Return (settled, unsettled)."""
    row = books.state.balances.get(account, asset)
    return ("0", "0") if row is None else (render(row.settled), render(row.unsettled))


def all_balances(books: Books) -> dict[tuple[str, str, str], int]:
    """Return every bucket that is not empty."""
    return {
        (row.account, row.asset, bucket): getattr(row, bucket)
        for row in books.state.balances.rows.values()
        for bucket in ("settled", "unsettled", "held")
        if getattr(row, bucket)
    }
