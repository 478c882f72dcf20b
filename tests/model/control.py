"""
Say from a history what is closed, waits, differs, is marked and is registered.
"""

from __future__ import annotations

import json
from collections import defaultdict
from fractions import Fraction

from blake3 import blake3

from ledger.domain.events.control import MarkRecorded, ReconciliationRecorded
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from ledger.domain.events.fields import Event
from tests.model import money
from tests.model.history import Entry, History, asked, number

IDS = (
    "exec_id",
    "order_id",
    "cl_ord_id",
    "movement_id",
    "fx_id",
    "settlement_id",
    "ca_id",
    "payment_id",
    "venue",
    "trade_date",
)


def text(amount: Fraction) -> str:
    """Write a fraction that ends, without a zero too many."""
    sign, units = "-" if amount < 0 else "", abs(amount) * 10**18
    assert units.denominator == 1
    whole, rest = divmod(int(units), 10**18)
    return f"{sign}{whole}.{rest:018d}".rstrip("0").rstrip(".")


def trial_balance(history: History) -> str:
    """Return the digest of all balances: BLAKE3 over a line of JSON for each that is not zero."""
    found: dict[tuple[str, str], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for (account, asset, bucket), amount in money.buckets(history).items():
        found[account, asset][bucket] = amount
    digest = blake3()
    for (account, asset), has in sorted(found.items()):
        line = [account, asset, *(text(has[x]) for x in ("settled", "unsettled", "held"))]
        digest.update(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def waits(entry: Entry) -> bool:
    """Whether an entry is a fact that was set aside, by the ledger or by who brought it."""
    return entry.quarantined or isinstance(entry.event, FactQuarantined)


@asked
def resolved(history: History) -> dict[int, QuarantineResolved]:
    return {x.ref: x for x in history.of(QuarantineResolved)}


def ids(event: Event) -> tuple[object, ...]:
    if isinstance(event, MarkRecorded):
        # A mark has no id: it is told by what it prices, and for when.
        return (MarkRecorded, event.instrument, event.base, event.quote, event.kind, event.day)
    return (type(event), *(getattr(event, x, None) for x in IDS))


def answer(history: History, ref: int) -> int | None:
    """Return where the fact that waits at *ref* was recorded since, the newest time."""
    waiting = history.entries[ref - 1].event
    same = [x.seq for x in history.entries[ref:] if not x.quarantined and ids(x.event) == ids(waiting)]
    return same[-1] if same and not isinstance(waiting, FactQuarantined) else None


Mark = tuple[Fraction, int]
"""Price and the time it is as of."""


def subject(event: MarkRecorded) -> str:
    return event.instrument or f"{event.base}/{event.quote}"


@asked
def marks(history: History) -> dict[tuple[str, str, str], Mark]:
    """Return the price that counts by subject, day and kind: the newest there is."""
    found: dict[tuple[str, str, str], Mark] = {}
    for event in history.of(MarkRecorded):
        place = subject(event), event.day, event.kind
        if place not in found or event.as_of >= found[place][1]:
            found[place] = number(event.price), event.as_of
    return found


@asked
def breaks(history: History) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what each source says otherwise, by source and key: the ledger's value and its own."""
    last = {x.origin: x for x in history.of(ReconciliationRecorded)}
    return {(origin, x.key): (x.ledger, x.external) for origin, said in last.items() for x in said.breaks}
