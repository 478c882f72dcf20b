"""
Make small sessions as NautilusTrader would publish them, and say what the ledger must make of them.

One seed makes one session: several venues and accounts, equities and currencies, orders of every fate, fills before an
acceptance and after a cancel, positions that flip, statements that lie for a while, strangers, and events that are
delivered twice. The engine's books are kept here in Decimal, apart from the ledger's code.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

NOON_NS = 1_723_161_254_087_891_268
INSTRUMENTS: list[dict[str, Any]] = [
    {"type": "Equity", "id": "AAPL.XNAS", "raw_symbol": "AAPL", "currency": "USD", "price_increment": "0.01",
     "size_increment": "1", "multiplier": "1", "isin": "US0378331005"},
    {"type": "Equity", "id": "SAP.XETR", "raw_symbol": "SAP", "currency": "EUR", "price_increment": "0.01",
     "size_increment": "1"},
    {"type": "CurrencyPair", "id": "EUR/USD.SIM", "raw_symbol": "EUR/USD", "base_currency": "EUR",
     "quote_currency": "USD", "price_increment": "0.00001", "size_increment": "1000"},
    {"type": "CurrencyPair", "id": "GBP/EUR.SIM", "raw_symbol": "GBP/EUR", "base_currency": "GBP",
     "quote_currency": "EUR", "price_increment": "0.00001", "size_increment": "1000"},
    {"type": "CurrencyPair", "id": "BTCUSDT.BINANCE", "raw_symbol": "BTCUSDT", "base_currency": "BTC",
     "quote_currency": "USDT", "price_increment": "0.01", "size_increment": "0.000001"},
    {"type": "CurrencyPair", "id": "ETHBTC.BINANCE", "raw_symbol": "ETHBTC", "base_currency": "ETH",
     "quote_currency": "BTC", "price_increment": "0.00001", "size_increment": "0.001"},
]  # fmt: skip
ACCOUNTS: dict[str, tuple[str, dict[str, str]]] = {
    "XNAS-001": ("MARGIN", {"USD": "250000.00"}),
    "XETR-7": ("CASH", {"EUR": "90000.00"}),
    "SIM-001": ("MARGIN", {"USD": "1000000.00", "EUR": "-250.50", "GBP": "0.00"}),
    "BINANCE-001": ("CASH", {"USDT": "1000000.00000000", "BTC": "10.00000000", "ETH": "0.00000000"}),
}
_PRICES = {"AAPL": "212.35", "SAP": "181.02", "EUR/USD": "1.09215", "GBP/EUR": "1.16702", "BTCUSDT": "61837.63",
           "ETHBTC": "0.04217"}  # fmt: skip


class Session:
    """
    The lines of one session, and what they must come to.

    `recorded` counts the source events that become an event of the ledger, by type; `classes` those that do not.
    """

    def __init__(self, seed: int, orders: int = 30) -> None:
        self.rng = random.Random(seed)
        self.lines: list[dict[str, Any]] = []
        self.quiet = [0]
        self.read: Counter[str] = Counter()
        self.recorded: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.totals: dict[tuple[str, str], Decimal] = {}
        self.positions: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.quarantined: list[str] = []
        self.breaks: dict[str, str] = {}
        self.changes = 0
        self._lies: dict[tuple[str, str], str] = {}
        self._late: list[dict[str, Any]] = []
        self._number = 0
        for account in ACCOUNTS:
            self._state(account, first=True)
        for number in range(orders):
            self._order(f"O-{number}")
            self._deliver_late(len(self._late) > 3)
            self.quiet.append(len(self.lines))
            self._perhaps_lie()
        self._deliver_late(True)
        for account in ACCOUNTS:
            self._state(account)

    def text(self, first: int = 0, last: int | None = None) -> bytes:
        """Return lines as a file has them."""
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines[first:last])

    def _put(self, kind: str, became: str, **more: Any) -> None:
        """Deliver an event; *became* is the class it is counted in, or `recorded`."""
        self._number += 1
        event = {"type": kind, "event_id": f"e-{self._number}", "ts_event": NOON_NS + self._number, **more}
        self._deliver(event, became)
        if self.rng.random() < 0.1:
            again = became if became in ("submission", "position", "request") else "duplicate"
            if self.rng.random() < 0.5:
                self._deliver(event, again)
            else:
                self._late.append({**event, "_class": again})

    def _deliver(self, event: dict[str, Any], became: str) -> None:
        self.lines.append(event)
        self.read[event["type"]] += 1
        if became == "recorded":
            self.recorded[event["type"]] += 1
        else:
            self.classes[became] += 1

    def _deliver_late(self, now: bool) -> None:
        while now and self._late:
            event = self._late.pop(self.rng.randrange(len(self._late)))
            became = event.pop("_class")
            self._deliver(event, became)

    def _perhaps_lie(self) -> None:
        """Start, change or end a wrong figure in what the engine says about an account."""
        if self.rng.random() < 0.3:
            account = self.rng.choice(list(ACCOUNTS))
            asset = self.rng.choice(list(ACCOUNTS[account][1]))
            if (account, asset) in self._lies and self.rng.random() < 0.5:
                del self._lies[account, asset]
            else:
                self._lies[account, asset] = str(self.rng.randrange(-5, 1000))
            self._state(account)

    def _state(self, account: str, first: bool = False) -> None:
        kind, opening = ACCOUNTS[account]
        balances = []
        before = dict(self.breaks)
        for asset, start in opening.items():
            decimals = len(start.partition(".")[2])
            true = self.totals.setdefault((account, asset), Decimal(start))
            shown = self._lies.get((account, asset)) or f"{true:.{decimals}f}"
            balances.append({"currency": asset, "total": shown, "locked": "0", "free": shown})
            key = f"{account}:{asset}"
            if Decimal(shown) == true:
                self.breaks.pop(key, None)
            else:
                self.breaks[key] = f"{true:f}" + "/" + shown
        self.changes += before != self.breaks
        self._put("AccountState", "recorded" if first else "reconciled", account_id=account, account_type=kind,
                  base_currency=None, balances=balances)  # fmt: skip

    def _order(self, name: str) -> None:
        rng = self.rng
        instrument = rng.choice(INSTRUMENTS)
        symbol, _, venue = str(instrument["id"]).rpartition(".")
        account = next(account for account in ACCOUNTS if account.startswith(venue))
        lot, tick = Decimal(instrument["size_increment"]), Decimal(instrument["price_increment"])
        qty, side = lot * rng.randrange(2, 200), rng.choice(["BUY", "SELL"])
        price = Decimal(_PRICES[symbol]) + tick * rng.randrange(-50, 50)
        common = {"instrument_id": instrument["id"], "client_order_id": name}
        placed = {**common, "account_id": account}
        limit = rng.random() < 0.6
        options = {"price": f"{price:f}"} if limit else {}
        self._put("OrderInitialized", "recorded", strategy_id="S-1", order_side=side, quantity=f"{qty:f}",
                  order_type="LIMIT" if limit else "MARKET", time_in_force=rng.choice(["GTC", "DAY", "IOC"]),
                  options=options, **common)  # fmt: skip
        fate = rng.choice(["denied", "rejected", "filled", "filled", "early", "cancelled", "late", "over", "stranger"])
        if fate == "denied":
            self._put("OrderDenied", "recorded", reason="too many", account_id=None, **common)
            return
        self._put("OrderSubmitted", "submission", **placed)
        if fate == "rejected":
            self._put("OrderRejected", "recorded", reason="closed", **placed)
            return
        if fate != "early":
            self._put("OrderAccepted", "recorded", venue_order_id=f"V/{name}", **placed)
        part = lot * rng.randrange(1, int(qty / lot))
        self._fill(placed, name + "-1", side, part, price, symbol, instrument)
        if fate == "early":
            self._put("OrderAccepted", "recorded", venue_order_id=f"V/{name}", **placed)
        if fate in ("cancelled", "late"):
            self._put("OrderPendingCancel", "request", **placed)
            self._put("OrderCanceled", "recorded", **placed)
        if fate in ("filled", "early", "late", "over"):
            self._fill(placed, name + "-2", side, qty - part, price + tick, symbol, instrument)
        if fate == "over":
            self._fill(placed, name + "-3", side, lot, price, symbol, instrument, rule="overfill")
        if fate == "stranger":
            unknown = {**placed, "client_order_id": f"X-{name}"}
            self._fill(unknown, name + "-4", side, lot, price, symbol, instrument, rule="unknown_order")
            self._put("OrderExpired", "recorded", **placed)

    def _fill(
        self, placed: dict[str, Any], trade: str, side: str, qty: Decimal, price: Decimal, symbol: str,
        instrument: dict[str, Any], rule: str | None = None,
    ) -> None:  # fmt: skip
        account = placed["account_id"]
        quote = instrument.get("quote_currency") or instrument["currency"]
        fee = Decimal(self.rng.choice(["0.00", "1.25"] if quote in ("USD", "EUR") else ["0.00000000", "0.00001234"]))
        # The commission of a pair may be in what was bought.
        paid = self.rng.choice([quote, instrument["base_currency"]]) if quote in ("USDT", "BTC") else quote
        self._put("OrderFilled", "recorded", trade_id=f"T/{trade}", order_side=side, last_qty=f"{qty:f}",
                  last_px=f"{price:f}", commission=f"{fee:f} {paid}", liquidity_side="MAKER", **placed)  # fmt: skip
        if rule is not None:
            self.quarantined.append(rule)
            return
        sign = 1 if side == "BUY" else -1
        self.positions[account, str(instrument["id"])] += sign * qty
        self._move(account, quote, -sign * qty * price)
        if "base_currency" in instrument:
            self._move(account, instrument["base_currency"], sign * qty)
        self._move(account, paid, -fee)
        self._put("PositionChanged", "position", **placed)
        self._state(account)

    def _move(self, account: str, asset: str, amount: Decimal) -> None:
        self.totals[account, asset] += amount
