"""
Check what is known of days before and after a split and a new name.
"""

from __future__ import annotations

from ledger import Ledger
from ledger.domain import registry
from ledger.domain.amounts import render
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.corporate_actions import InstrumentRenamed, SplitApplied
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import TradeSettled
from ledger.queries import Books, Known
from ledger.reading.moment import parse_day
from tests.conftest import Database
from tests.domain.books import NOON
from tests.domain.test_marks_and_profit import MONDAY, TUESDAY, mark, market, trade
from tests.reading.days import cells


def split(day: str) -> SplitApplied:
    return SplitApplied(ca_id=f"S-{day}", instrument="SAP", ratio_num=2, ratio_den=1, ex_date=day, rounding="down")


def told(ledger: Ledger, *events: Event) -> int:
    """Append what there is to trade and *events*, none of which is quarantined; return when the last was recorded."""
    setup = [registry.decode_given(outcome.event_type, 1, outcome.given) for outcome in market().stored]
    for n, event in enumerate([*setup, *events]):
        receipt = ledger.append(event, key=f"k{n}", occurred_at=NOON)
        assert not receipt.quarantined, receipt.quarantined
    return next(ledger.events(receipt.seq - 1)).recorded_at


def test_days_before_a_split_are_known_in_the_shares_of_their_day(chain: Database) -> None:
    """10 shares until the split, 20 from then, under the newest name, and orders can be told throughout."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        renamed = InstrumentRenamed(ca_id="N", old="SAP", new="SAPX", effective="2024-08-07")
        known = told(ledger, trade("E", "10", "100"), mark("12"), split(TUESDAY), renamed)
        for day, held, mark_of in ((MONDAY, "10", "12"), (TUESDAY, "20", None), ("2024-08-07", "20", None)):
            at = Known(known, parse_day(day))
            (position,) = books.positions("A", at=at).value
            assert (position.instrument, render(position.qty), render(position.cost)) == ("SAPX", held, "1000")
            assert render(books.balance("A", "SAP", at=at).value.total) == held
            assert books.orders("A", at=at).value == []
            # Monday's mark is the price of a share of Monday.
            assert cells(books.exposure("A", at=at).value[0], "qty mark") == [held, mark_of]


def test_a_split_of_a_closed_day_counts_with_the_trades_that_were_told_after_it(chain: Database) -> None:
    """Its ex-date was closed, so it counts for a later day, and a trade of new shares of a day between counts then."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        known = told(
            ledger,
            trade("E", "10", "100"),
            PeriodClosed(through=TUESDAY),
            split(TUESDAY),
            trade("F", "5", "50", day="2024-08-07"),
        )
        for day, held in (("2024-08-07", "10"), ("2024-08-08", "25"), ("2024-08-09", "25")):
            at = Known(known, parse_day(day))
            assert [render(x.qty) for x in books.positions("A", at=at).value] == [held]
            assert render(books.balance("A", "SAP", at=at).value.total) == held
            statement = books.statement("A", parse_day(MONDAY), parse_day(day)).value
            assert [render(x.amount) for x in statement.closing if x.asset == "SAP"] == [held]
        assert [(x.day, render(x.qty)) for x in books.pnl().value if x.instrument][-1] == ("2024-08-08", "25")


def test_a_statement_has_what_settles_of_a_split_that_does_not_name_the_account(chain: Database) -> None:
    """As much was to come as to be delivered when the shares split; the purchase is of the day before."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        settlements = (
            TradeSettled(settlement_id=f"S{name}", venue="V", trade_date=MONDAY, exec_id=name, qty="10", date=day)
            for name, day in (("E", MONDAY), ("F", "2024-08-07"))
        )
        sale = trade("F", "10", "100", side="sell")
        known = told(ledger, trade("E", "10", "100"), sale, split(TUESDAY), *settlements)
        for day, settled in ((MONDAY, "10"), (TUESDAY, "20"), ("2024-08-07", None)):
            row = books.balance("A", "SAP", at=Known(known, parse_day(day))).value
            assert (render(row.settled), render(row.unsettled)) == (settled or "0", f"-{settled}" if settled else "0")
            statement = books.statement("A", parse_day(MONDAY), parse_day(day)).value
            closing = {x.bucket: render(x.amount) for x in statement.closing if x.asset == "SAP"}
            assert closing == ({"settled": settled, "unsettled": f"-{settled}"} if settled else {})
