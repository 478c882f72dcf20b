"""
Follow orders where FIX's matrices do not go: late answers, days, busts and corrections across dates, holds set by hand.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    HoldGiven,
    OrderCanceled,
    OrderDoneForDay,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import InstrumentAmended
from ledger.domain.order_status import leaves
from ledger.domain.rows import Execution, Order
from ledger.errors import InsufficientFunds, RuleBroken
from tests.domain.books import DAY, NOON, Books, amount, check_invariants, opened
from tests.domain.books import order as new_order
from tests.domain.forgetful import ForgetfulBooks

NEXT_DAY = "2024-08-09"


def placed(books: Books, qty: str = "0.01", price: str | None = "100", **more: Any) -> None:
    kind = "market" if price is None else "limit"
    facts: dict[str, Any] = {"side": "buy", "tif": "gtc", **more}
    books.give(OrderPlaced(order_id="O", cl_ord_id="x", account="A", instrument="BTCUSDT", qty=qty, ord_type=kind,
                           price=price, **facts))  # fmt: skip


def fill(exec_id: str, qty: str = "0.004", price: str = "100", day: str = DAY, **more: Any) -> TradeExecuted:
    facts: dict[str, Any] = {"order_id": "O", "side": "buy", **more}
    return TradeExecuted(exec_id=exec_id, venue="V", account="A", instrument="BTCUSDT", qty=qty, price=price,
                         trade_date=day, **facts)  # fmt: skip


def corrected(exec_id: str, ref: str, qty: str, price: str = "100", **more: Any) -> TradeCorrected:
    facts: dict[str, Any] = {"trade_date": DAY, "order_id": "O", "side": "buy", **more}
    return TradeCorrected(exec_id=exec_id, exec_ref=ref, venue="V", account="A", instrument="BTCUSDT", qty=qty,
                          price=price, **facts)  # fmt: skip


def busted(exec_id: str, ref: str, day: str = DAY, **more: Any) -> TradeBusted:
    return TradeBusted(exec_id=exec_id, exec_ref=ref, venue="V", trade_date=day, reason="r", **more)


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("report", [corrected("E", "E", "0.005"), busted("E", "E")], ids=["correction", "bust"])
def test_a_report_under_the_id_of_what_it_is_about_is_quarantined(kind: type[Books], report: Event) -> None:
    """Whether memory has forgotten the execution or not: an execution does not take its own place."""
    books = opened(books=kind())
    placed(books)
    books.give(fill("E"))
    made = books.give(report)
    assert (made.rule, "'E'" in str(made.detail)) == ("exec_id_reused", True)
    assert books.state.executions.get("V", DAY, "E") is not None
    books.replayed()


def order(books: Books) -> Order:
    row = books.state.orders.get("O")
    assert row is not None
    return row


def stands(books: Books) -> tuple[str, int, int, int]:
    """Return the order's status, quantity, what may still fill and what is held, after seeing that the books agree."""
    check_invariants(books.state)
    books.replayed()
    row = order(books)
    return row.status, row.qty, leaves(row), row.hold_amount


def held(status: str, qty: str, left: str, hold: str) -> tuple[str, int, int, int]:
    return status, amount(qty), amount(left), amount(hold)


