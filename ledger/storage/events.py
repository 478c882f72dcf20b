"""
Append linked events to the events table, and read them back exactly.

The one INSERT into `events` in the whole project is here. The primary key refuses a second event at one seq, which
turns a race between two writers into an error instead of a fork. Rows are sent as COPY's binary format, laid out by
hand: it is the fastest way in, and the bytes go as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.errors import InvalidEvent

Connection = psycopg.Connection[Any]

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_FIELDS: Final = 24
_DAYS_1970_TO_2000: Final = 10_957
_FIRST: Final = struct.Struct(">HihiqiiI32sI32sI16s")
_LENGTH: Final = struct.Struct(">I")
_SMALL: Final = struct.Struct(">ih")
_BIG: Final = struct.Struct(">iq")
_GROUP: Final = struct.Struct(">I16sihih")
_TIMES: Final = struct.Struct(">I32siqiqii")
_NULL: Final = b"\xff\xff\xff\xff"
_OIDS: Final = {"int2": 21, "int4": 23, "int8": 20, "bytea": 17, "uuid": 2950, "text": 25, "date": 1082, "json": 114}
_LAYOUTS: Final = {
    "events": "int2 int8 int4 bytea bytea uuid text int2 text int8 uuid int2 int2 text bytea int8 int8 date text text "
    "uuid uuid bytea json",
    "idempotency_keys": "int2 text text int8",
}
_KINDS: Final = {
    table: tuple(_LENGTH.pack(_OIDS[kind]) for kind in layout.split()) for table, layout in _LAYOUTS.items()
}
"""The type of each column; PostgreSQL's numbers for its own types never change."""
_KEY: Final = struct.Struct(">Hih")
_WIDTHS: Final = (
    ("prev_hash", 32), ("hash", 32), ("request_hash", 32), ("event_id", 16), ("group_id", 16), ("correlation_id", 16),
    ("causation_id", 16), ("salt", 16),
)  # fmt: skip

_SELECT: Final = """
SELECT seq, epoch, prev_hash, hash, uuid_send(event_id), event_type, schema_version, stream, stream_version,
       uuid_send(group_id), group_index, group_size, idempotency_key, request_hash, occurred_at, recorded_at,
       effective_on - date '1970-01-01', actor, source,
       coalesce(uuid_send(correlation_id), decode(repeat('00', 16), 'hex')),
       coalesce(uuid_send(causation_id), decode(repeat('00', 16), 'hex')), salt, convert_to(payload::text, 'UTF8')
FROM ledger.events WHERE chain = %s
"""
_DAY: Final = "effective_on - date '1970-01-01'"
# A day that no number stands for, which is no event's, is nothing then: PostgreSQL would end the whole query by it.
_SELECT_FOUND: Final = _SELECT.replace(_DAY, f"CASE WHEN isfinite(effective_on) THEN {_DAY} END")
# Without statistics the primary key seems as good for a stream, and its first column, the chain, all events have.
_SELECT_STREAM: Final = _SELECT.replace("chain = %s", "chain + 0 = %s AND stream = %s")
_SELECT_STREAM_NOW: Final = _SELECT_STREAM.replace(
    "SELECT seq",
    "SELECT (SELECT h.seq FROM ledger.chain_heads h WHERE h.chain = events.chain) AS head,"
    " (SELECT a.splits FROM ledger.orders o JOIN ledger.instruments i USING (chain, instrument)"
    " JOIN ledger.assets a USING (chain, asset) WHERE o.chain = %s AND o.order_id = %s) AS splits, seq",
)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _id(value: bytes) -> bytes:
    return _NULL if value == NO_ID else b"\0\0\0\x10" + value


