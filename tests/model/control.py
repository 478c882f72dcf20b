"""
Say from a history what is closed, waits, differs, is marked and is registered.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from fractions import Fraction

import msgspec
from blake3 import blake3

from ledger.domain.events.control import MarkRecorded, ReconciliationRecorded
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed
from tests.model import money
from tests.model.history import Entry, History, asked, number
from tests.model.reference import called_now


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


@functools.cache
def _needed(kind: type[Event]) -> tuple[str, ...]:
    fields = (x.name for x in msgspec.structs.fields(kind) if x.required)
    return tuple(x for x in fields if x in ("venue", "trade_date") or x.endswith("_id"))


def ids(event: Event) -> tuple[object, ...]:
    """Return the type of a fact and the ids that it must have; a mark has none, and is of a subject, day and kind."""
    its: tuple[str, ...] = ("instrument", "base", "quote", "day", "kind")
    if not isinstance(event, MarkRecorded):
        # Executions are numbered anew each day, and what fails may fail again on another.
        its = (*_needed(type(event)), *(["date"] if isinstance(event, SettlementFailed) else []))
    return (type(event), *(getattr(event, x) for x in its))


def answer(history: History, ref: int) -> int | None:
    """Return where the fact that waits at *ref* was recorded since, the newest time."""
    waiting = history.entries[ref - 1].event
    same = [x.seq for x in history.entries[ref:] if not x.quarantined and ids(x.event) == ids(waiting)]
    return same[-1] if same and not isinstance(waiting, FactQuarantined) else None


Mark = tuple[Fraction, int]
"""Price and the time it is as of."""


def subject(history: History, event: MarkRecorded) -> str:
    """Return what a mark is of: an instrument by its name at the time, or a pair."""
    return f"{event.base}/{event.quote}" if event.instrument is None else called_now(history, event.instrument)


@asked
def marks(history: History) -> dict[tuple[str, str, str], Mark]:
    """Return the price that counts by subject, day and kind: the newest there is."""
    found: dict[tuple[str, str, str], Mark] = {}
    for seq, event in history.steps():
        if not isinstance(event, MarkRecorded):
            continue
        place = subject(history.until(seq), event), event.day, event.kind
        if place not in found or event.as_of >= found[place][1]:
            found[place] = number(event.price), event.as_of
    return found


@asked
def breaks(history: History) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what each source says otherwise, by source and key: the ledger's value and its own."""
    last = {x.origin: x for x in history.of(ReconciliationRecorded)}
    return {(origin, x.key): (x.ledger, x.external) for origin, said in last.items() for x in said.breaks}
