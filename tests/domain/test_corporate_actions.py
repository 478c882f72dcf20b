"""
Check what dividends, splits and new names do to orders, holds, lots and history, where the model does not look.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from blake3 import blake3

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain import amounts
from ledger.domain.events.cash import (
    AssetAmount,
    CashMoved,
    FeeCharged,
    FxConverted,
    JournalPosted,
    JournalReversed,
    Posting,
)
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    CashInLieu,
    DividendLine,
    Entitled,
    InstrumentRenamed,
    OrderAdjustment,
    SplitApplied,
)
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.orders import (
    HoldGiven,
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentAmended, InstrumentDefined
from ledger.domain.events.settlement import AllocationLine, TradeAllocated, TradeSettled
from ledger.domain.fold import DuplicateFact, stream_version
from ledger.errors import RuleBroken
from tests.domain.books import Books, amount, check_invariants
from tests.domain.forgetful import ForgetfulBooks

MONDAY, TUESDAY, WEDNESDAY = "2024-08-05", "2024-08-06", "2024-08-07"


ON_MONDAY = 1_722_859_200 * 10**9
"""Noon, UTC: when orders were placed."""


def market(scale: int = 0, cost_method: str = "AVG", kind: type[Books] = Books) -> Books:
    books = kind()
    for asset, places in (("USD", 2), ("XYZ", scale)):
        books.give(AssetDefined(asset=asset, kind="security", scale=places, name=asset))
    books.give(instrument("XYZ"))
    for account in ("A", "B"):
        books.give(
            AccountOpened(account=account, owner="o", kind="house", base_asset="USD", cost_method=cost_method)  # type: ignore[arg-type]
        )
    return books


def instrument(name: str) -> InstrumentDefined:
    return InstrumentDefined(
        instrument=name, asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.01", lot="1", settlement_cycle=2,
        venue="V",
    )  # fmt: skip


def traded(name: str, side: str = "buy", qty: str = "100", price: str = "10", **more: Any) -> TradeExecuted:
    given = {"account": "A", "instrument": "XYZ", "trade_date": MONDAY, **more}
    return TradeExecuted(exec_id=name, venue="V", side=side, qty=qty, price=price, **given)  # type: ignore[arg-type]


def order(name: str, side: str, qty: str, price: str, **more: Any) -> OrderPlaced:
    given = {"instrument": "XYZ", "tif": "gtc", **more}
    return OrderPlaced(order_id=name, cl_ord_id=name, account="A", side=side, qty=qty, ord_type="limit", price=price,  # type: ignore[arg-type]
                       **given)  # fmt: skip


def split(num: int = 2, den: int = 1, **more: Any) -> SplitApplied:
    given = {"ca_id": "S", "instrument": "XYZ", "ex_date": TUESDAY, "rounding": "cash", **more}
    return SplitApplied(ratio_num=num, ratio_den=den, **given)  # type: ignore[arg-type]


def accrued(*lines: Entitled, **more: Any) -> CashDividendAccrued:
    given = {"ca_id": "D", "ex_date": TUESDAY, "rate": "0.5", "tax_rate": "0.15", **more}
    return CashDividendAccrued(
        instrument="XYZ", record_date=TUESDAY, pay_date=WEDNESDAY, entitlements=lines, **given  # type: ignore[arg-type]
    )  # fmt: skip


def entitled(qty: str = "100", gross: str = "50", tax: str = "7.5", **more: Any) -> Entitled:
    return Entitled(account="A", qty=qty, gross=gross, tax=tax, **more)


def balance(books: Books, account: str, asset: str) -> tuple[int, int, int]:
    row = books.state.balances.get(account, asset)
    assert row is not None
    return row.settled, row.unsettled, row.held


def test_a_dividend_is_owed_when_it_goes_ex_and_cash_when_it_is_paid() -> None:
    """What is due is unsettled, against issuer and tax; two payments make it settled, and a third finds nothing due."""
    books = market()
    books.give(traded("E"))
    made = books.give(accrued(entitled()))
    assert made.effective_on == 19_941
    assert balance(books, "A", "USD")[1] == amount("42.5") - amount("1000")
    assert balance(books, "~tax", "USD")[1] == amount("7.5")
    part = DividendLine(account="A", gross="20", tax="3")
    first = CashDividendPaid(ca_id="D", payment_id="P1", paid_on=WEDNESDAY, lines=(part,))
    assert books.give(first).stream_version == 2
    assert balance(books, "A", "USD")[0] == amount("17")
    rest = DividendLine(account="A", gross="30", tax="4.5")
    books.give(CashDividendPaid(ca_id="D", payment_id="P2", paid_on=WEDNESDAY, lines=(rest,)))
    assert balance(books, "A", "USD")[:2] == (amount("42.5"), -amount("1000"))
    assert balance(books, "~issuer", "USD") == (-amount("50"), 0, 0)
    assert balance(books, "~tax", "USD") == (amount("7.5"), 0, 0)
    with pytest.raises(DuplicateFact):
        books.give(first)
    assert (
        books.give(CashDividendPaid(ca_id="D", payment_id="P3", paid_on=WEDNESDAY, lines=(part,))).rule == "beyond_due"
    )
    other = CashDividendPaid(ca_id="D", payment_id="P1", paid_on=TUESDAY, lines=(part,))
    assert books.give(other).rule == "payment_id_reused"
    assert stream_version(books.state, "corporate-action/D") == 3
    books.replayed()


@pytest.mark.parametrize(
    ("lines", "more", "rule"),
    [
        ([entitled(qty="90", gross="45", tax="0")], {}, "entitlement"),
        ([entitled(gross="50.01")], {}, "gross"),
        ([entitled(gross="-50", tax="0")], {}, "gross"),
        ([entitled(tax="7.51")], {}, "tax"),
        ([entitled(tax="-1")], {}, "tax"),
        ([entitled(), entitled()], {}, "entitlements"),
        ([], {}, "entitlements"),
        ([entitled(tax="0.001")], {}, "excess_scale"),
        ([entitled(qty="100.5", reason="lent")], {}, "excess_scale"),
        ([Entitled(account="Z", qty="0", gross="0")], {}, "unknown_account"),
        ([entitled()], {"tax_rate": "1.1"}, "rate"),
        ([entitled()], {"rate": "0"}, "rate"),
        ([entitled()], {"ex_date": "2024-08-04"}, "entitlement"),
    ],
)
def test_a_dividend_that_does_not_add_up_is_quarantined(lines: list[Entitled], more: dict[str, Any], rule: str) -> None:
    """Quantity, amount, tax, names and rates are each checked; the ex-date before the last trade cannot be told."""
    books = market()
    books.give(traded("E"))
    assert books.give(accrued(*lines, **more)).rule == rule
    books.replayed()


@pytest.mark.parametrize(
    ("rate", "gross", "tax", "rule"),
    [
        ("0.335", "33.5", "5.02", None), ("0.335", "33.5", "5.03", None), ("0.335", "33.5", "5.04", "tax"),
        ("0.33333", "33.33", "5", None), ("0.33333", "33.34", "5", None), ("0.33333", "33.32", "5", "gross"),
        ("0.33333", "33.35", "5", "gross"),
    ],
)  # fmt: skip
def test_a_custodian_rounds_its_own_way(rate: str, gross: str, tax: str, rule: str | None) -> None:
    """Up, down or half: within one unit of what it is exactly."""
    books = market()
    books.give(traded("E"))
    assert books.give(accrued(entitled(gross=gross, tax=tax), rate=rate)).rule == rule


def test_who_is_left_out_is_told_also_where_nobody_knows_what_they_held() -> None:
    """B bought more after the ex-date: what it held before is hidden by that, and not nothing."""
    books = market()
    books.give(traded("E"))
    books.give(traded("E2", account="B"))
    books.give(traded("E3", account="B", qty="1", trade_date=WEDNESDAY))
    assert b'"unnamed":[["B",null]]' in books.give(accrued(entitled())).derived


def moved_by_itself(name: str, qty: str, day: str = MONDAY, account: str = "A") -> CashMoved:
    kind = "withdrawal" if qty.startswith("-") else "deposit"
    return CashMoved(movement_id=name, account=account, asset="XYZ", amount=qty, kind=kind, value_date=day)  # type: ignore[arg-type]


def journaled(name: str, qty: str, source: str = "A", target: str = "B") -> JournalPosted:
    lines = ((source, f"-{qty}"), (target, qty))
    postings = tuple(Posting(account=x, asset="XYZ", bucket="settled", amount=amount) for x, amount in lines)
    return JournalPosted(journal_id=name, memo="m", postings=postings)


OF_SHARES = (Fee(kind="k", asset="XYZ", amount="2"),)
HELD = {
    "deposited": ([moved_by_itself("M", "100")], "100"),
    "bought and withdrawn": ([traded("E"), moved_by_itself("M", "-40")], "60"),
    "bought and deposited, and bought since": (
        [moved_by_itself("M", "7"), traded("E"), traded("E2", trade_date=TUESDAY)], "107",
    ),
    "journaled away": ([moved_by_itself("M", "100"), traded("E", qty="5"), journaled("J", "30")], "75"),
    "deposited, and split": ([moved_by_itself("M", "100"), split(3, 1, ex_date=MONDAY, moved_reason="old")], "300"),
    "charged in kind": (
        [moved_by_itself("M", "7"), traded("E", fees=OF_SHARES), traded("E2", trade_date=TUESDAY, fees=OF_SHARES)],
        "105",
    ),
    "told late": ([traded("E"), traded("E2", trade_date=TUESDAY), moved_by_itself("M", "11")], "111"),
    "reversed": (
        [moved_by_itself("M", "100"), traded("E", qty="1"),
         JournalReversed(journal_id="R", reverses_kind="cash", reverses="M", reason="r")], "1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
@pytest.mark.parametrize(("events", "held"), HELD.values(), ids=HELD)
def test_who_holds_shares_is_entitled_however_they_came(events: list[Any], held: str, cost_method: str) -> None:
    """By trade, deposit or journal, before the ex-date by the day that each is of, whenever it was recorded."""
    books = market(cost_method=cost_method)
    for event in events:
        assert books.give(event, ON_MONDAY).rule is None
    after = ON_MONDAY + 3 * 86_400 * 10**9
    gross = str(amounts.render(amount(held) // 2))
    wrong = entitled(qty=str(int(held) - 1), gross=str((int(held) - 1) / 2).removesuffix(".0"), tax="0")
    assert books.give(accrued(wrong, ca_id="D0"), after).rule == "entitlement"
    assert books.give(accrued(entitled(qty=held, gross=gross, tax="0")), after).rule is None
    books.replayed()


def test_a_holder_by_deposit_who_is_left_out_is_named() -> None:
    """And neither is who gave all away, nor what the ledger has in accounts of its own."""
    books = market()
    books.give(moved_by_itself("M", "100"), ON_MONDAY)
    books.give(traded("E", account="B", qty="3", fees=(Fee(kind="k", asset="XYZ", amount="1"),)))
    books.give(moved_by_itself("M2", "-2", account="B"), ON_MONDAY)
    assert b"unnamed" not in books.give(accrued(entitled(tax="0"))).derived
    assert (
        b'"unnamed":[["A","100"]]' in books.give(accrued(Entitled(account="B", qty="0", gross="0"), ca_id="D2")).derived
    )


def test_shares_that_moved_on_the_ex_date_hide_what_was_there_before() -> None:
    """What is beyond a position may have come on that day: a reason is asked for. Who has nothing beyond needs none."""
    books = market()
    books.give(traded("E"))
    books.give(moved_by_itself("M", "10", account="B"), ON_MONDAY)
    books.give(moved_by_itself("M2", "5", TUESDAY, account="B"), ON_MONDAY + 86_400 * 10**9)
    assert books.give(accrued(entitled())).rule is None
    b = Entitled(account="B", qty="10", gross="5")
    made = books.give(accrued(b, ca_id="D2"))
    assert made.rule == "entitlement"
    assert b"no longer known" in made.given
    wrong = books.give(accrued(entitled(qty="101", gross="50.5"), ca_id="D3"))
    assert b"holds 100, unless some of it was moved by itself" in wrong.given
    told = books.give(accrued(msgspec.structs.replace(b, reason="10 before the day"), ca_id="D4"))
    assert told.rule is None
    assert b'"unnamed":[["A","100"]]' in told.derived


@pytest.mark.parametrize("others", [100, 101])
def test_many_holders_who_are_left_out_are_counted(others: int) -> None:
    """Each event of a dividend that is told account by account would repeat all the others, and not fit at last."""
    books = market()
    books.give(traded("E"))
    listed = []
    for number in range(others):
        account = f"C{number:03}"
        books.give(AccountOpened(account=account, owner="o", kind="house", base_asset="USD"))
        books.give(traded(f"E{number}", account=account, side="sell" if number % 2 else "buy", qty=str(number + 1)))
        listed.append([account, str(-number - 1 if number % 2 else number + 1)])
    books.give(traded("later", account="C000", trade_date=WEDNESDAY))
    listed[0][1] = None  # type: ignore[call-overload]
    told = msgspec.json.decode(books.give(accrued(entitled())).derived)["unnamed"]
    if others == 100:
        assert told == listed
    else:
        total = sum(int(qty) for _, qty in listed if qty is not None)
        digest = blake3(msgspec.json.encode(listed)).hexdigest()
        assert told == {"accounts": 101, "not_known": 1, "qty": str(total), "hash": digest}
    books.replayed()


def test_a_different_quantity_needs_a_reason_and_holders_left_out_are_named() -> None:
    """A custodian's own number stands when it says why; whoever is not on the list is stored with the event."""
    books = market()
    books.give(traded("E"))
    books.give(traded("E2", account="B", side="sell", qty="30"))
    made = books.give(accrued(entitled(qty="90", gross="45", tax="0", reason="10 lent")))
    assert made.rule is None
    assert b'"unnamed":[["B","-30"]]' in made.derived
    short = Entitled(account="B", qty="-30", gross="-15")
    assert books.give(accrued(short, ca_id="D2")).rule is None
    assert balance(books, "B", "USD")[1] == amount("300") - amount("15")


