"""
Open the day: late reports of yesterday, what issuers do, what settles or fails, what rests, what changed in the terms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ledger.domain.events import orders, reference
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import ExecutionRef, SettlementFailed, TradeSettled
from ledger.generation import corporate, firm, lives
from ledger.generation.desk import Desk, Trade
from ledger.generation.firm import Listing

_NET_MOST = 50


def open_day(desk: Desk) -> Iterator[Event]:
    """
    Yield everything that happens before trading.
    """
    yield from _terms(desk)
    yield from _late(desk)
    yield from corporate.of_today(desk)
    yield from _settlements(desk)
    for order in desk.resting:
        yield orders.OrderRestated(order_id=order.order_id, reason="new_day")


def _terms(desk: Desk) -> Iterator[Event]:
    number = desk.number
    if number == 1:
        yield from firm.calendars(2)
    if number % 15 == 1:
        listing = desk.listings["ESU4"]
        yield reference.InstrumentAmended(
            instrument=listing.name, effective_from=desk.day, symbol=f"ES {desk.day[:7]}"
        )  # fmt: skip
    if number % 25 == 1:
        visitor = f"visitor-{number}"
        yield reference.AccountOpened(account=visitor, owner="visitor", kind="cash", base_asset="EUR")
        for status in ("restricted", "open", "closed"):
            yield reference.AccountStatusSet(account=visitor, status=status, reason="a visit")
    if number % 10 == 2:
        yield reference.AccountLimitsSet(
            account="client-1", asset="BTC", floor="0", hold_policy="credit_unsettled", max_position="1000000000"
        )


def _late(desk: Desk) -> Iterator[Event]:
    for trade in desk.recent:
        random = desk.random.random()
        if trade.live and trade.listing.split_on <= trade.day and random < 0.3:
            if random < 0.15:
                yield lives.bust(desk, trade, False)
                continue
            lots = trade.lots
            yield lives.correct(desk, trade)
            if trade.lots < lots and trade.order_id is not None:
                # What it did not fill after all was of yesterday.
                yield orders.OrderExpired(order_id=trade.order_id)
    desk.recent = []


def _named(trade: Trade) -> dict[str, Any]:
    return {"venue": trade.listing.venue, "trade_date": trade.day, "exec_id": trade.exec_id}


def _settlements(desk: Desk) -> Iterator[Event]:
    together: dict[tuple[str, str, str], list[Trade]] = defaultdict(list)
    for trade in desk.due.pop(desk.number, []):
        trade.waits = False
        if trade.live and trade.left:
            together[trade.account, trade.listing.asset, trade.listing.venue].append(trade)
    for trades in together.values():
        if 1 < len(trades) <= _NET_MOST and desk.random.random() < 0.3:
            yield _net(desk, trades)
        else:
            for trade in trades:
                yield _one(desk, trade)


def _net(desk: Desk, trades: list[Trade]) -> TradeSettled:
    listing: Listing = trades[0].listing
    qty = sum(trade.signed(trade.left) for trade in trades)
    for trade in trades:
        trade.left = 0
    return TradeSettled(
        settlement_id=desk.name("S"), venue=listing.venue, qty=listing.qty(qty), date=desk.day,
        net=tuple(ExecutionRef(trade_date=trade.day, exec_id=trade.exec_id) for trade in trades),
    )  # fmt: skip


def _one(desk: Desk, trade: Trade) -> Event:
    random, named = desk.random.random(), _named(trade)
    if random < 0.04 or not desk.turn("settle"):
        desk.await_settlement(trade, 1)
        tomorrow = (desk.date.fromordinal(desk.date.toordinal() + 1)).isoformat()
        return SettlementFailed(
            settlement_id=desk.name("S"), leg="securities" if random < 0.02 else "cash", reason="not delivered",
            date=desk.day, new_intended_date=tomorrow, **named,
        )  # fmt: skip
    part = trade.left // 2
    if random < 0.1 and part:
        trade.left -= part
        desk.await_settlement(trade, 1)
        return TradeSettled(
            settlement_id=desk.name("S"), qty=trade.listing.qty(part), partial=True, date=desk.day, **named
        )
    qty, trade.left = trade.left, 0
    return TradeSettled(settlement_id=desk.name("S"), qty=trade.listing.qty(qty), date=desk.day, **named)
