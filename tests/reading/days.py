"""
Write profit and loss down from a fold alone, with no database: what is stored, as events with their days.
"""

from __future__ import annotations

import datetime
from typing import Any

from ledger.chain.entry import RecordedEvent
from ledger.domain.amounts import render
from ledger.reading.known_days.counting import counted
from ledger.reading.known_days.split_days import Splits, beside_splits, find_in, splits_in
from ledger.reading.profit.result_lines import Result
from ledger.reading.profit.results import results
from ledger.reading.views import View
from tests.domain.books import Books


def recorded(books: Books) -> list[RecordedEvent]:
    """Return what *books* stored as events, on the days of reads; what is not looked at is nothing."""
    none = bytes(16)
    events = [
        RecordedEvent(
            chain_id=none, seq=seq, epoch=1, prev_hash=none, hash=none, event_id=none, event_type=x.event_type,
            schema_version=x.schema_version, stream=x.stream, stream_version=x.stream_version, group_id=none,
            group_index=0, group_size=1, idempotency_key="", request_hash=none, occurred_at=context.occurred_at,
            recorded_at=context.recorded_at, effective_on=x.effective_on, actor="", source="", correlation_id=none,
            causation_id=none, salt=none, payload=b'{"derived":' + x.derived + b',"given":' + x.given + b"}",
        )
        for seq, (x, context) in enumerate(zip(books.stored, books.contexts, strict=True), 1)
    ]  # fmt: skip
    find = find_in(books.state)
    return beside_splits(events, splits_in(events, find), find)


def splits(books: Books) -> Splits:
    """Return every split that *books* stored."""
    return splits_in(recorded(books), find_in(books.state))


def pnl(books: Books, first: str | None = None, last: str | None = None, account: str | None = None) -> list[Result]:
    """Return what `Books.pnl` does, from *books*."""
    counts = [x for x in counted(recorded(books), books.state.executions.get, splits=splits(books))
              if last is None or x.event.effective_on <= day_number(last)]  # fmt: skip
    return results(books.state, counts, account, first, last)


def day_number(day: str) -> int:
    return (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days


def cells(row: View, names: str) -> list[Any]:
    """Return some columns of *row*, amounts as text."""
    found = [(name, getattr(row, name)) for name in names.split()]
    return [render(x) if name in row.AMOUNTS and x is not None else x for name, x in found]
