"""
Intrude in more than one place at once: several chains, edits that agree with each other, values none could have
written, and guards that were moved aside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.domain.rows import TABLES
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.verifier.history import history
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier.forms.objects import objects
from verifier.region import BY_CHAIN, doubled
from verifier.tiled.databases import Region

OTHER = "example.com/other"


@pytest.fixture(scope="module")
def two_chains(pg_server: Server, migrated: str) -> Iterator[Database]:
    """A database with two chains that hold the same trades, so that their rows could be taken for each other's."""
    database = Database(pg_server, "two_chains")
    copy_database(pg_server, database.name, migrated)
    for origin in (ORIGIN, OTHER):
        create_chain(database.dsn("owner"), origin, (), [("writer", "engine")])
        with Ledger.open(database.dsn("writer"), origin=origin) as ledger:
            history(ledger)
    yield database
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def copy(two_chains: Database) -> Iterator[Database]:
    with copied(two_chains) as made:
        yield made


def swapped(column: str, table: str, more: str = "") -> str:
    return (f"UPDATE ledger.{table} SET {column} = CASE {column} WHEN 1 THEN 1001 WHEN 2 THEN 1002 END{more};"
            f"UPDATE ledger.{table} SET {column} = CASE {column} WHEN 1001 THEN 2 WHEN 1002 THEN 1 END "
            f"WHERE {column} > 1000")  # fmt: skip


def test_chains_that_changed_places_are_told_apart(copy: Database) -> None:
    """Two chains whose numbers were exchanged, in one table or in all, are not what they say they are."""
    assert [report_on(copy, origin).findings for origin in (ORIGIN, OTHER)] == [[], []]
    with Intruder(copy) as intruder, intruder.undone("chains"):
        intruder.edit("chains", swapped("chain", "chains"))
        for origin, other in ((ORIGIN, OTHER), (OTHER, ORIGIN)):
            (found,) = real(report_on(copy, origin))
            assert (found.kind, found.table, found.key, found.column) == (
                "CHAIN_MISMATCH", "chains", (origin,), "chain",
            )  # fmt: skip
            assert other in found.actual
    with Intruder(copy) as intruder:
        for table in BY_CHAIN:
            if table != "replica_state":
                intruder.edit(table, swapped("chain", table))
    for origin in (ORIGIN, OTHER):
        (found,) = real(report_on(copy, origin))
        assert (found.table, found.key, found.column) == ("chains", (origin,), "chain")


def test_rows_under_a_number_that_no_chain_has_are_found_from_any_chain(copy: Database) -> None:
    """Every row of a chain re-pointed: its own verification misses them all, and the other's sees them astray."""
    empty = ("replica_state", "acknowledgements", "chain_keys", "tiles", "checkpoints")
    tables = [table for table in BY_CHAIN if table not in empty]
    with Intruder(copy) as intruder:
        for table in tables:
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 77 WHERE chain = 1")
    found = real(report_on(copy, OTHER))
    assert {(x.kind, x.table, x.column) for x in found} == {
        ("CHAIN_MISMATCH", "chains", None), *(("STRAY_ROWS", table, "chain") for table in tables),
    }  # fmt: skip
    own = report_on(copy, ORIGIN)
    assert own.verdict == "broken"
    assert real(own)


@pytest.mark.parametrize(("table", "changed"), [("chain_heads", ""), ("chain_heads", "seq = 1"), ("chains", ""),
                                                ("chains", "genesis = sha256('x')")])  # fmt: skip
def test_a_second_row_of_the_chain_or_its_head_is_named(copy: Database, table: str, changed: str) -> None:
    """No choice between chains, whoever asks and by whatever name: the rest is checked as well."""
    with Intruder(copy) as intruder:
        for name, in intruder.connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
            [f"ledger.{table}"],
        ).fetchall():  # fmt: skip
            intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {name} CASCADE")
        intruder.connection.execute(f"CREATE TEMP TABLE more AS SELECT * FROM ledger.{table} WHERE chain = 1")
        if changed:
            intruder.connection.execute(f"UPDATE more SET {changed}")
        intruder.edit(table, f"INSERT INTO ledger.{table} SELECT * FROM more")
    found = real(report_on(copy, ORIGIN))
    assert ("one row", "2 rows") in [(x.expected, x.actual) for x in found if (x.table, x.key) == (table, (ORIGIN,))]
    assert {x.table for x in found} <= {table}
    with Region(copy.dsn("auditor"), ORIGIN) as region:
        assert [(x.table, x.actual) for x in doubled(region, region.chain)] == [(table, "2 rows")]
    assert "one row" not in {x.expected for x in report_on(copy, OTHER).findings}


