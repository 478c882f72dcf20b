"""
Check allocations: a block becomes its accounts' trades, rounding is posted, and a reversal leaves nothing behind.
"""

from __future__ import annotations

import datetime
import re
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain.amounts import UNIT, render
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountOpened, AccountStatusSet, InstrumentAmended
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, TradeAllocated
from ledger.domain.fold import stream_version
from ledger.errors import InsufficientFunds, LedgerError, RuleBroken, TooLarge
from tests.domain.books import Books, check_invariants
from tests.domain.equities import DAY, DUE, all_balances, buckets, market, settled, trade
from tests.domain.forgetful import ForgetfulBooks


def line(account: str = "A", qty: str = "60", price: str = "10.4", fee: str = "0.5") -> AllocationLine:
    fees = (Fee(kind="commission", asset="USD", amount=fee),) if fee != "0" else ()
    return AllocationLine(account=account, qty=qty, price=price, fees=fees)


def allocated(*lines: AllocationLine, exec_ids: tuple[str, ...] = ("E1", "E2"), name: str = "AL") -> TradeAllocated:
    return TradeAllocated(allocation_id=name, venue="N", trade_date=DAY, exec_ids=exec_ids, lines=lines)


def block(side: str = "buy") -> Books:
    """Return books in which the block account has 60 at 10 and 40 at 11: 100 for 1,040."""
    books = market(share_scale=2, shares="1000")
    books.give(trade("E1", side, "60", "10", account="BLOCK"))
    books.give(trade("E2", side, "40", "11", account="BLOCK"))
    return books


BOTH = (line("A", "60"), line("B", "40"))


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_block_becomes_the_trades_of_its_accounts(side: str) -> None:
    """The block is as if it had never traded; each account has its quantity, cost and fee; clearing is as it was."""
    before = all_balances(market(share_scale=2, shares="1000"))
    books = block(side)
    clearing = buckets(books, "~clearing.N")
    books.give(allocated(*BOTH))
    sign = "" if side == "buy" else "-"
    assert {k: v for k, v in all_balances(books).items() if k[0] == "BLOCK"} == {
        k: v for k, v in before.items() if k[0] == "BLOCK"
    }
    assert buckets(books, "A", "XYZ") == ("1000", f"{sign}60")
    cash = "-624.5" if side == "buy" else "623.5"
    assert buckets(books, "A") == ("100000", cash)
    assert buckets(books, "~clearing.N") == clearing == ("0", f"{sign}1040")
    assert buckets(books, "~fees") == ("0", "1")
    position = books.state.positions.get("B", "XYZ.N")
    assert position is not None
    assert (render(position.qty), render(position.cost)) == (f"{sign}40", f"{sign}416")
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_memory_keeps_nothing_of_an_allocation_that_stands(kind: type[Books]) -> None:
    """Neither its row nor its stream, whose version follows from the row: 1, and 2 once it is reversed."""
    books = market(share_scale=2, kind=kind)
    for number in range(5):
        books.give(trade(f"E{number}", "buy", "60", "10", account="BLOCK"))
        made = books.give(allocated(line("A", "60", "10"), exec_ids=(f"E{number}",), name=f"AL{number}"))
        assert (made.stream, made.stream_version) == (f"allocation/AL{number}", 1)
    undone = AllocationReversed(allocation_id="AL3", reason="wrong", proposed_by="p", approved_by="q")
    assert books.give(undone).stream_version == 2
    assert [stream_version(books.state, f"allocation/AL{x}") for x in (2, 3, 9)] == [1, 2, 0]
    assert not any(row.stream.startswith("allocation/") for row in books.state.streams.rows.values())
    if kind is ForgetfulBooks:
        books.state.durable(books.state.begin())
        assert not books.state.allocations.rows
    books.replayed()


