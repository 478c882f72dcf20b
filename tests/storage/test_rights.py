"""
Walk the table of rights for real: every role tries every verb on every object, and is let or refused as written here.

What is written here is what each program needs and nothing else. `refused` is PostgreSQL's answer to a missing grant;
`guarded` that of a trigger, which stops also the owner. An attempt that is let may still fail for another reason (a
row without its values); it is taken back in any case.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ledger.domain.rows import TABLES
from ledger.errors import NotPermitted
from ledger.storage import database as db
from tests.conftest import Database

LOGINS = ("owner", "writer", "publisher", "applier", "sealer", "auditor", "reader")
READ_MODELS = tuple(TABLES)
HISTORY = ("events", "idempotency_keys", "commits", "chains", "history_changes")
STATE = ("chain_heads", "state_digests", "acknowledgements", "replica_state", "tiles", "checkpoints")
FREE = ("source_logins", "alembic_version")
EMPTIED = ("snapshots", "balance_history", "position_history")
KEPT = (*EMPTIED, "read_model_watermarks")
EVERY = (*READ_MODELS, *HISTORY, *STATE, *FREE, *KEPT)

SELECT = dict.fromkeys(LOGINS, EVERY) | {
    "publisher": ("chains", "chain_heads", "commits", "events", "chain_keys", "acknowledgements", "state_digests",
                  "alembic_version"),
    "sealer": ("chains", "chain_heads", "events", "chain_keys", "tiles", "checkpoints", "alembic_version"),
}  # fmt: skip
INSERT: dict[str, tuple[str, ...]] = {
    "owner": EVERY,
    "writer": (*READ_MODELS, *KEPT, "events", "idempotency_keys", "commits"),
    "publisher": ("acknowledgements",),
    "applier": (*READ_MODELS, *KEPT, "events", "idempotency_keys", "commits", "chains", "chain_heads",
                "state_digests", "replica_state"),
    "sealer": ("tiles", "checkpoints"),
}  # fmt: skip
CHANGING = tuple(table for table in READ_MODELS if table != "closed_periods")
"""What may change: a closed period stays as it was closed."""
UPDATE: dict[str, dict[str, tuple[str, ...]]] = {
    # By table, the columns; () stands for all of them.
    "owner": dict.fromkeys((*CHANGING, *STATE, *FREE, *KEPT), ()),
    "writer": dict.fromkeys((*CHANGING, "read_model_watermarks"), ()) | {
        "chain_heads": ("seq", "hash", "recorded_at", "epoch"), "state_digests": ("seq", "lanes"),
    },
    "publisher": {"acknowledgements": ()},
    "applier": dict.fromkeys((*CHANGING, "replica_state", "read_model_watermarks"), ()) | {
        "chain_heads": ("seq", "hash", "recorded_at", "epoch"), "state_digests": ("seq", "lanes"),
    },
    "sealer": {"tiles": ("hashes",), "checkpoints": ("note",)},
}  # fmt: skip
FUNCTIONS = {
    "ledger.refuse_change()": "SELECT ledger.refuse_change()",
    "ledger.check_appended()": "SELECT ledger.check_appended()",
    "ledger.check_head()": "SELECT ledger.check_head()",
    "ledger.check_keys()": "SELECT ledger.check_keys()",
    "ledger.check_closed()": "SELECT ledger.check_closed()",
    "ledger.check_committed()": "SELECT ledger.check_committed()",
    "ledger.check_balanced()": "SELECT ledger.check_balanced()",
    "ledger.check_grown()": "SELECT ledger.check_grown()",
    "ledger.check_sealed()": "SELECT ledger.check_sealed()",
    "ledger.restore_events(smallint,ledger.events[],tid[],text)": (
        "SELECT ledger.restore_events(1::smallint, '{}'::ledger.events[], '{}'::tid[], 'a reason')"
    ),
}
APPENDING = {
    "ledger.put_rows(text[],integer[],integer[],text[])": "SELECT ledger.put_rows('{}', '{}', '{}', '{}')",
    **{f"ledger.put_{table}(text[],text[])": f"SELECT ledger.put_{table}('{{}}', '{{}}')" for table in READ_MODELS},
    "ledger.append(smallint,xid,bigint,bytea,integer,bigint,bytea,bigint,bigint,bigint,bigint,ledger.events[],"
    "ledger.idempotency_keys[],text[],integer[],integer[],text[],bytea,bytea)":
        f"SELECT ledger.append({', '.join(['NULL'] * 19)})",
}  # fmt: skip
"""What a writer's transactions call; what it does there it has to have the right to do."""
OWNER_ONLY = {
    "create a table": "CREATE TABLE ledger.mine (n int)",
    "create a function": "CREATE FUNCTION ledger.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "take a number of the sequence": "SELECT nextval('ledger.history_changes_change_seq')",
    "read the sequence": "SELECT * FROM ledger.history_changes_change_seq",
    "set the sequence": "SELECT setval('ledger.history_changes_change_seq', 99)",
    "drop a table": "DROP TABLE ledger.movements",
    "switch triggers off": "ALTER TABLE ledger.events DISABLE TRIGGER USER",
    "add a column": "ALTER TABLE ledger.events ADD COLUMN n int",
    "add a trigger": "CREATE TRIGGER t BEFORE INSERT ON ledger.events EXECUTE FUNCTION ledger.refuse_change()",
    "drop a function": "DROP FUNCTION ledger.restore_events",
    "take the owner's role": "SET ROLE ledger_owner",
    "own a table": "ALTER TABLE ledger.events OWNER TO ledger_owner",
    "drop the schema": "DROP SCHEMA ledger CASCADE",
}
SUPERUSER_ONLY = {
    "pretend to replicate": "SET session_replication_role = replica",
    "switch all triggers off": "ALTER TABLE ledger.chain_heads DISABLE TRIGGER ALL",
    "make a superuser": "CREATE ROLE mallory SUPERUSER",
    "run a program": "COPY ledger.events TO PROGRAM 'true'",
    "read a file": "COPY ledger.source_logins FROM '/etc/passwd'",
}