def test_events_exchanged_between_chains_are_named(copy: Database) -> None:
    """One event of each in the other's place: its bytes are good, and of the other chain."""
    with Intruder(copy) as intruder:
        intruder.edit("events", swapped("chain", "events", " WHERE seq = 9"))
    for origin in (ORIGIN, OTHER):
        found = [x for x in real(report_on(copy, origin)) if x.after is None]
        assert [(x.kind, x.seq, x.column) for x in found] == [("BYTES_MODIFIED", 9, "chain")]


def test_a_fact_changed_wherever_it_stands_is_named_everywhere(copy: Database) -> None:
    """A price edited in the event, the execution, the position and the balances, all agreeing: each is named."""
    with Intruder(copy) as intruder:
        (seq,) = intruder.edit(
            "executions", "SELECT event_seq FROM ledger.executions WHERE chain = 1 AND exec_id = 'E3'"
        ) or (0,)
        for table, sql in (
            ("events", "UPDATE ledger.events SET payload = replace(payload::text, '\"price\":\"99\"',"
             f" '\"price\":\"90\"')::json WHERE chain = 1 AND seq = {seq}"),
            ("executions", "UPDATE ledger.executions SET price = 90, gross = 0.9 WHERE chain = 1 AND exec_id = 'E3'"),
            ("positions", "UPDATE ledger.positions SET cost = cost - 0.09 WHERE chain = 1 AND instrument = 'BTCUSDT'"),
            ("balances", "UPDATE ledger.balances SET unsettled = unsettled + CASE account WHEN 'A' THEN 0.09 ELSE -0.09"
             " END WHERE chain = 1 AND asset = 'USDT' AND account IN ('A', '~clearing.V')"),
        ):  # fmt: skip
            intruder.edit(table, sql)
    found = {(x.seq or x.table, x.key, x.column) for x in real(report_on(copy))}
    assert found == {
        (seq, None, "payload"),
        ("executions", ("V", "2024-08-08", "E3"), "price"), ("executions", ("V", "2024-08-08", "E3"), "gross"),
        ("positions", ("A", "BTCUSDT"), "cost"),
        ("balances", ("A", "USDT"), "unsettled"), ("balances", ("~clearing.V", "USDT"), "unsettled"),
    }  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value", "place"), [
    ("balances", "settled", "'NaN'", "asset = 'BTC' AND account = 'A'"),
    ("balances", "settled", "'Infinity'", "asset = 'BTC' AND account = 'A'"),
    ("balances", "settled", "1e-19", "asset = 'BTC' AND account = 'A'"),
    ("balances", "settled", "1e60", "asset = 'BTC' AND account = 'A'"),
    ("balances", "settled", "settled + 0.000000", "asset = 'BTC' AND account = 'A'"),
    ("orders", "hold_amount", "hold_amount + 0.0", "order_id = 'O1'"),
    ("executions", "price", "price::numeric(40, 20)", "exec_id = 'E1'"),
    ("balances", "settled", "NULL", "asset = 'BTC' AND account = 'A'"),
    ("orders", "pending_cancel", "'{{a,b},{c,d}}'", "order_id = 'O1'"),
    ("orders", "pending_cancel", "'{NULL}'", "order_id = 'O1'"),
    ("executions", "settle_date", "'infinity'", "exec_id = 'E1'"),
    ("executions", "settle_date", "'0044-03-15 BC'", "exec_id = 'E1'"),
])  # fmt: skip
def test_a_value_that_no_ledger_could_have_written_is_named(
    copy: Database, table: str, column: str, value: str, place: str
) -> None:
    """NaN, infinities, NULL, arrays of another shape and dates outside any calendar are findings, not faults."""
    with Intruder(copy) as intruder:
        intruder.unguard(table)
        intruder.connection.execute(f"ALTER TABLE ledger.{table} ALTER COLUMN {column} DROP NOT NULL")
        intruder.edit(table, f"UPDATE ledger.{table} SET {column} = {value} WHERE chain = 1 AND {place}")
    assert [(x.table, x.column) for x in real(report_on(copy))] == [(table, column)]


