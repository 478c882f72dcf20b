"""
Check that a database becomes, and is, exactly what this program was written for.
"""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from ledger.errors import SchemaVersion, SetupNeeded, UnsafeSettings
from ledger.storage import chains, upgrade
from ledger.storage import database as db
from tests.conftest import Database
from tests.storage.test_storage import CHAIN_ID

ROOT = Path(__file__).parents[2]


def test_the_program_expects_the_newest_migration() -> None:
    """One place names the schema that the program was written for; the other is the chain of migrations."""
    assert ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head() == db.REVISION


def test_programs_that_start_at_once_upgrade_once(empty_database: Database) -> None:
    """Four upgrades of one new database: all succeed, one does the work."""
    dsn = empty_database.dsn("owner")
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(upgrade.upgrade, dsn) for _ in range(4)]:
            done.result()
    upgrade.check(dsn)


def test_a_current_schema_needs_no_right_to_make_one(database: Database) -> None:
    """In a database of the superuser's, which the check and a chain's creation take as well."""
    database.sql(f"ALTER DATABASE {database.name} OWNER TO postgres")
    upgrade.upgrade(database.dsn("owner"))
    upgrade.check(database.dsn("owner"))
    database.sql("DELETE FROM ledger.alembic_version")
    with pytest.raises(SetupNeeded, match="may not make a schema"):
        upgrade.upgrade(database.dsn("owner"))


def test_upgrading_again_changes_nothing(database: Database) -> None:
    """What is there stays there."""
    dsn = database.dsn("owner")
    with psycopg.connect(dsn) as owner:
        owner.execute("SET ROLE ledger_owner")
        chains.create(owner, CHAIN_ID, "example.com/a", bytes(32), "primary")
    upgrade.upgrade(dsn)
    with db.connect(dsn, "test") as owner:
        assert [chain.origin for chain in chains.all_chains(owner)] == ["example.com/a"]


@pytest.mark.parametrize(
    ("done", "seen"),
    [
        ("ALTER TABLE ledger.balances DROP CONSTRAINT balances_held_not_negative", "held_not_negative: found nothing"),
        (
            "ALTER TABLE ledger.events ADD CONSTRAINT odd CHECK (seq < 5)",
            "constraint events.odd: found CHECK .*, expected nothing",
        ),
        ("ALTER TABLE ledger.events DISABLE TRIGGER refuse_change", "trigger events.refuse_change: found D"),
        ("ALTER TABLE ledger.events ENABLE TRIGGER refuse_change", "trigger events.refuse_change: found O"),
        ("DROP TRIGGER check_appended ON ledger.events", "trigger events.check_appended: found nothing"),
        ("DROP TRIGGER refuse_delete ON ledger.orders", "trigger orders.refuse_delete: found nothing"),
        ("DROP TRIGGER check_balanced_new ON ledger.balances", "trigger balances.check_balanced_new: found nothing"),
        ("GRANT UPDATE ON ledger.events TO ledger_reader", "grant ledger_reader UPDATE events: found granted"),
        (
            "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = "
            "pg_catalog, pg_temp AS $$ BEGIN RETURN NEW; END $$",
            r"function refuse_change\(\): found",
        ),
        (
            "ALTER TABLE ledger.orders DROP CONSTRAINT orders_cum_qty_in_range, "
            "ADD CONSTRAINT orders_cum_qty_in_range CHECK (true)",
            "constraint orders.orders_cum_qty_in_range: found CHECK .true",
        ),
        ("DROP INDEX ledger.executions_ref", "executions_ref"),
        ("ALTER TABLE ledger.orders ALTER COLUMN qty TYPE double precision", "qty"),
        ("ALTER TABLE ledger.orders ALTER COLUMN side DROP NOT NULL", "side"),
        ("ALTER TABLE ledger.chain_heads DROP CONSTRAINT chain_heads_chain_fkey", "chain"),
        (
            "ALTER TABLE ledger.source_logins DROP CONSTRAINT source_logins_pkey",
            "constraint source_logins.source_logins_pkey: found nothing",
        ),
        ("CREATE TABLE ledger.extra (x int)", "extra"),
    ],
)
def test_check_names_what_was_changed_behind_the_migrations_back(database: Database, done: str, seen: str) -> None:
    """A guard that was taken away is as much a difference as a column."""
    database.sql(done)
    with pytest.raises(SchemaVersion, match=seen):
        upgrade.check(database.dsn("owner"))


def test_other_schemas_of_the_database_are_none_of_ours(database: Database) -> None:
    """An operator's own tables beside the ledger are no difference."""
    database.sql("CREATE SCHEMA theirs; CREATE TABLE theirs.anything (x int); CREATE TABLE public.more (x int)")
    upgrade.check(database.dsn("owner"))


def test_check_asks_for_the_upgrade_first(empty_database: Database) -> None:
    """An empty database has no differences worth listing."""
    with pytest.raises(SchemaVersion, match="db upgrade"):
        upgrade.check(empty_database.dsn("owner"))


def test_missing_roles_are_named_with_the_statements_that_make_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner cannot make roles, so the message has what the superuser must run."""
    monkeypatch.setattr(upgrade, "ROLES", ("ledger_owner", "ledger_absent"))
    with pytest.raises(SetupNeeded, match="CREATE ROLE ledger_absent NOLOGIN"):
        upgrade.upgrade(database.dsn("owner"))


def test_every_unsafe_setting_is_named_at_once(database: Database) -> None:
    """A server that may lose what it confirmed, holding text that is not Unicode: each fault is in the message."""
    name = f"{database.name}_ascii"
    database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'")
    try:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            database.sql(f"ALTER SYSTEM SET {setting} = off")
        database.sql("SELECT pg_reload_conf()")
        while database.sql("SHOW fsync") != "off":  # The server reads its settings again a moment after it was told.
            time.sleep(0.02)
        with pytest.raises(UnsafeSettings) as refused:
            db.connect(database.server.dsn("owner", name), "test")
        for part in ("fsync is 'off'", "full_page_writes is 'off'", "synchronous_commit is 'off'", "is 'SQL_ASCII'"):
            assert part in str(refused.value)
    finally:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            database.sql(f"ALTER SYSTEM RESET {setting}")
        database.sql("SELECT pg_reload_conf()")
        database.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_installed_copy_carries_its_migrations(tmp_path: Path) -> None:
    """The package that is shipped has every migration, where `upgrade` looks first."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ledger/storage/migrations/")}
    shipped = {
        f"ledger/storage/migrations/{path.relative_to(ROOT / 'migrations')}"
        for path in (ROOT / "migrations").rglob("*")
        if path.suffix in (".py", ".sql", ".mako")
    }
    assert carried >= shipped
    assert shipped