def test_a_split_adjusts_open_orders_and_what_is_held_for_them() -> None:
    """Quantity, filled part, price and hold follow; a price falls for buys and rises for sales; named terms win."""
    books = market()
    books.give(traded("E", qty="400"))
    books.give(order("buy", "buy", "7", "10"), ON_MONDAY)
    books.give(order("sell", "sell", "90", "10"), ON_MONDAY)
    books.give(order("given", "buy", "3", "10", hold=HoldGiven(asset="USD", amount="31", reason="r")), ON_MONDAY)
    books.give(order("named", "sell", "10", "20"), ON_MONDAY)
    books.give(traded("E2", order_id="buy", qty="1"))
    versions = {name: stream_version(books.state, f"order/{name}") for name in ("buy", "sell")}
    books.give(split(3, 1, order_adjustments=(OrderAdjustment(order_id="named", qty="25", price="7"),)))
    rows = {name: books.state.orders.get(name) for name in ("buy", "sell", "given", "named")}
    found = {name: (x.qty, x.cum_qty, x.price, x.hold_amount) for name, x in rows.items() if x is not None}
    assert found == {
        "buy": (amount("21"), amount("3"), amount("3.33"), amount("59.94")),
        "sell": (amount("270"), 0, amount("3.34"), amount("270")),
        "given": (amount("9"), 0, amount("3.33"), amount("31")),
        "named": (amount("25"), 0, amount("7"), amount("25")),
    }
    assert {name: stream_version(books.state, f"order/{name}") for name in versions} == versions
    assert balance(books, "A", "XYZ") == (-amount("295"), amount("1203"), amount("295"))
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_a_split_ends_an_order_that_comes_to_nothing(kind: type[Books]) -> None:
    """What was held for it is free, it stays in old shares, and the venue's own end of it is met without a word."""
    books = market(kind=kind)
    books.give(traded("E", qty="5000"))
    books.give(order("small", "buy", "5", "10"), ON_MONDAY)
    books.give(order("part", "sell", "9", "10"), ON_MONDAY)
    books.give(traded("P", "sell", "4", order_id="part"))
    books.give(order("asked", "buy", "5", "10"), ON_MONDAY)
    books.give(traded("F", qty="5", order_id="asked"))
    books.give(ReplaceRequested(order_id="asked", cl_ord_id="more", orig_cl_ord_id="asked", new_qty="8"), ON_MONDAY)
    books.give(order("large", "buy", "57", "10"), ON_MONDAY)
    made = books.give(split(1, 10, rounding="down"))
    assert made.rule is None
    assert b'"ended":["asked","part","small"],"orders":[["large","5","0","100",null,"500"]]' in made.derived
    rows = {name: books.state.orders.get(name) for name in ("small", "part", "asked")}
    assert {name: (x.status, x.qty, x.cum_qty, x.hold_amount + x.asked_hold) for name, x in rows.items() if x} == {
        "small": ("CANCELED", amount("5"), 0, 0),
        "part": ("CANCELED", amount("9"), amount("4"), 0),
        "asked": ("FILLED", amount("5"), amount("5"), 0),
    }
    assert balance(books, "A", "USD")[2] == amount("500")
    assert books.give(traded("N", qty="7", trade_date=TUESDAY)).rule is None
    for name in rows:
        assert books.give(OrderCanceled(order_id=name, unsolicited=True)).rule is None
    assert books.give(traded("L", qty="1", order_id="small", trade_date=TUESDAY)).rule == "before_split"
    assert books.give(OrderRestated(order_id="part", reason="new_day")).rule == "order_not_live"
    assert books.give(OrderReplaced(order_id="asked", cl_ord_id="more", orig_cl_ord_id="asked", qty="8")).rule == (
        "order_not_live"
    )
    refused = ReplaceRejected(order_id="asked", cl_ord_id="more", reason="too late")
    assert books.give(refused).rule is None
    books.replayed()