def _row(chain: int, event: RecordedEvent) -> bytes:
    for name, width in _WIDTHS:
        # struct would pad or cut a value of another width, and store something that nobody hashed.
        if len(getattr(event, name)) != width:
            raise InvalidEvent(f"found {name} of {len(getattr(event, name))} bytes; expected {width}")
    return b"".join(
        (
            _FIRST.pack(
                _FIELDS, 2, chain, 8, event.seq, 4, event.epoch, 32, event.prev_hash, 32, event.hash, 16, event.event_id
            ),
            _text(event.event_type),
            _SMALL.pack(2, event.schema_version),
            _text(event.stream),
            _BIG.pack(8, event.stream_version),
            _GROUP.pack(16, event.group_id, 2, event.group_index, 2, event.group_size),
            _text(event.idempotency_key),
            _TIMES.pack(
                32, event.request_hash, 8, event.occurred_at, 8, event.recorded_at, 4,
                event.effective_on - _DAYS_1970_TO_2000,
            ),
            _text(event.actor),
            _text(event.source),
            _id(event.correlation_id),
            _id(event.causation_id),
            b"\0\0\0\x10" + event.salt,
            _LENGTH.pack(len(event.payload)) + event.payload,
        )
    )  # fmt: skip


def rows_of(chain: int, events: Iterable[RecordedEvent]) -> list[bytes]:
    """
    Return the row of each event, as COPY takes it.

    Raises:
        InvalidEvent: a value does not fit its column.
    """
    try:
        return [_row(chain, event) for event in events]
    except struct.error as error:
        raise InvalidEvent(f"a number of an event does not fit its column: {error}") from error


def insert(connection: Connection, chain: int, events: Iterable[RecordedEvent]) -> None:
    """
    Append *events*, in order, up to the locked head, which has been moved over them.

    Raises:
        InvalidEvent: a value does not fit its column.
    """
    insert_rows(connection, "events", rows_of(chain, events))


def insert_rows(connection: Connection, table: str, rows: Iterable[bytes]) -> None:
    """
    Insert *rows*, laid out as COPY takes them, into `events` or `idempotency_keys`.

    A key that was used before raises the driver's UniqueViolation.
    """
    with connection.cursor() as cursor, cursor.copy(f"COPY ledger.{table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(HEADER + b"".join(rows) + TRAILER)


def row_kinds(table: str) -> tuple[bytes, ...]:
    """
    Return the number of each column's type, as a composite value names it before the field.
    """
    return _KINDS[table]


def read(
    connection: Connection,
    chain: int,
    chain_id: bytes,
    after: int = 0,
    limit: int | None = None,
    *,
    as_found: bool = False,
) -> Iterator[RecordedEvent]:
    """
    Yield the events after seq *after*, in order, at most *limit*; *as_found* as in `read_seqs`.
    """
    query = f"{_SELECT_FOUND if as_found else _SELECT} AND seq > %s ORDER BY seq" + (
        "" if limit is None else f" LIMIT {int(limit)}"
    )
    with connection.cursor(binary=True) as cursor:
        for row in cursor.stream(query, [chain, after], size=1000):
            yield RecordedEvent(**dict(zip(_NAMES, row, strict=True)), chain_id=chain_id)


_NAMES: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name != "chain_id")
COLUMNS: Final = ("chain", *_NAMES)
"""The columns of a row, in the order of `rows_of`."""


def read_seqs(
    connection: Connection, chain: int, chain_id: bytes, seqs: Sequence[int], *, as_found: bool = False
) -> dict[int, RecordedEvent]:
    """
    Return the events of these seqs that there are.

    *as_found* is for who holds each against its hash: one of them that has an infinite day comes without a day.
    """
    select = _SELECT_FOUND if as_found else _SELECT
    # One look-up a seq: without statistics PostgreSQL 15 would rather go through the chain than take a list to the key.
    query = f"SELECT e.* FROM unnest(%s::bigint[]) AS wanted(at), LATERAL ({select} AND seq = wanted.at OFFSET 0) e"
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(query, [list(seqs), chain]).fetchall()
    return {row[0]: RecordedEvent(**dict(zip(_NAMES, row, strict=True)), chain_id=chain_id) for row in found}


def read_group(connection: Connection, chain: int, chain_id: bytes, first_seq: int) -> list[RecordedEvent]:
    """
    Return the events of the group whose first event is at *first_seq*.
    """
    first = read_seqs(connection, chain, chain_id, [first_seq]).get(first_seq)
    if first is None:
        return []
    if first.group_size == 1:
        return [first]
    return list(read(connection, chain, chain_id, first_seq - 1, first.group_size))


