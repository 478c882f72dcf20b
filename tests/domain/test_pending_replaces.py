"""
Check that what is held while other terms are asked for is what the dearest order of grants may take, and no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import amounts
from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved, HoldPlaced, HoldReleased, Leg
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderCanceled,
    OrderDoneForDay,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import AccountLimitsSet, AssetDefined, InstrumentDefined
from ledger.domain.order_status import asked_terms, leaves
from ledger.domain.rows import Order
from ledger.errors import InsufficientFunds, Rejected, RuleBroken
from tests.domain.books import DAY, Books, amount, balance, check_invariants, opened, order, trade

Terms = tuple[int, int]
"""Quantity and price, in whole units."""


def asks(cl_ord_id: str, orig: str = "c-O", qty: str | None = None, price: str | None = None) -> ReplaceRequested:
    return ReplaceRequested(order_id="O", cl_ord_id=cl_ord_id, orig_cl_ord_id=orig, new_qty=qty, new_price=price)


def grants(cl_ord_id: str, qty: str, price: str | None = None, orig: str = "c-O") -> OrderReplaced:
    return OrderReplaced(order_id="O", cl_ord_id=cl_ord_id, orig_cl_ord_id=orig, qty=qty, price=price)


def thousandths(price: int) -> str:
    return f"0.{price:03d}"


def held(books: Books) -> int:
    row = row_of(books)
    return row.hold_amount + row.asked_hold


def row_of(books: Books, order_id: str = "O") -> Order:
    row = books.state.orders.get(order_id)
    assert row is not None
    return row


def test_what_fills_before_a_grant_is_held_as_well() -> None:
    """The order fills at 40, then the rest of what was asked for at 20: 140 in all, which 100 does not reach."""
    books = opened(usdt="100")
    books.give(order(qty="2", price="40"))
    with pytest.raises(InsufficientFunds, match="USDT"):
        books.give(asks("r", qty="5", price="20"))
    books = opened(usdt="140")
    books.give(order(qty="2", price="40"))
    books.give(asks("r", qty="5", price="20"))
    assert balance(books, "USDT") == (0, amount("140"))
    books.give(trade("E1", qty="2", price="40"))
    assert balance(books, "USDT") == (0, amount("60"))
    books.give(grants("r", "5", "20"))
    books.give(trade("E2", qty="3", price="20"))
    assert balance(books, "USDT") == (0, 0)
    check_invariants(books.state)
    books.replayed()


def test_what_one_request_fills_before_another_is_granted_is_held_as_well() -> None:
    """First 2 at 50, then 8 more at 10; what is granted or refused takes what is no longer possible with it."""
    books = opened(usdt="180")
    books.give(order(qty="2", price="10"))
    books.give(asks("r", price="50"))
    assert balance(books, "USDT")[1] == amount("100")
    books.give(asks("s", "c-O", qty="10", price="10"))
    assert balance(books, "USDT")[1] == amount("180")
    mark = books.state.begin()
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r", reason="r"))
    assert balance(books, "USDT")[1] == amount("100")
    books.state.rollback(mark)
    del books.stored[-1:], books.contexts[-1:]
    books.give(grants("s", "10"))
    assert balance(books, "USDT")[1] == amount("100")
    books.give(OrderCanceled(order_id="O"))
    assert balance(books, "USDT") == (amount("180"), 0)
    books.replayed()


def test_what_a_request_does_not_name_stays_as_the_request_before_it_asks() -> None:
    """A price is asked for, then more at that price: what is granted last is 10 at 50, said or not."""
    books = opened(usdt="500")
    books.give(order(qty="2", price="10"))
    books.give(asks("r", price="50"))
    books.give(asks("s", "r", qty="10"))
    assert balance(books, "USDT") == (0, amount("500"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r", reason="r"))
    books.give(grants("s", "10"))
    row = row_of(books)
    assert (row.qty, row.price, row.hold_amount) == (amount("10"), amount("50"), amount("500"))
    books.give(asks("t", "s", qty="9"))
    books.give(grants("t", "9", "40", orig="s"))
    assert row_of(books).price == amount("40")
    books.replayed()


def test_so_many_requests_wait_on_an_order_and_no_more() -> None:
    """What is held for them is reckoned over every order of their grants, while every other append waits."""
    books = opened()
    books.give(order(qty="2", price="10"))
    for number in range(100):
        books.give(asks(f"r{number}", price="9"))
    with pytest.raises(RuleBroken, match=r"requests_pending\): R4: order O: 100 requests .* expected fewer"):
        books.give(asks("r", price="9"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r0", reason="too late"))
    books.give(asks("r", price="9"))
    books.replayed()


def test_a_request_of_a_market_order_is_granted_without_a_price_though_it_has_got_one() -> None:
    """It asked for none, and nothing was held for it: at that of the grant before it would cost what nobody has."""
    books = opened(usdt="16")
    books.give(order(qty="2", price=None))
    books.give(asks("r", qty="6"))
    books.give(asks("s", qty="2", price="8"))
    books.give(grants("s", "2"))
    assert (row_of(books).price, balance(books, "USDT")[1]) == (amount("8"), amount("16"))
    books.give(grants("r", "6"))
    assert (row_of(books).price, balance(books, "USDT")) == (None, (amount("16"), 0))
    books.replayed()


_TERMS = st.tuples(st.integers(1, 6), st.integers(-1, 6))


def most_paid(own: Terms, filled: int, asked: tuple[Terms, ...]) -> int:
    """Return the most that can be paid, one unit at a time, in any order of grants, each at any time."""
    best = 0
    for some in range(len(asked) + 1):
        for granted in itertools.permutations(asked, some):
            # What may have been paid once as many are filled, on the terms that stand.
            paid = {filled: 0}
            for qty, price in (own, *granted):
                for done in range(min(paid), qty):
                    if done in paid:
                        paid[done + 1] = max(paid[done] + price, paid.get(done + 1, -(10**9)))
            best = max(best, *paid.values())
    return best


@settings(max_examples=300, deadline=None)
@given(own=_TERMS, filled=st.integers(0, 6), asked=st.lists(_TERMS, max_size=4))
def test_what_is_held_is_the_most_that_can_be_paid(own: Terms, filled: int, asked: list[Terms]) -> None:
    """As found by trying each order of grants and each number of fills between them: not a unit more or less."""
    books = opened(usdt="1000")
    books.give(order(qty=str(own[0]), price=str(own[1])))
    if filled := min(filled, own[0]):
        books.give(trade(qty=str(filled), price="1"))
    pending: list[Terms] = []
    for n, (qty, price) in enumerate(asked):
        if filled < own[0] or qty > own[0]:
            books.give(asks(f"r{n}", qty=str(qty), price=str(price)))
            pending.append((qty, price))
        assert held(books) == most_paid(own, filled, tuple(pending)) * UNIT
    check_invariants(books.state)


@settings(max_examples=150, deadline=None)
@given(
    own=st.tuples(st.integers(1, 9), st.integers(1, 999)),
    asked=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 999)), min_size=1, max_size=4),
    answers=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=4),
)
def test_no_answer_takes_more_than_is_held(own: Terms, asked: list[Terms], answers: list[tuple[int, bool]]) -> None:
    """Granted or refused one by one, with nothing filled, requests only release; to the last digit, as rounded."""
    books = opened(usdt="1000")
    books.give(AssetDefined(asset="CENT", kind="currency", scale=1, name="coarse"))
    books.give(
        InstrumentDefined(
            instrument="ROUND", asset="BTC", quote_asset="CENT", settle_asset="CENT", tick="0.001", lot="1",
            settlement_cycle=0, venue="V",
        )
    )  # fmt: skip
    books.give(CashMoved(movement_id="c", account="A", asset="CENT", amount="1000", kind="deposit", value_date=DAY))
    books.give(msgspec.structs.replace(order(qty=str(own[0]), price=thousandths(own[1])), instrument="ROUND"))  # type: ignore[type-var]
    for n, (qty, price) in enumerate(asked):
        books.give(asks(f"r{n}", qty=str(qty), price=thousandths(price)))
    before = held(books)
    for number, granted in answers:
        row = row_of(books)
        if not row.pending_replace:
            break
        n = number % len(row.pending_replace)
        name, (qty, _, _) = row.pending_replace[n], asked_terms(row)[n]
        books.give(
            grants(name, amounts.render(qty)) if granted else ReplaceRejected(order_id="O", cl_ord_id=name, reason="r")
        )
        assert held(books) <= before
        before = held(books)


@pytest.mark.parametrize("filled", ["0", "4", "10"])
@pytest.mark.parametrize("qty", ["9", "10", "11", None])
def test_no_terms_are_asked_for_a_day_order_that_is_done_for_the_day(filled: str, qty: str | None) -> None:
    """Nothing is held for it, so nothing would be held for what is asked; the next day's order is a new one."""
    books = opened(usdt="1000")
    books.give(order(qty="10", price="10", tif="day"))
    if filled != "0":
        books.give(trade(qty=filled, price="10"))
    books.give(OrderDoneForDay(order_id="O"))
    with pytest.raises(RuleBroken, match=r"nothing_left.*done for the day"):
        books.give(asks("r", qty=qty, price="11"))
    books.give(OrderRestated(order_id="O", reason="new_day"))
    books.give(asks("r", qty="20"))
    assert held(books) == amount("200") - amount(filled) * 10


