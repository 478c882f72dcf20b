"""
Let an index lose a row that is there, as a torn page or a changed order of text would, and see it named.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import ORIGIN, Database
from tests.verifier.intruder import Intruder, columns, copied, report_on
from verifier import indexes
from verifier.reader import Reader


@pytest.fixture(scope="module")
def region(regions: dict[str, Database]) -> Iterator[Database]:
    with copied(regions["primary"]) as made:
        yield made


def found(database: Database) -> list[tuple[str, tuple[str, ...] | None, str]]:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        lacking, unchecked = indexes.check(reader.connection, lambda what, count: None)
    assert unchecked == []
    return [(one.kind, one.key, one.actual) for one in lacking]


def test_every_index_of_the_schema_is_checked_and_leads_to_every_row(region: Database) -> None:
    """Of a good region nothing is found, and the plan of each index is the one that was meant."""
    assert found(region) == []
    report = report_on(region)
    assert indexes.LOOKED_UP in report.covered
    assert not [line for line in report.not_covered if "index" in line]


@pytest.mark.parametrize(
    ("table", "where", "index", "first"),
    [
        ("balances", "account = 'A' AND asset = 'USDT'", "balances_pkey", "1/A/USDT"),
        ("idempotency_keys", "first_seq = 1", "idempotency_keys_pkey", None),
        ("executions", "ref_exec_id IS NOT NULL AND exec_id = (SELECT min(exec_id) FROM ledger.executions WHERE"
         " ref_exec_id IS NOT NULL)", "executions_ref", None),
        ("chains", "chain = 1", "chains_origin_key", ORIGIN),
        ("events", "seq = 9", "events_stream_version", None),
    ],
)  # fmt: skip
def test_a_row_that_an_index_does_not_lead_to_is_told(
    region: Database, table: str, where: str, index: str, first: str | None
) -> None:
    """It is there, and whoever looks it up sees none: the index is named, and to make it anew mends it."""
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.lose(table, where, index)
        ((kind, key, actual),) = found(copy)
        assert (kind, key) == ("INDEX_MISMATCH", (f"{table}.{index}",))
        assert actual.startswith("1 that it does not lead to, the first ")
        assert f"REINDEX INDEX ledger.{index}" in actual
        assert first is None or f"the first {first};" in actual
        assert "INDEX_MISMATCH" in {one.kind for one in report_on(copy).findings}
        intruder.connection.execute(f"REINDEX INDEX ledger.{index}")
        assert found(copy) == []
        assert report_on(copy).findings == []


def test_a_second_row_that_no_index_leads_to_is_told(region: Database) -> None:
    """Whoever reads the table from end to end sees two, and the index has one: which is right, no index can say."""
    with copied(region) as copy, Intruder(copy) as intruder:
        names = ", ".join(columns(copy, "accounts")).replace("owner", "'somebody else'")
        intruder.hide("accounts", f"SELECT {names} FROM ledger.accounts WHERE account = 'A'")
        ((kind, key, actual),) = found(copy)
        assert (kind, key) == ("INDEX_MISMATCH", ("accounts.accounts_pkey",))
        assert actual.startswith("1 that it does not lead to, the first 1/A; it leads to another row of the same key ")
        assert "REINDEX" not in actual


def test_an_index_in_another_order_leads_to_few_rows(region: Database) -> None:
    """As after an update of the system's libraries: every entry is there, and not where it is looked for."""
    with copied(region) as copy, Intruder(copy) as intruder:
        for statement in (
            "DROP INDEX ledger.events_stream_version",
            "CREATE UNIQUE INDEX events_stream_version ON ledger.events (stream DESC, stream_version DESC, chain)",
            "UPDATE pg_index SET indoption = '0 0 0' WHERE indexrelid = 'ledger.events_stream_version'::regclass",
        ):
            intruder.connection.execute(statement.encode())
        ((kind, key, actual),) = found(copy)
        assert (kind, key) == ("INDEX_MISMATCH", ("events.events_stream_version",))
        assert int(actual.split()[0]) > 10


def test_an_index_that_the_database_does_not_use_is_said_to_be_unchecked(region: Database) -> None:
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ledger.orders_pkey'::regclass;"
            "UPDATE pg_index SET indoption = '0 3' WHERE indexrelid = 'ledger.holds_pkey'::regclass"
        )
        with Reader(copy.dsn("auditor"), ORIGIN) as reader:
            lacking, unchecked = indexes.check(reader.connection, lambda what, count: None)
            assert reader.query("SHOW enable_seqscan") == [("on",)]
        assert lacking == []
        assert [line.split()[1] for line in unchecked] == ["holds_pkey", "orders_pkey"]


def test_a_table_that_the_login_may_not_read_is_unchecked_and_not_accused(region: Database) -> None:
    """As one of somebody else's in the schema, which is named as no part of it."""
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.connection.execute(b"CREATE TABLE ledger.theirs (id bigint PRIMARY KEY)")
        with Reader(copy.dsn("auditor"), ORIGIN) as reader:
            lacking, unchecked = indexes.check(reader.connection, lambda what, count: None)
        assert lacking == []
        assert [line.split()[1] for line in unchecked] == ["theirs_pkey"]


def test_a_key_that_no_ledger_has_ends_no_verification(region: Database) -> None:
    """A column of a type that has no hash: PostgreSQL's own words are the finding, and the rest is checked."""
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.connection.execute(
            b"ALTER TABLE ledger.controls ALTER COLUMN action TYPE tsvector USING to_tsvector(action)"
        )
        intruder.lose("balances", "account = 'A' AND asset = 'USDT'", "balances_pkey")
        told = found(copy)
        assert [key for _, key, _ in told] == [("balances.balances_pkey",), ("controls.controls_pkey",)]
        assert "hash function" in told[1][2]


def test_an_index_of_somebody_s_own_may_have_a_key_many_times(region: Database) -> None:
    with Intruder(region) as intruder:
        intruder.edit("balances", "CREATE INDEX mine ON ledger.balances (asset)")
    try:
        assert found(region) == []
    finally:
        with Intruder(region) as intruder:
            intruder.edit("balances", "DROP INDEX ledger.mine")
