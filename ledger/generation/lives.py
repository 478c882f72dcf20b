"""
Let orders live: each life is a generator that yields its events one by one, and is sent the seq that each one got.

The desk runs a dozen lives at a time and takes the next event from any of them, so that orders interleave as at a real
venue. Every life ends its order, so that what is open stays few.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from ledger.domain.events import orders
from ledger.domain.events.executions import TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from ledger.generation import firm, impossible
from ledger.generation.desk import BLOCKS_A_DAY, RESTING, Desk, Resting, Side, Trade
from ledger.generation.firm import Listing

Life = Generator[Event, int, None]
Terms = tuple[str, Listing, Side, int]


def placed(desk: Desk, terms: Terms, **more: Any) -> tuple[str, orders.OrderPlaced]:
    """
    Return a new order's id and its first event: a limit order at the market, unless *more* says otherwise.
    """
    account, listing, side, lots = terms
    order_id = desk.name("O")
    given: dict[str, Any] = {"ord_type": "limit", "price": listing.at(listing.price), **more}
    return order_id, orders.OrderPlaced(
        order_id=order_id, cl_ord_id=order_id, account=account, instrument=listing.name, side=side,
        qty=listing.qty(lots), **given,
    )  # fmt: skip


def _accepted(desk: Desk, order_id: str, listing: Listing) -> orders.OrderAccepted:
    return orders.OrderAccepted(order_id=order_id, venue=listing.venue, venue_order_id=f"V{order_id}")


def _open(desk: Desk, terms: Terms, **more: Any) -> Generator[Event, int, str]:
    order_id, event = placed(desk, terms, **more)
    yield event
    yield _accepted(desk, order_id, terms[1])
    return order_id


def _fill(desk: Desk, terms: Terms, order_id: str, lots: int) -> Generator[Event, int, Trade]:
    account, listing, side, _ = terms
    trade, event = desk.execute(listing, account, side, lots, order_id)
    yield event
    return trade


def filled(desk: Desk) -> Life:
    """An order fills, at once or in parts."""
    terms = desk.market()
    order_id = yield from _open(desk, terms)
    left = terms[3]
    while left:
        part = left if desk.random.random() < 0.7 else desk.below(left)
        left -= part
        trade = yield from _fill(desk, terms, order_id, part)
    if trade.listing.product == "equity" and trade.account not in (firm.FIFO_CLIENT, firm.BLOCK):
        desk.recent.append(trade)
        if len(desk.recent) > 8:
            desk.recent.pop(0)


def canceled(desk: Desk) -> Life:
    """The engine takes an order back; sometimes a fill crosses its request, or is reported after the end."""
    terms = desk.market()
    order_id = yield from _open(desk, terms, tif="gtc")
    part, random = (terms[3] + 1) // 2, desk.random.random()
    yield orders.CancelRequested(order_id=order_id, cl_ord_id=f"{order_id}c", orig_cl_ord_id=order_id)
    if random < 0.2:
        yield from _fill(desk, terms, order_id, part)
    yield orders.OrderCanceled(order_id=order_id, cl_ord_id=f"{order_id}c")
    if random > 0.9:
        yield from _fill(desk, terms, order_id, part)


def too_late(desk: Desk) -> Life:
    """An order fills before the engine's request to take it back arrives."""
    terms = desk.market()
    order_id = yield from _open(desk, terms)
    yield orders.CancelRequested(order_id=order_id, cl_ord_id=f"{order_id}c", orig_cl_ord_id=order_id)
    yield from _fill(desk, terms, order_id, terms[3])
    yield orders.CancelRejected(order_id=order_id, cl_ord_id=f"{order_id}c", reason="too late to cancel")


def rejected(desk: Desk) -> Life:
    """A venue takes an order not."""
    order_id, event = placed(desk, desk.market())
    yield event
    code = desk.pick(("price-band", "unknown-symbol", "credit"))
    yield orders.OrderRejected(order_id=order_id, reason_code=code, text="as the venue says")


