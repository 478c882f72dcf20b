"""
Check that a split does to orders on a real database what it does in memory, and is believed when it is replayed.
"""

from __future__ import annotations

from ledger import Ledger
from ledger.domain.amounts import render
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderDoneForDay, OrderReplaced, OrderRestated, ReplaceRequested
from ledger.domain.fold import registry
from ledger.domain.rules.ground import NS_PER_DAY
from ledger.queries import Seq
from tests.conftest import Database
from tests.domain.test_corporate_actions import ON_MONDAY, market, order, split, traded
from tests.verifier.intruder import report_on


def test_a_split_is_replayed_as_it_was_when_memory_had_forgotten_closed_orders(chain: Database) -> None:
    """Every step is a ledger opened anew; reads of the past and the verifier have what the writer forgot."""
    events: list[Event] = [
        order("D", "buy", "100", "10", tif="day"), order("F", "buy", "100", "10"), order("G", "buy", "100", "10"),
        traded("E1", order_id="D", qty="40"), traded("E2", order_id="F"), OrderDoneForDay(order_id="D"),
        ReplaceRequested(order_id="F", cl_ord_id="F2", orig_cl_ord_id="F", new_qty="150"),
        split(), OrderRestated(order_id="D", reason="new_day"),
        OrderReplaced(order_id="F", cl_ord_id="F2", orig_cl_ord_id="F", qty="300"),
    ]  # fmt: skip
    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(market().stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
    rules: list[str] = []
    for n, event in enumerate(events):
        with Ledger.open(chain.dsn("writer")) as ledger:
            receipt = ledger.append(event, key=f"step-{n}", occurred_at=ON_MONDAY + n // 7 * NS_PER_DAY)
            rules += [x.rule for x in receipt.quarantined]
    assert rules == ["before_split"]
    with Ledger.open(chain.dsn("writer")) as ledger, ledger.books() as books:
        now = books.orders("A")
        found = {x.order_id: tuple(map(render, (x.qty, x.cum_qty, x.hold_amount))) for x in now.value}
        assert found == {"D": ("100", "40", "0"), "F": ("300", "200", "500"), "G": ("200", "0", "1000")}
        assert books.orders("A", at=Seq(now.seq)).value == now.value
    assert report_on(chain).findings == []
