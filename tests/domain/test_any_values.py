"""
Give the fold events with any values that can be made, and see that each ends as an answer and never as a fault.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import registry
from ledger.domain.events.cash import CashMoved, FeeCharged, HoldPlaced, HoldReleased, JournalReversed, Leg
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event, Fields
from ledger.domain.events.orders import OrderCanceled, OrderDoneForDay, OrderReplaced, OrderRestated, ReplaceRequested
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    CalendarPublished,
    InstrumentAmended,
    InstrumentDefined,
)
from ledger.domain.fold import DuplicateFact
from ledger.errors import InvalidEvent, Rejected
from tests.domain.books import DAY, Books, check_invariants, opened, order, trade

_NAMES = st.sampled_from(
    ["A", "M", "O", "P", "E", "H", "USDT", "BTC", "BTCUSDT", "SLOW", "C", "V", "c-O", "c-P", "~fees", "none", "x" * 128]
)
_AMOUNTS = st.one_of(
    st.sampled_from(
        ["0", "-1", "1", "0.01", "0.001", "100", "-50", "1000", "1e0", "0.000000000000000001", "1" + "0" * 30,
         "-1" + "0" * 30, "999999999999999999999999999999.999999999999999999", "0.00000001"]
    ),
    st.integers(-(10**30), 10**30).map(str),
)  # fmt: skip
_DATES = st.sampled_from([DAY, "0001-01-01", "9999-12-31", "9999-12-30", "1970-01-01", "2024-02-29", "2024-13-01"])
_INTEGERS = st.one_of(st.sampled_from([0, 1, 2, 18, 19, 30, 31, -1, 2**63 - 1, -(2**63), 2**63]), st.integers(0, 40))
_TEXTS = st.sampled_from(["", "x", "{}", '"', "\n", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")])
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "identifier": _NAMES, "amount": _AMOUNTS, "date": _DATES, "text": _TEXTS,
}  # fmt: skip


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _BY_NAME[arguments[1]]
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if arguments:
        return st.one_of(*(_values(part) for part in arguments))
    simple: dict[Any, st.SearchStrategy[Any]] = {bool: st.booleans(), int: _INTEGERS, type(None): st.none()}
    return simple[hint] if hint in simple else _made(hint)


def _made(kind: type[Fields]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = st.fixed_dictionaries({name: _values(hints[name]) for name in kind.__struct_fields__})

    def make(values: dict[str, Any]) -> Any:
        try:
            return kind(**values)
        except InvalidEvent:
            return None

    return fields.map(make)


def likely() -> Books:
    """Return books with one of everything that an event may name."""
    books = opened(usdt="1000000")
    books.give(AccountOpened(account="M", owner="o", kind="margin", base_asset="USDT"))
    books.give(CalendarPublished(calendar="C", calendar_version=1, holidays=("9999-12-30",), cycles=()))
    books.give(
        InstrumentDefined(
            instrument="SLOW", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="0.001",
            multiplier="1" + "0" * 30, settlement_cycle=30, calendar="C", venue="V",
        )
    )  # fmt: skip
    books.give(order())
    books.give(order("P", price=None))
    books.give(trade("E", qty="0.004"))
    books.give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),)))
    return books


_SALE = {"account": "A", "instrument": "SLOW", "side": "sell", "qty": "0.001", "price": "1"}
VALID: list[Callable[[int], Event]] = [
    lambda n: order(f"new{n}", price="100"),
    lambda n: order(f"new{n}", "sell", price=None, stop_price="90"),
    lambda n: ReplaceRequested(order_id="O", cl_ord_id=f"r{n}", orig_cl_ord_id="c-O", new_qty="0.02", new_price="90"),
    lambda n: OrderReplaced(order_id="O", cl_ord_id=f"s{n}", orig_cl_ord_id="c-O", qty="0.02", price="90"),
    lambda n: OrderRestated(order_id="P", reason="repricing", qty="0.02", price="90"),
    lambda n: OrderDoneForDay(order_id="P"),
    lambda n: OrderCanceled(order_id="O"),
    lambda n: trade(f"t{n}", "P", qty="0.001"),
    lambda n: TradeExecuted(exec_id=f"u{n}", venue="V", trade_date=DAY, **_SALE),  # type: ignore[arg-type]
    lambda n: TradeCorrected(exec_id=f"v{n}", exec_ref="E", venue="V", account="A", instrument="BTCUSDT", side="buy",
                             order_id="O", qty="0.002", price="90", trade_date=DAY),
    lambda n: TradeBusted(exec_id=f"b{n}", exec_ref="E", venue="V", trade_date=DAY, reason="r"),
    lambda n: CashMoved(movement_id=f"m{n}", account="M", asset="USDT", amount="5", kind="deposit", value_date=DAY),
    lambda n: FeeCharged(fee_id=f"f{n}", account="A", kind="k", asset="USDT", amount="1"),
    lambda n: HoldPlaced(hold_id=f"h{n}", legs=(Leg(account="A", asset="USDT", amount="5"),)),
    lambda n: HoldReleased(hold_id="H", amounts=(Leg(account="A", asset="USDT", amount="1"),), reason="void"),
    lambda n: JournalReversed(journal_id=f"j{n}", reverses_kind="cash", reverses="USDT", reason="r"),
    lambda n: AccountLimitsSet(account="M", asset="USDT", floor="-1000"),
    lambda n: InstrumentAmended(instrument="SLOW", lot="0.01", effective_from=DAY),
]  # fmt: skip


def given_to(books: Books, event: Event) -> None:
    with contextlib.suppress(Rejected, DuplicateFact):
        books.give(event)


@pytest.mark.parametrize("name", sorted(registry.EVENT_TYPES))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_values_end_in_an_answer(name: str, data: st.DataObject) -> None:
    """Whatever its fields say, an event is recorded, quarantined, a duplicate or refused, and the books agree."""
    books = likely()
    for event in data.draw(st.lists(_made(registry.EVENT_TYPES[name]), max_size=3)):
        if event is not None:
            given_to(books, event)
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("day", ["9999-12-31", "9999-12-28"])
def test_a_trade_that_would_settle_after_the_last_day_there_is_is_quarantined(day: str) -> None:
    """Business days after 9999-12-31 no calendar has: the fact waits with the rule it broke."""
    books = opened()
    # A venue's trade is at most of the week to come: the clock has to be near the last day as well.
    books.set_day("9999-12-24")
    books.give(
        InstrumentDefined(
            instrument="T2", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="0.01",
            settlement_cycle=4, venue="V",
        )
    )  # fmt: skip
    event = TradeExecuted(
        exec_id="x", venue="V", account="A", instrument="T2", side="buy", qty="1", price="1", trade_date=day
    )
    assert books.give(event).rule == "settle_date"
    books.replayed()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_valid_event_with_some_fields_changed_ends_in_an_answer(data: st.DataObject) -> None:
    """One or two fields of an event that would be recorded are changed: what is near the rules is where they break."""
    books = likely()
    for number in range(data.draw(st.integers(1, 6))):
        event = data.draw(st.sampled_from(VALID))(number)
        hints = typing.get_type_hints(type(event), include_extras=True)
        names = data.draw(st.lists(st.sampled_from(event.__struct_fields__), max_size=2))
        try:
            event = msgspec.structs.replace(event, **{name: data.draw(_values(hints[name])) for name in names})
        except InvalidEvent:
            continue
        given_to(books, event)
        check_invariants(books.state)
    books.replayed()
