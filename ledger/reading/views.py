"""
Make of the rows what people ask for: the blotter with its lineage, the history of a stream.

Each is a pure function of rows or events, so that it is the same for now, for a past seq and for known days. Amounts
are integers of 10^-18.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.rings import pass_by
from ledger.domain.rows import Execution
from ledger.reading.moment import day_text


class View(msgspec.Struct, frozen=True):
    """
    One row made for reading; `AMOUNTS` names the columns that are integers of 10^-18.
    """

    AMOUNTS: ClassVar[frozenset[str]] = frozenset()


class BlotterLine(View, frozen=True):
    """
    One execution report, and its place among the versions of its trade.

    `standing` is `live` (the version that counts), `corrected` or `busted` (another took its place, at seq
    `replaced_at`), `allocated` (the lines of `allocation_id` count in its place), `reversed` (a line of an allocation
    that was reversed), or `bust`. `version` counts from 1, `root_…` is the first version, `ref_…` the one before.
    """

    AMOUNTS: ClassVar = frozenset({"qty", "price", "gross", "settled_qty"})
    seq: int
    venue: str
    trade_date: str
    exec_id: str
    kind: str
    standing: str
    version: int
    order_id: str | None
    account: str
    instrument: str
    side: str
    qty: int
    price: int
    gross: int
    gross_asset: str
    fees: str
    settle_date: str
    settled_qty: int
    late: bool
    ref_trade_date: str | None
    ref_exec_id: str | None
    root_trade_date: str
    root_exec_id: str
    replaced_at: int | None
    replaced_by: str | None
    allocation_id: str | None


def _standing(row: Execution, after: Execution | None) -> str:
    """Return the standing of *row*, in whose place *after* came."""
    if after is not None:
        return "busted" if after.kind == "bust" else "corrected"
    if row.kind == "bust":
        return "bust"
    if row.live:
        return "live"
    return "reversed" if row.kind == "allocation" else "allocated"


def blotter(executions: Iterable[Execution]) -> list[BlotterLine]:
    """
    Return every execution report in order of seq, with what became of it.

    Raises:
        StateMismatch: corrections lead back to themselves.
    """
    rows = list(executions)
    followed = {(x.venue, x.ref_trade_date, x.ref_exec_id): x for x in rows if x.ref_exec_id is not None}
    by_key = {(x.venue, x.trade_date, x.exec_id): x for x in rows}

    def version(row: Execution) -> int:
        count, before, passed = 1, row, set[tuple[str, str, str]]()
        while before.ref_exec_id is not None and before.ref_trade_date is not None:
            pass_by(passed, (before.venue, before.trade_date, before.exec_id), "executions.ref_exec_id")
            earlier = by_key.get((before.venue, before.ref_trade_date, before.ref_exec_id))
            if earlier is None:
                break
            count, before = count + 1, earlier
        return count

    def line(row: Execution) -> BlotterLine:
        after = followed.get((row.venue, row.trade_date, row.exec_id))
        return BlotterLine(
            row.event_seq, row.venue, row.trade_date, row.exec_id, row.kind, _standing(row, after), version(row),
            row.order_id, row.account, row.instrument, row.side, row.qty, row.price, row.gross, row.gross_asset,
            row.fees, row.settle_date, row.settled_qty, row.late, row.ref_trade_date, row.ref_exec_id,
            row.root_trade_date, row.root_exec_id, None if after is None else after.event_seq,
            None if after is None else after.exec_id, row.allocation_id,
        )  # fmt: skip

    return [line(row) for row in sorted(rows, key=lambda x: x.event_seq)]


class HistoryLine(View, frozen=True):
    """
    One event of a stream: its place, its times (ns), who brought it, what was given, and the hash that stands for it.
    """

    stream_version: int
    seq: int
    event_type: str
    recorded_at: int
    occurred_at: int
    effective_on: str
    actor: str
    source: str
    given: str
    derived: str
    hash: str


def history(events: Iterable[RecordedEvent]) -> list[HistoryLine]:
    """
    Return the audit trail that *events* are.
    """

    def line(event: RecordedEvent) -> HistoryLine:
        derived, given = split_payload(event.payload)
        return HistoryLine(
            event.stream_version, event.seq, event.event_type, event.recorded_at, event.occurred_at,
            day_text(event.effective_on), event.actor, event.source, given.decode(), derived.decode(), event.hash.hex(),
        )  # fmt: skip

    return [line(event) for event in events]
