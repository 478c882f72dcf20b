"""
Check that an average position is that of the trades that stand: what was busted, or said otherwise, has never been.
"""

from __future__ import annotations

import gc
import sys
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.domain.events.executions import TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, TradeAllocated
from tests.domain.books import Books, check_invariants
from tests.domain.equities import DAY, market, trade
from tests.domain.slow_holdings import Holding, cents


def busted(name: str, ref: str) -> TradeBusted:
    return TradeBusted(exec_id=name, exec_ref=ref, venue="N", trade_date=DAY, reason="r")


def corrected(name: str, ref: str, side: str, qty: str, price: str, **more: Any) -> TradeCorrected:
    return TradeCorrected(
        exec_id=name, exec_ref=ref, venue="N", account="A", instrument="XYZ.N", side=side, qty=qty, price=price,
        trade_date=DAY, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def standing(books: Books, account: str = "A") -> list[Fraction]:
    row = books.state.positions.rows[account, "XYZ.N"]
    return [Fraction(x, UNIT) for x in (row.qty, row.cost, row.realised)]


def test_a_bust_of_what_was_sold_from_leaves_a_short_at_the_price_of_the_sale() -> None:
    """Bought at 10, half sold at 12, and the buy is void: short 50 that cost -600, with nothing realised."""
    books = market()
    books.give(trade("B", "buy", "100", "10", fee="0"))
    books.give(trade("S", "sell", "50", "12", fee="0"))
    books.give(busted("X", "B"))
    assert standing(books) == [-50, -600, 0]
    check_invariants(books.state)


def test_a_short_never_costs_money() -> None:
    """A dear buy between two cheap ones is busted after sales: what is left is short, at a negative cost."""
    books = market()
    for name, side, qty, price in (("B1", "buy", "10", "100"), ("B2", "buy", "10", "1"), ("S", "sell", "15", "50")):
        books.give(trade(name, side, qty, price, fee="0"))
    books.give(busted("X", "B1"))
    assert standing(books) == [-5, -250, 490]
    books.give(busted("Y", "B2"))
    assert standing(books) == [-15, -750, 0]
    books.replayed()


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    """As if the first price had been right from the start: the sale's result is of the corrected cost."""
    books = market()
    books.give(trade("B", "buy", "100", "10", fee="0"))
    books.give(trade("S", "sell", "50", "12", fee="0"))
    books.give(corrected("C", "B", "buy", "100", "11"))
    assert standing(books) == [50, 550, 50]
    books.give(corrected("D", "C", "buy", "100", "8"))
    assert standing(books) == [50, 400, 200]
    check_invariants(books.state)


def test_an_allocation_that_is_reversed_gives_the_block_its_trades_back_in_their_places() -> None:
    """What the block sold in between is of the cost that it had, as if nothing had been allocated."""
    books = market()
    books.give(trade("B", "buy", "100", "10", account="BLOCK", fee="0"))
    books.give(trade("S", "sell", "50", "12", account="BLOCK", fee="0"))
    lines = (AllocationLine(account="A", qty="40", price="10"), AllocationLine(account="A", qty="60", price="10"))
    books.give(TradeAllocated(allocation_id="AL", venue="N", trade_date=DAY, exec_ids=("B",), lines=lines))
    assert standing(books, "BLOCK") == [-50, -600, 0]
    books.give(trade("S2", "sell", "10", "13", account="BLOCK", fee="0"))
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    assert standing(books, "BLOCK") == [40, 400, 130]
    assert standing(books) == [0, 0, 0]
    check_invariants(books.state)


def _steps(books: Books, event: Event) -> int:
    """Return how many lines of Python it takes to record *event*."""
    steps = 0

    def count(frame: object, what: str, _: object) -> object:
        nonlocal steps
        steps += what == "line"
        return count

    before = sys.gettrace()
    # A collection in the middle would have its callbacks counted.
    gc.disable()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        books.give(event)
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


def test_undoing_costs_by_the_trades_since_and_not_by_those_before() -> None:
    """A bust of the trade before the last takes as many steps after three hundred trades as after ten."""
    found = []
    # The first bust of a process also fills what is looked up once.
    for before in (10, 10, 300):
        books = market("10000000")
        for n in range(before):
            books.give(trade(f"E{n}", "buy", "1", "10"))
        found.append(_steps(books, busted("X", f"E{before - 2}")))
    assert found[1] == found[2]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["trade", "trade", "bust", "correct"]), st.integers(0, 9), st.sampled_from(["buy", "sell"]),
        st.sampled_from(["1", "3", "7"]), st.sampled_from(["0.01", "9.99", "10", "33.33"]),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_position_is_what_the_trades_that_stand_come_to(steps: list[tuple[str, int, str, str, str]]) -> None:
    """After each step cost has the sign of the quantity, and all is what going through the trades anew comes to."""
    books = market()
    stand: list[tuple[str, Fraction, Fraction]] = []
    for n, (what, number, side, qty, price) in enumerate(steps):
        name, place = f"E{n}", number % len(stand) if stand else 0
        signed = Fraction(qty) if side == "buy" else -Fraction(qty)
        made = (name, signed, cents(signed * Fraction(price)))
        if what == "trade" or not stand:
            assert books.give(trade(name, side, qty, price)).rule is None
            stand.append(made)
        elif what == "bust":
            assert books.give(busted(name, stand.pop(place)[0])).rule is None
        else:
            assert books.give(corrected(name, stand[place][0], side, qty, price)).rule is None
            stand[place] = made
        slow = Holding()
        for _, traded, value in stand:
            slow.average(traded, value)
        assert standing(books) == [slow.qty, slow.cost, slow.realised]
        assert slow.qty * slow.cost >= 0
    check_invariants(books.state)
    assert books.replayed().positions.rows == books.state.positions.rows
