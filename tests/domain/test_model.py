"""
Hold the fold against a slow, obvious model: decimals, dictionaries, and everything recomputed each time.

The model keeps the list of what was accepted and nothing else. Whatever it is asked (what is available, what is held,
where an order stands) it works out from that list from the beginning, in a way that shares no code with the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved, FeeCharged, HoldPlaced, HoldReleased, Leg
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced, OrderRejected
from ledger.domain.fold import DuplicateFact
from ledger.errors import InsufficientFunds, RuleBroken
from tests.domain.books import DAY, Books, check_invariants, opened

ORDERS = st.sampled_from(["O1", "O2", "O3"])
EXECUTIONS = st.sampled_from([f"E{n}" for n in range(8)])
QUANTITIES = st.sampled_from(["0.001", "0.003", "0.25", "0.5"])
PRICES = st.sampled_from(["99.99", "100", "1234.56"])
AMOUNTS = st.sampled_from(["0.01", "1", "250.5", "999"])


class Model:
    """What was accepted, in order; every answer is worked out from it."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, dict[str, str]]] = []

    def of(self, kind: str) -> list[dict[str, str]]:
        return [facts for found, facts in self.accepted if found == kind]

    def placed(self, order: str) -> dict[str, str] | None:
        return next((x for x in self.of("place") if x["order"] == order), None)

    def ended(self, order: str) -> str | None:
        return next((x["how"] for x in self.of("end") if x["order"] == order), None)

    def filled(self, order: str) -> Decimal:
        return sum((Decimal(x["qty"]) for x in self.of("fill") if x["order"] == order), Decimal(0))

    def order_hold(self, order: str, asset: str) -> Decimal:
        placed = self.placed(order)
        if placed is None or self.ended(order):
            return Decimal(0)
        left = Decimal(placed["qty"]) - self.filled(order)
        if placed["side"] == "buy":
            return left * Decimal(placed["price"]) if asset == "USDT" else Decimal(0)
        return left if asset == "BTC" else Decimal(0)

    def held(self, asset: str) -> Decimal:
        orders = sum((self.order_hold(x["order"], asset) for x in self.of("place")), Decimal(0))
        released = {x["hold"] for x in self.of("release")}
        holds = [x for x in self.of("hold") if x["asset"] == asset and x["hold"] not in released]
        return orders + sum((Decimal(x["amount"]) for x in holds), Decimal(0))

    def total(self, asset: str) -> Decimal:
        total = Decimal(1000) if asset == "USDT" else Decimal(1)
        for kind, facts in self.accepted:
            if kind == "fill":
                sign = 1 if facts["side"] == "buy" else -1
                gross = Decimal(facts["qty"]) * Decimal(facts["price"])
                total += sign * (Decimal(facts["qty"]) if asset == "BTC" else -gross)
                total -= Decimal(facts["fee"]) if asset == "USDT" else 0
            elif kind == "cash" and facts["asset"] == asset:
                total += Decimal(facts["amount"])
            elif kind == "fee" and asset == "USDT":
                total -= Decimal(facts["amount"])
        return total

    def available(self, asset: str) -> Decimal:
        return self.total(asset) - self.held(asset)

    def position(self) -> Decimal:
        signed = [(1 if x["side"] == "buy" else -1) * Decimal(x["qty"]) for x in self.of("fill")]
        return sum(signed, Decimal(0))

    def status(self, order: str) -> str | None:
        placed, ended, filled = self.placed(order), self.ended(order), self.filled(order)
        if placed is None:
            return None
        if ended == "rejected":
            return "REJECTED"
        if filled == Decimal(placed["qty"]):
            return "FILLED"
        if ended == "canceled":
            return "CANCELED"
        if filled:
            return "PARTIALLY_FILLED"
        return "NEW" if any(x["order"] == order for x in self.of("accept")) else "PENDING_NEW"


