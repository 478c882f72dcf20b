"""
Take the digest of a read model as it is stored, so that a good one need not be compared row by row.

The digest is that of docs/FORMAT.md, over the rows as the database has them: where it is the replay's, every row and
column is, and nothing is missing or too many. Where it is not, `verifier.compare` says which.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import psycopg

from ledger.chain.digest import StateDigest
from ledger.domain.rows import TABLES, TableSpec
from verifier.connection import open_connection, read_by_no_index
from verifier.stored import unanswered
from verifier.stored_rows import amount_of, columns_of

_ENCODER: Final = msgspec.json.Encoder()
SOME: Final = 2000


class Stored(msgspec.Struct, frozen=True):
    """
    How many rows a read model has, and the lanes of the digest over them.
    """

    table: str
    count: int
    lanes: bytes


class Task(msgspec.Struct, frozen=True):
    """
    A read model whose digest is to be taken, and where it is.
    """

    dsn: str
    snapshot: str | None
    chain: int
    table: str


def digest(task: Task) -> Stored:
    """
    Return what a read model is.

    Raises:
        Unreadable: the database cannot be read.
    """
    (found,) = digests([task])
    return found


def digests(tasks: Sequence[Task]) -> Iterator[Stored]:
    """
    Yield what read models of one database at one moment are; it is connected to once.

    Raises:
        Unreadable: the database cannot be read.
    """
    if not tasks:
        return
    with open_connection(tasks[0].dsn, tasks[0].snapshot) as connection:
        read_by_no_index(connection)
        for task in tasks:
            spec = TABLES[task.table]
            try:
                with connection.cursor("rows", scrollable=False) as cursor:
                    cursor.itersize = SOME
                    cursor.execute(f"SELECT {columns_of(spec)} FROM ledger.{spec.name} WHERE chain = %s", [task.chain])
                    found = of_rows(spec, cursor)
            except psycopg.Error as error:
                raise unanswered(error) from error
            yield found


def of_rows(spec: TableSpec, rows: Iterable[tuple[Any, ...]]) -> Stored:
    """
    Return the digest of *rows* as `columns_of` lists them.
    """
    made, count = StateDigest(), 0
    shown = _shown(spec, rows)
    while some := list(islice(shown, SOME)):
        made.put_in_all(spec.name, some)
        count += len(some)
    return Stored(spec.name, count, made.lanes())


def _shown(spec: TableSpec, rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """Yield the bytes of each row, as `row_bytes` of the row of the rules would be."""
    places = [place for place, name in enumerate(spec.columns) if name in spec.amounts]
    for row in rows:
        values = list(row)
        for place in places:
            if values[place] is not None:
                values[place] = _digits(values[place])
        yield _ENCODER.encode(values)


@functools.lru_cache(1 << 16)
def _digits(text: str) -> str:
    """Return an amount in units of 10^-18, as the digest has it; what is no amount stays what it is."""
    return str(amount_of(text))
