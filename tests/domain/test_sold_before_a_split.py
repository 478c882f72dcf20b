"""
Check that what waits for settlement when shares split is in new shares from then on, also of who owns none in all.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.amounts import render
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.orders import OrderPlaced
from tests.domain.books import Books, amount
from tests.domain.equities import DUE, all_balances, buckets, market, settled, trade
from tests.domain.forgetful import ForgetfulBooks

MONDAY = "2024-08-12"


def split(num: int, den: int, rounding: Any = "down", name: str = "S", ex_date: str = MONDAY) -> SplitApplied:
    return SplitApplied(
        ca_id=name, instrument="XYZ.N", ratio_num=num, ratio_den=den, ex_date=ex_date, rounding=rounding
    )  # fmt: skip


def sale(exec_id: str, qty: str) -> Any:
    return trade(exec_id, side="sell", qty=qty, fee="0", trade_date=DUE)


def gone(exec_id: str, qty: str, **more: Any) -> Any:
    return settled(f"s{exec_id}{qty}", exec_id, qty, trade_date=DUE, date=MONDAY, **more)


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("rounding", ["cash", "down", "nearest"])
@pytest.mark.parametrize(
    ("num", "den", "then", "left"),
    [(2, 1, ("200", "-200"), ("120", "-120")), (1, 10, ("10", "-10"), ("6", "-6"))],
)
def test_who_sold_all_it_had_delivers_new_shares(
    kind: type[Books], rounding: str, num: int, den: int, then: tuple[str, str], left: tuple[str, str]
) -> None:
    """A hundred that are sold and not delivered yet are there in new shares, and go in new shares, in parts too."""
    books = market(kind=kind)
    given = (trade("E", fee="0"), settled(), sale("F", "100"), split(num, den, rounding))
    assert [books.give(x).rule for x in given] == [None] * 4
    assert buckets(books, asset="XYZ") == then
    due = books.state.entitlements.get("S", "A")
    assert due is not None
    assert (due.qty, due.new_qty) == (0, 0)
    assert books.give(gone("F", "40", partial=True)).rule is None
    assert buckets(books, asset="XYZ") == left
    assert books.give(gone("F", "60")).rule is None
    assert buckets(books, asset="XYZ") == ("0", "0")
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_what_is_held_to_be_delivered_splits_for_who_owns_none_in_all(kind: type[Books]) -> None:
    """All of a hundred are held for a sale, and as many were sold without an order: nothing of it is settled."""
    books = market(kind=kind)
    held = OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ.N", side="sell", qty="100",
                       ord_type="limit", price="10", tif="gtc")  # fmt: skip
    books.set_day(DUE)
    given = (trade("E", fee="0"), settled(), held, sale("F", "100"))
    assert [books.give(x).rule for x in given] == [None] * 4
    books.set_day(MONDAY)
    assert books.give(split(2, 1)).rule is None
    assert all_balances(books)["A", "XYZ", "held"] == amount("200")
    assert buckets(books, asset="XYZ") == ("0", "-200")
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("first", ["E", "F"])
def test_a_purchase_and_a_sale_that_wait_settle_in_new_shares_each(kind: type[Books], first: str) -> None:
    """Together they come to nothing, so a split finds nothing to multiply; whichever settles first is of new shares."""
    books = market(kind=kind)
    given = (trade("E", fee="0"), sale("F", "100"), split(3, 2), split(2, 1, name="S2", ex_date="2024-08-13"))
    assert [books.give(x).rule for x in given] == [None] * 4
    assert buckets(books, asset="XYZ") == ("0", "0")
    settlements = {"E": settled(date="2024-08-13"), "F": gone("F", "100")}
    assert books.give(settlements.pop(first)).rule is None
    came = {"E": "300", "F": "-300"}[first]
    assert buckets(books, asset="XYZ") == (came, render(-amount(came)))
    assert [books.give(x).rule for x in settlements.values()] == [None]
    assert buckets(books, asset="XYZ") == ("0", "0")
    books.replayed()


def test_each_part_of_what_waits_is_rounded_with_those_before_it() -> None:
    """Seven are sold by parts, which come to three and a half in new shares: to three, as the seven there are."""
    books = market()
    given = (trade("E", qty="7", fee="0"), settled(qty="7"), sale("F", "7"), split(1, 2))
    assert [books.give(x).rule for x in given] == [None] * 4
    found = [buckets(books, asset="XYZ")]
    for part in ("1", "2", "3"):
        assert books.give(gone("F", part, partial=True)).rule is None
        found.append(buckets(books, asset="XYZ"))
    assert books.give(settled("last", "F", "1", trade_date=DUE, date=MONDAY)).rule is None
    assert [*found, buckets(books, asset="XYZ")] == [
        ("3", "-3"), ("3", "-3"), ("2", "-2"), ("0", "0"), ("0", "0"),
    ]  # fmt: skip
    assert render(books.state.balances.rows["A", "XYZ"].total) == "0"
    books.replayed()
