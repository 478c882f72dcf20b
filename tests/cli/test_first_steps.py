"""
Set a database up as told, by the logins that there are on a new server, and see that the verifier finds it whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.errors import SchemaVersion, SetupNeeded
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade
from tests.commands import run, tradeledger
from tests.conftest import ORIGIN, Database, QuickServer, binaries


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server without one of the ledger's roles, on which the superuser `postgres` is the only login."""
    server = QuickServer.start(tmp_path_factory.mktemp("bare") / "server", binaries=binaries())
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def new(bare: Server) -> Iterator[Database]:
    """Yield a database of the superuser's on it."""
    bare.sql("DROP DATABASE IF EXISTS ledger")
    logins = bare.sql("SELECT rolname FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'").splitlines()
    for login in logins:
        bare.sql(f'DROP ROLE "{login}"')
    bare.sql("CREATE DATABASE books")
    try:
        yield Database(bare, "books")
    finally:
        bare.sql("DROP DATABASE books WITH (FORCE)")


def statements(database: Database, login: str) -> str:
    """Return what `db upgrade` at the address of *login* says that the superuser must run."""
    done = tradeledger("db", "upgrade", LEDGER_DSN=database.dsn(login))
    assert done.returncode in (5, 8), done.stderr
    _, marker, found = done.stderr.strip().partition("as its superuser: ")
    assert marker
    return found


def set_up(database: Database, login: str, keys: Path) -> None:
    """Go on from there as README does, with *login* as the owner's, and see that all agree that it is whole."""
    database.sql(
        "CREATE ROLE engine_login LOGIN IN ROLE ledger_writer; CREATE ROLE auditor LOGIN IN ROLE ledger_auditor"
    )
    owner = {"LEDGER_DSN": database.dsn(login)}
    for command in (("db", "upgrade"), ("init", "--origin", ORIGIN, "--writer", "engine_login", "--keys", keys),
                    ("db", "check")):  # fmt: skip
        done = tradeledger(*command, **owner)
        assert done.returncode == 0, done.stderr
    done = run("verifier", "full", LEDGER_DSN=database.dsn("auditor"))
    assert done.returncode == 0, done.stdout


def test_what_a_superuser_is_told_to_run_makes_a_ledger_that_is_whole(new: Database, tmp_path: Path) -> None:
    """No role is given to the superuser, who needs none; a login is made for the owner."""
    told = statements(new, "postgres")
    assert "GRANT ledger_owner" not in told
    assert 'CREATE ROLE "owner" LOGIN IN ROLE ledger_owner;' in told
    new.sql(told)
    set_up(new, "owner", tmp_path / "keys")


def test_a_superuser_may_go_on_with_its_own_login(new: Database, tmp_path: Path) -> None:
    new.sql(statements(new, "postgres"))
    set_up(new, "postgres", tmp_path / "keys")


def test_a_database_of_a_login_of_its_own_becomes_the_owners(new: Database, tmp_path: Path) -> None:
    """As hosts make one: its login may then make the ledger, and what is made is whole."""
    new.sql("CREATE ROLE appdba LOGIN; ALTER DATABASE books OWNER TO appdba")
    told = statements(new, "appdba")
    assert 'ALTER DATABASE "books" OWNER TO ledger_owner;' in told
    new.sql(told)
    set_up(new, "appdba", tmp_path / "keys")


def test_a_strangers_database_is_refused_where_the_roles_are_there(new: Database, tmp_path: Path) -> None:
    new.sql(statements(new, "postgres"))
    new.sql("CREATE ROLE appdba LOGIN; ALTER DATABASE books OWNER TO appdba")
    told = statements(new, "owner")
    assert told == 'ALTER DATABASE "books" OWNER TO ledger_owner;'
    new.sql(told)
    set_up(new, "owner", tmp_path / "keys")


def test_a_login_that_may_more_is_not_made_a_member(new: Database, tmp_path: Path) -> None:
    """One that makes roles, as administrators on hosts do: another login is made for the owner."""
    new.sql("CREATE ROLE host LOGIN CREATEROLE")
    told = statements(new, "host")
    assert 'TO "host"' not in told
    new.sql(told)
    assert tradeledger("db", "upgrade", LEDGER_DSN=new.dsn("host")).returncode == 8
    set_up(new, "owner", tmp_path / "keys")


