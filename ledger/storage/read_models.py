"""
Write and read the rows of the read models, whichever table they are of.

Columns come from `ledger.domain.rows`, so that a new one needs no SQL. New rows go in by COPY, changed rows by one
UPDATE a table of only those columns that changed in any of them: an upsert of whole rows costs twice as much.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg

from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import RESIDENT, Change, Key
from ledger.errors import StateMismatch

Connection = psycopg.Connection[Any]

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_OPEN: Final = {
    # Mirrors state.is_closed: what memory keeps is what is loaded at the start.
    "orders": "NOT (terminal IS NOT NULL OR cum_qty = qty) OR pending_cancel <> '{}' OR pending_replace <> '{}'",
    "holds": "status = 'open'",
    "quarantine": "status = 'open'",
    "breaks": "closed_seq IS NULL",
}


def _array(items: Iterable[str | None]) -> str:
    quoted = ("NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return "{" + ",".join(quoted) + "}"


def _writer(spec: TableSpec, column: str) -> Callable[[Any], str]:
    hint = typing.get_type_hints(spec.row_type)[column]
    if column in spec.amounts:
        return amounts.render
    if "tuple" in str(hint):
        return _array
    if "bool" in str(hint):
        return lambda value: "t" if value else "f"
    return str


@functools.cache
def _writers(table: str) -> dict[str, Callable[[Any], str]]:
    spec = TABLES[table]
    return {column: _writer(spec, column) for column in spec.columns}


@functools.cache
def _sql_types(table: str) -> dict[str, str]:
    spec = TABLES[table]
    hints = typing.get_type_hints(spec.row_type)

    def of(column: str) -> str:
        hint = str(hints[column])
        if column in spec.amounts:
            return "numeric"
        if column in spec.dates:
            return "date"
        if "tuple" in hint:
            return "text[]"
        if "bool" in hint:
            return "boolean"
        return "bigint" if "int" in hint else "text"

    return {column: of(column) for column in spec.columns}


def _value(table: str, row: Row, column: str) -> str | None:
    value = getattr(row, column)
    return None if value is None else _writers(table)[column](value)


def write(connection: Connection, chain: int, changes: Sequence[Change]) -> None:
    """
    Store the net *changes* of a transaction.

    Raises:
        StateMismatch: a row that should be there was not.
    """
    for table in TABLES:
        of_table = [change for change in changes if change.table == table]
        new = [change.new for change in of_table if change.old is None]
        changed = [change for change in of_table if change.old is not None]
        if new:
            _insert(connection, chain, table, new)
        if changed:
            _update(connection, chain, table, changed)


def _insert(connection: Connection, chain: int, table: str, rows: list[Row]) -> None:
    columns = TABLES[table].columns
    lines = []
    for row in rows:
        values = [str(chain)]
        for column in columns:
            value = _value(table, row, column)
            values.append("\\N" if value is None else value.translate(_ESCAPES))
        lines.append("\t".join(values))
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY ledger.{table} (chain, {names}) FROM STDIN") as copy:
        copy.write("\n".join(lines) + "\n")


def _update(connection: Connection, chain: int, table: str, changes: list[Change]) -> None:
    spec, kinds = TABLES[table], _sql_types(table)
    touched = [
        column
        for column in spec.columns
        if column not in spec.key and any(getattr(x.old, column) != getattr(x.new, column) for x in changes)
    ]
    if not touched:
        return
    columns = [*spec.key, *touched]
    sets = ", ".join(f'"{column}" = c."{column}"::{kinds[column]}' for column in touched)
    where = " AND ".join(f't."{column}" = c."{column}"::{kinds[column]}' for column in spec.key)
    names = ", ".join(f'"{column}"' for column in columns)
    given = ", ".join("%s::text[]" for _ in columns)
    done = connection.execute(
        f"UPDATE ledger.{table} t SET {sets} FROM unnest({given}) AS c({names}) WHERE t.chain = %s AND {where}",
        [*(_array(_value(table, x.new, column) for x in changes) for column in columns), chain],
    )
    if done.rowcount != len(changes):
        raise StateMismatch(
            f"{len(changes)} rows of {table} were to change and {done.rowcount} were there; "
            "a row was deleted behind the ledger's back: verify"
        )


@functools.cache
def _select(table: str) -> str:
    spec = TABLES[table]
    kinds = _sql_types(table)
    # A date is written out here, since the text of a bare one follows the login's DateStyle.
    forms = {"numeric": '"{}"::text', "date": "to_char(\"{}\", 'YYYY-MM-DD')"}
    shown = ", ".join(forms.get(kinds[column], '"{}"').format(column) for column in spec.columns)
    return f"SELECT {shown} FROM ledger.{table} WHERE chain = %s"


def _amount(table: str, column: str, text: str) -> int:
    # Sums may pass the limit of a single amount, so this is not `amounts.parse`.
    whole, _, fraction = text.partition(".")
    try:
        scaled, rest = int(whole + fraction[: amounts.SCALE].ljust(amounts.SCALE, "0")), fraction[amounts.SCALE :]
        if not rest.strip("0"):
            return scaled
    except ValueError:
        pass  # NaN and the infinities, which PostgreSQL's numeric has, are reported below.
    raise StateMismatch(f"found {text[:80]!r} in {table}.{column}, which the ledger never writes there; verify")


def _row_of(table: str, values: Sequence[Any]) -> Row:
    spec = TABLES[table]
    read = [
        _amount(table, column, value) if value is not None and column in spec.amounts
        else tuple(value) if isinstance(value, list) else value
        for column, value in zip(spec.columns, values, strict=True)
    ]  # fmt: skip
    return spec.row_type(*read)


def load(connection: Connection, chain: int, table: str, key: Key) -> Row | None:
    """
    Return the row of *key*, or None.
    """
    spec, kinds = TABLES[table], _sql_types(table)
    where = "".join(f' AND "{column}" = %s::{kinds[column]}' for column in spec.key)
    found = connection.execute(_select(table) + where, [chain, *key]).fetchone()
    return None if found is None else _row_of(table, found)


def load_open(connection: Connection, chain: int) -> Iterator[tuple[str, Row]]:
    """
    Yield (table, row) of everything that a writer keeps in memory: reference data, the books, and what is open.
    """
    for table in TABLES:
        if table in RESIDENT or table in _OPEN:
            where = f" AND ({_OPEN[table]})" if table in _OPEN else ""
            for found in connection.execute(_select(table) + where, [chain]):
                yield table, _row_of(table, found)


def rows(connection: Connection, chain: int, table: str, where: str = "", given: Sequence[Any] = ()) -> list[Row]:
    """
    Return the rows of *table*, those for which the SQL condition *where* holds.
    """
    condition = f" AND ({where})" if where else ""
    return [_row_of(table, found) for found in connection.execute(_select(table) + condition, [chain, *given])]
