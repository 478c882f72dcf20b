"""
Check that what is settled, allocated and converted is the same on a real database as in memory, after memory forgot it.
"""

from __future__ import annotations

import pytest

from ledger import Ledger
from ledger.domain.amounts import render
from ledger.domain.events.cash import HoldPlaced, Leg
from ledger.domain.events.executions import TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeSettled
from ledger.domain.fold import registry
from ledger.errors import RuleBroken
from ledger.reading.rungs import settlement_ladder
from ledger.reading.sources import Folded
from tests.conftest import Database
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.domain.test_allocation import allocated, line
from tests.journal.test_ledger import check_whole
from tests.verifier.intruder import report_on


def test_trades_settle_when_memory_has_long_forgotten_them(chain: Database) -> None:
    """Every step is a ledger opened anew: executions, settlements, fails and allocations come back from the store."""
    steps = 0

    def give(event: Event) -> tuple[str, ...]:
        nonlocal steps
        steps += 1
        with Ledger.open(chain.dsn("writer")) as ledger:
            receipt = ledger.append(event, key=f"step-{steps}")
        return ("duplicate",) if receipt.replayed else tuple(x.rule for x in receipt.quarantined)

    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(market(share_scale=2, shares="1000").stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        ledger.append([trade("E"), trade("E1", qty="60", account="BLOCK"), trade("E2", qty="40", account="BLOCK")],
                      key="trades")  # fmt: skip
    fail = SettlementFailed(settlement_id="S", venue="N", trade_date=DAY, exec_id="E", leg="cash", reason="late",
                            date=DUE, new_intended_date="2024-08-12")  # fmt: skip
    assert give(fail) == ()
    assert give(fail) == ("duplicate",)
    assert give(settled("S", qty="40", partial=True)) == ()
    assert give(settled("S", qty="40", partial=True)) == ("duplicate",)
    assert give(settled("S", qty="41", partial=True)) == ("settlement_id_reused",)
    assert give(settled("S2", qty="61")) == ("over_settlement",)
    assert give(allocated(line("A", "70", "10", "0.1"), line("B", "30", "10", "0.1"))) == ()
    with pytest.raises(RuleBroken, match="second time"):
        give(allocated(line("A", "100", "10", "0")))
    assert give(settled("S3", "AL.1", "20", partial=True)) == ()
    assert give(settled("S4", "E1", "60")) == ("allocated",)
    give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USD", amount="1"),), expires_at=2**62))
    with Ledger.open(chain.dsn("writer")) as ledger, ledger.books() as books:
        rungs = books.settlement_ladder("A").value
        assert [(x.date, x.asset, render(x.due), render(x.settled), render(x.failed)) for x in rungs] == [
            (DUE, "USD", "-500.07", "-600.43", "-1001"), (DUE, "XYZ", "50", "60", "100"),
            ("2024-08-12", "USD", "-600.6", "0", "0"), ("2024-08-12", "XYZ", "60", "0", "0"),
        ]  # fmt: skip
        assert [x.hold_id for x in books.expired_holds(2**62).value] == ["H"]
        assert books.expired_holds(2**62 - 1).value == []
        check_whole(chain, ledger)
    assert report_on(chain).findings == []
    assert give(AllocationReversed(allocation_id="AL", reason="r")) == ()
    for exec_id in ("E", "E1", "E2"):
        bust = TradeBusted(exec_id=f"X{exec_id}", exec_ref=exec_id, venue="N", trade_date=DAY, reason="r")
        assert give(bust) == ()
    assert give(TradeSettled(settlement_id="S5", venue="N", trade_date=DAY, exec_id="E1", qty="1", date=DUE)) == (
        "stale_ref",
    )
    with Ledger.open(chain.dsn("writer")) as ledger, ledger.books() as books:
        for row in books.balances().value:
            assert row.unsettled == 0
        found = {(x.account, x.asset): render(x.settled) for x in books.balances("A").value}
        assert found == {("A", "USD"): "99999", ("A", "XYZ"): "1000"}
        check_whole(chain, ledger)
    assert report_on(chain).findings == []


def test_the_stored_ladder_knows_what_failed_before_it_was_corrected_or_taken_back(chain: Database) -> None:
    """After every step the ladder of all, and of each account, is that of the same events in memory."""
    fail = SettlementFailed(settlement_id="S", venue="N", trade_date=DAY, exec_id="AL.1", leg="cash", reason="late",
                            date=DUE, new_intended_date="2024-08-14")  # fmt: skip
    corrected = TradeCorrected(exec_id="C", exec_ref="E1", venue="N", account="BLOCK", instrument="XYZ.N", side="buy",
                               qty="60", price="10", trade_date=DAY)  # fmt: skip
    steps: tuple[Event, ...] = (
        trade("E1", qty="60", account="BLOCK"), allocated(line("B", "60", "10"), exec_ids=("E1",)), fail,
        AllocationReversed(allocation_id="AL", reason="r"), corrected,
        allocated(line("A", "60", "10"), exec_ids=("C",), name="AL2"),
    )  # fmt: skip
    memory = market(share_scale=2, shares="1000")
    with Ledger.open(chain.dsn("writer")) as ledger, ledger.books() as books:
        for n, outcome in enumerate(memory.stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        for n, event in enumerate(steps):
            assert memory.give(event).rule is None
            ledger.append(event, key=f"step-{n}")
            for account in (None, "A", "B", "BLOCK"):
                folded = Folded(memory.state, len(memory.stored), [])
                assert books.settlement_ladder(account).value == settlement_ladder(folded, account)
        assert {x.date for x in books.settlement_ladder("A").value} == {"2024-08-14"}