class Comparison(RuleBasedStateMachine):
    """The ledger's fold and the model, given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.books: Books = opened("1000", "1")
        self.model = Model()
        self.used = 0

    def give(self, event: Event, expected: str, kind: str = "", facts: dict[str, str] | None = None) -> None:
        """Give the event, and assert that its fate is the one the model expects."""
        try:
            fate = "quarantined" if self.books.give(event).rule else "accepted"
        except InsufficientFunds:
            fate = "no funds"
        except RuleBroken:
            fate = "refused"
        except DuplicateFact:
            fate = "duplicate"
        assert fate == expected, (event, fate, expected)
        if fate == "accepted" and facts is not None:
            self.model.accepted.append((kind, facts))

    @rule(order=ORDERS, side=st.sampled_from(["buy", "sell"]), qty=QUANTITIES, price=PRICES)
    def place(self, order: str, side: str, qty: str, price: str) -> None:
        asset = "USDT" if side == "buy" else "BTC"
        needed = Decimal(qty) * Decimal(price) if side == "buy" else Decimal(qty)
        expected = "accepted"
        if self.model.placed(order):
            expected = "refused"
        elif needed > self.model.available(asset):
            expected = "no funds"
        event = OrderPlaced(order_id=order, cl_ord_id=order, account="A", instrument="BTCUSDT", side=side, qty=qty,
                            ord_type="limit", price=price)  # type: ignore[arg-type]  # fmt: skip
        self.give(event, expected, "place", {"order": order, "side": side, "qty": qty, "price": price})

    @rule(order=ORDERS)
    def accept(self, order: str) -> None:
        good = self.model.placed(order) is not None and not self.model.ended(order)
        event = OrderAccepted(order_id=order, venue="V")
        self.give(event, "accepted" if good else "quarantined", "accept", {"order": order})

    @rule(order=ORDERS)
    def cancel(self, order: str) -> None:
        good = self.model.placed(order) is not None and self.model.ended(order) != "rejected"
        facts = None if self.model.ended(order) else {"order": order, "how": "canceled"}
        self.give(OrderCanceled(order_id=order), "accepted" if good else "quarantined", "end", facts)

    @rule(order=ORDERS)
    def reject(self, order: str) -> None:
        good = self.model.placed(order) is not None and not self.model.ended(order) and not self.model.filled(order)
        facts = {"order": order, "how": "rejected"}
        event = OrderRejected(order_id=order, reason_code="r")
        self.give(event, "accepted" if good else "quarantined", "end", facts)

    @rule(execution=EXECUTIONS, order=ORDERS, qty=QUANTITIES, price=PRICES, fee=st.sampled_from(["0", "0.25"]))
    def fill(self, execution: str, order: str, qty: str, price: str, fee: str) -> None:
        placed = self.model.placed(order)
        side = placed["side"] if placed else "buy"
        facts = {"execution": execution, "order": order, "side": side, "qty": qty, "price": price, "fee": fee}
        before = next((x for x in self.model.of("fill") if x["execution"] == execution), None)
        expected = "accepted"
        if before is not None:
            expected = "duplicate" if before == facts else "quarantined"
        elif (
            placed is None
            or self.model.ended(order) == "rejected"
            or self.model.filled(order) + Decimal(qty) > Decimal(placed["qty"])
        ):
            expected = "quarantined"
        fees = (Fee(kind="c", asset="USDT", amount=fee),) if fee != "0" else ()
        event = TradeExecuted(exec_id=execution, venue="V", order_id=order, account="A", instrument="BTCUSDT",
                              side=side, qty=qty, price=price, trade_date=DAY, fees=fees)  # type: ignore[arg-type]  # fmt: skip
        self.give(event, expected, "fill", facts)

    def _new(self) -> str:
        self.used += 1
        return f"n{self.used}"

    @rule(asset=st.sampled_from(["USDT", "BTC"]), amount=AMOUNTS, sign=st.sampled_from(["", "-"]))
    def move_cash(self, asset: str, amount: str, sign: str) -> None:
        event = CashMoved(movement_id=self._new(), account="A", asset=asset, amount=sign + amount, kind="funding",
                          value_date=DAY)  # fmt: skip
        self.give(event, "accepted", "cash", {"asset": asset, "amount": sign + amount})

    @rule(amount=AMOUNTS)
    def charge(self, amount: str) -> None:
        good = Decimal(amount) <= self.model.available("USDT")
        event = FeeCharged(fee_id=self._new(), account="A", kind="k", asset="USDT", amount=amount)
        self.give(event, "accepted" if good else "no funds", "fee", {"amount": amount})

    @rule(hold=st.sampled_from(["H1", "H2"]), asset=st.sampled_from(["USDT", "BTC"]), amount=AMOUNTS)
    def hold(self, hold: str, asset: str, amount: str) -> None:
        expected = "accepted"
        if any(x["hold"] == hold for x in self.model.of("hold")):
            expected = "refused"
        elif Decimal(amount) > self.model.available(asset):
            expected = "no funds"
        event = HoldPlaced(hold_id=hold, legs=(Leg(account="A", asset=asset, amount=amount),))
        self.give(event, expected, "hold", {"hold": hold, "asset": asset, "amount": amount})

    @rule(hold=st.sampled_from(["H1", "H2"]))
    def release(self, hold: str) -> None:
        known = any(x["hold"] == hold for x in self.model.of("hold"))
        again = any(x["hold"] == hold for x in self.model.of("release"))
        good = known and not again
        event = HoldReleased(hold_id=hold, reason="void")
        self.give(event, "accepted" if good else "refused", "release", {"hold": hold})

    @invariant()
    def equal(self) -> None:
        """The books are what the model works out, to the last digit."""
        with localcontext() as context:
            context.prec = 60
            state, model = self.books.state, self.model
            for asset in ("USDT", "BTC"):
                balance = state.balances.get("A", asset)
                assert balance is not None
                assert Decimal(balance.total) / UNIT == model.total(asset)
                assert Decimal(balance.held) / UNIT == model.held(asset)
                assert balance.breached == (model.available(asset) < 0)
            position = state.positions.get("A", "BTCUSDT")
            assert (Decimal(position.qty) / UNIT if position else 0) == model.position()
            for order in ("O1", "O2", "O3"):
                row = state.orders.get(order)
                assert (row.status if row else None) == model.status(order)
            check_invariants_but_holds(self.books)


def check_invariants_but_holds(books: Books) -> None:
    """The rows' own invariants; holds on request are counted by the model."""
    if not books.state.holds.rows:
        check_invariants(books.state)


TestModel: Callable[[], None] = Comparison.TestCase
TestModel.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)  # type: ignore[attr-defined]