@pytest.mark.parametrize(("column", "value"), [
    ("effective_on", "'infinity'"), ("effective_on", "'294276-01-01'"), ("effective_on", "'4713-01-01 BC'"),
    ("actor", "NULL"), ("payload", "NULL"), ("payload", "'[]'"), ("payload", "'{\"derived\":1,\"given\":2}'"),
    ("event_id", "NULL"), ("recorded_at", "NULL"), ("stream_version", "-1"), ("group_size", "0"), ("salt", "''"),
    ("hash", "NULL"), ("event_type", "''"), ("correlation_id", "'" + "0" * 32 + "'"), ("idempotency_key", "NULL"),
])  # fmt: skip
def test_an_event_that_no_ledger_could_have_written_is_named(copy: Database, column: str, value: str) -> None:
    """The same for events: the row is named, and the column where its neighbours tell what it was."""
    with Intruder(copy) as intruder:
        intruder.unguard("events")
        intruder.connection.execute(f"ALTER TABLE ledger.events ALTER COLUMN {column} DROP NOT NULL")
        intruder.edit("events", f"UPDATE ledger.events SET {column} = {value} WHERE chain = 1 AND seq = 9")
    found = [x for x in real(report_on(copy)) if x.after is None]
    assert {x.seq for x in found if x.table is None} == {9}
    assert column in (found[0].column or ""), found


