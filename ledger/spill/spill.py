"""
Keep the rows that are closed in a temporary file, so that memory follows what is open.
"""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

import msgspec

from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES, Row
from ledger.domain.state import RESIDENT, Change, Key, State, is_closed
from ledger.spill.sieve import Sieve

_DECODER: Final = msgspec.json.Decoder(list[Any])


class Spill:
    """
    Rows by table and key, in a SQLite file that is gone when the process is: as the bytes that a digest is taken over.
    """

    _sieve: Sieve | None = None
    """What may be in the file; None where nobody knows."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tradeledger-")
        self._begin(sqlite3.connect(f"{self._folder.name}/rows"))
        # The file lives as long as it is open, so that a process which is killed leaves none.
        self._folder.cleanup()

    def _begin(self, database: sqlite3.Connection) -> None:
        """Use an empty file: nothing in it has to outlive a crash."""
        self._db = database
        self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;")
        self._db.execute(
            "CREATE TABLE kept (name TEXT, key BLOB, row BLOB, met INTEGER DEFAULT 0, PRIMARY KEY (name, key))"
            " WITHOUT ROWID"
        )
        self._encoder = msgspec.msgpack.Encoder()
        self._sieve = Sieve()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Throw the file away.
        """
        self._db.close()

    def load(self, table: str, key: Key) -> Row | None:
        """
        Return the row kept under *key*, or None.
        """
        if self._sieve is not None and not self._sieve.may_have((table, key)):
            return None
        found = self._db.execute(
            "SELECT row FROM kept WHERE name = ? AND key = ?", [table, self._encoder.encode(key)]
        ).fetchone()
        return None if found is None else row_from(table, found[0])

    def keep_closed(self, state: State, mark: int) -> None:
        """
        Keep every closed row changed since *mark*; the state may then forget them.
        """
        self.keep((change, row_bytes(TABLES[change.table], change.new)) for change in state.changes(mark))

    def keep(self, changes: Iterable[tuple[Change, bytes]]) -> None:
        """
        Keep the rows of *changes* that are closed, each given with its bytes as `row_bytes` has them.
        """
        closed = [
            (change.table, change.key, data)
            for change, data in changes
            if change.table not in RESIDENT and is_closed(change.table, change.new)
        ]
        if self._sieve is not None:
            for table, key, _ in closed:
                self._sieve.add((table, key))
        encode = self._encoder.encode
        self._db.executemany(
            "INSERT OR REPLACE INTO kept (name, key, row) VALUES (?, ?, ?)",
            # In the order of the file, whose pages are then written once.
            sorted((table, encode(key), data) for table, key, data in closed),
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


@functools.cache
def _shape(table: str) -> tuple[tuple[int, ...], type[Row]]:
    spec = TABLES[table]
    return tuple(place for place, name in enumerate(spec.columns) if name in spec.amounts), spec.row_type


def row_from(table: str, stored: bytes) -> Row:
    """
    Return the row whose bytes `row_bytes` made.
    """
    places, kind = _shape(table)
    values = _DECODER.decode(stored)
    for place, value in enumerate(values):
        if isinstance(value, list):
            values[place] = tuple(value)
    for place in places:
        if values[place] is not None:
            values[place] = int(values[place])
    return kind(*values)
