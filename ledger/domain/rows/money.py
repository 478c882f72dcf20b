"""
Describe the rows of what accounts own and have set aside, and of what moved it other than by a trade.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class Balance(Row, frozen=True, gc=False):
    """
    One account's amounts of one asset, by bucket.

    available = settled + min(unsettled, 0), and max(unsettled, 0) besides where `credit_unsettled`; it may not
    fall below `floor` (absent: no floor, as for system accounts) unless a venue fact, or an allocation that was
    reversed, forced it: then `breached`.
    """

    account: str
    asset: str
    settled: int
    unsettled: int
    held: int
    floor: int | None
    credit_unsettled: bool
    breached: bool

    @property
    def total(self) -> int:
        """
        Return all that the account owns of the asset.
        """
        return self.settled + self.unsettled + self.held

    @property
    def available(self) -> int:
        """
        Return what may be spent now.
        """
        return self.settled + (self.unsettled if self.unsettled < 0 or self.credit_unsettled else 0)


class Hold(Row, frozen=True, gc=False):
    """
    Amounts set aside on request. Stream `hold/…`. `legs` and `remaining` are lists of (account, asset, amount).
    """

    hold_id: str
    legs: str
    remaining: str
    expires_at: int | None
    ref: str | None
    status: str
    version: int


class Movement(Row, frozen=True, gc=False):
    """
    Value moved other than by an execution: a cash movement, a fee, a journal, a reversal.

    Kept so that an id is used once, a duplicate is known (`content`) and a reversal negates exactly `postings`.
    """

    kind: str
    movement_id: str
    event_seq: int
    effective_on: str
    postings: str
    content: str
    reversed_by: int | None
