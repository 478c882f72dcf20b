"""
Undo a trade of an account that reckons its cost by the average, as if it had never been, and put one in its place.

The average after a trade depends on every trade before it, so what came after a trade that is undone is reckoned anew,
in order. Each execution names the one before it in its position, and the position the newest, so that the way back
costs in proportion to the trades since the one that changes. A split ends the way: before it nothing is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from ledger.domain.positions import after_trade
from ledger.domain.rings import pass_by
from ledger.domain.rows import Execution, Position
from ledger.domain.rules.ground import Broken
from ledger.domain.rules.trades import signed
from ledger.domain.state import FIRST_RUN, LONGEST_RUN, State

Name = tuple[str, ...]
"""Venue, trade date and id of an execution; empty for none."""


def name_of(row: Execution) -> Name:
    """
    Return the key of *row*, as the next trade in its position names it.
    """
    return (row.venue, row.trade_date, row.exec_id)


def _execution(state: State, name: Name) -> Execution:
    row = state.executions.get(*name)
    if row is None:
        raise AssertionError(f"execution {name} of a position is missing")
    return row


def newest_first(state: State, position: Position) -> Iterator[Execution]:
    """
    Yield the trades of *position* that stand, back to the last split that it went through.

    Raises:
        StateMismatch: they lead back to themselves.
    """
    name, count, passed = position.newest, FIRST_RUN, set[Name]()
    while name:
        pass_by(passed, name, "executions.follows")
        if name not in state.executions.rows:
            state.executions.bring_run(name, count)
            count = min(2 * count, LONGEST_RUN)
        row = _execution(state, name)
        yield row
        name = row.follows


def _back_to(state: State, position: Position, found: Callable[[Execution], bool]) -> tuple[Position, list[Execution]]:
    """Return *position* after the newest trade that is *found*, or as at first, and the trades since, newest first."""
    later = []
    for row in newest_first(state, position):
        if found(row):
            break
        later.append(row)
        position = _before(position, row)
    return position, later


def _before(position: Position, row: Execution) -> Position:
    """Return *position*, of which *row* is the newest trade, without that."""
    return msgspec.structs.replace(
        position, qty=position.qty - signed(row.side, row.qty), cost=position.cost - row.cost_change,
        realised=position.realised - row.realised_change, newest=row.follows,
    )  # fmt: skip


def after(position: Position, row: Execution, scale: int) -> tuple[Position, Execution]:
    """
    Return *position* after the trade *row*, and the row with what it did to the position.
    """
    traded, value = signed(row.side, row.qty), signed(row.side, row.gross)
    cost, realised = after_trade(position.qty, position.cost, traded, value, scale)
    row = msgspec.structs.replace(row, cost_change=cost, realised_change=realised, follows=position.newest)
    position = msgspec.structs.replace(
        position, qty=position.qty + traded, cost=position.cost + cost, realised=position.realised + realised,
        newest=name_of(row),
    )  # fmt: skip
    return position, row


def _again(state: State, position: Position, later: Iterable[Execution], scale: int) -> Position:
    for old in later:
        position, row = after(position, old, scale)
        state.executions.put(row)
    return position


def undo(state: State, position: Position, row: Execution, scale: int) -> tuple[Position, Name]:
    """
    Return *position* as if *row* had never been, and what *row* came after.
    """
    position, later = _back_to(state, position, lambda found: name_of(found) == name_of(row))
    if not position.newest:
        raise Broken(
            "unknown_position",
            f"found no execution {row.exec_id!r} among the trades of its position; expected it: verify the ledger",
        )
    position = _before(position, _execution(state, position.newest))
    return _again(state, position, reversed(later), scale), position.newest


def insert(
    state: State, position: Position, row: Execution, scale: int, found: Callable[[Execution], bool]
) -> tuple[Position, Execution]:
    """
    Return *position* as if *row* had come after the newest trade that is *found*, or first; and the row.
    """
    position, later = _back_to(state, position, found)
    position, row = after(position, row, scale)
    return _again(state, position, reversed(later), scale), row


def began(state: State, row: Execution) -> int:
    """
    Return the seq at which the trade was first recorded that *row* is a version of.
    """
    if (row.trade_date, row.exec_id) == (row.root_trade_date, row.root_exec_id):
        return row.event_seq
    return _execution(state, (row.venue, row.root_trade_date, row.root_exec_id)).event_seq
