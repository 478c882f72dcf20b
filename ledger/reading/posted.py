"""
Read of a stored event what its caller gave and what it posted.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import amounts, registry
from ledger.domain.events.fields import Event
from ledger.domain.postings import Bucket, Line


class _Postings(msgspec.Struct):
    postings: list[Any] = []
    postings_of_many: dict[str, dict[Bucket, dict[str, str]]] = {}
    in_new_shares: dict[str, list[Any]] = {}


class OfOrders(msgspec.Struct):
    """
    What a split did to orders: the terms of those that go on, order by order, and which it ended.
    """

    orders: list[list[str | None]] = []
    ended: list[str] = []


class _Amount(msgspec.Struct):
    amount: str | None = None


_AMOUNT: Final = msgspec.json.Decoder(_Amount)
_POSTINGS: Final = msgspec.json.Decoder(_Postings)
_OF_ORDERS: Final = msgspec.json.Decoder(OfOrders)


def posted(event: RecordedEvent) -> list[Line]:
    """
    Return what *event* posted, as it is stored: by the rules, or in full by who gave it.
    """
    if b'"postings' not in event.payload:
        return []
    derived, given = split_payload(event.payload)
    found = _POSTINGS.decode(derived)
    if found.postings:
        return [
            Line(account, asset, bucket, amounts.parse(amount)) for account, asset, bucket, amount in found.postings
        ]
    if found.postings_of_many:
        return [
            Line(account, asset, bucket, amounts.parse(amount))
            for asset, buckets in found.postings_of_many.items()
            for bucket, accounts in buckets.items()
            for account, amount in accounts.items()
        ]
    return [
        Line(x["account"], x["asset"], x["bucket"], amounts.parse(x["amount"]))
        for x in _POSTINGS.decode(given).postings
    ]


def amount_in(event: RecordedEvent) -> str | None:
    """
    Return the amount that the rules reckoned for a settlement of which none was given, as it is stored.
    """
    return _AMOUNT.decode(split_payload(event.payload)[0]).amount


def become_in(event: RecordedEvent) -> dict[str, list[Line]]:
    """
    Return those of a settlement's postings that move new shares beyond those that were traded, by the split, `ca_id`,
    that they belong to.
    """
    if b'"in_new_shares":' not in event.payload:
        return {}
    found = _POSTINGS.decode(split_payload(event.payload)[0]).in_new_shares
    return {
        ca_id: [Line(account, asset, bucket, amounts.parse(amount)) for account, asset, bucket, amount in lines]
        for ca_id, lines in found.items()
    }


def of_orders(event: RecordedEvent) -> OfOrders:
    """
    Return what a split did to orders, as it is stored with it.
    """
    return _OF_ORDERS.decode(split_payload(event.payload)[0])


def orders_split_by(event: RecordedEvent) -> dict[str, int]:
    """
    Return what is held for each order that *event* gave other terms, or ended, as a split does.
    """
    if event.event_type != "SplitApplied":
        return {}
    found = of_orders(event)
    held = {str(terms[0]): amounts.parse(terms[5] or "0") for terms in found.orders}
    return held | dict.fromkeys(found.ended, 0)


def given_of(event: RecordedEvent) -> Event:
    """
    Return what the caller gave.
    """
    return registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])