@pytest.mark.parametrize(("qty", "rule"), [("0", None), ("7", "order_adjustment")])
def test_a_split_ends_an_order_whose_terms_say_so(qty: str, rule: str | None) -> None:
    """Its quantity is 0; terms for less than has filled are a mistake."""
    books = market()
    books.give(order("O", "buy", "100", "10"), ON_MONDAY)
    books.give(traded("E", qty="40", order_id="O"))
    made = books.give(split(order_adjustments=(OrderAdjustment(order_id="O", qty=qty),)))
    assert made.rule == rule
    row = books.state.orders.get("O")
    assert row is not None
    status, held = ("PARTIALLY_FILLED", amount("600")) if rule else ("CANCELED", 0)
    assert (row.status, row.qty, row.cum_qty, row.hold_amount) == (status, amount("100"), amount("40"), held)
    books.replayed()


def test_a_split_ends_an_order_that_by_a_lot_comes_to_less_than_has_filled() -> None:
    """Of 30 in lots of ten 29 have filled; by 1:2 it would be for one lot, and more than that has filled."""
    books = market()
    books.give(InstrumentAmended(instrument="XYZ", effective_from=MONDAY, lot="10"))
    books.give(order("O", "buy", "30", "10"), ON_MONDAY)
    books.give(traded("E", qty="29", order_id="O"))
    made = books.give(split(1, 2, rounding="down"))
    assert (made.rule, b'"ended":["O"]' in made.derived) == (None, True)
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.status, row.qty, row.cum_qty) == ("CANCELED", amount("30"), amount("29"))
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("again", [
    OrderRestated(order_id="O", reason="new_day"),
    OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="300"),
    traded("E2", order_id="O", qty="10", trade_date=TUESDAY),
], ids=lambda event: type(event).__name__)  # fmt: skip
def test_an_order_that_had_closed_stays_in_the_shares_of_then(kind: type[Books], again: Any) -> None:
    """A split leaves it alone, whether memory has it or not; what would have it live again cannot be."""
    books = market(kind=kind)
    books.give(order("O", "buy", "100", "10", tif="day"), ON_MONDAY)
    books.give(traded("E", order_id="O", qty="40"))
    books.give(OrderDoneForDay(order_id="O"))
    assert b"orders" not in books.give(split()).derived
    made = books.give(again)
    assert (made.rule, (made.detail or "")[:9]) == ("before_split", "I15: orde")
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.qty, row.cum_qty, row.price, row.status) == (
        amount("100"), amount("40"), amount("10"), "DONE_FOR_DAY"
    )  # fmt: skip
    named = OrderAdjustment(order_id="O", qty="200")
    assert books.give(split(3, ca_id="S2", ex_date=WEDNESDAY, order_adjustments=(named,))).rule == "order_adjustment"
    books.give(OrderCanceled(order_id="O"))
    with pytest.raises(RuleBroken, match="order_not_live"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="O3", orig_cl_ord_id="O", new_qty="300"))
    books.replayed()


def test_a_closed_order_of_another_instrument_does_not_stand_in_the_way_of_a_split() -> None:
    """Memory may have forgotten it, so that nothing can depend on it."""
    books = market()
    books.give(instrument("XYZ.W"))
    books.give(order("O", "buy", "100", "10", tif="day", instrument="XYZ.W"), ON_MONDAY)
    assert books.give(split()).rule == "shared_asset"
    books.give(OrderDoneForDay(order_id="O"))
    assert books.give(split()).rule is None
    # It closed in the shares of then, as an order of the instrument that was named would have.
    assert books.give(OrderRestated(order_id="O", reason="new_day")).rule == "before_split"
    late = traded("E", order_id="O", instrument="XYZ.W", trade_date=TUESDAY)
    assert books.give(late).rule == "before_split"


