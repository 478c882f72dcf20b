"""
Check profit and loss by day on examples worked out by hand.
"""

from __future__ import annotations

import pytest

from ledger.domain.amounts import render
from ledger.domain.events.cash import AssetAmount, CashMoved, FeeCharged, FxConverted, JournalReversed
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import CashDividendAccrued, Entitled, InstrumentRenamed
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.events.settlement import AllocationLine
from tests.domain import equities
from tests.domain.books import DAY as THURSDAY
from tests.domain.books import Books
from tests.domain.test_allocation import allocated, line
from tests.domain.test_marks_and_profit import MONDAY, TUESDAY, mark, market, rate, trade
from tests.reading.days import cells, pnl

WEDNESDAY = "2024-08-07"


def fifo_market() -> Books:
    """The same market with an account that reckons first in, first out."""
    books = Books()
    for outcome_of in (
        *(AssetDefined(asset=asset, kind="security", scale=scale, name=asset)
          for asset, scale in (("USD", 2), ("EUR", 2), ("SAP", 0))),
        InstrumentDefined(instrument="SAP", asset="SAP", quote_asset="EUR", settle_asset="EUR", tick="0.01", lot="1",
                          settlement_cycle=2, venue="V"),
        AccountOpened(account="A", owner="o", kind="house", base_asset="USD", cost_method="FIFO"),
    ):  # fmt: skip
        books.give(outcome_of)
    return books


def week() -> list[Event]:
    """Bought in parts, sold in part, sold through zero on a day that nobody marked, and marked again."""
    fee = Fee(kind="commission", asset="EUR", amount="2")
    second = TradeExecuted(exec_id="E2", venue="V", account="A", instrument="SAP", side="buy", qty="40", price="11",
                           trade_date=MONDAY, fees=(fee,))  # fmt: skip
    return [
        trade("E1", "60", "10"), second, mark("12"), rate("1.10"),
        trade("E3", "50", "13", "sell", TUESDAY), mark("11", TUESDAY), rate("1.20", TUESDAY),
        trade("E4", "80", "14", "sell", WEDNESDAY), rate("1.25", WEDNESDAY),
        mark("15", THURSDAY), rate("1.20", THURSDAY),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("books", "tuesday", "wednesday"),
    [(market(), ["520", "130", "30"], ["180"]), (fifo_market(), ["540", "150", "10"], ["160"])],
    ids=["average", "first in, first out"],
)
def test_a_share_is_bought_in_parts_sold_flipped_and_marked(
    books: Books, tuesday: list[str], wednesday: list[str]
) -> None:
    """
    Cost and realised by the account's method; the rest is the same for both.

    Monday: 100 for 1040 at 12 make 160 EUR, 176 USD, less 2 EUR of fee. Tuesday: 50 left at 11 and 650 of proceeds make
    160 still; 1200 EUR of Monday gained 0.10 USD each. Wednesday has no mark. Thursday: 30 short at 15, and 280 made so
    far: 120 more than on Tuesday, at 1.20; of the 1120 EUR of proceeds each is 0.05 less than on Wednesday.
    """
    for event in week():
        assert books.give(event).rule is None
    rows = [row for row in pnl(books) if row.instrument]
    stands = [cells(row, "day qty cost realised unrealised") for row in rows]
    assert stands == [
        [MONDAY, "100", "1040", "0", "160"],
        [TUESDAY, "50", *tuesday],
        [WEDNESDAY, "-30", "-420", *wednesday, None],
        [THURSDAY, "-30", "-420", "0", "-30"],
    ]
    assert [cells(row, "since mark value rate price_result currency_result income total") for row in rows] == [
        [None, "12", "1200", "1.1", "176", "0", "-2.2", "173.8"],
        [MONDAY, "11", "550", "1.2", "0", "120", "0", "120"],
        [TUESDAY, None, None, "1.25", None, None, None, None],
        [TUESDAY, "15", "-450", "1.2", "144", "56", "0", "200"],
    ]
    assert [row.missing for row in rows] == [(), (), (f"mark of SAP for {WEDNESDAY}",), ()]
    cash = [row for row in pnl(books) if not row.instrument]
    assert [cells(row, "day asset qty currency_result total") for row in cash] == [
        [MONDAY, "EUR", "-1042", "0", "0"],
        [TUESDAY, "EUR", "-392", "-104.2", "-104.2"],
        [WEDNESDAY, "EUR", "728", "-19.6", "-19.6"],
        [THURSDAY, "EUR", "728", "-36.4", "-36.4"],
    ]
    # 728 EUR of cash and 30 short at 15 are 278 EUR, at 1.20.
    assert sum(row.total or 0 for row in rows + cash) == 333_600_000_000_000_000_000
    books.replayed()


