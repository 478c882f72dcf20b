"""
State once which options every read has: the moment, the format, and where the books are.

`command` adds them to a function that takes a `Question` first, so that each of them means the same everywhere. What
the function takes besides are options and arguments of its own.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Concatenate, ParamSpec

import msgspec
import typer

from ledger.cli import access, answer
from ledger.cli.options import Origin
from ledger.queries import Books, Known, Moment, RecordedAt, Seq
from ledger.reading.moment import parse_day, parse_time

P = ParamSpec("P")

Dsn = Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private PostgreSQL.")]


class Question(msgspec.Struct, frozen=True):
    """
    What is asked of the books: at which moment, in which format, and of which books.
    """

    at: Moment | None
    format: str
    dsn: str | None
    origin: str | None
    from_start: bool

    @contextlib.contextmanager
    def books(self) -> Iterator[Books]:
        """
        Yield the books to read.
        """
        with (
            access.access(self.dsn) as found,
            Books(found.dsn("reader"), self.origin, from_start=self.from_start) as books,
        ):
            yield books


def ask(
    at_seq: Annotated[int | None, typer.Option("--at-seq", help="After this event.")] = None,
    at_time: Annotated[
        str | None, typer.Option("--at-time", help="As recorded by this time: 2024-08-08T12:00:00Z, or ns since 1970.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", help="What was known at this time about --effective-on.")
    ] = None,
    effective_on: Annotated[
        str | None, typer.Option("--effective-on", help="Events count up to this day: 2024-08-08.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, json, jsonl or csv.")] = "table",
    dsn: Dsn = None,
    origin: Origin = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Replay the past from the first event: no snapshot, no history.")
    ] = False,
) -> Question:
    """
    Return the question that these options ask.

    Raises:
        BadParameter: they do not go together.
    """
    answer.check_row_format(format)
    return Question(_moment(at_seq, at_time, known_at, effective_on), format, dsn, origin, from_start)


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


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(function, include_extras=True)
    return [x.replace(annotation=hints[x.name]) for x in inspect.signature(function).parameters.values()]


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Question, P], None]], Callable[Concatenate[Question, P], None]]:
    """
    Make a command *name* of a function that answers a question; after its own options it has those of `ask`.
    """
    common = _parameters(ask)

    def make(function: Callable[Concatenate[Question, P], None]) -> Callable[Concatenate[Question, P], None]:
        own = _parameters(function)[1:]

        def run(**given: Any) -> None:
            asked = ask(**{x.name: given.pop(x.name) for x in common})
            function(asked, **given)  # type: ignore[call-arg]  # the names are those of its own signature

        parameters = [*own, *common]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {x.name: x.annotation for x in parameters}
        app.command(name, help=inspect.getdoc(function))(run)
        return function

    return make
