"""
Settle, fail and give away trades as may well be, and now and then as cannot.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger.domain.events.executions import Fee
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import (
    AllocationLine,
    AllocationReversed,
    ExecutionRef,
    SettlementFailed,
    TradeAllocated,
    TradeSettled,
)
from tests.model import reference, trades
from tests.model.dice import Dice
from tests.model.history import History
from tests.model.moment import Moment
from tests.model.requests_of_trades import days_before, text
from tests.model.trades import Key, Trade


def _one(history: History, dice: Dice) -> tuple[Key, Trade | None]:
    """Return a trade that waits for its settlement, mostly."""
    live = trades.live(history)
    waiting = [key for key, x in live.items() if x.open]
    partly = [key for key in waiting if live[key].settled]
    found = partly if partly and dice.often(0.4) else waiting
    key = dice.aimed(found, [*sorted(trades.used(history)), ("N", "2024-05-22", "none")])
    return key, live.get(key)


def _together(history: History, dice: Dice) -> list[Trade]:
    """Return trades of one account and instrument that wait, if there are."""
    waiting = [x for x in trades.live(history).values() if x.open]
    if not waiting:
        return []
    one = dice.choice(waiting)
    same = (one.account, reference.called_now(history, one.instrument), one.key[0])
    return [x for x in waiting if (x.account, reference.called_now(history, x.instrument), x.key[0]) == same]


def _settlement_id(now: Moment, dice: Dice) -> str:
    return f"s{now.seq if not dice.often(0.1) else dice.randint(20, 50)}"


def settled(history: History, now: Moment, dice: Dice) -> Event:
    name = _settlement_id(now, dice)
    together = _together(history, dice) if dice.often(0.3) else []
    if len(together) > 1:
        qty = sum((x.sign * x.open for x in together), Fraction(0))
        cash = sum((x.sign * (x.gross - x.paid) for x in together), Fraction(dice.of(0, 0, 0, 0, 1), 100))
        refs = tuple(ExecutionRef(trade_date=x.day, exec_id=x.key[2]) for x in together)
        return TradeSettled(settlement_id=name, venue=together[0].key[0], net=refs, qty=text(qty),
                            amount=text(cash) if dice.often(0.6) else None, date=_day(now, dice))  # fmt: skip
    (venue, day, execution), trade = _one(history, dice)
    whole = trade.open if trade and trade.open else Fraction(1)
    parts = [whole] if dice.often(0.4) else [Fraction(1, 10), whole / 2, whole / 3, Fraction(1), whole * 2]
    part = dice.aimed([x for x in parts if (x * 10).denominator == 1 and x <= whole] or [whole], parts[:1])
    amount = None
    if trade and trade.open and dice.often(0.4):
        exact = trade.exact_part(part) * 100
        more = dice.of(0, 0, 1, 2) if exact.denominator > 1 or dice.often(0.1) else 0
        amount = text(Fraction(exact.__floor__() + more, 100))
    return TradeSettled(settlement_id=name, venue=venue, trade_date=day, exec_id=execution, qty=text(part),
                        amount=amount, partial=part < whole and not dice.often(0.05), date=_day(now, dice))  # fmt: skip


def _failed_before(history: History, now: Moment, dice: Dice, name: str) -> Event | None:
    """Return a fail of what has settled since, in part or as a whole, where there is any."""
    found = [x for x in trades.live(history).values() if x.settled]
    if not found:
        return None
    trade = dice.choice(found)
    qty = dice.of(trade.qty, trade.qty, trade.qty - trade.settled / 2, trade.open, trade.qty + 1, None)
    if dice.often(0.4):
        name = dice.choice([x.settlement_id for x in history.of(TradeSettled)])
    day = days_before(now.day, dice.of(0, 1, 1, 2))
    return SettlementFailed(settlement_id=name, venue=trade.key[0], trade_date=trade.day, exec_id=trade.key[2],
                            qty=None if qty is None else text(qty), leg="both", reason="r", date=day,
                            new_intended_date=now.day)  # fmt: skip


def failed(history: History, now: Moment, dice: Dice) -> Event:
    name = _settlement_id(now, dice)
    late = _failed_before(history, now, dice, name) if dice.often(0.3) else None
    if late is not None:
        return late
    together = _together(history, dice) if dice.often(0.2) else []
    which: dict[str, Any] = {}
    if len(together) > 1:
        venue = together[0].key[0]
        which = {"net": tuple(ExecutionRef(trade_date=x.day, exec_id=x.key[2]) for x in together)}
    else:
        (venue, day, execution), _ = _one(history, dice)
        which = {"trade_date": day, "exec_id": execution}
    leg: Any = dice.of("securities", "cash", "both")
    return SettlementFailed(settlement_id=name, venue=venue, leg=leg, reason="r", date=_day(now, dice),
                            new_intended_date=days_before(now.day, dice.of(-1, -1, -2, 0, 1)), **which)  # fmt: skip


def _day(now: Moment, dice: Dice) -> str:
    return days_before(now.day, 0 if not dice.often(0.03) else -1)


def allocated(history: History, now: Moment, dice: Dice) -> Event:
    live = trades.live(history)
    fit = [x for x in live.values() if not x.settled and not x.block and (x.account == "BLOCK" or dice.often(0.3))]
    one = dice.aimed(fit, list(live.values()) or [None])
    if one is None:
        return TradeAllocated(allocation_id=f"a{now.seq}", venue="N", trade_date=now.day, exec_ids=("none",), lines=())
    alike = [x for x in fit if (x.key[:2], x.account, x.instrument, x.side, x.due) ==
             (one.key[:2], one.account, one.instrument, one.side, one.due)] or [one]  # fmt: skip
    block = dice.sample(alike, dice.randint(1, len(alike)))
    its = reference.terms(history, one.instrument)
    assert its is not None
    qty = sum((x.qty for x in block), Fraction(0))
    # The average price, to the last decimal that a price may have.
    exact = sum((x.gross for x in block), Fraction(0)) / qty / its.multiplier
    price = Fraction((exact * 10**18).__floor__(), 10**18) + dice.of(0, 0, 0, 0, 0, 1, Fraction(1, 10**4))
    whole = 10 ** reference.scales(history)[its.asset] * qty
    cut = Fraction(dice.randint(0, int(whole)), int(whole)) * qty
    accounts = dice.sample(("A", "F", "M"), 2) if not dice.often(0.03) else ["BLOCK", "nobody"]
    fees = (Fee(kind="commission", asset=its.quote, amount="0.25"),) if dice.often(0.3) else ()
    lines = [AllocationLine(account=account, qty=text(part), price=text(price), fees=fees)
             for account, part in zip(accounts, (cut, qty - cut), strict=True) if part]  # fmt: skip
    return TradeAllocated(allocation_id=f"a{now.seq}", venue=one.key[0], trade_date=one.day,
                          exec_ids=tuple(x.key[2] for x in block), lines=tuple(lines))  # fmt: skip


def reversed_again(history: History, _: Moment, dice: Dice) -> Event:
    every = [x.allocation_id for x in history.of(TradeAllocated)]
    name = dice.aimed(trades.standing(history).lines, [*every, "none"])
    return AllocationReversed(allocation_id=name, reason="r", proposed_by="ann",
                              approved_by=dice.of("bob", "bob", "bob", "bob", "ann", None))  # fmt: skip


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    TradeSettled: (settled, 9), SettlementFailed: (failed, 3), TradeAllocated: (allocated, 8),
    AllocationReversed: (reversed_again, 9),
}  # fmt: skip
