"""
Hold dividends, splits, new names and both ways to reckon cost against a slow, obvious model, after every step.

The model (slow_holdings.py) keeps a list of what was accepted. Before each step the machine says from it alone what
must become of the event.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.domain.amounts import UNIT
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    CashInLieu,
    DividendLine,
    Entitled,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.fold import DuplicateFact
from tests.domain.books import Books
from tests.domain.slow_holdings import SHARES, Model, cents, rounded

ACCOUNTS = st.sampled_from(["A", "F"])
AGO = st.sampled_from([0, 0, 0, 0, 1, -1])
"""How many days before today something is of."""
QUANTITIES = st.sampled_from(["0.1", "0.7", "1", "3.3", "7"])
PRICES = st.sampled_from(["1.01", "10", "33.33"])
RATIOS = st.sampled_from([(2, 1), (3, 2), (1, 3), (1, 10), (7, 4)])
ROUNDINGS = st.sampled_from(["cash", "down", "up", "nearest"])
NUMBERS = st.integers(0, 9)


def text(amount: Fraction) -> str:
    """Write a fraction that ends as decimal text."""
    whole = amount * 100
    assert whole.denominator == 1, amount
    sign = "-" if whole < 0 else ""
    return f"{sign}{abs(int(whole)) // 100}.{abs(int(whole)) % 100:02d}"


class Comparison(RuleBasedStateMachine):
    """The ledger's fold and the model, given the same."""

    def __init__(self) -> None:
        super().__init__()
        self.books, self.model = Books(), Model({"F"})
        self.names, self.used, self.order, self.today = ["XYZ"], 0, None, 10
        for asset, scale in (("USD", 2), ("XYZ", 1)):
            self.books.give(AssetDefined(asset=asset, kind="security", scale=scale, name=asset))
        self.books.give(
            InstrumentDefined(
                instrument="XYZ", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.01", lot="0.1",
                settlement_cycle=0, venue="V",
            )
        )  # fmt: skip
        self.books.give(AccountOpened(account="A", owner="o", kind="house", base_asset="USD"))
        self.books.give(AccountOpened(account="F", owner="o", kind="house", base_asset="USD", cost_method="FIFO"))

    @initialize(side=st.sampled_from(["buy", "sell"]), price=PRICES)
    def place(self, side: str, price: str) -> None:
        """An order rests in the book all the while."""
        self.books.give(
            OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ", side=side, qty="50",  # type: ignore[arg-type]
                        ord_type="limit", price=price, tif="gtc")
        )  # fmt: skip
        self.order: Any = [side, Fraction(50), Fraction(price)]
        self.ended_as: str | None = None

    def give(self, event: Event, good: bool | None, kind: str, facts: dict[str, Any]) -> None:
        """Give a fact, and assert that its fate is the model's; None: a duplicate."""
        try:
            found: bool | None = not self.books.give(event).rule
        except DuplicateFact:
            found = None
        assert found == good, (event, found, good)
        if found:
            self.model.steps.append((kind, facts))

    def new(self) -> str:
        self.used += 1
        return f"n{self.used}"

    def come(self, ago: int) -> bool:
        """Return whether a day has begun; the clock stands at noon of today."""
        self.books.set_day(self.day(0))
        return ago >= 0

    def day(self, ago: int) -> str:
        return (datetime.date(2024, 8, 1) + datetime.timedelta(days=self.today - ago)).isoformat()

    @rule()
    def sleep(self) -> None:
        self.today += 1
        self.books.set_day(self.day(0))

    def last_split(self) -> str:
        return max((x["ex"] for x in self.model.of("split")), default="")

    def _trade(
        self, account: str, qty: str, price: str, sells: bool, day: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        traded = -Fraction(qty) if sells else Fraction(qty)
        name = self.new()
        facts = {"id": name, "account": account, "traded": traded, "value": cents(traded * Fraction(price)), "day": day}
        given = {
            "exec_id": name, "venue": "V", "account": account, "instrument": self.names[self.used % len(self.names)],
            "side": "sell" if sells else "buy", "qty": qty, "price": price, "trade_date": day,
        }  # fmt: skip
        return facts, given

    @rule(account=ACCOUNTS, qty=QUANTITIES, price=PRICES, sells=st.booleans(), day=AGO)
    def trade(self, account: str, qty: str, price: str, sells: bool, day: int) -> None:
        facts, given = self._trade(account, qty, price, sells, self.day(day))
        self.give(TradeExecuted(**given), self.day(day) >= self.last_split(), "trade", facts)

    def _ref(self, number: int) -> dict[str, Any] | None:
        found = list(self.model.trades().values())
        return found[number % len(found)] if found else None

    @rule(number=NUMBERS, qty=QUANTITIES, price=PRICES, sells=st.booleans(), day=AGO)
    def correct(self, number: int, qty: str, price: str, sells: bool, day: int) -> None:
        old = self._ref(number)
        if old is not None:
            facts, given = self._trade(old["account"], qty, price, sells, self.day(day))
            event = TradeCorrected(exec_ref=old["id"], ref_trade_date=old["day"], **given)
            good = min(self.day(day), old["day"]) >= self.last_split()
            self.give(event, good, "correct", {**facts, "ref": old["id"]})

    @rule(number=NUMBERS, day=AGO)
    def bust(self, number: int, day: int) -> None:
        old = self._ref(number)
        if old is not None:
            name = self.new()
            event = TradeBusted(exec_id=name, exec_ref=old["id"], venue="V", trade_date=self.day(day),
                                ref_trade_date=old["day"],
                                reason="r")  # fmt: skip
            facts = {"id": name, "ref": old["id"], "account": old["account"]}
            self.give(event, old["day"] >= self.last_split(), "bust", facts)

    @rule(
        ratio=RATIOS, how=ROUNDINGS, at=AGO, wrong=st.sampled_from([False, False, True]), per_share=st.integers(0, 20)
    )
    def split(self, ratio: tuple[int, int], how: str, at: int, wrong: bool, per_share: int) -> None:
        self.today += 1
        ex = self.day(at)
        held: dict[str, Fraction] = {}
        good = self.come(at) and ex > self.last_split()
        for account in ("A", "F"):
            before = self.model.before(account, ex)
            good = good and not self.model.is_traded_since(account, ex)
            if before:
                held[account] = before
        exact = {account: qty * Fraction(*ratio) for account, qty in held.items()}
        cash = {
            account: cents((qty - rounded(qty, "down")) * per_share)
            for account, qty in exact.items()
            if how == "cash" and qty != rounded(qty, "down")
        }
        given = tuple(CashInLieu(account=account, amount=text(amount)) for account, amount in cash.items())
        if wrong:
            given, good = (given[1:], False) if given else ((CashInLieu(account="A", amount="1"),), False)
        event = SplitApplied(
            ca_id=self.new(), instrument=self.names[0], ratio_num=ratio[0], ratio_den=ratio[1], ex_date=ex,
            rounding=how, cash_in_lieu=given,  # type: ignore[arg-type]
        )  # fmt: skip
        terms = self._terms(ratio)
        self.give(event, good, "split",
                  {"ratio": Fraction(*ratio), "how": how, "ex": ex, "held": set(held), "cash": cash})  # fmt: skip
        if good and self.ended_as is None:
            if terms[1]:
                self.order = terms
            else:
                # It keeps its terms in the shares of before, and its name.
                self.ended_as = self.names[-1]

    def _terms(self, ratio: tuple[int, int]) -> list[Any]:
        side, qty, price = self.order
        ticks = price / Fraction(*ratio) * 100
        low = int(ticks)
        return [side, Fraction(int(qty * Fraction(*ratio) * SHARES), SHARES),
                Fraction(max(low + (side == "sell" and low != ticks), 1), 100)]  # fmt: skip

    @rule()
    def rename(self) -> None:
        if len(self.names) == 3:
            return
        name = f"XYZ{len(self.names)}"
        event = InstrumentRenamed(ca_id=self.new(), old=self.names[-1], new=name, effective="2024-08-03")
        self.give(event, True, "rename", {})
        self.names.append(name)

    @rule(at=AGO, rate=st.sampled_from(["0.07", "1.115"]), wrong=st.sampled_from(["", "", "told", "untold"]))
    def accrue(self, at: int, rate: str, wrong: str) -> None:
        ex = self.day(at)
        name, lines, due, good = self.new(), [], {}, self.come(at)
        for account in ("A", "F"):
            held = self.model.before(account, ex)
            qty = Fraction(5) if held is None or wrong else held
            good = good and (wrong == "told" or held == qty)
            gross = cents(qty * Fraction(rate))
            tax = cents(gross * Fraction("0.15"))
            due[account] = (gross, tax)
            lines.append(Entitled(account=account, qty=text(qty), gross=text(gross), tax=text(tax),
                                  reason="custodian" if wrong == "told" else None))  # fmt: skip
        event = CashDividendAccrued(
            ca_id=name, instrument=self.names[0], ex_date=ex, record_date=ex, pay_date=ex, rate=rate, tax_rate="0.15",
            entitlements=tuple(lines),
        )  # fmt: skip
        self.give(event, good, "accrue", {"id": name, "due": due})

    @rule(number=NUMBERS, account=ACCOUNTS, part=st.sampled_from([1, 2, 3]), again=st.booleans())
    def pay(self, number: int, account: str, part: int, again: bool) -> None:
        found = self.model.of("accrue")
        if not found:
            return
        dividend = found[number % len(found)]["id"]
        gross, tax = self.model.due(dividend, account)
        paid, withheld = (cents(gross / part), cents(tax / part)) if part < 3 else (gross * 2, tax)
        good = part < 3 or not gross
        name = self.new()
        event = CashDividendPaid(
            ca_id=dividend, payment_id=name, paid_on="2024-08-09",
            lines=(DividendLine(account=account, gross=text(paid), tax=text(withheld)),),
        )  # fmt: skip
        facts = {"dividend": dividend, "lines": [(account, paid, withheld)]}
        self.give(event, good, "pay", facts)
        if good and again:
            self.give(event, None, "pay", facts)

    @invariant()
    def equal(self) -> None:
        """Positions, lots, balances, receivables and the order are what the model works out, to the last digit."""
        state, model = self.books.state, self.model
        for account in ("A", "F"):
            holding = model.holding(account)
            row = state.positions.get(account, self.names[-1])
            found = [Fraction(x, UNIT) for x in (row.qty, row.cost, row.realised)] if row else [0, 0, 0]
            assert found == [holding.qty, holding.cost, holding.realised]
            assert holding.cost * holding.qty >= 0
            kept = [x for _, x in sorted(state.lots.rows.items()) if x.account == account and x.open_qty]
            assert {x.instrument for x in kept} <= {self.names[-1]}
            lots = [[Fraction(x.open_qty, UNIT), Fraction(x.open_cost, UNIT)] for x in kept]
            assert lots == (holding.lots if account == "F" else [])
            usd, xyz = (state.balances.get(account, asset) for asset in ("USD", "XYZ"))
            due = [model.due(x["id"], account) for x in model.of("accrue")]
            assert Fraction(usd.unsettled if usd else 0, UNIT) == sum((g - t for g, t in due), Fraction(0))
            assert Fraction(usd.settled + usd.held if usd else 0, UNIT) == model.cash(account)
            assert Fraction(xyz.total if xyz else 0, UNIT) == holding.qty
        order = state.orders.get("O")
        if order is not None:
            assert [order.side, Fraction(order.qty, UNIT), Fraction(order.price or 0, UNIT)] == self.order
            needs = cents(self.order[1] * self.order[2]) if order.side == "buy" else self.order[1]
            assert Fraction(order.hold_amount, UNIT) == (0 if self.ended_as else needs)
            assert order.instrument == (self.ended_as or self.names[-1])
            assert (order.status == "CANCELED") == (self.ended_as is not None)
        sums: dict[str, int] = {}
        for balance in state.balances.rows.values():
            sums[balance.asset] = sums.get(balance.asset, 0) + balance.total
        assert not any(sums.values())

    def teardown(self) -> None:
        """What is stored makes the same state again."""
        assert self.books.replayed().lots.rows == self.books.state.lots.rows


TestHoldings: Callable[[], None] = Comparison.TestCase
TestHoldings.settings = settings(  # type: ignore[attr-defined]
    max_examples=200, stateful_step_count=50, deadline=None, print_blob=True
)  # fmt: skip
