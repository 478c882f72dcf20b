"""
Read what the settlement ladder is drawn from, of one account or of all.

Of one account no more is asked for than its rungs need: what some days lack of others' trades is no reason not to tell.
"""

from __future__ import annotations

from typing import Final

from ledger.domain.ladder import Rung, ladder, lines_of, names_of
from ledger.domain.rows import Allocation, Execution
from ledger.reading.sources import Source

LINES_AT_ONCE: Final = 1_000
"""So many lines of each allocation are asked for at a time: a row may say that there are more than there are."""


def settlement_ladder(source: Source, account: str | None) -> list[Rung]:
    """
    Return what is due, has settled and failed, by day, account and asset, of *account* or of all.
    """
    waiting: list[Execution] = source.rows("executions", account=account, live=True, bucket="unsettled")
    if account is None:
        allocations, fails = source.rows("allocations"), source.rows("settlement_fails")
    else:
        # A line is tried again when the block's executions are, and those, given to others before and taken back, when
        # these were to be: all that is other accounts'.
        ids = sorted({row.allocation_id for row in waiting if row.allocation_id is not None})
        standing = [row for allocation_id in ids for row in source.rows("allocations", allocation_id=allocation_id)]
        blocks = sorted({account, *(row.account for row in standing)})
        taken_back = [row for name in blocks for row in source.allocations_taken_back(name)]
        lines = _lines(source, taken_back)
        accounts = sorted({*blocks, *(row.account for row in lines)})
        allocations = standing + taken_back
        fails = [row for name in accounts for row in source.rows("settlement_fails", account=name)]
    named = {(row.venue, row.trade_date, row.exec_id) for row in fails}
    named.update(name for row in allocations for name in names_of(row))
    named.difference_update((row.venue, row.trade_date, row.exec_id) for row in waiting)
    executions = waiting + source.named("executions", sorted(named))
    scales = {row.asset: row.scale for row in source.rows("assets")}
    rungs = ladder(executions, fails, source.settlements(account), allocations, scales)
    return [rung for rung in rungs if account in (None, rung.account)]


def _lines(source: Source, allocations: list[Allocation]) -> list[Execution]:
    """Return the lines that *allocations* became, those that are there."""
    found: list[Execution] = []
    after, left = 0, allocations
    while left:
        found += source.named("executions", [name for row in left for name in lines_of(row, after, LINES_AT_ONCE)])
        after += LINES_AT_ONCE
        there = {(row.venue, row.trade_date, row.exec_id) for row in found}
        # Lines are numbered without a gap: where the last of these is not there, none is that comes after it.
        left = [row for row in left if there.issuperset(lines_of(row, after - 1, 1)) and row.lines > after]
    return found
