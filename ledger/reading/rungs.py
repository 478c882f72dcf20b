"""
Read what the settlement ladder is drawn from, of one account or of all.

Of one account no more is asked for than its rungs need: what some days lack of others' trades is no reason not to tell.
"""

from __future__ import annotations

from ledger.domain.ladder import Rung, ladder
from ledger.domain.rows import Execution
from ledger.reading.sources import Source


def settlement_ladder(source: Source, account: str | None) -> list[Rung]:
    """
    Return what is due, has settled and failed, by day, account and asset, of *account* or of all.
    """
    waiting: list[Execution] = source.rows("executions", account=account, live=True, bucket="unsettled")
    if account is None:
        allocations, fails = source.rows("allocations"), source.rows("settlement_fails")
    else:
        # A line of an allocation is tried again when the block's executions are, and those are another account's.
        ids = sorted({row.allocation_id for row in waiting if row.allocation_id is not None})
        allocations = [row for allocation_id in ids for row in source.rows("allocations", allocation_id=allocation_id)]
        accounts = sorted({account, *(row.account for row in allocations)})
        fails = [row for name in accounts for row in source.rows("settlement_fails", account=name)]
    scales = {row.asset: row.scale for row in source.rows("assets")}
    rungs = ladder(waiting, fails, source.settlements(account), allocations, scales)
    return [rung for rung in rungs if account in (None, rung.account)]
