"""
Make the events that are appended: a market maker's orders, their acceptances and fills.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger import Group, Ledger
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderAccepted, OrderPlaced
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


def orders_and_fills(prefix: str, count: int) -> list[Group]:
    """
    Return *count* groups of one event each: orders placed, accepted and, two of three, filled with a fee.
    """

    def events() -> Iterator[tuple[str, Event]]:
        number = 0
        while True:
            name, side = f"{prefix}-{number}", "buy" if number % 2 else "sell"
            yield f"{name}-placed", placed(name, side)
            yield f"{name}-accepted", OrderAccepted(order_id=name, venue="V", venue_order_id=f"V{name}")
            if number % 3:
                yield f"{name}-filled", TradeExecuted(
                    exec_id=f"E{name}", venue="V", order_id=name, account="A", instrument="BTCUSDT",
                    side=side, qty="0.01", price="61234.5", trade_date=DAY,  # type: ignore[arg-type]
                    fees=(Fee(kind="commission", asset="USDT", amount="0.24493824"),),
                )  # fmt: skip
            number += 1

    endless = events()
    return [Group((event,), key) for key, event in (next(endless) for _ in range(count))]
