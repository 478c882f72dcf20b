"""
Connect to a ledger's database to read one moment of it, and say what was wrong with the way there.

The session is read-only and sets everything that could change what is read.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from verifier.stored import Unreadable

# What ends a connection that is given up is raised, or came of an interruption; people are not told by a log as well.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
_ANSWERED: Final = re.compile(r"failed: [^:]{1,40}:  ")
"""A server's answer in any language: how grave it is, a colon and two spaces; libpq itself never says two."""
_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
_SESSION: Final = """
SET search_path = pg_catalog; SET quote_all_identifiers = off;
SET datestyle = 'ISO, YMD'; SET bytea_output = 'hex'; SET TimeZone = 'UTC';
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout',
'idle_in_transaction_session_timeout', 'idle_session_timeout', 'lock_timeout')
"""
"""
Nothing that was set for the login may change what is read; no other schema's functions may slip under ours. A server
is asked which limits of time it knows: not every version has all of them.
"""
_BY_NO_INDEX: Final = (
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;"
    "SET LOCAL enable_bitmapscan = off"
)
_AS_BEFORE: Final = re.sub(r"= (on|off)", "TO DEFAULT", _BY_NO_INDEX)


def open_connection(dsn: str, snapshot: str | None = None) -> psycopg.Connection[Any]:
    """
    Return a connection that reads one moment and writes nothing; *snapshot* names a moment that another one exported.

    Raises:
        Unreadable: the server cannot be reached.
    """
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            dsn, application_name="tradeledger-verify", connect_timeout=10, client_encoding="utf8"
        )
    except psycopg.Error as error:
        raise Unreadable(_unreached(error)) from error
    try:
        moment = "" if snapshot is None else f"SET TRANSACTION SNAPSHOT '{snapshot}';"
        connection.execute(f"{_SNAPSHOT}{moment}{_SESSION}".encode())
    except psycopg.Error as error:
        connection.close()
        raise Unreadable(f"the server did not begin to read: {first_line(error)}; look at its log") from error
    return connection


def read_by_no_index(connection: psycopg.Connection[Any]) -> None:
    """
    Have the tables of every statement that is planned from here on read from end to end, by no index.

    An index shows what it has, and no row that it lacks: one that was written while the table was said to have none, or
    whose entry was lost. Of a table that is small, or whose statistics are false, the server's planner may like an
    index better even where all rows are asked for. What is looked up, or walked in order and left early, is not for
    this: it would read all of the table each time.
    """
    connection.execute(_BY_NO_INDEX.encode())


@contextlib.contextmanager
def by_no_index(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """
    Have the tables of the statements in the block read as `read_by_no_index` says.

    A statement is planned when it is executed, and a cursor when it is declared: its rows may be fetched afterwards.
    """
    read_by_no_index(connection)
    yield
    # Where the block raises, the transaction is over, and with it what was set for it.
    connection.execute(_AS_BEFORE.encode())


def _unreached(error: psycopg.Error) -> str:
    """Return what was wrong with the way to the database: the address, what the server answered, or that none did."""
    if isinstance(error, psycopg.ProgrammingError):
        return f"the database address cannot be read: {first_line(error)}; give postgresql://auditor@host/name"
    if _ANSWERED.search(str(error)):
        return f"the server refused the auditor: {first_line(error)}; mend that, or name another database"
    return f"the server cannot be reached: {first_line(error)}; start it, or name another"


def first_line(error: Exception) -> str:
    """
    Return the first line of what an error says, for a sentence.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
