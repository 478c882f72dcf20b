"""
Hold the fold against a slow, obvious model: decimals, dictionaries, and everything recomputed each time.

The model (slow_model.py) keeps the list of what was accepted and nothing else. Whatever it is asked, it works out from
that list from the beginning. Before each step the machine says from the model alone what must become of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, localcontext
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved, FeeCharged, HoldPlaced, HoldReleased, Leg
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDoneForDay,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.order_status import leaves
from tests.domain.books import DAY, Books, check_invariants, fate_of, opened
from tests.domain.slow_model import Facts, Model, Standing

NAMES = ("O1", "O2", "O3", "O4")
ORDERS = st.sampled_from(NAMES)
REQUESTS = st.sampled_from([f"R{n}" for n in range(12)])
EXECUTIONS = st.sampled_from([f"E{n}" for n in range(16)])
AIMS = st.integers(0, 5)
"""Which of the orders, requests or trades that fit a step it is about; the last one: any, fit or not."""
QUANTITIES = st.sampled_from(["0.001", "0.003", "0.25", "0.5"])
PRICES = st.sampled_from(["99.99", "100", "1234.56"])
FEES = st.sampled_from(["0", "0.25"])
AMOUNTS = st.sampled_from(["0.01", "1", "250.5", "999"])


class Comparison(RuleBasedStateMachine):
    """The ledger's fold and the model, given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.books: Books = opened("1000", "1")
        self.model = Model()
        self.used = 0

    def give(self, event: Event, expected: str, kind: str = "", facts: Facts | None = None) -> None:
        """Give the event, and assert that its fate is the one the model expects, or one of several."""
        fate = fate_of(self.books, event)
        assert fate in expected.split(" or "), (event, fate, expected)
        if fate == "accepted" and facts is not None:
            self.model.accepted.append((kind, facts))

    def fact(self, event: Event, good: bool, kind: str, facts: Facts | None) -> None:
        """Give a venue fact, which is accepted or quarantined."""
        self.give(event, "accepted" if good else "quarantined", kind, facts)

    def live(self, order: str) -> Standing | None:
        standing = self.model.order(order)
        return standing if standing is not None and standing.how is None else None

    def aimed(self, aim: int, fit: Iterable[str], otherwise: str) -> str:
        found = list(fit)
        return found[aim % len(found)] if aim < 5 and found else otherwise

    def order_at(self, aim: int, otherwise: str) -> str:
        """Return an order that lives."""
        return self.aimed(aim, filter(self.live, NAMES), otherwise)

    def any_of(self, aim: int, pending: str, otherwise: str) -> str:
        """Return an order that a request of this kind is pending for."""
        orders = {name: self.model.order(name) for name in NAMES}
        return self.aimed(aim, (name for name, x in orders.items() if x and getattr(x, pending)), otherwise)

    @rule(order=ORDERS, side=st.sampled_from(["buy", "sell"]), qty=QUANTITIES, price=PRICES,
          tif=st.sampled_from(["day", "gtc"]))  # fmt: skip
    def place(self, order: str, side: str, qty: str, price: str, tif: str) -> None:
        asset = "USDT" if side == "buy" else "BTC"
        needed = Decimal(qty) * Decimal(price) if side == "buy" else Decimal(qty)
        expected = "accepted"
        if self.model.order(order):
            expected = "refused"
        elif needed > self.model.available(asset):
            expected = "no funds"
        event = OrderPlaced(order_id=order, cl_ord_id=order, account="A", instrument="BTCUSDT", side=side, qty=qty,
                            ord_type="limit", price=price, tif=tif)  # type: ignore[arg-type]  # fmt: skip
        facts = {"order": order, "side": side, "qty": qty, "price": price, "tif": tif}
        self.give(event, expected, "place", facts)

    @initialize(qty=QUANTITIES, tif=st.sampled_from(["day", "gtc"]))
    def begin(self, qty: str, tif: str) -> None:
        """Begin with an order on each side, so that there is something for the steps to be about."""
        self.place("O1", "buy", qty, "100", tif)
        self.place("O2", "sell", "0.25", "100", tif)

    @rule(order=ORDERS, aim=AIMS)
    def accept(self, order: str, aim: int) -> None:
        order = self.order_at(aim, order)
        self.fact(OrderAccepted(order_id=order, venue="V"), self.live(order) is not None, "accept", {"order": order})

    @rule(order=ORDERS, how=st.sampled_from(["canceled", "expired"]), spare=AIMS)
    def end(self, order: str, how: str, spare: int) -> None:
        # Most orders live on, so that more can happen to them.
        order = self.aimed(spare, (name for name in NAMES if not self.live(name)), order)
        standing = self.model.order(order)
        event = OrderCanceled(order_id=order) if how == "canceled" else OrderExpired(order_id=order)
        good = standing is not None and standing.how in (None, how)
        self.fact(event, good, "end", {"order": order, "how": how} if self.live(order) else None)

    @rule(order=ORDERS, spare=AIMS)
    def reject(self, order: str, spare: int) -> None:
        order = self.aimed(spare, (name for name in NAMES if not self.live(name)), order)
        standing = self.live(order)
        event = OrderRejected(order_id=order, reason_code="r")
        good = standing is not None and not standing.filled
        self.fact(event, good, "end", {"order": order, "how": "rejected"})

    def _request(self, order: str, request: str, orig: str) -> tuple[Standing | None, bool]:
        """Return the live order, and whether a request under this id may follow what it says it follows."""
        standing = self.live(order)
        if standing is None:
            return None, False
        follows = [standing.current, *standing.replaces[-1:], *standing.cancels[-1:]]
        return standing, orig in follows and self.model.asked_by(request) is None

    @rule(order=ORDERS, request=REQUESTS, follow=st.booleans(), orig=REQUESTS, aim=AIMS)
    def ask_cancel(self, order: str, request: str, follow: bool, orig: str, aim: int) -> None:
        order = self.order_at(aim, order)
        standing = self.model.order(order)
        orig = standing.current if follow and standing else orig
        standing, good = self._request(order, request, orig)
        good = good and standing is not None and standing.left > 0
        event = CancelRequested(order_id=order, cl_ord_id=request, orig_cl_ord_id=orig)
        self.give(event, "accepted" if good else "refused", "cancel?", {"order": order, "request": request})

    @rule(order=ORDERS, request=REQUESTS, follow=st.booleans(), orig=REQUESTS, qty=QUANTITIES, price=PRICES, aim=AIMS)
    def ask_replace(self, order: str, request: str, follow: bool, orig: str, qty: str, price: str, aim: int) -> None:
        order = self.order_at(aim, order)
        standing = self.model.order(order)
        orig = standing.current if follow and standing else orig
        standing, good = self._request(order, request, orig)
        expected = "accepted" if good else "refused"
        if standing is not None:
            if not standing.left and (Decimal(qty) <= standing.qty or (standing.done and not standing.lasts)):
                expected = "refused"
            before, asset = standing.reserved, "USDT" if standing.side == "buy" else "BTC"
            standing.wishes[request] = Decimal(qty), Decimal(price)
            more = standing.reserved - before
            if more > 0 and more > self.model.available(asset):
                # Which of two faults is named first is the ledger's to choose.
                expected = "no funds" if expected == "accepted" else "refused or no funds"
        event = ReplaceRequested(order_id=order, cl_ord_id=request, orig_cl_ord_id=orig, new_qty=qty, new_price=price)
        facts = {"order": order, "request": request, "qty": qty, "price": price}
        self.give(event, expected, "replace?", facts)

    @rule(order=ORDERS, request=REQUESTS, aim=AIMS, qty=QUANTITIES, price=PRICES)
    def replaced(self, order: str, request: str, aim: int, qty: str, price: str) -> None:
        order = self.any_of(aim, "replaces", self.order_at(aim, order))
        standing = self.live(order)
        request = self.aimed(aim, standing.replaces if standing else (), request)
        orig = standing.current if standing else order
        good = standing is not None and (
            request in standing.replaces or request == standing.current or self.model.asked_by(request) is None
        )
        event = OrderReplaced(order_id=order, cl_ord_id=request, orig_cl_ord_id=orig, qty=qty, price=price)
        self.fact(event, good, "replaced", {"order": order, "request": request, "qty": qty, "price": price})

    @rule(order=ORDERS, request=REQUESTS, what=st.sampled_from(["cancel", "replace"]), aim=AIMS)
    def refuse(self, order: str, request: str, what: str, aim: int) -> None:
        order = self.any_of(aim, what + "s", order)
        standing = self.model.order(order)
        good = False
        if standing is not None:
            pending = standing.cancels if what == "cancel" else standing.replaces
            request = self.aimed(aim, pending, request)
            overtaken = standing.how is not None and self.model.asked_by(request) == order
            good = request in pending or overtaken
        kind = CancelRejected if what == "cancel" else ReplaceRejected
        facts = {"order": order, "request": request, "what": what}
        self.fact(kind(order_id=order, cl_ord_id=request, reason="r"), good, "refuse", facts)

    @rule(order=ORDERS, aim=AIMS)
    def done(self, order: str, aim: int) -> None:
        order = self.order_at(aim, order)
        self.fact(OrderDoneForDay(order_id=order), self.live(order) is not None, "done", {"order": order})

    @rule(order=ORDERS, qty=st.none() | QUANTITIES, price=st.none() | PRICES, aim=AIMS)
    def restate(self, order: str, qty: str | None, price: str | None, aim: int) -> None:
        order = self.order_at(aim, order)
        standing = self.live(order)
        facts: Facts = {}
        good = standing is not None
        if standing is not None:
            good = Decimal(qty or standing.qty) >= standing.filled
            facts = {"order": order, "qty": qty or str(standing.qty), "price": price or str(standing.price)}
        self.fact(OrderRestated(order_id=order, reason="other", qty=qty, price=price), good, "restate", facts)

    def _execution(self, kind: str, facts: Facts, good: bool) -> str:
        """Return the fate of an execution report: its id may have been used before, for the same or for another."""
        before = self.model.execution(facts["execution"])
        if before is not None:
            return "duplicate" if before == (kind, facts) else "quarantined"
        return "accepted" if good else "quarantined"

    def _trade(self, order: str, qty: str, price: str, fee: str) -> tuple[Facts, dict[str, Any]]:
        standing = self.model.order(order)
        side = standing.side if standing else "buy"
        fees = (Fee(kind="c", asset="USDT", amount=fee),) if fee != "0" else ()
        given = {"venue": "V", "order_id": order, "account": "A", "instrument": "BTCUSDT", "side": side, "qty": qty,
                 "price": price, "trade_date": DAY, "fees": fees}  # fmt: skip
        return {"order": order, "side": side, "qty": qty, "price": price, "fee": fee}, given

    @rule(execution=EXECUTIONS, order=ORDERS, qty=QUANTITIES, price=PRICES, fee=FEES, aim=AIMS)
    def fill(self, execution: str, order: str, qty: str, price: str, fee: str, aim: int) -> None:
        order = self.order_at(aim, order)
        facts, given = self._trade(order, qty, price, fee)
        facts["execution"] = execution
        standing = self.model.order(order)
        fits = standing is not None and standing.filled + Decimal(qty) <= standing.qty
        good = fits and standing is not None and standing.how != "rejected"
        event = TradeExecuted(exec_id=execution, **given)
        self.give(event, self._execution("fill", facts, good), "fill", facts)

    @rule(execution=EXECUTIONS, ref=EXECUTIONS, aim=AIMS, order=ORDERS, qty=QUANTITIES, price=PRICES, fee=FEES)
    def correct(self, execution: str, ref: str, aim: int, order: str, qty: str, price: str, fee: str) -> None:
        ref = self.aimed(aim, self.model.trades(), ref)
        old = self.model.trades().get(ref)
        order = self.aimed(aim, [old["order"]] if old else (), order)
        facts, given = self._trade(order, qty, price, fee)
        facts |= {"execution": execution, "ref": ref}
        standing = self.model.order(order)
        good = False
        if old is not None and standing is not None and old["order"] == order:
            good = standing.filled - Decimal(old["qty"]) + Decimal(qty) <= standing.qty
        event = TradeCorrected(exec_id=execution, exec_ref=ref, **given)
        self.give(event, self._execution("correct", facts, good), "correct", facts)

    @rule(execution=EXECUTIONS, ref=EXECUTIONS, reopens=st.booleans(), aim=AIMS)
    def bust(self, execution: str, ref: str, reopens: bool, aim: int) -> None:
        ref = self.aimed(aim, self.model.trades(), ref)
        old = self.model.trades().get(ref)
        before = self.model.execution(execution)
        order = old["order"] if old else before[1]["order"] if before else ""
        facts = {"execution": execution, "ref": ref, "reopens": "yes" if reopens else "", "order": order}
        event = TradeBusted(exec_id=execution, exec_ref=ref, venue="V", trade_date=DAY, reason="r",
                            reopens_order=reopens)  # fmt: skip
        self.give(event, self._execution("bust", facts, old is not None), "bust", facts)

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
            for order in NAMES:
                row, standing = state.orders.get(order), model.order(order)
                assert (row is None) == (standing is None)
                if row is not None and standing is not None:
                    assert (row.status, row.cl_ord_id) == (standing.status, standing.current)
                    found = (row.qty, row.cum_qty, row.cum_notional, leaves(row), row.hold_amount)
                    meant = (standing.qty, standing.filled, model.notional(order), standing.left, standing.hold)
                    assert [Decimal(amount) / UNIT for amount in found] == list(meant)
            check_invariants(self.books.state)


TestModel: Callable[[], None] = Comparison.TestCase
TestModel.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)  # type: ignore[attr-defined]
