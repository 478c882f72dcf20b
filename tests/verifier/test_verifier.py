"""
Check the verifier: a good ledger passes, and whatever is changed behind the ledger's back is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair
from ledger.domain.events.cash import FeeCharged, HoldPlaced, JournalPosted, Leg
from ledger.domain.events.control import Difference, KeyNamed, ReconciliationRecorded
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.domain.events.reference import AccountLimitsSet, CalendarPublished
from ledger.domain.postings import Posting
from ledger.domain.rows import TABLES
from ledger.errors import LedgerError
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from ledger.storage import events
from tests.conftest import ORIGIN, Database
from tests.domain.books import DAY
from tests.journal.test_ledger import fill
from verifier import catalogue
from verifier.full import verify
from verifier.reader import Reader
from verifier.report import Finding, Report
from verifier.stored import Unreadable

NOW = 1_723_161_254_087_891_268


def history(ledger: Ledger) -> None:
    """Append a history that leaves at least one row in every read model."""
    fill(ledger)
    n = 0

    def give(*events: object, **more: object) -> None:
        nonlocal n
        n += 1
        ledger.append(list(events), key=f"h{n}", actor=f"desk-{n % 3}", **more)  # type: ignore[arg-type]

    def order(name: str) -> OrderPlaced:
        return OrderPlaced(order_id=name, cl_ord_id=f"c{name}", account="A", instrument="BTCUSDT", side="buy",
                           qty="0.02", ord_type="limit", price="100", strategy="s")  # fmt: skip

    def trade(name: str, order_id: str, **more: str) -> dict[str, object]:
        return {
            "exec_id": name, "venue": "V", "order_id": order_id, "account": "A", "instrument": "BTCUSDT", "side": "buy",
            "qty": "0.01", "price": "100", "trade_date": DAY, "fees": (Fee(kind="c", asset="USDT", amount="0.1"),),
            **more,
        }  # fmt: skip

    give(CalendarPublished(calendar="cal", calendar_version=1, holidays=("2024-12-25",)))
    give(AccountLimitsSet(account="A", asset="BTC", floor="0", max_position="1000"))
    give(order("O1"), order("O2"), order("O3"))
    give(OrderAccepted(order_id="O1", venue="V", venue_order_id="v1"), OrderAccepted(order_id="O2", venue="V"))
    give(TradeExecuted(**trade("E1", "O1")), TradeExecuted(**trade("E2", "O1")))  # type: ignore[arg-type]
    give(TradeCorrected(exec_ref="E2", **trade("E3", "O1", price="99")))  # type: ignore[arg-type]
    give(TradeBusted(exec_id="E4", exec_ref="E1", venue="V", trade_date=DAY, reason="r"))
    give(TradeExecuted(**trade("E5", "none")))  # type: ignore[arg-type]
    give(OrderCanceled(order_id="O3"), occurred_at=NOW)
    give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="BTC", amount="0.5"),)), correlation_id=b"c" * 16)
    give(FeeCharged(fee_id="F", account="A", kind="k", asset="USDT", amount="1"))
    legs = (("A", "-2"), ("~suspense", "2"))
    give(JournalPosted(journal_id="J", memo="é", postings=tuple(
        Posting(account=a, asset="USDT", bucket="settled", amount=v) for a, v in legs)))  # fmt: skip
    give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=0,
                                breaks=(Difference(key="k", ledger="1", external="2"),)))  # fmt: skip


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    name = "verified"
    pg_server.sql(f"CREATE DATABASE {name} TEMPLATE {migrated} OWNER ledger_owner")
    database = Database(pg_server, name)
    pair = KeyPair("replica", "region-b", b"s" * 32)
    key = KeyNamed(key_id=pair.key_id, purpose="replica", name=pair.name, public_key=pair.public_key.hex())
    chain, _ = create_chain(database.dsn("owner"), ORIGIN, (key,), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        history(ledger)
    with db.connect(database.dsn("publisher"), "test") as connection:
        last = stored.commits(connection, chain.chain)[-2]
        head = events.read_seqs(connection, chain.chain, chain.chain_id, [last.last_seq])[last.last_seq]
        said = Acknowledgement(chain.chain_id, 1, head.seq, head.hash, last.state_digest, NOW, pair.key_id)
        row = (said.key_id, 1, head.seq, head.hash, last.state_digest, NOW, time.time_ns())
        stored.upsert(connection, chain.chain, stored.Acknowledgement(*row, acknowledgement.encode(said, pair)[-64:]))
    yield database
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def report_on(database: Database) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return verify(reader)


class Intruder:
    """A superuser who edits rows behind the triggers' back, and can undo it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = psycopg.connect(database.server.dsn("postgres", database.name), autocommit=True)

    def __enter__(self) -> Intruder:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def edit(self, table: str, sql: str, *given: object) -> tuple[object, ...] | None:
        always = [
            row[0]
            for row in self.connection.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [f"ledger.{table}"]
            )
        ]
        self.connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
        try:
            done = self.connection.execute(sql, given or None)
            return done.fetchone() if done.description else None
        finally:
            self.connection.execute(f"ALTER TABLE ledger.{table} ENABLE TRIGGER ALL")
            for name in always:
                self.connection.execute(f"ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER {name}")

    def save(self, table: str) -> None:
        self.connection.execute(f"CREATE TEMP TABLE saved AS SELECT * FROM ledger.{table}")

    def restore(self, table: str) -> None:
        self.edit(table, f"DELETE FROM ledger.{table}; INSERT INTO ledger.{table} SELECT * FROM saved")
        self.connection.execute("DROP TABLE saved")


