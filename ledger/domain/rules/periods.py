"""
Close the books through a day, and keep that day closed.

After a closing no event counts for a day up to it. A command that would is refused. A fact, an allocation, a reversal
and whatever the ledger says of itself cannot be refused for that, so they count for the day they became known:
docs/decisions/0010.
"""

from __future__ import annotations

import datetime
import functools
from typing import Final

import msgspec
from blake3 import blake3

from ledger.domain import amounts
from ledger.domain.events import control as events
from ledger.domain.events.cash import JournalReversed
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from ledger.domain.rows import ClosedPeriod
from ledger.domain.rules.ground import Broken, Effects, Now
from ledger.domain.state import State
from ledger.errors import PeriodIsClosed

_EPOCH: Final = datetime.date(1970, 1, 1)
_OF_WHAT_STANDS: Final = (JournalReversed, AllocationReversed, TradeAllocated)
"""Commands that say what becomes of what is recorded: they are of its day, and have none of their own to choose."""


@functools.lru_cache(64)
def _days(day: str) -> int:
    return (datetime.date.fromisoformat(day) - _EPOCH).days


def trial_balance(state: State) -> str:
    """
    Return the digest of all balances that are not zero: BLAKE3 in hexadecimal over one JSON line each, in order.

    A line is [account, asset, settled, unsettled, held], amounts as in payloads, and a line feed.
    """
    digest = blake3()
    for key in sorted(state.balances.rows):
        row = state.balances.rows[key]
        if row.settled or row.unsettled or row.held:
            shown = [amounts.render(amount) for amount in (row.settled, row.unsettled, row.held)]
            digest.update(msgspec.json.encode([row.account, row.asset, *shown]) + b"\n")
    return digest.hexdigest()


def last_closed(state: State) -> ClosedPeriod | None:
    """
    Return the last closing; all are in memory, numbered without gaps.
    """
    return state.closed_periods.rows.get((len(state.closed_periods.rows),))


def closed_before(state: State, seq: int) -> str:
    """
    Return the last day that was closed before the event at *seq*; nothing where none was.
    """
    return max((row.through for row in state.closed_periods.rows.values() if row.event_seq < seq), default="")


def close(state: State, event: events.PeriodClosed, now: Now) -> Effects:
    """
    A day that is over, later than the last one closed; the digest given is the ledger's own.
    """
    old = last_closed(state)
    if old is not None and event.through <= old.through:
        raise Broken(
            "period_closed",
            f"found {event.through}; expected a day after {old.through}, through which they are closed",
            PeriodIsClosed,
        )
    if event.through >= now.today:
        raise Broken("period_not_over", f"found {event.through}; expected a day before {now.today}, which goes on")
    made = trial_balance(state)
    if event.trial_balance not in (None, made):
        raise Broken(
            "trial_balance", f"found trial balance {event.trial_balance}; expected the ledger's, {made}: reconcile"
        )
    number = (old.number if old else 0) + 1
    state.closed_periods.put(ClosedPeriod(number, event.through, now.seq, made))
    derived = {} if event.trial_balance else {"trial_balance": made}
    return Effects("period/ledger", number, derived)


def counted_on(state: State, event: Event, days: int, today: int) -> int:
    """
    Return the day an event counts for, in days since 1970-01-01, given its own day and that of occurred_at.

    Raises:
        Broken: a command counts for a day that is closed.
    """
    closed = last_closed(state)
    if closed is None or days > _days(closed.through):
        return days
    through = _days(closed.through)
    if event.KIND == "command" and not isinstance(event, _OF_WHAT_STANDS) and not getattr(event, "historical", False):
        raise Broken(
            "period_closed",
            f"the event counts for {_EPOCH + datetime.timedelta(days=days)}, and the books are closed through "
            f"{closed.through}: expected a later day",
            PeriodIsClosed,
        )
    return max(today, through + 1)


def open_day(state: State, event: Event, day: str, now: Now) -> str:
    """
    Return `counted_on` as ISO text, for rows that keep the day.
    """
    if not state.closed_periods.rows:
        return day
    return (_EPOCH + datetime.timedelta(days=counted_on(state, event, _days(day), now.days))).isoformat()


RULES: dict[type[Event], object] = {events.PeriodClosed: close}
