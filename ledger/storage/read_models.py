"""
Write and read the rows of the read models, whichever table they are of.

Columns come from `ledger.domain.rows`, so that a new one needs no SQL. New rows go in by COPY, changed rows by one
UPDATE a table of only those columns that changed in any of them: an upsert of whole rows costs twice as much.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import RESIDENT, SUBJECT_KEY, Change, Key
from ledger.errors import SequenceGap, StateMismatch

Connection = psycopg.Connection[Any]
_ORDER: Final = {table: place for place, table in enumerate(TABLES)}
_MARK: Final = re.compile(r'[()"\\\s]')
"""What beside a comma has a meaning in the text of a record."""

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_OPEN: Final = {
    # Mirrors state.is_closed: what memory keeps is what is loaded at the start.
    "orders": "(terminal IS NULL AND cum_qty < qty AND (NOT done_for_day OR tif IN ('gtc', 'gtd')))"
    " OR pending_cancel <> '{}' OR pending_replace <> '{}'",
    "holds": "status = 'open'",
    "lots": "open_qty <> 0",
    "quarantine": "status = 'open'",
    "breaks": "closed_seq IS NULL",
    "streams": f"NOT starts_with(stream, '{SUBJECT_KEY}')",
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


class _Layout(msgspec.Struct, frozen=True):
    """How rows of a table become lines of COPY: a template, and the places whose values are written another way."""

    template: str
    amounts: tuple[int, ...]
    arrays: tuple[int, ...]


@functools.cache
def _layout(table: str) -> _Layout:
    spec, kinds = TABLES[table], _sql_types(table)
    return _Layout(
        "\t".join(["%s"] * (1 + len(spec.columns))),
        tuple(place for place, column in enumerate(spec.columns) if column in spec.amounts),
        tuple(place for place, column in enumerate(spec.columns) if kinds[column] == "text[]"),
    )


def write(connection: Connection, chain: int, changes: Sequence[Change]) -> None:
    """
    Store the net *changes* of a transaction.

    Raises:
        StateMismatch: a row that should be there was not.
    """
    for table, new, changed in _by_table(changes):
        if new:
            _copy(connection, chain, table, new)
        if changed:
            _update(connection, chain, table, changed)


def _by_table(changes: Sequence[Change]) -> list[tuple[str, list[Row], list[Change]]]:
    """Return by table, in the order in which they are written, the rows that are new and the changes of others."""
    found: dict[str, tuple[list[Row], list[Change]]] = {}
    for change in changes:
        new, changed = found.get(change.table) or found.setdefault(change.table, ([], []))
        if change.old is None:
            new.append(change.new)
        else:
            changed.append(change)
    return [(table, *found[table]) for table in sorted(found, key=_ORDER.__getitem__)]


def records(chain: int, changes: Sequence[Change]) -> tuple[list[str], list[int], list[int], list[str]]:
    """
    Return the net *changes* of a transaction as `ledger.put_rows` takes them: the tables, how many rows of each are new
    and how many changed, and every row as the text of a record.
    """
    names, added, altered, lines = [], [], [], []
    for table, new, changed in _by_table(changes):
        layout = _layout(table)
        names.append(table)
        added.append(len(new))
        altered.append(len(changed))
        lines += [_record(chain, layout, row) for row in new]
        lines += [_record(chain, layout, change.new) for change in changed]
    return names, added, altered, lines


def _record(chain: int, layout: _Layout, row: Row) -> str:
    values = _cells(layout, row)
    cells = ["" if value is None else str(value) for value in values]
    joined = ",".join(cells)
    # Few rows hold what has a meaning in a record.
    if joined.count(",") == len(cells) - 1 and not _MARK.search(joined) and "" not in values:
        return f"({chain},{joined})"
    quoted = [
        cell if value is None or (cell and "," not in cell and not _MARK.search(cell)) else _quoted(cell)
        for value, cell in zip(values, cells, strict=True)
    ]
    return f"({chain},{','.join(quoted)})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cells(layout: _Layout, row: Row) -> list[Any]:
    values = list(msgspec.structs.astuple(row))
    for place in layout.amounts:
        amount = values[place]
        if amount is not None:
            values[place] = amounts.render(amount)
    for place in layout.arrays:
        values[place] = _array(values[place]) if values[place] else "{}"
    return values


def _line(chain: int, layout: _Layout, row: Row) -> str:
    values = _cells(layout, row)
    absent = values.count(None)
    cells = ["\\N" if value is None else value for value in values] if absent else values
    line: str = layout.template % (chain, *cells)
    # Escapes are rare: a line with no tab, backslash or line end but our own needs none.
    if line.count("\t") == len(values) and line.count("\\") == absent and "\n" not in line and "\r" not in line:
        return line
    escaped = ["\\N" if value is None else str(value).translate(_ESCAPES) for value in values]
    return layout.template % (chain, *escaped)


def _copy(connection: Connection, chain: int, table: str, rows: Iterable[Row]) -> None:
    copy_into(connection, f"ledger.{table}", chain, table, rows)


def copy_into(connection: Connection, place: str, chain: int, table: str, rows: Iterable[Row]) -> None:
    """
    Insert *rows* of the read model *table* into *place*, a table with its columns.
    """
    layout = _layout(table)
    names = ", ".join(f'"{column}"' for column in TABLES[table].columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {place} (chain, {names}) FROM STDIN") as copy:
        copy.write("\n".join([_line(chain, layout, row) for row in rows]) + "\n")


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
    there = connection.execute(
        f"UPDATE ledger.{table} t SET {sets} FROM unnest({given}) AS c({names}) WHERE t.chain = %s AND {where}",
        [*(_array(_value(table, x.new, column) for x in changes) for column in columns), chain],
    ).rowcount
    if there != len(changes):
        raise StateMismatch(
            f"{len(changes)} rows of {table} were to change and {there} were there; "
            "a row was deleted behind the ledger's back: verify"
        )


def _columns_of(table: str, of: str = "") -> str:
    kinds = _sql_types(table)
    # A date is written out here, since the text of a bare one follows the login's DateStyle.
    forms = {"numeric": '{}"{}"::text', "date": "to_char({}\"{}\", 'YYYY-MM-DD')"}
    return ", ".join(forms.get(kinds[column], '{}"{}"').format(of, column) for column in TABLES[table].columns)


@functools.cache
def _select(table: str) -> str:
    return f"SELECT {_columns_of(table)} FROM ledger.{table} WHERE chain = %s"


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
    spec, layout, read = TABLES[table], _layout(table), list(values)
    for place in layout.amounts:
        if read[place] is not None:
            read[place] = _amount(table, spec.columns[place], read[place])
    for place in layout.arrays:
        if read[place] is not None:
            read[place] = tuple(read[place])
    return spec.row_type(*read)


def load(connection: Connection, chain: int, table: str, key: Key) -> Row | None:
    """
    Return the row of *key*, or None.
    """
    spec, kinds = TABLES[table], _sql_types(table)
    where = "".join(f' AND "{column}" = %s::{kinds[column]}' for column in spec.key)
    found = connection.execute(_select(table) + where, [chain, *key]).fetchone()
    return None if found is None else _row_of(table, found)


def load_all(connection: Connection, chain: int, table: str, keys: Sequence[Key]) -> list[Row]:
    """
    Return the rows of *keys* that are there, in no order.
    """
    if not keys:
        return []
    spec, kinds = TABLES[table], _sql_types(table)
    names = ", ".join(f'"{column}"' for column in spec.key)
    given = ", ".join(f"%s::{kinds[column]}[]" for column in spec.key)
    where = f"({names}) IN (SELECT * FROM unnest({given}))"
    return rows(connection, chain, table, where, [list(column) for column in zip(*keys, strict=True)])


@functools.cache
def _select_run(table: str) -> str:
    if table == "lots":
        return _select(table) + ' AND account = %s AND instrument = %s AND "number" <= %s AND "number" > %s'
    if table != "executions":
        raise AssertionError(f"rows of {table} do not follow each other")
    # Each names the one before it, so the way back is by key, whatever else the account traded.
    return (
        "WITH RECURSIVE run AS ("
        "SELECT e.*, 1 AS place FROM ledger.executions e WHERE chain = %s AND venue = %s AND trade_date = %s::date"
        " AND exec_id = %s UNION ALL "
        "SELECT e.*, r.place + 1 FROM run r JOIN ledger.executions e ON e.chain = r.chain AND e.venue = r.follows[1]"
        " AND e.trade_date = r.follows[2]::date AND e.exec_id = r.follows[3] WHERE r.place < %s"
        f") SELECT {_columns_of(table)} FROM run"
    )


def load_run(connection: Connection, chain: int, table: str, key: Key, count: int) -> list[Row]:
    """
    Return the row of *key* and those that come before it in its run, *count* in all or as many as there are.

    Lots run by their number, executions of an average position by what each follows.
    """
    given = (*key, key[-1] - count) if table == "lots" else (*key, count)
    return [_row_of(table, found) for found in connection.execute(_select_run(table), [chain, *given])]


@functools.cache
def _select_at_head(table: str) -> str:
    spec, kinds = TABLES[table], _sql_types(table)
    same = "".join(f' AND t."{column}" = %s::{kinds[column]}' for column in spec.key)
    return (
        f"SELECT h.seq, {_columns_of(table, 't.')} FROM ledger.chain_heads h "
        f"LEFT JOIN ledger.{table} t ON t.chain = h.chain{same} WHERE h.chain = %s"
    )


def load_at_head(connection: Connection, chain: int, table: str, key: Key) -> tuple[int, Row | None]:
    """
    Return the seq of the head, and the row of *key* or None, as they are at one moment.

    Raises:
        SequenceGap: the chain's head is gone.
    """
    found = connection.execute(_select_at_head(table), [*key, chain], prepare=True).fetchone()
    if found is None:
        raise SequenceGap(f"chain {chain} has no head row; it was deleted: verify, and restore it")
    absent = found[1 + TABLES[table].columns.index(TABLES[table].key[0])] is None
    return found[0], None if absent else _row_of(table, found[1:])


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


def rows_equal(connection: Connection, chain: int, table: str, equal: Mapping[str, Any]) -> list[Row]:
    """
    Return the rows of *table* whose columns are as in *equal*, each a value that a row has there and not None.
    """
    kinds, writers = _sql_types(table), _writers(table)
    where = " AND ".join(f'"{column}" = %s::{kinds[column]}' for column in equal)
    return rows(connection, chain, table, where, [writers[column](value) for column, value in equal.items()])
