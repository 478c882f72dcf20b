"""
Play FIX's order state change matrices to the ledger, one message a row.

FIX prints its matrices from the sell side's view. A message becomes events by its name and ExecType alone, whatever the
scenario: a request is what the engine records as it sends it, a report is what the venue says. What FIX reports without
anything having happened (a status, a pending request, a guarantee) becomes no event.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger.domain.amounts import UNIT
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderTriggered,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.order_status import leaves
from ledger.domain.rows import Order
from ledger.errors import RuleBroken
from tests.domain.books import Books, check_invariants

Row = dict[str, Any]
Difference = dict[str, str | int]

PRICE = 130
"""The limit of every order: above what any matrix trades at, so that what is held is PRICE x LeavesQty throughout."""

_MESSAGE = re.compile(r"^(?P<name>[A-Za-z ]+?) *(?:\((?P<id>\w+)(?:, *(?P<orig>\w+))?\))?$")
_TIFS = {"GTC": "gtc", "Fill or Kill": "fok", "Immediate or Cancel": "ioc"}
_DAYS = {"Day 1": "2024-08-08", "Day 2": "2024-08-09"}
_REPORTS_ONLY = {None, "Order Status", "Pending Cancel", "Pending Replace", "Stopped"}
"""ExecTypes of executions that say how an order stands, and not that anything happened to it."""


@dataclass(frozen=True)
class Course:
    """
    One way through a matrix: its rows in order, to one of its outcomes.
    """

    matrix: str
    outcome: str
    tif: str
    qty: int
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        return f"{self.matrix}-{self.outcome}"


def _is_alternative(row: Row) -> bool:
    return str(row["comment"]).startswith("alternative")


def crossings(rows: tuple[Row, ...]) -> set[int]:
    """
    Return the places of requests that cross the report in the row after them.
    """
    pairs = enumerate(itertools.pairwise(rows))
    return {at for at, (one, two) in pairs if one["in"] and two["out"] and one["time"] == two["time"]}


def courses() -> Iterator[Course]:
    """
    Yield every course of every matrix: the one printed in full, and each alternative outcome.
    """
    here = Path(__file__).parent
    for name in ("order_state_matrices.json", "more_order_state_matrices.json"):
        for matrix in json.loads((here / name).read_text()):
            title, rows = matrix["title"], matrix["rows"]
            tif = next((tif for words, tif in _TIFS.items() if words in title), "day")
            # An order for an amount of cash is of the quantity that the report of its acceptance converts it to.
            qty = next(row["order_qty"] for row in rows if row["order_qty"])
            printed = tuple(row for row in rows if not _is_alternative(row))
            yield Course(matrix["id"], "printed", tif, qty, printed)
            for at, row in enumerate(rows):
                if _is_alternative(row):
                    before = tuple(x for x in rows[:at] if not _is_alternative(x))
                    yield Course(matrix["id"], f"alternative at {row['time']}", tif, qty, (*before, row))


class Player:
    """
    Gives the ledger what the messages of a course become, and holds what it derives against what is printed.
    """

    def __init__(self, course: Course, books: Books) -> None:
        self.course = course
        self.books = books
        self.order_of: dict[str, str] = {}
        self.newest = ""
        self.asked: dict[str, Row] = {}
        self.traded: dict[str, str] = {}
        self.refused: list[str] = []
        self.differences: dict[str, Difference] = {}
        self.executions = 0

    def play(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            for event in self._events(row):
                try:
                    outcome = self.books.give(event)
                except RuleBroken:
                    self.refused.append(row["time"])
                else:
                    assert outcome.rule is None, (row, outcome.detail)
                check_invariants(self.books.whole())
            self._compare(row)

    def _events(self, row: Row) -> list[Event]:
        found = _MESSAGE.match(row["in"] or row["out"] or "Nothing")
        assert found is not None, row
        name, cl_ord_id, orig = found["name"], found["id"] or "", found["orig"] or ""
        if row["in"]:
            return self._request(row, name, cl_ord_id, orig)
        if name == "Cancel Reject":
            return self._rejection(cl_ord_id)
        return self._report(row, cl_ord_id or self.newest) if name == "Execution" else []

    def _placed(self, cl_ord_id: str, qty: int, suffix: str = "") -> Event:
        order_id = f"O-{cl_ord_id}{suffix}"
        self.order_of.setdefault(cl_ord_id, order_id)
        self.newest = cl_ord_id
        return OrderPlaced(
            order_id=order_id, cl_ord_id=cl_ord_id, account="A", instrument="BTCUSDT", side="buy",
            qty=str(qty), ord_type="limit", price=str(PRICE), tif=self.course.tif,
        )  # type: ignore[arg-type]  # fmt: skip

    def _request(self, row: Row, name: str, cl_ord_id: str, orig: str) -> list[Event]:
        if name == "New Order":
            again = f"-at-{row['time']}" if cl_ord_id in self.order_of else ""
            return [self._placed(cl_ord_id, row["order_qty"] or self.course.qty, again)]
        if name == "Status Request":
            return []
        order_id = self.order_of.get(orig, "unknown")
        if order_id != "unknown":
            self.order_of[cl_ord_id] = order_id
        self.asked[cl_ord_id] = row
        if name == "Cancel Request":
            return [CancelRequested(order_id=order_id, cl_ord_id=cl_ord_id, orig_cl_ord_id=orig)]
        assert name == "Replace Request", row
        qty = str(row["order_qty"])
        return [ReplaceRequested(order_id=order_id, cl_ord_id=cl_ord_id, orig_cl_ord_id=orig, new_qty=qty)]

    def _rejection(self, cl_ord_id: str) -> list[Event]:
        cl_ord_id = cl_ord_id or next(reversed(self.asked))
        order_id = self.order_of.get(cl_ord_id)
        row = self.books.state.orders.get(order_id) if order_id else None
        if order_id is None or row is None or self.asked[cl_ord_id]["time"] in self.refused:
            return []
        kind = CancelRejected if self.asked[cl_ord_id]["in"].startswith("Cancel") else ReplaceRejected
        return [kind(order_id=order_id, cl_ord_id=cl_ord_id, reason="r")]

    def _report(self, row: Row, cl_ord_id: str) -> list[Event]:
        before: list[Event] = []
        if not self.order_of:
            # Placed by telephone: no message carried it, and the engine records what was said.
            before = [self._placed("telephone", row["order_qty"])]
            cl_ord_id = "telephone"
        order_id = self.order_of.get(cl_ord_id, "unknown")
        exec_type = row["exec_type"]
        if exec_type in _REPORTS_ONLY or row.get("exec_trans_type") == "Status":
            return before
        if exec_type.startswith("Trade"):
            return before + self._trade(row, exec_type, order_id)
        if exec_type == "Replace":
            asked = cl_ord_id if cl_ord_id in self.asked else next(reversed(self.asked))
            # The quantity asked for, not the one that is printed: that is for the ledger to work out.
            qty, orig = self.asked[asked]["order_qty"], _MESSAGE.match(self.asked[asked]["in"])
            assert orig is not None
            order_id = self.order_of[asked]
            return [OrderReplaced(order_id=order_id, cl_ord_id=asked, orig_cl_ord_id=orig["orig"], qty=str(qty))]
        if exec_type == "Rejected":
            # With another status it is the refusal of a second order, in a report on the first.
            return [OrderRejected(order_id=order_id, reason_code="r")] if row["ord_status"] == "Rejected" else []
        if exec_type == "Restated":
            reason = "new_day" if row["time"].startswith("Day 2") else "other"
            return [OrderRestated(order_id=order_id, reason=reason, qty=str(row["order_qty"]))]  # type: ignore[arg-type]
        made: dict[str, Event] = {
            "New": OrderAccepted(order_id=order_id, venue="V"),
            "Triggered": OrderTriggered(order_id=order_id),
            "Canceled": OrderCanceled(order_id=order_id),
            "Done for Day": OrderDoneForDay(order_id=order_id),
        }
        return [*before, made[exec_type]]

    def _trade(self, row: Row, exec_type: str, order_id: str) -> list[Event]:
        self.executions += 1
        exec_id = row["exec_id"] or f"E{self.executions}"
        day = _DAYS.get(row["time"].partition(",")[0], _DAYS["Day 1"])
        self.traded[exec_id] = day
        ref = row["exec_ref_id"]
        if exec_type == "Trade Cancel":
            return [TradeBusted(exec_id=exec_id, exec_ref=ref, venue="V", trade_date=day,
                                ref_trade_date=self.traded[ref], reason="r")]  # fmt: skip
        facts: dict[str, Any] = {
            "exec_id": exec_id, "venue": "V", "order_id": order_id, "account": "A", "instrument": "BTCUSDT",
            "side": "buy", "qty": str(row["last_qty"]), "price": str(row["last_px"] or 50), "trade_date": day,
        }  # fmt: skip
        if exec_type == "Trade Correct":
            return [TradeCorrected(exec_ref=ref, ref_trade_date=self.traded[ref], **facts)]
        ends = row["ord_status"] == "Canceled" and self._order(order_id).terminal is None
        # One message may report a fill and the end of what is left.
        return [TradeExecuted(**facts), *([OrderCanceled(order_id=order_id)] if ends else [])]

    def _order(self, order_id: str) -> Order:
        row = self.books.state.orders.get(order_id)
        assert row is not None
        return row

    def _compare(self, row: Row) -> None:
        found = _MESSAGE.match(row["out"] or "Nothing")
        assert found is not None
        if found["name"] == "Nothing":
            return
        order = self.books.state.orders.get(self.order_of.get(found["id"] or self.newest, "unknown"))
        derived = stands(order)
        if order is not None:
            assert order.hold_amount == leaves(order) * PRICE, row
        differs = {field: derived[field] for field in derived if row[field] not in (None, derived[field])}
        if differs:
            self.differences[row["time"]] = differs


def stands(order: Order | None) -> dict[str, Any]:
    """
    Return how an order stands, in FIX's words; one the ledger does not know is rejected, as FIX reports it.
    """
    if order is None:
        return {"ord_status": "Rejected", "cum_qty": 0, "leaves_qty": 0}
    words = order.status.replace("_", " ").title().replace(" For ", " for ")
    average = Decimal(order.cum_notional) / Decimal(order.cum_qty) if order.cum_qty else Decimal(0)
    return {
        "ord_status": words, "order_qty": Decimal(order.qty) / UNIT, "cum_qty": Decimal(order.cum_qty) / UNIT,
        "leaves_qty": Decimal(leaves(order)) / UNIT, "avg_px": average,
    }  # fmt: skip