def read_stream(
    connection: Connection, chain: int, chain_id: bytes, stream: str, after_version: int = 0
) -> list[RecordedEvent]:
    """
    Return the events of *stream* after a version of it, in order.
    """
    query = f"{_SELECT_STREAM} AND stream_version > %s ORDER BY stream_version, seq"
    with connection.cursor(binary=True) as cursor:
        # Prepared, since planning takes longer than reading the few events of an order.
        found = cursor.execute(query, [chain, stream, after_version], prepare=True).fetchall()
    return [RecordedEvent(**dict(zip(_NAMES, row, strict=True)), chain_id=chain_id) for row in found]


def read_stream_now(
    connection: Connection, chain: int, chain_id: bytes, stream: str
) -> tuple[int | None, str | None, list[RecordedEvent]]:
    """
    Return the seq of the chain's head, the splits of what an order is of, and the events of *stream* in order.

    They are of one statement, and so of one moment. Of a stream without events there is no row, and so no seq.
    """
    order_id = stream.removeprefix("order/") if stream.startswith("order/") else None
    with connection.cursor(binary=True) as cursor:
        query = f"{_SELECT_STREAM_NOW} ORDER BY stream_version, seq"
        found = cursor.execute(query, [chain, order_id, chain, stream], prepare=True).fetchall()
    events = [RecordedEvent(**dict(zip(_NAMES, row[2:], strict=True)), chain_id=chain_id) for row in found]
    head, splits = found[0][:2] if found else (None, None)
    return head, splits, events


def read_mentioning(
    connection: Connection,
    chain: int,
    chain_id: bytes,
    texts: Sequence[str],
    besides: tuple[str, str | None],
    upto: int,
    until: int,
) -> Iterator[RecordedEvent]:
    """
    Yield the events up to seq *upto* that count for days up to *until* and have one of *texts* in their payload, in
    order; and those *besides* that have a text and are of a stream (None: of any).

    The server looks at the payload of every event up to there: there is no index on what is in them.
    """
    has_one = "strpos(payload::text, %s) > 0 OR " * len(texts)
    query = (
        f"{_SELECT} AND seq <= %s AND effective_on <= date '1970-01-01' + %s "
        f"AND ({has_one}(stream = coalesce(%s, stream) AND strpos(payload::text, %s) > 0)) ORDER BY seq"
    )
    text, stream = besides
    with connection.cursor(binary=True) as cursor:
        for row in cursor.stream(query, [chain, upto, until, *texts, stream, text], size=1000):
            yield RecordedEvent(**dict(zip(_NAMES, row, strict=True)), chain_id=chain_id)


def read_beyond(
    connection: Connection, chain: int, chain_id: bytes, seqs: list[int], latest: list[int], earliest: list[int]
) -> Iterator[RecordedEvent]:
    """
    Yield, in order, the events before one of *seqs* that count, or may be moved, to a day after one of those that come.

    The days of each of *seqs* are given as the *latest* up to it and the *earliest* from it on; all are in order.
    """
    place, epoch = "width_bucket(seq, %s::bigint[])", "date '1970-01-01'"
    query = (
        f"{_SELECT} AND seq < %s AND greatest(effective_on, {epoch} + (%s::int[])[{place}]) "
        f"> {epoch} + (%s::int[])[{place} + 1] ORDER BY seq"
    )
    with connection.cursor(binary=True) as cursor:
        for row in cursor.stream(query, [chain, seqs[-1], latest, seqs, earliest, seqs], size=1000):
            yield RecordedEvent(**dict(zip(_NAMES, row, strict=True)), chain_id=chain_id)


def insert_keys(connection: Connection, chain: int, keys: Iterable[tuple[str, str, int]]) -> None:
    """
    Claim (source, key, first seq) for each group; a key that was used raises the driver's UniqueViolation.
    """
    insert_rows(
        connection,
        "idempotency_keys",
        [_KEY.pack(4, 2, chain) + _text(source) + _text(key) + _BIG.pack(8, seq) for source, key, seq in keys],
    )


def find_keys(connection: Connection, chain: int, source: str, keys: Sequence[str]) -> dict[str, int]:
    """
    Return the first seq of the group that used each of *keys*, for those that were used.
    """
    found = connection.execute(
        "SELECT key, first_seq FROM ledger.idempotency_keys WHERE chain = %s AND source = %s AND key = ANY(%s)",
        [chain, source, list(keys)],
    )
    return dict(found.fetchall())
