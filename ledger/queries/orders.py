"""
Tell what was ordered and what traded: orders, those that may still fill, and execution reports with their lineage.
"""

from __future__ import annotations

from ledger.domain import rows
from ledger.errors import NotFound, shown
from ledger.queries.opened import Opened, check_names, check_owner, unknown
from ledger.reading import views
from ledger.reading.moment import At, Known, Moment
from ledger.storage import moments


class Orders(Opened):
    """
    Orders and executions.
    """

    def orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, ended ones included; errors as in `positions`.
        """
        check_owner(account, "orders")
        return self._about(account, at, lambda source: source.rows("orders", account=account))

    def order(self, order_id: str, *, at: Moment | None = None) -> At[rows.Order]:
        """
        Return one order.

        Raises:
            NotFound: it was not known then. NoSuchMoment: there was no such moment.
        """
        check_names(order=order_id)
        with self._source(at) as source:
            found = source.rows("orders", order_id=order_id)
            if not found and isinstance(at, Known) and self._placed(order_id, source.seq):
                raise NotFound(
                    f"found order {shown(order_id)}, of which nothing counts for days up to {at.effective_on}"
                )
            if not found:
                near = moments.streams_near(self._connection, self.chain.chain, f"order/{order_id}", source.seq)
                known = [name.removeprefix("order/") for name in near if name.startswith("order/")]
                raise unknown("order", order_id, source.seq, known)
            return At(source.seq, found[0], source.by)

    def _placed(self, order_id: str, seq: int) -> bool:
        first = moments.first_of_stream(self._connection, self.chain.chain, f"order/{order_id}")
        return first is not None and first <= seq

    def open_orders(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Order]]:
        """
        Return the orders of *account*, or of all, that may still fill; errors as in `positions`.
        """
        check_owner(account, "orders")
        return self._about(account, at, lambda source: source.open_orders(account))

    def blotter(self, account: str | None = None, *, at: Moment | None = None) -> At[list[views.BlotterLine]]:
        """
        Return every execution report of *account*, or of all, with what corrected or busted it; as in `positions`.
        """
        check_owner(account, "executions")
        return self._about(account, at, lambda source: views.blotter(source.rows("executions", account=account)))

    def executions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Execution]]:
        """
        Return the execution reports of *account*, or of all, as they are kept; errors as in `positions`.
        """
        check_owner(account, "executions")
        return self._about(account, at, lambda source: source.rows("executions", account=account))

    def versions(self, *, at: Moment | None = None) -> At[list[rows.Execution]]:
        """
        Return all execution reports, each of what traded alone: as if nothing of it had settled. So they are also told
        of known days of which it is not known how much settled.

        Raises:
            NotFound: what traded cannot be told of these days. NoSuchMoment: there was no such moment.
        """
        return self._about(None, at, lambda source: source.versions())
