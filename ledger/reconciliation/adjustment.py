"""
Tell whether an event can have mended a break: it posted to the figure's account, or was a report of the trade.

A decision that the books were `adjusted` names the event that did it. The chain knows that a seq is there, and not what
is in it; so whoever records the decision reads the event first. One event may have mended several figures, as a
correction mends a price and two balances. Pure: the event and the rows come in.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.ladder import is_line, names_of
from ledger.domain.postings import Line
from ledger.domain.rows import Allocation, Execution, Instrument
from ledger.domain.rules.ground import NS_PER_DAY
from ledger.reading.posted import posted
from ledger.reconciliation import keys
from ledger.reconciliation.lives import Life
from ledger.reconciliation.ours import first_names

BUCKETS: Final = ("settled", "unsettled", "held")
_TRADING: Final = ("TradeExecuted", "TradeCorrected", "TradeBusted", "TradeAllocated", "AllocationReversed")


class Traded(msgspec.Struct, frozen=True):
    """
    The executions of the books, the allocations that made some of them, and the instruments that they are of.
    """

    executions: list[Execution]
    allocations: list[Allocation]
    instruments: list[Instrument]


def why_not(life: Life, event: RecordedEvent, traded: Traded) -> str | None:
    """
    Return why *event* cannot have mended the break of *life*, or None where it can.

    *traded* is looked at where the break is of a position or trade. Of a break whose key is of somebody's own making
    nothing is known: any event can have mended it, and who decides answers for that.
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
        if event.event_type not in (*_TRADING, "SplitApplied"):
            return f"a {event.event_type}, which moves no position"
        if name[0] not in _instruments_moved(account, event, lines, traded):
            return f"a {event.event_type} of another instrument than {name[0]}"
    elif event.event_type not in _TRADING:
        return f"a {event.event_type}, which is no report of a trade"
    elif not _is_of_trade(name, event, traded):
        return f"a {event.event_type} of another trade than {name[2]} of {name[1]} at {name[0]}"
    return None


def counted(event: RecordedEvent, as_of: int) -> bool:
    """
    Return whether *event*, once recorded, is among the books that a statement of *as_of* is held against.

    A statement of a day is as of its last nanosecond, and held against all that is known of the days up to it.
    """
    day, rest = divmod(as_of + 1, NS_PER_DAY)
    return event.recorded_at <= as_of if rest else event.effective_on < day


def _touched(event: RecordedEvent, traded: Traded) -> list[Execution]:
    """Return the executions that *event* made, took the place of, allocated or took back."""
    named = {
        (row.venue, row.ref_trade_date, row.ref_exec_id) for row in traded.executions if row.event_seq == event.seq
    }  # fmt: skip
    allocations = []
    for one in traded.allocations:
        if event.seq in (one.event_seq, one.reversed_by):
            named.update(names_of(one))
            allocations.append(one)
    made = (((row.venue, row.trade_date, row.exec_id), row) for row in traded.executions)
    return [
        row for name, row in made
        if row.event_seq == event.seq or name in named or any(is_line(name, one) for one in allocations)
    ]  # fmt: skip


def _instruments_moved(account: str, event: RecordedEvent, lines: list[Line], traded: Traded) -> dict[str, str]:
    """Return the instruments whose positions in *account* the event moved, by what stands for each in a key."""
    first = first_names(traded.instruments)
    if event.event_type == "SplitApplied":
        assets = {line.asset for line in lines}
        return keys.by_writing(first[row.instrument] for row in traded.instruments if row.asset in assets)
    moved = [row for row in _touched(event, traded) if keys.stands_for(account, row.account)]
    return keys.by_writing(first[row.instrument] for row in moved)


def _is_of_trade(name: list[str], event: RecordedEvent, traded: Traded) -> bool:
    """Return whether *event* was about a version of the trade that venue, day and id of *name* are."""
    roots = {
        (row.venue, row.root_trade_date, row.root_exec_id) for row in traded.executions
        if row.trade_date == name[1] and keys.stands_for(name[0], row.venue) and keys.stands_for(name[2], row.exec_id)
    }  # fmt: skip
    return any((row.venue, row.root_trade_date, row.root_exec_id) in roots for row in _touched(event, traded))
