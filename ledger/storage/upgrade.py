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
from sqlalchemy import Engine, create_engine, pool

from ledger.errors import NotPermitted, SchemaVersion, SetupNeeded
from ledger.storage import database
from ledger.storage.tables import SCHEMA, metadata

OWNER: Final = "ledger_owner"
ROLES: Final = tuple(f"ledger_{role}" for role in ("owner", "writer", "publisher", "applier", "auditor", "reader"))


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
    beside = Path(__file__).parents[2] / "migrations"
    return beside if (beside / "env.py").exists() else Path(__file__).parent / "migrations"


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


def upgrade(dsn: str) -> None:
    """
    Run the migrations that the database at *dsn* has not seen; *dsn* logs in as a member of ledger_owner.

    Raises:
        SetupNeeded: a role is missing; the message has the statements that make them.
        NotPermitted: the login is not a member of the owner.
    """
    with _errors():
        with database.open_connection(dsn, "tradeledger db") as connection:
            there = {
                row[0]
                for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
            }
            if missing := [role for role in ROLES if role not in there]:
                made = " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in missing)
                raise SetupNeeded(f"the database server has no roles {', '.join(missing)}; as its superuser: {made}")
        with engine(dsn).connect() as found:
            found.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            found.commit()
            config = _config()
            config.attributes["connection"] = found
            command.upgrade(config, "head")
            found.commit()


def check(dsn: str) -> None:
    """
    Raise SchemaVersion unless the database at *dsn* has exactly the tables of this program.
    """
    with _errors(), engine(dsn).connect() as found:
        context = MigrationContext.configure(
            found, opts={"version_table_schema": SCHEMA, "include_schemas": True, "compare_type": True}
        )
        if context.get_current_revision() != database.REVISION:
            raise SchemaVersion(
                f"found schema {context.get_current_revision()}; this program needs {database.REVISION}: "
                "run `tradeledger db upgrade` with this release"
            )
        differences = compare_metadata(context, metadata)
    if differences:
        shown = "; ".join(str(difference)[:160] for difference in differences[:10])
        raise SchemaVersion(f"the database is not as its migrations made it: {shown}")
