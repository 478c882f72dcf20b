"""
Hold settlement, allocation, conversion and holds against a slow, obvious model, bucket by bucket after every step.

The model (slow_settlement.py) keeps the list of what was accepted and nothing else. Before each step the machine says
from the model alone what must become of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.domain.amounts import UNIT, render
from ledger.domain.events.cash import (
    AssetAmount,
    CashMoved,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalReversed,
    Leg,
)
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import (
    AllocationLine,
    AllocationReversed,
    ExecutionRef,
    SettlementFailed,
    TradeAllocated,
    TradeSettled,
)
from ledger.domain.ladder import ladder
from tests.domain.books import check_invariants, fate_of
from tests.domain.equities import ACCOUNTS, DAY, DUE, all_balances, market
from tests.domain.slow_settlement import Buckets, Facts, Market, Trade, cents

EXECUTIONS = st.sampled_from([f"E{n}" for n in range(12)])
SETTLEMENTS = st.sampled_from([f"S{n}" for n in range(12)])
AIMS = st.integers(0, 6)
"""Which of the trades that fit a step it is about; the last one: any name, fit or not."""
SIDES = st.sampled_from(["buy", "sell"])
QUANTITIES = st.sampled_from(["1", "3", "7", "30"])
PRICES = st.sampled_from(["10", "33.335", "0.333333", "101.015"])
FEES = st.sampled_from(["0", "0.25", "-0.05"])
DAYS = st.sampled_from(["2024-08-12", "2024-08-13"])


class Comparison(RuleBasedStateMachine):
    """The ledger's fold and the model, given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.books = market("500", shares="20")
        deposits: Buckets = {place: Decimal(amount) / UNIT for place, amount in all_balances(self.books).items()}
        self.model = Market(deposits)
        self.facts: list[Event] = []
        self.numbers = 0

    def give(self, event: Event, expected: str, kind: str = "", facts: Facts | None = None) -> None:
        """Give the event, and assert that its fate is the one the model expects."""
        fate = fate_of(self.books, event)
        assert fate == expected, (event, fate, expected)
        if fate == "accepted" and facts is not None:
            self.model.accepted.append((kind, facts))
            if event.KIND == "fact":
                self.facts.append(event)

    @precondition(lambda self: self.facts)
    @rule(place=st.integers(0, 200))
    def repeat(self, place: int) -> None:
        """A fact that is said again, whatever happened since, is a duplicate."""
        self.give(self.facts[place % len(self.facts)], "duplicate")

    def after(self, kind: str, facts: Facts, touched: Iterable[tuple[str, str]]) -> str:
        """Return what must become of a command: it may take no cash account below zero, or further below."""
        places = [place for place in touched if place[0] != "BLOCK"]
        before = [self.model.available(*place) for place in places]
        self.model.accepted.append((kind, facts))
        now = [self.model.available(*place) for place in places]
        self.model.accepted.pop()
        return "no funds" if any(x < 0 and x < y for x, y in zip(now, before, strict=True)) else "accepted"

    def aimed(self, aim: int, fit: Iterable[str], otherwise: str) -> str:
        found = sorted(fit)
        return found[aim % len(found)] if aim < 6 and found else otherwise

    def new(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"

    def _known(self, execution: str) -> tuple[str, Facts] | None:
        return next((x for x in self.model.accepted if x[0] in ("trade", "correct", "bust")
                     and x[1]["execution"] == execution), None)  # fmt: skip

    def _fate(self, kind: str, facts: Facts, good: bool) -> str:
        before = self._known(facts["execution"])
        if before is not None:
            return "duplicate" if before == (kind, facts) else "quarantined"
        return "accepted" if good else "quarantined"

    def _made(self, execution: str, account: str, side: str, qty: str, price: str, fee: str) -> tuple[Facts, Facts]:
        gross = cents(Decimal(qty) * Decimal(price))
        made = Trade(account, side, Decimal(qty), gross, Decimal(fee), DUE)
        fees = (Fee(kind="c", asset="USD", amount=fee),) if fee != "0" else ()
        given = {"exec_id": execution, "venue": "N", "account": account, "instrument": "XYZ.N", "side": side,
                 "qty": qty, "price": price, "trade_date": DAY, "fees": fees}  # fmt: skip
        return {"execution": execution, "made": made, "price": price}, given

    @initialize(side=SIDES)
    def begin(self, side: str) -> None:
        """Begin with a block of two and a trade of a client, so that there is something for the steps to be about."""
        self.trade("E0", "BLOCK", side, "7", "33.335", "0.25")
        self.trade("E1", "BLOCK", side, "3", "0.333333", "0")
        self.trade("E2", "A", side, "7", "33.335", "0.25")

    @rule(execution=EXECUTIONS, account=st.sampled_from(ACCOUNTS), side=SIDES, qty=QUANTITIES, price=PRICES, fee=FEES)
    def trade(self, execution: str, account: str, side: str, qty: str, price: str, fee: str) -> None:
        facts, given = self._made(execution, account, side, qty, price, fee)
        self.give(TradeExecuted(**given), self._fate("trade", facts, True), "trade", facts)

    def _bookable(self, ref: str) -> bool:
        return ref in self.model.trades() and "." not in ref

    @rule(execution=EXECUTIONS, ref=EXECUTIONS, aim=AIMS, side=SIDES, qty=QUANTITIES, price=PRICES, fee=FEES)
    def correct(self, execution: str, ref: str, aim: int, side: str, qty: str, price: str, fee: str) -> None:
        live = self.model.trades()
        ref = self.aimed(aim, live, ref)
        account = live[ref].account if ref in live else "A"
        facts, given = self._made(execution, account, side, qty, price, fee)
        facts["ref"] = ref
        fate = self._fate("correct", facts, self._bookable(ref))
        self.give(TradeCorrected(exec_ref=ref, **given), fate, "correct", facts)

    @rule(execution=EXECUTIONS, ref=EXECUTIONS, aim=AIMS)
    def bust(self, execution: str, ref: str, aim: int) -> None:
        ref = self.aimed(aim, self.model.trades(), ref)
        facts = {"execution": execution, "ref": ref}
        event = TradeBusted(exec_id=execution, exec_ref=ref, venue="N", trade_date=DAY, reason="r")
        self.give(event, self._fate("bust", facts, self._bookable(ref)), "bust", facts)

    def _open(self) -> list[str]:
        return [name for name, trade in self.model.trades().items() if trade.open]

    @rule(settlement=SETTLEMENTS, name=EXECUTIONS, aim=AIMS, qty=st.sampled_from(["1", "2", "3", "7", "all"]))
    def settle(self, settlement: str, name: str, aim: int, qty: str) -> None:
        name = self.aimed(aim, self._open(), name)
        trade = self.model.trades().get(name)
        part = Decimal(1 if trade is None else trade.open or 1) if qty == "all" else Decimal(qty)
        facts = {"id": settlement, "execution": name, "qty": part, "partial": qty != "all"}
        before = self.model.used(("settle", "net"), settlement)
        expected = "accepted" if trade is not None and part <= trade.open else "quarantined"
        if before is not None:
            expected = "duplicate" if before == facts else "quarantined"
        event = TradeSettled(settlement_id=settlement, venue="N", trade_date=DAY, exec_id=name, qty=part,
                             partial=qty != "all", date=DUE)  # fmt: skip
        self.give(event, expected, "settle", facts)

    @rule(account=st.sampled_from(ACCOUNTS), cent=st.sampled_from(["0", "0", "0.01"]))
    def settle_net(self, account: str, cent: str) -> None:
        live = self.model.trades()
        names = sorted(name for name in self._open() if live[name].account == account)
        qty = sum((live[x].sign * live[x].open for x in names), Decimal(0))
        amount = sum((live[x].sign * (live[x].gross - live[x].paid) for x in names), Decimal(0)) + Decimal(cent)
        good = len(names) > 1 and cent == "0"
        facts = {"id": self.new(), "names": names}
        event = TradeSettled(settlement_id=facts["id"], venue="N", qty=qty, amount=amount, date=DUE,
                             net=tuple(ExecutionRef(trade_date=DAY, exec_id=x) for x in names))  # fmt: skip
        self.give(event, "accepted" if good else "quarantined", "net", facts)

    @rule(settlement=SETTLEMENTS, name=EXECUTIONS, aim=AIMS, day=DAYS, again=DAYS)
    def fail(self, settlement: str, name: str, aim: int, day: str, again: str) -> None:
        name = self.aimed(aim, self._open(), name)
        facts = {"id": settlement, "execution": name, "day": day, "again": again}
        before = next((x for x in self.model.of("fail") if (x["id"], x["day"]) == (settlement, day)), None)
        expected = "accepted" if name in self._open() and again >= day else "quarantined"
        if before is not None:
            expected = "duplicate" if before == facts else "quarantined"
        elif self.model.used(("settle", "net"), settlement) is not None:
            expected = "quarantined"
        event = SettlementFailed(settlement_id=settlement, venue="N", trade_date=DAY, exec_id=name, leg="cash",
                                 reason="r", date=day, new_intended_date=again)  # fmt: skip
        self.give(event, expected, "fail", facts)

    @rule(side=SIDES, to_a=st.integers(0, 40), fee=FEES, off=st.sampled_from(["0", "0", "0", "0.01"]), price=PRICES)
    def allocate(self, side: str, to_a: int, fee: str, off: str, price: str) -> None:
        live = self.model.trades()
        block = sorted(x for x, y in live.items() if (y.account, y.side) == ("BLOCK", side) and not y.settled)
        qty = sum((live[x].qty for x in block), Decimal(0))
        gross = sum((live[x].gross for x in block), Decimal(0))
        # The average price, to the last decimal that a price may have.
        average = (
            Decimal(price) if not qty else (gross / qty).quantize(Decimal(1).scaleb(-18), ROUND_DOWN) + Decimal(off)
        )
        quantities = [("A", min(Decimal(to_a), qty)), ("B", qty - min(Decimal(to_a), qty))]
        parts = [(account, part) for account, part in quantities if part]
        made = [Trade(x, side, part, cents(part * average), Decimal(fee), DUE) for x, part in parts]
        fees = (Fee(kind="c", asset="USD", amount=fee),) if fee != "0" else ()
        lines = tuple(AllocationLine(account=x, qty=part, price=average, fees=fees) for x, part in parts)
        name = self.new()
        residual = sum((x.gross for x in made), Decimal(0)) - gross
        facts: Facts = {"id": name, "block": block, "lines": made, "residual": residual * (1 if side == "buy" else -1)}
        # The lines are paid for as the block was, whatever their number: a cent a share is no rounding.
        expected = "refused"
        if block and off == "0":
            expected = self.after("allocate", facts, [(x, y) for x, _ in parts for y in ("USD", "XYZ")])
        event = TradeAllocated(allocation_id=name, venue="N", trade_date=DAY, exec_ids=tuple(block), lines=lines)
        self.give(event, expected, "allocate", facts)

    @precondition(lambda self: self.model.allocations())
    @rule(aim=AIMS)
    def reverse(self, aim: int) -> None:
        standing = self.model.allocations()
        name = self.aimed(aim, standing, "none")
        facts = standing.get(name, {})
        # It is taken back from whoever it was given to, though all of it is spent.
        expected = "accepted" if facts else "refused"
        self.give(AllocationReversed(allocation_id=name, reason="r"), expected, "unallocate", facts)

    @rule(account=st.sampled_from(["A", "B"]), sold=st.sampled_from(["1", "33.33", "100"]),
          rate=st.sampled_from(["0.9174", "1.0000001", "0.333333"]),
          cent=st.sampled_from(["0", "0", "0.01", "-0.02"]))  # fmt: skip
    def convert(self, account: str, sold: str, rate: str, cent: str) -> None:
        exact = Decimal(sold) * Decimal(rate)
        bought = cents(exact) + Decimal(cent)
        good = abs(bought - exact) < Decimal("0.01") and bought > 0
        facts = {"id": self.new(), "account": account, "sold": Decimal(sold), "bought": bought}
        event = FxConverted(fx_id=facts["id"], account=account, sold=AssetAmount(asset="USD", amount=sold),
                            bought=AssetAmount(asset="EUR", amount=bought), rate=rate, value_date=DAY)  # fmt: skip
        self.give(event, "accepted" if good else "quarantined", "fx", facts)

    @precondition(lambda self: self.model.of("fx"))
    @rule(aim=AIMS)
    def reverse_fx(self, aim: int) -> None:
        undone = {x["id"] for x in self.model.of("unfx")}
        name = self.aimed(aim, (x["id"] for x in self.model.of("fx") if x["id"] not in undone), "none")
        facts = self.model.used(("fx",), name) or {}
        expected = self.after("unfx", facts, [(facts["account"], "EUR")]) if facts else "refused"
        event = JournalReversed(journal_id=self.new(), reverses_kind="fx", reverses=name, reason="r")
        self.give(event, expected, "unfx", facts)

    @rule(name=st.sampled_from(["H1", "H2", "H3"]), account=st.sampled_from(["A", "B"]),
          amount=st.sampled_from(["1", "33.33", "400"]))  # fmt: skip
    def hold(self, name: str, account: str, amount: str) -> None:
        facts = {"id": name, "account": account, "amount": Decimal(amount)}
        expected = "refused"
        if self.model.hold(name) is None:
            expected = self.after("hold", facts, [(account, "USD")])
        self.give(HoldPlaced(hold_id=name, legs=(Leg(account=account, asset="USD", amount=amount),)), expected,
                  "hold", facts)  # fmt: skip

    @rule(name=st.sampled_from(["H1", "H2", "H3"]), amount=st.sampled_from(["0.01", "1", "20", None]))
    def release(self, name: str, amount: str | None) -> None:
        left = self.model.hold(name)
        account = next((x["account"] for x in self.model.of("hold") if x["id"] == name), "A")
        released = Decimal(amount) if amount else (left or Decimal(0))
        good = bool(left) and released <= (left or 0)
        legs = (Leg(account=account, asset="USD", amount=amount),) if amount else None
        event = HoldReleased(hold_id=name, amounts=legs, reason="captured", ref="x")
        facts = {"id": name, "account": account, "amount": released}
        self.give(event, "accepted" if good else "refused", "release", facts)

    @rule(account=st.sampled_from(["A", "B"]), what=st.sampled_from(["interest", "funding", "tax", "deposit"]),
          amount=st.sampled_from(["0.01", "99", "-7.5"]))  # fmt: skip
    def cash(self, account: str, what: Any, amount: str) -> None:
        good = what != "deposit" or not amount.startswith("-")
        event = CashMoved(
            movement_id=self.new(), account=account, asset="USD", amount=amount, kind=what, value_date=DAY
        )
        facts = {"account": account, "what": what, "amount": Decimal(amount)}
        self.give(event, "accepted" if good else "quarantined", "cash", facts)

    @invariant()
    def equal(self) -> None:
        """Every bucket of every account, every position and the ladder are what the model works out."""
        with localcontext() as context:
            context.prec = 60
            state, model = self.books.state, self.model
            found = {place: Decimal(amount) / UNIT for place, amount in all_balances(self.books).items()}
            assert found == model.buckets()
            for account in ACCOUNTS:
                row = state.positions.get(account, "XYZ.N")
                held = (row.qty, row.cost - row.realised, row.fees) if row else (0, 0, 0)
                assert tuple(Decimal(x) / UNIT for x in held) == model.position(account)
                if account != "BLOCK":
                    for asset in ("USD", "XYZ"):
                        balance = state.balances.get(account, asset)
                        assert balance is not None
                        assert balance.breached == (model.available(account, asset) < 0)
            tables = (state.executions, state.settlement_fails, state.movements, state.allocations)
            rungs = ladder(*(x.rows.values() for x in tables), {"USD": 2, "XYZ": 0})  # type: ignore[arg-type]
            due = {(x.date, x.account, x.asset): Decimal(render(x.due)) for x in rungs if x.due}
            assert due == model.due()
            failed = {(x.date, x.account, x.asset): Decimal(render(x.failed)) for x in rungs if x.failed}
            assert failed == model.failed()
            if not state.holds.rows:
                check_invariants(state)

    def teardown(self) -> None:
        self.books.replayed()


TestModel: Callable[[], None] = Comparison.TestCase
TestModel.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)  # type: ignore[attr-defined]
