"""
Write and read the histories of balances and positions: every version of every row, by the seq that made it.

They follow the chain after the fact (`ledger.reading.follower`), so each has a watermark, the last event that is in it.
No guard hangs on them: they may be thrown away and made again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ledger.chain.link import ChainHead
from ledger.domain import amounts
from ledger.domain.rows import TABLES, Row
from ledger.errors import NotPermitted, StateMismatch
from ledger.storage.database import Connection

HISTORIES: Final = {"balances": "balance_history", "positions": "position_history"}
"""The history of each read model that has one."""


def watermarks(connection: Connection, chain: int) -> dict[str, ChainHead]:
    """
    Return the last event that each history holds, by the history's name.
    """
    found = connection.execute("SELECT name, seq, hash FROM ledger.read_model_watermarks WHERE chain = %s", [chain])
    return {name: ChainHead(seq, digest) for name, seq, digest in found}


def lock(connection: Connection, chain: int, start: ChainHead, *, anew: bool = False) -> ChainHead:
    """
    Return the watermark of the histories and keep other followers out until this transaction ends.

    *start* is where a chain begins whose histories were never made, or are to be made *anew* whatever they say.
    """
    if connection.execute("SELECT has_table_privilege('ledger.read_model_watermarks', 'INSERT')").fetchone() != (True,):
        raise NotPermitted(
            f"login {connection.info.user!r} may not keep histories; use one that is a member of ledger_writer or, "
            "in a replica, of ledger_applier"
        )
    connection.cursor().executemany(
        "INSERT INTO ledger.read_model_watermarks (chain, name, seq, hash) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [(chain, name, start.seq, start.hash) for name in HISTORIES.values()],
    )
    if anew:
        move(connection, chain, start)
    found = connection.execute(
        "SELECT seq, hash FROM ledger.read_model_watermarks WHERE chain = %s ORDER BY name FOR UPDATE", [chain]
    ).fetchall()
    if len(set(found)) != 1:
        raise StateMismatch("the histories stand at different events; run `tradeledger read-models rebuild`")
    return ChainHead(*found[0])


def move(connection: Connection, chain: int, head: ChainHead) -> None:
    """
    Move the locked watermark of every history to *head*.
    """
    connection.execute(
        "UPDATE ledger.read_model_watermarks SET seq = %s, hash = %s WHERE chain = %s", [head.seq, head.hash, chain]
    )


def clear(connection: Connection, chain: int) -> None:
    """
    Throw the histories of *chain* away.
    """
    for table in HISTORIES.values():
        connection.execute(f"DELETE FROM ledger.{table} WHERE chain = %s", [chain])


def forget(connection: Connection, chain: int) -> None:
    """
    Forget how far the histories are, whatever was said of them; only the owner of the tables may.
    """
    connection.execute("DELETE FROM ledger.read_model_watermarks WHERE chain = %s", [chain])


def reached(connection: Connection, chain: int, start: ChainHead) -> int | None:
    """
    Return how far the histories say that they are; None where they do not agree, or name no event, nor the *start*.
    """
    found = watermarks(connection, chain)
    marks = {found.get(name) for name in HISTORIES.values()}
    mark = marks.pop()
    if marks or mark is None:
        return None
    named = connection.execute(
        "SELECT FROM ledger.events WHERE (chain, seq, hash) = (%s, %s, %s)", [chain, mark.seq, mark.hash]
    ).fetchone()
    return None if named is None and mark != start else mark.seq


def sums(connection: Connection, chain: int, upto: int | None = None) -> list[tuple[object, ...]]:
    """
    Return how many versions each history has, of events *upto* one or of all, and a sum over them: another where one of
    them is.
    """
    return [
        connection.execute(
            f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ledger.{table} t"
            " WHERE chain = %s AND (seq <= %s) IS NOT FALSE",
            [chain, upto],
        ).fetchone()
        or ()
        for table in HISTORIES.values()
    ]


def write(connection: Connection, chain: int, table: str, versions: Sequence[tuple[int, Row]]) -> None:
    """
    Add *versions* (seq, row) of rows of the read model *table* to its history.
    """
    if not versions:
        return
    spec = TABLES[table]
    names = ", ".join(spec.columns)
    copied = f"COPY ledger.{HISTORIES[table]} (chain, seq, {names}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(copied) as copy:
        for seq, row in versions:
            values = zip(spec.columns, msgspec.structs.astuple(row), strict=True)
            copy.write_row((chain, seq, *(_written(x, name in spec.amounts) for name, x in values)))


def _written(value: Any, is_amount: bool) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return amounts.render(value) if is_amount and value is not None else value


def _read(value: Any, is_amount: bool) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return int(value) if is_amount and value is not None else value


@functools.cache
def _select(table: str) -> str:
    spec = TABLES[table]
    # In units of 10^-18 the text of an amount is an integer; that of a bare date would follow the login's DateStyle.
    forms = {
        **dict.fromkeys(spec.amounts, "trim_scale({} * 1000000000000000000)::text"),
        **dict.fromkeys(spec.dates, "to_char({}, 'YYYY-MM-DD')"),
    }
    shown = (forms.get(x, "{}").format(x) for x in spec.columns)
    return f"seq, {', '.join(shown)} FROM ledger.{HISTORIES[table]}"


def _row(table: str, values: Sequence[Any]) -> Row:
    spec = TABLES[table]
    try:
        read = [_read(value, name in spec.amounts) for name, value in zip(spec.columns, values, strict=True)]
    except ValueError as error:
        raise StateMismatch(
            f"found what no amount is in {HISTORIES[table]}: {error}; run `tradeledger read-models rebuild`"
        ) from error
    return spec.row_type(*read)


def rows_at(connection: Connection, chain: int, table: str, seq: int, equal: dict[str, str]) -> list[Row]:
    """
    Return the rows of the read model *table* as they were after event *seq*, those whose columns are as given.

    Rows are never deleted, so the keys of today's hold those of then, and each is one step down the history's index.
    """
    key = TABLES[table].key
    same = " AND ".join(f"h.{name} = k.{name}" for name in ("chain", *key))
    where = "".join(f" AND k.{name} = %s" for name in equal)
    found = connection.execute(
        f"SELECT v.* FROM ledger.{table} k CROSS JOIN LATERAL ("
        f"SELECT {_select(table)} h WHERE {same} AND seq <= %s ORDER BY seq DESC LIMIT 1) v WHERE k.chain = %s{where}",
        [seq, chain, *equal.values()],
    )
    return [_row(table, values[1:]) for values in found]


def versions(connection: Connection, chain: int, table: str) -> Iterable[tuple[int, Row]]:
    """
    Return every (seq, row) of the history of *table*, in order of seq and key.
    """
    key = ", ".join(TABLES[table].key)
    found = connection.execute(f"SELECT {_select(table)} WHERE chain = %s ORDER BY seq, {key}", [chain])
    return [(values[0], _row(table, values[1:])) for values in found]