def test_a_split_stores_of_each_holder_no_more_than_its_name_and_amount() -> None:
    """Its postings have to fit one event, however many hold the shares: 10,000 with names of 12 letters do."""
    sizes = []
    for holders in (1, 301):
        books = market()
        for number in range(holders):
            name = f"client-{number:05}"
            books.give(AccountOpened(account=name, owner="o", kind="house", base_asset="USD"))
            books.give(traded(name, account=name))
        made = books.give(split())
        sizes.append(len(made.derived) + len(made.given))
        told = msgspec.json.decode(made.derived)
        assert told == {"postings_of_many": {"XYZ": {
            "settled": {"~issuer": str(-100 * holders)},
            "unsettled": {f"client-{number:05}": "100" for number in range(holders)},
        }}}  # fmt: skip
        books.replayed()
    assert sizes[0] + 10_000 * (sizes[1] - sizes[0]) / 300 < PAYLOAD_LIMIT_BYTES


def test_a_dividend_stores_of_each_holder_one_amount_as_posted() -> None:
    """One event is of as many holders as a fact can name: what is posted takes less than what is given."""
    books, holders = market(scale=0), [f"client-{number:06}" for number in range(1_800)]
    for name in holders:
        books.give(AccountOpened(account=name, owner="o", kind="house", base_asset="USD"))
        books.give(traded(name, account=name))
    made = books.give(accrued(*(Entitled(account=name, qty="100", gross="50", tax="7.5") for name in holders)))
    assert made.rule is None
    assert msgspec.json.decode(made.derived) == {"postings_of_many": {"USD": {"unsettled": {
        "~issuer": str(-50 * len(holders)), "~tax": amounts.render(75 * len(holders) * 10**17),
        **dict.fromkeys(holders, "42.5"),
    }}}}  # fmt: skip
    assert len(made.derived) < len(made.given)
    lines = tuple(DividendLine(account=name, gross="50", tax="7.5") for name in holders)
    paid = books.give(CashDividendPaid(ca_id="D", payment_id="P", paid_on=WEDNESDAY, lines=lines))
    assert paid.rule is None
    assert balance(books, holders[-1], "USD") == (amount("42.5"), amount("-1000"), 0)
    check_invariants(books.state)
    books.replayed()


def test_a_dividend_that_is_wholly_withheld_moves_nothing_of_its_holder() -> None:
    """No balance begins by it, as none does in what is stored: books and known days show the same rows."""
    books = market()
    books.give(AssetDefined(asset="EUR", kind="currency", scale=2, name="euro"))
    books.give(AccountOpened(account="W", owner="o", kind="margin", base_asset="EUR"))
    books.give(traded("E", account="W"))
    event = accrued(Entitled(account="W", qty="100", gross="50", tax="50"), asset="EUR", tax_rate="1")
    assert books.give(event).rule is None
    books.give(CashDividendPaid(ca_id="D", payment_id="P", paid_on=WEDNESDAY,
                                lines=(DividendLine(account="W", gross="50", tax="50"),)))  # fmt: skip
    assert books.state.balances.get("W", "EUR") is None
    assert balance(books, "~tax", "EUR") == (amount("50"), 0, 0)
    books.replayed()


def test_a_split_of_more_holders_than_an_event_carries_waits_in_quarantine() -> None:
    """What follows from it is the ledger's to store: the issuer's fact is not refused for that."""
    books = market()
    for number in range(2_000):
        name = f"{number:0128}"
        books.give(AccountOpened(account=name, owner="o", kind="house", base_asset="USD"))
        books.give(traded(f"E{number}", account=name))
    made = books.give(split())
    assert (made.event_type, made.rule) == ("FactQuarantined", "too_large")
    assert "concern fewer accounts" in str(made.detail)
    assert not books.state.corporate_actions.rows
    books.replayed()


def moved_shares(name: str, amount: str, day: str = MONDAY) -> CashMoved:
    kind: Any = "deposit" if amount[0] != "-" else "withdrawal"
    return CashMoved(movement_id=name, account="A", asset="XYZ", amount=amount, kind=kind, value_date=day)


def test_what_moved_shares_of_before_a_split_is_not_undone_in_new_ones() -> None:
    """An exact negation would make shares, or lose them; what was told after the split is undone as ever."""
    books = market()
    books.give(moved_shares("D", "10"))
    assert books.give(split(2, 1)).rule is None
    reversal = JournalReversed(journal_id="J", reverses_kind="cash", reverses="D", reason="r")
    with pytest.raises(RuleBroken, match=r"before_split.*reversal of cash 'D', which moved XYZ of before the split of"):
        books.give(reversal)
    books.give(moved_shares("N", "4", TUESDAY))
    books.give(JournalReversed(journal_id="J", reverses_kind="cash", reverses="N", reason="r"))
    assert balance(books, "A", "XYZ") == (amount("20"), 0, 0)
    books.replayed()


def test_what_came_in_before_a_split_is_not_told_in_old_shares_after_it() -> None:
    """As a trade of then is not: a deposit in kind, or a conversion, waits to be told in shares of today."""
    books = market()
    books.give(moved_shares("D", "10"))
    assert books.give(split(2, 1)).rule is None
    assert books.give(moved_shares("L", "7")).rule == "before_split"
    given = {"sold": AssetAmount(asset="XYZ", amount="1"), "bought": AssetAmount(asset="USD", amount="1"), "rate": "1"}
    late = FxConverted(fx_id="X", account="A", value_date=MONDAY, **given)  # type: ignore[arg-type]
    assert books.give(late).rule == "before_split"
    assert balance(books, "A", "XYZ") == (amount("20"), 0, 0)
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_filled_order_that_is_being_enlarged_is_split(kind: type[Books], renamed: bool) -> None:
    """It waits for an answer, which comes in new shares: of 300 it has 200, and holds for the hundred that are left."""
    books = market(kind=kind)
    books.give(order("O", "buy", "100", "10"), ON_MONDAY)
    books.give(traded("E", order_id="O"))
    if renamed:
        books.give(InstrumentRenamed(ca_id="N", old="XYZ", new="ABC", effective=MONDAY))
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="150"), ON_MONDAY)
    assert b'"orders":[["O","200","200","5",null,"500"]]' in books.give(split()).derived
    books.give(OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="300"))
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.qty, row.cum_qty, row.hold_amount) == (amount("300"), amount("200"), amount("500"))
    assert books.give(traded("E2", order_id="O", qty="100", price="5", trade_date=TUESDAY)).rule is None
    books.replayed()