_STEPS = st.tuples(
    st.sampled_from(
        ["place", "ask", "ask", "grant", "grant", "refuse", "fill", "fill", "fill", "cancel?", "end", "rest"]
    ),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 7),
    st.booleans(),
)


class Venue:
    """
    A venue that does what it is asked and no more: it fills at an order's price or a better one, and grants a request
    as it was asked, or refuses it, at any time and in any order. Nothing is held for a day order that is done for the
    day (decision 0005), so it fills none, and restates one only where it *revives*.
    """

    def __init__(self, *, revives: bool) -> None:
        self.revives = revives
        self.told = 0

    def does(self, what: str, row: Order, some: int, other: int, flag: bool) -> Event | None:
        """Return what is told of *row*, if there is anything to be told."""
        self.told += 1
        name = row.pending_replace[other % len(row.pending_replace)] if row.pending_replace else ""
        if what == "fill":
            qty = min(some * UNIT, leaves(row))
            better = flag and row.side == "buy" and row.price != UNIT
            price = (row.price or 0) - better * UNIT
            event = trade(f"E{self.told}", row.order_id, row.side, amounts.render(qty), amounts.render(price))
            return event if qty else None
        if what == "rest":
            if row.done_for_day:
                restated = OrderRestated(order_id=row.order_id, reason="new_day")
                return restated if self.revives or row.tif == "gtc" else None
            return OrderDoneForDay(order_id=row.order_id) if some < 4 else None
        if what == "end":
            return OrderCanceled(order_id=row.order_id) if some == 1 else None
        if what == "refuse" and row.pending_cancel:
            return CancelRejected(order_id=row.order_id, cl_ord_id=row.pending_cancel[0], reason="r")
        if what == "refuse" and name:
            return ReplaceRejected(order_id=row.order_id, cl_ord_id=name, reason="r")
        if what == "grant" and name:
            qty, price, _ = asked_terms(row)[row.pending_replace.index(name)]
            return OrderReplaced(
                order_id=row.order_id, cl_ord_id=name, orig_cl_ord_id=row.cl_ord_id, qty=amounts.render(qty),
                price=None if flag or price is None else amounts.render(price),
            )  # fmt: skip
        return None


