"""
Say from a history what each account holds of each instrument, what it cost, and what was earned by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from tests.model import reference, trades
from tests.model.history import History, asked, rounded
from tests.model.trades import Key, Trade

Place = tuple[str, str]
"""Account and instrument, by the name it goes by now."""


@dataclass
class Holding:
    """
    One position. Of one that is reckoned first in, first out, `lots` are quantity and cost of what is open; an average
    one remembers what each trade did to cost and result.
    """

    scale: int
    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    lots: list[list[Fraction]] = field(default_factory=list)
    did: dict[Key, tuple[Fraction, Fraction, Fraction]] = field(default_factory=dict)

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
        self.did[trade.key] = (traded, cost, realised)

    def forget(self, key: Key) -> None:
        traded, cost, realised = self.did.pop(key)
        self.qty, self.cost, self.realised = self.qty - traded, self.cost - cost, self.realised - realised
        if not self.qty:
            self.cost, self.realised = Fraction(0), self.realised - self.cost

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
def holdings(history: History) -> dict[Place, Holding]:
    """Return every position that ever was."""
    found: dict[Place, Holding] = {}
    queues: list[tuple[int, int, Trade]] = []
    live, first = trades.live(history), firsts(history)

    def of(trade: Trade) -> Holding:
        its = reference.terms(history, trade.instrument)
        assert its is not None
        return found.setdefault((trade.account, its.name), Holding(reference.scales(history)[its.quote]))

    for number, (_, came, trade) in enumerate(moves(history)):
        holding = of(trade)
        if reference.accounts(history)[trade.account].cost_method == "FIFO":
            if came and trade.key in live:
                queues.append((first[trade.key], number, trade))
        elif came:
            holding.average(trade)
        else:
            holding.forget(trade.key)
    # An execution that came back from a block is there twice, in one place.
    for trade in {trade.key: trade for _, _, trade in sorted(queues, key=lambda x: x[:2])}.values():
        of(trade).first_in_first_out(trade)
    for trade in live.values():
        its = reference.terms(history, trade.instrument)
        assert its is not None
        of(trade).fees += sum((amount for asset, amount in trade.fees if asset == its.quote), Fraction(0))
    return found
