"""
Keep the lots of accounts that reckon their cost first in, first out.

Every trade of such an account is a row, numbered as it came; what it leaves open is a lot of its own, on the other side
after a flip. A correction takes the place of what it corrects, and a bust leaves a gap; either has the lots matched
anew from there on, so that the result is that of the trades that stand, in order. The queue's base moves up at a split,
before which nothing is undone.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.domain.amounts import SCALE
from ledger.domain.positions import share
from ledger.domain.rows import Execution, Lot, LotQueue
from ledger.domain.rules.ground import Broken, known
from ledger.domain.rules.lot_matching import match, newest_first, oldest_first, rematch
from ledger.domain.state import State


def applies(state: State, account: str) -> bool:
    """
    Return whether *account* keeps lots.
    """
    return known(state.accounts, account, "account").cost_method == "FIFO"


def _queue(state: State, account: str, instrument: str) -> LotQueue:
    return state.lot_queues.get(account, instrument) or LotQueue(account, instrument, 1, 0, 1, 0)


def _find(state: State, queue: LotQueue, venue: str, trade_date: str, exec_id: str) -> Lot:
    for lot in newest_first(state, queue, queue.last, queue.base):
        if (lot.venue, lot.trade_date, lot.exec_id) == (venue, trade_date, exec_id):
            return lot
    raise Broken(
        "unknown_lot",
        f"the lots of {queue.account} in {queue.instrument} have no execution {exec_id!r}; "
        "expected one that opened a lot",
    )


def trade(state: State, row: Execution, traded: int, value: int, scale: int) -> tuple[int, int]:
    """
    Add a trade of *traded* for *value* (negative: sold), and return (cost change, realised change).

    A correction, whose original is undone by now, takes its place.
    """
    queue = _queue(state, row.account, row.instrument)
    if row.ref_exec_id is None:
        lot = Lot(
            row.account, row.instrument, queue.last + 1, row.venue, row.trade_date, row.exec_id, traded, value, 0, 0,
            True,
        )  # fmt: skip
        queue, cost, realised = match(state, queue, lot, scale)
        state.lot_queues.put(queue)
        return cost, realised
    old = _find(state, queue, row.venue, str(row.ref_trade_date), row.ref_exec_id)
    lot = msgspec.structs.replace(
        old, trade_date=row.trade_date, exec_id=row.exec_id, qty=traded, value=value, live=True
    )
    return _in_its_place(state, queue, lot, scale)


def restore(state: State, row: Execution, scale: int) -> tuple[int, int]:
    """
    Let a trade that was undone count again, in its place, and return (cost change, realised change).
    """
    queue = _queue(state, row.account, row.instrument)
    old = _find(state, queue, row.venue, row.trade_date, row.exec_id)
    return _in_its_place(state, queue, msgspec.structs.replace(old, live=True), scale)


def _in_its_place(state: State, queue: LotQueue, lot: Lot, scale: int) -> tuple[int, int]:
    position = state.positions.get(queue.account, queue.instrument)
    before = (position.cost, position.realised) if position else (0, 0)
    cost, realised = rematch(state, queue, lot, scale)
    return cost - before[0], realised - before[1]


def undo(state: State, instrument: str, row: Execution, scale: int) -> tuple[int, int]:
    """
    Take a trade out, and return the position's (cost, realised) without it.
    """
    queue = _queue(state, row.account, instrument)
    old = _find(state, queue, row.venue, row.trade_date, row.exec_id)
    return rematch(state, queue, msgspec.structs.replace(old, live=False), scale)


def trade_dates(state: State, account: str, instrument: str) -> Iterator[str]:
    """
    Yield the trade dates of the trades that stand, newest first, back to the last split that the position went through.

    Of lots that were open at that split it yields them too; they are of before its ex-date.
    """
    queue = _queue(state, account, instrument)
    return (lot.trade_date for lot in newest_first(state, queue, queue.last, queue.base) if lot.live)


def executions(state: State, account: str, instrument: str) -> Iterator[Execution]:
    """
    Yield the trades of `trade_dates` as they were booked.
    """
    queue = _queue(state, account, instrument)
    for lot in newest_first(state, queue, queue.last, queue.base):
        row = state.executions.get(lot.venue, lot.trade_date, lot.exec_id) if lot.live else None
        if row is not None:
            yield row


def split(state: State, account: str, instrument: str, qty: int, ratio: tuple[int, int], sold: int, scale: int) -> int:
    """
    Spread *qty*, a position's quantity after a split by *ratio*, over its open lots, and return the cost released.

    Each lot keeps its cost. *sold* is the fraction that was paid in cash, times the ratio's denominator; it comes from
    the oldest lots. A position that comes to nothing releases all.
    """
    queue = _queue(state, account, instrument)
    found = list(oldest_first(state, queue, queue.first_open, queue.last))
    parts, released = [], 0
    for lot in found:
        whole = abs(lot.open_qty) * ratio[0]
        gone = min(whole, sold) if qty else whole
        cost = share(lot.open_cost, gone, whole, scale) if gone else 0
        sold, released = sold - gone, released + cost
        parts.append((lot, whole - gone, lot.open_cost - cost))
    total = sum(part for _, part, _ in parts)
    seen, given, carried = 0, 0, 0
    for lot, part, cost in parts:
        seen += part
        new = share(qty, seen, total, SCALE) - given if total else 0
        given, cost = given + new, cost + carried
        # A lot too small for one unit of the smallest kind leaves its cost to the next; the last one is never so.
        carried = 0 if new else cost
        kept = cost if new else 0
        changed = {"qty": new, "value": kept, "open_qty": new, "open_cost": kept, "live": bool(new)}
        state.lots.put(msgspec.structs.replace(lot, **changed))
    return released


def rebase(state: State, account: str, instrument: str, realised: int) -> None:
    """
    Make the open lots the ground that later trades are matched on: nothing before them is undone any more.
    """
    queue = _queue(state, account, instrument)
    state.lot_queues.put(msgspec.structs.replace(queue, base=queue.first_open, base_realised=realised))


def rename(state: State, account: str, old: str, new: str) -> None:
    """
    Carry the lots that may still change over to an instrument's new name.
    """
    queue = state.lot_queues.get(account, old)
    if queue is None:
        return
    for lot in oldest_first(state, queue, min(queue.base, queue.first_open), queue.last):
        state.lots.put(msgspec.structs.replace(lot, instrument=new))
        state.lots.put(msgspec.structs.replace(lot, open_qty=0, open_cost=0, live=False))
    state.lot_queues.put(msgspec.structs.replace(queue, instrument=new))
    state.lot_queues.put(LotQueue(account, old, queue.last + 1, queue.last, queue.last + 1, queue.base_realised))