@pytest.mark.parametrize("end", [OrderCanceled(order_id="O", unsolicited=True), OrderExpired(order_id="O")])
def test_an_end_answers_all_that_is_pending_and_a_late_refusal_changes_nothing(end: Event) -> None:
    """An unasked end overtakes a replace and a cancel; the venue's refusals of both are recorded without effect."""
    books = opened()
    placed(books)
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_qty="0.02"))
    books.give(CancelRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y"))
    assert stands(books) == held("PENDING_CANCEL", "0.01", "0.01", "1")
    books.give(end)
    ended = "CANCELED" if isinstance(end, OrderCanceled) else "EXPIRED"
    assert stands(books) == held(ended, "0.01", "0", "0")
    assert books.give(CancelRejected(order_id="O", cl_ord_id="z", reason="too late")).rule is None
    assert books.give(ReplaceRejected(order_id="O", cl_ord_id="y", reason="too late")).rule is None
    assert stands(books) == held(ended, "0.01", "0", "0")
    assert books.give(CancelRejected(order_id="O", cl_ord_id="other", reason="r")).rule == "not_pending"
    assert books.give(OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", qty="1")).rule == "order_not_live"


def test_a_refusal_that_nobody_asked_for_is_quarantined_while_the_order_lives() -> None:
    """A replace that was answered is pending no more, and one of another order is none of this one's."""
    books = opened()
    placed(books)
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_qty="0.02"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="y", reason="r"))
    assert books.give(ReplaceRejected(order_id="O", cl_ord_id="y", reason="r")).rule == "not_pending"
    assert stands(books) == held("PENDING_NEW", "0.01", "0.01", "1")


def test_a_day_order_that_is_done_holds_nothing_until_it_is_restated() -> None:
    """LeavesQty is 0 for the rest of the day, a late fill still counts, and the next day's restatement holds again."""
    books = opened()
    placed(books, tif="day")
    books.give(fill("E1"))
    books.give(OrderDoneForDay(order_id="O"))
    assert stands(books) == held("DONE_FOR_DAY", "0.01", "0", "0")
    with pytest.raises(RuleBroken, match="nothing left"):
        books.give(CancelRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="x"))
    books.give(fill("E2", "0.001"))
    assert stands(books) == held("DONE_FOR_DAY", "0.01", "0", "0")
    books.give(OrderRestated(order_id="O", reason="new_day"))
    assert stands(books) == held("PARTIALLY_FILLED", "0.01", "0.005", "0.5")
    books.give(fill("E3", "0.005", day=NEXT_DAY))
    assert stands(books) == held("FILLED", "0.01", "0", "0")


def test_a_good_till_order_rests_with_its_hold_and_a_fill_wakes_it() -> None:
    """A venue need not restate it in the morning; canceled overnight it is canceled, not done for the day."""
    books = opened()
    placed(books)
    books.give(OrderDoneForDay(order_id="O"))
    assert stands(books) == held("DONE_FOR_DAY", "0.01", "0.01", "1")
    books.give(fill("E1", day=NEXT_DAY))
    assert stands(books) == held("PARTIALLY_FILLED", "0.01", "0.006", "0.6")
    books.give(OrderDoneForDay(order_id="O"))
    books.give(OrderCanceled(order_id="O"))
    assert stands(books) == held("CANCELED", "0.01", "0", "0")


def test_an_order_refused_after_it_was_done_for_the_day_is_rejected() -> None:
    """The end takes the flag away, so that the status says the end."""
    books = opened()
    placed(books)
    books.give(OrderDoneForDay(order_id="O"))
    books.give(OrderRejected(order_id="O", reason_code="r"))
    assert stands(books) == held("REJECTED", "0.01", "0", "0")


def test_a_bust_that_does_not_reopen_leaves_nothing_more_to_fill() -> None:
    """Of a part-filled order, the quantity falls by what was undone; a filled one ends."""
    books = opened()
    placed(books)
    books.give(fill("E1"))
    books.give(fill("E2", "0.002"))
    books.give(busted("B1", "E1", reopens_order=False))
    assert stands(books) == held("PARTIALLY_FILLED", "0.006", "0.004", "0.4")
    books.give(fill("E3", "0.004"))
    assert stands(books) == held("FILLED", "0.006", "0", "0")
    books.give(busted("B2", "E3", reopens_order=False))
    assert stands(books) == held("CANCELED", "0.006", "0", "0")


