"""
Work out from a plain list of what happened what every account has in every bucket, from the trade until it settles.

Decimals, dictionaries, and everything anew from the beginning each time it is asked: slow, obvious, and sharing no code
with the ledger. It says what the table of double entry says: a trade is unsettled on every side until it settles.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

Facts = dict[str, Any]
Buckets = dict[tuple[str, str, str], Decimal]
CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Trade:
    """
    A trade that counts, and how much of it has settled.
    """

    account: str
    side: str
    qty: Decimal
    gross: Decimal
    fee: Decimal
    day: str
    settled: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1

    @property
    def open(self) -> Decimal:
        return self.qty - self.settled

    def cash_of(self, qty: Decimal) -> Decimal:
        """Return the cash that goes with *qty* more."""
        return cents((self.gross - self.paid) * qty / self.open)

    def parts(self) -> list[tuple[str, Decimal, Decimal, Decimal]]:
        """Return (bucket, quantity, cash, fee) of each bucket."""
        fee = cents(self.fee * self.settled / self.qty)
        return [
            ("settled", self.settled, self.paid, fee),
            ("unsettled", self.open, self.gross - self.paid, self.fee - fee),
        ]


class Market:
    """
    What was accepted, in order; every answer is worked out from it.
    """

    def __init__(self, deposits: Buckets) -> None:
        self.deposits = deposits
        self.accepted: list[tuple[str, Facts]] = []

    def of(self, *kinds: str) -> list[Facts]:
        return [facts for found, facts in self.accepted if found in kinds]

    def trades(self) -> dict[str, Trade]:
        """Return the trades that count, by the name they settle under."""
        live: dict[str, Trade] = {}
        parked: dict[str, dict[str, Trade]] = {}
        for kind, facts in self.accepted:
            if kind in ("correct", "bust"):
                del live[facts["ref"]]
            if kind in ("trade", "correct"):
                live[facts["execution"]] = facts["made"]
            elif kind == "settle":
                old = live[facts["execution"]]
                qty = facts["qty"]
                live[facts["execution"]] = replace(old, settled=old.settled + qty, paid=old.paid + old.cash_of(qty))
            elif kind == "net":
                for name in facts["names"]:
                    live[name] = replace(live[name], settled=live[name].qty, paid=live[name].gross)
            elif kind == "allocate":
                parked[facts["id"]] = {name: live.pop(name) for name in facts["block"]}
                for number, made in enumerate(facts["lines"], 1):
                    live[f"{facts['id']}.{number}"] = made
            elif kind == "unallocate":
                for number in range(len(facts["lines"])):
                    del live[f"{facts['id']}.{number + 1}"]
                live |= parked.pop(facts["id"])
        return live

    def allocations(self) -> dict[str, Facts]:
        """Return the allocations that stand."""
        undone = {x["id"] for x in self.of("unallocate")}
        return {x["id"]: x for x in self.of("allocate") if x["id"] not in undone}

    def used(self, kinds: tuple[str, ...], name: str) -> Facts | None:
        """Return what was accepted under an id before."""
        return next((x for x in self.of(*kinds) if x["id"] == name), None)

    def hold(self, name: str) -> Decimal | None:
        """Return what is left of a hold; None where there is none."""
        placed = next((x["amount"] for x in self.of("hold") if x["id"] == name), None)
        released = sum((x["amount"] for x in self.of("release") if x["id"] == name), Decimal(0))
        return None if placed is None else placed - released

    def buckets(self) -> Buckets:
        """Return every bucket that is not empty."""
        sums: Buckets = defaultdict(Decimal, self.deposits)

        def move(asset: str, amount: Decimal, source: tuple[str, str], target: tuple[str, str]) -> None:
            sums[source[0], asset, source[1]] -= amount
            sums[target[0], asset, target[1]] += amount

        for trade in self.trades().values():
            for bucket, qty, cash, fee in trade.parts():
                own, venue = (trade.account, bucket), ("~clearing.N", bucket)
                move("XYZ", trade.sign * qty, venue, own)
                move("USD", trade.sign * cash, own, venue)
                move("USD", fee, own, ("~fees", bucket))
        for facts in self.allocations().values():
            # What the venue is owed is what the executions cost; the accounts pay what their lines cost.
            move("USD", facts["residual"], ("~clearing.N", "settled"), ("~rounding", "settled"))
        for facts in self.of("cash"):
            other = {"deposit": "~external"}.get(facts["what"], "~" + facts["what"])
            move("USD", facts["amount"], (other, "settled"), (facts["account"], "settled"))
        for facts in self.of("fx"):
            move("USD", facts["sold"], (facts["account"], "settled"), ("~fx_clearing.USD", "settled"))
            move("EUR", facts["bought"], ("~fx_clearing.EUR", "settled"), (facts["account"], "settled"))
        for facts in self.of("unfx"):
            move("USD", facts["sold"], ("~fx_clearing.USD", "settled"), (facts["account"], "settled"))
            move("EUR", facts["bought"], (facts["account"], "settled"), ("~fx_clearing.EUR", "settled"))
        for facts in self.of("hold"):
            move("USD", facts["amount"], (facts["account"], "settled"), (facts["account"], "held"))
        for facts in self.of("release"):
            move("USD", facts["amount"], (facts["account"], "held"), (facts["account"], "settled"))
        return {place: amount for place, amount in sums.items() if amount}

    def available(self, account: str, asset: str) -> Decimal:
        found = self.buckets()
        unsettled = found.get((account, asset, "unsettled"), Decimal(0))
        return found.get((account, asset, "settled"), Decimal(0)) + min(unsettled, Decimal(0))

    def position(self, account: str) -> tuple[Decimal, Decimal, Decimal]:
        """Return quantity, net cash paid and fees."""
        mine = [x for x in self.trades().values() if x.account == account]
        return (
            sum((x.sign * x.qty for x in mine), Decimal(0)),
            sum((x.sign * x.gross for x in mine), Decimal(0)),
            sum((x.fee for x in mine), Decimal(0)),
        )

    def _fails(self, name: str) -> list[tuple[str, int, str]]:
        """
        Return (day, place in what was accepted, day of the next try) of the newest fail of a trade, whichever version
        failed, and of those of lines that it was given as and that were taken back, where they are newer.
        """
        names = {name}
        for kind, facts in reversed(self.accepted):
            if kind == "correct" and facts["execution"] in names:
                names.add(facts["ref"])
        own = max(
            ((x["day"], place, x["again"]) for place, (kind, x) in enumerate(self.accepted)
             if kind == "fail" and x["execution"] in names),
            default=None,
        )  # fmt: skip
        found = [own] if own else []
        for facts in self.of("unallocate"):
            if names & set(facts["block"]):
                lines = [x for n in range(len(facts["lines"])) for x in self._fails(f"{facts['id']}.{n + 1}")]
                found += [x for x in lines if own is None or x > own]
        return found

    def _tried(self, name: str) -> str | None:
        """Return the day on which an execution is tried again, if it failed."""
        return max((again for _, _, again in self._fails(name)), default=None)

    def failed(self) -> dict[tuple[str, str, str], Decimal]:
        """
        Return what failed, by day, account and asset: all that was left of a trade. It fails once a day, whoever tells
        it: what its newest version that failed was for, the most of it that had not settled.
        """
        root, version = {}, {}
        told: dict[tuple[str, str], list[tuple[int, Decimal, Trade]]] = defaultdict(list)
        for place, (kind, facts) in enumerate(self.accepted):
            if kind == "correct":
                old = facts["ref"]
                root[facts["execution"]], version[facts["execution"]] = root.get(old, old), version.get(old, 0) + 1
            elif kind == "fail":
                name, then = facts["execution"], Market(self.deposits)
                then.accepted = self.accepted[:place]
                trade = then.trades()[name]
                told[root.get(name, name), facts["day"]].append((version.get(name, 0), trade.open, trade))
        sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for (_, day), tries in told.items():
            _, _, trade = max(tries, key=lambda x: x[:2])
            _, qty, cash, fee = trade.parts()[1]
            sums[day, trade.account, "XYZ"] += trade.sign * qty
            sums[day, trade.account, "USD"] -= trade.sign * cash + fee
        return {place: amount for place, amount in sums.items() if amount}

    def due(self) -> dict[tuple[str, str, str], Decimal]:
        """Return what is due, by day, account and asset: on the day last intended."""
        sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        blocks = {f"{x['id']}.{n}": x["block"] for x in self.of("allocate") for n in range(1, len(x["lines"]) + 1)}
        for name, trade in self.trades().items():
            day = self._tried(name) or max(self._tried(x) or trade.day for x in blocks.get(name, [name]))
            _, qty, cash, fee = trade.parts()[1]
            sums[day, trade.account, "XYZ"] += trade.sign * qty
            sums[day, trade.account, "USD"] -= trade.sign * cash + fee
        return {place: amount for place, amount in sums.items() if amount}