CHANGES = {
    "text": "{0} || 'x'", "bigint": "{0} + 1", "integer": "{0} + 1", "smallint": "{0} + 1",
    "numeric": "{0} + 0.00000001", "boolean": "NOT {0}", "date": "{0} + 1", "ARRAY": "{0} || ARRAY['x']",
    "json": "regexp_replace({0}::text, '[a-z]([^a-z]*)$', '#\\1')::json",
    "bytea": "set_byte({0}, 3, get_byte({0}, 3) # 1)",
    "uuid": "overlay({0}::text PLACING CASE right({0}::text, 1) WHEN '0' THEN '1' ELSE '0' END FROM 36)::uuid",
}  # fmt: skip
WHEN_NULL = {"text": "'x'", "bigint": "1", "numeric": "1", "date": "'2024-01-01'", "uuid": "'" + "1" * 32 + "'"}


def columns(database: Database, table: str) -> list[tuple[str, str]]:
    found = database.sql(
        "SELECT column_name || ' ' || data_type FROM information_schema.columns "
        f"WHERE table_schema = 'ledger' AND table_name = '{table}' AND column_name <> 'chain' ORDER BY ordinal_position"
    )
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in found.splitlines()]


def changed(intruder: Intruder, table: str, column: str, kind: str, where: str) -> bool:
    """Change one column of the rows that *where* names; return whether anything is different now."""
    expression = CHANGES[kind].format(f'"{column}"')
    if kind in WHEN_NULL:
        expression = f'CASE WHEN "{column}" IS NULL THEN {WHEN_NULL[kind]} ELSE {expression} END'
    for name, in intruder.connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [f"ledger.{table}"]
    ).fetchall():  # fmt: skip
        intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {name}")
    before = intruder.connection.execute(f'SELECT "{column}"::text FROM ledger.{table} WHERE {where}').fetchone()
    after = intruder.edit(
        table, f'UPDATE ledger.{table} SET "{column}" = {expression} WHERE {where} RETURNING "{column}"::text'
    )
    return after is not None and before != after


def test_a_good_ledger_verifies_and_the_report_says_what_was_covered(written: Database) -> None:
    """No finding, the head is the ledger's, every read model has rows, and what is not covered is said."""
    report = report_on(written)
    assert report.findings == []
    assert report.verdict == "verified"
    assert report.last_good_seq == report.events == report.head["seq"]
    assert all(report.rows[table] for table in TABLES)
    assert report.covered
    assert report.not_covered