def test_a_filled_order_is_reopened_by_a_bust_or_a_correction_and_held_for_again() -> None:
    """What is undone may fill again, at the order's own limit; a pending cancel stays pending."""
    books = opened()
    placed(books)
    books.give(fill("E1", "0.01", "90"))
    assert stands(books) == held("FILLED", "0.01", "0", "0")
    books.give(corrected("C1", "E1", "0.007", "90"))
    assert stands(books) == held("PARTIALLY_FILLED", "0.01", "0.003", "0.3")
    books.give(CancelRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="x"))
    books.give(busted("B1", "C1"))
    assert stands(books) == held("PENDING_CANCEL", "0.01", "0.01", "1")
    books.give(CancelRejected(order_id="O", cl_ord_id="z", reason="r"))
    assert stands(books) == held("NEW", "0.01", "0.01", "1")


def test_corrections_reach_orders_that_were_replaced_or_have_ended() -> None:
    """A correction counts against the quantity as it is now, whatever became of the order; never past it."""
    books = opened()
    placed(books)
    books.give(fill("E1"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", qty="0.006", price="110"))
    books.give(corrected("C1", "E1", "0.005"))
    assert stands(books) == held("PARTIALLY_FILLED", "0.006", "0.001", "0.11")
    assert books.give(corrected("C2", "C1", "0.007")).rule == "overfill"
    books.give(OrderExpired(order_id="O"))
    books.give(corrected("C3", "C1", "0.002", "99"))
    assert stands(books) == held("EXPIRED", "0.006", "0", "0")
    assert order(books).cum_notional == amount("0.198")
    books.give(corrected("C4", "C3", "0.006"))
    assert stands(books) == held("FILLED", "0.006", "0", "0")


def test_a_reference_may_be_of_an_earlier_trade_date() -> None:
    """An id is unique a venue and day: the reference says its day, and every version knows the trade it is of."""
    books = opened()
    placed(books)
    books.give(fill("E"))
    books.give(fill("E", "0.002", day=NEXT_DAY))
    books.give(corrected("C", "E", "0.003", trade_date=NEXT_DAY, ref_trade_date=DAY))
    books.give(busted("B", "C", NEXT_DAY))
    assert order(books).cum_qty == amount("0.002")
    busts = books.state.executions.get("V", NEXT_DAY, "B")
    assert isinstance(busts, Execution)
    assert (busts.ref_trade_date, busts.ref_exec_id) == (NEXT_DAY, "C")
    assert (busts.root_trade_date, busts.root_exec_id) == (DAY, "E")
    third = books.state.executions.get("V", NEXT_DAY, "E")
    assert third is not None
    assert third.live
    assert books.give(busted("B2", "E")).rule == "stale_ref"
    assert books.give(busted("B2", "E", "2024-08-10")).rule == "unknown_ref"
    assert stands(books) == held("PARTIALLY_FILLED", "0.01", "0.008", "0.8")


def test_what_is_void_stays_void() -> None:
    """A bust cannot be corrected or busted, nor the trade it undid."""
    books = opened()
    placed(books)
    books.give(fill("E1"))
    books.give(busted("B1", "E1"))
    assert books.give(busted("B2", "B1")).rule == "ref_is_bust"
    assert books.give(corrected("C1", "B1", "0.001")).rule == "ref_is_bust"
    assert books.give(corrected("C1", "E1", "0.001")).rule == "stale_ref"
    assert stands(books) == held("NEW", "0.01", "0.01", "1")


def test_a_correction_may_turn_a_trade_without_an_order_around() -> None:
    """Without an order the side is the trade's own; with one, it is the order's."""
    books = opened()
    books.give(fill("E1", order_id=None))
    books.give(corrected("C1", "E1", "0.003", "101", order_id=None, side="sell"))
    position = books.state.positions.get("A", "BTCUSDT")
    assert position is not None
    assert (position.qty, position.cost) == (-amount("0.003"), -amount("0.303"))
    placed(books)
    books.give(fill("E2"))
    assert books.give(corrected("C2", "E2", "0.004", side="sell")).rule == "order_mismatch"
    assert books.give(corrected("C2", "C1", "0.004")).rule == "ref_mismatch"
    check_invariants(books.state)


def test_a_price_that_the_instrument_does_not_have_is_quarantined() -> None:
    """A venue trades at multiples of the tick; what reconciliation inferred or history says may lie between."""
    books = opened()
    placed(books)
    assert books.give(fill("E1", price="99.995")).rule == "price"
    books.give(fill("E1", price="99.99"))
    assert books.give(corrected("C1", "E1", "0.004", "99.995")).rule == "price"
    books.give(fill("E2", price="99.995", reconciliation=True))
    books.give(fill("E3", "0.001", price="99.995", historical=True))
    assert stands(books) == held("PARTIALLY_FILLED", "0.01", "0.001", "0.1")


def test_a_quantity_finer_than_the_asset_is_quarantined_wherever_it_stands() -> None:
    """A replaced or restated quantity would be held for to the last digit, which the asset does not have."""
    books = opened()
    placed(books, side="sell")
    fine = "0.0100000001"
    assert books.give(OrderReplaced(order_id="O", cl_ord_id="x", orig_cl_ord_id="x", qty=fine)).rule == "excess_scale"
    assert books.give(OrderRestated(order_id="O", reason="other", qty=fine)).rule == "excess_scale"
    assert stands(books) == held("PENDING_NEW", "0.01", "0.01", "0.01")


@pytest.mark.parametrize("side", ["buy", "sell_short"])
def test_a_hold_that_the_caller_set_follows_the_quantity(side: str) -> None:
    """It is released in proportion, asked for in proportion, and comes back with what is reopened."""
    books = opened()
    placed(books, side=side, price=None, hold=HoldGiven(asset="USDT", amount="5", reason="margin"))
    assert stands(books) == held("PENDING_NEW", "0.01", "0.01", "5")
    books.give(fill("E1", "0.01", side=side))
    assert stands(books) == held("FILLED", "0.01", "0", "0")
    books.give(busted("B1", "E1"))
    assert stands(books) == held("NEW", "0.01", "0.01", "5")
    with pytest.raises(InsufficientFunds):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_qty="20"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_qty="0.03"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", qty="0.03"))
    assert stands(books) == held("NEW", "0.03", "0.03", "15")
    books.give(fill("E2", "0.01", side=side))
    assert stands(books) == held("PARTIALLY_FILLED", "0.03", "0.02", "10")
    books.give(OrderCanceled(order_id="O"))
    assert stands(books) == held("CANCELED", "0.03", "0", "0")


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"ord_type": "limit"}, "limit order without price"),
        ({"ord_type": "stop"}, "stop order without stop_price"),
        ({"ord_type": "stop_limit", "price": "100"}, "stop_limit order without stop_price"),
        ({"ord_type": "stop_limit", "stop_price": "100"}, "stop_limit order without price"),
        ({"ord_type": "market", "tif": "gtd"}, "gtd order without expire_at"),
        ({"ord_type": "market", "tif": "gtd", "expire_at": NOON}, "which has passed"),
    ],
)
def test_an_order_has_the_terms_that_its_kind_needs(terms: dict[str, Any], words: str) -> None:
    """As FIX asks: a price for a limit, a stop price for a stop, an expiry to come for good-till-date."""
    books = opened()
    facts: dict[str, Any] = {"order_id": "O", "cl_ord_id": "x", "account": "A", "instrument": "BTCUSDT", "side": "buy",
                             "qty": "0.01", **terms}  # fmt: skip
    with pytest.raises(RuleBroken, match=words):
        books.give(OrderPlaced(**facts))
    assert books.give(OrderPlaced(historical=True, **facts)).rule is None
    whole = {"price": "100", "stop_price": "100", "expire_at": NOON + 1, **terms}
    books.give(OrderPlaced(**{**facts, **whole, "order_id": "P", "cl_ord_id": "p", "expire_at": NOON + 1}))


