"""
Hold lots that were matched anew from a trade on against those of the trades that stand, given in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from tests.domain.books import Books
from tests.domain.forgetful import ForgetfulBooks

DAY = "2024-08-05"
Trade = tuple[str, str, str]
"""Side, quantity and price."""
TRADES = st.tuples(
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["1", "2", "3", "5", "7", "11", "30"]),
    st.sampled_from(["1.037", "2.503", "3.771"]),
)
"""At prices that quantities do not come to whole cents with, so that shares of a cost are rounded."""
STEPS = st.lists(st.tuples(st.sampled_from(["trade", "trade", "bust", "correct"]), TRADES, st.integers(0, 50)),
                 min_size=1, max_size=25)  # fmt: skip


def market(kind: Callable[[], Books] = Books, method: str = "FIFO") -> Books:
    books = kind()
    for asset, places in (("USD", 2), ("XYZ", 0)):
        books.give(AssetDefined(asset=asset, kind="security", scale=places, name=asset))
    books.give(InstrumentDefined(instrument="XYZ", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.001",
                                 lot="1", settlement_cycle=0, venue="V"))  # fmt: skip
    books.give(
        AccountOpened(account="A", owner="o", kind="house", base_asset="USD", cost_method=method)  # type: ignore[arg-type]
    )
    return books


def give(books: Books, name: str, trade: Trade, corrects: str | None = None) -> None:
    side, qty, price = trade
    fields: dict[str, Any] = {"exec_id": name, "venue": "V", "account": "A", "instrument": "XYZ", "side": side,
                              "qty": qty, "price": price, "trade_date": DAY}  # fmt: skip
    event = TradeExecuted(**fields) if corrects is None else TradeCorrected(exec_ref=corrects, **fields)
    assert books.give(event).rule is None


def bust(books: Books, name: str, ref: str) -> None:
    assert books.give(TradeBusted(exec_id=name, exec_ref=ref, venue="V", trade_date=DAY, reason="r")).rule is None


def holding(books: Books) -> tuple[Any, ...]:
    """Return quantity, cost, result and the open lots, oldest first."""
    position, rows = books.state.positions.get("A", "XYZ"), sorted(books.whole().lots.rows.items())
    total = (position.qty, position.cost, position.realised) if position is not None else (0, 0, 0)
    return (*total, [(lot.open_qty, lot.open_cost) for _, lot in rows if lot.open_qty])


@given(STEPS, st.sampled_from([Books, ForgetfulBooks]))
def test_lots_are_those_of_the_trades_that_stand(steps: list[tuple[str, Trade, int]], kind: type[Books]) -> None:
    """Whichever of them was undone or changed: the last, one that is open, one that closed others, one that flipped."""
    books, standing = market(kind), dict[str, tuple[str, Trade]]()
    for number, (what, trade, which) in enumerate(steps):
        name, roots = f"n{number}", list(standing)
        if what == "trade" or not roots:
            give(books, name, trade)
            standing[name] = (name, trade)
        elif what == "bust":
            bust(books, name, standing.pop(roots[which % len(roots)])[0])
        else:
            root = roots[which % len(roots)]
            give(books, name, trade, corrects=standing[root][0])
            standing[root] = (name, trade)
        meant = market()
        for name, (_, trade) in standing.items():
            give(meant, name, trade)
        assert holding(books) == holding(meant)
    books.replayed()


def test_what_was_left_of_a_lot_is_known_from_the_trades_that_closed_the_rest() -> None:
    """Each share of its cost was rounded, so no division tells it."""
    books = market()
    for number, trade in enumerate([("sell", "3", "1.037"), ("sell", "7", "2.503"), ("buy", "30", "3.771"),
                                    ("sell", "7", "1.037"), ("sell", "1", "3.771"), ("buy", "5", "1.037"),
                                    ("sell", "11", "2.503")]):  # fmt: skip
        give(books, f"n{number}", trade)
    before = holding(books)
    give(books, "more", ("sell", "5", "3.771"))
    bust(books, "b", "more")
    assert holding(books) == before
    books.replayed()


@pytest.mark.parametrize("method", ["AVG", "FIFO"])
@pytest.mark.parametrize(("of", "most"), [("n1199", 6), ("n0", 40)])
def test_undoing_asks_the_store_a_few_questions(method: str, of: str, most: int) -> None:
    """Of a thousand trades since then each was asked for alone."""
    books = market(ForgetfulBooks, method)
    assert isinstance(books, ForgetfulBooks)
    for number in range(1_200):
        give(books, f"n{number}", ("buy" if number % 2 == 0 else "sell", "1", "2.5"))
    books.memory.questions = 0
    bust(books, "b", of)
    assert books.memory.questions <= most
