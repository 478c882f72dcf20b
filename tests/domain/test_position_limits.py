"""
Check that an account's position limit holds against several orders, several instruments, and requests for more.
"""

from __future__ import annotations

import pytest

from ledger.domain.events.orders import OrderCanceled, OrderPlaced, OrderReplaced, ReplaceRequested
from ledger.domain.events.reference import AccountLimitsSet, InstrumentDefined
from ledger.errors import RuleBroken
from tests.domain.books import Books, opened, order, trade


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