def test_an_order_of_the_past_is_of_any_lot() -> None:
    """Lots change as ticks do; what was placed under other terms is recorded, in what its asset can be divided into."""
    books = opened()
    with pytest.raises(RuleBroken, match="multiple of"):
        placed(books, qty="0.0005")
    placed(books, qty="0.0005", historical=True)
    assert books.give(fill("E", "0.0005")).rule is None
    for qty, words in (("0", "above 0"), ("0.000000001", "at most 8 decimals")):
        with pytest.raises(RuleBroken, match=words):
            books.give(OrderPlaced(order_id="Q", cl_ord_id="q", account="A", instrument="BTCUSDT", side="buy", qty=qty,
                                   ord_type="market", historical=True))  # fmt: skip


def test_a_replacement_says_by_how_much_what_is_held_changes() -> None:
    """Derived and stored, so that nobody has to add postings up; without a change nothing is said."""
    books = opened()
    placed(books)
    for qty, price, delta in (("0.03", "100", "2"), ("0.01", "150", "-1.5"), ("0.01", "150", None)):
        outcome = books.give(OrderReplaced(order_id="O", cl_ord_id="x", orig_cl_ord_id="x", qty=qty, price=price))
        found = msgspec.json.decode(outcome.derived).get("hold_delta")
        assert found == (delta and {"amount": delta, "asset": "USDT"})
    books.replayed()


