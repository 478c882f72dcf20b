"""
Make small random histories whose days run against their seqs, and answer for them slowly and obviously.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ledger import Ledger
from ledger.chain.entry import RecordedEvent
from ledger.domain import fold
from ledger.domain.events.cash import CashMoved, FeeCharged, JournalReversed
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.errors import Rejected
from tests.domain.books import opened

DAYS = ("2024-08-07", "2024-08-08", "2024-08-09", "2024-08-10")
NOONS = {day: 1_723_032_000_000_000_000 + n * 86_400 * 10**9 for n, day in enumerate(DAYS)}
"""Noon of each day, in ns."""
KINDS = (
    "place",
    "trade",
    "trade",
    "lone trade",
    "correct",
    "bust",
    "cancel",
    "accept",
    "cash",
    "fee",
    "reverse",
    "odd",
    "close",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(DAYS), st.sampled_from(DAYS), st.integers(0, 5)),
    min_size=6,
    max_size=24,
)


class Teller:
    """Append what the steps say, and remember what could be named by later ones."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.trades: list[tuple[str, str, str | None]] = []
        self.moves: list[str] = []
        self.orders: list[str] = []
        self.count = 0

    def setup(self) -> None:
        for n, outcome in enumerate(opened(usdt="100000", btc="100").stored):
            event = fold.registry.decode_given(outcome.event_type, 1, outcome.given)
            self.ledger.append(event, key=f"setup-{n}", occurred_at=NOONS[DAYS[1]])

    def tell(self, kind: str, day: str, occurred: str, pick: int) -> int:
        """Append one step, accepted, quarantined or refused, and return the seq of the head."""
        self.count += 1
        event = self._event(kind, f"x{self.count}", day, pick)
        if event is not None:
            # A refused command is a step too: nothing happened.
            with contextlib.suppress(Rejected):
                self.ledger.append(event, key=f"k{self.count}", occurred_at=NOONS[occurred])
        return self.ledger.head().seq

    def _event(self, kind: str, name: str, day: str, pick: int) -> Event | None:
        qty, price = ("0.004", "0.01", "0.006")[pick % 3], ("100", "99.5")[pick % 2]
        trade: dict[str, Any] = {"venue": "V", "account": "A", "instrument": "BTCUSDT", "side": "buy", "qty": qty,
                                 "price": price}  # fmt: skip
        if kind == "place":
            self.orders.append(name)
            return OrderPlaced(order_id=name, cl_ord_id=name, account="A", instrument="BTCUSDT", side="buy",
                               qty="0.02", ord_type="limit", price="100")  # fmt: skip
        if kind == "cash":
            self.moves.append(name)
            return CashMoved(movement_id=name, account="A", asset="USDT", amount=("5", "-3")[pick % 2],
                             kind="funding", value_date=day)  # fmt: skip
        if kind == "fee":
            return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount="0.25")
        if kind == "close":
            return PeriodClosed(through=day)
        if kind == "odd":
            return TradeExecuted(exec_id=name, order_id="nobody's", trade_date=day, **trade)
        if kind == "lone trade":
            self.trades.append((name, day, None))
            trade["side"] = ("buy", "sell")[pick % 2]
            return TradeExecuted(exec_id=name, trade_date=day, **trade)
        if kind == "reverse":
            if not self.moves:
                return None
            return JournalReversed(journal_id=name, reverses_kind="cash", reverses=self.moves[pick % len(self.moves)],
                                   reason="r")  # fmt: skip
        if kind in ("correct", "bust"):
            if not self.trades:
                return None
            place = pick % len(self.trades)
            ref, ref_day, order = self.trades.pop(place)
            if kind == "bust":
                return TradeBusted(exec_id=name, exec_ref=ref, venue="V", trade_date=day, ref_trade_date=ref_day,
                                   reason="r")  # fmt: skip
            self.trades.append((name, day, order))
            return TradeCorrected(exec_id=name, exec_ref=ref, order_id=order, trade_date=day, ref_trade_date=ref_day,
                                  **trade)  # fmt: skip
        if not self.orders:
            return None
        order = self.orders[pick % len(self.orders)]
        if kind == "trade":
            self.trades.append((name, day, order))
            return TradeExecuted(exec_id=name, order_id=order, trade_date=day, **trade)
        return OrderCanceled(order_id=order) if kind == "cancel" else OrderAccepted(order_id=order, venue="V")


def counting(events: list[RecordedEvent], recorded_at: int, day: str) -> list[RecordedEvent]:
    """Return the events that domain rules let count: recorded by then, for days up to that one."""
    until = NOONS[day] // (86_400 * 10**9)
    return [event for event in events if event.recorded_at <= recorded_at and event.effective_on <= until]


def slow_totals(events: list[RecordedEvent], everything: list[RecordedEvent]) -> dict[tuple[str, str], Decimal]:
    """Return what each account owns of each asset: trades by their newest version, all else by its postings."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    newest = slow_live(events, everything)
    for event in events:
        payload = json.loads(event.payload)
        given = payload["given"]
        if event.event_type in ("TradeExecuted", "TradeCorrected"):
            if event.seq not in newest:
                continue
            sign = 1 if given["side"] == "buy" else -1
            gross = Decimal(given["qty"]) * Decimal(given["price"])
            for account, way in (("A", 1), ("~clearing.V", -1)):
                sums[account, "BTC"] += sign * way * Decimal(given["qty"])
                sums[account, "USDT"] -= sign * way * gross
        elif event.event_type != "TradeBusted":
            for account, asset, _, amount in payload["derived"].get("postings", ()):
                sums[account, asset] += Decimal(amount)
            for asset, buckets in payload["derived"].get("postings_of_many", {}).items():
                for amounts in buckets.values():
                    for account, amount in amounts.items():
                        sums[account, asset] += Decimal(amount)
    return {key: total for key, total in sums.items() if total}


def slow_live(events: list[RecordedEvent], everything: list[RecordedEvent]) -> dict[int, dict[str, str]]:
    """Return what was given of every execution that none of *events* comes after, by seq, in its lineage of all."""
    given = {event.seq: json.loads(event.payload)["given"] for event in everything
             if event.event_type in ("TradeExecuted", "TradeCorrected", "TradeBusted")}  # fmt: skip
    before = {(x["exec_id"], x["trade_date"]): (x.get("exec_ref"), x.get("ref_trade_date", x["trade_date"]))
              for x in given.values()}  # fmt: skip
    counting = {event.seq: given[event.seq] for event in events if event.seq in given}
    gone = set()
    for x in counting.values():
        name = before[x["exec_id"], x["trade_date"]]
        while name in before:
            gone.add(name)
            name = before[name]
    return {seq: x for seq, x in counting.items() if "qty" in x and (x["exec_id"], x["trade_date"]) not in gone}