def replaced(desk: Desk) -> Life:
    """An order is replaced, once or twice, and fills on its last terms; or the venue refuses."""
    terms = account, listing, side, lots = desk.market()
    order_id = yield from _open(desk, terms)
    current = order_id
    for number in range(desk.below(2)):
        wanted, asked = desk.below(listing.most), f"{order_id}r{number}"
        yield orders.ReplaceRequested(
            order_id=order_id, cl_ord_id=asked, orig_cl_ord_id=current, new_qty=listing.qty(wanted),
            new_price=listing.at(listing.price),
        )  # fmt: skip
        # The first is taken and the second refused, so that a short history has both.
        turn, random = desk.turn("replace"), desk.random.random()
        if turn and (turn == 1 or random < 0.25):
            yield orders.ReplaceRejected(order_id=order_id, cl_ord_id=asked, reason="too late to replace")
            break
        yield orders.OrderReplaced(
            order_id=order_id, cl_ord_id=asked, orig_cl_ord_id=current, qty=listing.qty(wanted),
            price=listing.at(listing.price),
        )  # fmt: skip
        current, lots = asked, wanted
    yield from _fill(desk, (account, listing, side, lots), order_id, lots)


def stopped(desk: Desk) -> Life:
    """A stop is reached, and the order fills."""
    terms = desk.market()
    stop = terms[1].at(terms[1].price)
    order_id = yield from _open(desk, terms, ord_type="stop_limit", stop_price=stop, tif="gtc")
    yield orders.OrderTriggered(order_id=order_id, trigger_price=stop)
    yield from _fill(desk, terms, order_id, terms[3])


def immediate(desk: Desk) -> Life:
    """An order fills at once as far as it can, and the venue ends the rest."""
    terms = desk.market()
    order_id = yield from _open(desk, terms, tif="ioc", ord_type="market", price=None)
    part = desk.below(terms[3])
    yield from _fill(desk, terms, order_id, part)
    if part < terms[3]:
        yield orders.OrderCanceled(order_id=order_id, unsolicited=True, reason="immediate or cancel")


def expired(desk: Desk) -> Life:
    """Nobody wants what a day order offers."""
    terms = desk.market()
    order_id = yield from _open(desk, terms)
    if desk.random.random() < 0.3:
        yield orders.OrderRestated(
            order_id=order_id, reason="repricing", price=terms[1].at(terms[1].price + desk.below(9))
        )
    yield orders.OrderExpired(order_id=order_id)


def _filled_whole(desk: Desk) -> Generator[Event, int, tuple[Terms, str, Trade]]:
    """A good-till order fills at once, for an account without lots: what is undone is no ground of another trade's."""
    terms = desk.market()
    if terms[0] == firm.FIFO_CLIENT:
        terms = ("house-1", *terms[1:])
    order_id = yield from _open(desk, terms, tif="gtc")
    trade = yield from _fill(desk, terms, order_id, terms[3])
    return terms, order_id, trade


def busted(desk: Desk) -> Life:
    """A venue takes a trade back on its day: the order fills again, or ends."""
    terms, order_id, trade = yield from _filled_whole(desk)
    again = desk.random.random() < 0.5
    yield bust(desk, trade, again)
    if again:
        yield from _fill(desk, terms, order_id, terms[3])


def bust(desk: Desk, trade: Trade, reopens: bool) -> TradeBusted:
    """
    Return the bust of *trade*, which is forgotten.
    """
    desk.book(trade, -trade.lots)
    trade.live = False
    return TradeBusted(
        exec_id=desk.name("B"), exec_ref=trade.exec_id, venue=trade.listing.venue, trade_date=desk.day,
        ref_trade_date=None if trade.day == desk.day else trade.day, reason="clearly erroneous", reopens_order=reopens,
    )  # fmt: skip


def corrected(desk: Desk) -> Life:
    """A venue reports a trade anew: fewer, at another price; what is left is taken back."""
    _, order_id, trade = yield from _filled_whole(desk)
    yield correct(desk, trade)
    yield orders.OrderCanceled(order_id=order_id, unsolicited=True)


