"""
Check that a statement closes at the balances of its last day for accounts that what moved them does not name.
"""

from __future__ import annotations

import msgspec
import psycopg

from ledger import Ledger
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import TradeBusted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import ExecutionRef, TradeSettled
from ledger.domain.fold import registry
from ledger.domain.rules.ground import NS_PER_DAY
from ledger.queries import Books, Known
from ledger.reading.moment import days, parse_day
from ledger.reading.stated_events import OF_SEVERAL
from ledger.storage import chains, events
from tests.conftest import Database
from tests.domain.equities import DAY, DUE, market, trade
from tests.reading.test_known_settlement import MONDAY, TUESDAY, WEDNESDAY
from tests.reading.test_known_splits import split

BEFORE = parse_day("2024-08-07")


def check_stated(chain: Database, *steps: tuple[str, Event]) -> None:
    """Tell each step on its day, and hold a statement of each account to each day against what is known of the day."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(market(shares="1000").stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        for n, (day, event) in enumerate(steps):
            noon = days(parse_day(day)) * NS_PER_DAY + NS_PER_DAY // 2
            assert ledger.append(event, key=f"step-{n}", occurred_at=noon).quarantined == ()
    with Books(chain.dsn("reader")) as books:
        for day in map(parse_day, (DAY, DUE, MONDAY, TUESDAY, WEDNESDAY)):
            every = books.balances(at=Known(books.recorded_at(), day)).value
            for account in sorted({row.account for row in every}):
                closing = books.statement(account, BEFORE, day).value.closing
                assert {(x.asset, x.bucket): x.amount for x in closing} == {
                    (x.asset, bucket): getattr(x, bucket)
                    for x in every for bucket in ("settled", "unsettled", "held")
                    if x.account == account and getattr(x, bucket)
                }, (account, day)  # fmt: skip


def test_trades_that_settle_to_nothing_together_are_stated_as_they_settled(chain: Database) -> None:
    """What settles them names no account that they move; one of them is busted afterwards for the day before."""
    refs = tuple(ExecutionRef(trade_date=DAY, exec_id=x) for x in "EF")
    together = TradeSettled(settlement_id="S", venue="N", date=DUE, net=refs, qty="0", amount="0")
    check_stated(
        chain, (DAY, trade("E", fee="0")), (DAY, trade("F", "sell", fee="0")), (DAY, trade("G")),
        (DUE, together), (MONDAY, TradeBusted(exec_id="b", exec_ref="E", venue="N", trade_date=DAY, reason="r")),
    )  # fmt: skip


def test_what_others_settle_together_is_not_read_for_an_account(chain: Database) -> None:
    """B has none of it; A's two trades come to nothing, and are asked for by its stream."""
    refs = tuple(ExecutionRef(trade_date=DAY, exec_id=x) for x in "EF")
    together = TradeSettled(settlement_id="S", venue="N", date=DUE, net=refs, qty="0", amount="0")
    check_stated(
        chain, (DAY, trade("E", fee="0")), (DAY, trade("F", "sell", fee="0")), (DAY, trade("G", account="B")),
        (DUE, together),
    )  # fmt: skip
    with psycopg.connect(chain.dsn("reader")) as connection:
        row = chains.find(connection, None)
        for account, stream, expected in (("A", "account/A", 1), ("B", "account/B", 0), ("~fees", None, 1)):
            read = events.read_mentioning(
                connection, row.chain, row.chain_id, [f'"{account}"'], (OF_SEVERAL, stream), 10**6, days(BEFORE) + 99
            )
            assert sum(event.event_type == "TradeSettled" for event in read) == expected


def test_the_issuer_is_stated_with_what_a_split_made_of_what_came_before_its_day(chain: Database) -> None:
    """A deposit of Tuesday is told before Monday's split, and halves with it; it does not name the issuer."""
    deposit = CashMoved(movement_id="D", account="A", asset="XYZ", amount="10", kind="deposit", value_date=TUESDAY)
    check_stated(
        chain, (DAY, trade("E", fee="0")), (TUESDAY, deposit), (TUESDAY, split((1, 2), moved_reason="of old shares")),
        (WEDNESDAY, msgspec.structs.replace(deposit, movement_id="D2", value_date=WEDNESDAY)),
    )  # fmt: skip