def test_an_average_price_leaves_a_residual_that_is_posted() -> None:
    """100 shares for 1,000.01 in three parts: the lines cost a cent less, which the rounding account bears."""
    books = market(share_scale=2)
    books.give(trade("E1", "buy", "100", "10.0001", account="BLOCK", fee="0"))
    thirds = [line(x, q, "10.0001", "0") for x, q in (("A", "33"), ("B", "33"), ("A", "34"))]
    outcome = books.give(allocated(*thirds, exec_ids=("E1",)))
    lines = [row.gross for row in books.state.executions.rows.values() if row.kind == "allocation"]
    residual = sum(lines) - 1000_01 * UNIT // 100
    assert render(residual) == "-0.01" == msgspec.json.decode(outcome.derived)["rounding"]
    assert buckets(books, "~rounding") == ("-0.01", "0")
    for number, qty in ((1, "33"), (2, "33"), (3, "34")):
        books.give(settled(f"S{number}", f"AL.{number}", qty))
    assert buckets(books, "~clearing.N") == ("1000.01", "0")
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (allocated(line("A", "60"), line("B", "39")), "lines of 99"),
        (allocated(line("A", "60"), line("B", "41")), "lines of 101"),
        (allocated(line("A", "60"), line("B", "40", "10.41")), "add up"),
        (allocated(line("A", "100"), line("B", "0")), "more than 0"),
        (allocated(line("A", "59.999"), line("B", "40.001")), "decimals"),
        (allocated(), "without lines"),
        (allocated(*BOTH, exec_ids=()), "no execution"),
        (allocated(*BOTH, exec_ids=("E1", "E1")), "one twice"),
        (allocated(*BOTH, exec_ids=("E1", "none")), "unknown"),
        (allocated(*BOTH, exec_ids=("E1", "E3")), "another account"),
        (allocated(*BOTH, exec_ids=("E1", "E4")), "settles on another day"),
        (allocated(line("BLOCK", "60"), line("B", "40")), "block's own"),
        (allocated(line("nobody", "60"), line("B", "40")), "nobody"),
        (AllocationReversed(allocation_id="none", reason="r"), "does not know"),
    ],
)
def test_an_allocation_that_does_not_add_up_is_refused(event: TradeAllocated, words: str) -> None:
    """I13: quantities and prices add up to the executions', which are of one block; nothing is left of a refusal."""
    books = block()
    books.give(trade("E3", account="A"))
    books.give(trade("E4", qty="40", price="11", account="BLOCK", settle_date="2024-08-20", settle_date_reason="r"))
    before = all_balances(books)
    with pytest.raises(RuleBroken, match=words):
        books.give(event)
    assert all_balances(books) == before
    books.replayed()


@pytest.mark.parametrize(("qty", "price", "lines", "asked"), [
    (200, "10", 200, "10.01"), (3, "0.01", 3, "0.02"), (1, "0.01", 1, "0.015"), (3, "10", 3, "10.00000000000000001"),
])  # fmt: skip
def test_many_small_lines_hide_no_price(qty: int, price: str, lines: int, asked: str) -> None:
    """I13: what the lines come to exactly is held against the executions, not what each may be rounded by."""
    books = block()
    books.give(trade("E9", qty=str(qty), price=price, account="BLOCK", fee="0"))
    each = [line("AB"[n % 2], "1", asked, "0") for n in range(lines)]
    with pytest.raises(RuleBroken, match="add up"):
        books.give(allocated(*each, exec_ids=("E9",)))
    books.give(allocated(*(line("AB"[n % 2], "1", price, "0") for n in range(lines)), exec_ids=("E9",)))
    check_invariants(books.state)


def test_lines_of_what_a_venue_rounded_come_to_its_cash_or_to_its_price() -> None:
    """A venue rounds a gross its own way; its block may be given on at either figure, and no further from both."""
    books = market(share_scale=2, shares="1000")
    for name in ("E1", "E2"):
        books.give(trade(name, qty="3", price="0.335", account="BLOCK", fee="0", gross="1"))
    with pytest.raises(RuleBroken, match="add up"):
        books.give(allocated(line("A", "3", "0.34", "0"), line("B", "3", "0.3385", "0")))
    books.give(allocated(line("A", "3", "0.333333333333333333", "0"), exec_ids=("E1",), name="CASH"))
    books.give(allocated(line("A", "3", "0.335", "0"), exec_ids=("E2",), name="PRICE"))
    check_invariants(books.state)


def test_executions_of_another_multiplier_are_corrected_before_they_are_allocated() -> None:
    """An amendment of their own day, recorded afterwards, makes lines of twice the cost, or at half their prices."""
    books = block()
    books.give(InstrumentAmended(instrument="XYZ.N", multiplier="2", effective_from=DAY))
    for price in ("10.4", "5.2"):
        with pytest.raises(RuleBroken, match=r"allocated_price.*'E1' cost 600 USD; expected .*correct it"):
            books.give(allocated(line("A", "60", price), line("B", "40", price)))


