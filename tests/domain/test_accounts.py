"""
Check that an account closes only when nothing is open in it, and that a closed one takes nothing but facts.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.domain.events.cash import CashMoved, FeeCharged, HoldPlaced, JournalPosted, JournalReversed, Leg, Posting
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import (
    AccountOpened,
    AccountStatusSet,
    AssetDefined,
    InstrumentAmended,
    InstrumentDefined,
)
from ledger.domain.events.settlement import TradeSettled
from ledger.errors import RuleBroken
from tests.domain.books import DAY, Books, amount, check_invariants, opened, trade


def status(to: str) -> Event:
    return AccountStatusSet(account="B", status=to, reason="r")  # type: ignore[arg-type]


def journal(name: str, *lines: tuple[str, str, str]) -> Event:
    return JournalPosted(
        journal_id=name, memo="m",
        postings=tuple(Posting(account=x, asset="USDT", bucket=bucket, amount=n) for x, bucket, n in lines),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def books() -> Books:
    books = opened()
    books.give(AccountOpened(account="B", owner="o", kind="cash", base_asset="USDT"))
    return books


def test_what_is_yet_to_settle_keeps_an_account_open(books: Books) -> None:
    """It has five and owes five tomorrow: together nothing, and still there is something to come."""
    books.give(journal("J", ("A", "settled", "-5"), ("B", "settled", "5"), ("B", "unsettled", "-5"),
                       ("~clearing.V", "unsettled", "5")))  # fmt: skip
    with pytest.raises(RuleBroken, match=r"account_not_empty.*still has USDT"):
        books.give(status("closed"))
    books.give(journal("K", ("B", "settled", "-5"), ("B", "unsettled", "5")))
    books.give(status("closed"))


def test_trades_that_cancel_each_other_out_settle_in_a_closed_account(books: Books) -> None:
    """What is unsettled counts net: the first to settle takes the account below its floor, and the second back."""
    books.give(InstrumentAmended(instrument="BTCUSDT", settlement_cycle=1, effective_from="2024-01-01"))
    for way in ("buy", "sell"):
        books.give(trade(way, None, way, "1", account="B"))
    books.give(status("closed"))
    books.set_day("2024-08-09")
    for way, below in (("buy", True), ("sell", False)):
        settled = TradeSettled(settlement_id=way, venue="V", trade_date=DAY, exec_id=way, qty="1", date="2024-08-09")
        assert books.give(settled).rule is None
        row = books.state.balances.get("B", "USDT")
        assert row is not None
        assert row.breached == below
    assert (row.settled, row.unsettled) == (0, 0)
    books.replayed()


def test_an_order_that_may_still_fill_keeps_an_account_open(books: Books) -> None:
    """A market order holds nothing, and its fill would be a closed account's position."""
    books.give(OrderPlaced(order_id="M", cl_ord_id="m", account="B", instrument="BTCUSDT", side="buy", qty="0.1",
                           ord_type="market"))  # fmt: skip
    with pytest.raises(RuleBroken, match=r"account_not_empty.*order M.*end it first"):
        books.give(status("closed"))
    books.give(OrderCanceled(order_id="M"))
    books.give(status("closed"))