def test_a_filled_order_is_not_asked_for_more_after_a_split() -> None:
    """It filled in old shares, and a request would be for new ones."""
    books = market()
    books.give(order("O", "buy", "100", "10"), ON_MONDAY)
    books.give(traded("E", order_id="O"))
    books.give(split())
    with pytest.raises(RuleBroken, match=r"before_split\): I15: order O is FILLED in shares of before the split"):
        books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="300"))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (split(1, 1), "ratio"), (split(0, 1), "ratio"), (split(2, -1), "ratio"),
        (split(1, 3), "cash_in_lieu"),
        (split(2, 1, cash_in_lieu=(CashInLieu(account="A", amount="1"),)), "cash_in_lieu"),
        (split(1, 3, cash_in_lieu=(CashInLieu(account="A", amount="-1"),)), "cash_in_lieu"),
        (split(1, 3, rounding="up", cash_in_lieu=(CashInLieu(account="A", amount="1"),)), "cash_in_lieu"),
        (split(2, 1, cash_in_lieu=(CashInLieu(account="Z", amount="1"),)), "cash_in_lieu"),
        (split(2, 1, ex_date=MONDAY), "traded_since"), (split(2, 1, ex_date="2024-08-02"), "traded_since"),
        (split(order_adjustments=(OrderAdjustment(order_id="none", qty="1"),)), "order_adjustment"),
        (split(order_adjustments=(OrderAdjustment(order_id="O", qty="1"),)), "order_adjustment"),
        (split(order_adjustments=(OrderAdjustment(order_id="O", qty="-1"),)), "order_adjustment"),
    ],
)  # fmt: skip
def test_a_split_that_does_not_fit_is_quarantined(given: SplitApplied, rule: str) -> None:
    """Ratio, fractions, days and orders are checked, and nothing of it is applied."""
    books = market()
    books.give(traded("E0", qty="1"))
    books.give(order("O", "buy", "100", "5"), ON_MONDAY)
    books.give(traded("E", order_id="O", qty="60", price="5"))
    books.give(traded("E1", qty="40"))
    before = dict(books.state.positions.rows)
    assert books.give(given).rule == rule
    assert before == books.state.positions.rows
    books.replayed()


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
@pytest.mark.parametrize("busted", [("D1", "D2"), ("D2", "D1")])
def test_a_split_comes_once_the_trades_of_its_day_and_later_are_undone(
    cost_method: str, busted: tuple[str, str]
) -> None:
    """In any order: what stands tells when there was a trade, not what was busted."""
    books = market(cost_method=cost_method)
    books.give(traded("E"))
    days = {"D1": TUESDAY, "D2": WEDNESDAY}
    for name, day in days.items():
        books.give(traded(name, qty="10", trade_date=day))
    for name in busted:
        assert books.give(split()).rule == "traded_since"
        assert books.give(accrued(entitled(), ca_id="D")).rule == "entitlement"
        bust = TradeBusted(exec_id=f"B{name}", exec_ref=name, venue="V", trade_date=days[name], reason="r")
        assert books.give(bust).rule is None
    assert books.give(accrued(entitled(), ca_id="D")).rule is None
    assert books.give(split()).rule is None
    # Before the split there were other shares, of which the position knows nothing any more.
    books.give(traded("N1", qty="10", trade_date=WEDNESDAY))
    bust = TradeBusted(exec_id="BN1", exec_ref="N1", venue="V", trade_date=WEDNESDAY, reason="r")
    assert books.give(bust).rule is None
    assert books.give(accrued(entitled("200", "100", "15"), ca_id="D1", ex_date=TUESDAY)).rule is None
    assert books.give(accrued(entitled(), ca_id="D0", ex_date=MONDAY)).rule == "entitlement"
    books.replayed()


MOVING: dict[str, Any] = {
    "deposit": lambda: CashMoved(movement_id="M", account="A", asset="XYZ", amount="200", kind="deposit",
                                 value_date=TUESDAY),
    "conversion": lambda: FxConverted(fx_id="M", account="A", sold=AssetAmount(asset="XYZ", amount="1"), rate="1",
                                      bought=AssetAmount(asset="USD", amount="1"), value_date=TUESDAY),
    "bought": lambda: FxConverted(fx_id="M", account="A", sold=AssetAmount(asset="USD", amount="1"), rate="1",
                                  bought=AssetAmount(asset="XYZ", amount="1"), value_date=TUESDAY),
    "fee": lambda: FeeCharged(fee_id="M", account="A", kind="k", asset="XYZ", amount="1"),
    "journal": lambda: JournalPosted(journal_id="M", memo="m", postings=tuple(
        Posting(account=x, asset="XYZ", bucket="settled", amount=n) for x, n in (("A", "-1"), ("B", "1")))),
    "dividend": lambda: accrued(entitled("98", "49", "7"), ca_id="M", asset="XYZ"),
    "paid in": lambda: traded("M", instrument="ABC", qty="1", price="1", trade_date=TUESDAY),
    "charged": lambda: traded("M", instrument="DEF", qty="1", trade_date=TUESDAY,
                              fees=(Fee(kind="c", asset="XYZ", amount="1"),)),
    "charged by its line": lambda: TradeAllocated(
        allocation_id="M", venue="V", trade_date=TUESDAY, exec_ids=("BLOCK",),
        lines=(AllocationLine(account="A", qty="100", price="10", fees=(Fee(kind="c", asset="XYZ", amount="1"),)),)),
}  # fmt: skip


def moved_market(kind: type[Books] = Books) -> Books:
    """Hold 100 shares of Monday; ABC is paid in them."""
    books = market(kind=kind)
    for asset, quote in (("ABC", "XYZ"), ("DEF", "USD")):
        books.give(AssetDefined(asset=asset, kind="security", scale=0, name=asset))
        terms: Any = {"tick": "0.01", "lot": "1", "settlement_cycle": 0, "venue": "V"}
        books.give(InstrumentDefined(instrument=asset, asset=asset, quote_asset=quote, settle_asset=quote, **terms))
    books.set_day(MONDAY)
    for name, event in MOVING.items():
        if name in ("fee", "journal"):
            # What was moved on Monday is of old shares.
            books.give(msgspec.structs.replace(event(), **{f"{name}_id": "before"}))
    books.give(traded("E"))
    books.set_day(TUESDAY)
    books.give(traded("BLOCK", account="B", instrument="DEF", trade_date=TUESDAY))
    return books


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("what", list(MOVING))
def test_what_moved_shares_on_the_ex_date_keeps_the_split_out_unless_it_says_why(what: str, kind: type[Books]) -> None:
    """Nobody could tell whether it was in new shares; of the day before it does not matter."""
    books = moved_market(kind)
    assert books.give(MOVING[what]()).rule is None
    made = books.give(split())
    assert (made.rule, f"XYZ was moved on {TUESDAY}" in (made.detail or "")) == ("moved_since", True)
    assert books.give(split(moved_reason="of old shares", rounding="down", ca_id="S2")).rule is None
    assert moved_market(kind).give(split()).rule is None
    books.replayed()


def test_a_busted_trade_with_a_fee_in_its_own_shares_keeps_no_split_out() -> None:
    """The fee is undone with it."""
    books = moved_market()
    books.give(traded("N", trade_date=TUESDAY, fees=(Fee(kind="c", asset="XYZ", amount="1"),)))
    assert books.give(split()).rule == "traded_since"
    place: Any = {"exec_ref": "N", "ref_trade_date": TUESDAY, "trade_date": TUESDAY}
    books.give(TradeBusted(exec_id="B", venue="V", reason="r", **place))
    assert books.give(split(ca_id="S2")).rule is None


