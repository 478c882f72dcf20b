"""
Check that what is held and what may be spent cannot be got around: by journals, prices, quantities, limits or requests.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.domain.amounts import LIMIT
from ledger.domain.events.cash import CashMoved, HoldPlaced, HoldReleased, JournalPosted, Leg, Posting
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeBusted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderCanceled,
    OrderExpired,
    OrderPlaced,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AssetDefined,
    InstrumentAmended,
    InstrumentDefined,
)
from ledger.domain.postings import Bucket, Line
from ledger.domain.rules.ground import Broken, post
from ledger.domain.state import State
from ledger.errors import InsufficientFunds, RuleBroken
from tests.domain.books import DAY, Books, amount, balance, check_invariants, opened, order, status, trade


def journal(name: str, *lines: tuple[str, str, Bucket, str]) -> Event:
    postings = tuple(Posting(account=a, asset=s, bucket=b, amount=n) for a, s, b, n in lines)
    return JournalPosted(journal_id=name, memo="m", postings=postings)


@pytest.mark.parametrize("held", ["-1", "1"])
def test_a_journal_cannot_touch_what_is_held(held: str) -> None:
    """What is held belongs to an order or a hold: drained, its fill and cancel would have nothing to release."""
    books = opened()
    books.give(order())
    books.give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),)))
    other = str(-int(held))
    with pytest.raises(RuleBroken, match=r"held_bucket.*HoldReleased"):
        books.give(journal("J", ("A", "USDT", "held", held), ("A", "USDT", "settled", other)))
    assert books.give(trade(qty="0.005")).rule is None
    assert books.give(OrderCanceled(order_id="O")).rule is None
    books.give(HoldReleased(hold_id="H", reason="void"))
    assert balance(books, "USDT") == (amount("999.5"), 0)


def test_a_release_releases_something_that_there_can_be() -> None:
    """What moves nothing is a slip of the pen, as a hold of nothing is; so is a part of the smallest unit."""
    books = opened()
    books.give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),)))
    with pytest.raises(RuleBroken, match="a release of nothing of H"):
        books.give(HoldReleased(hold_id="H", amounts=(), reason="void"))
    finer = Leg(account="A", asset="USDT", amount="1.000000001")
    with pytest.raises(RuleBroken, match=r"excess_scale\): I20: found release 1\.000000001 USDT; expected at most 8"):
        books.give(HoldReleased(hold_id="H", amounts=(finer,), reason="void"))


def test_a_journal_in_what_nobody_defined_is_told_what_is_unknown() -> None:
    """The name of the rule says that it is the asset, for whoever reads it by program."""
    books = opened()
    with pytest.raises(RuleBroken, match=r"\(unknown_asset\).*'DOGE'"):
        books.give(journal("J", ("A", "DOGE", "settled", "1"), ("~suspense", "DOGE", "settled", "-1")))


@pytest.mark.parametrize(
    ("bucket", "sign"), [("settled", 1), ("settled", -1), ("unsettled", 1), ("unsettled", -1), ("held", 1)]
)
def test_a_bucket_has_as_much_as_there_may_be_and_no_more(bucket: Bucket, sign: int) -> None:
    """10^30 of either sign can be read back from where it is stored; one unit more could not."""

    def move(state: State, qty: int) -> None:
        post(state, [Line("~suspense", "BTC", bucket, qty), Line("~issuer", "BTC", "settled", -qty)], may_refuse=False)

    state = opened().state
    move(state, sign * (LIMIT - 1))
    with pytest.raises(Broken, match="beyond_limit"):
        move(state, sign * 2)
    move(state, sign)
    row = state.balances.get("~suspense", "BTC")
    assert row is not None
    assert getattr(row, bucket) == sign * LIMIT


def test_limits_have_the_decimals_of_their_asset() -> None:
    """I20: what lies between two amounts that there can be is no limit."""
    books = opened()
    books.give(AccountOpened(account="M", owner="o", kind="margin", base_asset="USDT"))
    for floor, most in (("-0.000000001", None), ("0", "0.000000001")):
        with pytest.raises(RuleBroken, match="excess_scale"):
            books.give(AccountLimitsSet(account="M", asset="BTC", floor=floor, max_position=most))


def test_a_negative_price_holds_nothing() -> None:
    """Spreads and oil trade below zero: who buys there is paid, so nothing has to be held, however the price came."""
    books = opened()
    books.give(order("other"))
    books.give(order("placed", price="-50"))
    books.give(order("asked"))
    books.give(ReplaceRequested(order_id="asked", cl_ord_id="r", orig_cl_ord_id="c-asked", new_price="-50"))
    for name in ("replaced", "restated"):
        books.give(order(name))
    for event in (
        OrderReplaced(order_id="asked", cl_ord_id="r", orig_cl_ord_id="c-asked", qty="0.01", price="-50"),
        OrderReplaced(order_id="replaced", cl_ord_id="x", orig_cl_ord_id="c-replaced", qty="0.01", price="-50"),
        OrderRestated(order_id="restated", reason="repricing", price="-50"),
    ):
        assert books.give(event).rule is None
    assert {row.order_id: row.hold_amount for row in books.state.orders.rows.values()} == {
        "other": amount("1"), "placed": 0, "asked": 0, "replaced": 0, "restated": 0,
    }  # fmt: skip
    assert balance(books, "USDT") == (amount("999"), amount("1"))
    assert books.give(trade(order_id="placed", price="-50")).rule is None
    assert balance(books, "USDT") == (amount("999.5"), amount("1"))
    check_invariants(books.state)
    books.replayed()


def whole() -> Books:
    """Return books in which shares are whole: their asset has no decimals."""
    books = opened()
    books.give(AssetDefined(asset="SHARE", kind="security", scale=0, name="share"))
    books.give(CashMoved(movement_id="s", account="A", asset="SHARE", amount="9", kind="deposit", value_date=DAY))
    return books


def shares(lot: str) -> Event:
    return InstrumentDefined(
        instrument="S", asset="SHARE", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot=lot,
        settlement_cycle=0, venue="V",
    )  # fmt: skip


def test_a_lot_is_no_finer_than_its_asset() -> None:
    """Shares without decimals cannot be traded by tenths, neither at first nor by an amendment."""
    books = whole()
    with pytest.raises(RuleBroken, match=r"lot 0\.1 SHARE"):
        books.give(shares("0.1"))
    books.give(shares("1"))
    with pytest.raises(RuleBroken, match=r"lot 0\.5 SHARE"):
        books.give(InstrumentAmended(instrument="S", lot="0.5", effective_from=DAY))


def test_an_order_is_for_no_finer_a_quantity_than_its_asset_has() -> None:
    """Where a finer lot stands all the same, an order or a request for a part of a share is refused."""
    books = whole()
    books.give(shares("1"))
    row = books.state.instruments.get("S")
    assert row is not None
    books.state.instruments.put(msgspec.structs.replace(row, lot=amount("0.1")))
    sale: dict[str, Any] = {
        "order_id": "S", "cl_ord_id": "s", "account": "A", "instrument": "S", "side": "sell", "ord_type": "market"
    }  # fmt: skip
    with pytest.raises(RuleBroken, match=r"excess_scale.*0\.5 SHARE"):
        books.give(OrderPlaced(qty="0.5", **sale))
    books.give(OrderPlaced(qty="2", **sale))
    with pytest.raises(RuleBroken, match=r"excess_scale.*1\.5 SHARE"):
        books.give(ReplaceRequested(order_id="S", cl_ord_id="r", orig_cl_ord_id="s", new_qty="1.5"))


def test_terms_do_not_change_before_their_day() -> None:
    """An amendment may be recorded before its day, and changes nothing until then."""
    books = opened()
    books.give(InstrumentAmended(instrument="BTCUSDT", tick="0.1", effective_from="2024-08-09"))
    books.give(order(price="100.01"))
    books.give(InstrumentAmended(instrument="BTCUSDT", tick="0.1", effective_from=DAY))
    with pytest.raises(RuleBroken, match=r"multiple of 0\.1"):
        books.give(order("P", price="100.01"))


def limits(floor: str, policy: str = "settled_only", account: str = "M") -> Event:
    return AccountLimitsSet(account=account, asset="USDT", floor=floor, hold_policy=policy)  # type: ignore[arg-type]


def test_a_floor_cannot_be_raised_past_what_is_available() -> None:
    """At a balance of -500 the floor may be anything up to -500; a higher one is refused, and nothing changes."""
    books = opened()
    books.give(AccountOpened(account="M", owner="o", kind="margin", base_asset="USDT"))
    books.give(limits("-1000"))
    books.give(journal("J", ("M", "USDT", "settled", "-500"), ("~external", "USDT", "settled", "500")))
    for floor in ("0", "-499.99"):
        with pytest.raises(InsufficientFunds, match=r"-500 USDT available"):
            books.give(limits(floor))
    books.give(limits("-500"))
    check_invariants(books.state)


def test_a_breach_that_is_there_already_does_not_keep_a_floor_from_being_lowered() -> None:
    """A fact took the account below its floor: the floor may stay or fall, even where the breach remains."""
    books = opened()
    books.give(AccountOpened(account="M", owner="o", kind="margin", base_asset="USDT"))
    books.give(limits("-100"))
    books.give(CashMoved(movement_id="w", account="M", asset="USDT", amount="-500", kind="tax", value_date=DAY))
    books.give(limits("-100"))
    books.give(limits("-200"))
    with pytest.raises(InsufficientFunds, match="floor"):
        books.give(limits("-150"))
    row = books.state.balances.get("M", "USDT")
    assert row is not None
    assert (row.floor, row.breached) == (amount("200") * -1, True)


def test_a_policy_that_takes_credit_away_is_refused_where_the_credit_is_spent() -> None:
    """Proceeds that have not settled were spent on credit: without it the account would be below its floor."""
    books = opened(usdt="100")
    books.give(limits("0", "credit_unsettled", "A"))
    books.give(journal("J", ("A", "USDT", "unsettled", "50"), ("~external", "USDT", "unsettled", "-50")))
    books.give(journal("K", ("A", "USDT", "settled", "-120"), ("~external", "USDT", "settled", "120")))
    with pytest.raises(InsufficientFunds, match="floor"):
        books.give(limits("0", "settled_only", "A"))
    books.give(limits("0", "credit_unsettled", "A"))


def test_a_market_order_that_gets_a_price_is_held_for() -> None:
    """A market buy holds nothing; asked to be a limit it needs the money, which is held from then on."""
    books = opened(usdt="10")
    books.give(order(price=None))
    asked = ReplaceRequested(order_id="O", cl_ord_id="r", orig_cl_ord_id="c-O", new_price="1000.01")
    with pytest.raises(InsufficientFunds, match="USDT"):
        books.give(asked)
    books.give(msgspec.structs.replace(asked, new_price="900"))
    assert balance(books, "USDT") == (amount("1"), amount("9"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r", reason="r"))
    assert balance(books, "USDT") == (amount("10"), 0)
    books.give(msgspec.structs.replace(asked, new_price="900", cl_ord_id="s"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="s", orig_cl_ord_id="c-O", qty="0.01", price="900"))
    assert balance(books, "USDT") == (amount("1"), amount("9"))
    books.give(OrderCanceled(order_id="O"))
    assert (balance(books, "USDT"), status(books)) == ((amount("10"), 0), "CANCELED")
    books.give(order("P", price=None))
    books.give(OrderRestated(order_id="P", reason="repricing", price="500"))
    assert balance(books, "USDT") == (amount("5"), amount("5"))
    check_invariants(books.state)
    books.replayed()


def asks(cl_ord_id: str, qty: str, price: str | None = None, name: str = "O") -> ReplaceRequested:
    return ReplaceRequested(
        order_id=name, cl_ord_id=cl_ord_id, orig_cl_ord_id=f"c-{name}", new_qty=qty, new_price=price
    )


def test_what_is_asked_for_is_held_until_it_is_answered() -> None:
    """The venue may grant it at any time, so nothing else may spend it; of several the dearest order counts."""
    books = opened(usdt="145")
    books.give(order(qty="0.6", price="100"))
    books.give(asks("r", "0.9"))
    assert balance(books, "USDT") == (amount("55"), amount("90"))
    with pytest.raises(InsufficientFunds, match="at most 55"):
        books.give(order("P", qty="0.56"))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="s", orig_cl_ord_id="r", new_qty="0.5", new_price="190"))
    assert balance(books, "USDT") == (amount("10"), amount("135"))
    with pytest.raises(InsufficientFunds, match="at most 10"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="t", orig_cl_ord_id="s", new_qty="1.01"))
    assert books.give(trade(qty="0.3")).rule is None
    assert balance(books, "USDT") == (amount("37"), amount("78"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r", reason="r"))
    assert balance(books, "USDT") == (amount("77"), amount("38"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="s", orig_cl_ord_id="r", qty="0.5", price="190"))
    assert balance(books, "USDT") == (amount("77"), amount("38"))
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("end", [
    OrderCanceled(order_id="O"),
    OrderExpired(order_id="O"),
    TradeBusted(exec_id="B", exec_ref="E", venue="V", trade_date=DAY, reason="r", reopens_order=False),
], ids=lambda event: type(event).__name__)  # fmt: skip
def test_an_order_that_ends_releases_what_was_asked_for(end: Event) -> None:
    """Its end answers every request; what is held for one of a filled order is all that there was."""
    books = opened(usdt="100")
    books.give(order(qty="0.5", price="100"))
    books.give(trade(qty="0.5"))
    books.give(asks("r", "0.8", "110"))
    books.give(asks("s", "0.7"))
    assert balance(books, "USDT") == (amount("17"), amount("33"))
    assert books.give(end).rule is None
    assert balance(books, "USDT")[1] == 0
    check_invariants(books.state)
    books.replayed()


def test_what_is_asked_for_a_sale_is_held_in_its_coins_and_splits_with_them() -> None:
    """A request for more of a sale holds the coins; after a split it waits for as many new ones."""
    books = opened(btc="10")
    books.give(order(side="sell", qty="2", price="100"))
    books.give(asks("r", "5"))
    assert balance(books, "BTC") == (amount("5"), amount("5"))
    books.set_day("2024-08-09")
    split = SplitApplied(
        ca_id="S", instrument="BTCUSDT", ratio_num=3, ratio_den=1, ex_date="2024-08-09", rounding="down"
    )
    assert books.give(split).rule is None
    assert balance(books, "BTC") == (amount("15"), amount("15"))
    books.give(ReplaceRejected(order_id="O", cl_ord_id="r", reason="r"))
    assert balance(books, "BTC") == (amount("24"), amount("6"))
    check_invariants(books.state)
    books.replayed()