@pytest.mark.parametrize(
    "event",
    [
        FeeCharged(fee_id="f", account="B", kind="k", asset="USDT", amount="-1"),
        HoldPlaced(hold_id="h", legs=(Leg(account="B", asset="USDT", amount="1"),)),
        journal("J2", ("A", "settled", "-1"), ("B", "settled", "1")),
        JournalReversed(journal_id="J2", reverses_kind="journal", reverses="out", reason="r"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_closed_account_takes_no_command_until_it_is_opened_again(books: Books, event: Event) -> None:
    """No fee, rebate, hold, journal or reversal of one; opened again, it takes what it took before."""
    books.give(journal("J1", ("A", "settled", "-5"), ("B", "settled", "5")))
    books.give(journal("out", ("A", "settled", "5"), ("B", "settled", "-5")))
    books.give(status("closed"))
    with pytest.raises(RuleBroken, match=r"account_status.*account B is closed; expected one that is not"):
        books.give(event)
    books.give(status("open"))
    books.give(CashMoved(movement_id="m", account="B", asset="USDT", amount="2", kind="deposit", value_date=DAY))
    assert books.give(event).rule is None
    check_invariants(books.state)


def test_facts_reach_a_closed_account(books: Books) -> None:
    """What a bank did is recorded, whatever the account has become; to undo what was wrong it is opened again."""
    books.give(CashMoved(movement_id="m", account="B", asset="USDT", amount="5", kind="deposit", value_date=DAY))
    books.give(journal("J", ("A", "settled", "5"), ("B", "settled", "-5")))
    books.give(status("closed"))
    assert books.give(
        CashMoved(movement_id="n", account="B", asset="USDT", amount="1", kind="interest", value_date=DAY)
    ).rule is None  # fmt: skip
    undone = JournalReversed(journal_id="R", reverses_kind="cash", reverses="n", reason="r")
    with pytest.raises(RuleBroken, match=r"account_status\): R4: account B is closed"):
        books.give(undone)
    books.give(status("open"))
    books.give(undone)
    books.give(status("closed"))
    check_invariants(books.state)
    books.replayed()


def test_a_filled_order_of_a_closed_account_is_not_enlarged(books: Books) -> None:
    """What the venue then replaced would hold, and fill, for an account that has ended."""
    for way, name in (("buy", "O"), ("sell", "P")):
        books.give(OrderPlaced(order_id=name, cl_ord_id=name, account="B", instrument="BTCUSDT", side=way, qty="0.1",  # type: ignore[arg-type]
                               ord_type="market", historical=True))  # fmt: skip
        books.give(trade(f"E{name}", name, way, "0.1", account="B"))
    books.give(status("closed"))
    asked = ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="0.2")
    with pytest.raises(RuleBroken, match=r"account_status\): R4: account B is closed"):
        books.give(asked)
    books.give(status("open"))
    books.give(asked)


def test_an_account_with_an_enlargement_on_its_way_does_not_close(books: Books) -> None:
    """The order has filled, and the venue may well answer: it would be worked again, for an account that has ended."""
    books.give(OrderPlaced(order_id="O", cl_ord_id="O", account="B", instrument="BTCUSDT", side="buy", qty="0.1",
                           ord_type="market", historical=True))  # fmt: skip
    books.give(trade("E", "O", "buy", "0.1", account="B"))
    books.give(trade("E2", None, "sell", "0.1", account="B"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="0.2"))
    with pytest.raises(RuleBroken, match=r"account_not_empty.*order O.*waits for an answer"):
        books.give(status("closed"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="O2", reason="r"))
    books.give(status("closed"))
    replaced = OrderReplaced(order_id="O", cl_ord_id="O3", orig_cl_ord_id="O", qty="0.2")
    assert books.give(replaced).rule == "account_status"
    books.give(status("open"))
    assert books.give(replaced).rule is None
    books.replayed()


def test_a_day_order_does_not_live_again_for_a_closed_account(books: Books) -> None:
    """Done for the day, it keeps no account open; the venue that restates it next morning is asked about."""
    books.give(OrderPlaced(order_id="D", cl_ord_id="D", account="B", instrument="BTCUSDT", side="buy", qty="0.1",
                           ord_type="market", tif="day"))  # fmt: skip
    books.give(OrderDoneForDay(order_id="D"))
    books.give(status("closed"))
    made = books.give(OrderRestated(order_id="D", reason="new_day"))
    assert (made.rule, made.detail) == (
        "account_status", "R4: account B is closed; expected one that is not: open it again first",
    )  # fmt: skip
    assert books.give(OrderCanceled(order_id="D")).rule is None
    books.replayed()


def test_a_restricted_account_asks_for_less_and_not_for_more(books: Books) -> None:
    """A quantity that grows is as good as another order; one that shrinks is not."""
    books.give(OrderPlaced(order_id="O", cl_ord_id="O", account="B", instrument="BTCUSDT", side="sell", qty="0.1",
                           ord_type="market", historical=True))  # fmt: skip
    books.give(status("restricted"))
    with pytest.raises(RuleBroken, match=r"account_status\): R4: account B is restricted; expected open"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="0.2"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="0.05"))


def test_a_restricted_account_asks_for_no_price_for_which_more_is_held(books: Books) -> None:
    """To bid more for as much is to ask for more, too; to bid less, or for less of it at more, is not."""
    books.give(journal("J", ("A", "settled", "-1000"), ("B", "settled", "1000")))
    bids: dict[str, Any] = {"order_id": "O", "orig_cl_ord_id": "O"}
    books.give(OrderPlaced(order_id="O", cl_ord_id="O", account="B", instrument="BTCUSDT", side="buy", qty="1",
                           ord_type="limit", price="10"))  # fmt: skip
    books.give(status("restricted"))
    with pytest.raises(RuleBroken, match=r"account_status\): R4: account B is restricted; expected open, to ask for"):
        books.give(ReplaceRequested(cl_ord_id="O2", new_price="1000", **bids))
    books.give(ReplaceRequested(cl_ord_id="O2", new_price="9", **bids))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="O2", reason="r"))
    books.give(ReplaceRequested(cl_ord_id="O3", new_price="20", new_qty="0.5", **bids))
    books.replayed()


