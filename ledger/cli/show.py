"""
Show what the books say, now or at a past moment: rows on stdout, and on stderr the seq at which they are true.

Amounts are exact text. JSON is one object with `seq` and `rows`; a line of JSON lines and of CSV carries it as
`at_seq`. Where something cannot be told, the command says why and fails: no rows means that there are none. Profit
and loss by day gets its command here.
"""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
import typer

from ledger.cli import access, tables
from ledger.domain import rows
from ledger.domain.ladder import Rung
from ledger.errors import NotFound
from ledger.queries import At, Books, Known, Moment, RecordedAt, Seq
from ledger.reading import shown, views
from ledger.reading.moment import parse_day, parse_time
from ledger.reading.statement import StatementLine, Total

FORMATS: Final = ("table", "json", "jsonl", "csv")
SCHEMA_VERSION: Final = 1

show = typer.Typer(no_args_is_help=True, help="Read the books, now or as they were; every answer names its seq.")

Dsn = Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private PostgreSQL.")]
Origin = Annotated[str | None, typer.Option(help="Which chain; may be left out when the database has one.")]
Format = Annotated[str, typer.Option("--format", help="table, json, jsonl or csv.")]
Account = Annotated[str | None, typer.Option(help="One account; all when left out.")]
FromStart = Annotated[
    bool, typer.Option("--from-start", help="Replay the past from the first event: no snapshot, no history.")
]
AtSeq = Annotated[int | None, typer.Option("--at-seq", help="After this event.")]
AtTime = Annotated[
    str | None, typer.Option("--at-time", help="As recorded by this time: 2024-08-08T12:00:00Z, or ns since 1970.")
]
KnownAt = Annotated[str | None, typer.Option("--known-at", help="What was known at this time about --effective-on.")]
EffectiveOn = Annotated[str | None, typer.Option("--effective-on", help="Events count up to this day: 2024-08-08.")]


def _moment(seq: int | None, time: str | None, known: str | None, day: str | None) -> Moment | None:
    if (known is None) != (day is None):
        raise typer.BadParameter("give --known-at and --effective-on together")
    if sum(given is not None for given in (seq, time, known)) > 1:
        raise typer.BadParameter("name one moment: --at-seq, --at-time, or --known-at with --effective-on")
    if seq is not None:
        return Seq(seq)
    if time is not None:
        return RecordedAt(parse_time(time))
    if known is not None and day is not None:
        return Known(parse_time(known), parse_day(day))
    return None


@contextlib.contextmanager
def _books(dsn: str | None, origin: str | None, form: str, from_start: bool) -> Iterator[Books]:
    if form not in FORMATS:
        raise typer.BadParameter(f"found --format {form!r}; expected {', '.join(FORMATS)}")
    with access.access(dsn) as found, Books(found.dsn("reader"), origin, from_start=from_start) as books:
        yield books


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def as_json(value: Any) -> str:
    """
    Return *value* as one line of JSON.
    """
    return msgspec.json.encode(value).decode()


def _print(
    title: str, names: tuple[str, ...], at: At[Any], found: Sequence[dict[str, Any]], form: str, **also: Any
) -> None:
    """Print rows that were made plain, with the seq and what else is true of all of them."""
    if form == "json":
        print(as_json({"schema_version": SCHEMA_VERSION, "seq": at.seq, "read_from": at.by, **also, "rows": found}))
    elif form == "jsonl":
        for row in found:
            print(as_json({"at_seq": at.seq, **also, **row}))
    elif form == "csv":
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(("at_seq", *also, *names))
        out.writerows([(at.seq, *also.values(), *(_csv(value) for value in row.values())) for row in found])
    else:
        tables.show_rows(title, names, [tuple(_cell(value) for value in row.values()) for row in found])
        for name, value in also.items():
            print(f"{name}: {value}")
        print(f"true at seq {at.seq}")
    print(f"{len(found)} rows, true at seq {at.seq}, read from {at.by}", file=sys.stderr)


def _csv(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_json(value) if isinstance(value, list) else value


def _rows(title: str, kind: type[Any], at: At[list[Any]], form: str) -> None:
    _print(title, shown.columns(kind), at, [shown.plain(row) for row in at.value], form)


@show.command("balances")
def balances(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    What accounts have, by asset and bucket.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("balances", rows.Balance, books.balances(account, at=at), format)


@show.command("positions")
def positions(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    What accounts hold of instruments, its cost, and what was realised.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("positions", rows.Position, books.positions(account, at=at), format)


@show.command("orders")
def orders(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    All orders, ended ones included.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("orders", rows.Order, books.orders(account, at=at), format)


@show.command("open-orders")
def open_orders(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Orders that may still fill.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("open orders", rows.Order, books.open_orders(account, at=at), format)


@show.command("order")
def order(
    order_id: str, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    One order.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        found = books.order(order_id, at=at)
        if found.value is None:
            raise NotFound(f"found order {order_id!r}, which this chain did not know at seq {found.seq}")
        _rows("order", rows.Order, At(found.seq, [found.value], found.by), format)


@show.command("history")
def history(
    stream: Annotated[str, typer.Argument(help="Such as order/O-17 or account/ACC-1.")],
    at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Everything that happened to one order, account or other stream.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("history", views.HistoryLine, books.history(stream, at=at), format)


@show.command("blotter")
def blotter(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Every execution report, with what corrected or busted it.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("blotter", views.BlotterLine, books.blotter(account, at=at), format)


@show.command("exposure")
def exposure(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Long, short, net and gross at cost, and what open orders could add.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("exposure", views.ExposureLine, books.exposure(account, at=at), format)


@show.command("settlement-ladder")
def settlement_ladder(
    account: Account = None, at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    What is due, has settled and failed, by day, account and asset.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("settlement ladder", Rung, books.settlement_ladder(account, at=at), format)


@show.command("quarantine")
def quarantine(
    at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Facts that wait for a decision.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("quarantine", rows.Quarantined, books.quarantine(at=at), format)


@show.command("breaks")
def breaks(
    at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    Differences to outside sources that stand.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        _rows("breaks", rows.Break, books.breaks(at=at), format)


def _total(kind: str, total: Total, day: str) -> dict[str, Any]:
    line = StatementLine(day, 0, kind, "", total.asset, total.bucket, 0, total.amount)
    return {"line": kind, **shown.plain(line), "seq": None, "event_type": None, "stream": None, "amount": None}


@show.command("statement")
def statement(
    account: str,
    first: Annotated[str, typer.Option("--from", help="The first day: 2024-08-08.")],
    last: Annotated[str, typer.Option("--to", help="The last day, included.")],
    at_seq: AtSeq = None, at_time: AtTime = None, known_at: KnownAt = None,
    effective_on: EffectiveOn = None, format: Format = "table", dsn: Dsn = None, origin: Origin = None,
    from_start: FromStart = False,
) -> None:  # fmt: skip
    """
    An account over some days: opening, every posting, closing, and a digest over all of it.
    """
    at = _moment(at_seq, at_time, known_at, effective_on)
    with _books(dsn, origin, format, from_start) as books:
        found = books.statement(account, parse_day(first), parse_day(last), at=at)
    made = found.value
    lines = [
        *(_total("opening", total, made.first) for total in made.opening),
        *({"line": "posting", **shown.plain(line)} for line in made.lines),
        *(_total("closing", total, made.last) for total in made.closing),
    ]
    also = {"chain_id": made.chain_id, "account": account, "from": made.first, "to": made.last, "hash": made.hash,
            "digest": made.digest}  # fmt: skip
    _print("statement", ("line", *shown.columns(StatementLine)), found, lines, format, **also)
