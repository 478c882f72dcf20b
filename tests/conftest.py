"""
Give tests real servers: one private PostgreSQL a worker, and a fresh, migrated database a test.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import pytest
from hypothesis import settings
from psycopg.pq.abc import PGresult

from ledger.errors import SetupNeeded
from ledger.journal.chain_creation import create_chain
from ledger.sandbox import postgres
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade

_NUMBERS = itertools.count(1)
_IN_MEMORY: Final = Path("/dev/shm")
_ROOM_BYTES: Final = 4 * 1024**3
"""What the servers of two workers take at most is half of it."""

if settings.get_current_profile_name() == "default":
    # A machine that others use too is slow now and then, which says nothing about what is tested.
    settings.register_profile("steady", deadline=None)
    settings.load_profile("steady")


class QuickServer(Server):
    """
    The same server, which is told statements by the driver: to start psql takes longer than most of them do.
    """

    def sql(self, text: str, database: str = "postgres") -> str:
        """
        Run *text* as the superuser, in one transaction, and return the rows of its results as psql shows them.
        """
        try:
            with psycopg.connect(self.dsn("postgres", database), autocommit=True) as connection:
                cursor = connection.execute(text.encode())
                rows = list(_shown(cursor.pgresult))
                while cursor.nextset():
                    rows += _shown(cursor.pgresult)
        except psycopg.Error as error:
            raise SetupNeeded(f"a statement failed: {error}") from error
        return "\n".join(rows).strip()


def _shown(result: PGresult | None) -> Iterator[str]:
    """Yield each row of one result, with | between columns."""
    if result is None:
        return
    for row in range(result.ntuples):
        cells = (result.get_value(row, column) for column in range(result.nfields))
        yield "|".join((cell or b"").decode() for cell in cells)


class Database(msgspec.Struct):
    """
    One database of the worker's server, and how each login reaches it.
    """

    server: Server
    name: str

    def dsn(self, login: str) -> str:
        return self.server.dsn(login, self.name)

    def sql(self, text: str) -> str:
        """Run SQL as the superuser: what an intruder would do."""
        return self.server.sql(text, self.name)


def copying(name: str, template: str) -> str:
    """Return the SQL that makes a database as a copy of *template*: by files, which needs no line of the log a page."""
    return f"CREATE DATABASE {name} TEMPLATE {template} OWNER ledger_owner STRATEGY file_copy"


def copy_database(server: Server, name: str, template: str) -> None:
    """Make a database called *name* as a copy of *template*, which nobody may be connected to."""
    server.sql(copying(name, template))


def pytest_configure() -> None:
    """Let children be interrupted also where a shell started the tests in the background, which ignores Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_in_memory()


def _keep_in_memory() -> None:
    """
    Have servers keep their files in memory where that has room: each of thousands of databases waits for a disk else.

    They are as durable as servers are and ask the system to write as often: only a loss of power, which no test makes,
    would tell. TMPDIR names another place.
    """
    if "TMPDIR" in os.environ or not _IN_MEMORY.is_dir() or not os.access(_IN_MEMORY, os.W_OK):
        return
    there = os.statvfs(_IN_MEMORY)
    if there.f_bavail * there.f_frsize >= _ROOM_BYTES and not there.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_IN_MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that needs a server where `make test-fast` promised that none is started."""
    if os.environ.get("LEDGER_TEST_SERVERS") == "none":
        guilty = [item.nodeid for item in items if {"pg_server", "kafka"} & set(getattr(item, "fixturenames", ()))]
        if guilty:
            raise pytest.UsageError(f"{guilty[0]} starts a server; it is no pure test: keep it out of test-fast")


def binaries() -> Path | None:
    """Return the programs of the PostgreSQL version that LEDGER_TEST_PG asks for; none: the embedded ones."""
    version = os.environ.get("LEDGER_TEST_PG", "18")
    if version == "18":
        return None
    found = postgres.installed_binaries(int(version))
    if found is None:
        raise RuntimeError(f"LEDGER_TEST_PG={version}, and there is no PostgreSQL {version} server on this machine")
    return found


@pytest.fixture(scope="session")
def pg_server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="tl-test-") as folder:
        server = QuickServer.start(Path(folder) / "server", binaries=binaries())
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def empty_database(pg_server: Server) -> Iterator[Database]:
    name = f"empty_{next(_NUMBERS)}"
    pg_server.sql(f"CREATE DATABASE {name} OWNER ledger_owner")
    try:
        yield Database(pg_server, name)
    finally:
        pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated(pg_server: Server) -> str:
    """Make one database by the migrations, and return its name: every test's database is a copy of it."""
    pg_server.sql("CREATE DATABASE migrated OWNER ledger_owner")
    upgrade.upgrade(pg_server.dsn("owner", "migrated"))
    return "migrated"


@pytest.fixture
def database(pg_server: Server, migrated: str) -> Iterator[Database]:
    name = f"test_{next(_NUMBERS)}"
    copy_database(pg_server, name, migrated)
    try:
        yield Database(pg_server, name)
    finally:
        pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


ORIGIN = "example.com/trades"


@pytest.fixture
def chain(database: Database) -> Database:
    """Return a database with one chain, whose login `writer` may append as `engine`."""
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine"), ("writer", "nautilus")])
    return database


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="tl-kafka-") as folder:
        broker = Broker.start(Path(folder))
        try:
            yield broker
        finally:
            broker.stop()
