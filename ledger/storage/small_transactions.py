"""
Append a small transaction by one call of the server's function `ledger.append`, committed as it returns.

A transaction costs twenty statements however few its events are, and each is parsed, planned, answered and read. The
function (migrations/versions/0001_append.sql) does the same in one round trip, with plans that last as long as the
session; every trigger and constraint stands in its way as in that of a statement of one's own. Called outside a
transaction block it is one by itself, so COMMIT needs no message either.

That has a price: a COMMIT is sent by who holds the head's lock, and a call by who does not yet, so it may arrive when
its sender has lost the connection and somebody was told that it did nothing. So each call names the version of the
head's row that it follows (`xmin`, the transaction that wrote it), which the one before it returned; and whoever tells
that nothing was recorded first locks the row and writes it anew (`chains.fence`). A call that comes later finds another
version. A connection whose version is an old one meets `Unexpected`; it learns the new one from a transaction that is
not small (`follow`).

Past `EVENTS` events COPY is cheaper: it does not read rows as values of a type first.
"""

from __future__ import annotations

import select
import struct
import weakref
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

from ledger.domain.state import Change
from ledger.errors import StateMismatch
from ledger.storage import read_models
from ledger.storage.events import row_kinds

Connection = psycopg.Connection[Any]

EVENTS: Final = 64
"""Most events of a transaction that is called small; measured, see decision 0007."""
STATEMENT: Final = b"ledger_append"
_PARAMETERS: Final = 19
_CALL: Final = b"SELECT ledger.append(%s)" % b", ".join(b"$%d" % (n + 1) for n in range(_PARAMETERS))
_BINARY: Final = (1,) * _PARAMETERS
_ROW_TYPES: Final = b"SELECT 'ledger.events'::regtype::oid, 'ledger.idempotency_keys'::regtype::oid"
_TEXT, _INT4 = 25, 23
"""PostgreSQL's numbers for its own types never change."""
_ARRAY: Final = struct.Struct(">iiIii")
_EMPTY: Final = struct.Struct(">iiI")
_LONG: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">h")
_INT: Final = struct.Struct(">i")
_XID: Final = struct.Struct(">I")
_BIG: Final = struct.Struct(">q")
_MISSING: Final = b"TL007"
_UNEXPECTED: Final = b"TL008"
_FORGOTTEN: Final = b"26000"


class _Session(msgspec.Struct):
    """What is known of a connection: the numbers of the types of rows once prepared, and the head's last version."""

    version: int = 0
    row_types: tuple[int, int] | None = None


_SESSIONS: Final[weakref.WeakKeyDictionary[Connection, _Session]] = weakref.WeakKeyDictionary()


class Unexpected(Exception):
    """
    Head or clock are not as expected; nothing was written. Look at them under the lock to say which.
    """


def _array(kind: int, packed: Sequence[bytes]) -> bytes:
    """Return an array of values in their binary format."""
    if not packed:
        return _EMPTY.pack(0, 0, kind)
    parts = [_ARRAY.pack(1, 0, kind, len(packed), 1)]
    for value in packed:
        parts += (_LONG.pack(len(value)), value)
    return b"".join(parts)


def _texts(texts: Sequence[str]) -> bytes:
    return _array(_TEXT, [text.encode() for text in texts])


def _counts(counts: Sequence[int]) -> bytes:
    return _array(_INT4, [_INT.pack(count) for count in counts])


def _composite(row: bytes, kinds: tuple[bytes, ...]) -> bytes:
    """Return a row laid out for COPY as a composite value: each field preceded by its type."""
    place, parts = 2, [_LONG.pack(len(kinds))]
    for kind in kinds:
        size = max(0, int.from_bytes(row[place : place + 4], "big", signed=True))
        parts += (kind, row[place : place + 4 + size])
        place += 4 + size
    return b"".join(parts)


