"""
Hold profit and loss by day against a slow, obvious model: what accounts are worth, by lists and fractions.

Positions come from the slow holdings of the domain's tests, given what was accepted in the order of days. Whatever
happened, the parts of all days add up to what an account is worth in the end less what was brought in from outside.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import AssetAmount, CashMoved, FeeCharged, FxConverted
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import CashDividendAccrued, Entitled, SplitApplied
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.reading.profit.result_lines import Result
from tests.domain.books import Books
from tests.domain.slow_holdings import Holding, Model, cents
from tests.reading.days import pnl

KINDS = ("trade", "trade", "trade", "correct", "bust", "split", "mark", "rate", "mark", "rate", "fee", "cash",
         "dividend", "convert", "sleep", "sleep")  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(1, 40), st.integers(1, 99)),
    min_size=12, max_size=40,
)  # fmt: skip


def text(amount: Fraction) -> str:
    return f"{'-' if amount < 0 else ''}{abs(amount) // 1}.{int(abs(amount) * 100) % 100:02d}"


class Firm:
    """
    Two accounts in USD, one by average and one first in, first out, trade a share in EUR; and what each step meant.
    """

    def __init__(self) -> None:
        self.books, self.today, self.used = Books(), 1, 0
        self.steps: list[tuple[str, int, str, dict[str, Any]]] = []
        self.cash: list[tuple[str, str, str, Fraction, bool]] = []
        self.marks: dict[tuple[str, str], Fraction] = {}
        for asset, scale in (("USD", 2), ("EUR", 2), ("XYZ", 1)):
            self.books.give(AssetDefined(asset=asset, kind="security", scale=scale, name=asset))
        self.books.give(
            InstrumentDefined(
                instrument="XYZ", asset="XYZ", quote_asset="EUR", settle_asset="EUR", tick="0.01", lot="0.1",
                settlement_cycle=0, venue="V",
            )
        )  # fmt: skip
        for account, method in (("A", "AVG"), ("F", "FIFO")):
            self.books.give(
                AccountOpened(account=account, owner="o", kind="house", base_asset="USD", cost_method=method)  # type: ignore[arg-type]
            )

    def day(self, ago: int = 0) -> str:
        return f"2024-08-{max(self.today - ago, 1):02d}"

    def give(self, event_given: Event) -> bool:
        return self.books.give(event_given).rule is None

    def standing(self) -> dict[str, dict[str, Any]]:
        model = Model({"F"})
        model.steps = [(kind, facts) for _, _, kind, facts in self.steps]
        return model.trades()

    def note(self, day: str, kind: str, facts: dict[str, Any]) -> None:
        self.steps.append((day, self.used, kind, facts))

    def tell(self, kind: str, pick: int, qty: int, price: int) -> None:
        """Let one thing happen; what the ledger does not accept did not."""
        self.used += 1
        name, account, day = f"n{self.used}", "AF"[pick % 2], self.day(pick // 6)
        if kind == "sleep":
            self.today += 1
        elif kind in ("trade", "correct"):
            self._trade(kind, pick, (name, account, day), Fraction(qty, 10), Fraction(price, 4))
        elif kind == "bust":
            old = self._picked(pick)
            if old is not None and self.give(
                TradeBusted(exec_id=name, exec_ref=old["id"], venue="V", trade_date=self.day(),
                            ref_trade_date=old["day"], reason="r")
            ):  # fmt: skip
                self.note(self.day(), "bust", {"id": name, "ref": old["id"], "account": old["account"]})
                self.undo(old)
        elif kind == "split":
            self._split(name, (2, 1) if pick % 2 else (3, 2))
        elif kind in ("mark", "rate"):
            subject = {"instrument": "XYZ"} if kind == "mark" else {"base": "EUR", "quote": "USD"}
            of = MarkRecorded(**subject, price=text(Fraction(price, 4)), kind="eod", day=day, as_of=self.used)
            clock = self.books.clock
            self.books.set_day(day)  # no mark is of a day to come
            self.give(of)
            self.books.clock = clock
            self.marks[kind, day] = Fraction(price, 4)
        else:
            self._flow(kind, pick, (name, account, day), Fraction(qty * price, 100))

    def _picked(self, pick: int) -> dict[str, Any] | None:
        found = list(self.standing().values())
        return found[pick % len(found)] if found else None

    def _trade(self, kind: str, pick: int, place: tuple[str, str, str], qty: Fraction, price: Fraction) -> None:
        name, account, day = place
        facts: dict[str, Any] = {"id": name, "account": account, "day": day}
        traded = qty if pick % 3 else -qty
        asset = ("EUR", "USD")[pick % 2]
        shared: dict[str, Any] = {
            "exec_id": name, "venue": "V", "instrument": "XYZ", "side": "buy" if traded > 0 else "sell",
            "qty": text(qty), "price": text(price), "fees": (Fee(kind="k", asset=asset, amount="0.07"),),
        }  # fmt: skip
        facts |= {"traded": traded, "value": cents(traded * price), "fee": asset}
        if kind == "trade":
            if self.give(TradeExecuted(account=account, trade_date=day, **shared)):
                self.note(day, "trade", facts)
                self.pay(facts, 1, day)
            return
        old = self._picked(pick)
        if old is None:
            return
        day = self.day()
        facts |= {"account": old["account"], "ref": old["id"], "day": day}
        if self.give(
            TradeCorrected(account=old["account"], trade_date=day, exec_ref=old["id"], ref_trade_date=old["day"],
                           **shared)
        ):  # fmt: skip
            self.note(day, "correct", facts)
            self.undo(old)
            self.pay(facts, 1, day)

    def pay(self, facts: dict[str, Any], sign: int, day: str) -> None:
        self.cash.append((day, facts["account"], "EUR", -sign * facts["value"], False))
        self.cash.append((day, facts["account"], facts["fee"], -sign * Fraction(7, 100), False))

    def undo(self, old: dict[str, Any]) -> None:
        self.pay(old, -1, self.day())

    def _split(self, name: str, ratio: tuple[int, int]) -> None:
        held = {account for account in "AF" if self.holding(account, "9999").qty}
        if self.give(
            SplitApplied(ca_id=name, instrument="XYZ", ratio_num=ratio[0], ratio_den=ratio[1], ex_date=self.day(),
                         rounding="down")
        ):  # fmt: skip
            facts = {"ratio": Fraction(*ratio), "how": "down", "ex": self.day(), "held": held, "cash": {}}
            self.note(self.day(), "split", facts)

    def _flow(self, kind: str, pick: int, place: tuple[str, str, str], amount: Fraction) -> None:
        name, account, day = place
        asset = ("EUR", "USD")[pick // 2 % 2]
        amount = max(cents(amount), Fraction(1, 100))
        if kind == "fee":
            # What is charged counts for the day it occurred on, whatever that is.
            self.give(FeeCharged(fee_id=name, account=account, kind="k", asset=asset, amount=text(amount)))
            self.cash.append(("2024-08-08", account, asset, -amount, False))
        elif kind == "cash":
            how = ("deposit", "funding", "interest", "tax")[pick % 4]
            sign = -1 if how == "tax" else 1
            if self.give(
                CashMoved(movement_id=name, account=account, asset=asset, amount=text(sign * amount), kind=how,  # type: ignore[arg-type]
                          value_date=day)
            ):  # fmt: skip
                self.cash.append((day, account, asset, sign * amount, how == "deposit"))
        elif kind == "dividend":
            if self.give(
                CashDividendAccrued(
                    ca_id=name, instrument="XYZ", ex_date=day, record_date=day, pay_date=day, rate="1", tax_rate="1",
                    entitlements=(Entitled(account=account, qty=text(amount), gross=text(amount), tax="0.01",
                                           reason="told"),),
                )
            ):  # fmt: skip
                self.cash.append((day, account, "EUR", amount - Fraction(1, 100), False))
        elif self.give(
                FxConverted(fx_id=name, account=account, sold=AssetAmount(asset="USD", amount=text(2 * amount)),
                            bought=AssetAmount(asset="EUR", amount=text(amount)), rate="0.5", value_date=day)
        ):  # fmt: skip
            self.cash += [(day, account, "USD", -2 * amount, False), (day, account, "EUR", amount, False)]

    def holding(self, account: str, day: str) -> Holding:
        """Return what the account holds once all up to *day* has happened, in the order of days."""
        model = Model({"F"})
        model.steps = [(kind, facts) for _, _, kind, facts in
                       sorted((x for x in self.steps if x[0] <= day), key=lambda x: (x[0], x[1]))]  # fmt: skip
        return model.holding(account)

    def worth(self, amount: Fraction, asset: str, day: str) -> Fraction:
        """Return what an amount is worth in USD at the first rate from *day* on."""
        if asset == "USD":
            return amount
        return amount * next(rate for (kind, on), rate in sorted(self.marks.items()) if kind == "rate" and on >= day)


def check(firm: Firm, account: str, rows: list[Result], last: str) -> None:
    holding = firm.holding(account, last)
    paid: dict[str, Fraction] = defaultdict(Fraction)
    outside = Fraction(0)
    for day, owner, asset, amount, is_outside in firm.cash:
        if owner == account:
            paid[asset] += amount
            outside += firm.worth(amount, asset, day) if is_outside else 0
    value = cents(holding.qty * firm.marks["mark", last])
    end = firm.worth(value + paid["EUR"], "EUR", last) + paid["USD"]
    total = sum(row.total or 0 for row in rows)
    assert abs(Fraction(total, UNIT) - (end - outside)) <= Fraction(2 * len(rows) + 1, 100)
    assert Fraction(sum(row.realised or 0 for row in rows), UNIT) == holding.realised
    for row in rows:
        if row.instrument is not None and row.qty is not None:
            held = firm.holding(account, row.day)
            assert [Fraction(x, UNIT) for x in (row.qty, row.cost or 0)] == [held.qty, held.cost]
            price = firm.marks.get(("mark", row.day))
            if price is not None or not held.qty:
                assert Fraction(row.unrealised or 0, UNIT) == cents(held.qty * (price or 0)) - held.cost
            else:
                assert (row.unrealised, row.missing[0]) == (None, f"mark of XYZ for {row.day}")
        if ("rate", row.day) not in firm.marks and row.asset == "EUR":
            assert row.total is None
            assert f"mark of EUR/USD for {row.day}" in row.missing
        if row.total is not None:
            assert row.total == (row.price_result or 0) + (row.currency_result or 0) + (row.income or 0)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(steps=STEPS)
def test_all_days_add_up_to_what_is_there_less_what_was_brought(
    steps: list[tuple[str, int, int, int]],
) -> None:
    """Whatever was traded, undone, split, earned and converted, on whichever days, marked or not."""
    firm = Firm()
    for step in steps:
        firm.tell(*step)
    last = max([firm.day(), "2024-08-08"])
    firm.today = int(last[-2:])
    for kind in ("mark", "rate"):
        firm.tell(kind, 0, 1, 41)
    rows = pnl(firm.books, last=last)
    for account in ("A", "F"):
        mine = [row for row in rows if row.account == account]
        check(firm, account, mine, last)
        assert pnl(firm.books, last=last, account=account) == mine
        event(f"{min(len(mine), 10)} rows")
    # A part of the days is that part of the whole.
    middle = "2024-08-04"
    assert pnl(firm.books, middle, last) == [row for row in rows if row.day >= middle]