@pytest.fixture
def copy(pg_server: Server, written: Database) -> Iterator[Database]:
    name = f"copy_{os.urandom(4).hex()}"
    pg_server.sql(f"CREATE DATABASE {name} TEMPLATE {written.name} OWNER ledger_owner")
    yield Database(pg_server, name)
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def real(report: Report) -> list[Finding]:
    """Return the findings about data: the tests drop CHECK constraints to get their edits in."""
    return [finding for finding in report.findings if finding.kind != "GUARD_CHANGED"]


@pytest.mark.parametrize(
    "column", [name for name in RecordedEvent.__struct_fields__ if name not in ("chain_id", "seq")]
)
def test_an_edited_column_of_an_event_is_named_by_seq_and_column(copy: Database, column: str) -> None:
    """Whatever column is edited, at the start of a group, inside one or at the very end, it is named, and only it."""
    kinds = dict(columns(copy, "events"))
    last = int(copy.sql("SELECT max(seq) FROM ledger.events"))
    with Intruder(copy) as intruder:
        for seq in (9, 12, last):
            intruder.save("events")
            assert changed(intruder, "events", column, kinds[column], f"seq = {seq}")
            found = real(report_on(copy))
            assert [(x.kind, x.seq, x.column) for x in found] == [("BYTES_MODIFIED", seq, column)]
            intruder.restore("events")
        assert real(report_on(copy)) == []


@pytest.mark.parametrize("table", TABLES)
def test_an_edited_column_of_a_read_model_is_named_by_key_and_column(copy: Database, table: str) -> None:
    """Every column of every read model: row and column are named; a key column is a row too many and one less."""
    spec = TABLES[table]
    with Intruder(copy) as intruder:
        first = ", ".join(spec.key)
        where = f"ctid = (SELECT ctid FROM ledger.{table} ORDER BY {first} LIMIT 1)"
        for column, kind in columns(copy, table):
            intruder.save(table)
            assert changed(intruder, table, column, kind, where), column
            found = [x for x in real(report_on(copy)) if x.table == table]
            if column in spec.key:
                assert {x.actual for x in found} == {"a row", "no such row"}
            else:
                assert [x.column for x in found] == [column]
            assert len({x.key for x in found}) == (2 if column in spec.key else 1)
            intruder.restore(table)
        assert real(report_on(copy)) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("chains", "format_version"), ("chains", "genesis"), ("chain_heads", "seq"), ("chain_heads", "hash"),
        ("chain_heads", "recorded_at"), ("chain_heads", "epoch"), ("state_digests", "seq"), ("state_digests", "lanes"),
        ("commits", "first_seq"), ("commits", "last_seq"), ("commits", "state_digest"), ("commits", "committed_at"),
        ("acknowledgements", "replica"), ("acknowledgements", "epoch"), ("acknowledgements", "seq"),
        ("acknowledgements", "hash"), ("acknowledgements", "state_digest"), ("acknowledgements", "applied_at"),
        ("acknowledgements", "signature"),
        ("idempotency_keys", "source"), ("idempotency_keys", "key"), ("idempotency_keys", "first_seq"),
    ],
)  # fmt: skip
def test_an_edited_head_digest_commit_or_key_is_named(copy: Database, table: str, column: str) -> None:
    """The rows around the chain are compared as well: what replicas signed is checked again."""
    kind = dict(columns(copy, table))[column]
    with Intruder(copy) as intruder:
        assert changed(intruder, table, column, kind, f"ctid = (SELECT max(ctid) FROM ledger.{table})")
        found = real(report_on(copy))
        assert any(column in (x.column or "") for x in found if x.table == table), found


