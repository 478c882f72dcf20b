"""
Make histories: a few bytes for each step say what is asked for, and the books so far say what there is to ask about.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ledger.domain.events.cash import CashMoved, HoldPlaced, HoldReleased
from ledger.domain.events.corporate_actions import CashDividendAccrued, CashDividendPaid
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderPlaced,
    OrderReplaced,
    ReplaceRejected,
    ReplaceRequested,
)
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from tests.model import (
    requests_after_the_trade,
    requests_of_cash,
    requests_of_control,
    requests_of_issuers,
    requests_of_orders,
    requests_of_reference,
    requests_of_trades,
)
from tests.model.dice import Dice, NothingFits
from tests.model.history import History
from tests.model.moment import Moment

REQUESTS: dict[type[Event], tuple[Any, int]] = {
    **requests_of_orders.REQUESTS, **requests_of_trades.REQUESTS, **requests_of_cash.REQUESTS,
    **requests_after_the_trade.REQUESTS,
    **requests_of_issuers.REQUESTS, **requests_of_control.REQUESTS, **requests_of_reference.REQUESTS,
}  # fmt: skip
GROUND: dict[type[Event], type[Event]] = {
    CancelRejected: CancelRequested, ReplaceRejected: ReplaceRequested, OrderReplaced: ReplaceRequested,
    AllocationReversed: TradeAllocated, CashDividendPaid: CashDividendAccrued, HoldReleased: HoldPlaced,
}  # fmt: skip
"""What is asked for where there is nothing yet that a request could be about."""
KINDS = [kind for kind, (_, weight) in REQUESTS.items() for _ in range(weight)]
NS_PER_DAY = 86_400 * 10**9
NOON = 12 * 3_600 * 10**9
STEPS = 60
REPEATED = 0.03
"""How often something that was recorded is told again."""
TRIED_AGAIN = 0.04
"""How often something that was set aside is told again."""
NIGHTS = 0.06
"""How often a day ends before a step."""


def steps(
    most: int = STEPS, kinds: Sequence[type[Event]] = tuple(KINDS)
) -> st.SearchStrategy[list[tuple[type[Event], bytes]]]:
    """Return what each step of a history is to be, and what decides all else about it."""
    step = st.tuples(st.sampled_from(kinds), st.binary(min_size=8, max_size=8))
    # Long ones mostly; one that fails is cut down from there.
    long = st.sampled_from([1, 2, 4, 8, 16, 32, *[most] * 24])
    return long.flatmap(lambda size: st.lists(step, min_size=size, max_size=size))


def moment(history: History, day: datetime.date) -> Moment:
    seq = len(history.entries) + 1
    days = (day - datetime.date(1970, 1, 1)).days
    return Moment(seq, days * NS_PER_DAY + NOON + seq, day.isoformat())


def request(history: History, kind: type[Event], now: Moment, dice: Dice) -> Event:
    for fits, chance in ((lambda x: not x.quarantined, REPEATED), (lambda x: x.quarantined, TRIED_AGAIN)):
        facts = [x.event for x in history.entries if x.event.KIND == "fact" and fits(x)]
        if facts and dice.often(chance):
            return dice.choice(facts)
    for another in (kind, GROUND.get(kind, dice.of(OrderPlaced, TradeExecuted)), TradeExecuted, CashMoved):
        try:
            made: Event = REQUESTS[another][0](history, now, dice)
        except NothingFits:
            continue
        return made
    raise NothingFits
