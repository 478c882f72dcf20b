"""
Open connections to a PostgreSQL that keeps what it commits, and say what went wrong in the ledger's own errors.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from ledger.errors import (
    Corrupt,
    DatabaseDown,
    InvalidInput,
    LedgerError,
    NotPermitted,
    NotPrimary,
    PeriodIsClosed,
    SchemaVersion,
    SequenceGap,
    SetupNeeded,
    StateMismatch,
    StorageFull,
    UnsafeSettings,
)
from ledger.storage import refusals

# What ends a pipeline of the driver's own is raised, and said by `translated`; its log would say it to people as well.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
_IN_NO_ADDRESS: Final = re.compile("[\0\ud800-\udfff]")
Connection = psycopg.Connection[Any]
DriverError = psycopg.Error
"""What the driver raises; `translated` says it in the ledger's words."""
REVISION: Final = "0001"
"""The migration this program was written for."""

OLDEST_VERSION: Final = 150_000
CONNECT_TIMEOUT_S: Final = 10

_NO_DATABASE: Final = re.compile(r'FATAL:  database "(.+)" does not exist')
_REFUSED: Final = re.compile(
    r"no password supplied|FATAL:  (.* authentication failed|role \".+\" (does not exist|is not permitted to log in)|"
    "no pg_hba.conf entry|pg_hba.conf rejects|permission denied for database)"
)
"""Known without another try; what a server says otherwise, or in another language, is known by its SQLSTATE."""
_STATE_NO_DATABASE: Final = "3D000"
_STATES_REFUSED: Final = ("28000", "28P01", "42501")
"""No such login, or none that may come here; a wrong password; no right to connect."""
_UNRESOLVED: Final = re.compile(r"failed to resolve host (.+): \[Errno (-?\d+)\]")
_NO_SUCH_HOST: Final = (socket.EAI_NONAME, socket.EAI_NODATA)
"""What says that there is no such name; other errors mean that nobody could be asked."""
_SAFE: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    "data_checksums": ("on",),
    "server_encoding": ("UTF8",),
}


def open_connection(dsn: str, application: str) -> psycopg.Connection[Any]:
    """
    Return a connection to *dsn* as it is, nothing checked.

    Raises:
        InvalidInput: *dsn* is no address, or names a host that there is not.
        SetupNeeded: the server has no such database.
        NotPermitted: it does not let the login in.
        DatabaseDown: it cannot be reached.
    """
    # An address may have a password in it, so that none of it is shown.
    if not isinstance(dsn, str):
        raise InvalidInput(f"found a {type(dsn).__name__} as the database address; give postgresql://login@host/name")
    if (strange := _IN_NO_ADDRESS.search(dsn)) is not None:
        raise InvalidInput(f"found U+{ord(strange[0]):04X} at place {strange.start() + 1} of the database address, "
                           "which can have none; give postgresql://login@host/name")  # fmt: skip
    try:
        return psycopg.connect(
            dsn,
            application_name=application,
            connect_timeout=CONNECT_TIMEOUT_S,
            # Events go in as UTF-8 bytes: under another client encoding the server would convert them on the way.
            client_encoding="UTF8",
        )
    except psycopg.ProgrammingError as error:
        said = str(error).strip()
        raise InvalidInput(f"the database address cannot be read: {said}; give postgresql://login@host/name") from error
    except UnicodeError as error:
        host = psycopg.conninfo.conninfo_to_dict(dsn).get("host")
        raise InvalidInput(f"no host {host!r} is known, nor can one have that name; correct the address") from error
    except psycopg.OperationalError as error:
        raise _unconnected(error, dsn) from error


def _unconnected(error: psycopg.OperationalError, dsn: str) -> LedgerError:
    """Return what to do where no connection was made: most of what a server refuses stays so until it is mended."""
    message = (str(error).strip().splitlines() or [type(error).__name__])[0]
    missing = _NO_DATABASE.search(message)
    is_refused = _REFUSED.search(message) is not None
    known = missing is not None or is_refused or not refusals.is_answer(message)
    state = None if known else refusals.sqlstate(dsn, CONNECT_TIMEOUT_S)
    if missing is not None or state == _STATE_NO_DATABASE:
        name = missing[1] if missing is not None else error.pgconn.db.decode(errors="replace") if error.pgconn else ""
        return SetupNeeded(
            f"the database {name!r} does not exist; name another, or let the server's superuser run: "
            f'CREATE DATABASE "{name}" OWNER ledger_owner;'
        )
    if is_refused or state in _STATES_REFUSED:
        return NotPermitted(
            f"PostgreSQL refused the login: {message}; name a login that it lets in, with its password, or let the "
            "server's superuser make it one (docs/ROLES.md)"
        )
    unresolved = _UNRESOLVED.search(message)
    if unresolved is not None and int(unresolved[2]) in _NO_SUCH_HOST:
        return InvalidInput(f"no host {unresolved[1]} is known; correct the address of the database")
    return translated(error)