def correct(desk: Desk, trade: Trade) -> TradeCorrected:
    """
    Return a correction of *trade* to no more lots, which settles anew.
    """
    listing, lots = trade.listing, desk.below(trade.lots)
    desk.book(trade, lots - trade.lots)
    old, trade.exec_id = trade.exec_id, desk.name("C")
    trade.lots = trade.left = lots
    trade.ticks = max(1, trade.ticks + desk.below(9) - 5)
    desk.await_settlement(trade, max(1, desk.cycle(listing)))
    return TradeCorrected(
        exec_id=trade.exec_id, exec_ref=old, venue=listing.venue, order_id=trade.order_id, account=trade.account,
        instrument=listing.name, side=trade.side, qty=listing.qty(lots), price=listing.at(trade.ticks),
        trade_date=trade.day, fees=desk.fees(listing, lots),
    )  # fmt: skip


def by_voice(desk: Desk) -> Life:
    """A trade is agreed on by telephone; no order was sent."""
    account, listing, side, lots = desk.market()
    _, event = desk.execute(listing, account, side, lots, None, counterparty=desk.pick(("bank-1", "bank-2")),
                            capacity="principal")  # fmt: skip
    yield event


def block(desk: Desk) -> Life:
    """The funds buy or sell together; the evening gives each its part."""
    listing = desk.pick(desk.shares)
    terms: Terms = (firm.BLOCK, listing, "buy" if desk.random.random() < 0.5 else "sell", 30 * desk.below(40))
    order_id = yield from _open(desk, terms)
    first = 10 * desk.below(terms[3] // 10)
    trades = []
    for part in (first, terms[3] - first):
        if part:
            trades.append((yield from _fill(desk, terms, order_id, part)))
    desk.blocks.append(trades)


def resting(desk: Desk) -> Life:
    """An order of several days begins, and fills in part."""
    terms = account, listing, side, lots = desk.market()
    order_id = yield from _open(desk, terms, tif="gtc")
    part = lots // 3
    if part:
        yield from _fill(desk, terms, order_id, part)
    desk.resting.append(Resting(order_id, listing, account, side, lots, part))


def resumed(desk: Desk, order: Resting) -> Life:
    """A resting order fills at last, or is taken back."""
    left = order.lots - order.filled
    terms: Terms = (order.account, order.listing, order.side, left)
    if left and desk.random.random() < 0.6:
        yield from _fill(desk, terms, order.order_id, left)
    elif left:
        yield orders.OrderCanceled(order_id=order.order_id, unsolicited=True, reason="end of trading")


_LIVES: Final[tuple[tuple[int, Callable[[Desk], Life]], ...]] = (
    (560, filled), (125, canceled), (30, too_late), (30, rejected), (100, replaced), (40, stopped), (40, immediate),
    (30, expired), (12, busted), (12, corrected), (12, by_voice),
)  # fmt: skip
_CHOICES: Final = tuple(life for weight, life in _LIVES for _ in range(weight))


def next_life(desk: Desk) -> Life:
    """
    Return a life that begins now. A history begins with one of every kind.
    """
    turn, random = desk.turn("life"), desk.random.random()
    if turn < len(_LIVES):
        return _LIVES[turn][1](desk)
    if turn == len(_LIVES) and desk.may_be_odd():
        return impossible.next_life(desk)
    # Sooner while there are kinds of it that the history does not have yet.
    if random < (0.004 if desk.odd_kinds >= impossible.KINDS else 0.03) and desk.may_be_odd():
        return impossible.next_life(desk)
    # Each day has one of both, so that a short history has them too.
    if random < (0.012 if desk.blocks else 0.08) and len(desk.blocks) < BLOCKS_A_DAY:
        return block(desk)
    if random < (0.02 if desk.resting else 0.16) and len(desk.resting) < RESTING:
        return resting(desk)
    life: Callable[[Desk], Life] = desk.pick(_CHOICES)
    return life(desk)
