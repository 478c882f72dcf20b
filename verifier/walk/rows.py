"""
Read the events of a range from the database as binary COPY, a few thousand rows at once and never more in memory.

The rows are handed on as they arrive, in PostgreSQL's own layout: what is to be hashed is not turned into objects
first. libpq is asked for them directly, because one call of the driver's copy for each row costs as much as to hash it.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Generator, Iterator
from typing import Any, Final

import psycopg
from psycopg import pq

from verifier.walk.layout import COLUMNS

ROWS: Final = 2048
"""How many rows are handed on at once: enough that what is done once for all of them costs little."""
BYTES: Final = 4 << 20
"""How many bytes, if rows are large."""
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"


def read(
    connection: psycopg.Connection[Any], chain: int, first: int, last: int, absent: bytes
) -> Generator[list[bytes | memoryview], None, None]:
    """
    Yield the rows of events with seqs from *first* to *last*, in order, as `layout.COLUMNS` lays them out.

    Raises:
        psycopg.Error: the server stopped answering, or has no such table.
    """
    shown = COLUMNS % {"absent": f"'{absent.hex()}'::uuid"}
    query = (
        f"SELECT {shown} FROM ledger.events WHERE chain = {chain:d} AND seq BETWEEN {first:d} AND {last:d} ORDER BY seq"
    )
    rows: list[bytes | memoryview] = []
    size = 0
    with contextlib.closing(stream(connection, query)) as found:
        for row in found:
            rows.append(row)
            size += len(row)
            if len(rows) >= ROWS or size >= BYTES:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows


def stream(connection: psycopg.Connection[Any], query: str) -> Generator[memoryview, None, None]:
    """
    Yield the rows of *query* as binary COPY has them.

    Raises:
        psycopg.Error: the server stopped answering, or cannot run it.
    """
    server, begins = _copy(connection, query), True
    try:
        for row in _messages(server):
            if begins:
                begins = False
                if row[: len(_HEADER)] != _HEADER:
                    raise psycopg.DataError("the server's binary COPY begins with other bytes than PostgreSQL writes")
                row = row[len(_HEADER) :]
            if len(row) == len(_TRAILER) and bytes(row) == _TRAILER:
                continue
            yield row
    finally:
        _finish(server)


def drain(connection: psycopg.Connection[Any], query: str) -> int:
    """
    Read all that a binary COPY of *query* says and throw it away; return how many messages there were.

    What any reader has to do at least: the floor beside which walks are measured.
    """
    server = _copy(connection, query)
    count = sum(1 for _ in _messages(server))
    _finish(server)
    return count


def _copy(connection: psycopg.Connection[Any], query: str) -> pq.abc.PGconn:
    server = connection.pgconn
    begun = server.exec_(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode())
    if begun.status != pq.ExecStatus.COPY_OUT:
        raise _error(begun)
    return server


def _messages(server: pq.abc.PGconn) -> Iterator[memoryview]:
    take, socket = server.get_copy_data, server.socket
    while True:
        size, message = take(1)
        if size > 0:
            yield message
        elif size == 0:
            # Nothing has arrived. Waiting here and not inside libpq leaves Ctrl-C its way.
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