def asked_of(n: int, what: str, row: Order | None, some: int, other: int, flag: bool) -> Event | None:
    """Return a command, about *row* where there is one."""
    if what == "place":
        side = "buy" if some > 3 else "sell"
        return order(f"O{n}", side, str(some), str(other), tif="day" if flag else "gtc")
    if row is None:
        return None
    orig = row.pending_replace[-1] if flag and row.pending_replace else row.cl_ord_id
    if what == "cancel?":
        return CancelRequested(order_id=row.order_id, cl_ord_id=f"x{n}", orig_cl_ord_id=orig)
    qty, price = str(some) if other % 4 else None, str(other) if some % 3 else None
    return ReplaceRequested(
        order_id=row.order_id, cl_ord_id=f"r{n}", orig_cl_ord_id=orig, new_qty=qty, new_price=price
    )  # fmt: skip


def put_aside(books: Books, event: Event) -> Event | None:
    """
    Return what keeps the money of a day order while it is done for the day: a hold of as much as was held for it, which
    is released when it is restated or ends.
    """
    row = row_of(books, event.order_id) if isinstance(event, OrderDoneForDay | OrderRestated | OrderCanceled) else None
    if row is None or row.tif != "day":
        return None
    more = row.hold_amount + row.asked_hold
    if isinstance(event, OrderDoneForDay) and more:
        leg = Leg(account="A", asset=row.hold_asset or "", amount=amounts.render(more))
        return HoldPlaced(hold_id=f"H-{row.order_id}-{row.version}", legs=(leg,), ref=row.order_id)
    kept = (x.hold_id for x in books.state.holds.rows.values() if x.status == "open" and x.ref == row.order_id)
    name = next(kept, None)
    return None if name is None else HoldReleased(hold_id=name, reason="void")


