"""
Check that an account's position limit holds against several orders, several instruments, and requests for more.
"""

from __future__ import annotations

import sys
from types import FrameType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.events.cash import CashMoved
from ledger.domain.events.corporate_actions import InstrumentRenamed, SplitApplied
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import AccountLimitsSet, AccountOpened, AccountStatusSet, InstrumentDefined
from ledger.domain.order_status import may_fill
from ledger.domain.state import State
from ledger.errors import RuleBroken
from tests.domain.books import DAY, Books, opened, order, trade


def limited(most: str = "2") -> Books:
    """Return books in which A may hold *most* BTC, long or short."""
    books = opened(usdt="100000", btc="10")
    books.give(AccountLimitsSet(account="A", asset="BTC", floor="0", max_position=most))
    return books


def test_what_open_orders_may_still_fill_counts_towards_the_limit() -> None:
    """Two orders of half the limit are all there may be; one that ends makes room, and a fill takes it for good."""
    books = limited()
    books.give(order("O1", qty="1"))
    books.give(order("O2", qty="1"))
    with pytest.raises(RuleBroken, match=r"max_position.*could reach 2\.001.*expected at most 2"):
        books.give(order("O3", qty="0.001"))
    books.give(trade("E1", "O1", qty="1"))
    with pytest.raises(RuleBroken, match=r"could reach 3"):
        books.give(order("O3", qty="1"))
    books.give(OrderCanceled(order_id="O2"))
    books.give(order("O3", qty="1"))


def test_a_request_for_more_is_held_to_the_limit_as_a_new_order_is() -> None:
    """A replace cannot ask for what could not have been placed; for less, or within the limit, it may."""
    books = limited()
    books.give(order("O", qty="1"))
    with pytest.raises(RuleBroken, match=r"max_position.*could reach 2\.5"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", new_qty="2.5"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", new_qty="2"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", qty="2"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", new_qty="0.5"))
    books.give(trade("E", "O", qty="2"))
    with pytest.raises(RuleBroken, match=r"max_position"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="w", orig_cl_ord_id="y", new_qty="2.001"))


