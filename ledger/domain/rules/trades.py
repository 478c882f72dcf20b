"""
Find an execution that counts, and say what it has in the books.

A trade is booked in the unsettled bucket and moves to the settled one as it settles, quantity, cash and fees in step.
What is booked follows from the row alone, so undoing a trade takes exactly that out of each bucket.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.positions import share
from ledger.domain.postings import Bucket, Line, negated
from ledger.domain.rows import Execution, Instrument
from ledger.domain.rules.ground import Broken, Now, known, known_instrument
from ledger.domain.rules.new_shares import check_undone
from ledger.domain.state import State

_FEES: Final = msgspec.json.Decoder(list[tuple[str, str, str]])
FeeParts = Iterable[tuple[str, int]]
"""(asset, amount) of each fee, or of a part of it."""


def signed(side: str, amount: int) -> int:
    """
    Return *amount* as the account sees it: positive where it buys.
    """
    return amount if side == "buy" else -amount


@functools.lru_cache(4096)
def fees_of(stored: str) -> tuple[tuple[str, int], ...]:
    """
    Return the fees that a row keeps as text.
    """
    return tuple((asset, amounts.parse(amount)) for _, asset, amount in _FEES.decode(stored))


def _legs(row: Execution, bucket: Bucket, qty: int, gross: int, fees: FeeParts) -> list[Line]:
    """Return the postings of *qty* of an execution, in one bucket on every side."""
    own: tuple[str, Bucket] = (row.account, bucket)
    venue: tuple[str, Bucket] = (postings.clearing(row.venue), bucket)
    lines = postings.moved(row.asset, signed(row.side, qty), venue, own)
    lines += postings.moved(row.gross_asset, signed(row.side, gross), own, venue)
    for asset, amount in fees:
        lines += postings.moved(asset, amount, own, (postings.FEES, bucket))
    return lines


def lines_of(row: Execution) -> list[Line]:
    """
    Return the postings with which an execution was booked: two legs through the venue's clearing account, and fees.
    """
    bucket: Bucket = "settled" if row.bucket == "settled" else "unsettled"
    return _legs(row, bucket, row.qty, row.gross, fees_of(row.fees))


def settling(state: State, row: Execution, qty: int, gross: int) -> list[Line]:
    """
    Return the postings that move *qty* and *gross* more of an execution from unsettled to settled, on every side.

    Of each fee goes what takes its settled share to that of the quantity, so that the parts add up to the whole.
    """
    before, after = row.settled_qty, row.settled_qty + qty
    fees = []
    for asset, amount in fees_of(row.fees):
        scale = known(state.assets, asset, "asset").scale
        fees.append((asset, share(amount, after, row.qty, scale) - share(amount, before, row.qty, scale)))
    return negated(_legs(row, "unsettled", qty, gross, fees)) + _legs(row, "settled", qty, gross, fees)


def outstanding(row: Execution, scale_of: Callable[[str], int]) -> dict[str, int]:
    """
    Return what is left to settle of an execution, by asset, as the account sees it: cash with the fees on it.
    """
    owed: dict[str, int] = defaultdict(int)
    owed[row.asset] += signed(row.side, row.qty - row.settled_qty)
    owed[row.gross_asset] -= signed(row.side, row.gross - row.settled_gross)
    for asset, amount in fees_of(row.fees):
        owed[asset] -= amount - share(amount, row.settled_qty, row.qty, scale_of(asset))
    return owed


def booked(state: State, row: Execution) -> list[Line]:
    """
    Return what an execution has in the books now, bucket by bucket.
    """
    lines = lines_of(row)
    if not row.settled_qty:
        return lines
    unsettled = msgspec.structs.replace(row, settled_qty=0, settled_gross=0)
    return postings.merged(lines + settling(state, unsettled, row.settled_qty, row.settled_gross))


def live(state: State, venue: str, trade_date: str, exec_id: str) -> Execution:
    """
    Return the execution of this name, or raise Broken unless it is the version of its trade that counts.
    """
    row = state.executions.get(venue, trade_date, exec_id)
    name = f"execution {exec_id!r} of {trade_date}"
    if row is None:
        raise Broken("unknown_ref", f"found a reference to {name}, which is unknown; record the trade first")
    if row.kind == "bust":
        raise Broken("ref_is_bust", f"found a reference to {name}, which is a bust; expected a trade that counts")
    if not row.live and row.allocation_id is not None and row.kind != "allocation":
        raise Broken(
            "allocated",
            f"{name} was allocated by {row.allocation_id}; expected one of its lines ({row.allocation_id}.1) where it "
            "settles or fails to: for anything else reverse the allocation first (AllocationReversed)",
        )
    if not row.live:
        raise Broken(
            "stale_ref", f"found {name}, which was corrected or busted before; expected the newest version of the trade"
        )
    return row


def as_booked(state: State, venue: str, trade_date: str, exec_id: str) -> Execution | None:
    """
    Return the execution of this name as it was booked, with terms that may have been amended since; None where it is
    being booked.
    """
    return None if state.booked is None else state.booked.executions.get(venue, trade_date, exec_id)


def unsplit(state: State, row: Execution, now: Now) -> Instrument:
    """
    Return the instrument of an execution as it is called now, or raise Broken where the execution is, *now* that it is
    to change, of older shares, by what was traded, or what it was paid or charged in.
    """
    instrument = known_instrument(state, row.instrument)
    if instrument.split_on is not None and row.trade_date < instrument.split_on:
        raise Broken(
            "before_split",
            f"execution {row.exec_id!r} of {row.trade_date} is of shares before the split of {instrument.split_on}: "
            "change it by hand",
        )
    # By days another version may be undone than the one that was checked, and what was posted stands.
    moved_too = [row.gross_asset, *(asset for asset, _ in fees_of(row.fees))] if state.booked is None else []
    for name in dict.fromkeys(moved_too):
        check_undone(known(state.assets, name, "asset"), row.event_seq, f"a change of {row.exec_id!r}", now)
    return instrument