@pytest.mark.parametrize("reversed_first", [True, False])
def test_a_deposit_of_new_shares_before_the_split_is_put_right(reversed_first: bool) -> None:
    """It is multiplied as all that is owned: it is reversed before, or what is too much is journaled afterwards."""
    books = market()
    books.give(traded("E"))
    deposit = {"account": "A", "asset": "XYZ", "amount": "200", "kind": "deposit", "value_date": TUESDAY}
    books.give(CashMoved(movement_id="D", **deposit))  # type: ignore[arg-type]
    if reversed_first:
        books.give(JournalReversed(journal_id="R", reverses_kind="cash", reverses="D", reason="r"))
        refused = books.give(split(ca_id="S0"))
        assert "moved_reason" in str(refused.detail)
        assert "also where all of that is reversed" in str(refused.detail)
    assert books.give(split(moved_reason="D is reversed" if reversed_first else "D will be journaled")).rule is None
    if reversed_first:
        books.give(CashMoved(movement_id="D2", **deposit))  # type: ignore[arg-type]
    else:
        assert sum(balance(books, "A", "XYZ")) == amount("600")
        lines = (("A", "-200"), ("~issuer", "200"))
        postings = tuple(Posting(account=x, asset="XYZ", bucket="settled", amount=more) for x, more in lines)
        books.give(JournalPosted(journal_id="J", postings=postings, memo="m"))
    assert sum(balance(books, "A", "XYZ")) == amount("400")
    assert sum(balance(books, "~issuer", "XYZ")) == -amount("100")
    books.replayed()


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
def test_a_day_that_was_mistyped_and_corrected_keeps_no_split_out(cost_method: str) -> None:
    """The trade is of the day that it was corrected to."""
    books = market(cost_method=cost_method, kind=ForgetfulBooks)
    books.give(traded("E", trade_date=WEDNESDAY))
    books.give(
        TradeCorrected(
            exec_id="E1", exec_ref="E", ref_trade_date=WEDNESDAY, venue="V", account="A", instrument="XYZ", side="buy",
            qty="100", price="10", trade_date=MONDAY,
        )
    )  # fmt: skip
    assert books.give(accrued(entitled(), ca_id="D")).rule is None
    assert books.give(split()).rule is None
    books.replayed()


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
def test_a_split_comes_once_the_trades_of_its_day_are_undone(cost_method: str) -> None:
    """They are busted, the split is recorded, and they are told again in new shares."""
    books = market(cost_method=cost_method)
    books.give(traded("E"))
    for name in ("D1", "D2"):
        books.give(traded(name, qty="10", trade_date=TUESDAY))
    for name in ("D1", "D2"):
        assert books.give(split()).rule == "traded_since"
        bust = TradeBusted(exec_id=f"B{name}", exec_ref=name, venue="V", trade_date=TUESDAY, reason="r")
        assert books.give(bust).rule is None
    # What was held before the day is known again, and of days before it nothing is.
    assert books.give(accrued(entitled(), ca_id="D")).rule is None
    assert books.give(accrued(entitled(), ca_id="D0", ex_date=MONDAY)).rule == "entitlement"
    assert books.give(split()).rule is None
    assert books.give(traded("N1", qty="20", trade_date=TUESDAY)).rule is None
    bust = TradeBusted(exec_id="BN1", exec_ref="N1", venue="V", trade_date=TUESDAY, reason="r")
    assert books.give(bust).rule is None
    assert books.give(split(3, ca_id="S2", ex_date=WEDNESDAY)).rule is None
    assert sum(balance(books, "A", "XYZ")) == amount("600")
    books.replayed()


def test_what_is_asked_for_follows_a_split_and_what_a_split_states_is_taken() -> None:
    """
    Each to the tick on its own side, stop and all; an order that the issuer's agent put between two ticks holds up no
    split, which is of all who hold the share.
    """
    books = market()
    books.give(traded("E", qty="400"))
    books.give(order("O", "sell", "100", "10", stop_price="9"), ON_MONDAY)
    asked = ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_price="8", new_stop="7")
    books.give(asked, ON_MONDAY)
    told = (OrderAdjustment(order_id="O", qty="300", price="3.333", stop_price="3"),)
    assert books.give(split(3, 1, order_adjustments=told)).rule is None
    books.give(OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="300"))
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.price, row.stop_price) == (amount("2.67"), amount("2.34"))
    books.replayed()


@pytest.mark.parametrize("said", ["placed", "restated", "replaced"])
def test_an_order_of_the_ex_date_needs_its_terms_in_the_split(said: str) -> None:
    """The venue may have told them in new shares, and multiplied they would be of a third kind."""
    books = market()
    books.set_day(TUESDAY)
    books.give(traded("E"))
    books.give(order("O", "buy", "100", "10"), None if said == "placed" else ON_MONDAY)
    if said == "restated":
        books.give(OrderRestated(order_id="O", reason="corporate_action", qty="200", price="5"))
    if said == "replaced":
        books.give(OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="200", price="5"))
    made = books.give(split())
    assert (made.rule, "are of 2024-08-06" in (made.detail or "")) == ("order_adjustment", True)
    told = (OrderAdjustment(order_id="O", qty="200", price="5"),)
    assert b'"orders":[["O","200","0","5",null,"1000"]]' in books.give(split(order_adjustments=told)).derived
    books.replayed()


def test_what_is_asked_on_the_ex_date_is_asked_in_new_shares() -> None:
    """The order is given its terms; what was asked before is multiplied, and what was asked since stays as it is."""
    books = market()
    books.set_day(TUESDAY)
    books.give(traded("E", qty="400"))
    books.give(order("O", "sell", "100", "10"), ON_MONDAY)
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", new_qty="120"), ON_MONDAY)
    books.give(ReplaceRequested(order_id="O", cl_ord_id="O3", orig_cl_ord_id="O2", new_qty="300", new_price="5"))
    made = books.give(split())
    assert (made.rule, "are of 2024-08-06" in (made.detail or "")) == ("order_adjustment", True)
    told = (OrderAdjustment(order_id="O", qty="200", price="5"),)
    assert books.give(split(order_adjustments=told)).rule is None
    assert balance(books, "A", "XYZ")[2] == amount("300")
    assert books.give(ReplaceRejected(order_id="O", cl_ord_id="O3", reason="r")).rule is None
    assert balance(books, "A", "XYZ")[2] == amount("240")
    books.replayed()


def test_a_split_of_a_shared_asset_waits_for_one_instrument() -> None:
    """Positions or orders of a second instrument of the asset could not be told from the first's."""
    books = market()
    books.give(instrument("XYZ.W"))
    books.give(traded("E", instrument="XYZ.W"))
    assert books.give(split()).rule == "shared_asset"


def other_instrument_split(kind: type[Books] = Books) -> Books:
    """Hold 100 shares through XYZ and none any more through XYZ.W, when XYZ splits."""
    books = market(kind=kind)
    books.give(instrument("XYZ.W"))
    books.give(traded("E0"))
    books.give(order("O", "buy", "10", "10", instrument="XYZ.W"), ON_MONDAY)
    books.give(traded("W1", qty="10", instrument="XYZ.W", order_id="O"))
    books.give(traded("W2", "sell", "10", instrument="XYZ.W"))
    assert books.give(split()).rule is None
    return books


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("late", [
    traded("L", instrument="XYZ.W", trade_date=MONDAY),
    TradeBusted(exec_id="L", exec_ref="W2", venue="V", trade_date=WEDNESDAY, ref_trade_date=MONDAY, reason="r"),
    TradeCorrected(exec_id="L", exec_ref="W2", ref_trade_date=MONDAY, venue="V", account="A", instrument="XYZ.W",
                   side="sell", qty="9", price="10", trade_date=WEDNESDAY),
    OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="30"),
    traded("L", order_id="O", instrument="XYZ.W", trade_date=WEDNESDAY),
], ids=lambda event: type(event).__name__)  # fmt: skip
def test_a_split_is_of_every_instrument_of_the_asset(kind: type[Books], late: Any) -> None:
    """What traded as another one before it was old shares too, of which nobody owns any now."""
    books = other_instrument_split(kind)
    made = books.give(late)
    assert (made.rule, made.detail is not None and TUESDAY in made.detail) == ("before_split", True)
    assert sum(balance(books, "A", "XYZ")) == amount("200")
    assert books.give(traded("N", instrument="XYZ.W", qty="5", trade_date=TUESDAY)).rule is None
    books.replayed()


