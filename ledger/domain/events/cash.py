"""
Move value other than by a trade, and set it aside.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text
from ledger.domain.postings import Bucket


class Posting(Fields, frozen=True, kw_only=True):
    """
    One line of a balanced set.
    """

    account: Identifier
    asset: Identifier
    bucket: Bucket
    amount: Amount


class Leg(Fields, frozen=True, kw_only=True):
    """
    One amount of one account.
    """

    account: Identifier
    asset: Identifier
    amount: Amount


class FeeCharged(Event, frozen=True, kw_only=True):
    """
    A fee that came with no trade; negative for a rebate.
    """

    KIND: ClassVar = "command"
    fee_id: Identifier
    account: Identifier
    kind: Identifier
    asset: Identifier
    amount: Amount
    ref: Identifier | None = None


class CashMoved(Event, frozen=True, kw_only=True):
    """
    Value came in from outside (positive) or went out (negative).

    A deposit is positive and a withdrawal negative; interest, funding and tax are paid to the account or by it, and are
    kept apart from both.
    """

    KIND: ClassVar = "fact"
    movement_id: Identifier
    account: Identifier
    asset: Identifier
    amount: Amount
    kind: Literal["deposit", "withdrawal", "interest", "funding", "tax"]
    external_ref: Identifier | None = None
    value_date: Date


class HoldPlaced(Event, frozen=True, kw_only=True):
    """
    Amounts are set aside until the hold is released.
    """

    KIND: ClassVar = "command"
    hold_id: Identifier
    legs: tuple[Leg, ...]
    expires_at: int | None = None
    ref: Identifier | None = None


class HoldReleased(Event, frozen=True, kw_only=True):
    """
    A hold ends, wholly or by `amounts`: it was void, its time ran out, or `ref` took what was held.

    A capture stands in one group with the fee or journal that it pays for, so that nothing else can take the amount in
    between. A fact (a withdrawal, a conversion, a trade) stands in a group of its own: record it first, and the capture
    after it; until then the account may be below its floor, and what is held stays untouched.
    """

    KIND: ClassVar = "command"
    hold_id: Identifier
    amounts: tuple[Leg, ...] | None = None
    reason: Literal["void", "expired", "captured"]
    ref: Identifier | None = None


class JournalPosted(Event, frozen=True, kw_only=True):
    """
    Postings given in full; they sum to zero per asset.
    """

    KIND: ClassVar = "command"
    journal_id: Identifier
    postings: tuple[Posting, ...]
    memo: Text
    proposed_by: Identifier | None = None
    approved_by: Identifier | None = None


class JournalReversed(Event, frozen=True, kw_only=True):
    """
    The exact negation of an earlier cash movement, fee, journal or conversion, named by its kind and id.
    """

    KIND: ClassVar = "command"
    journal_id: Identifier
    reverses_kind: Literal["cash", "fee", "journal", "fx"]
    reverses: Identifier
    reason: Text
    proposed_by: Identifier | None = None
    approved_by: Identifier | None = None


class AssetAmount(Fields, frozen=True, kw_only=True):
    """
    So much of one asset.
    """

    asset: Identifier
    amount: Amount


class FxConverted(Event, frozen=True, kw_only=True):
    """
    An account sold one asset and bought another, at `rate` (bought per sold).

    `spread` is what the rate before it was higher by; it is earned by who converts.
    """

    KIND: ClassVar = "fact"
    fx_id: Identifier
    account: Identifier
    sold: AssetAmount
    bought: AssetAmount
    rate: Amount
    spread: Amount | None = None
    value_date: Date
