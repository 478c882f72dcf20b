"""
Show what the books say, now or at a past moment: rows on stdout, and on stderr the seq at which they are true.

Where something cannot be told, the command says why and fails: no rows means that there are none.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ledger.cli.answer import report_missing, show_plain, show_rows
from ledger.cli.question import Question, command
from ledger.domain import rows
from ledger.domain.ladder import Rung
from ledger.queries import At
from ledger.reading import plain_rows, views
from ledger.reading.exposure import ExposureLine
from ledger.reading.moment import parse_day
from ledger.reading.profit.fx_result import FxResultLine
from ledger.reading.profit.result_lines import Result
from ledger.reading.statement import StatementLine, Total

show = typer.Typer(no_args_is_help=True, help="Read the books, now or as they were; every answer names its seq.")

Account = Annotated[str | None, typer.Option(help="One account; all when left out.")]


@command(show, "balances")
def balances(asked: Question, account: Account = None) -> None:
    """
    What accounts have, by asset and bucket.
    """
    with asked.books() as books:
        show_rows("balances", rows.Balance, books.balances(account, at=asked.at), asked.format)


@command(show, "positions")
def positions(asked: Question, account: Account = None) -> None:
    """
    What accounts hold of instruments, its cost, and what was realised.
    """
    with asked.books() as books:
        show_rows("positions", rows.Position, books.positions(account, at=asked.at), asked.format)


@command(show, "orders")
def orders(asked: Question, account: Account = None) -> None:
    """
    All orders, ended ones included.
    """
    with asked.books() as books:
        show_rows("orders", rows.Order, books.orders(account, at=asked.at), asked.format)


@command(show, "open-orders")
def open_orders(asked: Question, account: Account = None) -> None:
    """
    Orders that may still fill.
    """
    with asked.books() as books:
        show_rows("open orders", rows.Order, books.open_orders(account, at=asked.at), asked.format)


@command(show, "blotter")
def blotter(asked: Question, account: Account = None) -> None:
    """
    Every execution report, with what corrected, busted or allocated it.
    """
    with asked.books() as books:
        show_rows("blotter", views.BlotterLine, books.blotter(account, at=asked.at), asked.format)


@command(show, "exposure")
def exposure(asked: Question, account: Account = None) -> None:
    """
    What is at stake at the newest marks: long, short, net and gross in the base asset, and what open orders could add.
    """
    with asked.books() as books:
        found = books.exposure(account, at=asked.at)
    show_rows("exposure", ExposureLine, found, asked.format)
    report_missing(found.value)


@command(show, "fx-result")
def fx_result(asked: Question, worth_in: Annotated[str, typer.Argument(help="The asset to value it in: USD.")]) -> None:
    """
    What conversions have earned, apart from trades, in one asset at the newest marks.
    """
    with asked.books() as books:
        found = books.fx_result(worth_in, at=asked.at)
    show_rows("result of conversions", FxResultLine, found, asked.format)
    report_missing(found.value)


@command(show, "settlement-ladder")
def settlement_ladder(asked: Question, account: Account = None) -> None:
    """
    What is due, has settled and failed, by day, account and asset.
    """
    with asked.books() as books:
        show_rows("settlement ladder", Rung, books.settlement_ladder(account, at=asked.at), asked.format)


@command(show, "quarantine")
def quarantine(asked: Question) -> None:
    """
    Facts that wait for a decision.
    """
    with asked.books() as books:
        show_rows("quarantine", rows.Quarantined, books.quarantine(at=asked.at), asked.format)


@command(show, "breaks")
def breaks(asked: Question) -> None:
    """
    Differences to outside sources that stand.
    """
    with asked.books() as books:
        show_rows("breaks", rows.Break, books.breaks(at=asked.at), asked.format)


@command(show, "order")
def order(asked: Question, order_id: Annotated[str, typer.Argument(help="As it was placed: O-17.")]) -> None:
    """
    One order.
    """
    with asked.books() as books:
        found = books.order(order_id, at=asked.at)
        show_rows("order", rows.Order, At(found.seq, [found.value], found.by), asked.format)


@command(show, "history")
def history(
    asked: Question,
    stream: Annotated[
        str,
        typer.Argument(help="order/O-17, account/ACC-1, …: `event-types --format markdown` says those of each type."),
    ],
) -> None:
    """
    What was recorded of one order, account, hold or other stream, event by event.

    An account's own has its cash, fees, conversions, settlements and trades without an order; `statement` has all that
    moved it.
    """
    with asked.books() as books:
        show_rows("history", views.HistoryLine, books.history(stream, at=asked.at), asked.format)


@command(show, "pnl")
def pnl(
    asked: Question,
    account: Account = None,
    first: Annotated[str | None, typer.Option("--from", help="The first day: 2024-08-08; all when left out.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day, included.")] = None,
) -> None:
    """
    Profit and loss by day, account and instrument, by price, currency and income; what lacks a mark says so.
    """
    with asked.books() as books:
        days = (parse_day(day) if day is not None else None for day in (first, last))
        found = books.pnl(account, *days, at=asked.at)
    show_rows("profit and loss", Result, found, asked.format)
    report_missing(found.value)


def _total(kind: str, total: Total, day: str) -> dict[str, Any]:
    line = StatementLine(day, 0, kind, "", total.asset, total.bucket, 0, total.amount)
    return {"line": kind, **plain_rows.plain(line), "seq": None, "event_type": None, "stream": None, "amount": None}


@command(show, "statement")
def statement(
    asked: Question,
    account: Annotated[str, typer.Argument(help="Whose: an account, or one of the ledger's own such as ~fees.")],
    first: Annotated[str, typer.Option("--from", help="The first day: 2024-08-08.")],
    last: Annotated[str, typer.Option("--to", help="The last day, included.")],
) -> None:
    """
    An account over some days: opening, every posting, closing, and a digest over all of it.
    """
    with asked.books() as books:
        found = books.statement(account, parse_day(first), parse_day(last), at=asked.at)
    made = found.value
    lines = [
        *(_total("opening", total, made.first) for total in made.opening),
        *({"line": "posting", **plain_rows.plain(line)} for line in made.lines),
        *(_total("closing", total, made.last) for total in made.closing),
    ]
    also = {"chain_id": made.chain_id, "account": account, "from": made.first, "to": made.last, "hash": made.hash,
            "digest": made.digest}  # fmt: skip
    show_plain("statement", ("line", *plain_rows.columns(StatementLine)), found, lines, asked.format, **also)