def connect(dsn: str, application: str) -> psycopg.Connection[Any]:
    """
    Return a connection to a database of this program's schema, on a server that is safe to commit to.

    Raises:
        UnsafeSettings: the server could lose a commit; every such setting is named.
        SchemaVersion: the database is of another version, or empty.
        DatabaseDown: it cannot be reached.
        InvalidInput, SetupNeeded, NotPermitted: as `open_connection`.
    """
    connection = open_connection(dsn, application)
    try:
        check_settings(connection)
        check_version(connection)
        connection.commit()
    except psycopg.Error as error:
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def check_settings(connection: psycopg.Connection[Any]) -> None:
    """
    Raise UnsafeSettings, naming every setting under which a commit could be lost or text could change.
    """
    found = dict(
        connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_SAFE)]).fetchall()
    )
    wrong = [
        f"{name} is {found.get(name)!r}, expected {' or '.join(map(repr, expected[:1]))}"
        for name, expected in _SAFE.items()
        if found.get(name) not in expected
    ]
    if connection.info.server_version < OLDEST_VERSION:
        wrong.append(f"the server is version {connection.info.server_version // 10_000}, expected 15 or newer")
    if wrong:
        enabling = found.get("data_checksums") not in _SAFE["data_checksums"]
        step = "; stop the server and run pg_checksums --enable -D with its data folder" if enabling else ""
        raise UnsafeSettings(f"this PostgreSQL is not safe for a ledger: {'; '.join(wrong)}{step}")


def check_version(connection: psycopg.Connection[Any]) -> None:
    """
    Raise SchemaVersion unless the database has this program's schema.
    """
    there = connection.execute("SELECT to_regclass('ledger.alembic_version') IS NOT NULL").fetchone()
    if there != (True,):
        raise SchemaVersion("the database has no ledger yet; run `tradeledger db upgrade` as its owner")
    row = connection.execute("SELECT version_num FROM ledger.alembic_version").fetchone()
    if row is None or row[0] != REVISION:
        raise SchemaVersion(
            f"the database has schema {row[0] if row else 'none'}; this program needs {REVISION}: "
            "run `tradeledger db upgrade`, or use the release that fits"
        )


def check_role(connection: psycopg.Connection[Any], role: str) -> None:
    """
    Raise NotPermitted unless the login of *connection* has *role*, such as ledger_publisher.
    """
    row = connection.execute("SELECT session_user, pg_has_role(session_user, %s, 'MEMBER')", [role]).fetchone()
    connection.rollback()
    if row is None or not row[1]:
        raise NotPermitted(f"login {row[0] if row else ''} does not have the role {role}: connect as one that has it")


def place(connection: psycopg.Connection[Any]) -> tuple[object, ...]:
    """
    Return which database of which running server *connection* is to, whatever address and login it was named by.
    """
    found = connection.execute(
        "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    return found or ()


@contextlib.contextmanager
def translating() -> Iterator[None]:
    """
    Say what the driver raises inside in the ledger's words.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error


def is_lost(error: BaseException) -> bool:
    """
    Return whether *error* means that the connection, not the statement, failed.
    """
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(
        error, psycopg.errors.DiskFull
    )


def is_taken(error: BaseException) -> bool:
    """
    Return whether *error* means that a key which should be new is there already.
    """
    return isinstance(error, psycopg.errors.UniqueViolation)


_BY_STATE: Final[dict[str, type[LedgerError]]] = {
    "TL001": NotPrimary, "TL002": NotPermitted, "TL003": SequenceGap, "TL004": NotPermitted, "TL005": PeriodIsClosed,
    "TL006": StateMismatch, "42501": NotPermitted,
    "25006": NotPrimary, "53100": StorageFull, "XX001": Corrupt, "XX002": Corrupt,
}  # fmt: skip


_ROLES: Final = (
    "let the superuser grant it the one that it needs: ledger_writer to append, ledger_reader to read, ledger_auditor "
    "to verify (docs/ROLES.md)"
)


def is_of_what_was_given(error: psycopg.Error) -> bool:
    """
    Return whether *error* may be for one of several requests: a value, a constraint or a guard refused it. Of a session
    that may not write, a right that was taken away or a disk that is full, every request has the same.
    """
    return error.sqlstate is None or error.sqlstate[:2] in ("22", "23", "54", "P0", "TL")


def translated(error: psycopg.Error) -> LedgerError:
    """
    Return the ledger's error for one of the driver's, by what the caller should do about it.
    """
    said = str(error).strip().splitlines()
    message = said[0] if said else type(error).__name__
    state = error.sqlstate
    if state == "42501" and message.endswith("schema ledger"):
        return NotPermitted(f"PostgreSQL refused: {message}: the login has no role in this ledger; {_ROLES}")
    if state in _BY_STATE:
        return _BY_STATE[state](f"PostgreSQL refused: {message}")
    if state is None and isinstance(error, psycopg.DataError):
        return InvalidInput(f"PostgreSQL cannot hold a value that was given: {message}; change it")
    if state is None or state[:2] in ("08", "53", "57", "58", "XX") or isinstance(error, psycopg.OperationalError):
        return DatabaseDown(f"PostgreSQL cannot be used now: {message}; try again, and an append with the same key")
    if state.startswith("23"):
        return StateMismatch(f"PostgreSQL's own check refused what the rules allowed: {message}; verify the ledger")
    return Corrupt(f"PostgreSQL answered what nobody expected ({state}): {message}")
