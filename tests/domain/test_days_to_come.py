"""
Check that what is announced before its day takes no effect until then, and is accepted from quarantine on its day.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ledger.domain.events.cash import AssetAmount, CashMoved, FeeCharged, FxConverted
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    DividendLine,
    Entitled,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import QuarantineResolved, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed
from ledger.domain.fold import DuplicateFact
from ledger.domain.rows import TABLES
from tests.domain.books import Books, check_invariants
from tests.domain.equities import DAY, DUE, market, settled, trade

BEFORE = "2024-08-09"
DAY_OF = "2024-08-12"
"""The day that everything here is of, a Monday; the ledger learns of it on the Friday before."""


def dividend(ca_id: str = "D", ex_date: str = DAY_OF) -> CashDividendAccrued:
    return CashDividendAccrued(
        ca_id=ca_id, instrument="XYZ.N", ex_date=ex_date, record_date=ex_date, pay_date=ex_date, rate="1",
        tax_rate="0", entitlements=(Entitled(account="A", qty="100", gross="100", tax="0"),),
    )  # fmt: skip


def failed() -> SettlementFailed:
    return SettlementFailed(
        settlement_id="T", venue="N", trade_date=DAY, exec_id="E", date=DAY_OF, new_intended_date="2024-08-13",
        leg="cash", reason="r",
    )  # fmt: skip


def paid() -> CashDividendPaid:
    lines = (DividendLine(account="A", gross="100", tax="0"),)
    return CashDividendPaid(ca_id="OLD", payment_id="P", paid_on=DAY_OF, lines=lines)


ANNOUNCED: list[tuple[Event, str, str]] = [
    (dividend(), "ex_date_to_come", "I15"),
    (SplitApplied(ca_id="S", instrument="XYZ.N", ratio_num=2, ratio_den=1, ex_date=DAY_OF, rounding="cash"),
     "ex_date_to_come", "I15"),
    (InstrumentRenamed(ca_id="R", old="XYZ.N", new="NEW.N", effective=DAY_OF), "ex_date_to_come", "I15"),
    (settled(date=DAY_OF), "settlement_to_come", "I14"),
    (failed(), "settlement_to_come", "I14"),
    (paid(), "value_date_to_come", "I9"),
    (CashMoved(movement_id="M", account="A", asset="USD", amount="5", kind="deposit", value_date=DAY_OF),
     "value_date_to_come", "I9"),
    (FxConverted(fx_id="X", account="A", sold=AssetAmount(asset="USD", amount="10"), rate="0.9",
                 bought=AssetAmount(asset="EUR", amount="9"), value_date=DAY_OF), "value_date_to_come", "I9"),
    (MarkRecorded(instrument="XYZ.N", price="10", kind="eod", day=DAY_OF, as_of=1), "mark_to_come", "R3"),
]  # fmt: skip


def books_before() -> Books:
    """A hundred shares, of which a dividend of an earlier day is to be paid, on the day of the announcements."""
    books = market()
    books.set_day(BEFORE)
    assert books.give(trade()).rule is None
    assert books.give(dividend("OLD", DUE)).rule is None
    return books


def effects(books: Books) -> dict[str, dict[Any, Any]]:
    """Return every row but those of the queue itself."""
    tables = {name: dict(books.state.table(name).rows) for name in TABLES}
    return {name: rows for name, rows in tables.items() if name not in ("quarantine", "streams")}


@pytest.mark.parametrize(("event", "rule", "number"), ANNOUNCED, ids=lambda x: type(x).__name__)
def test_what_is_announced_waits_without_effect_and_is_accepted_on_its_day(
    event: Event, rule: str, number: str
) -> None:
    """It names its day; the day before it is the same, on its day it fits, and said again then it is a duplicate."""
    books = books_before()
    before = effects(books)
    waits = books.give(event)
    assert waits.rule == rule
    assert str(waits.detail).startswith(f"{number}: found ")
    assert f"of {DAY_OF}, which is to come; expected {BEFORE} or earlier" in str(waits.detail)
    assert effects(books) == before
    ref = len(books.stored)
    books.set_day("2024-08-11")
    assert books.give(event).rule == rule
    books.set_day(DAY_OF)
    # The caller's clock counts as well: what occurred before its day has not taken effect.
    assert books.give(event, occurred_at=books.clock - 86_400 * 10**9).rule == rule
    made = books.give(event)
    assert made.rule is None
    seq = len(books.stored)
    books.give(QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=seq, proposed_by="p"))
    with pytest.raises(DuplicateFact):
        books.give(event, occurred_at=books.clock - 3 * 86_400 * 10**9)
    check_invariants(books.state)
    books.replayed()


def test_a_callers_clock_that_is_ahead_makes_no_later_day() -> None:
    """What moves money now counts now, also where the caller says that it occurred in 2261; so does what waits."""
    books = books_before()
    today = (datetime.date.fromisoformat(BEFORE) - datetime.date(1970, 1, 1)).days
    for event in (FeeCharged(fee_id="F", account="A", kind="k", asset="USD", amount="5"), settled("X", exec_id="none")):
        made = books.give(event, occurred_at=9_200_000_000_000_000_000)
        assert made.effective_on == today
    assert made.event_type == "FactQuarantined"
    books.replayed()


def test_a_share_bought_between_announcement_and_ex_date_is_entitled() -> None:
    """On its day the dividend is held against what was held before it: those who bought since have it too."""
    books = books_before()
    assert books.give(dividend()).rule == "ex_date_to_come"
    books.give(trade("F", qty="50", trade_date=BEFORE))
    books.set_day(DAY_OF)
    assert books.give(dividend()).rule == "entitlement"
    whole = CashDividendAccrued(
        ca_id="D", instrument="XYZ.N", ex_date=DAY_OF, record_date=DAY_OF, pay_date=DAY_OF, rate="1", tax_rate="0",
        entitlements=(Entitled(account="A", qty="150", gross="150", tax="0"),),
    )  # fmt: skip
    assert books.give(whole).rule is None


def test_a_trade_between_announcement_and_split_is_of_old_shares_and_splits() -> None:
    """Had the split counted at once, the trade would have been refused as one of shares that are gone."""
    books = books_before()
    event = SplitApplied(ca_id="S", instrument="XYZ.N", ratio_num=2, ratio_den=1, ex_date=DAY_OF, rounding="cash")
    assert books.give(event).rule == "ex_date_to_come"
    assert books.give(trade("F", qty="50", trade_date=BEFORE)).rule is None
    books.set_day(DAY_OF)
    assert books.give(event).rule is None
    position = books.state.positions.get("A", "XYZ.N")
    assert position is not None
    assert position.qty == 300 * 10**18


def report(day: str, kind: type[Event] = TradeExecuted) -> Event:
    """Return what a venue says with the trade date *day*: a trade, or a change of `E`."""
    if kind is TradeBusted:
        return TradeBusted(exec_id="R", exec_ref="E", venue="N", trade_date=day, ref_trade_date=DAY, reason="r")
    given = {name: getattr(trade("R", trade_date=day), name) for name in TradeExecuted.__struct_fields__}
    ref = {"exec_ref": "E", "ref_trade_date": DAY} if kind is TradeCorrected else {}
    return kind(**given, **ref)


@pytest.mark.parametrize("kind", [TradeExecuted, TradeCorrected, TradeBusted])
def test_a_trade_of_a_session_that_cannot_have_opened_waits(kind: type[Event]) -> None:
    """A session opens on the evening before its day, or before a long holiday; a date of the next month is a slip."""
    books = books_before()
    before = effects(books)
    waits = books.give(report("2024-08-17", kind))
    assert waits.rule == "trade_date_to_come"
    assert str(waits.detail).startswith("I15: found the trade date 2024-08-17 of 'R'; expected 2024-08-16 or earlier")
    assert effects(books) == before
    assert books.give(report("2024-08-16", kind)).rule is None
    check_invariants(books.state)
    books.replayed()


def test_a_mistyped_trade_date_does_not_keep_issuers_from_being_heard() -> None:
    """It waits, its correction finds nothing to correct, and the trade is told again with its own day."""
    books = books_before()
    assert books.give(report("2204-08-09")).rule == "trade_date_to_come"
    assert books.give(report(BEFORE)).rule is None
    books.set_day(DAY_OF)
    split = SplitApplied(ca_id="S", instrument="XYZ.N", ratio_num=2, ratio_den=1, ex_date=DAY_OF, rounding="cash")
    assert books.give(split).rule is None
    check_invariants(books.state)
    books.replayed()
