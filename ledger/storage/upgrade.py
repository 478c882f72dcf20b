"""
Bring a database to this program's schema, and check that it is exactly that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, pool
from sqlalchemy.exc import DBAPIError

from ledger import guards
from ledger.errors import NotPermitted, SchemaVersion, SetupNeeded
from ledger.storage import database
from ledger.storage.tables import SCHEMA, metadata

OWNER: Final = "ledger_owner"
_LOCK: Final = 0x7472616465  # "trade"
ROLE_NAMES: Final = ("owner", "writer", "publisher", "applier", "sealer", "auditor", "reader")
ROLES: Final = tuple(f"ledger_{role}" for role in ROLE_NAMES)


_SHOWN: Final = 70
"""How many characters of a guard are shown, on either side: enough to tell them apart."""


def engine(dsn: str) -> Engine:
    """
    Return an engine whose connections act as the owner of the tables.
    """

    def connect() -> psycopg.Connection[Any]:
        connection = database.open_connection(dsn, "tradeledger db")
        if connection.execute("SELECT pg_has_role(%s, 'MEMBER')", [OWNER]).fetchone() != (True,):
            connection.close()
            raise NotPermitted(f"the login of this address is not a member of {OWNER}; use one that is")
        connection.execute(f"SET ROLE {OWNER}")
        connection.commit()
        return connection

    return create_engine("postgresql+psycopg://", creator=connect, poolclass=pool.NullPool)


def _scripts() -> Path:
    # An installed copy carries them in the package; a folder of that name beside site-packages would be a stranger's.
    carried = Path(__file__).parent / "migrations"
    return carried if carried.exists() else Path(__file__).parents[2] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise database.translated(error) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise database.translated(error.orig) from error
        raise


def _check_rights(connection: psycopg.Connection[Any]) -> None:
    """Raise SetupNeeded or NotPermitted, with every statement that the server's superuser must run first."""
    there = {
        row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
    }
    missing = [role for role in ROLES if role not in there]
    name, login, creates, member = connection.execute(
        "SELECT current_database(), session_user,"
        " coalesce(has_database_privilege(oid, current_database(), 'CREATE'), false),"
        " coalesce(pg_has_role(oid, 'MEMBER'), false) FROM (SELECT to_regrole(%s)::oid AS oid) owner",
        [OWNER],
    ).fetchone() or ("", "", False, False)
    statements = [f"CREATE ROLE {role} NOLOGIN;" for role in missing]
    if "ledger_auditor" in missing:
        # What the server loads in every session is shown to nobody else.
        statements.append("GRANT pg_read_all_settings TO ledger_auditor;")
    if not creates:
        statements.append(f'GRANT CREATE ON DATABASE "{name}" TO {OWNER};')
    if not member:
        statements.append(f'GRANT {OWNER} TO "{login}";')
    to_do = f"as its superuser: {' '.join(statements)}"
    if missing:
        raise SetupNeeded(f"the database server has no roles {', '.join(missing)}; {to_do}")
    if not member:
        raise NotPermitted(f"the login {login!r} is not a member of {OWNER}; use one that is, or {to_do}")
    if not creates:
        raise SetupNeeded(f"{OWNER} may not make a schema in the database {name!r}; {to_do}")


def upgrade(dsn: str) -> None:
    """
    Run the migrations that the database at *dsn* has not seen; *dsn* logs in as a member of ledger_owner.

    Raises:
        SetupNeeded: a role or a right on the database is missing; the message has the statements that make them.
        NotPermitted: the login is not a member of the owner; the message has the statements too.
    """
    with _errors():
        with database.open_connection(dsn, "tradeledger db") as connection:
            _check_rights(connection)
        with engine(dsn).connect() as found:
            # Two programs that start on one new database at once must not both make its tables.
            found.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
            found.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            found.commit()
            config = _config()
            config.attributes["connection"] = found
            command.upgrade(config, "head")
            found.commit()


def _guard_differences(found: Connection) -> list[str]:
    """Return what alembic does not look at: checks, triggers, functions, grants and whatever else is in the schema."""
    raw = found.connection.driver_connection
    assert isinstance(raw, psycopg.Connection), "the engine's own"
    raw.execute("SET search_path = pg_catalog")
    return [
        f"{name}: found {actual[:_SHOWN]}, expected {expected[:_SHOWN]}"
        for name, expected, actual in guards.differences(lambda sql: raw.execute(sql).fetchall())
    ]


def check(dsn: str) -> None:
    """
    Raise SchemaVersion unless the database at *dsn* has exactly the tables of this program, and every guard of theirs:
    constraints, triggers that are on, the functions they call, grants.
    """
    with _errors(), engine(dsn).connect() as found:
        context = MigrationContext.configure(
            found,
            opts={
                "version_table_schema": SCHEMA,
                "include_schemas": True,
                # Other schemas of the database are none of ours.
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "compare_type": True,
            },
        )
        if context.get_current_revision() != database.REVISION:
            raise SchemaVersion(
                f"found schema {context.get_current_revision()}; this program needs {database.REVISION}: "
                "run `tradeledger db upgrade` with this release"
            )
        differences = [str(difference) for difference in compare_metadata(context, metadata)]
        differences += _guard_differences(found)
    if differences:
        shown = "; ".join(difference[:250] for difference in differences[:10])
        more = f"; and {len(differences) - 10} more" if len(differences) > 10 else ""
        raise SchemaVersion(f"the database is not as its migrations made it: {shown}{more}. Put back what they say "
                            "(migrations/versions), as the tables' owner, and verify the ledger")  # fmt: skip