def test_a_replacement_may_move_the_stop() -> None:
    """Where none is stated the one of before stays, as the price does."""
    books = opened()
    books.give(OrderPlaced(order_id="O", cl_ord_id="x", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                           ord_type="stop_limit", price="100", stop_price="90"))  # fmt: skip
    for stop, expected in (("95", "95"), (None, "95"), ("80", "80")):
        books.give(OrderReplaced(order_id="O", cl_ord_id="x", orig_cl_ord_id="x", qty="0.01", stop_price=stop))
        order = books.state.orders.get("O")
        assert order is not None
        assert (order.price, order.stop_price) == (amount("100"), amount(expected))
    books.replayed()


def test_another_price_may_be_asked_for_whatever_the_lot_has_become() -> None:
    """The quantity stays, and is not asked for: it was right when it was placed, or the venue's own."""
    books = opened()
    placed(books)
    books.give(OrderRestated(order_id="O", reason="partial_decline", qty="0.0095"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_price="90"))
    with pytest.raises(RuleBroken, match="multiple of"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", new_qty="0.0095"))
    books.replayed()


def asked(books: Books, **more: Any) -> None:
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", **more))


def replaced(**more: Any) -> OrderReplaced:
    given: dict[str, Any] = {"cl_ord_id": "y", "orig_cl_ord_id": "x", "qty": "0.01", **more}
    return OrderReplaced(order_id="O", **given)


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_a_price_between_ticks_that_is_stated_of_an_order_is_quarantined(kind: type[Books]) -> None:
    """Nothing traded at it, and what was held for the order would be given back for a slip of the venue's."""
    books = opened(books=kind())
    placed(books)
    asked(books, new_price="110")
    for event in (
        replaced(price="110.12345"), OrderRestated(order_id="O", reason="repricing", price="-5.001"),
        replaced(cl_ord_id="z", price="110.001"),
    ):  # fmt: skip
        made = books.give(event)
        assert (made.rule, "expected a multiple of 0.01" in str(made.detail)) == ("price", True)
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.price, row.pending_replace) == (amount("100"), ("y",))
    assert books.give(replaced(price="110")).rule is None
    assert books.give(OrderRestated(order_id="O", reason="repricing", price="109.99")).rule is None
    check_invariants(books.state)
    books.replayed()