def test_requests_side_by_side_are_held_to_one_limit() -> None:
    """Each may be granted: what one asks for is no more there for another, until it is answered."""
    books = limited()
    books.give(order("O", qty="1"))
    books.give(order("P", qty="0.5"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", new_qty="1.5"))
    with pytest.raises(RuleBroken, match=r"could reach 2\.001"):
        books.give(order("Q", qty="0.001"))
    with pytest.raises(RuleBroken, match=r"could reach 2\.001"):
        books.give(ReplaceRequested(order_id="P", cl_ord_id="z", orig_cl_ord_id="c-P", new_qty="0.501"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="w", orig_cl_ord_id="y", new_qty="1.2"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="y", reason="r"))
    books.give(order("Q", qty="0.3"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="w", orig_cl_ord_id="c-O", qty="1.2"))
    with pytest.raises(RuleBroken, match=r"could reach 2\.001"):
        books.give(order("R", qty="0.001"))


def test_an_account_with_a_request_for_more_does_not_close() -> None:
    """A market order that has filled holds nothing, and would fill again once the venue grants what is asked for."""
    books = opened(usdt="0.5", btc="0")
    books.give(order(price=None))
    assert books.give(trade(qty="0.01", price="50")).rule is None
    books.give(
        CashMoved(movement_id="out", account="A", asset="BTC", amount="-0.01", kind="withdrawal", value_date=DAY)
    )
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", new_qty="0.02"))
    with pytest.raises(RuleBroken, match=r"account_not_empty.*order O, which may fill"):
        books.give(AccountStatusSet(account="A", status="closed", reason="r"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="y", reason="r"))
    books.give(AccountStatusSet(account="A", status="closed", reason="r"))


def test_the_limit_is_of_the_asset_in_whichever_instruments_it_is_traded() -> None:
    """The same coin against another currency fills the same limit."""
    books = limited()
    books.give(
        InstrumentDefined(
            instrument="BTC-2", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="0.001",
            settlement_cycle=0, venue="W",
        )
    )  # fmt: skip
    books.give(order("O", qty="1.5"))
    other = OrderPlaced(order_id="P", cl_ord_id="p", account="A", instrument="BTC-2", side="buy", qty="1",
                        ord_type="limit", price="100")  # fmt: skip
    with pytest.raises(RuleBroken, match=r"max_position.*could reach 2\.5 BTC"):
        books.give(other)


def test_an_account_over_its_limit_may_still_reduce() -> None:
    """Facts took it past the limit: sales that lead back are taken, down to as far on the other side and no further."""
    books = limited()
    books.give(trade("E", None, qty="5"))
    with pytest.raises(RuleBroken, match=r"max_position"):
        books.give(order("O1", qty="0.001"))
    books.give(order("O2", side="sell", qty="1"))
    books.give(order("O3", side="sell", qty="6"))
    with pytest.raises(RuleBroken, match=r"max_position.*could reach -2\.001"):
        books.give(order("O4", side="sell", qty="0.001"))


def _steps(books: Books, name: str) -> int:
    """Return how many lines of the ledger it takes to record an order of the account with a limit."""
    steps = 0

    def count(frame: FrameType, event: str, _: object) -> object:
        nonlocal steps
        steps += event == "line" and frame.f_globals["__name__"].startswith("ledger.")
        return count

    before, event = sys.gettrace(), order(name, qty="0.001")
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        books.give(event)
    finally:
        sys.settrace(before)
    return steps


def test_the_cost_of_a_limit_does_not_grow_with_the_orders_that_are_open() -> None:
    """An order takes as many steps among five hundred open ones as among ten, of its account and of others."""
    books = limited("100")
    books.give(AccountOpened(account="B", owner="o", kind="margin", base_asset="USDT"))
    books.give(AccountLimitsSet(account="B", asset="USDT", floor="-1000000"))
    books.give(order("first", qty="0.001"))
    found = []
    for more in (10, 490):
        for n in range(more):
            books.give(order(f"O-{more}-{n}", qty="0.001"))
            other = msgspec.structs.replace(order(f"B-{more}-{n}", qty="0.001"), account="B")  # type: ignore[type-var]
            books.give(other)
        # The least of a few: whatever the interpreter does meanwhile, such as to collect garbage, is counted too.
        found.append(min(_steps(books, f"N-{more}-{n}") for n in range(3)))
    assert found[0] == found[1]


def _check_working(state: State) -> None:
    for buys in (True, False):
        rows = [row for row in state.orders.rows.values() if (row.side == "buy") == buys]
        assert state.orders.working("A", "BTC", buys=buys) == sum(may_fill(row) for row in rows)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["placed", "placed", "filled", "ended", "asked", "asked", "replaced", "done", "split", "renamed"]
            ),
            st.integers(0, 5),
            st.sampled_from(["buy", "sell"]),
        ),
        max_size=30,
    )
)
def test_the_running_sum_is_what_all_open_orders_may_still_fill(steps: list[tuple[str, int, str]]) -> None:
    """After every change, and after every change that is taken back, it is what a walk over all orders comes to."""
    books, name = limited("1000"), "BTCUSDT"
    before = books.clock
    books.set_day("2024-08-20")

    def at(event: Event) -> int | None:
        """Splits are of later days than the orders that they change."""
        return None if isinstance(event, SplitApplied) else before

    books.state.orders.working("A", "BTC", buys=True)
    for n, (what, number, side) in enumerate(steps):
        order_id, mark = f"O{number}", books.state.begin()
        made: Event = msgspec.structs.replace(order(order_id, side=side, tif="gtc"), instrument=name)  # type: ignore[type-var]
        if what == "filled":
            made = trade(f"E{n}", order_id, side=side, qty="0.004")
        elif what == "ended":
            made = OrderCanceled(order_id=order_id)
        elif what == "asked":
            made = ReplaceRequested(
                order_id=order_id, cl_ord_id=f"r{n}", orig_cl_ord_id=f"c-{order_id}", new_qty=f"0.0{n + 10}"
            )
        elif what == "replaced":
            made = OrderReplaced(
                order_id=order_id, cl_ord_id=f"r{n}", orig_cl_ord_id=f"c-{order_id}", qty=f"0.0{n + 10}"
            )
        elif what == "done":
            made = OrderDoneForDay(order_id=order_id)
        elif what == "split":
            made = SplitApplied(ca_id=f"S{n}", instrument=name, ratio_num=2, ratio_den=1, rounding="down",
                                ex_date=f"2024-08-{n % 11 + 9:02d}")  # fmt: skip
        elif what == "renamed":
            made = InstrumentRenamed(ca_id=f"R{n}", old=name, new=f"{name}x", effective=DAY)
        try:
            outcome = books.give(made, at(made))
        except RuleBroken:
            continue
        _check_working(books.state)
        now = f"{name}x" if what == "renamed" else name
        books.give(msgspec.structs.replace(order(f"U{n}", qty="0.003"), instrument=now), before)  # type: ignore[type-var]
        _check_working(books.state)
        books.state.rollback(mark)
        del books.stored[-2:], books.contexts[-2:]
        _check_working(books.state)
        assert books.give(made, at(made)).rule == outcome.rule
        _check_working(books.state)
        name = now
