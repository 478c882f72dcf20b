"""
Check that known days leave a block its trades until the day that their allocation counts for, as a closing moved it.

An allocation of a closed day counts for the first open one: by days the block has the shares until then, and what the
accounts have, owe and earn begins there.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT, render
from ledger.domain.events.control import MarkRecorded, PeriodClosed
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, SettlementFailed, TradeAllocated
from ledger.domain.rows import Execution
from ledger.errors import LedgerError
from ledger.reading.known_days.counting import counted
from ledger.reading.sources import Folded
from tests.domain import equities
from tests.domain.books import Books
from tests.domain.equities import DAY, settled, trade
from tests.domain.test_allocation import BOTH, allocated
from tests.reading.days import day_number, pnl, recorded
from tests.reading.test_known_settlement import blotter, check_stated, known, now, rungs, told

FRIDAY, MONDAY, TUESDAY = "2024-08-09", "2024-08-12", "2024-08-13"
ACCOUNTS = ("A", "B", "BLOCK")
AVERAGE = [AllocationLine(account=line.account, qty=line.qty, price="10.4") for line in BOTH]


def held(source: Folded) -> dict[str, str]:
    """Return the positions, which the shares of each account are too."""
    found = {row.account: render(row.qty) for row in source.rows("positions") if row.qty}
    shares = source.rows("balances", asset="XYZ")
    assert {row.account: render(row.total) for row in shares if row.total and row.account in ACCOUNTS} == found
    return found


def marked(day: str) -> MarkRecorded:
    return MarkRecorded(instrument="XYZ.N", price="12", kind="eod", day=day, as_of=1)


@pytest.mark.parametrize("cost_method", ["AVG", "FIFO"])
def test_a_block_of_thursday_that_is_allocated_on_friday_is_the_blocks_on_thursday(cost_method: str) -> None:
    """Holdings, executions, ladder and profit of Thursday are the block's, and from Friday on the accounts'."""
    books = told(
        (DAY, trade("E1", "buy", "60", "10", account="BLOCK", fee="0")),
        (DAY, trade("E2", "buy", "40", "11", account="BLOCK", fee="0")),
        (DAY, marked(DAY)),
        (FRIDAY, PeriodClosed(through=DAY)),
        (FRIDAY, allocated(*AVERAGE)),
        (FRIDAY, marked(FRIDAY)),
        books=equities.market(cost_method=cost_method),
    )
    thursday, friday = known(books, DAY), known(books, FRIDAY)
    assert held(thursday) == {"BLOCK": "100"}
    assert blotter(thursday) == [("E1", "live", "0"), ("E2", "live", "0")]
    assert {x[1:4] for x in rungs(thursday)} == {("BLOCK", "XYZ", "100"), ("BLOCK", "USD", "-1040")}
    assert held(friday) == {"A": "60", "B": "40"}
    assert blotter(friday) == blotter(now(books))
    assert rungs(friday) == rungs(now(books))
    assert friday.rows("allocations") == now(books).rows("allocations")
    assert thursday.rows("allocations") == []
    earned = {(row.day, row.account): render(row.price_result or 0) for row in pnl(books) if row.instrument}
    assert earned == {
        (DAY, "BLOCK"): "160", (FRIDAY, "BLOCK"): "-160", (FRIDAY, "A"): "96", (FRIDAY, "B"): "64",
    }  # fmt: skip
    for day, source in ((DAY, thursday), (FRIDAY, friday)):
        check_stated(books, source, day)


def test_a_settlement_between_a_block_and_its_allocation_finds_it_the_blocks() -> None:
    """Allocated for Monday and taken back, it is said to have settled on Friday: so it did, and the rest is nothing."""
    books = told(
        (DAY, trade("E1", "buy", "100", "10", account="BLOCK", fee="0")),
        (MONDAY, PeriodClosed(through=DAY)),
        (MONDAY, allocated(AllocationLine(account="A", qty="100", price="10"), exec_ids=("E1",))),
        (MONDAY, AllocationReversed(allocation_id="AL", reason="r")),
        (TUESDAY, settled("S", "E1", "100", date=FRIDAY)),
    )
    for day, part in ((DAY, "0"), (FRIDAY, "100"), (MONDAY, "100"), (TUESDAY, "100")):
        source = known(books, day)
        assert held(source) == {"BLOCK": "100"}
        assert render(source.rows("balances", account="BLOCK", asset="XYZ")[0].settled) == part
        assert blotter(source)[0] == ("E1", "live", part)
        check_stated(books, source, day)
        # Whichever later days are asked about beside it.
        every = counted(recorded(books), books.state.executions.get)
        lines = [x for each in every if each.event.effective_on <= day_number(day) for x in each.lines]
        place = ("BLOCK", "XYZ", "settled")
        assert render(sum(x.amount for x in lines if (x.account, x.asset, x.bucket) == place)) == part
    assert blotter(known(books, MONDAY)) == blotter(now(books))


DAYS = [f"2024-08-{n:02d}" for n in range(8, 20)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("trade", "trade", "allocate", "allocate", "reverse", "reverse", "close", "close", "settle", "fail",
             "sleep", "sleep", "sleep")
        ),
        st.integers(0, 2), st.integers(0, 5),
    ),
    min_size=10, max_size=40,
)  # fmt: skip


class Desk:
    """
    A desk that trades blocks, gives them away and takes them back, closes its days and hears what settled.
    """

    def __init__(self) -> None:
        self.books = equities.market(shares="1000")
        self.today = 0
        self.given: list[tuple[str, str, dict[str, int] | None]] = []
        """Of each execution: on which day it was given to whom, or taken back, in the order of telling."""

    def tell(self, kind: str, ago: int, pick: int, name: str) -> None:
        """Let one thing happen; what the ledger refuses did not."""
        if kind == "sleep":
            self.today = min(self.today + 1, len(DAYS) - 1)
            return
        self.books.set_day(DAYS[self.today])
        with contextlib.suppress(LedgerError):
            self._tell(kind, DAYS[max(self.today - ago, 0)], pick, name)

    def _tell(self, kind: str, day: str, pick: int, name: str) -> None:
        give = self.books.give
        if kind == "trade":
            give(trade(name, ("buy", "sell")[pick % 2], "30", "10", account="BLOCK", trade_date=day, fee="0"))
        elif kind == "close":
            give(PeriodClosed(through=DAYS[self.today - 1]))
        elif kind == "reverse":
            standing = [x for x in self.books.state.allocations.rows.values() if x.reversed_by is None]
            for row in standing[pick : pick + 1]:
                made = give(AllocationReversed(allocation_id=row.allocation_id, reason="r"))
                self._note(row.exec_ids[0], made.effective_on, None)
        else:
            rows = [x for x in self.books.state.executions.rows.values() if x.live and x.qty > x.settled_qty]
            for row in rows[-1 - pick :][:1]:
                self._tell_of(kind, row, max(day, row.trade_date), pick, name)

    def _tell_of(self, kind: str, row: Execution, day: str, pick: int, name: str) -> None:
        left = (row.qty - row.settled_qty) // UNIT
        if kind == "allocate":
            shares = {"A": 10, "B": 20} if pick % 2 else {"AB"[pick // 3]: 30}
            lines = tuple(AllocationLine(account=x, qty=str(qty), price="10") for x, qty in shares.items())
            made = self.books.give(
                TradeAllocated(allocation_id=name, venue="N", trade_date=row.trade_date, exec_ids=(row.exec_id,),
                               lines=lines)
            )  # fmt: skip
            self._note(row.exec_id, made.effective_on, shares)
        elif kind == "fail":
            self.books.give(
                SettlementFailed(
                    settlement_id=name, venue="N", trade_date=row.trade_date, exec_id=row.exec_id, leg="cash",
                    reason="late", date=day, new_intended_date="2024-08-30",
                )
            )  # fmt: skip
        else:
            part = left if pick % 3 or left < 2 else left // 2
            self.books.give(
                settled(name, row.exec_id, str(part), trade_date=row.trade_date, date=day, partial=part < left)
            )

    def _note(self, exec_id: str, day: int, shares: dict[str, int] | None) -> None:
        self.given.append((exec_id, DAYS[day - day_number(DAYS[0])], shares))

    def slowly(self, day: str) -> dict[str, int]:
        """Return how many shares each account traded: those of the block's executions that it was given last."""
        sums: dict[str, int] = defaultdict(int)
        for row in self.books.state.executions.rows.values():
            if row.kind == "allocation" or self.books.stored[row.event_seq - 1].effective_on > day_number(day):
                continue
            has: dict[str, int] = {"BLOCK": 30}
            for exec_id, since, shares in self.given:
                if exec_id == row.exec_id and since <= day:
                    has = shares or {"BLOCK": 30}
            for account, qty in has.items():
                sums[account] += qty if row.side == "buy" else -qty
        return sums


