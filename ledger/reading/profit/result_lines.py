"""
Keep a line of profit and loss: what it says of one day, and what is remembered of it from one day to the next.
"""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Final

import msgspec

from ledger.domain.profit_and_loss import Figure
from ledger.domain.rows import Position
from ledger.reading.profit.flows import FLOWS
from ledger.reading.views import View

NOTHING: Final = Fraction(0)
Parts = dict[int, Fraction]
"""Amounts of one asset, by how many of its splits had been recorded before what moved them: those after multiply it."""


class Result(View, frozen=True):
    """
    One day of one account in one instrument, or of its cash in one asset.

    In `asset`: `qty` to `unrealised` stand as at the end of the day, but for `realised`, which like `fees` to
    `converted` is of the day; `fees` and `tax` are positive when charged. In `base_asset`, since the day `since`:
    `price_result`, `currency_result` (what was converted, by splits too, at the day's rate, is in it), `income`, and
    `total`, which is their sum. `rate` is what one `asset` is worth in `base_asset`, shown half-even to 18 decimals.
    """

    AMOUNTS: ClassVar = frozenset(
        {"qty", "cost", "mark", "value", "realised", "unrealised", *FLOWS, "rate", "price_result", "currency_result",
         "income", "total"}
    )  # fmt: skip
    day: str
    since: str | None
    account: str
    instrument: str | None
    asset: str
    method: str | None
    qty: int | None
    cost: int | None
    mark: int | None
    value: int | None
    realised: int | None
    unrealised: int | None
    fees: int
    dividends: int
    tax: int
    funding: int
    interest: int
    converted: int
    base_asset: str
    rate: int | None
    price_result: int | None
    currency_result: int | None
    income: int | None
    total: int | None
    missing: tuple[str, ...]


class Remembered(msgspec.Struct):
    """
    What is remembered of a line: its last valuation, its last row (`stale`: no valuation), and what flowed since.

    What was paid for the position, and its income, is worth what it was at the first rate after it: `…_worth`, of
    `rated` that was paid. It is the rate at which the cash has it. `cost` is all that was paid for the position, less
    what it brought, as the shares in which it was paid are told now.
    """

    day: str | None = None
    figure: Figure | None = None
    held: Parts = {}
    worth: Fraction = NOTHING
    rate: Fraction = NOTHING
    position: Position | None = None
    seen: Parts = {}
    stale: bool = False
    cost: Fraction = NOTHING
    paid: Fraction = NOTHING
    rated: Fraction = NOTHING
    paid_worth: Fraction = NOTHING
    income: Parts = {}
    income_worth: Fraction = NOTHING
    converted: Parts = {}

    def settle(self, rate: Fraction | None) -> None:
        """Value what flowed at *rate*, if there is one."""
        if rate is not None:
            self.paid_worth += self.paid * rate
            self.income_worth += sum(self.income.values(), NOTHING) * rate
            self.rated, self.paid, self.income = self.rated + self.paid, NOTHING, {}

    def split(self, number: int, ratio: Fraction) -> None:
        """Tell what the split of this number multiplied in the shares after it: *ratio* times as many."""
        for parts in (self.held, self.income, self.converted):
            for recorded, amount in parts.items():
                if recorded <= number:
                    parts[recorded] = amount * ratio
        self.cost, self.paid, self.rated = self.cost * ratio, self.paid * ratio, self.rated * ratio
        self.rate /= ratio
        if self.figure is not None:
            value, cost = round(self.figure.value * ratio), round(self.figure.cost * ratio)
            self.figure = msgspec.structs.replace(self.figure, value=value, cost=cost)

    def valued(self, day: str, rate: Fraction) -> None:
        """Begin anew: all that flowed was told on *day*."""
        self.day, self.rate, self.converted, self.rated = day, rate, {}, NOTHING
        self.paid_worth = self.income_worth = NOTHING
