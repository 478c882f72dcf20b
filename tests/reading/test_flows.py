"""
Check what is told as income when what brought it is reversed, and reversed again; and what a split is not told as.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest

from ledger.domain.events.cash import (
    AssetAmount,
    CashMoved,
    FeeCharged,
    FxConverted,
    JournalPosted,
    JournalReversed,
    Posting,
)
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.fields import Event
from tests.domain import equities
from tests.domain.books import Books
from tests.reading.days import cells, pnl

THURSDAY, FRIDAY, MONDAY, TUESDAY = "2024-08-08", "2024-08-09", "2024-08-12", "2024-08-13"
INTEREST = CashMoved(movement_id="M", account="A", asset="USD", amount="10", kind="interest", value_date=THURSDAY)
FEE = FeeCharged(fee_id="M", account="A", kind="data", asset="USD", amount="10")
CONVERTED = FxConverted(fx_id="M", account="A", sold=AssetAmount(asset="USD", amount="10"),
                        bought=AssetAmount(asset="EUR", amount="10"), rate="1", value_date=THURSDAY)  # fmt: skip


def undo(name: str, of: str, kind: Literal["cash", "fee", "journal", "fx"]) -> JournalReversed:
    return JournalReversed(journal_id=name, reverses_kind=kind, reverses=of, reason="r")


def given(books: Books, *events: Event) -> Books:
    for event in events:
        assert books.give(event).rule is None, event
    return books


def market(shares: str = "0") -> Books:
    books = equities.market(shares=shares)
    books.set_day(THURSDAY)
    return books


@pytest.mark.parametrize(
    ("event", "kind", "column", "amount"),
    [(INTEREST, "cash", "interest", "10"), (FEE, "fee", "fees", "10"), (CONVERTED, "fx", "converted", "-10")],
)
def test_a_reversal_that_is_reversed_brings_back_what_it_took(
    event: Event, kind: Any, column: str, amount: str
) -> None:
    """Reversed once it is as if it had not been, twice as if it had, three times as if it had not."""
    books = given(market(), event)

    def told() -> list[Any]:
        return [cells(row, f"{column} total") for row in pnl(books, account="A") if row.asset == "USD"]

    first = told()
    assert first[0][0] == amount
    for number, (name, of, of_kind) in enumerate((("R1", "M", kind), ("R2", "R1", "journal"), ("R3", "R2", "journal"))):
        given(books, undo(name, of, of_kind))
        assert told() == (first if number % 2 else [])


def test_a_journal_is_no_result_however_often_it_is_reversed() -> None:
    """Three postings that are no pairs, to the account of fees too: none of them, and no reversal, earns anything."""
    postings = tuple(
        Posting(account=account, asset="USD", bucket="settled", amount=amount)
        for account, amount in (("A", "-10"), ("~fees", "7"), ("B", "3"))
    )
    books = given(market(), JournalPosted(journal_id="J", memo="m", postings=postings))
    assert pnl(books) == []
    for name, of in (("R1", "J"), ("R2", "R1"), ("R3", "R2")):
        given(books, undo(name, of, "journal"))
        assert pnl(books) == []


def marked(price: str, day: str) -> MarkRecorded:
    return MarkRecorded(base="XYZ", quote="USD", price=price, kind="eod", day=day, as_of=1)


def split(name: str, num: int, den: int, day: str) -> SplitApplied:
    return SplitApplied(ca_id=name, instrument="XYZ.N", ratio_num=num, ratio_den=den, ex_date=day, rounding="down")


def shares_of(books: Books) -> list[Any]:
    return [cells(row, "day qty rate currency_result total") for row in pnl(books, account="A") if row.asset == "XYZ"]


def test_a_split_of_deposited_shares_is_no_loss() -> None:
    """10 shares at 10 are 20 at 5: worth 100 before and after it; at 6 they have gained 20."""
    books = given(market("10"), marked("10", THURSDAY))
    books.set_day(FRIDAY)
    given(books, split("S", 2, 1, FRIDAY), marked("5", FRIDAY))
    books.set_day(MONDAY)
    given(books, marked("6", MONDAY))
    assert shares_of(books) == [
        [THURSDAY, "10", "10", "0", "0"], [FRIDAY, "20", "5", "0", "0"], [MONDAY, "20", "6", "20", "20"],
    ]  # fmt: skip


def test_what_was_not_valued_before_a_split_is_of_the_shares_after_it() -> None:
    """3 shares of interest have no rate until two splits later, when all 13 are 19 of 39/2 that are dropped to 19."""
    books = market("10")
    interest = CashMoved(movement_id="I", account="A", asset="XYZ", amount="3", kind="interest", value_date=FRIDAY)
    given(books, marked("12", THURSDAY))
    books.set_day(FRIDAY)
    given(books, interest)
    books.set_day(MONDAY)
    given(books, split("S", 3, 1, MONDAY))
    books.set_day(TUESDAY)
    given(books, split("T", 1, 2, TUESDAY), marked("8", TUESDAY))
    found = [cells(row, "day qty interest currency_result income total") for row in pnl(books, account="A")]
    # 3 are 4.5 by now, 36 USD of income; 10 at 12 were 120 and are 15 at 8; half a share at 8 was dropped.
    assert found == [
        [THURSDAY, "10", "0", "0", "0", "0"],
        [FRIDAY, "13", "3", None, None, None],
        [MONDAY, "39", "0", None, None, None],
        [TUESDAY, "19", "0", "-4", "36", "32"],
    ]