NONE = [
    ("events", "recorded_at", "NULL", "seq = 9", "NULL"), ("events", "schema_version", "NULL", "seq = 9", "NULL"),
    ("events", "stream", "NULL", "seq = 9", "NULL"), ("events", "hash", "NULL", "seq = 9", "NULL"),
    ("events", "prev_hash", "NULL", "seq = 9", "NULL"),
    ("events", "effective_on", "'infinity'", "seq = 9", "not finite"),
    ("events", "effective_on", "NULL", "seq = 9", "NULL"), ("events", "group_size", "-1", "seq = 9", "-1"),
    ("commits", "committed_at", "NULL", "last_seq > 9", "NULL"),
    ("commits", "first_seq", "NULL", "last_seq > 9", "NULL"),
    ("commits", "state_digest", "NULL", "last_seq > 9", "NULL"), ("commits", "first_seq", "-1", "last_seq > 9", "-1"),
    ("idempotency_keys", "first_seq", "NULL", "first_seq > 9", "NULL"), ("chain_heads", "mode", "NULL", "true", "NULL"),
    ("idempotency_keys", "source", "NULL", "first_seq > 9", "NULL"), ("chain_heads", "seq", "NULL", "true", "NULL"),
    ("chain_heads", "hash", "NULL", "true", "NULL"), ("chains", "genesis", "NULL", "true", "NULL"),
    ("state_digests", "lanes", "NULL", "true", "NULL"), ("balances", "settled", "NULL", "asset = 'BTC'", "NULL"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value", "place", "shown"), NONE)
def test_what_is_not_there_is_shown_as_what_stands_there(
    copy: Database, table: str, column: str, value: str, place: str, shown: str
) -> None:
    """Whoever looks for the row by what the finding says it holds finds it."""
    with Intruder(copy) as intruder:
        for (key,) in intruder.connection.execute(
            f"SELECT conname FROM pg_constraint WHERE conrelid = 'ledger.{table}'::regclass AND contype IN ('p', 'u')"
        ).fetchall():
            intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {key} CASCADE")
        intruder.unguard(table)
        intruder.connection.execute(f"ALTER TABLE ledger.{table} ALTER COLUMN {column} DROP NOT NULL")
        intruder.edit(table, f"UPDATE ledger.{table} SET {column} = {value} WHERE ctid = (SELECT min(ctid) FROM"
                      f" ledger.{table} WHERE chain = 1 AND {place})", least=1)  # fmt: skip
    found = [x for x in real(report_on(copy)) if x.column == column and x.after is None]
    assert [x.actual for x in found] == [shown]
    objects(report_on(copy), 0)


def test_an_event_whose_time_is_not_there_is_not_held_to_the_day_that_follows_from_it(copy: Database) -> None:
    with Intruder(copy) as intruder:
        intruder.unguard("events")
        intruder.connection.execute("ALTER TABLE ledger.events ALTER COLUMN occurred_at DROP NOT NULL")
        intruder.edit("events", "UPDATE ledger.events SET occurred_at = NULL WHERE chain = 1 AND seq = 9")
    found = real(report_on(copy))
    assert (found[0].column or "").startswith("occurred_at or ")
    assert found[0].actual == "other bytes; occurred_at is NULL"
    assert "effective_on" not in [x.column for x in found]


def test_sums_beyond_a_single_amount_are_no_finding(copy: Database) -> None:
    """A total may pass the limit of one amount: it is read as it is, and only compared."""
    from verifier.stored_rows import amount_of

    assert amount_of("1" + "0" * 31) == 10**49
    assert amount_of("-0.5") == -(10**18) // 2
    assert [amount_of(text) for text in ("NaN", "0.50", "1.0", "-0", "007")] == ["NaN", "0.50", "1.0", "-0", "007"]


GUARDS = [
    "ALTER TABLE ledger.events DISABLE TRIGGER refuse_change",
    "ALTER TABLE ledger.events ENABLE TRIGGER refuse_change",
    "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "ALTER FUNCTION ledger.check_head() SECURITY DEFINER",
    "ALTER FUNCTION ledger.check_head() RESET ALL",
    "GRANT UPDATE ON ledger.events TO ledger_writer",
    "GRANT UPDATE (payload) ON ledger.events TO PUBLIC",
    "GRANT SELECT ON ledger.events TO ledger_reader WITH GRANT OPTION",
    "GRANT EXECUTE ON FUNCTION ledger.restore_events TO ledger_writer",
    "GRANT CREATE ON SCHEMA ledger TO ledger_writer",
    "GRANT USAGE ON SEQUENCE ledger.history_changes_change_seq TO ledger_writer",
    "REVOKE INSERT ON ledger.events FROM ledger_writer",
    "ALTER TABLE ledger.balances DROP CONSTRAINT balances_held_not_negative",
    "ALTER TABLE ledger.state_digests DISABLE TRIGGER ALL",
    "ALTER TABLE ledger.events OWNER TO writer",
    "ALTER SCHEMA ledger OWNER TO writer",
    "ALTER TABLE ledger.events ALTER COLUMN actor SET DEFAULT 'someone'",
    "ALTER TABLE ledger.events ALTER COLUMN actor DROP NOT NULL",
    "ALTER TABLE ledger.events ADD COLUMN note text",
    "ALTER TABLE ledger.commits SET UNLOGGED",
    "ALTER TABLE ledger.events ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY hide ON ledger.events USING (seq <> 9)",
    "DROP INDEX ledger.executions_ref",
    "CREATE TABLE ledger.shadow (LIKE ledger.events)",
    "CREATE TABLE public.child () INHERITS (ledger.balances)",
    "CREATE VIEW ledger.events_shown AS SELECT * FROM ledger.events WHERE seq <> 9",
    "CREATE RULE quiet AS ON INSERT TO ledger.commits DO INSTEAD NOTHING",
    "CREATE FUNCTION ledger.helper() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE ledger.mood AS ENUM ('a')",
    "CREATE FUNCTION public.early() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER aa_early BEFORE INSERT ON ledger.balances FOR EACH ROW EXECUTE FUNCTION public.early()",
    "CREATE FUNCTION public.ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION public.ddl()",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT ALL ON TABLES TO PUBLIC",
    "CREATE FUNCTION public.off() RETURNS void LANGUAGE sql SECURITY DEFINER AS"
    " 'ALTER TABLE ledger.events DISABLE TRIGGER ALL'; ALTER FUNCTION public.off() OWNER TO ledger_owner",
    "CREATE PROCEDURE public.off() LANGUAGE sql SECURITY DEFINER AS 'ALTER TABLE ledger.events DISABLE TRIGGER ALL';"
    "REVOKE ALL ON PROCEDURE public.off() FROM PUBLIC; GRANT EXECUTE ON PROCEDURE public.off() TO ledger_writer",
    "ALTER DATABASE {0} OWNER TO writer",
    "ALTER DATABASE {0} OWNER TO ledger_writer",
    "ALTER DATABASE {0} SET session_replication_role = replica",
    "ALTER ROLE writer IN DATABASE {0} SET search_path = public",
    "ALTER ROLE auditor IN DATABASE {0} SET synchronous_commit = off",
    "ALTER ROLE writer IN DATABASE {0} SET synchronous_commit = 'OFF'",
]


@pytest.mark.parametrize("sql", GUARDS, ids=range(len(GUARDS)))
def test_a_weakened_guard_is_found(copy: Database, sql: str) -> None:
    """Whatever the schema has more, less or otherwise than the migrations make, and whatever would turn guards off."""
    copy.sql(sql.format(copy.name))
    report = report_on(copy)
    assert "GUARD_CHANGED" in {x.kind for x in report.findings}
    assert report.verdict == "broken"


ROLES = [
    ("ALTER ROLE writer SUPERUSER", "ALTER ROLE writer NOSUPERUSER", "role writer"),
    ("ALTER ROLE ledger_writer LOGIN", "ALTER ROLE ledger_writer NOLOGIN", "role ledger_writer"),
    ("ALTER ROLE applier BYPASSRLS", "ALTER ROLE applier NOBYPASSRLS", "role applier"),
    ("ALTER ROLE applier CREATEROLE", "ALTER ROLE applier NOCREATEROLE", "role applier"),
    ("ALTER ROLE writer REPLICATION", "ALTER ROLE writer NOREPLICATION", "role writer"),
    ("GRANT ledger_owner TO writer", "REVOKE ledger_owner FROM writer", "role writer"),
    ("GRANT ledger_applier TO ledger_reader", "REVOKE ledger_applier FROM ledger_reader", "role ledger_reader"),
    ("GRANT pg_write_all_data TO auditor", "REVOKE pg_write_all_data FROM auditor", "role auditor"),
    ("CREATE ROLE mallory LOGIN; GRANT pg_write_all_data TO mallory", "DROP ROLE mallory", "role mallory"),
    ("GRANT postgres TO writer", "REVOKE postgres FROM writer", "role writer"),
    (
        "CREATE ROLE staff CREATEROLE BYPASSRLS; CREATE ROLE more IN ROLE staff; GRANT more TO applier",
        "DROP ROLE more; DROP ROLE staff",
        "role applier",
    ),
]


@pytest.mark.parametrize(("sql", "undo", "name"), ROLES)
def test_a_login_with_more_rights_than_its_role_is_found(copy: Database, sql: str, undo: str, name: str) -> None:
    """A superuser, a member of two roles, or of one that writes everywhere: the ledger's own logins may be none."""
    copy.sql(sql)
    try:
        found = {x.key for x in report_on(copy).findings}
    finally:
        copy.sql(undo)
    assert (name,) in found
    assert all(key is not None and key[0].startswith("role ") for key in found)
    assert report_on(copy).findings == []


def test_who_can_become_a_superuser_is_named_whoever_it_is(copy: Database) -> None:
    """No login of the ledger's: its firm decides who is, and the auditor sees it."""
    copy.sql("CREATE ROLE staff; GRANT postgres TO staff; CREATE ROLE mallory LOGIN IN ROLE staff")
    try:
        report = report_on(copy)
    finally:
        copy.sql("DROP ROLE mallory; DROP ROLE staff")
    assert report.findings == []
    assert {"role mallory may become postgres, a superuser", "role staff may become postgres, a superuser"} <= {
        *report.vouched
    }
    assert "role postgres is a superuser, whom no guard of the database stops" in report.vouched
    assert not any("may become" in line for line in report_on(copy).vouched)


def test_who_may_only_read_by_two_roles_is_no_finding(copy: Database) -> None:
    """An auditor that is a reader too can do nothing more than either."""
    copy.sql("GRANT ledger_reader TO auditor")
    try:
        assert report_on(copy).findings == []
    finally:
        copy.sql("REVOKE ledger_reader FROM auditor")


def test_whoever_holds_a_role_that_writes_is_named_for_the_auditor_to_judge(copy: Database) -> None:
    """By another role, too: who is the owner may take every guard away, and no guard is changed by that."""
    copy.sql("CREATE ROLE staff; CREATE ROLE mallory LOGIN IN ROLE staff; GRANT ledger_owner TO staff")
    try:
        report = report_on(copy)
    finally:
        copy.sql("DROP ROLE mallory; DROP ROLE staff")
    assert report.findings == []
    assert "role ledger_owner is held by mallory, owner, staff" in report.vouched
    assert "role ledger_writer is held by writer" in report.vouched


def test_a_table_that_was_put_on_another_disk_is_listed(copy: Database) -> None:
    """A crash could empty that one; which disks there are is the firm's affair, and no guard is changed."""
    with Intruder(copy) as intruder:
        for statement in (b"SET allow_in_place_tablespaces = on", b"CREATE TABLESPACE elsewhere LOCATION ''"):
            intruder.connection.execute(statement)
        try:
            intruder.connection.execute(b"ALTER TABLE ledger.balances SET TABLESPACE elsewhere")
            report = report_on(copy)
        finally:
            intruder.connection.execute(b"ALTER TABLE ledger.balances SET TABLESPACE pg_default")
            intruder.connection.execute(b"DROP TABLESPACE elsewhere")
    assert report.findings == []
    assert "balances is on the disk of tablespace elsewhere, and not where the database is" in report.vouched


def test_what_the_auditor_may_not_see_is_said_not_to_be_covered(copy: Database) -> None:
    """Which libraries the server loads in each session is shown to few, and is not called good unseen."""
    assert not any("session_preload_libraries" in line for line in report_on(copy).not_covered)
    copy.sql("REVOKE pg_read_all_settings FROM ledger_auditor")
    try:
        assert any("session_preload_libraries" in line for line in report_on(copy).not_covered)
    finally:
        copy.sql("GRANT pg_read_all_settings TO ledger_auditor")


SETTINGS = {"row_security": "off", "search_path": "public, ledger", "session_preload_libraries": "auto_explain"}


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_a_setting_of_the_server_that_leads_sessions_astray_is_found(copy: Database, name: str, value: str) -> None:
    """Set for all by the server's own file, as well as for one role or database."""
    copy.sql(f"ALTER SYSTEM SET {name} = {value}")
    try:
        copy.sql("SELECT pg_reload_conf()")
        # A session that began before the server has read its file anew does not know of it.
        deadline = time.monotonic() + 10
        while copy.sql(f"SHOW {name}") != value and time.monotonic() < deadline:
            time.sleep(0.05)
        found = [(x.kind, x.key, x.actual) for x in report_on(copy).findings]
    finally:
        copy.sql(f"ALTER SYSTEM RESET {name}")
        copy.sql("SELECT pg_reload_conf()")
    assert found == [("GUARD_CHANGED", ("setting of the server",), f"{name}={value}")]


def test_how_the_auditor_likes_names_to_be_printed_accuses_no_guard(copy: Database) -> None:
    copy.sql("ALTER ROLE auditor SET quote_all_identifiers = on")
    try:
        assert report_on(copy).findings == []
    finally:
        copy.sql("ALTER ROLE auditor RESET quote_all_identifiers")


PARAMETERS = [
    ("SET ON PARAMETER session_replication_role", "writer"), ("SET ON PARAMETER zero_damaged_pages", "ledger_writer"),
    ("ALTER SYSTEM ON PARAMETER fsync", "applier"), ("SET ON PARAMETER session_replication_role", "PUBLIC"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "to"), PARAMETERS)
def test_the_right_to_change_a_setting_of_superusers_is_found(copy: Database, right: str, to: str) -> None:
    """Whoever may set session_replication_role turns every trigger off: no ledger's login may have such a right."""
    copy.sql(f"GRANT {right} TO {to}")
    try:
        found = [(x.kind, x.key) for x in report_on(copy).findings]
    finally:
        copy.sql(f"REVOKE {right} FROM {to}")
    assert found == [("GUARD_CHANGED", (f"right to set {right.split()[-1]}",))]
    assert report_on(copy).findings == []


def test_functions_with_rights_that_the_ledgers_logins_cannot_run_are_no_finding(copy: Database) -> None:
    """A firm's own function with a superuser's rights is its own affair while none of the ledger's roles may run it."""
    copy.sql("CREATE FUNCTION public.own() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
             "REVOKE ALL ON FUNCTION public.own() FROM PUBLIC")  # fmt: skip
    assert report_on(copy).findings == []


def test_what_was_set_for_the_auditor_changes_nothing_that_is_read(copy: Database) -> None:
    """A search path with functions of somebody's own, another date style or output: the report is the same."""
    copy.sql("CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; CREATE FUNCTION evil.uuid_send(uuid) RETURNS "
             "bytea LANGUAGE sql AS 'SELECT ''x''::bytea'; "
             f"ALTER DATABASE {copy.name} SET search_path = evil, pg_catalog; "
             f"ALTER DATABASE {copy.name} SET datestyle = 'German'")  # fmt: skip
    report = report_on(copy)
    assert real(report) == []
    assert [x.key for x in report.findings] == [(f"setting of every role in {copy.name}",)]
    assert set(report.rows) == set(TABLES)
