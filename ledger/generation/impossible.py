"""
Report what cannot be: facts that the ledger quarantines, and what the desk will decide on them in the evening.

These are the only facts that are meant to be quarantined.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderCanceled, OrderExpired, OrderPlaced
from ledger.domain.events.settlement import TradeSettled
from ledger.generation.desk import Desk, Waiting

Life = Generator[Event, int, None]


def _report(desk: Desk, order_id: str | None, lots: int, **more: object) -> TradeExecuted:
    """Return a report that the desk does not book: it will not count."""
    listing = desk.listings["BTCUSDT"]
    given = {
        "exec_id": desk.name("E"), "venue": listing.venue, "order_id": order_id, "account": "house-1",
        "instrument": listing.name, "side": "buy", "qty": listing.qty(lots), "price": listing.at(listing.price),
        "trade_date": desk.day, **more,
    }  # fmt: skip
    return TradeExecuted(**given)  # type: ignore[arg-type]


def _placed(desk: Desk, order_id: str, lots: int, *, historical: bool = False) -> OrderPlaced:
    listing = desk.listings["BTCUSDT"]
    return OrderPlaced(
        order_id=order_id, cl_ord_id=order_id, account="house-1", instrument=listing.name, side="buy",
        qty=listing.qty(lots), ord_type="limit", price=listing.at(listing.price), historical=historical,
    )  # fmt: skip


def overfill(desk: Desk) -> Life:
    """More fills than was ordered."""
    order_id, lots = desk.name("O"), desk.below(500)
    yield _placed(desk, order_id, lots)
    seq = yield _report(desk, order_id, lots + 1)
    desk.waiting.append(Waiting(seq, "discarded"))
    yield OrderExpired(order_id=order_id)


def before_its_order(desk: Desk) -> Life:
    """A fill of an order that the ledger learns of later: the order is recorded, the fill again, and accepted."""
    order_id, lots = desk.name("O"), desk.below(500)
    report = _report(desk, order_id, lots)
    seq = yield report
    yield _placed(desk, order_id, lots, historical=True)
    accepted = yield report
    desk.waiting.append(Waiting(seq, "accepted", accepted))


def off_tick(desk: Desk) -> Life:
    """A price between two ticks."""
    seq = yield _report(desk, None, desk.below(500), price="60000.005")
    desk.waiting.append(Waiting(seq, "discarded"))


def told_otherwise(desk: Desk) -> Life:
    """The same execution twice, with other words the second time."""
    first = _report(desk, None, desk.below(500), liquidity="maker")
    yield first
    seq = yield _report(desk, None, 1, exec_id=first.exec_id, qty=first.qty, price=first.price, liquidity="taker")
    desk.waiting.append(Waiting(seq, "duplicate"))


def unknown_trade(desk: Desk) -> Life:
    """A settlement, and a bust, of trades that nobody did."""
    name = desk.name("S")
    seq = yield TradeSettled(
        settlement_id=name, venue="XNAS", trade_date=desk.day, exec_id=f"nobodys-{name}", qty="100", date=desk.day
    )
    desk.waiting.append(Waiting(seq, "discarded"))
    seq = yield TradeBusted(
        exec_id=desk.name("B"), exec_ref=f"nobodys-{name}", venue="XNAS", trade_date=desk.day, reason="error"
    )
    desk.waiting.append(Waiting(seq, "discarded"))


def unknown_order(desk: Desk) -> Life:
    """The end of an order that nobody placed."""
    seq = yield OrderCanceled(order_id=desk.name("X"), unsolicited=True)
    desk.waiting.append(Waiting(seq, "discarded"))


_LIVES: Final[tuple[Callable[[Desk], Life], ...]] = (
    overfill, before_its_order, off_tick, told_otherwise, unknown_trade, unknown_order,
)  # fmt: skip
KINDS: Final = len(_LIVES)


def next_life(desk: Desk) -> Life:
    """
    Return one of them, each in turn, so that a short history has every kind.
    """
    desk.odd_kinds += 1
    return _LIVES[desk.odd_kinds % len(_LIVES)](desk)
