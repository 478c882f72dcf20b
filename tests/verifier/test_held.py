"""
Check the verifier's sum of what is held, against books whose rules did not keep it.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.domain.events.cash import HoldPlaced, HoldReleased, Leg
from ledger.domain.events.orders import OrderCanceled, ReplaceRequested
from tests.domain.books import amount, opened, order
from verifier import held
from verifier.report import Finding


def test_what_is_held_adds_up_while_orders_and_holds_come_and_go() -> None:
    """Open orders and what remains of open holds are counted, whatever has ended is not, and the sums agree."""
    books = opened()
    books.give(order())
    books.give(order("P"))
    books.give(order("S", side="sell"))
    books.give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),)))
    books.give(HoldPlaced(hold_id="I", legs=(Leg(account="A", asset="BTC", amount="0.5"),)))
    captured = (Leg(account="A", asset="USDT", amount="2"),)
    books.give(HoldReleased(hold_id="H", amounts=captured, reason="captured", ref="r"))
    books.give(HoldReleased(hold_id="I", reason="void"))
    assert held.check(books.state) == []
    books.give(OrderCanceled(order_id="S"))
    books.state.durable(books.state.begin())
    assert held.check(books.state) == []


@pytest.mark.parametrize("change", ["1", "-1"])
def test_a_held_balance_that_nothing_open_accounts_for_is_named(change: str) -> None:
    """One unit more or less than what is open, in an asset with orders and in one without: both are found."""
    books = opened()
    books.give(order())
    for asset in ("USDT", "BTC"):
        row = books.state.balances.get("A", asset)
        assert row is not None
        books.state.balances.put(msgspec.structs.replace(row, held=row.held + (amount("1") * int(change))))
    assert held.check(books.state) == [wrong("BTC", "0", change), wrong("USDT", "1", str(1 + int(change)))]


def wrong(asset: str, expected: str, actual: str) -> Finding:
    return Finding("HELD_MISMATCH", expected, actual, table="balances", key=("A", asset), column="held")


def test_what_is_open_needs_a_balance() -> None:
    """A row that is gone holds nothing."""
    books = opened()
    books.give(order())
    del books.state.balances.rows[("A", "USDT")]
    assert held.check(books.state) == [wrong("USDT", "1", "0")]
    (row,) = books.state.orders.rows.values()
    books.state.orders.put(msgspec.structs.replace(row, hold_amount=0))
    assert held.check(books.state) == []


def test_what_is_asked_for_beyond_an_order_is_held_too() -> None:
    """Until the venue says which terms hold."""
    books = opened()
    books.give(order())
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="c-O", new_qty="2"))
    (row,) = books.state.orders.rows.values()
    assert row.asked_hold > 0
    assert held.check(books.state) == []
