"""
Print what was read, in the format asked for, with the seq at which it is true.

Amounts are exact text. JSON is one object with `seq` and `rows`; a line of JSON lines and of CSV carries it as
`at_seq`. Times are nanoseconds in those, as text where they pass 2^53, and in a table, which is for people, the text
that `--at-time` takes.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import typer

from ledger.cli import tables
from ledger.domain.times import time_text
from ledger.queries import At
from ledger.reading import plain_rows

FORMATS: Final = ("table", "json", "jsonl", "csv")
SCHEMA_VERSION: Final = 1
NAMED_MARKS: Final = 8
"""So many missing marks are named on stderr, where one line is read; the rows name all of theirs."""


def check_row_format(form: str) -> None:
    """
    Raise a usage error unless rows can be printed in that format.
    """
    if form not in FORMATS:
        raise typer.BadParameter(f"found --format {form!r}; expected {', '.join(FORMATS)}")


def as_json(value: Any) -> str:
    """
    Return *value* as one line of JSON.
    """
    return msgspec.json.encode(value, enc_hook=_as_it_is).decode()


def _as_it_is(value: Any) -> msgspec.Raw:
    if isinstance(value, plain_rows.Structured):
        return msgspec.Raw(value.encode())
    raise NotImplementedError(f"found a {type(value).__name__}; expected what JSON can say")


def print_json(value: Any) -> None:
    """
    Print *value* as JSON for programs and for people: indented, integers past 2^53 as text.
    """
    print(msgspec.json.format(as_json(plain_rows.safe(value)), indent=1))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in plain_rows.TIMES:
        return time_text(int(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _csv(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_json(value) if isinstance(value, list) else value


def show_plain(
    title: str, names: tuple[str, ...], at: At[Any], found: Sequence[dict[str, Any]], form: str, **also: Any
) -> None:
    """
    Print rows that were made plain, with the seq and what else is true of all of them.
    """
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
        tables.print_table(title, names, [tuple(_cell(*one) for one in row.items()) for row in found])
        for name, value in also.items():
            print(f"{name}: {value}")
        print(f"true at seq {at.seq}")
    print(f"{len(found)} rows, true at seq {at.seq}, read from {at.by}", file=sys.stderr)


def show_rows(title: str, kind: type[Any], at: At[list[Any]], form: str) -> None:
    """
    Print rows of *kind*.
    """
    show_plain(title, plain_rows.columns(kind), at, [plain_rows.plain(row) for row in at.value], form)


def report_missing(found: Sequence[Any]) -> None:
    """
    Say on stderr how many rows lack a figure for want of a mark, and of which.
    """
    lacking = [row.missing for row in found if row.missing]
    if lacking:
        named = sorted({name for names in lacking for name in names})
        more = f"; and {len(named) - NAMED_MARKS} more" if len(named) > NAMED_MARKS else ""
        names = "; ".join(named[:NAMED_MARKS]) + more
        print(f"{len(lacking)} rows cannot be told in full for want of a {names}; record it", file=sys.stderr)
