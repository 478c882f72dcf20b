"""
Work out from a plain list of what happened what each account holds, what it cost, and what is due to it.

Fractions, lists, and everything anew from the beginning each time: slow, obvious, and sharing no code with the ledger.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Step = tuple[str, dict[str, Any]]
SHARES = 10
"""A share has one decimal."""


def cents(amount: Fraction) -> Fraction:
    """Round half-even to two decimals."""
    return Fraction(round(amount * 100), 100)


def rounded(amount: Fraction, how: str) -> Fraction:
    """Round a number of shares."""
    if how == "nearest":
        return Fraction(round(amount * SHARES), SHARES)
    whole = abs(amount) * SHARES // 1
    if how == "up" and whole != abs(amount) * SHARES:
        whole += 1
    return (1 if amount >= 0 else -1) * Fraction(whole, SHARES)


def part(total: Fraction, some: Fraction, whole: Fraction) -> Fraction:
    return total if some == whole else cents(total * some / whole)


@dataclass
class Holding:
    """
    One account's position: lots as [quantity, cost]; an average position is one lot.
    """

    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    lots: list[list[Fraction]] = field(default_factory=list)

    def average(self, traded: Fraction, value: Fraction) -> None:
        cost, realised = value, Fraction(0)
        if self.qty * traded < 0:
            closed = min(abs(self.qty), abs(traded))
            released, paid = part(self.cost, closed, abs(self.qty)), part(value, closed, abs(traded))
            cost, realised = value - paid - released, -paid - released
        self.qty, self.cost, self.realised = self.qty + traded, self.cost + cost, self.realised + realised

    def first_in_first_out(self, traded: Fraction, value: Fraction) -> None:
        self.qty += traded
        while traded and self.lots and self.lots[0][0] * traded < 0:
            lot = self.lots[0]
            closed = min(abs(lot[0]), abs(traded))
            released, paid = part(lot[1], closed, abs(lot[0])), part(value, closed, abs(traded))
            sign = 1 if traded > 0 else -1
            lot[0], lot[1] = lot[0] + sign * closed, lot[1] - released
            traded, value = traded - sign * closed, value - paid
            self.realised -= paid + released
            if not lot[0]:
                self.lots.pop(0)
        if traded:
            self.lots.append([traded, value])
        self.cost = sum((lot[1] for lot in self.lots), Fraction(0))

    def split(self, ratio: Fraction, how: str, cash: Fraction | None, fifo: bool) -> None:
        exact = self.qty * ratio
        new = rounded(exact, how)
        sold = abs(exact) - abs(new) if cash is not None else Fraction(0)
        released = Fraction(0)
        if not new:
            released, self.lots = self.cost, []
        elif not fifo:
            released = part(self.cost, sold, abs(exact)) if sold else Fraction(0)
        else:
            for lot in self.lots:
                whole = abs(lot[0]) * ratio
                gone = min(whole, sold)
                cost = part(lot[1], gone, whole) if gone else Fraction(0)
                lot[0], lot[1] = (1 if lot[0] > 0 else -1) * (whole - gone), lot[1] - cost
                sold, released = sold - gone, released + cost
            self._spread(new)
        if (cash is not None and exact != new) or not new:
            self.realised += (cash or 0) - released
        self.qty, self.cost = new, self.cost - released

    def _spread(self, new: Fraction) -> None:
        """Give the lots the whole of *new*, each its part, to 18 decimals of the running sum."""
        total = sum((lot[0] for lot in self.lots), Fraction(0))
        seen, given, cost, kept = Fraction(0), Fraction(0), Fraction(0), []
        for lot in self.lots:
            seen, cost = seen + lot[0], cost + lot[1]
            upto = new if seen == total else Fraction(round(new * seen / total * 10**18), 10**18)
            if upto != given:
                kept.append([upto - given, cost])
                given, cost = upto, Fraction(0)
        self.lots = kept


class Model:
    """
    What was accepted, in order.
    """

    def __init__(self, fifo: set[str]) -> None:
        self.fifo = fifo
        self.steps: list[Step] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [facts for found, facts in self.steps if found == kind]

    def trades(self) -> dict[str, dict[str, Any]]:
        """Return the trades that stand, by the id of their newest version, in the order of their first ones."""
        live: dict[str, dict[str, Any]] = {}
        for kind, facts in self.steps:
            if kind == "trade":
                live[facts["id"]] = facts
            elif kind == "bust":
                del live[facts["ref"]]
            elif kind == "correct":
                live = {(facts["id"] if k == facts["ref"] else k): (facts if k == facts["ref"] else v)
                        for k, v in live.items()}  # fmt: skip
        return live

    def holding(self, account: str) -> Holding:
        """Go through the trades that stand, each as it now is in the place of its first version."""
        fifo = account in self.fifo
        newest = self._newest()
        holding = Holding()
        for kind, facts in self.steps:
            if facts.get("account", account) != account:
                continue
            now = newest.get(facts["id"]) if kind == "trade" else None
            if now is not None and fifo:
                holding.first_in_first_out(now["traded"], now["value"])
            elif now is not None:
                holding.average(now["traded"], now["value"])
            if kind == "split" and account in facts["held"]:
                holding.split(facts["ratio"], facts["how"], facts["cash"].get(account), fifo)
        return holding

    def _newest(self) -> dict[str, dict[str, Any] | None]:
        """Return the newest version of each trade by the id of its first, None where it was busted."""
        first: dict[str, str] = {}
        newest: dict[str, dict[str, Any] | None] = {}
        for kind, facts in self.steps:
            if kind == "trade":
                first[facts["id"]] = facts["id"]
                newest[facts["id"]] = facts
            elif kind == "correct":
                first[facts["id"]] = first[facts["ref"]]
                newest[first[facts["ref"]]] = facts
            elif kind == "bust":
                newest[first[facts["ref"]]] = None
        return newest

    def newest(self, account: str) -> tuple[str, int]:
        """
        Return the newest day of what stands, trades and splits of what it held, and how many they are; where all of
        that day are undone, the day before it, and 0: nobody counted those of earlier days.
        """
        day, stand, known = "", 0, {}
        for kind, facts in self.steps:
            if facts.get("account", account) != account:
                continue
            if kind in ("bust", "correct") and known[facts["ref"]] == day and stand:
                stand -= 1
                day = day if stand else (datetime.date.fromisoformat(day) - datetime.timedelta(days=1)).isoformat()
            new = facts["ex"] if kind == "split" and account in facts["held"] else ""
            if kind in ("trade", "correct"):
                new = known[facts["id"]] = facts["day"]
            if new > day:
                day, stand = new, 1
            elif new == day and stand:
                stand += 1
        return day, stand

    def is_traded_since(self, account: str, day: str) -> bool:
        """Whether something of *day* or later stands."""
        newest, stand = self.newest(account)
        if newest < day or stand:
            return newest >= day
        return any(x["account"] == account and x["day"] >= day for x in self.trades().values())

    def before(self, account: str, day: str) -> Fraction | None:
        """Return what the account held before *day*; None where something later is recorded."""
        newest, stand = self.newest(account)
        if self.is_traded_since(account, day) and not (stand and newest == day):
            return None
        if not stand and newest >= day and any(split["ex"] > day for split in self.of("split")):
            return None
        qty = Fraction(0)
        known: dict[str, dict[str, Any]] = {}
        for kind, facts in self.steps:
            if facts.get("account", account) != account:
                continue
            if kind in ("bust", "correct") and known[facts["ref"]]["day"] < day:
                qty -= known[facts["ref"]]["traded"]
            if kind in ("trade", "correct"):
                known[facts["id"]] = facts
                qty += facts["traded"] if facts["day"] < day else 0
            if kind == "split" and account in facts["held"]:
                qty = rounded(qty * facts["ratio"], facts["how"])
        return qty

    def cash(self, account: str) -> Fraction:
        total = -sum((x["value"] for x in self.trades().values() if x["account"] == account), Fraction(0))
        total += sum((x["cash"].get(account, Fraction(0)) for x in self.of("split")), Fraction(0))
        return total + sum((gross - tax for x in self.of("pay") for a, gross, tax in x["lines"] if a == account),
                           Fraction(0))  # fmt: skip

    def due(self, dividend: str, account: str) -> tuple[Fraction, Fraction]:
        """Return gross and tax that are still to be paid of one dividend."""
        gross, tax = Fraction(0), Fraction(0)
        for facts in self.of("accrue"):
            if facts["id"] == dividend and account in facts["due"]:
                gross, tax = facts["due"][account]
        for facts in self.of("pay"):
            for name, paid, withheld in facts["lines"]:
                if facts["dividend"] == dividend and name == account:
                    gross, tax = gross - paid, tax - withheld
        return gross, tax
