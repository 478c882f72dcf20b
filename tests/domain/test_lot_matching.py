"""
Hold lots that were matched anew from a trade on against those of the trades that stand, given in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.rows import Lot, LotQueue
from ledger.domain.rules.lot_matching import newest_first, oldest_first
from ledger.domain.state import FIRST_RUN, LONGEST_RUN, State
from tests.domain.books import Books
from tests.domain.forgetful import ForgetfulBooks

DAY = "2024-08-05"
Trade = tuple[str, str, str]
"""Side, quantity and price."""
Step = tuple[str, Trade, int]
"""What is told, the trade that is, and which of those that stand is undone or changed."""
QUANTITIES, PRICES = ["1", "2", "3", "5", "7", "11", "30"], ["1.037", "2.503", "3.771"]
"""Quantities do not come to whole cents at such prices, so that shares of a cost are rounded."""
TRADES = st.tuples(st.sampled_from(["buy", "sell"]), st.sampled_from(QUANTITIES), st.sampled_from(PRICES))
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


def check_standing(books: Books, steps: list[Step]) -> None:
    """Give *steps* to *books*, and after each hold them against those trades that stand, given in order."""
    standing = dict[str, tuple[str, Trade]]()
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


@given(STEPS, st.sampled_from([Books, ForgetfulBooks]))
def test_lots_are_those_of_the_trades_that_stand(steps: list[Step], kind: type[Books]) -> None:
    """Whichever of them was undone or changed: the last, one that is open, one that closed others, one that flipped."""
    check_standing(market(kind), steps)


@pytest.mark.parametrize("seed", range(24))
def test_lots_of_known_histories_are_those_of_the_trades_that_stand(seed: int) -> None:
    """The same each time, so that whoever changes the matching meets the same trades."""
    random = Random(seed)
    steps = [
        (random.choice(["trade", "trade", "bust", "correct"]),
         (random.choice(["buy", "sell"]), random.choice(QUANTITIES), random.choice(PRICES)), random.randrange(50))
        for _ in range(22)
    ]  # fmt: skip
    check_standing(market((Books, ForgetfulBooks)[seed % 2]), steps)


def lots(count: int) -> dict[tuple[Any, ...], Lot]:
    """Return so many lots of one position as a store keeps them."""
    made = (Lot("A", "XYZ", n, "V", DAY, f"n{n}", 1, 1, 0, 0, live=True) for n in range(1, count + 1))
    return {("A", "XYZ", lot.number): lot for lot in made}


@pytest.mark.parametrize("count", [1, 64, 65, 300, 13_000])
def test_runs_are_asked_for_in_parts_that_grow(count: int) -> None:
    """Each lot comes once, in order, and none is asked for alone, nor one beyond those that are wanted."""
    kept, asked = lots(count + 5), list[tuple[int, int]]()

    def run(table: str, key: tuple[Any, ...], wanted: int) -> list[Lot]:
        assert (table, key[:2]) == ("lots", ("A", "XYZ"))
        asked.append((key[2], wanted))
        return [kept[*key[:2], number] for number in range(key[2], key[2] - wanted, -1)]

    def alone(table: str, key: tuple[Any, ...]) -> None:
        raise AssertionError(f"asked for {table} {key} alone")

    queue, parts, left = LotQueue("A", "XYZ", 1, count + 5, 1, 0), list[int](), count
    while left:
        parts.append(min(left, LONGEST_RUN, FIRST_RUN << len(parts)))
        left -= parts[-1]
    ends = list(itertools.accumulate(parts))
    found = newest_first(State(alone, runs=run), queue, count + 2, 3)
    assert [lot.number for lot in found] == list(range(count + 2, 2, -1))
    assert asked == [(count + 2 - end + part, part) for end, part in zip(ends, parts, strict=True)]
    asked.clear()
    found = oldest_first(State(alone, runs=run), queue, 3, count + 2)
    assert [lot.number for lot in found] == list(range(3, count + 3))
    assert asked == [(end + 2, part) for end, part in zip(ends, parts, strict=True)]


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