def test_an_instrument_that_is_defined_after_a_split_is_of_the_new_shares() -> None:
    """Whatever it is called: a trade of before the split would have been of old ones."""
    books = other_instrument_split()
    books.give(instrument("XYZ.L"))
    assert books.give(traded("L", instrument="XYZ.L", trade_date=MONDAY)).rule == "before_split"
    assert books.give(split(3, ca_id="S2", instrument="XYZ.L", ex_date=MONDAY)).rule == "before_split"
    assert books.give(traded("N", instrument="XYZ.L", trade_date=TUESDAY)).rule is None
    books.replayed()


def test_a_split_comes_before_the_trades_of_its_day_in_every_instrument() -> None:
    """A flat position of another one had trades of new shares, or of old ones: nobody can tell."""
    books = market()
    books.give(instrument("XYZ.W"))
    books.give(traded("E0"))
    books.give(traded("W1", instrument="XYZ.W", trade_date=TUESDAY))
    books.give(traded("W2", "sell", instrument="XYZ.W", trade_date=TUESDAY))
    made = books.give(split())
    assert (made.rule, "account A traded XYZ.W on" in (made.detail or "")) == ("traded_since", True)


def test_trades_of_other_shares_are_not_mixed_after_a_split() -> None:
    """What is of a day before the split is quarantined, and so is the bust of a trade of then."""
    books = market()
    books.give(traded("E"))
    books.give(split())
    assert books.give(traded("E2", trade_date=MONDAY)).rule == "before_split"
    bust = TradeBusted(exec_id="E3", exec_ref="E", venue="V", trade_date=WEDNESDAY, ref_trade_date=MONDAY, reason="r")
    assert books.give(bust).rule == "before_split"
    assert books.give(traded("E4", trade_date=TUESDAY)).rule is None
    assert books.give(split(3, ca_id="S2", ex_date=TUESDAY)).rule == "before_split"
    with pytest.raises(DuplicateFact):
        books.give(split())
    assert books.give(split(5)).rule == "ca_id_reused"


def settled(name: str, exec_id: str, qty: str, **more: Any) -> TradeSettled:
    given = {"trade_date": MONDAY, "date": WEDNESDAY, **more}
    return TradeSettled(settlement_id=name, venue="V", exec_id=exec_id, qty=qty, **given)


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize(("num", "den", "after", "delivered"), [(1, 10, "10", "4"), (2, 1, "200", "80")])
def test_what_is_unsettled_stays_so_in_a_split(
    kind: type[Books], num: int, den: int, after: str, delivered: str
) -> None:
    """A reverse split puts nobody in debt, and no share is there to be spent before it is delivered, part by part."""
    books = market(kind=kind)
    books.give(AccountOpened(account="C", owner="o", kind="cash", base_asset="USD"))
    books.give(CashMoved(movement_id="M", account="C", asset="USD", amount="5000", kind="deposit", value_date=MONDAY))
    books.give(traded("E", account="C"))
    assert books.give(split(num, den)).rule is None
    assert balance(books, "C", "XYZ") == (0, amount(after), 0)
    row = books.state.balances.get("C", "XYZ")
    assert row is not None
    assert (row.available, row.breached) == (0, False)
    books.set_day(WEDNESDAY)
    assert books.give(settled("T1", "E", "40", partial=True)).rule is None
    assert balance(books, "C", "XYZ") == (amount(delivered), amount(after) - amount(delivered), 0)
    assert books.give(settled("T2", "E", "60")).rule is None
    assert balance(books, "C", "XYZ") == (amount(after), 0, 0)
    books.replayed()


@pytest.mark.parametrize("rounding", ["down", "up", "nearest"])
def test_what_settles_after_splits_adds_up_to_what_waited(rounding: str) -> None:
    """Trades of before one split, or of before both, each alone not whole in new shares; with a fee in shares."""
    books = market()
    books.give(traded("E1", qty="5"))
    books.give(traded("E2", qty="4", fees=(Fee(kind="stamp", asset="XYZ", amount="1"),)))
    books.give(traded("E3", "sell", "3"))
    assert books.give(split(1, 2, rounding=rounding)).rule is None
    books.give(traded("E4", qty="4", trade_date=TUESDAY))
    books.set_day(WEDNESDAY)
    assert books.give(settled("T1", "E1", "2", partial=True)).rule is None
    assert books.give(split(1, 3, ca_id="S2", ex_date=WEDNESDAY, rounding=rounding)).rule is None
    waits = balance(books, "A", "XYZ")
    for name, qty, day in (("E3", "3", MONDAY), ("E1", "3", MONDAY), ("E4", "4", TUESDAY), ("E2", "4", MONDAY)):
        assert waits[1]
        assert books.give(settled(f"T{name}", name, qty, trade_date=day)).rule is None
    assert balance(books, "A", "XYZ") == (sum(waits), 0, 0)
    books.replayed()


def test_who_holds_all_of_it_for_a_sale_has_it_split_too() -> None:
    """Nothing of it is settled or waits: all that there is was deposited, and is held."""
    books = market()
    books.give(CashMoved(movement_id="D", account="A", asset="XYZ", amount="100", kind="deposit", value_date=MONDAY))
    books.give(order("O", "sell", "100", "10"), ON_MONDAY)
    assert balance(books, "A", "XYZ") == (0, 0, amount("100"))
    assert books.give(split()).rule is None
    assert sum(balance(books, "A", "XYZ")) == amount("200")


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
def test_a_fraction_is_sold_for_its_cash(cost_method: str) -> None:
    """7 shares for 70 become 3.5: three stay with 60, half a share is sold for 11; cost and result add up."""
    books = market(cost_method=cost_method)
    books.give(traded("E", qty="7"))
    books.give(split(1, 2, cash_in_lieu=(CashInLieu(account="A", amount="11"),)))
    row = books.state.positions.get("A", "XYZ")
    assert row is not None
    assert (row.qty, row.cost, row.realised) == (amount("3"), amount("60"), amount("1"))
    assert balance(books, "A", "USD")[0] == amount("11")
    due = books.state.entitlements.get("S", "A")
    assert due is not None
    assert (due.cost_change, due.realised_change) == (-amount("10"), amount("1"))
    lots = [(x.open_qty, x.open_cost) for x in books.state.lots.rows.values()]
    assert lots == ([(amount("3"), amount("60"))] if cost_method == "FIFO" else [])
    books.replayed()


