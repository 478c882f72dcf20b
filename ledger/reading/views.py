"""
Make of the rows what people ask for: the blotter with its lineage, exposure, the history of a stream.

Each is a pure function of rows or events, so that it is the same for now, for a past seq and for known days. Amounts
are integers of 10^-18.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.order_status import leaves
from ledger.domain.rows import Execution, Instrument, Order, Position
from ledger.domain.rules.orders import gross_of
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
    `replaced_at`), or `bust`. `version` counts from 1, `root_…` is the first version, `ref_…` the one before.
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


def blotter(executions: Iterable[Execution]) -> list[BlotterLine]:
    """
    Return every execution report in order of seq, with what became of it.
    """
    rows = list(executions)
    followed = {(x.venue, x.ref_trade_date, x.ref_exec_id): x for x in rows if x.ref_exec_id is not None}
    by_key = {(x.venue, x.trade_date, x.exec_id): x for x in rows}

    def version(row: Execution) -> int:
        count, before = 1, row
        while before.ref_exec_id is not None and before.ref_trade_date is not None:
            earlier = by_key.get((before.venue, before.ref_trade_date, before.ref_exec_id))
            if earlier is None:
                break
            count, before = count + 1, earlier
        return count

    def line(row: Execution) -> BlotterLine:
        after = followed.get((row.venue, row.trade_date, row.exec_id))
        if after is not None:
            standing = "busted" if after.kind == "bust" else "corrected"
        else:
            standing = "bust" if row.kind == "bust" else "live"
        return BlotterLine(
            row.event_seq, row.venue, row.trade_date, row.exec_id, row.kind, standing, version(row), row.order_id,
            row.account, row.instrument, row.side, row.qty, row.price, row.gross, row.gross_asset, row.fees,
            row.settle_date, row.settled_qty, row.late, row.ref_trade_date, row.ref_exec_id, row.root_trade_date,
            row.root_exec_id, None if after is None else after.event_seq, None if after is None else after.exec_id,
        )  # fmt: skip

    return [line(row) for row in sorted(rows, key=lambda x: x.event_seq)]


class ExposureLine(View, frozen=True):
    """
    What one account has at stake in one quote asset, at cost: the ledger records no marks yet.

    `long` and `short` (not negative) sum the cost of positions, `net` is their difference and `gross` their sum;
    `working_buy` and `working_sell` are what open orders with a price could add.
    """

    AMOUNTS: ClassVar = frozenset({"long", "short", "net", "gross", "working_buy", "working_sell"})
    account: str
    asset: str
    long: int
    short: int
    net: int
    gross: int
    working_buy: int
    working_sell: int


def exposure(
    positions: Iterable[Position], orders: Iterable[Order], instruments: Iterable[Instrument]
) -> list[ExposureLine]:
    """
    Return the exposure of every account by quote asset.
    """
    known = {x.instrument: x for x in instruments}
    sums: dict[tuple[str, str], list[int]] = {}
    for position in positions:
        totals = sums.setdefault((position.account, known[position.instrument].quote_asset), [0, 0, 0, 0])
        totals[position.qty < 0] += abs(position.cost)
    for order in orders:
        instrument = known[order.instrument]
        totals = sums.setdefault((order.account, instrument.quote_asset), [0, 0, 0, 0])
        if order.price is not None:
            # 18 decimals: nothing is rounded that an asset could hold.
            totals[2 if order.side == "buy" else 3] += gross_of(instrument, leaves(order), order.price, 18)
    return [
        ExposureLine(account, asset, long, short, long - short, long + short, buying, selling)
        for (account, asset), (long, short, buying, selling) in sorted(sums.items())
    ]


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