AROUND = [
    ("GRANT ledger_owner TO postgres", "role postgres: found superuser", "REVOKE ledger_owner FROM postgres"),
    ("ALTER ROLE ledger_owner SUPERUSER", "role ledger_owner: found superuser", "ALTER ROLE ledger_owner NOLOGIN"),
    ("CREATE ROLE odd LOGIN IN ROLE ledger_owner, ledger_writer", "role odd: found is several", "REVOKE ledger_writer"),
    ("CREATE ROLE odd; GRANT pg_write_all_data TO odd", "role odd: found is a member of", "REVOKE pg_write_all_data"),
    ("ALTER DATABASE books SET session_replication_role = replica", "setting of every role in books: found",
     "ALTER DATABASE books RESET"),
    ("ALTER ROLE owner IN DATABASE books SET search_path = public", "setting of owner in books: found search_path=",
     "ALTER ROLE owner IN DATABASE books RESET"),
    ("ALTER ROLE owner SET row_security = off", "setting of owner in every database: found row_security=",
     "ALTER ROLE owner RESET"),
    ("CREATE FUNCTION public.off() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "function public.off()",
     "ALTER ROUTINE public.off() SECURITY INVOKER, or DROP ROUTINE"),
    ("GRANT SET ON PARAMETER session_replication_role TO ledger_writer", "right to set session_replication_role:",
     "REVOKE ALL ON PARAMETER session_replication_role FROM ledger_writer"),
    ("CREATE FUNCTION public.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER"
     " watching ON ddl_command_end EXECUTE FUNCTION public.seen()", "event trigger watching: found O",
     "DROP EVENT TRIGGER watching"),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner GRANT ALL ON TABLES TO PUBLIC",
     "default privileges of ledger_owner: found {", "ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner"),
]  # fmt: skip
UNDONE = (
    "REVOKE ledger_owner FROM postgres; ALTER ROLE ledger_owner NOSUPERUSER; DROP ROLE IF EXISTS odd; ALTER ROLE owner"
    " RESET ALL; REVOKE ALL ON PARAMETER session_replication_role FROM ledger_writer; ALTER DATABASE books RESET ALL;"
    " ALTER ROLE owner IN DATABASE books RESET ALL; DROP EVENT TRIGGER IF EXISTS watching; ALTER DEFAULT PRIVILEGES FOR"
    " ROLE ledger_owner REVOKE ALL ON TABLES FROM PUBLIC"
)


@pytest.mark.parametrize(("done", "found", "end"), AROUND, ids=range(len(AROUND)))
def test_what_the_verifier_would_call_broken_is_said_before_anything_is_begun(
    new: Database, tmp_path: Path, done: str, found: str, end: str
) -> None:
    """By `db upgrade` before it makes a table, by `db check` and `init` before a chain, each with what ends it."""
    new.sql(statements(new, "postgres"))
    owner, superuser = {"LEDGER_DSN": new.dsn("owner")}, new.dsn("postgres")
    try:
        new.sql(done)
        told = tradeledger("db", "upgrade", **owner)
        assert (told.returncode, found in told.stderr, end in told.stderr) == (5, True, True), told.stderr
        assert new.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'") == "0"
        new.sql(UNDONE + "; DROP FUNCTION IF EXISTS public.off()")
        new.sql("CREATE ROLE writer LOGIN IN ROLE ledger_writer")
        assert tradeledger("db", "upgrade", **owner).returncode == 0
        new.sql(done.replace("CREATE FUNCTION public.seen()", "CREATE OR REPLACE FUNCTION public.seen()"))
        for command in (("db", "check"), ("init", "--origin", ORIGIN, "--keys", tmp_path / "keys")):
            told = tradeledger(*command, **owner)
            assert (told.returncode, found in told.stderr, end in told.stderr) == (5, True, True), told.stderr
        assert not (tmp_path / "keys").exists()
        with psycopg.connect(superuser) as connection:
            assert connection.execute("SELECT count(*) FROM ledger.chains").fetchone() == (0,)
        with pytest.raises(SetupNeeded):
            upgrade.check(new.dsn("owner"))
        new.sql("ALTER TABLE ledger.events DISABLE TRIGGER refuse_change")
        with pytest.raises(SchemaVersion, match=r"trigger events\.refuse_change.*Around it"):
            upgrade.check(new.dsn("owner"))
    finally:
        new.sql(UNDONE)
