"""
Match the lots of a position first in, first out, and match them anew from the trade that changes on.

What a trade closes is taken from the oldest open lots, each share rounded as positions are. First in, first out leaves
the newest lots open, so how they stood before any trade follows from the trades alone: as many of the newest as the
position was, the oldest of them maybe in part. What is left of its cost follows from the trades that closed the rest,
in order, for each was a share that was rounded. So undoing costs in proportion to the trades since, and those that were
open then.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.domain.positions import share
from ledger.domain.rows import Lot, LotQueue
from ledger.domain.state import FIRST_RUN, LONGEST_RUN, State


def _lot(state: State, queue: LotQueue, number: int) -> Lot:
    lot = state.lots.get(queue.account, queue.instrument, number)
    if lot is None:
        raise AssertionError(f"lot {number} of {queue.account} in {queue.instrument} is missing")
    return lot


def newest_first(state: State, queue: LotQueue, newest: int, oldest: int) -> Iterator[Lot]:
    """
    Yield the lots from number *newest* down to *oldest*; those that memory has forgotten are fetched many at a time.
    """
    count = FIRST_RUN
    for number in range(newest, oldest - 1, -1):
        key = (queue.account, queue.instrument, number)
        if key not in state.lots.rows:
            state.lots.bring_run(key, min(count, number - oldest + 1))
            count = min(2 * count, LONGEST_RUN)
        yield _lot(state, queue, number)


def oldest_first(state: State, queue: LotQueue, oldest: int, newest: int) -> Iterator[Lot]:
    """
    Yield the lots from number *oldest* up to *newest*; those that memory has forgotten are fetched many at a time.
    """
    count = FIRST_RUN
    for number in range(oldest, newest + 1):
        if (queue.account, queue.instrument, number) not in state.lots.rows:
            end = min(number + count - 1, newest)
            state.lots.bring_run((queue.account, queue.instrument, end), end - number + 1)
            count = min(2 * count, LONGEST_RUN)
        yield _lot(state, queue, number)


def match(state: State, queue: LotQueue, lot: Lot, scale: int) -> tuple[LotQueue, int, int]:
    """
    Put *lot*, a trade that is newer than all of *queue*, and return (queue, cost change, realised change).
    """
    left, value, cost, realised = lot.qty, lot.value, 0, 0
    first = queue.first_open
    for old in oldest_first(state, queue, first, queue.last):
        if old.open_qty and (old.open_qty > 0) == (left > 0):
            break
        if old.open_qty:
            closed = min(abs(old.open_qty), abs(left))
            released, paid = (
                share(old.open_cost, closed, abs(old.open_qty), scale),
                share(value, closed, abs(left), scale),
            )
            signed = closed if left > 0 else -closed
            left, value = left - signed, value - paid
            cost, realised = cost - released, realised - paid - released
            open_qty = old.open_qty + signed
            state.lots.put(msgspec.structs.replace(old, open_qty=open_qty, open_cost=old.open_cost - released))
            if open_qty:
                break
        first = old.number + 1
        if not left:
            break
    # The last share of the value is all that is left of it, so that nothing is left when the trade closed as much.
    state.lots.put(msgspec.structs.replace(lot, open_qty=left, open_cost=value))
    cost += value
    if first > queue.last:
        first = lot.number if left else lot.number + 1
    return msgspec.structs.replace(queue, first_open=first, last=max(queue.last, lot.number)), cost, realised


def rematch(state: State, queue: LotQueue, lot: Lot, scale: int) -> tuple[int, int]:
    """
    Put *lot* in the place of the one with its number, match anew what that changes, and return the position's
    (cost, realised).

    One of the two does not count: a trade is taken out, or put back.
    """
    position = state.positions.get(queue.account, queue.instrument)
    qty, cost, realised = (position.qty, position.cost, position.realised) if position else (0, 0, 0)
    old = _lot(state, queue, lot.number)
    if old.live and old.open_qty == old.qty:
        # Nothing of it was ever closed, so nothing was matched otherwise for it.
        state.lots.put(msgspec.structs.replace(lot, open_qty=0, open_cost=0))
        return cost - old.open_cost, realised
    if lot.live and _stays_behind(state, queue, lot):
        state.lots.put(msgspec.structs.replace(lot, open_qty=lot.qty, open_cost=lot.value))
        return cost + lot.value, realised
    since = list(newest_first(state, queue, queue.last, lot.number))
    was = qty - sum(x.qty for x in since if x.live)
    still = qty - sum(x.open_qty for x in since)
    first, reopened = _reopen(state, queue, lot.number, (was, still), scale)
    # Cost less result is the net cash paid, of any trades: before these it was as much less as they were worth.
    before = cost - sum(x.open_cost for x in since) + reopened
    cost, realised = before, realised + before - cost + sum(x.value for x in since if x.live)
    queue = msgspec.structs.replace(queue, first_open=first, last=lot.number - 1)
    for later in (lot, *reversed(since[:-1])):
        if later.live:
            queue, more, gained = match(state, queue, later, scale)
            cost, realised = cost + more, realised + gained
        else:
            state.lots.put(msgspec.structs.replace(later, open_qty=0, open_cost=0))
            queue = msgspec.structs.replace(queue, last=later.number)
    state.lot_queues.put(queue)
    return cost, realised


def _stays_behind(state: State, queue: LotQueue, lot: Lot) -> bool:
    """Return whether an older lot on the side of *lot* is open to this day: nothing after it was ever closed."""
    for older in oldest_first(state, queue, queue.first_open, lot.number - 1):
        if older.open_qty:
            return (older.open_qty > 0) == (lot.qty > 0)
    return False


def _reopen(state: State, queue: LotQueue, number: int, qty: tuple[int, int], scale: int) -> tuple[int, int]:
    """
    Put the lots before *number* as they stood then, and return the first that was open and by how much the cost rises.

    *qty* is what of them was open then, and what still is.
    """
    was, still = qty
    closed = abs(was) - abs(still)
    if not closed:
        return (queue.first_open if still else number), 0
    more = 0
    for lot in newest_first(state, queue, queue.first_open if still else number - 1, queue.base):
        if not lot.live or (lot.qty > 0) != (was > 0):
            continue
        taken = min(closed, abs(lot.qty) - abs(lot.open_qty))
        closed -= taken
        open_qty = lot.open_qty + (taken if was > 0 else -taken)
        # Whatever is younger than the oldest was open as a whole.
        cost = lot.value if closed else _cost_of(state, queue, lot, abs(open_qty), number, scale)
        state.lots.put(msgspec.structs.replace(lot, open_qty=open_qty, open_cost=cost))
        more += cost - lot.open_cost
        if not closed:
            return lot.number, more
    raise AssertionError(f"the lots of {queue.account} in {queue.instrument} are less than its position")


def _cost_of(state: State, queue: LotQueue, lot: Lot, left: int, number: int, scale: int) -> int:
    """Return the cost of the *left* that was open of *lot*, then the oldest, before trade *number*."""
    qty, cost = abs(lot.qty), lot.value
    parts, closed = [], qty - left
    # The newest trades before that closed the rest; where they do not account for all, the lot is what was left of a
    # trade that first closed the other side, lot by lot.
    for newest, oldest in ((number - 1, lot.number + 1), (lot.number - 1, queue.base)):
        for other in newest_first(state, queue, newest, oldest) if closed else ():
            if other.live and (other.qty > 0) != (lot.qty > 0):
                parts.append(min(abs(other.qty), closed))
                closed -= parts[-1]
                if not closed:
                    break
    for part in reversed(parts):
        cost, qty = cost - share(cost, part, qty, scale), qty - part
    return cost