def _checked(connection: Connection, result: psycopg.pq.abc.PGresult) -> psycopg.pq.abc.PGresult:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    if connection.pgconn.status == ConnStatus.BAD:
        raise psycopg.OperationalError(result.get_error_message())
    raise psycopg.errors.error_from_result(result)


def _session(connection: Connection) -> _Session:
    return _SESSIONS.get(connection) or _SESSIONS.setdefault(connection, _Session())


def _prepare(connection: Connection) -> tuple[int, int]:
    """Prepare the statement, and return the numbers that this database gave the types of the two rows."""
    _checked(connection, connection.pgconn.prepare(STATEMENT, _CALL))
    found = _checked(connection, connection.pgconn.exec_(_ROW_TYPES))
    return int(found.get_value(0, 0) or 0), int(found.get_value(0, 1) or 0)


def is_ready(connection: Connection) -> bool:
    """
    Return whether *connection* knows which version of the head's row to follow, and is in no transaction.
    """
    return _session(connection).version != 0 and connection.pgconn.transaction_status == TransactionStatus.IDLE


def follow(connection: Connection, version: int) -> None:
    """
    Say that the head's row has *version* since a transaction of *connection*, and that the next call follows that.
    """
    _session(connection).version = version


def check_alive(connection: Connection) -> None:
    """
    Raise the driver's OperationalError where the server has ended the session already.

    What is sent into such a session has not happened; found out only afterwards, nobody would know.
    """
    pgconn = connection.pgconn
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    # What a living server says unasked is read until there is no more; the end of a connection is an error.
    while poll.poll(0):
        pgconn.consume_input()


def append(
    connection: Connection,
    chain: int,
    base: tuple[int, bytes],
    head: tuple[int, bytes, int],
    epoch: int,
    clocks: tuple[int, int, int],
    rows: tuple[Sequence[bytes], Sequence[bytes]],
    changes: Sequence[Change],
    digest: tuple[bytes, bytes],
) -> None:
    """
    Append to the chain whose head is *base* (seq, hash), in *epoch*, up to *head* (seq, hash, recorded at), and commit.

    *clocks* bound the server's clock from both sides and the time of the head, in ns since 1970. *rows* are those of
    events and of idempotency keys, as COPY takes them; *digest* is the accumulator of the state digest, and the digest.

    Raises:
        Unexpected: head or clock are not those.
        StateMismatch: a row that should be there was not.
        DriverError: what the server refused. Where the connection ended, the outcome is not known.
    """
    session = _session(connection)
    if session.row_types is None:
        session.row_types = _prepare(connection)
    event_type, key_type = session.row_types
    names, added, changed, lines = read_models.records(chain, changes)
    event_kinds, key_kinds = row_kinds("events"), row_kinds("idempotency_keys")
    given = [
        _SHORT.pack(chain), _XID.pack(session.version), _BIG.pack(base[0]), base[1], _INT.pack(epoch),
        _BIG.pack(head[0]), head[1], _BIG.pack(head[2]), *map(_BIG.pack, clocks),
        _array(event_type, [_composite(row, event_kinds) for row in rows[0]]),
        _array(key_type, [_composite(row, key_kinds) for row in rows[1]]),
        _texts(names), _counts(added), _counts(changed), _texts(lines), *digest,
    ]  # fmt: skip
    result = connection.pgconn.exec_prepared(STATEMENT, given, _BINARY, 1)
    state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    if state == _FORGOTTEN and connection.pgconn.transaction_status == TransactionStatus.IDLE:
        # The driver forgets every statement of the session after a rollback, ours with its own; nothing has happened.
        _prepare(connection)
        result = connection.pgconn.exec_prepared(STATEMENT, given, _BINARY, 1)
        state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    if state == _UNEXPECTED:
        raise Unexpected
    if state == _MISSING:
        raise StateMismatch((result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode())
    _checked(connection, result)
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        # Somebody had begun a transaction on this connection: the call was a part of it.
        connection.commit()
    (session.version,) = _XID.unpack(result.get_value(0, 0) or b"")