def test_a_line_has_a_name_that_can_be_settled() -> None:
    """An execution id has at most 128 characters, and a line's is that of the allocation with its number."""
    books = block()
    with pytest.raises(RuleBroken, match="found an allocation id of 127 characters"):
        books.give(allocated(*BOTH, name="A" * 127))
    books.give(allocated(*BOTH, name="A" * 126))
    assert books.give(settled("S", "A" * 126 + ".2", "40")).rule is None


def test_an_account_that_cannot_pay_refuses_the_allocation() -> None:
    """An allocation is a command: it may not take a cash account below its floor."""
    books = market(usd="1000", share_scale=2)
    books.give(trade("E1", qty="100", price="20", account="BLOCK", fee="0"))
    with pytest.raises(InsufficientFunds, match="floor"):
        books.give(allocated(line("A", "100", "20", "0"), exec_ids=("E1",)))


def test_what_is_allocated_is_its_accounts_until_the_allocation_is_reversed() -> None:
    """It is neither settled, busted, corrected nor allocated again under the old name, nor are the lines busted."""
    books = block()
    books.give(allocated(*BOTH))
    assert books.give(settled("S", "E1", "60")).rule == "allocated"
    assert (
        books.give(TradeBusted(exec_id="X", exec_ref="E1", venue="N", trade_date=DAY, reason="r")).rule == "allocated"
    )
    bust = TradeBusted(exec_id="X", exec_ref="AL.1", venue="N", trade_date=DAY, reason="r")
    assert books.give(bust).rule == "ref_is_allocation"
    correct = TradeCorrected(**dict(msgspec.structs.asdict(trade("Y", qty="60")), exec_ref="AL.1"))  # type: ignore[arg-type]
    assert books.give(correct).rule == "ref_is_allocation"
    with pytest.raises(RuleBroken, match="was allocated by AL"):
        books.give(allocated(*BOTH, name="AM"))
    with pytest.raises(RuleBroken, match="second time"):
        books.give(allocated(*BOTH))
    with pytest.raises(RuleBroken, match="line of allocation"):
        books.give(allocated(line("B", "60"), exec_ids=("AL.1",), name="AM"))
    books.give(AllocationReversed(allocation_id="AL", reason="wrong accounts"))
    with pytest.raises(RuleBroken, match="was reversed"):
        books.give(AllocationReversed(allocation_id="AL", reason="again"))
    assert books.give(settled("S9", "AL.1", "60")).rule == "stale_ref"
    books.give(allocated(*BOTH, name="AM"))
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("part", ["0", "13", "60"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_reversal_negates_exactly_whatever_has_settled(part: str, side: str) -> None:
    """None, some or all of a line may have settled; then the block is what it was, bucket by bucket."""
    books = block(side)
    before = all_balances(books)
    positions = dict(books.state.positions.rows)
    books.give(allocated(line("A", "60", "10.400082"), line("B", "40", "10.399877")))
    if part != "0":
        books.give(settled("S", "AL.1", part, partial=True))
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    assert all_balances(books) == before
    assert books.state.positions.get("BLOCK", "XYZ.N") == positions["BLOCK", "XYZ.N"]
    check_invariants(books.state)
    for exec_id in ("E1", "E2"):
        books.give(TradeBusted(exec_id=f"X{exec_id}", exec_ref=exec_id, venue="N", trade_date=DAY, reason="r"))
    assert all_balances(books) == all_balances(market(share_scale=2, shares="1000"))
    books.replayed()


def test_a_block_that_settled_in_part_and_a_closed_account_are_refused() -> None:
    """What has settled is someone's already, and nobody trades for a closed account."""
    books = block()
    books.give(settled("S", "E1", "10", partial=True))
    with pytest.raises(RuleBroken, match="settled in part"):
        books.give(allocated(*BOTH))
    books = market(usd="0.01", share_scale=2)
    books.give(trade("E1", qty="1", price="1", account="BLOCK", fee="0"))
    books.give(trade("AL.1", qty="1", price="1", account="BLOCK", fee="0"))
    with pytest.raises(RuleBroken, match="another allocation id"):
        books.give(allocated(line("A", "1", "1", "0"), exec_ids=("E1",)))
    with pytest.raises(LedgerError, match="still has USD"):
        books.give(AccountStatusSet(account="A", status="closed", reason="r"))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), scale=st.integers(0, 18), share_scale=st.integers(0, 18))