def play(steps: list[tuple[str, int, int, int, bool]], *, revives: bool) -> Iterator[Books]:
    """Yield the books after each step that was taken; commands may be refused, and nothing is quarantined."""
    books = opened(usdt="60", btc="6")
    books.give(AccountLimitsSet(account="A", asset="BTC", floor="0", max_position="20"))
    books.give(order("O0", qty="2", price="5", tif="day" if revives else "gtc"))
    venue = Venue(revives=revives)
    for n, (what, some, other, which, flag) in enumerate(steps, 1):
        rows = [row for row in books.state.orders.rows.values() if row.terminal is None]
        row = rows[which % len(rows)] if rows else None
        if what in ("place", "ask", "cancel?"):
            event = asked_of(n, what, row, some, other, flag)
        else:
            event = None if row is None else venue.does(what, row, some, other, flag)
        if event is None:
            continue
        aside = put_aside(books, event)
        if isinstance(aside, HoldReleased):
            books.give(aside)
        try:
            assert books.give(event).rule is None
        except Rejected:
            assert event.KIND == "command"
        if isinstance(aside, HoldPlaced):
            books.give(aside)
        check_invariants(books.state)
        yield books


def in_breach(books: Books) -> bool:
    return any(x.breached or x.settled < 0 for x in books.state.balances.rows.values() if x.account == "A")


@settings(max_examples=400, deadline=None)
@given(st.lists(_STEPS, min_size=4, max_size=30))
def test_no_history_of_what_was_asked_takes_an_account_below_its_floor(
    steps: list[tuple[str, int, int, int, bool]],
) -> None:
    """
    Commands that were taken, and a venue that does what they ask, leave no balance below 0 and no position past its
    limit, whatever fills between requests. (Prices times quantities have no digits to round here.)
    """
    for books in play(steps, revives=False):
        assert not in_breach(books)
        position = books.state.positions.get("A", "BTCUSDT")
        assert position is None or abs(position.qty) <= 20 * UNIT


@settings(max_examples=400, deadline=None)
@given(st.lists(_STEPS, min_size=4, max_size=30))
def test_nor_does_one_in_which_day_orders_come_back_for_whom_their_money_is_kept(
    steps: list[tuple[str, int, int, int, bool]],
) -> None:
    """A day order that is restated may find its money spent; that apart, it takes no more than was held for it."""
    assert not any(in_breach(books) for books in play(steps, revives=True))
