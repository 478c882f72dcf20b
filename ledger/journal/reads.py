"""
Read one thing of the books at a time, from an open ledger.

Each opens the books, reads and closes them again, and says its seq. For several reads open `books()` once, which also
folds a past state once; those of one moment name it (`at=Seq(books.head().seq)`), as now goes on between two
of them. Everything read is durable: nothing of what this process still commits is in it.
"""

from __future__ import annotations

import datetime
from abc import abstractmethod

from ledger.chain.entry import RecordedEvent
from ledger.domain import rows
from ledger.domain.ladder import Rung
from ledger.evidence.policy import Policy
from ledger.queries import At, Books, Moment
from ledger.queries.proofs import Proven
from ledger.reading import views
from ledger.reading.exposure import ExposureLine
from ledger.reading.profit.fx_result import FxResultLine
from ledger.reading.profit.result_lines import Result
from ledger.reading.statement import Statement


class Reads:
    """
    The reads of `Books`, errors and all, each in a snapshot of its own.
    """

    @abstractmethod
    def books(self) -> Books:
        """
        Return the durable books of the chain for reading; use them in a `with` block.
        """

    def balance(self, account: str, asset: str, *, at: Moment | None = None) -> At[rows.Balance]:
        """
        Return what *account* has of *asset*.
        """
        with self.books() as books:
            return books.balance(account, asset, at=at)

    def balances(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Balance]]:
        """
        Return the balances of *account*, or of all.
        """
        with self.books() as books:
            return books.balances(account, at=at)

    def positions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Position]]:
        """
        Return the positions of *account*, or of all.
        """
        with self.books() as books:
            return books.positions(account, at=at)

    def order(self, order_id: str, *, at: Moment | None = None) -> At[rows.Order]:
        """
        Return one order.
        """
        with self.books() as books:
            return books.order(order_id, at=at)

    def orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, ended ones included.
        """
        with self.books() as books:
            return books.orders(account, at=at)

    def open_orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, that may still fill.
        """
        with self.books() as books:
            return books.open_orders(account, at=at)

    def blotter(self, account: str | None = None, *, at: Moment | None = None) -> At[list[views.BlotterLine]]:
        """
        Return every execution report of *account*, or of all, with what corrected or busted it.
        """
        with self.books() as books:
            return books.blotter(account, at=at)

    def executions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Execution]]:
        """
        Return the execution reports of *account*, or of all, as they are kept.
        """
        with self.books() as books:
            return books.executions(account, at=at)

    def history(self, stream: str, *, at: Moment | None = None) -> At[list[views.HistoryLine]]:
        """
        Return what was recorded of one order, account or other stream, such as `order/O-17`.
        """
        with self.books() as books:
            return books.history(stream, at=at)

    def stream(self, name: str) -> list[RecordedEvent]:
        """
        Return the events of one stream, such as `order/O-17`, in order, as they are stored.
        """
        with self.books() as books:
            return books.stream(name)

    def exposure(self, account: str | None = None, *, at: Moment | None = None) -> At[list[ExposureLine]]:
        """
        Return what *account*, or all but the ledger's own, have at stake at the newest marks.
        """
        with self.books() as books:
            return books.exposure(account, at=at)

    def fx_result(self, worth_in: str, *, at: Moment | None = None) -> At[list[FxResultLine]]:
        """
        Return what all conversions have earned, in the asset *worth_in* at the newest marks.
        """
        with self.books() as books:
            return books.fx_result(worth_in, at=at)

    def pnl(
        self,
        account: str | None = None,
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        *,
        at: Moment | None = None,
    ) -> At[list[Result]]:
        """
        Return profit and loss by day, account and instrument over the days *first* to *last*.
        """
        with self.books() as books:
            return books.pnl(account, first, last, at=at)

    def settlement_ladder(self, account: str | None = None, *, at: Moment | None = None) -> At[list[Rung]]:
        """
        Return what is due, has settled and failed, by day, account and asset.
        """
        with self.books() as books:
            return books.settlement_ladder(account, at=at)

    def quarantine(self, *, at: Moment | None = None) -> At[list[rows.Quarantined]]:
        """
        Return the facts that wait for a decision.
        """
        with self.books() as books:
            return books.quarantine(at=at)

    def breaks(self, *, at: Moment | None = None) -> At[list[rows.Break]]:
        """
        Return the differences to outside sources that stand.
        """
        with self.books() as books:
            return books.breaks(at=at)

    def statement(
        self, account: str, first: datetime.date, last: datetime.date, *, at: Moment | None = None
    ) -> At[Statement]:
        """
        Return the statement of *account* over the days *first* to *last*, both included.
        """
        with self.books() as books:
            return books.statement(account, first, last, at=at)

    def prove(self, seq: int, *, size: int | None = None, rules: Policy | None = None) -> Proven:
        """
        Return the proof of the event at *seq* by the newest checkpoint that the policy *rules* accepts (without one,
        the most signed of the newest), or by the one of *size* events.
        """
        with self.books() as books:
            return books.prove(seq, size=size, rules=rules)