def test_what_the_owner_of_the_ledger_has_of_a_share_splits_too() -> None:
    """Fees taken in shares, conversions and doubts are owned; what came from outside, or is a venue's, is of then."""
    books = market(scale=3)
    books.give(traded("E", fees=(Fee(kind="c", asset="XYZ", amount="0.02"),)))
    books.give(FxConverted(fx_id="F", account="A", sold=AssetAmount(asset="XYZ", amount="3"), rate="10",
                           bought=AssetAmount(asset="USD", amount="30"), value_date=MONDAY))  # fmt: skip
    lines = (("B", "-1"), ("~suspense", "1"))
    books.give(JournalPosted(journal_id="J", memo="m", postings=tuple(
        Posting(account=x, asset="XYZ", bucket="settled", amount=n) for x, n in lines)))  # fmt: skip
    assert books.give(split(10, moved_reason="of old shares")).rule is None
    found = {x: sum(balance(books, x, "XYZ")) for x in ("A", "B", "~fees", "~fx_clearing.XYZ", "~suspense")}
    assert found == {
        "A": amount("969.8"), "B": amount("-10"), "~fees": amount("0.2"), "~fx_clearing.XYZ": amount("30"),
        "~suspense": amount("10"),
    }  # fmt: skip
    assert sum(balance(books, "~clearing.V", "XYZ")) == amount("-100")
    settled = {"settlement_id": "S", "venue": "V", "trade_date": MONDAY, "exec_id": "E", "qty": "100"}
    assert books.give(TradeSettled(date=WEDNESDAY, **settled)).rule is None  # type: ignore[arg-type]
    assert balance(books, "~fees", "XYZ") == (amount("0.2"), 0, 0)
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("cash", [(), (CashInLieu(account="~fees", amount="0.05"),)])
def test_a_fraction_of_the_ledgers_own_needs_no_cash(cash: tuple[CashInLieu, ...]) -> None:
    """A custodian that pays for fractions has not heard of it; who knows of some may say so."""
    books = market(scale=1)
    books.give(traded("E", qty="100.5", fees=(Fee(kind="c", asset="XYZ", amount="0.5"),)))
    assert books.give(split(1, 10, cash_in_lieu=cash)).rule is None
    assert sum(balance(books, "~fees", "XYZ")) == 0
    assert (books.state.balances.get("~fees", "USD") is not None) == bool(cash)
    books.replayed()


def test_a_lot_too_small_for_the_new_unit_leaves_its_cost_to_the_next() -> None:
    """Nothing of a position's cost is lost when one of its lots comes to nothing."""
    books = market(scale=18, cost_method="FIFO")
    books.give(traded("E", qty="0.000000000000000001", price="10000000000000000"))
    books.give(traded("E2", qty="10"))
    books.give(split(1, 10, rounding="down"))
    row = books.state.positions.get("A", "XYZ")
    assert row is not None
    assert (row.qty, row.cost) == (amount("1"), amount("100.01"))
    lots = [(x.open_qty, x.open_cost) for x in books.state.lots.rows.values()]
    assert lots == [(0, 0), (amount("1"), amount("100.01"))]
    books.replayed()


def test_everything_is_found_under_a_new_name() -> None:
    """Position, lots and orders go over; the old name still works for facts, and a command is told the new one."""
    books = market(cost_method="FIFO")
    books.give(order("O", "buy", "10", "5"), ON_MONDAY)
    books.give(traded("E"))
    made = books.give(InstrumentRenamed(ca_id="N", old="XYZ", new="ABC", effective=TUESDAY))
    assert (made.stream, made.stream_version) == ("instrument/ABC", stream_version(books.state, "instrument/ABC"))
    books.give(traded("E2", order_id="O", qty="4", price="5"))
    books.give(TradeBusted(exec_id="E3", exec_ref="E", venue="V", trade_date=MONDAY, reason="r"))
    row, old = books.state.positions.get("A", "ABC"), books.state.positions.get("A", "XYZ")
    assert row is not None
    assert old is not None
    assert (row.qty, row.cost, old.qty, old.cost) == (amount("4"), amount("20"), 0, 0)
    assert books.state.executions.get("V", MONDAY, "E").instrument == "XYZ"  # type: ignore[union-attr]
    with pytest.raises(RuleBroken, match="called ABC now"):
        books.give(order("O2", "buy", "1", "1"), ON_MONDAY)
    rename = InstrumentRenamed(ca_id="N2", old="XYZ", new="DEF", effective=TUESDAY)
    assert books.give(rename).rule == "instrument_renamed"
    assert (
        books.give(InstrumentRenamed(ca_id="N3", old="ABC", new="XYZ", effective=TUESDAY)).rule == "instrument_exists"
    )
    books.give(split())
    row = books.state.positions.get("A", "ABC")
    assert row is not None
    assert row.qty == amount("8")
    books.replayed()


@pytest.mark.parametrize("how", ["bust", "correction", "replacement"])
def test_an_order_that_lives_again_goes_by_the_new_name(how: str) -> None:
    """It had filled when the instrument was renamed; a split finds it as it finds every open order."""
    books = market()
    books.give(order("O", "buy", "100", "10"), ON_MONDAY)
    books.give(traded("E", order_id="O"))
    books.give(InstrumentRenamed(ca_id="N", old="XYZ", new="ABC", effective=MONDAY))
    again = {
        "bust": TradeBusted(exec_id="B", exec_ref="E", venue="V", trade_date=MONDAY, reason="r"),
        "correction": TradeCorrected(
            exec_id="C", exec_ref="E", venue="V", trade_date=MONDAY, account="A", instrument="XYZ", order_id="O",
            side="buy", qty="40", price="10",
        ),
        "replacement": OrderReplaced(order_id="O", cl_ord_id="O2", orig_cl_ord_id="O", qty="160"),
    }[how]  # fmt: skip
    assert books.give(again, ON_MONDAY).rule is None
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.instrument, row.status) == ("ABC", "NEW" if how == "bust" else "PARTIALLY_FILLED")
    assert books.give(split()).rule is None
    row = books.state.orders.get("O")
    assert row is not None
    qty, cum, hold = {"bust": (200, 0, 1000), "correction": (200, 80, 600), "replacement": (320, 200, 600)}[how]
    assert (row.qty, row.cum_qty, row.price) == (amount(str(qty)), amount(str(cum)), amount("5"))
    assert row.hold_amount == amount(str(hold))
    books.replayed()


def test_an_order_of_the_past_may_be_known_by_the_old_name() -> None:
    """What happened is not up for refusal: it is recorded under the name that its instrument has now."""
    books = market()
    books.give(InstrumentRenamed(ca_id="N", old="XYZ", new="ABC", effective=MONDAY))
    books.give(order("O", "buy", "100", "10", historical=True), ON_MONDAY)
    assert books.give(traded("E", order_id="O", qty="60")).rule is None
    assert books.give(split()).rule is None
    row = books.state.orders.get("O")
    assert row is not None
    assert (row.instrument, row.qty, row.cum_qty) == ("ABC", amount("200"), amount("120"))
    books.replayed()


def test_an_amendment_under_the_old_name_is_told_the_new_one() -> None:
    """It would change the terms of a name that nothing trades under any more, and nobody would notice."""
    books = market()
    books.give(InstrumentRenamed(ca_id="N", old="XYZ", new="ABC", effective=MONDAY))
    with pytest.raises(RuleBroken, match=r"instrument_renamed.*XYZ is called ABC now"):
        books.give(InstrumentAmended(instrument="XYZ", tick="0.05", effective_from=MONDAY))
    books.give(InstrumentAmended(instrument="ABC", tick="0.05", effective_from=MONDAY))
