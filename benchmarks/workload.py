"""
Make the events that are appended: a market maker's orders, each accepted and then filled or canceled.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ledger import Group, Ledger
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined

DAY = "2024-08-08"


def prepare(ledger: Ledger) -> None:
    """
    Append what trading needs: two assets, an instrument, an account with money.
    """
    ledger.append(
        [
            AssetDefined(asset="USDT", kind="crypto", scale=8, name="Tether"),
            AssetDefined(asset="BTC", kind="crypto", scale=8, name="Bitcoin"),
            InstrumentDefined(
                instrument="BTCUSDT", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="0.001",
                settlement_cycle=0, venue="V",
            ),
            AccountOpened(account="A", owner="o", kind="cash", base_asset="USDT"),
        ],
        key="reference",
    )  # fmt: skip
    for asset in ("USDT", "BTC"):
        deposit = CashMoved(
            movement_id=asset, account="A", asset=asset, amount="1000000000", kind="deposit", value_date=DAY
        )
        ledger.append(deposit, key=f"deposit-{asset}")


def placed(name: str, side: str = "buy") -> OrderPlaced:
    """
    Return a limit order that holds a little money.
    """
    return OrderPlaced(
        order_id=name, cl_ord_id=name, account="A", instrument="BTCUSDT", side=side,  # type: ignore[arg-type]
        qty="0.01", ord_type="limit", price="61234.56", tif="gtc",
    )  # fmt: skip


def orders(prefix: str) -> Iterator[Group]:
    """
    Yield groups of one event each without end: orders placed, accepted, and then filled with a fee or canceled.

    Of nine events three place an order, three accept one, two fill one and one cancels one. No more than one order is
    open at a time, and the fills of six orders leave no position: what memory holds does not grow with the chain.
    """
    for number in itertools.count():
        name, side = f"{prefix}-{number}", "buy" if number % 2 else "sell"
        yield Group((placed(name, side),), f"{name}-placed")
        yield Group((OrderAccepted(order_id=name, venue="V", venue_order_id=f"V{name}"),), f"{name}-accepted")
        yield Group((_filled(name, side) if number % 3 else OrderCanceled(order_id=name),), f"{name}-ended")


def _filled(name: str, side: str) -> TradeExecuted:
    return TradeExecuted(
        exec_id=f"E{name}", venue="V", order_id=name, account="A", instrument="BTCUSDT",
        side=side, qty="0.01", price="61234.5", trade_date=DAY,  # type: ignore[arg-type]
        fees=(Fee(kind="commission", asset="USDT", amount="0.24493824"),),
    )  # fmt: skip


def first_orders(prefix: str, count: int) -> list[Group]:
    """
    Return the first *count* groups of `orders`.
    """
    return list(itertools.islice(orders(prefix), count))
