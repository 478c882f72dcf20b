"""
Run each measure of a short chain once, on a database of its own.

What can be interleaved with its floor is: both are returned of one round.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import psycopg

from benchmarks import workload
from benchmarks.progress import stage
from ledger import Group, Ledger, Receipt, WriterSettings, for_throughput
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.row_bytes import digest_after
from ledger.importing import run
from ledger.journal import transaction
from ledger.journal.chain_creation import create_chain
from ledger.journal.preparation import Batch
from ledger.queries import Books
from ledger.sandbox.postgres import Server
from ledger.storage import events, upgrade
from ledger.storage.database import Connection

ORIGIN = "example.com/bench"
SESSION = Path(__file__).parents[1] / "examples" / "session"
TRANSACTION_EVENTS = 2_000
CHUNK_EVENTS = 20_000
"""So many events are made before they are appended."""
_FINISHED = {"events": "*", "idempotency_keys": "chain, source, idempotency_key, seq"}
"""The tables of finished rows, and their columns as the events have them: each event here is a group with its key."""

Pair = tuple[float, float]
"""A value and its floor, of the same round."""

_NUMBERS = itertools.count(1)


@functools.cache
def _migrated(server: Server) -> str:
    """Make one database by the migrations, and return its name: every other is a copy of it."""
    name = f"bench_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name} OWNER ledger_owner")
    upgrade.upgrade(server.dsn("owner", name))
    return name


@contextmanager
def database(server: Server, keys: Sequence[KeyPair] = ()) -> Iterator[str]:
    """
    Yield the name of a fresh, migrated database with one chain, which names *keys*.
    """
    template, name = _migrated(server), f"bench_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE {template} OWNER ledger_owner")
    try:
        sources = [("writer", "engine"), ("writer", run.SOURCE)]
        create_chain(server.dsn("owner", name), ORIGIN, named(list(keys)), sources)
        yield name
    finally:
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def tuned() -> Iterator[None]:
    """
    Tune the interpreter as a program that is a writer does; the library never does it unasked.
    """
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    for_throughput()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)


class Spent(msgspec.Struct, frozen=True):
    """
    What an append took: `seconds` of waiting, and `processor_s` of all threads of this process.
    """

    seconds: float
    processor_s: float


def append(server: Server, name: str, size: int, transaction: int = TRANSACTION_EVENTS) -> tuple[int, Spent]:
    """
    Append *size* order events by *transaction* to the fresh chain of *name*; return the seq before them, and the time.
    """
    groups = workload.first_orders("bulk", size)
    settings = WriterSettings(batch_events=transaction)
    with Ledger.open(server.dsn("writer", name), settings=settings) as ledger:
        workload.prepare(ledger)
        return ledger.head().seq, timed(ledger, groups)


def timed(ledger: Ledger, groups: list[Group]) -> Spent:
    """
    Append *groups* and return the time that it took; one that is refused or quarantined is an error.
    """
    with tuned():
        began, processor = time.perf_counter(), time.process_time()
        outcomes = ledger.append_many(groups)
        spent = Spent(time.perf_counter() - began, time.process_time() - processor)
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Receipt) or outcome.quarantined]
    if refused:
        raise RuntimeError(f"{len(refused)} of {len(groups)} were refused; the first: {refused[0]}")
    return spent


def fill(server: Server, name: str, size: int, what: str) -> int:
    """
    Append *size* order events to the fresh chain of *name* by chunks, and return the seq of its head.
    """
    groups = workload.orders("filled")
    with Ledger.open(server.dsn("writer", name)) as ledger, stage(what, size) as told:
        workload.prepare(ledger)
        for done in range(0, size, CHUNK_EVENTS):
            timed(ledger, list(itertools.islice(groups, min(CHUNK_EVENTS, size - done))))
            told(min(done + CHUNK_EVENTS, size))
        return ledger.head().seq


def append_bulk(server: Server, size: int, transaction: int = TRANSACTION_EVENTS) -> Pair:
    """
    Return events a second: order events by *transaction*, beside COPY of the same rows.
    """
    with database(server) as name:
        first, spent = append(server, name, size, transaction)
        return size / spent.seconds, size / copied(server, name, first, transaction)


def digest_share(server: Server, size: int) -> Pair:
    """
    Return what the state digest costs an append, beside the whole append, in µs of the writer's processor time.

    What the writer's batches changed is kept, and put into a digest once more by itself.
    """
    batches: list[Batch] = []

    def kept(connection: Connection, chain: int, batch: Batch, *more: Any) -> None:
        batches.append(batch)
        commit(connection, chain, batch, *more)

    commit = transaction.commit
    with database(server) as name, patch.object(transaction, "commit", kept):
        whole = append(server, name, size)[1].processor_s
    with tuned():
        began = time.process_time()
        for batch in batches:
            digest = digest_after(batch.lanes, batch.changes)
            digest.lanes(), digest.digest()
        alone = time.process_time() - began
    return alone / size * 1e6, whole / size * 1e6


def copied(server: Server, name: str, first: int, transaction: int) -> float:
    """
    Return how many seconds COPY takes for the finished rows after seq *first*, without triggers and rules.

    The tables are empty and otherwise like the real ones; transactions are of the same size.
    """
    with psycopg.connect(server.dsn("owner", name)) as connection:
        connection.execute("SET ROLE ledger_owner")
        for table in _FINISHED:
            connection.execute(f"CREATE TABLE ledger.floor_{table} (LIKE ledger.{table} INCLUDING ALL)")
        connection.commit()
        found: dict[str, list[list[bytes]]] = {}
        for table, columns in _FINISHED.items():
            query = f"SELECT {columns} FROM ledger.events WHERE chain = 1 AND seq > {first} ORDER BY seq"
            with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
                stream = b"".join(copy)
            found[table] = _by_transaction(stream, transaction)
        connection.commit()
        began = time.perf_counter()
        for rows_of in zip(*found.values(), strict=True):
            for table, rows in zip(found, rows_of, strict=True):
                into = f"COPY ledger.floor_{table} FROM STDIN (FORMAT BINARY)"
                with connection.cursor() as cursor, cursor.copy(into) as copy:
                    copy.write(events.HEADER + b"".join(rows) + events.TRAILER)
            connection.commit()
        seconds = time.perf_counter() - began
        for table in _FINISHED:
            connection.execute(f"DROP TABLE ledger.floor_{table}")
        return seconds


def _by_transaction(stream: bytes, size: int) -> list[list[bytes]]:
    """Cut a binary COPY into its rows, by *size*."""
    rows, place = [], len(events.HEADER)
    while stream[place : place + 2] != events.TRAILER:
        start, fields = place, int.from_bytes(stream[place : place + 2], "big")
        place += 2
        for _ in range(fields):
            place += 4 + max(0, int.from_bytes(stream[place : place + 4], "big", signed=True))
        rows.append(stream[start:place])
    return [rows[n : n + size] for n in range(0, len(rows), size)]


def append_callers(server: Server, callers: int, seconds: float) -> float:
    """
    Return events a second of *callers* threads, each appending one order at a time and waiting until it is durable.
    """
    with database(server) as name, Ledger.open(server.dsn("writer", name)) as ledger:
        workload.prepare(ledger)
        done = [0] * callers
        failed: list[BaseException] = []
        start, stop = threading.Barrier(callers + 1), threading.Event()

        def call(caller: int) -> None:
            start.wait()
            try:
                while not stop.is_set():
                    order = f"{caller}-{done[caller]}"
                    ledger.append(workload.placed(order), key=order)
                    done[caller] += 1
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        with tuned():
            start.wait()
            began = time.perf_counter()
            time.sleep(seconds)
            counted, took = sum(done), time.perf_counter() - began
            stop.set()
            for thread in threads:
                thread.join()
        if failed:
            raise RuntimeError(f"{len(failed)} callers failed; the first: {failed[0]}")
        return counted / took


def append_single(server: Server, count: int) -> float:
    """
    Return the median time in ms of one caller's append, durable when it returns, one after the other.
    """
    with database(server) as name, Ledger.open(server.dsn("writer", name)) as ledger:
        workload.prepare(ledger)
        times = []
        for number in range(count):
            event, key = workload.placed(f"single-{number}"), f"single-{number}"
            began = time.perf_counter()
            ledger.append(event, key=key)
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


def pgbench(server: Server, clients: int, seconds: float) -> Pair:
    """
    Return one-row inserts a second, each committed by itself, and their median time in ms.

    Rows are as large as an event's; there is no ledger.
    """
    name = f"bench_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name} OWNER ledger_owner")
    try:
        server.sql("CREATE TABLE one (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)", name)
        with tempfile.TemporaryDirectory(prefix="tl-pgbench-") as folder:
            script, log = Path(folder) / "insert.sql", Path(folder) / "log"
            script.write_text(f"INSERT INTO one (body) VALUES ('{'x' * 600}');\n")
            said = subprocess.run(
                [server.binaries / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(2, clients)),
                 "-T", str(max(1, int(seconds))), "-l", f"--log-prefix={log}", "-f", script, "-h", str(server.socket),
                 "-U", "postgres", name],
                capture_output=True, text=True, check=True, env={**os.environ, "PGOPTIONS": ""},
            ).stdout  # fmt: skip
            # A line a transaction: client, number, microseconds, and more.
            lines = [line for file in Path(folder).glob("log.*") for line in file.read_text().splitlines()]
        found = re.search(r"tps = ([0-9.]+)", said)
        if found is None:
            raise RuntimeError(f"pgbench said no rate: {said}")
        return float(found[1]), usual_ms([int(line.split()[2]) for line in lines], clients / float(found[1]))
    finally:
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def usual_ms(microseconds: Sequence[int], mean_s: float) -> float:
    """
    Return the median in ms; where the machine's clock stood still for most of them, the mean, which it can tell.
    """
    return (statistics.median(microseconds) or mean_s * 1_000_000) / 1000


def import_session(server: Server) -> tuple[int, float]:
    """
    Return how many engine events the recorded session has, and how many of them a second its import settles.
    """
    (source,) = SESSION.glob("*.events.jsonl.zst")
    (expected,) = SESSION.glob("*.expected.json")
    instruments: list[dict[str, Any]] = msgspec.json.decode(expected.read_bytes())["instruments"]
    with database(server) as name:
        dsn = server.dsn("writer", name)
        began = time.perf_counter()
        with Ledger.open(dsn, source=run.SOURCE) as ledger, Books(server.dsn("reader", name)) as books:
            report = run.import_session(ledger, books, source, instruments)
        seconds = time.perf_counter() - began
    read = sum(report.read.values())
    return read, read / seconds
