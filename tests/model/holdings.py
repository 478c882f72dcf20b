"""
Say from a history what each account holds of each instrument, what it cost, and what was earned by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from tests.model import corporate, reference, trades
from tests.model.history import History, asked, rounded
from tests.model.trades import Key, Trade

Place = tuple[str, str]
"""Account and instrument, by the name it goes by now."""


@dataclass
class Holding:
    """
    One position. Of one that is reckoned first in, first out, `lots` are quantity and cost of what is open.
    """

    scale: int
    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    lots: list[list[Fraction]] = field(default_factory=list)

    def _part(self, total: Fraction, some: Fraction, whole: Fraction) -> Fraction:
        return total if some == whole else rounded(total * some / whole, self.scale)

    def average(self, trade: Trade) -> None:
        traded, value = trade.sign * trade.qty, trade.sign * trade.gross
        cost, realised = value, Fraction(0)
        if self.qty * traded < 0:
            closed = min(abs(self.qty), abs(traded))
            released, paid = self._part(self.cost, closed, abs(self.qty)), self._part(value, closed, abs(traded))
            cost, realised = value - paid - released, -paid - released
        self.qty, self.cost, self.realised = self.qty + traded, self.cost + cost, self.realised + realised

    def first_in_first_out(self, trade: Trade) -> None:
        traded, value = trade.sign * trade.qty, trade.sign * trade.gross
        self.qty += traded
        while traded and self.lots and self.lots[0][0] * traded < 0:
            lot = self.lots[0]
            closed = min(abs(lot[0]), abs(traded))
            released, paid = self._part(lot[1], closed, abs(lot[0])), self._part(value, closed, abs(traded))
            sign = 1 if traded > 0 else -1
            lot[0], lot[1] = lot[0] + sign * closed, lot[1] - released
            traded, value = traded - sign * closed, value - paid
            self.realised -= paid + released
            if not lot[0]:
                self.lots.pop(0)
        if traded:
            self.lots.append([traded, value])
        self.cost = sum((lot[1] for lot in self.lots), Fraction(0))

    def split(self, ratio: Fraction, new: Fraction, cash: Fraction | None, *, fifo: bool) -> None:
        """Put *new* shares in the place of old ones; *cash* is paid for what that is less than exact."""
        exact = self.qty * ratio
        sold = abs(exact) - abs(new) if cash is not None else Fraction(0)
        released = Fraction(0)
        if not new:
            released, self.lots = self.cost, []
        elif not fifo:
            released = self._part(self.cost, sold, abs(exact)) if sold else Fraction(0)
        else:
            for lot in self.lots:
                all_of_it = abs(lot[0]) * ratio
                gone = min(all_of_it, sold)
                cost = self._part(lot[1], gone, all_of_it) if gone else Fraction(0)
                lot[0], lot[1] = (1 if lot[0] > 0 else -1) * (all_of_it - gone), lot[1] - cost
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
            upto = new if seen == total else rounded(new * seen / total, 18)
            if upto != given:
                kept.append([upto - given, cost])
                given, cost = upto, Fraction(0)
        self.lots = kept


@asked
def moves(history: History) -> list[tuple[int, bool, Trade]]:
    """Return what came into positions (True) and what went out again, in the order in which it did."""
    found: list[tuple[int, bool, Trade]] = []
    for seq, event in history.steps():
        if isinstance(event, TradeExecuted | TradeBusted | TradeAllocated | AllocationReversed):
            before, after = trades.live(history.until(seq)), trades.live(history.until(seq + 1))
            found += [(seq, False, trade) for key, trade in before.items() if key not in after]
            found += [(seq, True, trade) for key, trade in after.items() if key not in before]
    return found


@asked
def firsts(history: History) -> dict[Key, int]:
    """Return when the first version of each trade came."""
    found: dict[Key, int] = {}
    for seq, event in history.steps():
        if isinstance(event, TradeCorrected):
            found[trades.key_of(event)] = found[trades.ref_of(event)]
        elif isinstance(event, TradeExecuted):
            found[trades.key_of(event)] = seq
        elif isinstance(event, TradeAllocated):
            found |= {trades.line_key(event, place): seq for place in range(1, len(event.lines) + 1)}
    return found


@asked
def quantity(history: History, place: Place) -> Fraction:
    found = holdings(history).get(place)
    return Fraction(0) if found is None else found.qty


@asked
def holdings(history: History) -> dict[Place, Holding]:
    """Return every position that ever was."""
    found: dict[Place, Holding] = {}
    live, first = trades.live(history), firsts(history)
    # A split comes after what stands before it. What was undone has never been, a correction stands in the place of
    # what it corrects, and an execution that came back from a block in its old one.
    steps: dict[Any, tuple[tuple[int, int], Trade | SplitApplied]] = {}
    for place, (_, came, trade) in enumerate(moves(history)):
        if came and trade.key in live:
            steps[trade.key] = (first[trade.key], place), trade
    for seq, event in history.steps():
        if isinstance(event, SplitApplied):
            steps[event.ca_id] = (seq, 0), event
    for (seq, _), step in sorted(steps.values(), key=lambda x: x[0]):
        its = reference.terms(history, step.instrument)
        assert its is not None
        if isinstance(step, SplitApplied):
            _split(history.until(seq), step, its, found)
            continue
        holding = found.setdefault((step.account, its.name), Holding(reference.scales(history)[its.quote]))
        if reference.accounts(history)[step.account].cost_method == "FIFO":
            holding.first_in_first_out(step)
        else:
            holding.average(step)
    for trade in live.values():
        its = reference.terms(history, trade.instrument)
        assert its is not None
        fees = sum((amount for asset, amount in trade.fees if asset == its.quote), Fraction(0))
        found[trade.account, its.name].fees += fees
    return found


def _split(before: History, event: SplitApplied, its: reference.Terms, found: dict[Place, Holding]) -> None:
    for (account, name), holding in found.items():
        if name == its.name and holding.qty:
            fifo = reference.accounts(before)[account].cost_method == "FIFO"
            new, cash = corporate.of_position(before, event, account, holding.qty)
            holding.split(corporate.ratio(event), new, cash, fifo=fifo)
