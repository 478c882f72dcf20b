"""
Go through days whose sums pass what no balance passed as it was recorded, in another order: they are told all the same.
"""

from __future__ import annotations

import pytest

from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from tests.domain.books import Books, opened
from tests.reading.days import cells, pnl

MUCH = "9" + "0" * 29
FIRST, SECOND, LAST = "2024-08-12", "2024-08-13", "2024-08-20"


def moved(name: str, amount: str, day: str) -> Event:
    kind = "withdrawal" if amount.startswith("-") else "deposit"
    return CashMoved(movement_id=name, account="A", asset="USDT", amount=amount, kind=kind, value_date=day)


def sold(exec_id: str = "E", price: str = MUCH) -> TradeExecuted:
    return TradeExecuted(
        exec_id=exec_id, venue="V", account="A", instrument="BTCUSDT", side="sell", qty="1", price=price,
        trade_date=SECOND,
    )  # fmt: skip


@pytest.fixture
def books() -> Books:
    """Books that were given much, gave it away on a later day, and took as much for a trade of a day between."""
    made = opened()
    made.set_day("2024-10-01")
    for event in (moved("1", MUCH, FIRST), moved("2", f"-{MUCH}", LAST), sold()):
        assert made.give(event).event_type == type(event).__name__
    return made


def test_a_trade_on_a_day_whose_sum_passes_the_limit_is_told(books: Books) -> None:
    line = next(row for row in pnl(books) if (row.day, row.instrument) == (SECOND, "BTCUSDT"))
    assert cells(line, "qty cost") == ["-1", f"-{MUCH}"]


def test_so_are_a_correction_of_it_and_a_bust(books: Books) -> None:
    corrected = TradeCorrected(
        exec_id="C", exec_ref="E", venue="V", account="A", instrument="BTCUSDT", side="sell", qty="1",
        price="8" + "0" * 29, trade_date=SECOND,
    )  # fmt: skip
    books.give(corrected)
    line = next(row for row in pnl(books) if (row.day, row.instrument) == (SECOND, "BTCUSDT"))
    assert cells(line, "qty cost") == ["-1", "-8" + "0" * 29]
    books.give(TradeBusted(exec_id="B", exec_ref="C", venue="V", trade_date=SECOND, reason="r"))
    assert not any(row.qty for row in pnl(books) if row.instrument is not None)


def test_what_is_recorded_stays_within_the_limit(books: Books) -> None:
    assert books.give(moved("3", MUCH, FIRST)).event_type == "FactQuarantined"
    (waiting,) = books.state.quarantine.rows.values()
    assert waiting.rule == "beyond_limit"
