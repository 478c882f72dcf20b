"""
Keep what makes the past quick to read: snapshots of the folded state, and the histories that follow the chain.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ledger.cli import access, tables
from ledger.cli.answer import SCHEMA_VERSION, as_json
from ledger.cli.options import Origin
from ledger.cli.question import Dsn
from ledger.domain.times import time_text
from ledger.reading import follower, snapshots
from ledger.reading.follower import Follower
from ledger.throughput import for_throughput

read_models = typer.Typer(no_args_is_help=True, help="Histories of balances and positions, kept behind the chain.")

Writer = Annotated[str | None, typer.Option(help="Database address; the login is a member of writer or applier.")]


def _check(form: str) -> None:
    if form not in ("table", "json"):
        raise typer.BadParameter(f"found --format {form!r}; expected table or json")


def snapshot(
    at_seq: Annotated[int | None, typer.Option("--at-seq", help="After the commit that ends here; else now.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the snapshots there are, and make none.")] = False,
    drop: Annotated[int | None, typer.Option("--drop", help="Remove the snapshot at this seq.")] = None,
    format: Annotated[str, typer.Option("--format", help="table or json; with --list.")] = "table",
    dsn: Writer = None,
    origin: Origin = None,
) -> None:
    """
    Keep the folded state, so that the past after it is quick to read; it is held against the chain at every use.
    """
    _check(format)
    if sum((at_seq is not None, listing, drop is not None)) > 1:
        raise typer.BadParameter("give one of --at-seq, --list and --drop")
    with access.access(dsn) as found:
        address = found.dsn("writer")
        if drop is not None:
            snapshots.drop(address, origin, drop)
            print(f"dropped the snapshot at seq {drop}")
        elif listing:
            there = snapshots.listed(address, origin)
            if format == "json":
                shown = [{"seq": seq, "bytes": size, "made_at": str(made)} for seq, size, made in there]
                print(as_json({"schema_version": SCHEMA_VERSION, "snapshots": shown}))
            else:
                tables.print_table("snapshots", ("seq", "bytes", "made at"), [
                    (str(seq), str(size), time_text(made)) for seq, size, made in there
                ])  # fmt: skip
        else:
            seq, size = snapshots.make(address, origin, at_seq)
            print(f"kept the state at seq {seq} in {size} bytes")


@read_models.command("follow")
def follow(
    once: Annotated[bool, typer.Option("--once", help="Take in what is there, and end.")] = False,
    dsn: Writer = None,
    origin: Origin = None,
) -> None:
    """
    Take every new event into the histories, until interrupted; any number may run, one does the work.
    """
    for_throughput()
    with access.access(dsn) as found, Follower(found.dsn("writer"), origin) as keeper, tables.progress() as bar:
        task = bar.add_task("following", total=None)
        if once:
            while count := keeper.step():
                bar.advance(task, count)
        else:
            keeper.run(lambda: False, lambda count: bar.advance(task, count))


@read_models.command("rebuild")
def rebuild(dsn: Writer = None, origin: Origin = None) -> None:
    """
    Make the histories anew from the first event; they come out the same row for row, unless somebody changed them.
    """
    for_throughput()
    with access.access(dsn) as found, Follower(found.dsn("writer"), origin) as keeper, tables.progress() as bar:
        task = bar.add_task("rebuilding", total=None)
        seq = keeper.rebuild(lambda count: bar.update(task, completed=count))
    print(f"rebuilt up to seq {seq}")


@read_models.command("status")
def status(
    format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    dsn: Dsn = None,
    origin: Origin = None,
) -> None:
    """
    Say how far each history is, and how far behind the head.
    """
    _check(format)
    with access.access(dsn) as found:
        there = follower.status(found.dsn("reader"), origin)
    if format == "json":
        print(as_json({"schema_version": SCHEMA_VERSION, "read_models": there}))
        return
    tables.print_table("read models", ("name", "watermark", "head", "lag events", "lag seconds"), [
        (x.name, str(x.watermark), str(x.head), str(x.lag_events), str(x.lag_seconds)) for x in there
    ])  # fmt: skip
    if any(x.lag_events for x in there):
        print("behind the head: run `tradeledger read-models follow`", file=sys.stderr)
