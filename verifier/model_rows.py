"""
Read the rows of read models, their histories and snapshots.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from typing import Any

from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import Key
from verifier import absent
from verifier.moment import HISTORIES, Moment
from verifier.stored_rows import columns_of, row_of


class ModelRows(Moment):
    """
    What a moment has of what follows from the events.
    """

    def lanes(self) -> list[tuple[int, bytes]]:
        """
        Return seq and accumulator of the state digest that is stored: one row.
        """
        return self.every("SELECT seq, lanes FROM ledger.state_digests WHERE chain = %s", self.chain.chain)

    def rows(self, table: str) -> Iterator[Row]:
        """
        Yield every row of a read model.
        """
        spec = TABLES[table]
        sql = f"SELECT {columns_of(spec)} FROM ledger.{table} WHERE chain = %s"
        for row in self.stream_every(f"rows_{table}", sql):
            yield row_of(spec, row)

    def rows_at(self, table: str, keys: Sequence[Key]) -> Iterator[Row]:
        """
        Yield the rows of a read model that have one of these *keys*.
        """
        spec = TABLES[table]
        sql = f"SELECT {columns_of(spec, 't')} FROM ledger.{table} t {_at(spec)} WHERE t.chain = %s"
        for row in self.connection.execute(sql, [*_columns(keys), self.chain.chain]):
            yield row_of(spec, row)

    def versions_at(self, table: str, keys: Sequence[Key], first: int, last: int) -> Iterator[tuple[int, Row]]:
        """
        Yield (seq, row) of each version at seq *first* to *last* of the rows of a read model that have one of *keys*.
        """
        spec = TABLES[table]
        sql = (
            f"SELECT t.seq, {columns_of(spec, 't')} FROM ledger.{HISTORIES[table]} t {_at(spec)}"
            " WHERE t.chain = %s AND t.seq BETWEEN %s AND %s"
        )
        for row in self.connection.execute(sql, [*_columns(keys), self.chain.chain, first, last]):
            yield row[0], row_of(spec, row[1:])

    def versions(self, table: str) -> Iterator[tuple[int, Row]]:
        """
        Yield (seq, row) of every version that the history of a read model holds, in order of seq.
        """
        spec, name = TABLES[table], HISTORIES[table]
        sql = f"SELECT seq, {columns_of(spec)} FROM ledger.{name} WHERE chain = %s ORDER BY seq NULLS FIRST"
        for row in self.stream_every(f"versions_{table}", sql):
            yield absent.number(row[0]), row_of(spec, row[1:])

    def watermarks(self) -> dict[str, tuple[int, bytes]]:
        """
        Return (seq, hash) of the last event that each history holds, by the history's name.
        """
        found = self.every(
            "SELECT name, seq, hash FROM ledger.read_model_watermarks WHERE chain = %s ORDER BY name", self.chain.chain
        )
        return {absent.shown(name): (absent.number(seq), absent.data(digest)) for name, seq, digest in found}

    def snapshots(self) -> dict[int, bytes]:
        """
        Return the digest that each snapshot says it has, by its seq.
        """
        found = self.every(
            "SELECT seq, state_digest FROM ledger.snapshots WHERE chain = %s ORDER BY seq", self.chain.chain
        )
        return {absent.number(seq): absent.data(digest) for seq, digest in found}

    def snapshot_rows(self, seq: int) -> bytes:
        """
        Return the bytes of the snapshot at *seq*.
        """
        row = self.connection.execute(
            "SELECT coalesce(rows, '') FROM ledger.snapshots WHERE chain = %s AND seq = %s", [self.chain.chain, seq]
        ).fetchone()
        return b"" if row is None else bytes(row[0])


def _at(spec: TableSpec) -> str:
    """Return the join of a read model, `t`, with keys that come as one array a column."""
    hints = typing.get_type_hints(spec.row_type)
    kinds = ["bigint" if hints[name] is int else "text" for name in spec.key]
    given = ", ".join(f"%s::{kind}[]" for kind in kinds)
    names = ", ".join(f"k{place}" for place in range(len(kinds)))
    equal = " AND ".join(
        f't."{name}" = k.k{place}{"::date" if name in spec.dates else ""}' for place, name in enumerate(spec.key)
    )
    return f"JOIN unnest({given}) AS k({names}) ON {equal}"


def _columns(keys: Sequence[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