@pytest.fixture(params=LOGINS)
def session(request: pytest.FixtureRequest, database: Database) -> Iterator[tuple[str, psycopg.Connection[object]]]:
    with psycopg.connect(database.dsn(request.param), autocommit=True) as connection:
        yield request.param, connection


def answer(connection: psycopg.Connection[object], statement: str) -> str:
    """Try *statement* and take it back; return what became of it."""
    connection.execute("BEGIN")
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        if isinstance(db.translated(error), NotPermitted):
            return "guarded" if error.sqlstate == "TL002" and "append-only" in str(error) else "refused"
        return "let"
    else:
        return "let"
    finally:
        connection.execute("ROLLBACK")


def test_every_role_may_do_to_every_table_what_is_written_here(
    session: tuple[str, psycopg.Connection[object]], database: Database
) -> None:
    """SELECT, INSERT, UPDATE as a whole and column by column, DELETE and TRUNCATE, each one tried."""
    login, connection = session
    there = database.sql("SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'")
    assert set(there.splitlines()) == set(EVERY), "a table without rights written here"
    wrong = []
    for table in EVERY:
        found = database.sql(
            f"SELECT attname FROM pg_attribute WHERE attrelid = 'ledger.{table}'::regclass AND attnum > 0"
        ).splitlines()
        may = UPDATE.get(login, {}).get(table)
        changed = "guarded" if login == "owner" else "refused"
        gone = "refused" if login != "owner" else "let" if table in (*FREE, *KEPT) else "guarded"
        keeper = login in ("writer", "applier") and table in EMPTIED
        expected = {
            f"SELECT FROM ledger.{table}": "let" if table in SELECT[login] else "refused",
            f"INSERT INTO ledger.{table} DEFAULT VALUES": "let" if table in INSERT.get(login, ()) else "refused",
            f"UPDATE ledger.{table} SET {', '.join(f'{x} = NULL' for x in found)}": "let" if may == () else changed,
            f"DELETE FROM ledger.{table}": "let" if keeper else gone,
            f"TRUNCATE ledger.{table} CASCADE": gone,
        }  # fmt: skip
        for name in found:
            let = may is not None and (may == () or name in may)
            expected[f'UPDATE ledger.{table} SET "{name}" = NULL'] = "let" if let else changed
        wrong += [
            (statement, outcome, said)
            for statement, outcome in expected.items()
            if (said := answer(connection, statement)) != outcome
        ]
    assert wrong == []


def test_only_the_owner_may_change_what_there_is(
    session: tuple[str, psycopg.Connection[object]], database: Database
) -> None:
    """Functions, the sequence, the schema and its guards; and what only a superuser may, no role of the ledger may."""
    login, connection = session
    there = database.sql("SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace")
    assert set(there.splitlines()) == {*FUNCTIONS, *APPENDING}, "a function without rights written here"
    for statement in APPENDING.values():
        assert answer(connection, statement) == ("let" if login in ("owner", "writer") else "refused"), statement
    owner = "let" if login == "owner" else "refused"
    for statement in (*FUNCTIONS.values(), *OWNER_ONLY.values()):
        assert answer(connection, statement) == owner, statement
    for statement in SUPERUSER_ONLY.values():
        assert answer(connection, statement) == "refused", statement
    # A grant by someone who may not give it is a warning and no error: what counts is that nothing came of it.
    connection.execute("BEGIN")
    connection.execute("GRANT UPDATE ON ledger.events TO ledger_reader")
    given = connection.execute("SELECT has_table_privilege('ledger_reader', 'ledger.events', 'UPDATE')").fetchone()
    connection.execute("ROLLBACK")
    assert given == (login == "owner",)


def test_no_role_is_more_than_its_own(database: Database) -> None:
    """No role logs in, no login is a superuser or makes roles, each is of one role, the auditor sees settings."""
    found = database.sql(
        "SELECT r.rolname, r.rolcanlogin, r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR "
        "r.rolbypassrls, (SELECT string_agg(pg_get_userbyid(roleid), ',') FROM pg_auth_members WHERE member = r.oid) "
        "FROM pg_roles r WHERE rolname !~ '^(pg_|postgres)' ORDER BY 1"
    )
    # Which libraries the server loads in every session is shown to whoever may see all settings alone.
    more = {"auditor": "pg_read_all_settings"}
    expected = [f"ledger_{name}|f|f|{more.get(name, '')}" for name in LOGINS]
    expected += [f"{name}|t|f|ledger_{name}" for name in LOGINS]
    assert sorted(found.splitlines()) == sorted(expected)
