"""
Work out from a plain list of what happened how every order, trade and amount stands.

Decimals, dictionaries, and everything anew from the beginning each time it is asked: slow, obvious, and sharing no code
with the ledger. It says what docs and FIX say, not how the ledger does it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from decimal import Decimal

Facts = dict[str, str]
Terms = tuple[Decimal, Decimal]
"""Quantity and price."""


@functools.cache
def most_paid(terms: Terms, filled: Decimal, wishes: tuple[Terms, ...]) -> Decimal:
    """
    Return the most that may still be paid: some fills on these terms, to any quantity that is spoken of, then a wish is
    granted, and so on.

    It takes as long as there are orders of wishes, and remembers each, or a dozen that wait would take for ever.
    """
    qty, price = terms
    most = Decimal(0)
    for stop in {filled, qty, *(wish[0] for wish in wishes)}:
        if not filled <= stop <= max(qty, filled):
            continue
        then = [most_paid(wish, stop, wishes[:n] + wishes[n + 1 :]) for n, wish in enumerate(wishes)]
        most = max(most, (stop - filled) * price + max(then, default=Decimal(0)))
    return most


@dataclass
class Standing:
    """
    An order after all that happened to it.
    """

    side: str
    qty: Decimal
    price: Decimal
    lasts: bool
    current: str
    accepted: bool = False
    how: str | None = None
    done: bool = False
    cancels: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)
    fills: dict[str, Decimal] = field(default_factory=dict)
    wishes: dict[str, Terms] = field(default_factory=dict)
    """What each pending request asks for."""

    @property
    def filled(self) -> Decimal:
        return sum(self.fills.values(), Decimal(0))

    @property
    def left(self) -> Decimal:
        return Decimal(0) if self.how or (self.done and not self.lasts) else self.qty - self.filled

    @property
    def hold(self) -> Decimal:
        return self.left * self.price if self.side == "buy" else self.left

    @property
    def reserved(self) -> Decimal:
        """What is held in all, so that any request may be granted, whenever."""
        if self.how or (self.done and not self.lasts):
            return Decimal(0)
        # A sale delivers what fills, whatever the price.
        own, *wishes = (
            (qty, price if self.side == "buy" else Decimal(1))
            for qty, price in ((self.qty, self.price), *self.wishes.values())
        )
        return most_paid(own, self.filled, tuple(sorted(wishes)))

    @property
    def status(self) -> str:
        if self.how == "rejected":
            return "REJECTED"
        if self.cancels:
            return "PENDING_CANCEL"
        if self.replaces:
            return "PENDING_REPLACE"
        if self.done:
            return "DONE_FOR_DAY"
        if self.filled == self.qty:
            return "FILLED"
        if self.how:
            return self.how.upper()
        if self.filled:
            return "PARTIALLY_FILLED"
        return "NEW" if self.accepted else "PENDING_NEW"

    def end(self, how: str) -> None:
        self.how, self.done, self.cancels, self.replaces, self.wishes = how, False, [], [], {}

    def take(self, kind: str, facts: Facts) -> None:
        """Let one more thing happen."""
        if kind == "accept":
            self.accepted = True
        elif kind == "fill":
            self.fills[facts["execution"]] = Decimal(facts["qty"])
            self.accepted = True
            self.done = self.done and not self.lasts
        elif kind == "correct":
            del self.fills[facts["ref"]]
            self.fills[facts["execution"]] = Decimal(facts["qty"])
        elif kind == "bust":
            self._undo(facts)
        elif kind == "end":
            self.end(facts["how"])
        elif kind in ("cancel?", "replace?"):
            (self.cancels if kind == "cancel?" else self.replaces).append(facts["request"])
            if kind == "replace?":
                self.wishes[facts["request"]] = Decimal(facts["qty"]), Decimal(facts["price"])
        elif kind == "refuse":
            pending = self.cancels if facts["what"] == "cancel" else self.replaces
            if facts["request"] in pending:
                pending.remove(facts["request"])
                self.wishes.pop(facts["request"], None)
        elif kind == "replaced":
            self.qty, self.price = max(Decimal(facts["qty"]), self.filled), Decimal(facts["price"])
            self.replaces = [x for x in self.replaces if x != facts["request"]]
            self.wishes.pop(facts["request"], None)
            self.current, self.accepted = facts["request"], True
        elif kind == "done":
            self.done = True
        elif kind == "restate":
            self.qty, self.price, self.done = Decimal(facts["qty"]), Decimal(facts["price"]), False

    def _undo(self, facts: Facts) -> None:
        full = self.filled == self.qty
        undone = self.fills.pop(facts["ref"])
        if self.how is None and not facts["reopens"]:
            if full:
                self.end("canceled")
            else:
                self.qty -= undone


class Model:
    """
    What was accepted, in order; every answer is worked out from it.
    """

    def __init__(self) -> None:
        self.accepted: list[tuple[str, Facts]] = []

    def of(self, *kinds: str) -> list[Facts]:
        return [facts for found, facts in self.accepted if found in kinds]

    def order(self, order: str) -> Standing | None:
        standing = None
        for kind, facts in self.accepted:
            if kind == "place" and facts["order"] == order:
                qty, price = Decimal(facts["qty"]), Decimal(facts["price"])
                standing = Standing(facts["side"], qty, price, facts["tif"] == "gtc", order)
            elif standing is not None and facts.get("order") == order:
                standing.take(kind, facts)
        return standing

    def asked_by(self, request: str) -> str | None:
        """Return the order that a request's id was used for, by the engine or by the venue."""
        return next((x["order"] for x in self.of("cancel?", "replace?", "replaced") if x["request"] == request), None)

    def execution(self, execution: str) -> tuple[str, Facts] | None:
        """Return the fill, correction or bust that has this id."""
        return next((x for x in self.accepted if x[1].get("execution") == execution), None)

    def trades(self) -> dict[str, Facts]:
        """Return the trades that count, each in its newest version."""
        live: dict[str, Facts] = {}
        for kind, facts in self.accepted:
            if kind in ("correct", "bust"):
                del live[facts["ref"]]
            if kind in ("fill", "correct"):
                live[facts["execution"]] = facts
        return live

    def held(self, asset: str) -> Decimal:
        orders = [self.order(x["order"]) for x in self.of("place")]
        holds = [x.reserved for x in orders if x is not None and (x.side == "buy") == (asset == "USDT")]
        released = {x["hold"] for x in self.of("release")}
        holds += [Decimal(x["amount"]) for x in self.of("hold") if x["asset"] == asset and x["hold"] not in released]
        return sum(holds, Decimal(0))

    def total(self, asset: str) -> Decimal:
        total = Decimal(1000) if asset == "USDT" else Decimal(1)
        for facts in self.trades().values():
            sign = 1 if facts["side"] == "buy" else -1
            gross = Decimal(facts["qty"]) * Decimal(facts["price"])
            total += sign * (Decimal(facts["qty"]) if asset == "BTC" else -gross)
            total -= Decimal(facts["fee"]) if asset == "USDT" else 0
        total += sum((Decimal(x["amount"]) for x in self.of("cash") if x["asset"] == asset), Decimal(0))
        return total - (sum((Decimal(x["amount"]) for x in self.of("fee")), Decimal(0)) if asset == "USDT" else 0)

    def available(self, asset: str) -> Decimal:
        return self.total(asset) - self.held(asset)

    def position(self) -> Decimal:
        signed = [(1 if x["side"] == "buy" else -1) * Decimal(x["qty"]) for x in self.trades().values()]
        return sum(signed, Decimal(0))

    def notional(self, order: str) -> Decimal:
        traded = [Decimal(x["qty"]) * Decimal(x["price"]) for x in self.trades().values() if x["order"] == order]
        return sum(traded, Decimal(0))
