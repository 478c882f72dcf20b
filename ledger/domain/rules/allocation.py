"""
Rule on allocations: a block's executions become trades of the accounts that they were done for.

The executions stop counting for the block and a line each counts for its account, at the line's price and with its
fees, through the same clearing account. What the lines cost differs from what the executions cost by rounding alone,
and that is posted to the rounding account. Reversed, the executions are the block's again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain import amounts, postings, registry
from ledger.domain.events import settlement as events
from ledger.domain.events.checks import IDENTIFIER_LIMIT_BYTES
from ledger.domain.events.fields import Event
from ledger.domain.postings import ROUNDING, Line, moved, negated
from ledger.domain.rows import Allocation, Execution, Instrument
from ledger.domain.rules import trades
from ledger.domain.rules.approval import check_second_person
from ledger.domain.rules.executions import check_fees, fees_text, note_fees
from ledger.domain.rules.gross import terms_of_block
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    as_derived_of_many,
    check_not_closed,
    check_scale,
    known,
    post,
    units,
)
from ledger.domain.rules.orders import gross_of
from ledger.domain.rules.position_moves import move_position, unmove_position
from ledger.domain.state import State
from ledger.errors import TooLarge

REVERSAL_GIVEN_BYTES: Final = 4096
"""What a reversal may say itself, its reason and who decided, beside what follows from it; a reason can be cut."""
_AROUND_BYTES: Final = 128
"""What stands around either in a payload: names of members, and what rounding left."""


def _block(state: State, event: events.TradeAllocated, now: Now) -> tuple[list[Execution], Instrument]:
    if not event.exec_ids or len(set(event.exec_ids)) < len(event.exec_ids):
        raise Broken(
            "exec_ids", f"{event.allocation_id!r}: found no execution, or one twice; expected each of the block once"
        )
    rows = [trades.live(state, event.venue, event.trade_date, exec_id) for exec_id in event.exec_ids]
    first = rows[0]
    instrument = trades.unsplit(state, first, now)
    for row in rows:
        if (row.account, trades.unsplit(state, row, now), row.side) != (first.account, instrument, first.side):
            raise Broken(
                "block_mismatch",
                f"{row.exec_id!r} is of another account, instrument or side than the first; expected one block's",
            )
        if (row.bucket, row.settle_date) != (first.bucket, first.settle_date):
            raise Broken(
                "block_mismatch",
                f"{row.exec_id!r} settles on another day than the first; expected one day's, so allocate it by itself",
            )
        if row.kind == "allocation":
            raise Broken(
                "allocated", f"{row.exec_id!r} is a line of allocation {row.allocation_id}; reverse that first"
            )
        if row.settled_qty:
            raise Broken("settled_before", f"{row.exec_id!r} has settled in part; allocate before it settles")
    return rows, terms_of_block(state, rows, instrument)


def _exec_id(event: events.TradeAllocated, number: int) -> str:
    return f"{event.allocation_id}.{number}"


def _line(
    state: State, event: events.TradeAllocated, number: int, block: Execution, instrument: Instrument, now: Now
) -> Execution:
    line = event.lines[number - 1]
    account = known(state.accounts, line.account, "account")
    if line.account == block.account or account.status == "closed":
        raise Broken("line_account", f"account {line.account} is the block's own, or closed; expected another")
    qty, price = units(line.qty), units(line.price)
    if qty <= 0:
        raise Broken("quantity", f"found quantity {line.qty} for {line.account}; expected more than 0")
    check_scale(qty, known(state.assets, block.asset, "asset"), "quantity")
    check_fees(state, line.fees, event.trade_date, now)
    note_fees(state, line.fees, (block.asset, block.gross_asset), event.trade_date)
    exec_id = _exec_id(event, number)
    if state.executions.fresh(event.venue, event.trade_date, exec_id) is not None:
        raise Broken("exec_id_taken", f"execution {exec_id!r} exists; use another allocation id")
    scale = known(state.assets, block.gross_asset, "asset").scale
    booked = trades.as_booked(state, event.venue, event.trade_date, exec_id)
    gross = gross_of(instrument, qty, price, scale) if booked is None else booked.gross
    return msgspec.structs.replace(
        block, exec_id=exec_id, kind="allocation", event_seq=now.seq, order_id=None, account=line.account,
        instrument=instrument.instrument, qty=qty, price=price, gross=gross,
        fees=fees_text(line.fees), ref_trade_date=None, ref_exec_id=None, root_trade_date=event.trade_date,
        root_exec_id=exec_id, cost_change=0, realised_change=0, late=False, allocation_id=event.allocation_id,
        content=now.content(), follows=(),
    )  # fmt: skip


def _rounding(state: State, lines: list[Execution], block: list[Execution], instrument: Instrument) -> int:
    """Return what the lines cost more than the block; Broken where that is more than rounding explains."""
    qty, whole = sum(x.qty for x in lines), sum(x.qty for x in block)
    if qty != whole:
        raise Broken(
            "allocated_qty",
            f"found lines of {amounts.render(qty)} in all; expected {amounts.render(whole)}, those of the executions",
        )
    residual = sum(x.gross for x in lines) - sum(x.gross for x in block)
    if state.booked is not None:
        return residual
    # Exact products are compared, since small lines would hide any price in the rounding of each. They come to what the
    # executions do, by their prices or by their cash, within the last decimal that an average price may have.
    meant = (sum(x.qty * x.price * instrument.multiplier for x in block), sum(x.gross for x in block) * amounts.UNIT**2)
    exact, off = sum(x.qty * x.price * instrument.multiplier for x in lines), whole * instrument.multiplier
    if not min(meant) - off <= exact <= max(meant) + off:
        more, _ = divmod(exact - meant[1], amounts.UNIT**2)
        raise Broken(
            "allocated_price",
            f"the lines cost {amounts.render(more)} {block[0].gross_asset} more than the executions; expected "
            "quantities times prices to add up to the same: give an average price to its last decimal",
        )
    return residual


def _moved_between(
    state: State, old: list[Execution], new: list[Execution], rounding: int
) -> list[Line]:  # fmt: skip
    """Return the postings that put *new* in the place of *old*; what *new* costs more goes to the rounding account."""
    lines: list[Line] = []
    for row in old:
        lines += negated(trades.booked(state, row))
    for row in new:
        lines += trades.lines_of(row)
    first = new[0]
    # The venue is paid what the executions cost, when the lines settle: less this, which no settlement will move.
    lines += moved(
        first.gross_asset, trades.signed(first.side, rounding), (postings.clearing(first.venue), "settled"),
        (ROUNDING, "settled"),
    )  # fmt: skip
    return postings.merged(lines)


def _reversal_bytes(state: State, old: list[Execution], new: list[Execution], rounding: int) -> int:
    """
    Return the most bytes that the postings of a reversal may come to: where a part of each line has settled, each
    account has some of each asset in both buckets, and no part has more digits than the whole or the asset.
    """
    sums: dict[tuple[str, str], int] = {}
    made = [line for row in old + new for line in trades.lines_of(row)]
    made += moved(new[0].gross_asset, rounding, (postings.clearing(new[0].venue), "settled"), (ROUNDING, "settled"))
    for line in made:
        sums[line.account, line.asset] = sums.get((line.account, line.asset), 0) + abs(line.amount)
    widest: list[Line] = []
    for (account, asset), amount in sums.items():
        last = 10 ** (amounts.SCALE - known(state.assets, asset, "asset").scale)
        most = amount // amounts.UNIT * amounts.UNIT + amounts.UNIT - last
        widest += [Line(account, asset, "settled", -most or -1), Line(account, asset, "unsettled", -most or -1)]
    return len(msgspec.json.encode(as_derived_of_many(widest)))


def _fits(
    state: State, event: events.TradeAllocated, block: list[Execution], lines: list[Execution], rounding: int
) -> bool:
    """Return whether an allocation to *lines* fits an event, and its reversal does whatever has settled of them."""
    given = registry.encode_given(msgspec.structs.replace(event, lines=event.lines[: len(lines)]))
    follows = msgspec.json.encode(as_derived(_moved_between(state, block, lines, rounding)))
    bytes_made = len(given) + len(follows) + _AROUND_BYTES
    bytes_undone = REVERSAL_GIVEN_BYTES + _reversal_bytes(state, block, lines, rounding)
    return max(bytes_made, bytes_undone) <= PAYLOAD_LIMIT_BYTES


def _check_reversible(
    state: State, event: events.TradeAllocated, block: list[Execution], lines: list[Execution], rounding: int
) -> None:
    """Raise Broken where a reversal would not fit an event: what could not be undone may not be done."""
    if _fits(state, event, block, lines, rounding):
        return
    fit, over = 0, len(lines)
    while over - fit > 1:
        middle = (fit + over) // 2
        if _fits(state, event, block, lines[:middle], rounding):
            fit = middle
        else:
            over = middle
    raise Broken(
        "too_large",
        f"found {len(lines)} lines: the allocation, or its reversal once they have settled in part, would not fit an "
        f"event; expected at most {fit} such as these: allocate the executions in several allocations",
        TooLarge,
    )


def allocate(state: State, event: events.TradeAllocated, now: Now) -> Effects:
    """
    Whole executions of one block that nothing has settled of, to accounts that can pay for their lines.
    """
    if state.allocations.fresh(event.allocation_id) is not None:
        raise Broken("allocation_exists", f"found allocation {event.allocation_id!r} a second time; expected a new id")
    block, instrument = _block(state, event, now)
    if not event.lines:
        raise Broken("lines", "found an allocation without lines; expected one or more")
    if len(_exec_id(event, len(event.lines))) > IDENTIFIER_LIMIT_BYTES:
        # Each line is an execution, and what names an execution is an identifier: this one could never settle.
        raise Broken(
            "lines",
            f"found an allocation id of {len(event.allocation_id)} characters; expected one that with "
            f"'.{len(event.lines)}' after it has at most {IDENTIFIER_LIMIT_BYTES}",
        )
    scale = known(state.assets, block[0].gross_asset, "asset").scale
    lines = [_line(state, event, number, block[0], instrument, now) for number in range(1, len(event.lines) + 1)]
    rounding = _rounding(state, lines, block, instrument)
    if state.booked is None:
        _check_reversible(state, event, block, lines, rounding)
    postings_made = _moved_between(state, block, lines, rounding)
    post(state, postings_made, may_refuse=True)
    for row in block:
        unmove_position(state, row, instrument, scale)
        state.executions.put(msgspec.structs.replace(row, live=False, allocation_id=event.allocation_id, follows=()))
    for row in lines:
        state.executions.put(move_position(state, row, instrument, scale))
    made = Allocation(
        event.allocation_id, now.seq, block[0].account, event.venue, event.trade_date, event.exec_ids, len(lines),
        rounding, None,
    )  # fmt: skip
    state.allocations.put(made)
    derived: dict[str, Any] = {"postings": as_derived(postings_made)}
    if rounding:
        derived["rounding"] = amounts.render(rounding)
    return Effects(f"allocation/{event.allocation_id}", made.version, derived, event.trade_date)


def reverse(state: State, event: events.AllocationReversed, now: Now) -> Effects:
    """
    An allocation is undone once, exactly, with what has settled of its lines; the executions wait to settle anew. No
    account of it is closed. One that has spent what it is to give back falls below its floor, and is flagged.
    """
    check_second_person(state, "reversal", event.proposed_by, event.approved_by)
    old = known(state.allocations, event.allocation_id, "allocation")
    if old.reversed_by is not None:
        raise Broken(
            "reversed_before",
            f"allocation {event.allocation_id!r} was reversed at seq {old.reversed_by}; expected one that stands",
        )
    lines = [
        trades.live(state, old.venue, old.trade_date, f"{old.allocation_id}.{number}")
        for number in range(1, old.lines + 1)
    ]
    for line in lines:
        trades.unsplit(state, line, now)
    for account in (old.account, *(row.account for row in lines)):
        check_not_closed(state, account)
    block = []
    for exec_id in old.exec_ids:
        row = state.executions.get(old.venue, old.trade_date, exec_id)
        if row is None:
            raise Broken("unknown_ref", f"found no execution {exec_id!r}; expected it, as the allocation names it: "
                                        "run tradeledger-verify")  # fmt: skip
        instrument = trades.unsplit(state, row, now)
        block.append(msgspec.structs.replace(row, instrument=instrument.instrument, live=True, allocation_id=None))
    scale = known(state.assets, block[0].gross_asset, "asset").scale
    postings_made = _moved_between(state, lines, block, -old.rounding)
    # A venue's correction has no other way in, and what was done with the shares does not make the trade stand.
    post(state, postings_made, may_refuse=False)
    for row in lines:
        unmove_position(state, row, instrument, scale)
        state.executions.put(msgspec.structs.replace(row, live=False, follows=()))
    for row in block:
        state.executions.put(move_position(state, row, instrument, scale, again=True))
    made = msgspec.structs.replace(old, reversed_by=now.seq)
    state.allocations.put(made)
    # Of lines that have settled in part it has twice as many postings as the allocation had, and has to fit as well.
    derived = {"postings_of_many": as_derived_of_many(postings_made)}
    return Effects(f"allocation/{event.allocation_id}", made.version, derived, old.trade_date)


RULES: dict[type[Event], object] = {events.TradeAllocated: allocate, events.AllocationReversed: reverse}
