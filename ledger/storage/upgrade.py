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
from sqlalchemy.exc import DBAPIError

from ledger import guards, surroundings
from ledger.errors import NotPermitted, SchemaVersion, SetupNeeded
from ledger.storage import database
from ledger.storage.tables import SCHEMA, metadata

OWNER: Final = "ledger_owner"
_LOCK: Final = 0x7472616465  # "trade"
ROLE_NAMES: Final = ("owner", "writer", "publisher", "applier", "sealer", "auditor", "reader")
ROLES: Final = tuple(f"ledger_{role}" for role in ROLE_NAMES)


_PAST_GRANTS: Final = ("pg_write_all_data", "pg_maintain", "pg_execute_server_program", "pg_write_server_files",
                       "pg_read_server_files", "pg_create_subscription")  # fmt: skip
_NEW_LOGIN: Final = f'CREATE ROLE "owner" LOGIN IN ROLE {OWNER};'
_LOG_IN: Final = 'log in as "owner" once that is made, with a password where the server asks for one'
_PASSED: Final = "around the schema is what lets its guards be passed, as the verifier finds"
_LISTED: Final = 10
"""How many differences are named, and the others counted."""
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


def owners_login(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    """
    Return in words whom to log in as where the owner's rights are needed, and the statement that makes it possible.

    The login of *connection* is proposed only where it has no other rights: one that may do more than the role, as a
    superuser may, is found by the verifier once it is a member.
    """
    login, has_more, other = connection.execute(
        "SELECT session_user, EXISTS (SELECT FROM pg_roles g WHERE pg_has_role(session_user, g.oid, 'MEMBER')"
        " AND (g.rolsuper OR g.rolcreaterole OR g.rolreplication OR g.rolbypassrls OR g.rolname = ANY(%s))),"
        " (SELECT min(r.rolname) FROM pg_roles r JOIN pg_roles g ON g.rolname = %s"
        "  WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER'))",
        [[*(role for role in ROLES if role != OWNER), *_PAST_GRANTS], OWNER],
    ).fetchone() or ("", False, None)
    if not has_more:
        return "use one that is", f'GRANT {OWNER} TO "{login}";'
    if other is not None:
        return f"use one that is, such as {other!r}", ""
    return f"as {login!r} may do more, {_LOG_IN}", _NEW_LOGIN


def _check_rights(connection: psycopg.Connection[Any]) -> None:
    """Raise SetupNeeded or NotPermitted, with every statement that the server's superuser must run first."""
    there = {
        row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
    }
    missing = [role for role in ROLES if role not in there]
    name, login, creates, member, owned = connection.execute(
        "SELECT current_database(), session_user,"
        " coalesce(has_database_privilege(owner.oid, current_database(), 'CREATE'), false),"
        " coalesce(pg_has_role(owner.oid, 'MEMBER'), false),"
        # A superuser's database is nobody's who could not do all with it anyway.
        " (SELECT r.rolsuper OR coalesce(pg_has_role(r.oid, owner.oid, 'MEMBER'), false)"
        "  FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database())"
        " FROM (SELECT to_regrole(%s)::oid AS oid) owner",
        [OWNER],
    ).fetchone() or ("", "", False, False, False)
    use, membership = ("", "") if member else owners_login(connection)
    statements = [f"CREATE ROLE {role} NOLOGIN;" for role in missing]
    if "ledger_auditor" in missing:
        # What the server loads in every session is shown to nobody else.
        statements.append("GRANT pg_read_all_settings TO ledger_auditor;")
    if not owned:
        statements.append(f'ALTER DATABASE "{name}" OWNER TO {OWNER};')
    elif not creates:
        statements.append(f'GRANT CREATE ON DATABASE "{name}" TO {OWNER};')
    statements += [membership] if membership else []
    to_do = f"as its superuser: {' '.join(statements)}"
    if missing:
        whom = f", and {login!r} may do more than {OWNER}: {_LOG_IN}" if membership == _NEW_LOGIN else ""
        raise SetupNeeded(f"the database server has no roles {', '.join(missing)}{whom}; {to_do}")
    if not member:
        ending = f", or {to_do}" if statements else ""
        raise NotPermitted(f"the login {login!r} is not a member of {OWNER}; {use}{ending}")
    if not owned:
        raise SetupNeeded(f"the database {name!r} is not {OWNER}'s: who owns it may drop it; {to_do}")
    if not creates and not _is_current(connection):
        raise SetupNeeded(f"{OWNER} may not make a schema in the database {name!r}; {to_do}")


def _is_current(connection: psycopg.Connection[Any]) -> bool:
    connection.execute(f"SET ROLE {OWNER}")
    if connection.execute("SELECT to_regclass('ledger.alembic_version') IS NOT NULL").fetchone() != (True,):
        return False
    return connection.execute("SELECT version_num FROM ledger.alembic_version").fetchall() == [(database.REVISION,)]


def upgrade(dsn: str) -> None:
    """
    Run the migrations that the database at *dsn* has not seen; *dsn* logs in as a member of ledger_owner.

    Raises:
        UnsafeSettings: the server could lose a commit; nothing is made there.
        SetupNeeded: a role or a right on the database is missing, or something around the schema that is to be made
            would let someone past its guards; the message has the statements that mend it.
        NotPermitted: the login is not a member of the owner; the message has the statements too.
    """
    with _errors():
        with database.open_connection(dsn, "tradeledger db") as connection:
            database.check_settings(connection)
            _check_rights(connection)
            if _is_current(connection):
                return
            # What is there already is left to `check`: here nothing is to be begun that would be called broken.
            if passed := _surroundings(connection):
                raise SetupNeeded(f"{_PASSED}: {_listed(passed)}")
        with engine(dsn).connect() as found:
            # Two programs that start on one new database at once must not both make its tables.
            found.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
            found.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            found.commit()
            config = _config()
            config.attributes["connection"] = found
            command.upgrade(config, "head")
            found.commit()


def _guard_differences(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what alembic does not look at: checks, triggers, functions, grants and whatever else is in the schema."""
    connection.execute(guards.SESSION)
    return [
        f"{name}: found {actual[:_SHOWN]}, expected {expected[:_SHOWN]}"
        for name, expected, actual in guards.differences(lambda sql: connection.execute(sql).fetchall())
    ]


def _surroundings(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what is around the schema that lets someone past its guards, and what ends each."""
    connection.execute(guards.SESSION)
    return [
        f"{name}: found {actual[:_SHOWN]}, expected {guards.NOTHING} (what ends it: {end})"
        for name, actual, end in surroundings.around(lambda sql: connection.execute(sql).fetchall())
    ]


def _listed(differences: list[str]) -> str:
    shown = "; ".join(difference[:250] for difference in differences[:_LISTED])
    return shown + (f"; and {len(differences) - _LISTED} more" if len(differences) > _LISTED else "")


def check(dsn: str) -> None:
    """
    Raise unless the database at *dsn* has exactly the tables of this program, with every guard of theirs (constraints,
    triggers that are on, the functions they call, grants), and nothing around them by which these are passed.

    Raises:
        UnsafeSettings: the server could lose a commit or change text; whatever else is wrong comes after that.
        SchemaVersion: the schema is another one.
        SetupNeeded: the schema is this program's, and something around it lets someone past its guards.
    """
    with _errors(), engine(dsn).connect() as found:
        raw = found.connection.driver_connection
        assert isinstance(raw, psycopg.Connection), "the engine's own"
        database.check_settings(raw)
        raw.commit()
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
        differences += _guard_differences(raw)
        passed = _surroundings(raw)
    if differences:
        more = f". Around it is what lets guards be passed: {_listed(passed)}" if passed else ""
        raise SchemaVersion(
            f"the database is not as its migrations made it: {_listed(differences)}. Put back what they say "
            f"(migrations/versions), as the tables' owner, and verify the ledger{more}"
        )
    if passed:
        raise SetupNeeded(f"{_PASSED}: {_listed(passed)}")