def test_an_open_position_that_nobody_marked_is_said_to_be_so() -> None:
    """The day asked about has a line all the same; a day on which nothing was open has none; a rate may lack too."""
    books = market()
    for event in week():
        books.give(event)
    friday = "2024-08-09"
    rows = pnl(books, friday, friday)
    assert [cells(row, "instrument asset since qty realised unrealised total missing") for row in rows] == [
        [
            "SAP",
            "EUR",
            THURSDAY,
            "-30",
            "0",
            None,
            None,
            (f"mark of SAP for {friday}", f"mark of EUR/USD for {friday}"),
        ],
        [None, "EUR", THURSDAY, "728", None, None, None, (f"mark of EUR/USD for {friday}",)],
    ]
    assert pnl(books, "2024-08-01", "2024-08-04") == []
    assert pnl(books, WEDNESDAY, WEDNESDAY) == [row for row in pnl(books) if row.day == WEDNESDAY]


def cash(kind: str, amount: str, asset: str = "USD", day: str = MONDAY) -> CashMoved:
    return CashMoved(movement_id=f"{kind}{amount}", account="A", asset=asset, amount=amount, kind=kind, value_date=day)  # type: ignore[arg-type]


def test_income_and_conversions_stand_apart() -> None:
    """Fees, funding, interest, tax and dividends by asset, what conversions brought, and no deposit among them."""
    books = market()
    dividend = CashDividendAccrued(
        ca_id="D", instrument="SAP", asset="USD", ex_date=TUESDAY, record_date=TUESDAY, pay_date=THURSDAY, rate="0.5",
        tax_rate="0.2", entitlements=(Entitled(account="A", qty="10", gross="5", tax="1"),),
    )  # fmt: skip
    converted = FxConverted(fx_id="X", account="A", sold=AssetAmount(asset="USD", amount="110"),
                            bought=AssetAmount(asset="EUR", amount="100"), rate="0.90909090909090909",
                            value_date=TUESDAY)  # fmt: skip
    reversed_ = JournalReversed(journal_id="J", reverses_kind="cash", reverses="funding-3", reason="r")
    for event in (
        trade("E", "10", "100"), mark("100"), rate("1"), cash("deposit", "5000"), cash("funding", "-3"),
        cash("funding", "7"), cash("interest", "2"), cash("tax", "-4"), dividend, converted, rate("1.08", TUESDAY),
        FeeCharged(fee_id="F", account="A", kind="data", asset="USD", amount="9"), reversed_,
    ):  # fmt: skip
        assert books.give(event).rule is None, event
    found = {(row.day, row.instrument, row.asset): row for row in pnl(books)}
    parts = "fees dividends tax funding interest converted currency_result income total"
    assert cells(found[MONDAY, None, "USD"], parts) == ["0", "0", "4", "7", "2", "0", "0", "5", "5"]
    assert cells(found[TUESDAY, "SAP", "USD"], "qty dividends tax income total") == [None, "5", "1", "4", "4"]
    assert cells(found[TUESDAY, None, "USD"], parts) == ["0", "0", "0", "0", "0", "-110", "-110", "0", "-110"]
    # 1000 EUR were owed as a euro rose by 0.08, and 100 came in at 1.08.
    assert cells(found[TUESDAY, None, "EUR"], parts) == ["0", "0", "0", "0", "0", "100", "28", "0", "28"]
    assert cells(found[THURSDAY, None, "USD"], parts) == ["9", "0", "0", "0", "0", "0", "0", "-9", "-9"]


def test_what_has_no_rate_yet_is_told_once_there_is_one() -> None:
    """A fee in euros on a day without a rate is income of the next day that has one, at its rate."""
    books = market()
    for event in (
        trade("E", "10", "100"), trade("E2", "10", "101", "sell"), rate("1.5", WEDNESDAY),
        FeeCharged(fee_id="F", account="A", kind="data", asset="EUR", amount="2"), rate("2", THURSDAY),
    ):  # fmt: skip
        books.give(event)
    names = "day instrument realised price_result currency_result income total"
    assert [cells(row, names) for row in pnl(books)] == [
        [MONDAY, "SAP", "10", None, None, None, None],
        [MONDAY, None, None, None, None, None, None],
        [WEDNESDAY, "SAP", "0", "15", "0", "0", "15"],
        [WEDNESDAY, None, None, "0", "0", "0", "0"],
        [THURSDAY, None, None, "0", "5", "-4", "1"],
    ]


