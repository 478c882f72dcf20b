"""
Say whether a trade may settle, fail to settle, or be given to others, as an event says.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger.domain.events.settlement import (
    AllocationReversed,
    SettlementFailed,
    TradeAllocated,
    TradeSettled,
)
from tests.model import corporate, money, reference, trades
from tests.model.approvals import approved
from tests.model.history import Entry, History, fits, number
from tests.model.moment import Moment
from tests.model.periods import counted, is_closed


def _waiting(history: History, event: TradeSettled | SettlementFailed, *, settled: bool = False) -> list[trades.Trade]:
    """
    Return the trades that a settlement is of, none where one of them does not wait (nor, where it may have *settled*,
    ever did) or they do not go together.
    """
    named, live = (event.trade_date is not None, event.exec_id is not None), trades.live(history)
    keys = trades.settles(event)
    if any(named) if event.net else not all(named):
        return []
    if len(set(keys)) != len(keys) or len(event.net) == 1:
        return []
    found = [live[x] for x in keys if x in live and (live[x].open or (settled and not live[x].at_once))]
    together = {(x.account, reference.called_now(history, x.instrument)) for x in found}
    good = len(found) == len(keys) and len(together) == 1 and all(x.day <= event.date for x in found)
    return found if good else []


def settles(history: History, event: TradeSettled, _: Moment) -> bool:
    found = _waiting(history, event)
    if not found:
        return False
    its = reference.terms(history, found[0].instrument)
    assert its is not None
    scales, qty = reference.scales(history), number(event.qty)
    amount = None if event.amount is None else number(event.amount)
    if not fits(qty, scales[its.asset]) or not (amount is None or fits(amount, scales[its.quote])):
        return False
    if event.net:
        whole = sum((x.sign * x.open for x in found), Fraction(0))
        paid = sum((x.sign * (x.gross - x.paid) for x in found), Fraction(0))
        return not event.partial and qty == whole and amount in (None, paid)
    trade = found[0]
    if qty <= 0 or qty > trade.open or (qty < trade.open and not event.partial):
        return False
    exact = trade.exact_part(qty)
    if qty == trade.open:
        return amount in (None, exact)
    # An agent takes the share rounded either way.
    return amount is None or (abs(amount - exact) < Fraction(1, 10 ** scales[its.quote]))


def _last_day(history: History, done: Entry, given: set[str]) -> str:
    """
    Return the last day on which a settlement that was done may have been: that for which it counts; or, as one of a
    closed day counts for another, the last of those days *given* of its trade that were closed when it was told.
    """
    assert isinstance(done.event, TradeSettled)
    then = history.until(done.seq)
    counts = counted(then, done.event.date, done.day)
    return max((day for day in given if day == counts or is_closed(then, day)), default=counts)


def fails(history: History, event: SettlementFailed, _: Moment) -> bool:
    done = [x for x in history.entries if isinstance(x.event, TradeSettled) and not x.quarantined]
    under = [x for x in done if isinstance(x.event, TradeSettled) and x.event.settlement_id == event.settlement_id]
    if event.new_intended_date < event.date:
        return False
    if event.qty is None:
        # What is left by now is what was left on that day, unless some of it has settled since.
        left = _waiting(history, event)
        since = any(day > event.date for x in left for day, _ in trades.settled_on(history, x))
        return not under and bool(left) and not since
    # Told late: what was left on that day, of which some has settled on it or since, under whichever id.
    found, qty = _waiting(history, event, settled=True), number(event.qty)
    if not found or event.net:
        return False
    parts = trades.settled_on(history, found[0])
    if any(_last_day(history, x, {day for day, _ in parts}) < event.date for x in under):
        return False
    its = reference.terms(history, found[0].instrument)
    assert its is not None
    # When the day began, and when it was over; in between it may have failed before or after what settled on it.
    whole = found[0].qty
    most = whole - sum((part for day, part in parts if day < event.date), Fraction(0))
    least = whole - sum((part for day, part in parts if day <= event.date), Fraction(0))
    return fits(qty, reference.scales(history)[its.asset]) and qty > 0 and least <= qty <= most


def allocates(history: History, event: TradeAllocated, now: Moment) -> bool:
    if event.allocation_id in _allocations(history):
        return False
    if len(trades.line_key(event, len(event.lines))[2]) > 128:
        return False
    live = trades.live(history)
    block = [live.get((event.venue, event.trade_date, x)) for x in event.exec_ids]
    found = [x for x in block if x is not None]
    if not found or len(found) < len(block) or len(set(event.exec_ids)) < len(block) or not event.lines:
        return False
    alike = {(x.account, reference.called_now(history, x.instrument), x.side, x.due, x.at_once) for x in found}
    if len(alike) > 1 or any(x.settled or x.block is not None for x in found):
        return False
    its = reference.terms(history, found[0].instrument, event.trade_date)
    assert its is not None
    if event.trade_date < its.split_on or _reused(history, event):
        return False
    if not all(_is_line(history, x, its, found[0].account) for x in event.lines):
        return False
    charged = {fee.asset for x in event.lines for fee in x.fees}
    if any(corporate.is_of_old_shares(history, asset, event.trade_date) for asset in charged):
        return False
    if any(corporate.has_split_since(history, x) for x in found):
        return False
    one = trades.terms_of_block(history, found)
    if one is None:
        return False
    made = trades.lines(history, event, found, one)
    if sum(x.qty for x in made) != sum(x.qty for x in found):
        return False
    return _costs_the_same(one, made, found) and money.affordable(history, event, now)


def _costs_the_same(its: reference.Terms, lines: list[trades.Trade], block: list[trades.Trade]) -> bool:
    """Whether the lines come to the prices, or the cash, of the block, to the last digit of an average price."""
    cost = sum((x.qty * x.price for x in lines), Fraction(0)) * its.multiplier
    meant = [sum((x.qty * x.price for x in block), Fraction(0)) * its.multiplier]
    meant.append(sum((x.gross for x in block), Fraction(0)))
    off = max(min(meant) - cost, cost - max(meant))
    last = sum((x.qty for x in block), Fraction(0)) * its.multiplier / 10**18
    return off <= last


def _reused(history: History, event: TradeAllocated) -> bool:
    used = trades.used(history)
    return any(trades.line_key(event, place) in used for place in range(1, len(event.lines) + 1))


def _is_line(history: History, line: Any, its: reference.Terms, block: str) -> bool:
    scales = reference.scales(history)
    known = reference.is_account(history, line.account) and line.account != block
    good = known and number(line.qty) > 0 and fits(number(line.qty), scales[its.asset])
    fees = all(x.asset in scales and fits(number(x.amount), scales[x.asset]) for x in line.fees)
    return good and fees and reference.status_of(history, line.account) != "closed"


def _allocations(history: History) -> dict[str, TradeAllocated]:
    return {x.allocation_id: x for x in history.of(TradeAllocated)}


def reverses(history: History, event: AllocationReversed, _: Moment) -> bool:
    made = _allocations(history).get(event.allocation_id)
    if made is None or event.allocation_id not in trades.standing(history).lines:
        return False
    block = trades.standing(history).given[event.allocation_id][0]
    if any(reference.status_of(history, x) == "closed" for x in (block.account, *(x.account for x in made.lines))):
        return False
    instrument = block.instrument
    its = reference.terms(history, instrument)
    assert its is not None
    moved = [*trades.standing(history).given[event.allocation_id]]
    moved += [trades.live(history)[x] for x in trades.standing(history).lines[event.allocation_id]]
    old = made.trade_date < its.split_on or any(corporate.has_split_since(history, x) for x in moved)
    return not old and approved(history, event, "reversal")


JUDGES: dict[Any, Any] = {
    TradeSettled: settles, SettlementFailed: fails, TradeAllocated: allocates, AllocationReversed: reverses,
}  # fmt: skip
