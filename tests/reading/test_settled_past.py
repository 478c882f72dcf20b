"""
Check reads of the past of trades that settle, fail, are allocated and corrected on other days than they were made.
"""

from __future__ import annotations

from typing import Any

from ledger import Ledger
from ledger.domain.events.executions import TradeBusted, TradeCorrected
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed
from ledger.domain.fold import registry
from ledger.queries import Books, Known, Seq
from ledger.reading.moment import parse_day
from tests.conftest import Database
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.domain.test_allocation import allocated, line
from tests.reading.test_past import LAST, answers

BEFORE = "2024-08-07"


def test_the_past_of_settled_trades_reads_as_it_did_then(chain: Database) -> None:
    """By each seq all reads equal those of then; with all days known, balances and positions too; statements close."""
    then: dict[int, Any] = {}
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        for n, outcome in enumerate(market(share_scale=2, shares="1000").stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        corrected = TradeCorrected(
            exec_id="C", exec_ref="E", venue="N", account="A", instrument=trade("E").instrument, side="buy", qty="90",
            price="10", trade_date=BEFORE, ref_trade_date=DAY,
        )  # fmt: skip
        for n, event in enumerate((
            trade("E"), trade("E1", qty="60", account="BLOCK"), trade("E2", qty="40", account="BLOCK"),
            SettlementFailed(settlement_id="S", venue="N", trade_date=DAY, exec_id="E", leg="cash", reason="late",
                             date=DUE, new_intended_date="2024-08-12"),
            settled("S2", qty="40", partial=True),
            allocated(line("A", "70", "10", "0.1"), line("B", "30", "10", "0.1")),
            settled("S3", "AL.1", "20", partial=True),
            corrected,
            AllocationReversed(allocation_id="AL", reason="r"),
            TradeBusted(exec_id="X", exec_ref="E1", venue="N", trade_date=DAY, reason="r"),
        )):  # fmt: skip
            receipt = ledger.append(event, key=f"step-{n}")
            assert not receipt.quarantined, receipt.quarantined
            then[receipt.seq] = answers(books), receipt.recorded_at
        for seq, (expected, recorded_at) in then.items():
            assert answers(books, at=Seq(seq)) == expected
            whole = Known(recorded_at, LAST)
            assert books.balances(at=whole).value == expected["balances"]
            assert [(x.account, x.instrument, x.qty) for x in books.positions(at=whole).value] == [
                (x.account, x.instrument, x.qty) for x in expected["positions"]
            ]
            is_corrected = any(x.exec_id == "C" for x in expected["blotter"])
            for day in (BEFORE, DAY, DUE) if is_corrected else (DAY, DUE):
                at = Known(recorded_at, parse_day(day))
                every = books.balances(at=at).value
                for account in sorted({row.account for row in every}):
                    mine = [row for row in every if row.account == account]
                    closing = books.statement(account, parse_day(BEFORE), parse_day(day), at=at).value.closing
                    assert {(x.asset, x.bucket): x.amount for x in closing} == {
                        (x.asset, bucket): getattr(x, bucket)
                        for x in mine for bucket in ("settled", "unsettled", "held") if getattr(x, bucket)
                    }, (seq, day, account)  # fmt: skip
        # The correction counts for the day before the trade: alone there, and as the whole afterwards.
        seq = max(seq for seq in then if any(x.exec_id == "C" for x in then[seq][0]["blotter"]))
        early = Known(then[seq][1], parse_day(BEFORE))
        assert [x.standing for x in books.blotter("A", at=early).value] == ["live"]
        (position,) = books.positions("A", at=early).value
        assert position.qty == 90 * 10**18