def test_a_stop_may_trail_between_ticks_and_the_past_was_on_others() -> None:
    """What such a report says besides, a quantity, would be lost with it, and the fills of that quantity after it."""
    books = opened()
    placed(books, stop_price="99")
    for event in (
        replaced(cl_ord_id="z", orig_cl_ord_id="x", qty="0.02", stop_price="90.0013"),
        replaced(cl_ord_id="u", orig_cl_ord_id="z", qty="0.03", price="110.001", historical=True),
    ):
        assert books.give(event).rule is None
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.qty, row.price, row.stop_price) == (amount("0.03"), amount("110.001"), amount("90.0013"))
    books.give(new_order("P"))
    restated = OrderRestated(order_id="P", reason="repricing", price="77.777", historical=True)
    assert books.give(restated).rule is None
    books.replayed()


def test_a_stop_that_is_not_said_is_the_one_that_was_asked_for() -> None:
    """As the price is; a request that names none asks for that of the request it follows, or of the order."""
    books = opened()
    placed(books, stop_price="99")
    asked(books, new_stop="98")
    books.give(ReplaceRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", new_price="97"))
    books.give(replaced())
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.price, row.stop_price) == (amount("100"), amount("98"))
    books.give(replaced(cl_ord_id="u", orig_cl_ord_id="y", stop_price="95"))
    books.give(replaced(cl_ord_id="z", orig_cl_ord_id="u"))
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.price, row.stop_price) == (amount("97"), amount("98"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="v", orig_cl_ord_id="z", new_qty="0.02"))
    assert books.give(replaced(cl_ord_id="v", orig_cl_ord_id="z", qty="0.02")).rule is None
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.price, row.stop_price) == (amount("97"), amount("98"))
    books.replayed()


def test_an_order_on_other_ticks_goes_on_on_them() -> None:
    """Its own price may be stated again, and what was asked for before the tick changed granted; so may the past."""
    books = opened()
    placed(books, price="100.01", stop_price="99.99")
    asked(books, new_price="100.03", new_stop="99.97")
    books.give(InstrumentAmended(instrument="BTCUSDT", effective_from=DAY, tick="0.05"))
    for event in (
        OrderRestated(order_id="O", reason="new_day", price="100.01"), replaced(price="100.03", stop_price="99.97"),
        replaced(cl_ord_id="z", orig_cl_ord_id="y", price="100.03", stop_price="99.96"),
        OrderRestated(order_id="O", reason="repricing", price="100.04"),
    ):  # fmt: skip
        assert books.give(event).rule is None
    books.give(new_order("P", price="100.05"))
    assert books.give(OrderRestated(order_id="P", reason="repricing", price="100.04")).rule == "price"
    books.give(new_order("Q", price="77.777", historical=True))
    assert books.give(OrderRestated(order_id="Q", reason="repricing", price="77.776")).rule is None
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("over", [False, True])
def test_a_report_that_names_the_request_of_another_order_is_quarantined(kind: type[Books], over: bool) -> None:
    """Of its account, whether that order lives or not; an id that nobody used may be the venue's, or a desk's."""
    books = opened(books=kind())
    books.give(new_order("P"))
    books.give(CancelRequested(order_id="P", cl_ord_id="p", orig_cl_ord_id="c-P"))
    if over:
        books.give(OrderCanceled(order_id="P", cl_ord_id="p"))
    placed(books)
    asked(books, new_qty="0.02")
    for event in (
        OrderCanceled(order_id="O", cl_ord_id="c-P"), OrderCanceled(order_id="O", cl_ord_id="p"),
        replaced(orig_cl_ord_id="c-P"), replaced(orig_cl_ord_id="p"),
    ):  # fmt: skip
        made = books.give(event)
        assert (made.rule, "which is of order P" in str(made.detail)) == ("cl_ord_id_of_another", True)
    assert books.give(replaced(orig_cl_ord_id="never seen", qty="0.02")).rule is None
    assert books.give(OrderCanceled(order_id="O", cl_ord_id="x")).rule is None
    assert books.give(OrderCanceled(order_id="O", cl_ord_id="p")).rule == "cl_ord_id_of_another"
    check_invariants(books.state)
    books.replayed()