def test_a_restricted_account_changes_what_it_asked_for_before_it_was(books: Books) -> None:
    """What waits may be granted, and is held: to ask for as much at a lower price is to ask for no more."""
    books.give(journal("J", ("A", "settled", "-1000"), ("B", "settled", "1000")))
    books.give(OrderPlaced(order_id="O", cl_ord_id="O", account="B", instrument="BTCUSDT", side="buy", qty="1",
                           ord_type="limit", price="10"))  # fmt: skip
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="O", new_qty="6"))
    books.give(status("restricted"))
    with pytest.raises(RuleBroken, match="account_status"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", new_qty="7", new_price="1"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", new_price="9"))
    books.replayed()


def test_a_restricted_account_asks_for_less_where_its_fills_were_rounded(books: Books) -> None:
    """Two halves of a hold of 0.03 leave 0.01, and what is left would have 0.02 held anew, also at a lower price."""
    books.give(AssetDefined(asset="USD", kind="currency", scale=2, name="dollar"))
    books.give(InstrumentDefined(
        instrument="PENNY", asset="BTC", quote_asset="USD", settle_asset="USD", tick="0.0001", lot="1",
        settlement_cycle=0, venue="V",
    ))  # fmt: skip
    books.give(CashMoved(movement_id="c", account="B", asset="USD", amount="9", kind="deposit", value_date=DAY))
    books.give(OrderPlaced(order_id="O", cl_ord_id="O", account="B", instrument="PENNY", side="buy", qty="4",
                           ord_type="limit", price="0.0081"))  # fmt: skip
    for name in ("E", "F"):
        books.give(msgspec.structs.replace(trade(name, "O", "buy", "1", "0.0081"), account="B", instrument="PENNY"))
    left = books.state.balances.get("B", "USD")
    assert left is not None
    assert left.held == amount("0.01")
    books.give(status("restricted"))
    with pytest.raises(RuleBroken, match="account_status"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="x", orig_cl_ord_id="O", new_price="0.0181"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="O", new_price="0.0079"))
    books.replayed()


def test_nothing_is_held_of_the_ledgers_own_accounts(books: Books) -> None:
    """They stand for the world outside, which sets nothing aside."""
    with pytest.raises(RuleBroken, match="unknown_account"):
        books.give(HoldPlaced(hold_id="h", legs=(Leg(account="~external", asset="USDT", amount="1"),)))
