"""
Check that a blotter calls live what counts and nothing else, through allocations and their reversals.
"""

from __future__ import annotations

from ledger.domain.amounts import render
from ledger.domain.events.executions import TradeBusted
from ledger.domain.events.settlement import AllocationReversed
from ledger.reading.views import blotter
from tests.domain import equities
from tests.domain.books import Books
from tests.domain.test_allocation import BOTH, allocated, block, line


def standings(books: Books) -> list[tuple[str, str, str | None]]:
    """Return id, standing and allocation of each report, after seeing that what is live is what accounts have."""
    made = blotter(books.state.executions.rows.values())
    for account in equities.ACCOUNTS:
        live = sum(x.qty for x in made if x.account == account and x.standing == "live")
        position = books.state.positions.get(account, "XYZ.N")
        assert live == (position.qty if position else 0), account
    return [(x.exec_id, x.standing, x.allocation_id) for x in made]


def test_what_was_allocated_and_what_an_allocation_that_was_reversed_made_do_not_count() -> None:
    """Two executions become two lines, come back, and become others; one of them is busted in between."""
    books = block()
    assert standings(books) == [("E1", "live", None), ("E2", "live", None)]
    books.give(allocated(*BOTH))
    assert standings(books) == [
        ("E1", "allocated", "AL"), ("E2", "allocated", "AL"), ("AL.1", "live", "AL"), ("AL.2", "live", "AL"),
    ]  # fmt: skip
    books.give(AllocationReversed(allocation_id="AL", reason="wrong accounts"))
    gone = [("AL.1", "reversed", "AL"), ("AL.2", "reversed", "AL")]
    assert standings(books) == [("E1", "live", None), ("E2", "live", None), *gone]
    bust = TradeBusted(exec_id="B", exec_ref="E2", venue="N", trade_date=equities.DAY, reason="r")
    assert books.give(bust).rule is None
    books.give(allocated(line("A", "60", "10"), exec_ids=("E1",), name="AL2"))
    assert standings(books) == [
        ("E1", "allocated", "AL2"), ("E2", "busted", None), *gone, ("B", "bust", None), ("AL2.1", "live", "AL2"),
    ]  # fmt: skip
    assert [render(x.qty) for x in blotter(books.state.executions.rows.values()) if x.standing == "live"] == ["60"]
