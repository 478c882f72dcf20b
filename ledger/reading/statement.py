"""
State an account: what it had, every posting in a range of days, what it had then, and a digest over all of it.

Days are those that events count for (`effective_on`), gone through in the order (effective_on, seq). The digest is
BLAKE3 of the domain `trade-ledger/sm1` and canonical JSON of the fields below, in which the chain's id, the seq and
the hash of the last event taken into account stand too: the same history gives the same bytes, to whoever asks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec
from blake3 import blake3

from ledger.chain.link import ChainHead
from ledger.domain import amounts
from ledger.reading.known_days.counting import Counted
from ledger.reading.moment import day_text, days
from ledger.reading.views import View

DOMAIN: Final = b"trade-ledger/sm1"
Amounts = dict[tuple[str, str], int]
"""By asset and bucket."""


class StatementLine(View, frozen=True):
    """
    One posting to the account, and what the bucket holds after it.
    """

    AMOUNTS: ClassVar = frozenset({"amount", "balance"})
    effective_on: str
    seq: int
    event_type: str
    stream: str
    asset: str
    bucket: str
    amount: int
    balance: int


class Total(View, frozen=True):
    """
    What one bucket holds of one asset.
    """

    AMOUNTS: ClassVar = frozenset({"amount"})
    asset: str
    bucket: str
    amount: int


class Statement(View, frozen=True):
    """
    An account over the days `first` to `last`, both included; `seq` and `hash` say up to which event.
    """

    chain_id: str
    account: str
    first: str
    last: str
    seq: int
    hash: str
    opening: list[Total]
    lines: list[StatementLine]
    closing: list[Total]
    digest: str


def _totals(sums: Amounts) -> list[Total]:
    return [Total(asset, bucket, amount) for (asset, bucket), amount in sorted(sums.items()) if amount]


def _bytes(statement: Statement) -> bytes:
    fields = msgspec.structs.asdict(statement)
    del fields["digest"]
    for name in ("opening", "lines", "closing"):
        fields[name] = [
            {key: amounts.render(value) if key in row.AMOUNTS else value
             for key, value in msgspec.structs.asdict(row).items()}
            for row in fields[name]
        ]  # fmt: skip
    return msgspec.json.encode(fields, order="sorted")


def make(
    chain_id: bytes,
    head: ChainHead,
    account: str,
    first: datetime.date,
    last: datetime.date,
    counted: Iterable[Counted],
) -> Statement:
    """
    Return the statement of *account* made of the events *counted*, all of days up to *last*, in their order.
    """
    sums: Amounts = {}
    opening: list[Total] | None = None
    lines: list[StatementLine] = []
    for each in counted:
        event = each.event
        if opening is None and event.effective_on >= days(first):
            opening = _totals(sums)
        for line in each.lines:
            if line.account != account:
                continue
            key = (line.asset, line.bucket)
            sums[key] = sums.get(key, 0) + line.amount
            if opening is not None:
                lines.append(
                    StatementLine(
                        day_text(event.effective_on), event.seq, event.event_type, event.stream, line.asset,
                        line.bucket, line.amount, sums[key],
                    )
                )  # fmt: skip
    closing = _totals(sums)
    made = Statement(
        chain_id.hex(), account, first.isoformat(), last.isoformat(), head.seq, head.hash.hex(),
        closing if opening is None else opening, lines, closing, "",
    )  # fmt: skip
    return msgspec.structs.replace(made, digest=blake3(DOMAIN + _bytes(made)).hexdigest())
