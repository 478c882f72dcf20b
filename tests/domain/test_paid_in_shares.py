"""
Check trades and dividends that are paid, or charged, in shares that split: what settles of them, and what is undone or
told late.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.domain.amounts import render
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    DividendLine,
    Entitled,
    SplitApplied,
)
from ledger.domain.events.executions import Fee, TradeBusted, TradeExecuted
from ledger.domain.events.reference import AssetDefined, InstrumentDefined
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, TradeAllocated
from ledger.domain.ladder import ladder
from ledger.errors import RuleBroken
from tests.domain.books import Books, amount, check_invariants
from tests.domain.equities import DAY, buckets, market, settled
from tests.domain.forgetful import ForgetfulBooks

LATER = "2024-08-13"
FEE = (Fee(kind="commission", asset="XYZ", amount="10"),)


def firm(shares: str = "200", kind: type[Books] = Books) -> Books:
    """Return books in which ABC trades for USD, and for shares of XYZ."""
    books = market(shares=shares, kind=kind)
    books.give(AssetDefined(asset="ABC", kind="security", scale=0, name="ABC"))
    for name, quote in (("ABC.N", "USD"), ("ABC-XYZ", "XYZ")):
        books.give(InstrumentDefined(
            instrument=name, asset="ABC", quote_asset=quote, settle_asset=quote, tick="0.01", lot="1",
            settlement_cycle=5, calendar="us", product="us_equity", venue="N",
        ))  # fmt: skip
    return books


def bought(exec_id: str = "E", instrument: str = "ABC-XYZ", day: str = DAY, **more: Any) -> TradeExecuted:
    """Ten ABC at 10."""
    given = {"account": "A", "side": "buy", "qty": "10", "price": "10", **more}
    return TradeExecuted(exec_id=exec_id, venue="N", instrument=instrument, trade_date=day, **given)


def split(num: int = 2, den: int = 1) -> SplitApplied:
    return SplitApplied(
        ca_id=f"S{num}:{den}", instrument="XYZ.N", ratio_num=num, ratio_den=den, ex_date="2024-08-12", rounding="down"
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize(
    ("trade", "ratio", "after"),
    [
        (bought(), (1, 10), ("10", "0")),
        (bought(side="sell"), (2, 1), ("600", "0")),
        (bought(instrument="ABC.N", fees=FEE), (2, 1), ("380", "0")),
        (bought(fees=FEE), (3, 1), ("270", "0")),
    ],
)
def test_what_a_trade_is_paid_in_settles_in_new_shares(
    trade: TradeExecuted, ratio: tuple[int, int], after: tuple[str, str], kind: type[Books]
) -> None:
    """In whole and in parts, nothing of it is left among what waits; the house has its fee as it was charged."""
    for parts in (("10",), ("3", "3", "4")):
        books = firm(kind=kind)
        books.give(trade)
        books.give(split(*ratio))
        for number, qty in enumerate(parts):
            part = settled(f"S{number}", "E", qty, date=LATER, partial=number + 1 < len(parts))
            assert books.give(part).rule is None
        assert buckets(books, "A", "XYZ") == after
        check_invariants(books.whole())
        books.replayed()


def test_the_ladder_tells_what_settled_in_the_shares_that_were_due() -> None:
    """Of a hundred that were bought before the split a hundred settle, in parts too; the books get two hundred."""
    books = firm(shares="0")
    books.give(bought(instrument="XYZ.N", qty="100"))
    books.give(split())
    for name, settles, waits in (("S1", "50", "50"), ("S2", "100", "0")):
        made = books.give(settled(name, "E", "50", date=LATER, partial=name == "S1"))
        moved = [["A", "XYZ", "unsettled", "-50"], ["A", "XYZ", "settled", "50"]]
        assert msgspec.json.decode(made.derived)["in_new_shares"] == {"S2:1": moved}
        state = books.state
        rungs = ladder(
            state.executions.rows.values(), [], state.movements.rows.values(), [],
            {row.asset: row.scale for row in state.assets.rows.values()},
        )  # fmt: skip
        shares = [x for x in rungs if x.asset == "XYZ"]
        assert sum(x.settled for x in shares) == amount(settles)
        assert sum(x.due for x in shares) == amount(waits)
    assert buckets(books, "A", "XYZ") == ("200", "0")
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
@pytest.mark.parametrize("parts", [("10",), ("3", "3", "4")])
def test_a_dividend_owed_in_shares_is_paid_in_new_ones(parts: tuple[str, ...], kind: type[Books]) -> None:
    """Ten that were due before a split of three for two are fifteen when they come, in parts too."""
    books = firm(shares="100", kind=kind)
    due = Entitled(account="A", qty="100", gross="10", tax="0", reason="deposited")
    books.give(dividend(due))
    books.give(split(3, 2))
    assert buckets(books, "A", "XYZ") == ("150", "15")
    for number, part in enumerate(parts):
        line = DividendLine(account="A", gross=part, tax="0")
        made = books.give(CashDividendPaid(ca_id="D", payment_id=f"P{number}", paid_on=LATER, lines=(line,)))
        assert "in_new_shares" in msgspec.json.decode(made.derived)
    assert buckets(books, "A", "XYZ") == ("165", "0")
    check_invariants(books.whole())
    books.replayed()


def dividend(*lines: Entitled) -> CashDividendAccrued:
    return CashDividendAccrued(ca_id="D", instrument="XYZ.N", ex_date="2024-08-09", record_date="2024-08-09",
                               pay_date=LATER, rate="0.1", tax_rate="0", asset="XYZ", entitlements=lines)  # fmt: skip


def test_a_dividend_in_old_shares_is_not_told_after_their_split() -> None:
    """What it comes to in new ones is another cash movement."""
    books = firm(shares="100")
    books.give(split())
    due = Entitled(account="A", qty="100", gross="10", tax="0", reason="deposited")
    assert books.give(dividend(due)).rule == "before_split"


@pytest.mark.parametrize("trade", [bought(), bought(instrument="ABC.N", fees=FEE)])
def test_what_was_paid_in_old_shares_is_not_undone_exactly(trade: TradeExecuted) -> None:
    """It would give back old shares for what were new ones by then, and so would an allocation."""
    books = firm()
    books.give(trade)
    books.give(split())
    void = TradeBusted(exec_id="B", exec_ref="E", venue="N", trade_date=DAY, reason="x", reopens_order=False)
    made = books.give(void)
    assert (made.rule, "a change of 'E', which moved XYZ of before the split" in str(made.detail)) == (
        "before_split", True,
    )  # fmt: skip
    lines = (AllocationLine(account="B", qty="10", price="10"),)
    with pytest.raises(RuleBroken, match="before_split"):
        books.give(TradeAllocated(allocation_id="AL", venue="N", trade_date=DAY, exec_ids=("E",), lines=lines))


@pytest.mark.parametrize("trade", [bought("L"), bought("L", instrument="ABC.N", fees=FEE)])
def test_a_trade_of_old_shares_is_not_told_late(trade: TradeExecuted) -> None:
    """As a deposit of them is not: a hundred of before are not a hundred of today."""
    books = firm()
    books.give(split())
    assert books.give(trade).rule == "before_split"
    assert books.give(bought("N", "ABC-XYZ", "2024-08-12", fees=FEE)).rule is None
    assert books.give(bought("M", "ABC.N")).rule is None


def test_the_lines_of_an_allocation_are_held_to_the_same() -> None:
    """What they were charged in shares is not given back after a split, nor charged for a day before it."""
    books = firm()
    books.give(bought("E", "ABC.N"))
    lines = (AllocationLine(account="B", qty="10", price="10", fees=FEE),)
    books.give(TradeAllocated(allocation_id="AL", venue="N", trade_date=DAY, exec_ids=("E",), lines=lines))
    books.give(bought("F", "ABC.N"))
    books.give(split())
    with pytest.raises(RuleBroken, match=r"before_split.*'AL.1', which moved XYZ"):
        books.give(AllocationReversed(allocation_id="AL", reason="x", proposed_by="p", approved_by="q"))
    with pytest.raises(RuleBroken, match=r"before_split.*a fee of XYZ of 2024-08-08"):
        books.give(TradeAllocated(allocation_id="AM", venue="N", trade_date=DAY, exec_ids=("F",), lines=lines))
    row = books.state.balances.get("~fees", "XYZ")
    assert row is not None
    assert render(row.settled + row.unsettled) == "20"
