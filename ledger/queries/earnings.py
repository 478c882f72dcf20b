"""
Tell what was earned and what is at stake: profit and loss by day, exposure at marks, the result of conversions.
"""

from __future__ import annotations

import datetime

from ledger.errors import NoSuchMoment
from ledger.queries.opened import Opened, check_days, check_names, check_owner, unknown
from ledger.reading import past
from ledger.reading.exposure import ExposureLine, exposure
from ledger.reading.moment import At, Known, Moment, days
from ledger.reading.profit.fx_result import FxResultLine, fx_result
from ledger.reading.profit.result_lines import Result
from ledger.reading.profit.results import results


class Earnings(Opened):
    """
    Results and exposure.
    """

    def pnl(
        self,
        account: str | None = None,
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        *,
        at: Moment | None = None,
    ) -> At[list[Result]]:
        """
        Return profit and loss by day, account and instrument over the days *first* to *last*, as known at *at*.

        All days count where none is named, and all accounts but the ledger's own. Every event is gone through in the
        order of days; those up to the nearest snapshot are only linked before that, and not folded by seq as well.

        Raises:
            InvalidInput: the days are out of order, or beyond those that *at* counts; the account is the ledger's own.
            NotFound: the account was not known then, or a day does not hold what moved positions on it.
            NoSuchMoment: there was no such moment.
        """
        check_owner(account, "profit or loss")
        check_days(first, last, at)
        if isinstance(at, Known):
            last = last or at.effective_on
        with self._snapshot() as (connection, head):
            seq = head if at is None else past.resolve(connection, self.chain, at)
            if seq == 0:
                return At(seq, [], "replay")
            whole, counts = self._by_day(connection, seq, last)
        if account is not None and whole.accounts.get(account) is None:
            raise unknown("account", account, seq, [row.account for row in whole.accounts.rows.values()])
        if first is not None and last is None and (not counts or counts[-1].event.effective_on < days(first)):
            raise NoSuchMoment(f"found the days from {first}, for which nothing counts yet; name the last one (to)")
        span = [None if day is None else day.isoformat() for day in (first, last)]
        return At(seq, results(whole, counts, account, span[0], span[1]), "replay")

    def exposure(self, account: str | None = None, *, at: Moment | None = None) -> At[list[ExposureLine]]:
        """
        Return what *account*, or all but the ledger's own, have at stake at the newest marks; errors as in `pnl`.
        """
        check_owner(account, "exposure")
        return self._about(account, at, lambda source: exposure(source, account))

    def fx_result(self, worth_in: str, *, at: Moment | None = None) -> At[list[FxResultLine]]:
        """
        Return what all conversions have earned, in the asset *worth_in* at the newest marks.

        Raises:
            NotFound: the asset was not known then. NoSuchMoment: there was no such moment.
        """
        check_names(asset=worth_in)
        return self._about(None, at, lambda source: fx_result(source, worth_in))
