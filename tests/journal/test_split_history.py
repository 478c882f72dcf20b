"""
Check that a split does to orders on a real database what it does in memory, and is believed when it is replayed.
"""

from __future__ import annotations

from datetime import date

from ledger import Ledger
from ledger.domain.amounts import render
from ledger.domain.events.corporate_actions import CashInLieu, OrderAdjustment
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderCanceled, OrderDoneForDay, OrderReplaced, OrderRestated, ReplaceRequested
from ledger.domain.fold import registry
from ledger.domain.rules.ground import NS_PER_DAY
from ledger.queries import Books, Known, Seq
from tests.conftest import Database
from tests.domain.test_corporate_actions import MONDAY, ON_MONDAY, TUESDAY, WEDNESDAY, market, order, split, traded
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
        told = [line.event_type for line in books.history("order/F").value]
        assert told == ["OrderPlaced", "TradeExecuted", "ReplaceRequested", "SplitApplied", "OrderReplaced"]
        # It was done for the day, and closed, when the share split.
        assert "SplitApplied" not in [line.event_type for line in books.history("order/D").value]
    assert report_on(chain).findings == []


def test_the_history_of_an_order_tells_of_the_splits_that_changed_or_ended_it(chain: Database) -> None:
    """With what they say of this order and nothing of others; at any moment, whichever came before the other."""
    named = OrderAdjustment(order_id="N", qty="33", price="7")
    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(market().stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        steps: list[tuple[Event, int]] = [
            (traded("E", qty="1"), 0),
            (order("G", "buy", "100", "10"), 0), (order("S", "buy", "5", "10"), 0), (order("N", "buy", "9", "9"), 0),
            (split(3, 1, order_adjustments=(named,)), 1), (order("L", "buy", "100", "3"), 1),
            (split(1, 20, ca_id="S2", ex_date=WEDNESDAY, cash_in_lieu=(CashInLieu(account="A", amount="1"),)), 2),
        ]  # fmt: skip
        seqs = []
        for n, (event, days) in enumerate(steps):
            receipt = ledger.append(event, key=f"step-{n}", occurred_at=ON_MONDAY + days * NS_PER_DAY)
            assert receipt.quarantined == ()
            seqs.append(receipt.seq)
    with Books(chain.dsn("reader")) as books:
        told = {name: books.history(f"order/{name}").value for name in "GSNL"}
        assert {name: [line.event_type for line in lines] for name, lines in told.items()} == {
            "G": ["OrderPlaced", "SplitApplied", "SplitApplied"], "S": ["OrderPlaced", "SplitApplied", "SplitApplied"],
            "N": ["OrderPlaced", "SplitApplied", "SplitApplied"], "L": ["OrderPlaced", "SplitApplied"],
        }  # fmt: skip
        assert [line.derived for line in told["G"][1:]] == [
            '{"orders":[["G","300","0","3.33",null,"999"]]}',
            '{"orders":[["G","15","0","66.6",null,"999"]]}',
        ]
        assert [line.derived for line in told["S"][2:]] == ['{"ended":["S"]}']
        assert "order_adjustments" not in told["G"][1].given
        assert '"order_adjustments":[{"order_id":"N","price":"7","qty":"33"}]' in told["N"][1].given
        assert "cash_in_lieu" not in told["L"][1].given
        (whole,) = books.history("corporate-action/S2").value
        assert (whole.hash, whole.seq, "cash_in_lieu" in whole.given) == (told["L"][1].hash, seqs[-1], True)
        assert books.history("order/G", at=Seq(seqs[-1] - 1)).value == told["G"][:2]
        # The row of the split was not yet that of a day before its ex-date.
        known = books.recorded_at()
        assert books.history("order/G", at=Known(known, date.fromisoformat(MONDAY))).value == told["G"][:1]
        assert books.history("order/G", at=Known(known, date.fromisoformat(WEDNESDAY))).value == told["G"]


def test_the_history_of_an_order_that_a_split_left_alone_is_told_with_its_row(chain: Database) -> None:
    """Canceled a day after the ex-date and before the split was told: by days, canceled by the split's day."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(market().stored):
            ledger.append(registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        steps: list[tuple[Event, int]] = [
            (traded("E"), 0), (order("O", "buy", "100", "10"), 0), (OrderCanceled(order_id="O"), 2), (split(), 2),
        ]  # fmt: skip
        for n, (event, days) in enumerate(steps):
            assert ledger.append(event, key=f"step-{n}", occurred_at=ON_MONDAY + days * NS_PER_DAY).quarantined == ()
    with Books(chain.dsn("reader")) as books:
        tuesday = Known(books.recorded_at(), date.fromisoformat(TUESDAY))
        (row,) = books.orders("A", at=tuesday).value
        told = [line.event_type for line in books.history("order/O", at=tuesday).value]
        assert (row.status, told) == ("CANCELED", ["OrderPlaced", "OrderCanceled"])