def test_an_acknowledgement_that_arrived_before_its_event_is_found(copy: Database) -> None:
    """When it arrived is not signed; it cannot be before the event was recorded."""
    with Intruder(copy) as intruder:
        intruder.edit("acknowledgements", "UPDATE ledger.acknowledgements SET received_at = 1")
    assert [(x.table, x.column) for x in real(report_on(copy))] == [("acknowledgements", "received_at")]


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("DELETE FROM ledger.events WHERE seq = 12", {"SEQ_GAP", "GROUP_PARTIAL"}),
        ("DELETE FROM ledger.events WHERE seq > 20", {"TRUNCATED"}),
        ("UPDATE ledger.events SET seq = CASE seq WHEN 8 THEN 9 ELSE 8 END + 1000 WHERE seq IN (8, 9);"
         "UPDATE ledger.events SET seq = seq - 1000 WHERE seq > 1000", {"CHAIN_BREAK", "BYTES_MODIFIED"}),
        ("INSERT INTO ledger.events SELECT chain, seq + 1, epoch, hash, hash, event_id, event_type, schema_version,"
         " stream, stream_version, group_id, group_index, group_size, idempotency_key, request_hash, occurred_at,"
         " recorded_at, effective_on, actor, source, correlation_id, causation_id, salt, payload FROM ledger.events"
         " ORDER BY seq DESC LIMIT 1", {"BYTES_MODIFIED", "HEAD_MISMATCH"}),
    ],
)  # fmt: skip
def test_deleted_swapped_inserted_and_truncated_events_are_found(copy: Database, sql: str, kinds: set[str]) -> None:
    """Each way to change which rows there are has findings of its own class."""
    with Intruder(copy) as intruder:
        intruder.edit("events", sql)
    found = {x.kind for x in real(report_on(copy))}
    assert kinds & found
    assert report_on(copy).verdict == "broken"


@pytest.mark.parametrize("table", ["balances", "orders", "executions", "positions", "idempotency_keys", "commits"])
def test_a_deleted_row_is_found(copy: Database, table: str) -> None:
    """A row less is a finding that names it."""
    with Intruder(copy) as intruder:
        intruder.edit(table, f"DELETE FROM ledger.{table} WHERE ctid = (SELECT min(ctid) FROM ledger.{table})")
    assert table in {x.table for x in real(report_on(copy))}


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE ledger.events DISABLE TRIGGER refuse_change",
        "ALTER TABLE ledger.events ENABLE TRIGGER refuse_change",
        "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "GRANT UPDATE ON ledger.events TO ledger_writer",
        "GRANT UPDATE (payload) ON ledger.events TO PUBLIC",
        "ALTER TABLE ledger.balances DROP CONSTRAINT balances_held_not_negative",
        "ALTER TABLE ledger.events OWNER TO writer",
    ],
)
def test_a_weakened_guard_is_found(copy: Database, sql: str) -> None:
    """Triggers, functions, grants, constraints and owners are held against what the migrations make."""
    copy.sql(sql)
    assert "GUARD_CHANGED" in {x.kind for x in report_on(copy).findings}


def test_the_catalogue_is_what_the_migrations_make(copy: Database) -> None:
    """The expected guards are not stale, on this version of PostgreSQL."""
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        assert catalogue.facts(reader.query) == json.loads(catalogue.EXPECTED.read_text())


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "verifier", *arguments], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2], env={**os.environ, **environment},
    )  # fmt: skip


def test_the_command_ends_with_a_status_that_can_be_trusted(copy: Database, database: Database) -> None:
    """0 verified, 3 broken, 4 where nothing could be verified, 2 for a typo; the same in every format."""
    good = command("full", "--format", "json", LEDGER_DSN=copy.dsn("auditor"))
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["verdict"] == "verified"
    with Intruder(copy) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    for form in ("table", "json"):
        assert command("full", "--format", form, LEDGER_DSN=copy.dsn("auditor")).returncode == 3
    assert "balances A/BTC, column settled" in command("full", LEDGER_DSN=copy.dsn("auditor")).stdout
    for dsn in (database.dsn("auditor"), "postgresql://auditor@/x?host=/nowhere", "nonsense"):
        assert command("full", LEDGER_DSN=dsn).returncode == 4
    assert command("ful", LEDGER_DSN=copy.dsn("auditor")).returncode == 2
    with pytest.raises(Unreadable, match="--origin"):
        Reader(copy.dsn("auditor"), "example.com/other")
    assert issubclass(Unreadable, LedgerError)
