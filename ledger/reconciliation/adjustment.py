"""
Tell whether an event can have mended a break: it posted to the figure's account, or was a report of the trade.

A decision that the books were `adjusted` names the event that did it. The chain knows that a seq is there, and not what
is in it; so whoever records the decision reads the event first. One event may have mended several figures, as a
correction mends a price and two balances. Pure: the event and the rows come in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import Execution, Instrument
from ledger.domain.rules.ground import NS_PER_DAY
from ledger.reading.posted import posted
from ledger.reconciliation import keys
from ledger.reconciliation.lives import Life

BUCKETS: Final = ("settled", "unsettled", "held")
_TRADES: Final = ("TradeExecuted", "TradeCorrected", "TradeBusted")
_MOVING: Final = (*_TRADES, "TradeAllocated", "AllocationReversed", "SplitApplied")


def why_not(
    life: Life, event: RecordedEvent, executions: Iterable[Execution], instruments: Iterable[Instrument]
) -> str | None:
    """
    Return why *event* cannot have mended the break of *life*, or None where it can.

    *executions* are those of the books, looked at where the break is of a trade. Of a break whose key is of somebody's
    own making nothing is known: any event can have mended it, and who decides answers for that.
    """
    if not keys.is_made(life.key):
        return None
    kind, account, *name = keys.parts(life.key)
    lines = [line for line in posted(event) if keys.stands_for(account, line.account)]
    if not lines:
        return f"a {event.event_type} that posts nothing to account {account}"
    if kind == "balance":
        of_asset = [line for line in lines if keys.stands_for(name[0], line.asset)]
        if not any(name[1] not in BUCKETS or line.bucket == name[1] for line in of_asset):
            return f"a {event.event_type} that leaves {name[1]} {name[0]} of {account} as it was"
    elif kind == "position":
        if event.event_type not in _MOVING:
            return f"a {event.event_type}, which moves no position"
        assets = {row.asset for row in instruments if keys.stands_for(name[0], row.instrument)}
        if not any(line.asset in assets for line in lines):
            return f"a {event.event_type} of another instrument than {name[0]}"
    elif event.event_type not in _MOVING[:-1]:
        return f"a {event.event_type}, which is no report of a trade"
    elif event.event_type in _TRADES and not _is_of_trade(name, event, list(executions)):
        return f"a {event.event_type} of another trade than {name[2]} of {name[1]} at {name[0]}"
    return None


def counted(event: RecordedEvent, as_of: int) -> bool:
    """
    Return whether *event*, once recorded, is among the books that a statement of *as_of* is held against.

    A statement of a day is as of its last nanosecond, and held against all that is known of the days up to it.
    """
    day, rest = divmod(as_of + 1, NS_PER_DAY)
    return event.recorded_at <= as_of if rest else event.effective_on < day


def _is_of_trade(name: list[str], event: RecordedEvent, executions: list[Execution]) -> bool:
    """Return whether the execution that *event* made is a version of the trade that venue, day and id of *name* are."""
    roots = {
        (row.venue, row.root_trade_date, row.root_exec_id) for row in executions
        if row.trade_date == name[1] and keys.stands_for(name[0], row.venue) and keys.stands_for(name[2], row.exec_id)
    }  # fmt: skip
    made = [row for row in executions if row.event_seq == event.seq]
    return any((row.venue, row.root_trade_date, row.root_exec_id) in roots for row in made)
