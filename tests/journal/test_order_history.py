"""
Take orders that memory has forgotten up again, on a real PostgreSQL: what is closed there is brought back by the store.
"""

from __future__ import annotations

from typing import Any

from ledger import Ledger, Receipt
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
    ReplaceRequested,
)
from ledger.queries import Books
from tests.conftest import Database
from tests.domain.books import DAY, amount
from tests.journal.test_ledger import check_whole, fill

NEXT_DAY = "2024-08-09"
TRADE: dict[str, Any] = {
    "venue": "V", "order_id": "O", "account": "A", "instrument": "BTCUSDT", "side": "buy", "price": "100",
}  # fmt: skip


def test_a_closed_order_is_taken_up_again_by_what_comes_later(chain: Database) -> None:
    """A replace reopens it, another day's correction and bust find its trades, and a late refusal finds its request."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        fill(ledger)

        def give(key: str, event: Event) -> Receipt:
            return ledger.append(event, key=key)

        def stands() -> tuple[str, int, int]:
            row = books.order("O").value
            return row.status, row.cum_qty, row.hold_amount

        give("1", OrderPlaced(order_id="O", cl_ord_id="x", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                              ord_type="limit", price="100", tif="gtc"))  # fmt: skip
        give("2", TradeExecuted(exec_id="E", trade_date=DAY, qty="0.01", **TRADE))
        assert stands() == ("FILLED", amount("0.01"), 0)
        give("3", ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", new_qty="0.03"))
        assert stands() == ("PENDING_REPLACE", amount("0.01"), 0)
        give("4", OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="x", qty="0.03"))
        assert stands() == ("PARTIALLY_FILLED", amount("0.01"), amount("2"))
        give("5", TradeExecuted(exec_id="E", trade_date=NEXT_DAY, qty="0.02", **TRADE))
        assert stands() == ("FILLED", amount("0.03"), 0)
        give(
            "6",
            TradeCorrected(exec_id="C", exec_ref="E", ref_trade_date=DAY, trade_date=NEXT_DAY, qty="0.004", **TRADE),
        )
        assert stands() == ("PARTIALLY_FILLED", amount("0.024"), amount("0.6"))
        give("7", CancelRequested(order_id="O", cl_ord_id="z", orig_cl_ord_id="y"))
        give("8", OrderCanceled(order_id="O", unsolicited=True))
        give("9", TradeBusted(exec_id="B", exec_ref="C", venue="V", trade_date=NEXT_DAY, reason="r"))
        assert stands() == ("CANCELED", amount("0.02"), 0)
        assert give("10", CancelRejected(order_id="O", cl_ord_id="z", reason="too late")).quarantined == ()
        again = TradeBusted(exec_id="B2", exec_ref="E", venue="V", trade_date=DAY, reason="r")
        assert [fact.rule for fact in give("11", again).quarantined] == ["stale_ref"]
        assert ledger.head().seq == check_whole(chain, ledger)


def test_a_day_order_that_is_done_is_no_open_order(chain: Database) -> None:
    """What may still fill is open; after the day that is the good-till order alone."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        fill(ledger)
        for name, tif in (("D", "day"), ("G", "gtc")):
            order: dict[str, Any] = {"account": "A", "instrument": "BTCUSDT", "side": "sell", "qty": "1", "tif": tif}
            ledger.append(OrderPlaced(order_id=name, cl_ord_id=name, ord_type="market", **order), key=name)
            ledger.append(OrderDoneForDay(order_id=name), key=f"{name}-done")
        assert [row.order_id for row in books.open_orders().value] == ["G"]
        assert [row.order_id for row in books.open_orders("A").value] == ["G"]
