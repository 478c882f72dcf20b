"""
Keep the rows that are closed in a temporary file, so that memory follows what is open.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec

from ledger.domain.rows import TABLES, Row
from ledger.domain.state import RESIDENT, Change, Key, State, is_closed


class Spill:
    """
    Rows by table and key, in a SQLite file that is gone when the process is.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="verify-")
        self._begin(sqlite3.connect(f"{self._folder.name}/rows"))

    def _begin(self, database: sqlite3.Connection) -> None:
        """Use an empty file: nothing in it has to outlive a crash."""
        self._db = database
        self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;")
        self._db.execute(
            "CREATE TABLE kept (name TEXT, key BLOB, row BLOB, met INTEGER DEFAULT 0, PRIMARY KEY (name, key))"
            " WITHOUT ROWID"
        )
        self._encoder = msgspec.msgpack.Encoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def load(self, table: str, key: Key) -> Row | None:
        """
        Return the row kept under *key*, or None.
        """
        found = self._db.execute(
            "SELECT row FROM kept WHERE name = ? AND key = ?", [table, self._encoder.encode(key)]
        ).fetchone()
        return None if found is None else row_from(table, found[0])

    def keep_closed(self, state: State, mark: int) -> None:
        """
        Keep every closed row changed since *mark*; the state may then forget them.
        """
        self.keep(state.changes(mark))

    def keep(self, changes: Iterable[Change]) -> None:
        """
        Keep the rows of *changes* that are closed.
        """
        self._db.executemany(
            "INSERT OR REPLACE INTO kept (name, key, row) VALUES (?, ?, ?)",
            [
                (x.table, self._encoder.encode(x.key), self._encoder.encode(values_of(x.table, x.new)))
                for x in changes
                if x.table not in RESIDENT and is_closed(x.table, x.new)
            ],
        )

    def meet(self, table: str, key: Key) -> tuple[Row | None, bool]:
        """
        Return the row kept under *key*, or None, and whether it was met before.
        """
        place = [table, self._encoder.encode(key)]
        found = self._db.execute("SELECT row, met FROM kept WHERE name = ? AND key = ?", place).fetchone()
        if found is None:
            return None, False
        if not found[1]:
            self._db.execute("UPDATE kept SET met = 1 WHERE name = ? AND key = ?", place)
        return row_from(table, found[0]), bool(found[1])

    def not_met(self, table: str) -> Iterator[Row]:
        """
        Yield every row of *table* that is kept and that nothing met.
        """
        for (row,) in self._db.execute("SELECT row FROM kept WHERE name = ? AND NOT met", [table]):
            yield row_from(table, row)


def values_of(table: str, row: Row) -> list[object]:
    """Return the columns, amounts as text: they pass the 64 bits that MessagePack carries."""
    spec = TABLES[table]
    return [
        str(value) if name in spec.amounts and value is not None else value
        for name, value in zip(spec.columns, msgspec.structs.astuple(row), strict=True)
    ]


def row_from(table: str, stored: bytes) -> Row:
    spec = TABLES[table]
    values = [
        int(value) if name in spec.amounts and value is not None else tuple(value) if isinstance(value, list) else value
        for name, value in zip(spec.columns, msgspec.msgpack.decode(stored), strict=True)
    ]
    return spec.row_type(*values)
