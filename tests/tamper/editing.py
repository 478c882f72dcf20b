"""
Change one cell of a table a little, as little guarded as it has to be: constraints go only where they stand in the way.
"""

from __future__ import annotations

import psycopg

from tests.tamper.way import Unexpected
from tests.verifier.intruder import CHANGES, WHEN_NULL, Intruder, columns


def change(intruder: Intruder, table: str, column: str, where: str) -> None:
    """
    Change a cell of the row that *where* names.

    Raises:
        Unexpected: there is no such row, or nothing is different now.
    """
    kind = columns(intruder.database, table)[column]
    expression = CHANGES[kind].format(f'"{column}"')
    if kind in WHEN_NULL:
        expression = f'CASE WHEN "{column}" IS NULL THEN {WHEN_NULL[kind]} ELSE {expression} END'
    before = intruder.connection.execute(
        f'SELECT "{column}"::text FROM ledger.{table} WHERE {where}'.encode()
    ).fetchone()
    sql = f'UPDATE ledger.{table} SET "{column}" = {expression} WHERE {where} RETURNING "{column}"::text'
    try:
        after = intruder.edit(table, sql)
    except psycopg.IntegrityError:
        intruder.unguard(table)
        after = intruder.edit(table, sql)
    if before is None or before == after:
        raise Unexpected(f"{table}.{column} where {where} was {before} and is {after}")
