"""
Tell what some days end with that no rule tells: balances, which are sums of postings as they are stored, and which of
the facts in quarantine were answered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from ledger.domain.rows import Balance, Quarantined
from ledger.domain.rules.quarantine import subject_of
from ledger.domain.state import State
from ledger.reading.known_days.counting import Counted
from ledger.reading.posted import given_of


def balances_of(whole: State, events: Iterable[Counted]) -> Iterator[Balance]:
    """
    Yield the balance that *events* come to of each account and asset that they post to; *whole* has its floor.
    """
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for each in events:
        for line in each.lines:
            buckets = sums.setdefault((line.account, line.asset), {"settled": 0, "unsettled": 0, "held": 0})
            buckets[line.bucket] += line.amount
    for key, buckets in sums.items():
        # By days a split may take of the issuer what it made of shares of a later day, where in all it took nothing.
        known = whole.balances.get(*key) or Balance(*key, 0, 0, 0, None, False, False)
        row = msgspec.structs.replace(known, **buckets)
        yield msgspec.structs.replace(row, breached=row.floor is not None and row.available < row.floor)


def answered(
    whole: State, waiting: Iterable[Quarantined], events: Iterable[Counted]
) -> Iterator[Quarantined]:  # fmt: skip
    """
    Yield each of the *waiting* facts with the newest of *events* that answered it, whatever day either is of.
    """
    kinds = {row.original_type for row in whole.quarantine.rows.values()}
    answers: dict[str, list[int]] = defaultdict(list)
    for each in events:
        if each.event.event_type in kinds:
            answers[subject_of(given_of(each.event))].append(each.event.seq)
    for row in waiting:
        known = whole.quarantine.get(row.seq)
        last = None if known is None else known.answered_seq
        found = [seq for seq in answers.get(row.subject or "", ()) if last is not None and row.seq < seq <= last]
        yield msgspec.structs.replace(row, answered_seq=max(found, default=None))