def test_no_residual_is_ever_dropped(data: st.DataObject, scale: int, share_scale: int) -> None:
    """I20, at 0 to 18 decimals and up to 10^30: what the lines cost and the residual are what the executions cost."""
    books = market("1", scale, share_scale, shares="1" + "0" * 13)
    one = 10 ** (18 - share_scale)
    # Quantities up to 10^12 at prices up to 3 x 10^17: three of them make up to 9 x 10^29.
    amounts = st.integers(1, 10**12 * UNIT // one).map(lambda n: n * one)
    quantities = data.draw(st.lists(amounts, min_size=1, max_size=3))
    prices = data.draw(st.lists(st.integers(1, 3 * 10**17 * UNIT), min_size=len(quantities), max_size=len(quantities)))
    for number, (qty, price) in enumerate(zip(quantities, prices, strict=True)):
        books.give(trade(f"E{number}", "sell", render(qty), render(price), account="BLOCK", fee="0"))
    gross = [row.gross for row in books.state.executions.rows.values()]
    total = sum(quantities)
    average = Fraction(sum(q * p for q, p in zip(quantities, prices, strict=True)), total)
    cut = data.draw(st.integers(0, total // one)) * one
    parts = [(x, q) for x, q in (("A", cut), ("B", total - cut)) if q]
    lines = [line(account, render(qty), render(round(average)), "0") for account, qty in parts]
    before = all_balances(books)
    outcome = books.give(allocated(*lines, exec_ids=tuple(f"E{n}" for n in range(len(quantities)))))
    made = [row.gross for row in books.state.executions.rows.values() if row.kind == "allocation"]
    residual = sum(made) - sum(gross)
    assert msgspec.json.decode(outcome.derived).get("rounding", "0") == render(residual)
    assert sum(v for k, v in all_balances(books).items() if k[0] == "~rounding") == -residual
    for row in books.state.balances.rows.values():
        asset = books.state.assets.get(row.asset)
        assert asset is not None
        assert not any(x % 10 ** (18 - asset.scale) for x in (row.settled, row.unsettled, row.held))
    check_invariants(books.state)
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    assert all_balances(books) == before
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("closed", ["BLOCK", "B"])
def test_an_allocation_is_not_reversed_into_a_closed_account(closed: str) -> None:
    """Neither the block nor a client who was paid out gets shares or cash back after the end; opened again, it does."""
    books = block()
    books.give(allocated(*BOTH))
    books.give(settled("S", "AL.2", "40"))
    for asset in ("USD", "XYZ"):
        row = books.state.balances.get(closed, asset)
        assert row is not None
        out = CashMoved(movement_id=f"out-{asset}", account=closed, asset=asset, amount=render(-row.settled),
                        kind="withdrawal", value_date=DAY)  # fmt: skip
        books.give(out)
    books.give(AccountStatusSet(account=closed, status="closed", reason="r"))
    books.give(CashMoved(movement_id="late", account="B", asset="XYZ", amount="40", kind="deposit", value_date=DAY))
    with pytest.raises(RuleBroken, match=rf"account_status\): R4: account {closed} is closed"):
        books.give(AllocationReversed(allocation_id="AL", reason="r"))
    books.give(AccountStatusSet(account=closed, status="open", reason="r"))
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    check_invariants(books.state)
    books.replayed()


def _corrected(price: str, side: Any = "buy") -> TradeCorrected:
    return TradeCorrected(exec_id="C", exec_ref="E", venue="N", account="BLOCK", instrument="XYZ.N", side=side,
                          qty="100", price=price, trade_date=DAY)  # fmt: skip


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("corrected", [False, True], ids=["wrong account", "corrected"])
def test_a_block_of_a_closed_day_is_allocated_for_an_open_one(corrected: bool, late: bool) -> None:
    """Told late, given to the wrong account, or corrected by the venue: it is given to whom it is for."""
    books = market()
    steps: list[Event] = [
        trade("E", account="BLOCK"), allocated(line("A", "100", "10"), exec_ids=("E",)),
    ]  # fmt: skip
    books.set_day(DAY)
    for event in () if late else steps:
        books.give(event)
    books.set_day("2024-08-12")
    books.give(PeriodClosed(through="2024-08-09"))
    for event in steps if late else ():
        books.give(event)
    if corrected:
        assert books.give(_corrected("10.5")).rule == "allocated"
    books.give(AllocationReversed(allocation_id="AL", reason="wrong"))
    name, price = "E", "10"
    if corrected:
        name, price = "C", "10.5"
        assert books.give(_corrected(price)).rule is None
    made = books.give(allocated(line("B", "100", price), exec_ids=(name,), name="AL2"))
    assert made.effective_on == (datetime.date(2024, 8, 12) - datetime.date(1970, 1, 1)).days
    assert {key[0]: row.qty // UNIT for key, row in books.state.positions.rows.items() if row.qty} == {"B": 100}
    books.give(settled("S", "AL2.1", "100"))
    assert buckets(books, "B", "XYZ") == ("100", "0")
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize("told", ["corrected", "busted"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_block_is_changed_by_its_venue_whatever_became_of_what_it_gave(side: str, told: str) -> None:
    """Its shares were sold, or its money spent: the reversal flags who cannot give it back, and the fact gets in."""
    books = market(usd="1001" if side == "buy" else "0", shares="0" if side == "buy" else "100")
    books.give(trade("E", side, account="BLOCK", fee="0"))
    books.give(allocated(line("A", "100", "10", "0"), exec_ids=("E",)))
    if side == "buy":
        books.give(trade("F", "sell", price="11", fee="0"))
    else:
        books.give(settled("S", "AL.1", "100"))
        spent = {"asset": "USD", "amount": "-1000", "kind": "withdrawal", "value_date": DUE}
        books.give(CashMoved(movement_id="W", account="A", **spent))  # type: ignore[arg-type]
    facts = {
        "corrected": _corrected("10.01", side),
        "busted": TradeBusted(exec_id="C", exec_ref="E", venue="N", trade_date=DAY, reason="erroneous"),
    }
    fact = facts[told]
    waits = books.give(fact)
    assert (waits.rule, "AllocationReversed" in str(waits.detail)) == ("allocated", True)
    books.give(AllocationReversed(allocation_id="AL", reason=told))
    short = {key for key, row in books.state.balances.rows.items() if row.breached and key[0] == "A"}
    assert short == {("A", "XYZ" if side == "buy" else "USD")}
    check_invariants(books.state)
    assert books.give(fact).rule is None
    if told == "corrected":
        books.give(allocated(line("A", "100", "10.01", "0"), exec_ids=("C",), name="AL2"))
        books.give(settled("S2", "AL2.1", "100"))
        assert not any(row.breached for row in books.state.balances.rows.values())
    check_invariants(books.state)
    books.replayed()


def _of_many(lines: int, letters: int, fee: str, settled_too: bool) -> int:
    """Allocate a block to *lines* accounts, settle a part of each line, and reverse it; return the reversal's bytes."""
    books = market(usd="100000000", share_scale=2)
    names = [f"{number:0{letters}}" for number in range(lines)]
    for name in names:
        books.give(AccountOpened(account=name, owner="o", kind="house", base_asset="USD"))
    books.give(trade("E1", qty=str(100 * lines), price="10.01", account="BLOCK", fee="0"))
    before = all_balances(books)
    books.give(allocated(*(line(name, "100", "10.01", fee) for name in names), exec_ids=("E1",)))
    if settled_too:
        for number in range(1, lines + 1):
            books.give(settled(f"S{number}", f"AL.{number}", "33.33", partial=True))
    made = books.give(AllocationReversed(allocation_id="AL", reason="r" * 1000))
    assert all_balances(books) == before
    return len(b'{"derived":,"given":}') + len(made.derived) + len(made.given)


def test_an_allocation_of_thousands_that_settled_in_part_is_reversed() -> None:
    """Each account has shares and cash in both buckets then: written one by one that would not fit an event."""
    assert 100_000 < _of_many(2_000, 5, "0", settled_too=True) <= PAYLOAD_LIMIT_BYTES


def test_an_allocation_that_could_not_be_reversed_is_refused() -> None:
    """The error says how many lines would fit; of as many, each settled in part, the reversal does."""
    with pytest.raises(TooLarge, match=r"too_large.*found 1300 lines.*expected at most (\d+) such") as refused:
        _of_many(1_300, 60, "0.55", settled_too=False)
    found = re.search(r"at most (\d+) such", str(refused.value))
    assert found is not None
    assert 200_000 < _of_many(int(found[1]), 60, "0.55", settled_too=True) <= PAYLOAD_LIMIT_BYTES
