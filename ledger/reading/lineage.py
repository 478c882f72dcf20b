"""
Name executions as events do: those that an event makes, those that it is about, and the versions of a trade.

A correction names the version whose place it takes, and that one the version before it, up to the trade that all of
them are of. Pure: rows come in with the state that knows them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeAllocated, TradeSettled
from ledger.domain.rows import Execution
from ledger.domain.state import State

Name = tuple[str, str, str]
"""Venue, trade date and id of an execution."""


def name_of(given: Event) -> Name | None:
    """
    Return the name of the execution that *given* is, None where it is none.
    """
    return (given.venue, given.trade_date, given.exec_id) if isinstance(given, TradeExecuted | TradeBusted) else None


def replaced_by(given: Event) -> Name | None:
    """
    Return the name of the execution that *given* takes the place of, None where it takes none.
    """
    if isinstance(given, TradeCorrected | TradeBusted):
        return given.venue, given.ref_trade_date or given.trade_date, given.exec_ref
    return None


def settled_by(given: TradeSettled | SettlementFailed) -> list[Name]:
    """
    Return the names of the executions that a settlement, or its failure, is of.
    """
    if given.net:
        return [(given.venue, one.trade_date, one.exec_id) for one in given.net]
    return [(given.venue, given.trade_date or "", given.exec_id or "")]


def lines_for(venue: str, trade_date: str, allocation_id: str, count: int) -> list[Name]:
    """
    Return the names of the executions that an allocation of *count* lines makes.
    """
    return [(venue, trade_date, f"{allocation_id}.{number}") for number in range(1, count + 1)]


def version_before(row: Execution) -> Name | None:
    """
    Return the name of the version whose place *row* took, None where it is the first.
    """
    if row.ref_trade_date is None or row.ref_exec_id is None:
        return None
    return row.venue, row.ref_trade_date, row.ref_exec_id


def versions_before(given: Event, whole: State) -> Iterator[Name]:
    """
    Yield the names of the versions that *given* comes after, the newest first, as *whole* knows them.
    """
    name = replaced_by(given)
    while name is not None:
        yield name
        row = whole.executions.get(*name)
        name = None if row is None else version_before(row)


def told_by(given: Event, whole: State) -> list[Name]:
    """
    Return the names of the executions that *given* makes, has count again, or settles.
    """
    if isinstance(given, TradeAllocated):
        return lines_for(given.venue, given.trade_date, given.allocation_id, len(given.lines))
    if isinstance(given, AllocationReversed):
        row = whole.allocations.get(given.allocation_id)
        return [] if row is None else [(row.venue, row.trade_date, exec_id) for exec_id in row.exec_ids]
    if isinstance(given, TradeSettled):
        return settled_by(given)
    name = name_of(given)
    return [] if name is None else [name]


def needed_by(given: Event, whole: State) -> Iterable[Name]:
    """
    Return the names of the executions that *given* is about.
    """
    if isinstance(given, TradeSettled | SettlementFailed):
        return settled_by(given)
    if isinstance(given, TradeAllocated):
        return [(given.venue, given.trade_date, exec_id) for exec_id in given.exec_ids]
    if isinstance(given, AllocationReversed):
        row = whole.allocations.get(given.allocation_id)
        return [] if row is None else lines_for(row.venue, row.trade_date, row.allocation_id, row.lines)
    return versions_before(given, whole)
