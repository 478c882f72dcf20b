"""
Read the events of a range from the database as binary COPY, a few thousand rows at once and never more in memory.

The rows are handed on as they arrive, in PostgreSQL's own layout: what is to be hashed is not turned into objects
first. libpq is asked for them directly, because one call of the driver's copy for each row costs as much as to hash it.
Each is copied where it is to stand as soon as it is there: to keep what libpq made of thousands of them costs more than
the copy, since all that memory has to be fetched again.
"""

from __future__ import annotations

import io
import select
from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice
from typing import Any, Final

import psycopg
from psycopg import pq

from verifier.walk.layout import COLUMNS, Rows

ROWS: Final = 512
"""
How many rows are handed on at once: enough that what is done once for all of them costs little, and few enough that a
processor's cache holds them.
"""
BYTES: Final = 4 << 20
"""How many bytes, if rows are large."""
_AT_ONCE: Final = 32
"""After so many rows their bytes are counted."""
_READS_AHEAD: Final = 2
"""How often a socket is read ahead: it holds some 300 rows, and a server that is waiting fills it again at once."""
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"


class Reading:
    """
    Events read over one connection, range by range.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection, self._emptied = connection, True

    def rows(self, number: int, first: int, last: int, absent: bytes) -> Generator[Rows, None, None]:
        """
        Yield the rows of events with seqs from *first* to *last* of chain *number*, in order, as `layout.COLUMNS` lays
        them out.

        Raises:
            psycopg.Error: the server stopped answering, or has no such table.
        """
        shown = COLUMNS % {"absent": f"'{absent.hex()}'::uuid"}
        # Of a part of a chain the server would rather read and sort all before it says the first row than go by the
        # key, which has them in order: that takes a third of the time that the walk does.
        self._connection.pgconn.exec_(b"SET enable_sort = off")
        which = f"chain = {number:d} AND seq BETWEEN {first:d} AND {last:d}"
        server = _copy(self._connection, f"SELECT {shown} FROM ledger.events WHERE {which} ORDER BY seq")
        try:
            found, more = _without_header(server, self._empty), True
            while more:
                file, lengths = io.BytesIO(), list[int]()
                while more and len(lengths) < ROWS and file.tell() < BYTES:
                    count = len(lengths)
                    lengths += map(file.write, islice(found, _AT_ONCE))
                    more = len(lengths) == count + _AT_ONCE
                data = file.getvalue()
                if data[-len(_TRAILER) :] == _TRAILER and lengths[-1] == len(_TRAILER):
                    data, more = data[: -len(_TRAILER)], False
                    del lengths[-1]
                    # It may have been the last of those taken at once, and what ends the copy is still to come.
                    next(found, None)
                if lengths:
                    yield Rows(data, lengths)
        finally:
            _finish(server)

    def ahead(self) -> None:
        """
        Read what the server has sent meanwhile, so that it goes on: only where all that was read before was taken.

        So what waits is never more than a few times what a socket holds, however much quicker the server is; libpq
        would move all of it at each read.
        """
        for _ in range(_READS_AHEAD if self._emptied else 0):
            self._connection.pgconn.consume_input()
        self._emptied = False

    def _empty(self) -> None:
        self._emptied = True


def stream(connection: psycopg.Connection[Any], query: str) -> Generator[memoryview, None, None]:
    """
    Yield the rows of *query* as binary COPY has them.

    Raises:
        psycopg.Error: the server stopped answering, or cannot run it.
    """
    server = _copy(connection, query)
    try:
        for row in _without_header(server, lambda: None):
            if len(row) != len(_TRAILER) or bytes(row) != _TRAILER:
                yield row
    finally:
        _finish(server)


def _without_header(server: pq.abc.PGconn, emptied: Callable[[], object]) -> Iterator[memoryview]:
    """Return the messages of a COPY, of which the first begins with what every binary COPY begins with."""
    messages = _messages(server, emptied)
    first = next(messages, None)
    if first is None:
        # It failed before its first row, and says how at its end.
        return messages
    if first[: len(_HEADER)] != _HEADER:
        raise psycopg.DataError("the server's binary COPY begins with other bytes than PostgreSQL writes")
    return chain([first[len(_HEADER) :]], messages)


def drain(connection: psycopg.Connection[Any], query: str) -> int:
    """
    Read all that a binary COPY of *query* says and throw it away; return how many messages there were.

    What any reader has to do at least: the floor beside which walks are measured.
    """
    server = _copy(connection, query)
    count = sum(1 for _ in _messages(server, lambda: None))
    _finish(server)
    return count


def _copy(connection: psycopg.Connection[Any], query: str) -> pq.abc.PGconn:
    server = connection.pgconn
    begun = server.exec_(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode())
    if begun.status != pq.ExecStatus.COPY_OUT:
        raise _error(begun)
    return server


def _messages(server: pq.abc.PGconn, emptied: Callable[[], object]) -> Iterator[memoryview]:
    """Yield the messages of a COPY; *emptied* hears that all which was read before was taken."""
    take, socket = server.get_copy_data, server.socket
    while True:
        size, message = take(1)
        if size > 0:
            yield message
        elif size == 0:
            emptied()
            # Waiting here and not inside libpq leaves Ctrl-C its way.
            select.select([socket], [], [])
            server.consume_input()
        else:
            return


def _finish(server: pq.abc.PGconn) -> None:
    """Take what the server said at the end, so that the connection can be asked again; raise what went wrong."""
    failed: psycopg.Error | None = None
    while (result := server.get_result()) is not None:
        if result.status == pq.ExecStatus.COPY_OUT:
            # Left in the middle: only the end of the connection is quicker than all that is still to come.
            server.finish()
            return
        if result.status == pq.ExecStatus.FATAL_ERROR:
            failed = _error(result)
    if failed is not None:
        raise failed


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    """Return the error that a result is; without a SQLSTATE it is the client's own, which lost the server."""
    if result.error_field(pq.DiagnosticField.SQLSTATE) is None:
        return psycopg.OperationalError(result.get_error_message().strip())
    return psycopg.errors.error_from_result(result)
