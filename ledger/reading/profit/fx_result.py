"""
Say what conversions have earned, apart from the result of trades.

Each conversion leaves what was sold, and takes what was bought, in the clearing accounts of the two assets. Valued in
one asset at the newest rates, what stands there is the result of all conversions: the spreads that were kept, and what
rates did since. A single conversion at the rate before its spread is worth that spread.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import ClassVar

from ledger.domain import amounts, postings
from ledger.domain.profit_and_loss import rounded
from ledger.errors import NotFound, closest
from ledger.reading.exposure import NewestMarks
from ledger.reading.sources import Source
from ledger.reading.views import View


class FxResultLine(View, frozen=True):
    """
    What stands in the clearing accounts of one asset (`asset`), or what all of them are worth (`total`).

    `amount` is in `asset`, `value` in `worth_in`, rounded half-even to its decimals; the total is rounded once. `rate`
    is what one `asset` is worth in `worth_in`, shown half-even to 18 decimals. `missing` names a rate that is not
    there, and then the total is absent.
    """

    AMOUNTS: ClassVar = frozenset({"amount", "rate", "value"})
    line: str
    asset: str
    amount: int | None
    rate: int | None
    rate_day: str | None
    value: int | None
    worth_in: str
    missing: tuple[str, ...]


def fx_result(source: Source, worth_in: str) -> list[FxResultLine]:
    """
    Return the result of all conversions in the asset *worth_in*: a line an asset, and the total.

    Raises:
        NotFound: there is no such asset.
    """
    scales = {row.asset: row.scale for row in source.rows("assets")}
    if worth_in not in scales:
        near = closest(worth_in, scales)
        raise NotFound(f"found asset {worth_in!r:.140}{near}, which this chain did not know at seq {source.seq}")
    marks = NewestMarks(source.newest_marks(), source.rows("instruments"))
    cleared: dict[str, int] = defaultdict(int)
    for row in source.rows("balances"):
        if row.account.startswith(postings.fx_clearing("")):
            cleared[row.asset] += row.total
    lines: list[FxResultLine] = []
    exact, missing = Fraction(0), list[str]()
    for asset, amount in sorted(cleared.items()):
        rate, day = marks.rate(asset, worth_in)
        lacks = (marks.lacking(asset, worth_in),) if amount and rate is None else ()
        exact += amount * (rate or 0)
        missing += lacks
        shown = None if rate is None else rounded(rate * amounts.UNIT, amounts.SCALE)
        value = None if lacks else rounded(amount * (rate or Fraction(0)), scales[worth_in])
        lines.append(FxResultLine("asset", asset, amount, shown, day, value, worth_in, lacks))
    if lines:
        total = None if missing else rounded(exact, scales[worth_in])
        lines.append(FxResultLine("total", worth_in, None, amounts.UNIT, None, total, worth_in, tuple(missing)))
    return lines
