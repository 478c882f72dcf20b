"""
Check that position and what is beyond it share what a split rounds, and that profit and loss tells all of it.

An account may have bought shares, and have been given others, or be charged some: the split rounds the sum, and both
add up to it. Whatever was paid in cash or dropped, all days add up to the worth in the end less what was brought in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved, JournalPosted, Posting
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import CashInLieu, SplitApplied
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.reading.known_days.counting import counted
from ledger.reading.known_days.known import whole_of
from tests.domain.books import Books, amount
from tests.reading.days import pnl, recorded, splits

LAST = 28


def day(number: int) -> str:
    return f"2024-08-{number:02d}"


def decimal(value: Fraction) -> str:
    cents = round(value * 100)
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


class Firm:
    """
    Two accounts in USD, one by average and one first in, first out, have whole shares that trade in EUR.
    """

    def __init__(self) -> None:
        self.books, self.today, self.used = Books(), 1, 0
        self.waits: list[tuple[str, Fraction]] = []
        """What was brought in and no rate has valued yet: account and shares."""
        self.brought: dict[str, Fraction] = defaultdict(Fraction)
        self.books.set_day(day(1))
        for asset, scale in (("USD", 2), ("EUR", 2), ("XYZ", 0)):
            self.books.give(AssetDefined(asset=asset, kind="security", scale=scale, name=asset))
        self.books.give(InstrumentDefined(instrument="X", asset="XYZ", quote_asset="EUR", settle_asset="EUR",
                                          tick="0.01", lot="1", settlement_cycle=2, venue="V"))  # fmt: skip
        for account, method in (("A", "AVG"), ("F", "FIFO")):
            self.books.give(AccountOpened(account=account, owner="o", kind="house", base_asset="USD",
                                          cost_method=method))  # type: ignore[arg-type]  # fmt: skip

    def new(self) -> str:
        self.used += 1
        return f"n{self.used}"

    def sleep(self) -> None:
        self.today = min(self.today + 1, LAST)
        self.books.set_day(day(self.today))

    def move(self, account: str, shares: int, kind: str = "") -> None:
        how: Any = kind or ("deposit" if shares > 0 else "withdrawal")
        self.books.give(CashMoved(movement_id=self.new(), account=account, asset="XYZ", amount=str(shares), kind=how,
                                  value_date=day(self.today)))  # fmt: skip
        if not kind:
            self.waits.append((account, Fraction(shares)))

    def give_over(self, shares: int) -> None:
        lines = (("A", -shares), ("F", shares))
        self.books.give(JournalPosted(journal_id=self.new(), memo="m", postings=tuple(
            Posting(account=x, asset="XYZ", bucket="settled", amount=str(n)) for x, n in lines)))  # fmt: skip
        self.waits += [(x, Fraction(n)) for x, n in lines]

    def trade(self, account: str, shares: int, price: str = "10", fee: int = 0) -> None:
        fees = (Fee(kind="f", asset="XYZ", amount=str(fee)),) if fee else ()
        side: Any = "buy" if shares > 0 else "sell"
        self.books.give(TradeExecuted(exec_id=self.new(), venue="V", account=account, instrument="X", side=side,
                                      qty=str(abs(shares)), price=price, trade_date=day(self.today),
                                      fees=fees))  # fmt: skip

    def held(self, account: str) -> int:
        row = self.books.state.balances.get(account, "XYZ")
        return 0 if row is None else row.total // UNIT

    def position(self, account: str) -> tuple[int, Fraction, Fraction]:
        row = self.books.state.positions.get(account, "X")
        if row is None:
            return 0, Fraction(0), Fraction(0)
        return row.qty // UNIT, Fraction(row.cost, UNIT), Fraction(row.realised, UNIT)

    def split(self, num: int, den: int, rounding: Any = "cash", a_share: Fraction = Fraction(0)) -> None:
        """Split on the next day, with *a_share* paid for a new one, and see that each part is less than one off."""
        self.sleep()
        before = {x: (self.held(x), *self.position(x)) for x in "AF"}
        fractions = {x: Fraction(held * num, den) - int(Fraction(held * num, den)) for x, (held, *_) in before.items()}
        cash = tuple(CashInLieu(account=x, amount=decimal(part * a_share)) for x, part in fractions.items()
                     if part and rounding == "cash")  # fmt: skip
        event = SplitApplied(ca_id=self.new(), instrument="X", ratio_num=num, ratio_den=den, ex_date=day(self.today),
                             rounding=rounding, cash_in_lieu=cash)  # fmt: skip
        if self.books.give(event).rule is not None:
            return
        ratio = Fraction(num, den)
        self.waits = [(x, shares * ratio) for x, shares in self.waits]
        for x, (held, qty, cost, realised) in before.items():
            now, (new, new_cost, new_realised) = self.held(x), self.position(x)
            assert abs(new - qty * ratio) < 1 > abs(now - new - (held - qty) * ratio)
            gone, all_gone = qty * ratio - new, held * ratio - now
            if gone * qty <= 0 or (rounding != "cash" and new):
                assert (new_cost, new_realised) == (cost, realised)
            else:
                # It comes to less only where all that is held changes by as much.
                assert all_gone / gone >= 1
                paid = next((Fraction(line.amount) for line in cash if line.account == x), Fraction(0))
                assert abs(new_realised - realised - paid * gone / all_gone - (new_cost - cost)) <= Fraction(1, 100)

    def mark(self, price: str, rate: str, of_asset: str) -> None:
        """Value the day: the shares in EUR, the EUR in USD, and the shares beyond positions in USD."""
        for subject, value in (("X", price), (("EUR", "USD"), rate), (("XYZ", "USD"), of_asset)):
            of: dict[str, Any] = {"instrument": subject} if subject == "X" else dict(zip(("base", "quote"), subject))  # noqa: B905
            self.books.give(MarkRecorded(**of, price=value, kind="eod", day=day(self.today), as_of=self.used))
        for account, shares in self.waits:
            self.brought[account] += shares * Fraction(of_asset)
        self.waits = []

    def check(self, price: str = "12", rate: str = "1.25", of_asset: str = "15") -> dict[str, Fraction]:
        """Return what all days made of each account, after seeing that it is worth that less what was brought in."""
        self.sleep()
        self.mark(price, rate, of_asset)
        found = {}
        counts = counted(recorded(self.books), self.books.state.executions.get, splits=splits(self.books))
        known = whole_of(self.books.state, counts).state
        for table in ("positions", "lots", "entitlements"):
            assert known.table(table).rows == self.books.state.table(table).rows
        rows = pnl(self.books, last=day(self.today))
        for x in "AF":
            mine = [row for row in rows if row.account == x]
            found[x] = Fraction(sum(row.total or 0 for row in mine), UNIT)
            euros = self.books.state.balances.get(x, "EUR")
            qty, *_ = self.position(x)
            worth = (Fraction(euros.total, UNIT) if euros else 0) * Fraction(rate)
            worth += qty * Fraction(price) * Fraction(rate) + (self.held(x) - qty) * Fraction(of_asset)
            assert abs(found[x] - (worth - self.brought[x])) <= Fraction(2 * len(mine) + 1, 100)
        return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("trade", "trade", "sell", "deposit", "withdrawal", "interest", "journal", "mark", "split",
                         "split", "sleep")),
        st.integers(0, 3), st.integers(1, 9), st.integers(0, 7),
    ),
    min_size=4, max_size=24,
)  # fmt: skip
RATIOS = ((1, 2), (1, 3), (2, 1), (1, 10), (3, 2), (2, 3))


@settings(deadline=None, max_examples=150, print_blob=True)
@given(steps=STEPS)
def test_all_days_add_up_over_splits_with_deposits_and_trades(steps: list[tuple[str, int, int, int]]) -> None:
    """Bought or short, given shares or lacking some, by average or first in, first out, however it is rounded."""
    firm = Firm()
    for kind, which, shares, pick in steps:
        account = "AF"[which % 2]
        if kind == "sleep":
            firm.sleep()
        elif kind in ("trade", "sell"):
            firm.trade(account, shares if kind == "trade" else -shares, str(8 + pick), fee=which // 3)
        elif kind in ("deposit", "withdrawal"):
            firm.move(account, shares if kind == "deposit" else -shares)
        elif kind == "interest":
            firm.move(account, shares, "interest")
        elif kind == "journal":
            firm.give_over(shares - 5 or 1)
        elif kind == "mark":
            firm.mark(str(8 + pick), ("1", "1.5")[which % 2], str(9 + shares))
            firm.sleep()
        else:
            firm.split(*RATIOS[(shares + which) % len(RATIOS)], ("cash", "cash", "down", "up", "nearest")[pick % 5],
                       Fraction(10 * which, 3))  # fmt: skip
    firm.check()


@pytest.mark.parametrize("account", ["A", "F"])
@pytest.mark.parametrize(
    ("bought", "given", "den", "cash", "after", "held"),
    [
        (1, 1, 2, 0, (1, 10, 0), 1),
        (3, 2, 4, 40, (1, 30, 0), 1),
        (-1, -1, 2, 0, (-1, -10, 0), -1),
        (2, 1, 2, 20, (1, 20, 0), 1),
        (1, 10, 4, 44, (0, 0, 1), 2),
        (1, 2, 4, 40, (0, 0, 0), 0),
        (-1, 3, 2, 0, (-1, -10, 0), 1),
        (1, -1, 2, 0, (1, 10, 0), 0),
        (7, 0, 2, 22, (3, 60, 1), 3),
    ],
    ids=["no fraction", "of the rest", "short", "whole", "of both", "of all", "short of more", "given away", "alone"],
)
def test_a_position_has_the_most_that_the_new_holding_leaves_it(
    account: str, bought: int, given: int, den: int, cash: int, after: tuple[int, int, int], held: int
) -> None:
    """Bought at 10, and given as many: no cost is lost where nothing was paid for, and cash is for what it is of."""
    firm = Firm()
    firm.trade(account, bought)
    if given:
        firm.move(account, given)
    firm.mark("10", "1", "10")
    firm.split(1, den, "cash", Fraction(cash))
    assert (*firm.position(account), firm.held(account)) == (*after, held)
    # A new share is worth what the old ones were, and what is paid for a fraction is that or what is said above it.
    worth = 10 * den
    fraction = math.fmod(bought + given, den) / den
    more = round((cash - worth) * fraction) if cash else 0
    assert firm.check(str(worth), "1", str(worth))[account] == more
    assert amount(str(firm.held(account))) == held * UNIT
    firm.books.replayed()


@pytest.mark.parametrize(("bought", "given", "num", "den"), [(1, 1, 1, 2), (3, 2, 1, 2), (-3, 5, 1, 4), (5, 4, 2, 3)])
def test_a_late_split_is_by_days_of_what_was_held_when_it_was_told(bought: int, given: int, num: int, den: int) -> None:
    """Of the day before a deposit that it multiplies too: positions, cash and all days add up as they were recorded."""
    firm = Firm()
    for account in "AF":
        firm.trade(account, bought)
    firm.mark("10", "1", "10")
    firm.sleep()
    firm.sleep()
    for account in "AF":
        firm.move(account, given)
    fraction = Fraction((bought + given) * num, den) % 1
    cash = tuple(CashInLieu(account=x, amount=decimal(fraction * 20)) for x in "AF" if fraction)
    event = SplitApplied(ca_id="S", instrument="X", ratio_num=num, ratio_den=den, ex_date=day(2), rounding="cash",
                         cash_in_lieu=cash, moved_reason="the deposits are of old shares")  # fmt: skip
    assert firm.books.give(event).rule is None
    firm.waits = [(account, shares * Fraction(num, den)) for account, shares in firm.waits]
    firm.check()
