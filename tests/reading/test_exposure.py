"""
Check what exposure takes a position, its cash and open orders to be worth, on examples worked out by hand.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import pytest

from ledger.domain.amounts import parse, render
from ledger.domain.events.cash import AssetAmount, CashMoved, FxConverted
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import InstrumentRenamed, SplitApplied
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.orders import OrderDoneForDay, OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentAmended, InstrumentDefined
from ledger.domain.profit_and_loss import rate_on
from ledger.reading.exposure import ExposureLine, exposure
from ledger.reading.profit.fx_result import fx_result
from ledger.reading.sources import Folded
from tests.domain import equities
from tests.domain.books import Books
from tests.domain.test_marks_and_profit import MONDAY, TUESDAY, mark, rate, trade
from tests.domain.test_marks_and_profit import market as shares
from tests.reading.days import cells

Kind = Literal["eod", "settlement", "intraday"]


def read(books: Books, account: str | None = None) -> list[ExposureLine]:
    return exposure(Folded(books.state, len(books.stored), []), account)


def futures() -> Books:
    """A contract of 50 index points, quoted in EUR to the cent, in an account in JPY, which has no decimals."""
    books = Books()
    for asset, scale in (("JPY", 0), ("EUR", 2), ("IDX", 0)):
        books.give(AssetDefined(asset=asset, kind="contract", scale=scale, name=asset))
    books.give(
        InstrumentDefined(
            instrument="IDX-SEP", asset="IDX", quote_asset="EUR", settle_asset="EUR", tick="0.001", lot="1",
            multiplier="50", settlement_cycle=0, venue="V",
        )
    )  # fmt: skip
    books.give(AccountOpened(account="A", owner="o", kind="house", base_asset="JPY"))
    return books


def test_a_contract_counts_by_its_multiplier_and_is_rounded_once_in_each_asset() -> None:
    """3 x 50 x 100.0003 EUR are 15000.045, half-even 15000.04; at 160.5 JPY that is 2407506.42, without decimals."""
    books = futures()
    for event in (
        TradeExecuted(exec_id="E", venue="V", account="A", instrument="IDX-SEP", side="sell", qty="3", price="100",
                      trade_date=MONDAY),
        CashMoved(movement_id="D", account="A", asset="JPY", amount="500", kind="deposit", value_date=MONDAY),
        MarkRecorded(instrument="IDX-SEP", price="100.0003", kind="eod", day=MONDAY, as_of=1),
        MarkRecorded(base="EUR", quote="JPY", price="160.5", kind="eod", day=MONDAY, as_of=1),
    ):  # fmt: skip
        assert books.give(event).rule is None
    names = "line instrument asset qty value long short net gross"
    assert [cells(x, names) for x in read(books)] == [
        ["position", "IDX-SEP", "EUR", "-3", "-15000.04", "0", "2407506", "-2407506", "2407506"],
        ["cash", None, "EUR", "15000", "15000", "2407500", "0", "2407500", "2407500"],
        ["total", None, "JPY", None, None, "2407500", "2407506", "-6", "4815006"],
    ]


@pytest.mark.parametrize(
    ("kind", "price", "stop", "working"),
    [
        ("limit", "9", None, "54"),
        ("stop", None, "8", "48"),
        ("stop_limit", "7", "8", "42"),
        ("market", None, None, None),
    ],
)
def test_an_open_order_counts_at_its_price_its_stop_price_or_the_mark(
    kind: Literal["limit", "stop", "stop_limit", "market"], price: str | None, stop: str | None, working: str | None
) -> None:
    """5 shares wait to be bought at a rate of 1.20; a market order without a mark cannot be told until there is one."""
    books = shares()
    books.give(rate("1.20"))
    order = OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="SAP", side="buy", qty="5", ord_type=kind,
                        price=price, stop_price=stop)  # fmt: skip
    assert books.give(order).rule is None
    position, total = read(books, "A")
    missing = ("mark of SAP",) if working is None else ()
    assert cells(position, "qty value net working_buy working_sell missing") == ["0", "0", "0", working, "0", missing]
    assert cells(total, "net working_buy missing") == ["0", working, missing]
    books.give(mark("10"))
    assert cells(read(books)[0], "working_buy missing") == [working or "60", ()]


@pytest.mark.parametrize(
    ("since", "first", "second", "value"),
    [("2030-01-01", "50", "50", "20"), ("2024-10-02", "50", "5000", "20"), ("2024-10-01", "5000", "5000", "20"),
     ("2024-09-30", "5000", "5000", "2000")],
)  # fmt: skip
def test_an_order_counts_by_the_multiplier_of_its_terms_and_a_position_by_that_of_its_mark(
    since: str, first: str, second: str, value: str
) -> None:
    """Orders of 1 and 2 October for 10 at 5, at 100 times as much from a day on; the mark of the day before is 4."""
    books = equities.market()

    def order(order_id: str) -> OrderPlaced:
        return OrderPlaced(order_id=order_id, cl_ord_id=order_id, account="A", instrument="XYZ.N", side="buy", qty="10",
                           ord_type="limit", price="5", tif="gtc")  # fmt: skip

    assert books.give(InstrumentAmended(instrument="XYZ.N", multiplier="100", effective_from=since)).rule is None
    assert books.give(order("O1")).rule is None
    assert cells(read(books, "A")[0], "value working_buy missing") == ["0", first, ()]
    fill = equities.trade(qty="5", price="2", fee="0", trade_date="2024-09-30")
    marked = MarkRecorded(instrument="XYZ.N", price="4", kind="eod", day="2024-09-30", as_of=1)
    for event in (fill, marked):
        assert books.give(event).rule is None
    assert cells(read(books, "A")[0], "value working_buy missing") == [value, first, ()]
    books.set_day("2024-10-02")
    assert books.give(order("O2")).rule is None
    both = render(parse(first) + parse(second))
    held = sum(x.hold_amount for x in books.state.orders.rows.values())
    assert (cells(read(books, "A")[0], "value working_buy"), render(held)) == ([value, both], both)
    assert cells(read(books, "A")[-1], "working_buy") == [both]
    # The day's end says no terms, so that nothing more is held and nothing more could be added.
    assert books.give(OrderDoneForDay(order_id="O1")).rule is None
    held = sum(x.hold_amount for x in books.state.orders.rows.values())
    assert (cells(read(books, "A")[0], "working_buy"), render(held)) == ([both], both)


def test_the_newest_day_counts_under_any_name_and_settlement_before_eod_before_intraday() -> None:
    """Each mark in turn takes the place of the one before, or does not; a rate may be that of the inverse."""
    books = shares()
    books.give(trade("E", "10", "10"))
    books.give(MarkRecorded(base="USD", quote="EUR", price="0.8", kind="eod", day=MONDAY, as_of=1))
    renamed = InstrumentRenamed(ca_id="N", old="SAP", new="SAPX", effective=TUESDAY)
    for event, price in (
        (mark("11", kind="intraday"), "11"), (mark("12", kind="eod"), "12"),
        (mark("13", kind="intraday", as_of=9), "12"), (mark("14", kind="settlement"), "14"), (renamed, "14"),
        (mark("15", TUESDAY, "intraday"), "15"), (mark("16", MONDAY, "settlement", 9), "15"),
    ):  # fmt: skip
        assert books.give(event).rule is None
        found = read(books)[0]
        assert (found.mark, found.net) == (parse(price), parse(price) * 10 * 5 // 4)
    assert (found.instrument, found.mark_day, found.mark_kind, found.rate_day) == ("SAPX", TUESDAY, "intraday", MONDAY)
    assert [x.qty for x in read(books) if x.line == "cash"] == [-parse("100")]
    assert read(shares()) == []


@pytest.mark.parametrize(
    ("own", "inverse", "expected"),
    [
        ("settlement", "settlement", "2"), ("eod", "settlement", "2"), ("settlement", "intraday", "2"),
        ("intraday", "intraday", "2"), ("intraday", "settlement", "1.25"), ("intraday", "eod", "1.25"),
    ],
)  # fmt: skip
def test_of_a_day_the_rate_of_the_pair_counts_before_that_of_its_inverse_unless_it_alone_is_intraday(
    own: Kind, inverse: Kind, expected: str
) -> None:
    """A euro is worth 2 dollars, or a dollar 0.8 euro; a day that may be valued is valued as profit values it."""
    books = shares()
    events = (
        trade("E", "10", "10"),
        MarkRecorded(base="EUR", quote="USD", price="2", kind=own, day=MONDAY, as_of=1),
        MarkRecorded(base="USD", quote="EUR", price="0.8", kind=inverse, day=MONDAY, as_of=9),
    )
    for event in events:
        assert books.give(event).rule is None
    assert cells(read(books)[1], "asset rate rate_day") == ["EUR", expected, MONDAY]
    if (own, inverse) != ("intraday", "intraday"):
        assert rate_on(books.state, "EUR", "USD", MONDAY) == Fraction(expected)


@pytest.mark.parametrize("new", ["AAA", "ZZZ"])
@pytest.mark.parametrize(("as_of", "expected"), [(9, "110"), (3, "102"), (5, "110")])
def test_of_marks_under_two_names_the_latest_counts_whatever_the_names_are(new: str, as_of: int, expected: str) -> None:
    """Of one day and kind, by what it is as of; of two as of one time the one that was told last."""
    books = shares()
    for event in (
        trade("E", "10", "10"), rate("1.20"), mark("102", TUESDAY, as_of=5),
        InstrumentRenamed(ca_id="N", old="SAP", new=new, effective=TUESDAY),
        MarkRecorded(instrument=new, price="110", kind="eod", day=TUESDAY, as_of=as_of),
    ):  # fmt: skip
        assert books.give(event).rule is None
    assert read(books)[0].mark == parse(expected)


def test_a_mark_of_before_a_split_values_no_share_of_after_it() -> None:
    """It is the price of another share: until one is marked again, what it would tell is missing."""
    books = shares()
    books.give(trade("E", "10", "10"))
    books.give(rate("1.25"))
    books.give(mark("12"))
    split = SplitApplied(ca_id="S", instrument="SAP", ratio_num=2, ratio_den=1, ex_date=TUESDAY, rounding="cash")
    assert books.give(split).rule is None
    found = read(books)[0]
    assert cells(found, "qty mark value net missing") == ["20", None, None, None, ("mark of SAP since 2024-08-06",)]
    books.give(mark("6", TUESDAY))
    assert cells(read(books)[0], "qty mark value net missing") == ["20", "6", "120", "150", ()]


def test_a_mark_in_shares_that_have_split_since_values_nothing() -> None:
    """Ten X at 5 Q each are worth 500 Q of after a split by 10, not 50; an order at the mark is no more known."""
    books = Books()
    books.set_day(MONDAY)
    for asset, kind in (("USD", "currency"), ("Q", "crypto"), ("X", "crypto")):
        books.give(AssetDefined(asset=asset, kind=kind, scale=4, name=asset))  # type: ignore[arg-type]
    for name, asset, quote in (("QUSD", "Q", "USD"), ("XQ", "X", "Q")):
        books.give(InstrumentDefined(instrument=name, asset=asset, quote_asset=quote, settle_asset=quote, tick="0.0001",
                                     lot="0.0001", settlement_cycle=0, venue="V"))  # fmt: skip
    split = SplitApplied(ca_id="S", instrument="QUSD", ratio_num=10, ratio_den=1, ex_date=TUESDAY, rounding="down")
    for event in (
        AccountOpened(account="A", owner="o", kind="house", base_asset="USD"),
        TradeExecuted(exec_id="E", venue="V", account="A", instrument="XQ", side="buy", qty="10", price="5",
                      trade_date=MONDAY),
        OrderPlaced(order_id="O", account="A", instrument="XQ", side="sell", ord_type="market", qty="10",
                    tif="gtc", cl_ord_id="O"),
        MarkRecorded(instrument="XQ", price="5", kind="eod", day=MONDAY, as_of=1),
        MarkRecorded(base="Q", quote="USD", price="100", kind="eod", day=MONDAY, as_of=1),
    ):  # fmt: skip
        assert books.give(event).rule is None
    names = "line mark value net working_sell missing"
    assert [cells(line, names) for line in read(books)] == [
        ["position", "5", "50", "5000", "5000", ()], ["cash", None, "-50", "-5000", "0", ()],
        ["total", None, None, "0", "5000", ()],
    ]  # fmt: skip
    books.set_day(TUESDAY)
    assert books.give(split).rule is None
    books.give(MarkRecorded(base="Q", quote="USD", price="10", kind="eod", day=TUESDAY, as_of=1))
    lacking = ("mark of XQ since 2024-08-06",)
    assert [cells(line, names) for line in read(books)] == [
        ["position", None, None, None, None, lacking], ["cash", None, "-500", "-5000", "0", ()],
        ["total", None, None, None, None, lacking],
    ]  # fmt: skip
    books.give(MarkRecorded(instrument="XQ", price="50", kind="eod", day=TUESDAY, as_of=1))
    assert [cells(line, "value net") for line in read(books)] == [["500", "5000"], ["-500", "-5000"], [None, "0"]]


def test_a_rate_of_before_a_split_values_no_share_that_was_deposited() -> None:
    """Straight or inverse, it is the price of another share: missing until there is a newer one; of conversions too."""
    books = equities.market(shares="10")
    books.set_day("2024-08-08")
    sold = FxConverted(fx_id="X", account="A", sold=AssetAmount(asset="XYZ", amount="4"),
                       bought=AssetAmount(asset="USD", amount="40"), rate="10", value_date="2024-08-08")  # fmt: skip
    marks = {
        day: MarkRecorded(base=base, quote=quote, price=price, kind="eod", day=day, as_of=1)
        for day, base, quote, price in (("2024-08-07", "USD", "XYZ", "0.1"), ("2024-08-08", "XYZ", "USD", "10"),
                                        ("2024-08-09", "USD", "XYZ", "0.2"))
    }  # fmt: skip
    for event in (sold, marks["2024-08-07"], marks["2024-08-08"]):
        assert books.give(event).rule is None
    names = "asset qty net missing"
    assert cells(read(books, "B")[0], names) == ["XYZ", "10", "100", ()]
    books.set_day("2024-08-09")
    split = SplitApplied(ca_id="S", instrument="XYZ.N", ratio_num=2, ratio_den=1, ex_date="2024-08-09", rounding="down")
    assert books.give(split).rule is None
    lacks = ("mark of XYZ/USD since 2024-08-09",)
    assert [cells(x, names) for x in read(books, "B")] == [["XYZ", "20", None, lacks], ["USD", None, None, lacks]]
    conversions = fx_result(Folded(books.state, len(books.stored), []), "USD")
    assert [x.missing for x in conversions if x.asset == "XYZ"] == [lacks]
    assert books.give(marks["2024-08-09"]).rule is None
    assert [cells(x, names) for x in read(books, "B")] == [["XYZ", "20", "100", ()], ["USD", None, "100", ()]]