def told_of(source: Folded, account: str, owned: int) -> Iterator[tuple[str, int]]:
    """Yield what each table says that *account* traded, where nothing of it cannot be told."""
    tables = [x for x in ("positions", "executions")
              if not any(misfit.concerns(x, {"account": account}) for misfit in source._misfits)]  # fmt: skip
    if "positions" in tables:
        yield "positions", sum(row.qty for row in source.rows("positions", account=account)) // UNIT
    if "executions" in tables:
        live = [row for row in source.rows("executions", account=account) if row.live]
        signs = [1 if row.side == "buy" else -1 for row in live]
        yield "executions", sum(sign * row.qty for sign, row in zip(signs, live, strict=True)) // UNIT
        part = sum(sign * row.settled_qty for sign, row in zip(signs, live, strict=True))
        assert part == source.rows("balances", account=account, asset="XYZ")[0].settled - owned * UNIT


@settings(deadline=None, max_examples=80, print_blob=True)
@given(steps=STEPS)
def test_each_day_has_the_shares_with_whom_they_were_by_then(steps: list[tuple[str, int, int]]) -> None:
    """Whatever was closed, given, taken back and given again; the last day is as things stand."""
    desk = Desk()
    for number, step in enumerate(steps):
        desk.tell(*step, f"x{number}")
    books: Books = desk.books
    books.replayed()
    for day in DAYS:
        source, slow = known(books, day), desk.slowly(day)
        for misfit in source._misfits:
            # What settled, or failed, of a line before the day of its allocation; what had settled before that day.
            assert misfit.rule in ("unknown_ref", "allocated", "settled_before"), (day, misfit)
        for account in ACCOUNTS:
            shares = source.rows("balances", account=account, asset="XYZ")[0].total // UNIT
            assert shares - 1000 == slow[account], (day, account)
            for table, found in told_of(source, account, 1000):
                assert found == slow[account], (day, account, table)
        check_stated(books, source, day)
    last, stands = known(books, DAYS[-1]), now(books)
    assert not last._misfits
    for table in ("balances", "allocations", "settlement_fails"):
        assert last.rows(table) == stands.rows(table), table
    assert blotter(last) == blotter(stands)
    assert rungs(last) == rungs(stands)
