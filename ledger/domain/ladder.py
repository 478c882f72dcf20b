"""
Draw the settlement ladder: what is due, what has settled and what failed, by day, account and asset.

It is a pure query over executions, fails and settlements. An execution is due on the day it was to settle, or, once
that failed, on the day it is tried again; a line of an allocation, which has not failed itself, when the last of the
block's executions is. Amounts are as the account sees them: positive where it receives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ledger.domain import postings
from ledger.domain.rows import Allocation, Execution, Movement, SettlementFail
from ledger.domain.rules.trades import outstanding

_NEVER: Final = ("", 0, "")
"""Before any fail: the day of one, its seq, and when it is tried again."""


class Rung(msgspec.Struct, frozen=True, order=True):
    """
    One day of one account in one asset; amounts in units of 10^-18.
    """

    date: str
    account: str
    asset: str
    due: int
    settled: int
    failed: int


def ladder(
    executions: Iterable[Execution],
    fails: Iterable[SettlementFail],
    movements: Iterable[Movement],
    allocations: Iterable[Allocation],
    scales: Mapping[str, int],
) -> list[Rung]:
    """
    Return the rungs that are not empty, by day, account and asset; the ledger's own accounts are left out.

    *scales* are the decimals of each asset.
    """
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    again: dict[tuple[str, str, str], tuple[str, int, str]] = {}
    blocks = {row.allocation_id: row for row in allocations}
    for fail in fails:
        sums[fail.failed_on, fail.account, fail.asset][2] += fail.qty
        sums[fail.failed_on, fail.account, fail.amount_asset][2] += fail.amount
        key = (fail.venue, fail.trade_date, fail.exec_id)
        # The newest fail says when it is tried again, which need not be the one that was told last.
        again[key] = max(again.get(key, _NEVER), (fail.failed_on, fail.event_seq, fail.new_intended_date))
    for row in executions:
        if row.live and row.bucket == "unsettled" and row.settled_qty < row.qty:
            keys = [(row.venue, row.trade_date, name) for name in _tried(row, again, blocks)]
            day = max(again[key][2] if key in again else row.settle_date for key in keys)
            for asset, amount in outstanding(row, scales.__getitem__).items():
                sums[day, row.account, asset][0] += amount
    for movement in movements:
        if movement.kind == "settlement":
            for line in postings.from_text(movement.postings):
                if line.bucket == "settled" and not postings.is_system(line.account):
                    sums[movement.effective_on, line.account, line.asset][1] += line.amount
    return sorted(Rung(*place, *found) for place, found in sums.items() if any(found))


def _tried(
    row: Execution, again: Mapping[tuple[str, str, str], tuple[str, int, str]], blocks: Mapping[str, Allocation]
) -> tuple[str, ...]:
    """Return the ids of the executions whose fails say when *row* is tried again."""
    own = (row.exec_id,)
    if row.kind != "allocation" or row.allocation_id is None or (row.venue, row.trade_date, row.exec_id) in again:
        return own
    return blocks[row.allocation_id].exec_ids
