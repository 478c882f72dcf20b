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
from sqlalchemy import CheckConstraint, Connection, Engine, PrimaryKeyConstraint, create_engine, pool
from sqlalchemy.exc import DBAPIError

from ledger.errors import NotPermitted, SchemaVersion, SetupNeeded
from ledger.storage import database
from ledger.storage.tables import SCHEMA, metadata

OWNER: Final = "ledger_owner"
_LOCK: Final = 0x7472616465  # "trade"
ROLE_NAMES: Final = ("owner", "writer", "publisher", "applier", "sealer", "auditor", "reader")
ROLES: Final = tuple(f"ledger_{role}" for role in ROLE_NAMES)


_MADE_ANEW: Final = ("snapshots", "read_model_watermarks", "balance_history", "position_history")
"""Tables that follow from the others and may be emptied."""


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


def _guards() -> Iterator[tuple[str, str]]:
    """Yield (table, trigger) of every trigger that migrations make."""
    for table in metadata.tables.values():
        if table.name in ("events", "idempotency_keys", "commits", "chains", "history_changes"):
            yield table.name, "refuse_change"
        elif table.name not in ("source_logins", *_MADE_ANEW):
            yield table.name, "refuse_delete"
    yield from (
        ("events", "check_appended"), ("chain_heads", "check_head"), ("tiles", "check_grown"),
        ("checkpoints", "check_grown"), ("checkpoints", "check_sealed"),
    )  # fmt: skip


def _guard_differences(found: Connection) -> list[str]:
    """Return what alembic does not look at: checks and primary keys that differ, triggers that do not always fire."""
    constraints = {
        (table, name)
        for table, name in found.exec_driver_sql(
            "SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype "
            "IN ('c', 'p') AND k.convalidated AND c.relnamespace = %s::regnamespace AND c.relname <> 'alembic_version'",
            (SCHEMA,),
        )
    }
    described = {
        (table.name, str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint | PrimaryKeyConstraint)
    }
    triggers = {
        (table, name)
        for table, name in found.exec_driver_sql(
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND c.relnamespace = %s::regnamespace",
            (SCHEMA,),
        )
    }
    return [
        *(f"the constraint {name} of {table} is missing" for table, name in sorted(described - constraints)),
        *(f"the constraint {name} of {table} is unknown" for table, name in sorted(constraints - described)),
        *(f"the trigger {name} of {table} is missing or off" for table, name in sorted(set(_guards()) - triggers)),
    ]


def check(dsn: str) -> None:
    """
    Raise SchemaVersion unless the database at *dsn* has exactly the tables of this program, each check and trigger on.
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
        shown = "; ".join(difference[:160] for difference in differences[:10])
        raise SchemaVersion(f"the database is not as its migrations made it: {shown}")