def test_marks_of_either_name_value_a_renamed_instrument() -> None:
    """The name is the newest one on every day; fees in an asset of their own have a line of their own."""
    books = market()
    fee = Fee(kind="commission", asset="USD", amount="3")
    other = TradeExecuted(exec_id="E2", venue="V", account="A", instrument="SAPX", side="sell", qty="4", price="12",
                          trade_date=WEDNESDAY, fees=(fee,))  # fmt: skip
    renamed = InstrumentRenamed(ca_id="N", old="SAP", new="SAPX", effective=TUESDAY)
    later = MarkRecorded(instrument="SAPX", price="11", kind="settlement", day=WEDNESDAY, as_of=1)
    for event in (trade("E", "10", "10"), mark("10.5"), renamed, other, later):
        assert books.give(event).rule is None
    found = [row for row in pnl(books) if row.instrument]
    assert [cells(row, "day instrument asset qty realised unrealised fees") for row in found] == [
        [MONDAY, "SAPX", "EUR", "10", "0", "5", "0"],
        [WEDNESDAY, "SAPX", "EUR", "6", "8", "6", "0"],
        [WEDNESDAY, "SAPX", "USD", None, None, None, "3"],
    ]


def test_a_trade_of_a_day_before_its_order_stands_on_its_own_day() -> None:
    """The order came two days later; what the trade did is Monday's."""
    books = market()
    books.give(
        OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="SAP", side="buy", qty="10", ord_type="market")
    )
    books.give(
        TradeExecuted(exec_id="E", venue="V", order_id="O", account="A", instrument="SAP", side="buy", qty="10",
                      price="10", trade_date=MONDAY)
    )  # fmt: skip
    for event in (mark("11"), rate("1"), mark("12", TUESDAY), rate("1", TUESDAY)):
        books.give(event)
    found = [cells(row, "day qty unrealised total") for row in pnl(books) if row.instrument]
    assert found[:2] == [[MONDAY, "10", "10", "10"], [TUESDAY, "10", "20", "10"]]


def test_an_allocated_block_is_the_result_of_those_it_was_done_for() -> None:
    """The block's own day comes to nothing; each account has its part, with its fees."""
    books = equities.market(share_scale=2)
    for event in (
        equities.trade("E1", qty="60", price="10", account="BLOCK", fee="0"),
        equities.trade("E2", qty="40", price="10.5", account="BLOCK", fee="0"),
        allocated(line("A", "70", "10.2", "0.1"), line("B", "30", "10.2", "0.1")),
        MarkRecorded(instrument="XYZ.N", price="11", kind="eod", day=equities.DAY, as_of=1),
    ):
        assert books.give(event).rule is None, event
    names = "account qty cost unrealised price_result income total"
    assert [cells(row, names) for row in pnl(books)] == [
        ["A", "70", "714", "56", "56", "-0.1", "55.9"],
        ["B", "30", "306", "24", "24", "-0.1", "23.9"],
        ["BLOCK", "0", "0", "0", "0", "0", "0"],
    ]
    assert pnl(books, account="B") == pnl(books)[1:2]


def test_shares_that_were_allocated_and_charged_at_once_are_worth_nothing() -> None:
    """Ten are bought for A and ten taken as its fee: no posting of them is left, and what they cost is lost."""
    books = equities.market()
    books.set_day(equities.DAY)
    books.give(equities.trade("E", qty="10", account="BLOCK", fee="0"))
    fee = Fee(kind="commission", asset="XYZ", amount="10")
    given = AllocationLine(account="A", qty="10", price="10", fees=(fee,))
    assert books.give(allocated(given, exec_ids=("E",))).rule is None
    assert books.state.balances.get("A", "XYZ") is None
    for day, price in ((equities.DAY, "10"), (equities.DUE, "15")):
        books.set_day(day)
        books.give(MarkRecorded(instrument="XYZ.N", price=price, kind="eod", day=day, as_of=1))
        books.give(MarkRecorded(base="XYZ", quote="USD", price=price, kind="eod", day=day, as_of=1))
    totals = [row.total for row in pnl(books, account="A") if row.total is not None]
    assert render(sum(totals)) == "-100"
