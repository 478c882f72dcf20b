"""
Check trades that wait to settle, or are allocated, while lots, names, splits and closings change what they are of.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.domain import fold
from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import AssetAmount, FxConverted
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.corporate_actions import InstrumentRenamed, SplitApplied
from ledger.domain.events.executions import TradeBusted, TradeCorrected
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, ExecutionRef, TradeAllocated
from ledger.domain.fold import Context
from ledger.domain.rows import Lot, Position
from ledger.errors import RuleBroken
from tests.domain.books import NOON, Books, check_invariants
from tests.domain.equities import DAY, DUE, buckets, market, settled, trade

REVERSED = AllocationReversed(allocation_id="AL", reason="r")
RENAMED = InstrumentRenamed(ca_id="N", old="XYZ.N", new="XYZ.Q", effective=DUE)
NS_PER_DAY = 86_400 * 10**9
METHODS = pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])


def allocated(*exec_ids: str, qty: str, price: str) -> TradeAllocated:
    half = AllocationLine(account="A", qty=str(int(qty) // 2), price=price)
    lines = (half, msgspec.structs.replace(half, account="B"))
    return TradeAllocated(allocation_id="AL", venue="N", trade_date=DAY, exec_ids=exec_ids, lines=lines)


def bust(exec_ref: str) -> TradeBusted:
    return TradeBusted(exec_id=f"X{exec_ref}", exec_ref=exec_ref, venue="N", trade_date=DAY, reason="r")


def corrected(exec_id: str, exec_ref: str, **more: object) -> TradeCorrected:
    given = msgspec.structs.asdict(trade(exec_id, account="BLOCK", fee="0", **more))  # type: ignore[arg-type]
    return TradeCorrected(exec_ref=exec_ref, **given)


def position(books: Books, account: str, name: str = "XYZ.N") -> Position:
    found = books.state.positions.get(account, name)
    assert found is not None
    return found


def figures(books: Books, account: str, name: str = "XYZ.N") -> tuple[int, int, int]:
    """Return (quantity, cost, realised) in whole units."""
    found = position(books, account, name)
    return found.qty // UNIT, found.cost // UNIT, found.realised // UNIT


def lots(books: Books, account: str) -> list[Lot]:
    return [row for key, row in sorted(books.state.lots.rows.items()) if key[0] == account]


def block(cost_method: str, shares: str = "0") -> Books:
    """Return books in which the block bought 60 at 10, corrected to 9, and 40 at 11, and sold 10 at 12."""
    books = market(cost_method=cost_method, shares=shares)
    books.give(trade("E1", "buy", "60", "10", account="BLOCK", fee="0"))
    books.give(corrected("E1c", "E1", qty="60", price="9"))
    books.give(trade("E2", "buy", "40", "11", account="BLOCK", fee="0"))
    books.give(trade("E3", "sell", "10", "12", account="BLOCK", fee="0"))
    return books


def test_an_allocation_between_fifo_accounts_takes_the_lots_along() -> None:
    """The block's sale is matched anew; a client's is of the oldest lot; reversed, lots and position are as before."""
    books = block("FIFO", shares="100")
    assert figures(books, "BLOCK") == (90, 890, 30)
    before, kept = lots(books, "BLOCK"), position(books, "BLOCK")
    books.give(trade("A0", "buy", "10", "8", fee="0"))
    books.give(allocated("E1c", qty="60", price="9"))
    assert figures(books, "BLOCK") == (30, 330, 10)
    assert figures(books, "A") == (40, 350, 0)
    books.give(trade("A1", "sell", "20", "10", fee="0"))
    assert figures(books, "A") == (20, 180, 30)
    books.give(REVERSED)
    assert (lots(books, "BLOCK"), position(books, "BLOCK")) == (before, kept)
    # What it sold of the line's is short now: of 20, its own 10 were bought at 8.
    assert figures(books, "A") == (-10, -100, 20)
    check_invariants(books.state)
    books.give(bust("E1c"))
    assert figures(books, "BLOCK") == (30, 330, 10)
    books.replayed()


@METHODS
def test_an_allocation_is_reversed_under_a_new_name(cost_method: str) -> None:
    """Executions of before and after the renaming are one block, and come back to the position of the new name."""
    books = market(cost_method=cost_method)
    books.give(trade("E1", "buy", "60", "10", account="BLOCK", fee="0"))
    books.give(RENAMED)
    later = msgspec.structs.replace(trade("E2", "buy", "40", "10", account="BLOCK", fee="0"), instrument="XYZ.Q")
    books.give(later)
    books.give(allocated("E1", "E2", qty="100", price="10"))
    assert figures(books, "A", "XYZ.Q") == figures(books, "B", "XYZ.Q") == (50, 500, 0)
    assert figures(books, "BLOCK", "XYZ.Q") == (0, 0, 0)
    books.give(REVERSED)
    assert figures(books, "BLOCK", "XYZ.Q") == (100, 1000, 0)
    assert figures(books, "BLOCK") == figures(books, "A", "XYZ.Q") == (0, 0, 0)
    both = tuple(ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E1", "E2"))
    assert books.give(settled("S", qty="100", net=both, trade_date=None, exec_id=None)).rule is None
    assert buckets(books, "BLOCK", "XYZ") == ("100", "0")
    books.give(bust("E1"))
    assert figures(books, "BLOCK", "XYZ.Q") == (40, 400, 0)
    check_invariants(books.state)
    books.replayed()


@METHODS
def test_an_allocation_made_before_a_renaming_is_reversed_after_it(cost_method: str) -> None:
    """The lines leave the positions of the new name, and the executions come back to it."""
    books = block(cost_method)
    before = figures(books, "BLOCK")
    books.give(allocated("E1c", qty="60", price="9"))
    books.give(RENAMED)
    books.give(REVERSED)
    if cost_method == "FIFO":
        assert figures(books, "BLOCK", "XYZ.Q") == before
    assert figures(books, "BLOCK", "XYZ.Q")[0] == before[0]
    assert figures(books, "A", "XYZ.Q") == figures(books, "BLOCK") == (0, 0, 0)
    check_invariants(books.state)
    books.replayed()


@METHODS
def test_a_split_ends_allocating_but_not_settling(cost_method: str) -> None:
    """A position of new shares cannot give back old ones; what will be delivered is what was traded."""
    books = block(cost_method)
    books.give(allocated("E1c", qty="60", price="9"))
    books.give(SplitApplied(ca_id="S", instrument="XYZ.N", ratio_num=2, ratio_den=1, ex_date=DUE, rounding="down"))
    kept = dict(books.state.positions.rows)
    with pytest.raises(RuleBroken, match="before the split of 2024-08-09"):
        books.give(REVERSED)
    again = msgspec.structs.replace(allocated("E2", qty="40", price="11"), allocation_id="AM")
    with pytest.raises(RuleBroken, match="before the split"):
        books.give(again)
    assert books.give(bust("E2")).rule == "before_split"
    assert dict(books.state.positions.rows) == kept
    assert books.give(settled("S1", "AL.1", "30")).rule is None
    assert buckets(books, "A", "XYZ") == ("60", "0")
    check_invariants(books.state)
    books.replayed()


def test_what_settles_or_is_converted_on_a_closed_day_counts_for_an_open_one() -> None:
    """The movement keeps the day that it counts for; an allocation is reversed, and made, for an open day too."""
    books = market()
    books.give(trade("E1", "buy", "60", "10", account="BLOCK", fee="0"))
    books.give(trade("E2", "buy", "60", "10", account="BLOCK", fee="0"))
    books.give(allocated("E1", qty="60", price="10"))
    tomorrow = NOON + 2 * NS_PER_DAY

    def give(event: object) -> fold.Outcome:
        seq = len(books.stored) + 100 + len(books.state.movements.rows)
        return fold.record(books.state, event, Context(seq, tomorrow + seq, tomorrow))  # type: ignore[arg-type]

    give(PeriodClosed(through=DUE))
    outcomes = [
        give(settled("S", "AL.1", "30")),
        give(FxConverted(fx_id="X", account="A", sold=AssetAmount(asset="USD", amount="10"), rate="0.9",
                         bought=AssetAmount(asset="EUR", amount="9"), value_date=DAY)),
        give(REVERSED),
        give(msgspec.structs.replace(allocated("E2", qty="60", price="10"), allocation_id="AM")),
    ]  # fmt: skip
    assert {outcome.effective_on for outcome in outcomes} == {tomorrow // NS_PER_DAY}
    movements = books.state.movements.rows
    assert movements["settlement", "S"].effective_on == movements["fx", "X"].effective_on == "2024-08-10"
