"""
Edit every column of every table behind the ledger's back, in a primary and in a replica, and see it named.

Each edit is made alone, on a copy, and the findings must be exactly those that it brings about: the table, the key or
seq, and the column. The two regions are real: one wrote, the other applied from a topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.cli.access import named
from ledger.domain.events.cash import HoldPlaced, JournalPosted, Leg
from ledger.domain.events.control import (
    Difference,
    DivergentEventDisposed,
    DivergentTailRecorded,
    MarkRecorded,
    PeriodClosed,
    ReconciliationRecorded,
    SchemaRegistered,
)
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.operations import IncidentOpened
from ledger.domain.events.orders import OrderAccepted, OrderPlaced
from ledger.domain.events.reference import AccountLimitsSet, AccountOpened, CalendarPublished, InstrumentDefined
from ledger.domain.postings import Posting
from ledger.domain.rows import TABLES
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from ledger.storage import events
from replicator import publisher as publishing
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.conftest import ORIGIN, Database
from tests.verifier.intruder import Intruder, changed, columns, copied, real, report_on
from tests.verifier.test_verifier import history
from verifier.region import KEPT
from verifier.report import NOT_COVERED, Finding

PUBLISHER = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x02")
OTHER_REPLICA = KeyPair("replica", "region-c", bytes(31) + b"\x03")
NOWHERE = 77
"""A chain number that no chain has."""


def two_of_each(ledger: Ledger) -> None:
    """Append a history with two rows in every read model, so that one can be deleted and two can be swapped."""
    history(ledger)
    made: list[Any] = [
        CalendarPublished(calendar="dal", calendar_version=2, holidays=("2024-12-26",)),
        AccountLimitsSet(account="A", asset="USDT", floor="0", max_position="2000"),
        OrderAccepted(order_id="nobody", venue="V"),
        InstrumentDefined(instrument="BTC-2", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.1",
                          lot="0.01", multiplier="1", settlement_cycle=0, venue="W"),
        AccountOpened(account="B", owner="firm-2", kind="margin", base_asset="BTC"),
        TradeExecuted(exec_id="E8", venue="W", account="B", instrument="BTC-2", side="sell", qty="0.5", price="99",
                      trade_date="2024-08-09"),
        HoldPlaced(hold_id="I", legs=(Leg(account="A", asset="BTC", amount="0.25"),), ref="r"),
        JournalPosted(journal_id="K", memo="m", postings=tuple(
            Posting(account=a, asset="BTC", bucket="settled", amount=v) for a, v in (("A", "-2"), ("~x", "2")))),
        ReconciliationRecorded(origin="bank", statement_hash="00", as_of=2, matched=0,
                               breaks=(Difference(key="j", ledger="3", external="4"),)),
        OrderPlaced(order_id="P1", cl_ord_id="cP1", account="A", instrument="BTCUSDT", side="sell", qty="0.5",
                    ord_type="limit", price="120"),
        MarkRecorded(instrument="BTCUSDT", price="101", kind="settlement", day="2024-08-07", as_of=3),
        PeriodClosed(through="2024-08-02"),
        SchemaRegistered(event_type="OrderPlaced", version=1, schema_hash="bb", encoder_version="2"),
        DivergentTailRecorded(epoch=3, from_seq=5, to_seq=9, head_hash="cc", bundle_hash="dd", count=5),
        DivergentEventDisposed(epoch=3, seq=6, disposition="duplicate", new_seq=2, reason="r", decided_by="w"),
        IncidentOpened(incident_id="J", severity="major", cause="d", summary="s", at=2),
    ]  # fmt: skip
    for n, event in enumerate(made):
        ledger.append(event, key=f"two-{n}", actor="desk")


@pytest.fixture(scope="module")
def regions(pg_server: Server, migrated: str, kafka: Broker) -> Iterator[dict[str, Database]]:
    with pytest.MonkeyPatch.context() as mended:
        found = two_regions(pg_server, migrated, kafka, mended)
    yield found
    for database in found.values():
        pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


def two_regions(pg_server: Server, migrated: str, kafka: Broker, mended: pytest.MonkeyPatch) -> dict[str, Database]:
    """Return a primary and the replica that applied its chain, with a word of two replicas."""
    found = {name: Database(pg_server, f"tamper_{name}") for name in ("primary", "replica")}
    for database in found.values():
        pg_server.sql(f"CREATE DATABASE {database.name} TEMPLATE {migrated} OWNER ledger_owner")
    primary, replica = found.values()
    keys = named([PUBLISHER, REPLICA, OTHER_REPLICA])
    chain, _ = create_chain(primary.dsn("owner"), ORIGIN, keys, [("writer", "engine")])
    with Ledger.open(primary.dsn("writer")) as ledger:
        two_of_each(ledger)
        goal = ledger.head().seq
    # Few commits a segment, so that the replica has boundaries of its own as well.
    mended.setattr(publishing, "COMMITS_AT_ONCE", 3)
    publisher = Publisher(primary.dsn("publisher"), ORIGIN, kafka.bootstrap, PUBLISHER)
    applier = Applier(replica.dsn("applier"), ORIGIN, chain.chain_id, kafka.bootstrap, PUBLISHER.public_key, REPLICA)
    deadline = time.monotonic() + 60
    while publisher.status.acknowledged_seq < goal:
        publisher.step()
        applier.step(20)
        assert time.monotonic() < deadline, "the replica did not catch up"
    publisher.close()
    applier.close()
    with db.connect(primary.dsn("publisher"), "test") as connection:
        last = stored.commits(connection, chain.chain)[-2]
        head = events.read_seqs(connection, chain.chain, chain.chain_id, [last.last_seq])[last.last_seq]
        said = Acknowledgement(chain.chain_id, 1, head.seq, head.hash, last.state_digest, 7, OTHER_REPLICA.key_id)
        row = (said.key_id, 1, head.seq, head.hash, last.state_digest, 7, time.time_ns())
        signature = acknowledgement.encode(said, OTHER_REPLICA)[-64:]
        stored.upsert(connection, chain.chain, stored.Acknowledgement(*row, signature))
    return found


@pytest.fixture(scope="module", params=["primary", "replica"])
def region(request: pytest.FixtureRequest, regions: dict[str, Database]) -> Iterator[Database]:
    """A copy to be broken; whoever breaks it mends it."""
    with copied(regions[request.param]) as made:
        yield made


Place = tuple[str | int | None, tuple[str, ...] | None, str | None]


def places(found: list[Finding]) -> list[Place]:
    """Return (table or seq, key, column) of each finding, those that follow from another left out."""
    return sorted(((x.seq if x.table is None else x.table, x.key, x.column) for x in found if x.after is None), key=str)


def keys_of(intruder: Intruder, table: str, key: tuple[str, ...]) -> list[tuple[str, ...]]:
    shown = ", ".join(f'"{name}"::text' for name in key)
    return [tuple(row) for row in intruder.connection.execute(f"SELECT {shown} FROM ledger.{table} ORDER BY {shown}")]


def where(names: tuple[str, ...], key: tuple[str, ...]) -> str:
    return " AND ".join(f"\"{name}\"::text = '{value}'" for name, value in zip(names, key, strict=True))


def test_both_regions_are_good_before_anything_is_edited(regions: dict[str, Database]) -> None:
    """Else nothing below would mean anything; and every table that can have two rows has them."""
    for name, database in regions.items():
        report = report_on(database)
        assert (report.findings, report.verdict, report.region_mode) == ([], "verified", name)
        assert all(count >= 2 for count in report.rows.values()), report.rows


@pytest.mark.parametrize("table", TABLES)
def test_an_edited_column_of_a_read_model_is_named_and_only_it(region: Database, table: str) -> None:
    """By key and column, key columns included; a row under another chain number is missing here and astray there."""
    names = TABLES[table].key
    with Intruder(region) as intruder:
        # The last one: a number in its key can be raised without meeting the next.
        key = keys_of(intruder, table, names)[-1]
        for column, kind in columns(region, table).items():
            with intruder.undone(table):
                if column == "chain":
                    intruder.edit(table, f"UPDATE ledger.{table} SET chain = {NOWHERE} WHERE {where(names, key)}")
                    expected: list[Place] = [(table, (str(NOWHERE), *key), "chain"), (table, key, None)]
                else:
                    assert changed(intruder, table, column, kind, where(names, key)), column
                    expected = [(table, key, column)]
                assert places(real(report_on(region))) == sorted(expected, key=str), column
    assert real(report_on(region)) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_deleted_inserted_doubled_swapped_or_truncated_row_is_named(region: Database, table: str) -> None:
    """The row too many or one less by its key; of two rows with each other's values every column that differs."""
    names = TABLES[table].key
    with Intruder(region) as intruder:
        intruder.unguard(table)
        keys = keys_of(intruder, table, names)
        key = keys[0]
        with intruder.undone(table):
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {where(names, key)}")
            assert places(real(report_on(region))) == [(table, key, None)]
        with intruder.undone(table):
            intruder.edit(table, f"DELETE FROM ledger.{table}")
            assert places(real(report_on(region))) == [(table, (), None)]
            assert [x.kind for x in real(report_on(region))] == ["TRUNCATED"]
        others = [name for name in columns(region, table) if name not in (*names, "chain")]
        kind = columns(region, table)[names[-1]]
        fresh = {"bigint": 'x."{0}" + 1000', "text": "x.\"{0}\" || '-2'"}[kind].format(names[-1])
        listed = ", ".join(f'x."{name}"' if name != names[-1] else fresh for name in columns(region, table))
        with intruder.undone(table):
            intruder.edit(table, f"INSERT INTO ledger.{table} SELECT {listed} FROM ledger.{table} x WHERE "
                          f"{where(names, key)}")  # fmt: skip
            (new,) = set(keys_of(intruder, table, names)) - set(keys)
            assert places(real(report_on(region))) == [(table, new, None)]
        intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT IF EXISTS {table}_pkey CASCADE")
        # Two rows are exchanged one after the other, which no unique index bears.
        intruder.connection.execute("DROP INDEX IF EXISTS ledger.executions_ref")
        with intruder.undone(table):
            intruder.edit(table, f"INSERT INTO ledger.{table} SELECT * FROM ledger.{table} WHERE {where(names, key)}")
            (twice,) = real(report_on(region))
            assert (twice.table, twice.key, twice.expected, twice.actual) == (table, key, "one row", "two")
        before = {tuple(str(row[name]) for name in names): row for row in intruder.rows(table)}
        one, two = max(
            ((a, b) for a in before for b in before if a < b),
            key=lambda pair: sum(before[pair[0]][name] != before[pair[1]][name] for name in others),
        )
        with intruder.undone(table):
            swap = ", ".join(f'"{name}" = b."{name}"' for name in others)
            pairs = [(one, two), (two, one)]
            cases = " OR ".join(
                "(" + where_of("a", names, left) + " AND " + where_of("b", names, right) + ")" for left, right in pairs
            )
            intruder.edit(table, f"UPDATE ledger.{table} a SET {swap} FROM ledger.{table} b WHERE {cases}")
            different = [name for name in others if before[one][name] != before[two][name]]
            assert different
            assert places(real(report_on(region))) == sorted(
                [(table, key, name) for key in (one, two) for name in different], key=str
            )


def where_of(alias: str, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    return " AND ".join(f"{alias}.\"{name}\"::text = '{value}'" for name, value in zip(names, key, strict=True))


@pytest.mark.parametrize("column", [
    "epoch", "prev_hash", "hash", "event_id", "event_type", "schema_version", "stream", "stream_version", "group_id",
    "group_index", "group_size", "idempotency_key", "request_hash", "occurred_at", "recorded_at", "effective_on",
    "actor", "source", "correlation_id", "causation_id", "salt", "payload",
])  # fmt: skip
def test_an_edited_column_of_an_event_is_named_by_seq_and_column(region: Database, column: str) -> None:
    """Whatever column is edited, at the start of a group, inside one or at the very end, it is named, and only it."""
    kinds = columns(region, "events")
    last = int(region.sql("SELECT max(seq) FROM ledger.events"))
    with Intruder(region) as intruder:
        for seq in (9, 12, last):
            with intruder.undone("events"):
                assert changed(intruder, "events", column, kinds[column], f"seq = {seq}")
                found = real(report_on(region))
                assert [(x.kind, x.seq, x.column) for x in found] == [("BYTES_MODIFIED", seq, column)]
        assert real(report_on(region)) == []
    assert {"chain", "seq", column} <= set(kinds)


def test_every_column_of_events_is_in_the_tests() -> None:
    """A new column must not be forgotten here."""
    from ledger.chain.entry import RecordedEvent

    (marks,) = test_an_edited_column_of_an_event_is_named_by_seq_and_column.pytestmark  # type: ignore[attr-defined]
    assert {"chain_id", "seq", *marks.args[1]} == set(RecordedEvent.__struct_fields__)


COPY_OF = (
    "INSERT INTO ledger.events SELECT chain, {0}, epoch, prev_hash, hash, event_id, event_type, schema_version, stream,"
    " stream_version, group_id, group_index, group_size, idempotency_key, request_hash, occurred_at, recorded_at,"
    " effective_on, actor, source, correlation_id, causation_id, salt, payload FROM ledger.events WHERE seq = {1}"
)


def test_an_event_with_another_seq_or_chain_number_is_named(region: Database) -> None:
    """Moved past the end it is missed at its place and known at the new one; under another number it is astray."""
    last = int(region.sql("SELECT max(seq) FROM ledger.events"))
    with Intruder(region) as intruder:
        for seq, expected in (
            (last, [("BYTES_MODIFIED", last + 1, "seq")]),
            (9, [("SEQ_GAP", 9, "seq"), ("BYTES_MODIFIED", last + 1, "seq")]),
        ):
            with intruder.undone("events"):
                intruder.edit("events", f"UPDATE ledger.events SET seq = {last + 1} WHERE seq = {seq}")
                found = [x for x in real(report_on(region)) if x.after is None]
                assert [(x.kind, x.seq, x.column) for x in found] == expected
                assert (found[-1].expected, found[-1].actual) == (str(seq), str(last + 1))
        with intruder.undone("events"):
            intruder.edit("events", f"UPDATE ledger.events SET chain = {NOWHERE} WHERE seq = 9")
            found = [x for x in real(report_on(region)) if x.after is None]
            assert [(x.kind, x.seq, x.table, x.key, x.column) for x in found] == [
                ("STRAY_ROWS", None, "events", (str(NOWHERE), "9"), "chain"), ("SEQ_GAP", 9, None, None, "seq"),
            ]  # fmt: skip


def test_deleted_copied_swapped_and_truncated_events_are_named(region: Database) -> None:
    """Each way to change which rows there are has a class of its own, and the events it is about."""
    last = int(region.sql("SELECT max(seq) FROM ledger.events"))
    swap = "UPDATE ledger.events SET seq = CASE seq WHEN {0} THEN {1} ELSE {0} END + 1000 WHERE seq IN ({0}, {1});" \
           "UPDATE ledger.events SET seq = seq - 1000 WHERE seq > 1000"  # fmt: skip
    cases: list[tuple[str, list[tuple[str, int, str | None]]]] = [
        ("DELETE FROM ledger.events WHERE seq = 12", [("SEQ_GAP", 12, "seq")]),
        ("DELETE FROM ledger.events WHERE seq BETWEEN 12 AND 14", [("SEQ_GAP", 12, "seq")]),
        ("DELETE FROM ledger.events WHERE seq = 1", [("SEQ_GAP", 1, "seq")]),
        ("DELETE FROM ledger.events WHERE seq > 20", [("TRUNCATED", 21, "seq")]),
        ("DELETE FROM ledger.events", [("TRUNCATED", 1, "seq")]),
        (COPY_OF.format(last + 1, 12), [("SEQ_DUP", last + 1, "seq")]),
        (swap.format(8, 9), [("BYTES_MODIFIED", 8, "seq"), ("BYTES_MODIFIED", 9, "seq")]),
        (swap.format(12, last), [("BYTES_MODIFIED", 12, "seq"), ("BYTES_MODIFIED", last, "seq")]),
    ]
    with Intruder(region) as intruder:
        intruder.unguard("events")
        for sql, expected in cases:
            with intruder.undone("events"):
                intruder.edit("events", sql)
                report = report_on(region)
                found = [(x.kind, x.seq, x.column) for x in real(report) if x.after is None]
                assert found == expected, sql
                assert report.verdict == "broken"
        intruder.connection.execute("ALTER TABLE ledger.events DROP CONSTRAINT IF EXISTS events_pkey")
        with intruder.undone("events"):
            intruder.edit("events", COPY_OF.format(12, 12))
            assert [(x.kind, x.seq) for x in real(report_on(region))] == [("SEQ_DUP", 12)]


def test_a_new_event_past_the_head_is_named(region: Database) -> None:
    """A row that only looks like the next event has other bytes than its hash, and the head does not know it."""
    last = int(region.sql("SELECT max(seq) FROM ledger.events"))
    new = COPY_OF.replace("epoch, prev_hash, hash,", "epoch, hash, sha256(hash),").format(last + 1, last)
    with Intruder(region) as intruder, intruder.undone("events"):
        intruder.unguard("events")
        intruder.edit("events", new)
        found = {(x.kind, x.seq, x.table, x.column) for x in real(report_on(region)) if x.after is None}
    assert ("HEAD_MISMATCH", None, "chain_heads", "seq") in found
    assert "BYTES_MODIFIED" in {kind for kind, seq, _, _ in found if seq == last + 1}


HEAD = (ORIGIN,)
AROUND: list[tuple[str, str, tuple[str, ...] | None, str | None]] = [
    # (table, column, key, column named); a key of None: the row's own
    ("chains", "chain_id", HEAD, "chain_id"),
    ("chains", "origin", (ORIGIN + "x",), "origin"),
    ("chains", "format_version", HEAD, "format_version"),
    ("chains", "genesis", HEAD, "genesis"),
    ("chain_heads", "seq", HEAD, "seq"),
    ("chain_heads", "hash", HEAD, "hash"),
    ("chain_heads", "recorded_at", HEAD, "recorded_at"),
    ("chain_heads", "epoch", HEAD, "epoch"),
    ("state_digests", "seq", HEAD, "seq"),
    ("state_digests", "lanes", HEAD, "lanes"),
    ("commits", "last_seq", None, "last_seq"),
    ("commits", "first_seq", None, "first_seq"),
    ("commits", "state_digest", None, "state_digest"),
    ("commits", "committed_at", None, "committed_at"),
    ("idempotency_keys", "source", None, "source"),
    ("idempotency_keys", "key", None, "key"),
    ("idempotency_keys", "first_seq", None, "first_seq"),
]
OWN_KEY = {"commits": ("last_seq",), "idempotency_keys": ("source", "key"), "acknowledgements": ("replica",)}


@pytest.mark.parametrize(("table", "column", "key", "named_column"), AROUND)
def test_an_edited_column_around_the_chain_is_named_and_only_it(
    region: Database, table: str, column: str, key: tuple[str, ...] | None, named_column: str
) -> None:
    """Chain, head, digest, boundaries and keys: what stands beside the events is held against them."""
    with Intruder(region) as intruder:
        own = OWN_KEY.get(table, ())
        last = keys_of(intruder, table, own)[-1] if own else ()
        if table == "commits":
            last = max(keys_of(intruder, table, own), key=lambda found: int(found[0]))
        expected = key if key is not None else last
        if table == "commits" and column == "last_seq":
            expected = (str(int(last[0]) + 1),)
        with intruder.undone(table):
            assert changed(intruder, table, column, columns(region, table)[column], where(own, last) if own else "true")
            assert places(real(report_on(region))) == [(table, expected, named_column)]


def test_what_stands_beside_the_chain_is_in_the_tests(region: Database) -> None:
    """Every table and column is edited somewhere in this file, or said not to be covered."""
    tested = {(table, column) for table, column, _, _ in AROUND}
    elsewhere = {
        *((table, "chain") for table in (*OWN_KEY, "chains", "chain_heads", "state_digests", "replica_state")),
        ("chain_heads", "mode"), ("replica_state", "topic"), ("replica_state", "next_offset"),
        ("replica_state", "topic_id"),
        *(("acknowledgements", name) for name in columns(region, "acknowledgements")),
        *((table, name) for table in ("source_logins", "history_changes") for name in columns(region, table)),
        ("alembic_version", "version_num"),
        # In test_kept.py.
        *((table, name) for table in KEPT for name in columns(region, table)),
    }  # fmt: skip
    there = region.sql("SELECT c.table_name || ' ' || column_name FROM information_schema.columns c WHERE "
                       "table_schema = 'ledger'")  # fmt: skip
    found = {tuple(line.split(" ")) for line in there.splitlines()}
    assert {place for place in found if place[0] not in (*TABLES, "events")} == tested | elsewhere


@pytest.mark.parametrize("table", ["commits", "idempotency_keys"])
def test_a_deleted_inserted_swapped_or_truncated_boundary_or_key_is_named(region: Database, table: str) -> None:
    """A missing boundary shows in the one after it, or as a row of its own; a key by source and key."""
    own = OWN_KEY[table]
    with Intruder(region) as intruder:
        intruder.unguard(table)
        keys = keys_of(intruder, table, own)
        if table == "commits":
            keys.sort(key=lambda found: int(found[0]))
        one, two, last = keys[4], keys[5], keys[-1]
        with intruder.undone(table):
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {where(own, one)}")
            (found,) = real(report_on(region))
            expected = (two, "first_seq") if table == "commits" else (one, None)
            assert (found.key, found.column) == expected
            assert ("or a row of its own" if table == "commits" else "a row") in found.expected
        with intruder.undone(table):
            intruder.edit(table, f"DELETE FROM ledger.{table} WHERE {where(own, last)}")
            assert places(real(report_on(region))) == [(table, last, None)]
        with intruder.undone(table):
            intruder.edit(table, f"DELETE FROM ledger.{table}")
            assert [(x.kind, x.table, x.key) for x in real(report_on(region))] == [("TRUNCATED", table, ())]
        with intruder.undone(table):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = {NOWHERE} WHERE {where(own, last)}")
            expected_places: list[Place] = [(table, (str(NOWHERE), *last), "chain"), (table, last, None)]
            assert places(real(report_on(region))) == sorted(expected_places, key=str)
        copy = {"commits": "x.chain, x.last_seq + 1000, x.first_seq, x.state_digest, x.committed_at + 1",
                "idempotency_keys": "x.chain, x.source, x.key || '-2', x.first_seq"}[table]  # fmt: skip
        with intruder.undone(table):
            intruder.edit(table, f"INSERT INTO ledger.{table} SELECT {copy} FROM ledger.{table} x WHERE "
                          f"{where(own, one)}")  # fmt: skip
            (new,) = set(keys_of(intruder, table, own)) - set(keys)
            assert places(real(report_on(region))) == [(table, new, None)]
        swapped, named_columns = {
            "commits": ("state_digest", ("state_digest",)), "idempotency_keys": ("first_seq", ("first_seq",)),
        }[table]  # fmt: skip
        with intruder.undone(table):
            cases = " OR ".join(
                f"({where_of('a', own, left)} AND {where_of('b', own, right)})"
                for left, right in ((one, two), (two, one))
            )
            intruder.edit(table, f"UPDATE ledger.{table} a SET {swapped} = b.{swapped} FROM ledger.{table} b "
                          f"WHERE {cases}")  # fmt: skip
            assert places(real(report_on(region))) == sorted(
                [(table, key, name) for key in (one, two) for name in named_columns], key=str
            )


def test_a_missing_inserted_or_astray_row_around_the_chain_is_named(region: Database) -> None:
    """Head, digest, place in the topic and the chain's own row, gone, too many or under another number."""
    replica = report_on(region).region_mode == "replica"
    with Intruder(region) as intruder:
        for table in ("chain_heads", "state_digests", *(["replica_state"] if replica else [])):
            for statement in ("DELETE FROM ledger.{}", "TRUNCATE ledger.{}"):
                with intruder.undone(table):
                    intruder.edit(table, statement.format(table))
                    assert places(real(report_on(region))) == [(table, HEAD, None)]
            with intruder.undone(table):
                intruder.edit(table, f"UPDATE ledger.{table} SET chain = {NOWHERE}")
                expected: list[Place] = [(table, (str(NOWHERE),), "chain"), (table, HEAD, None)]
                assert places(real(report_on(region))) == expected
            with intruder.undone(table):
                others = ", ".join(name for name in columns(region, table) if name != "chain")
                intruder.edit(table, f"INSERT INTO ledger.{table} SELECT {NOWHERE}, {others} FROM ledger.{table}")
                assert places(real(report_on(region))) == [(table, (str(NOWHERE),), "chain")]
        with intruder.undone("chains"):
            intruder.edit("chains", f"UPDATE ledger.chains SET chain = {NOWHERE}")
            assert places(real(report_on(region))) == [("chains", HEAD, "chain")]
        with intruder.undone("chains"):
            intruder.edit("chains", "INSERT INTO ledger.chains SELECT 2, gen_random_uuid(), origin || '/2', 1, genesis "
                          "FROM ledger.chains")  # fmt: skip
            assert places(real(report_on(region))) == [("chains", (ORIGIN + "/2",), None)]
    for statement in ("DELETE FROM ledger.chains", "TRUNCATE ledger.chains CASCADE"):
        tables = ("chains", "chain_heads", "state_digests", "replica_state")
        with copied(region) as broken, Intruder(broken) as other:
            for table in tables:
                other.connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
            other.connection.execute(statement)
            for origin in (ORIGIN, None):
                report = report_on(broken, origin)
                assert (report.verdict, places(report.findings)) == ("broken", [("chains", ("1",), None)])


def test_a_changed_mode_shows_by_the_place_in_the_topic(region: Database) -> None:
    """In a chain's first reign a replica has a place in the topic, and a primary none; later only its word."""
    with Intruder(region) as intruder, intruder.undone("chain_heads"):
        other = {"primary": "replica", "replica": "primary"}
        mode = report_on(region).region_mode
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET mode = '{other[mode]}'")
        (found,) = real(report_on(region))
        assert (found.table, found.key) == ("replica_state", HEAD)
        assert "chain_heads.mode" in found.expected
        intruder.unguard("chain_heads")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'x'")
        assert ("chain_heads", HEAD, "mode") in places(real(report_on(region)))


def test_the_place_in_the_topic_is_checked_as_far_as_it_can_be(regions: dict[str, Database]) -> None:
    """The topic's name follows from the chain, and no offset is below zero; how far it was read is only said."""
    with copied(regions["replica"]) as region, Intruder(region) as intruder:
        intruder.unguard("replica_state")
        for column, value in (("topic", "'x'"), ("next_offset", "-1"), ("topic_id", "topic_id || 'x'")):
            with intruder.undone("replica_state"):
                intruder.edit("replica_state", f"UPDATE ledger.replica_state SET {column} = {value}")
                expected: list[Place] = [] if column == "topic_id" else [("replica_state", HEAD, column)]
                assert places(real(report_on(region))) == expected
        before = report_on(region).vouched
        intruder.edit("replica_state", "UPDATE ledger.replica_state SET next_offset = 12345")
        assert (
            [line for line in report_on(region).vouched if line not in before]
            == [line for line in report_on(region).vouched if line.endswith("offset 12345")]
            != []
        )


def test_every_column_of_an_acknowledgement_is_checked(regions: dict[str, Database]) -> None:
    """Whatever is edited, invented or swapped between replicas is not what the replica signed."""
    with copied(regions["primary"]) as region, Intruder(region) as intruder:
        intruder.unguard("acknowledgements")
        (one,), (two,) = keys_of(intruder, "acknowledgements", ("replica",))
        for column, kind in columns(region, "acknowledgements").items():
            with intruder.undone("acknowledgements"):
                expected: list[Place] = [("acknowledgements", (one,), column)]
                if column == "chain":
                    intruder.edit("acknowledgements", f"UPDATE ledger.acknowledgements SET chain = {NOWHERE} WHERE "
                                  f"replica = '{one}'")  # fmt: skip
                    expected = [("acknowledgements", (str(NOWHERE), one), "chain")]
                elif column == "received_at":
                    intruder.edit("acknowledgements", "UPDATE ledger.acknowledgements SET received_at = 5 WHERE "
                                  f"replica = '{one}'")  # fmt: skip
                else:
                    assert changed(intruder, "acknowledgements", column, kind, f"replica = '{one}'")
                if column == "replica":
                    expected = [("acknowledgements", (one + "x",), column)]
                if column == "signature":
                    expected = [("acknowledgements", (one,), "signature or applied_at")]
                assert places(real(report_on(region))) == expected, column
        others = ", ".join(name for name in columns(region, "acknowledgements") if name not in ("chain", "replica"))
        with intruder.undone("acknowledgements"):
            intruder.edit("acknowledgements", f"INSERT INTO ledger.acknowledgements SELECT chain, 'forged', {others} "
                          f"FROM ledger.acknowledgements WHERE replica = '{one}'")  # fmt: skip
            assert places(real(report_on(region))) == [("acknowledgements", ("forged",), "replica")]
        with intruder.undone("acknowledgements"):
            intruder.edit("acknowledgements", "UPDATE ledger.acknowledgements SET replica = CASE replica WHEN "
                          f"'{one}' THEN '{two}-' ELSE '{one}-' END; UPDATE ledger.acknowledgements SET replica = "
                          "rtrim(replica, '-')")  # fmt: skip
            assert {(x.table, x.key) for x in real(report_on(region))} == {
                ("acknowledgements", (one,)), ("acknowledgements", (two,)),
            }  # fmt: skip
        intruder.edit("acknowledgements", "TRUNCATE ledger.acknowledgements")
        assert real(report_on(region)) == []
    assert any("acknowledgement is missing" in line for line in NOT_COVERED)


@pytest.mark.parametrize(("table", "insert", "update"), [
    ("source_logins", "('mallory', 'engine')", "login = login || '-2'"),
    ("history_changes", "(900, 1, 'mallory', 'tidying', 'null')", "changed_by = 'eve'"),
])  # fmt: skip
def test_what_only_the_region_vouches_for_is_shown_and_not_claimed(
    region: Database, table: str, insert: str, update: str
) -> None:
    """No finding can be had from these tables: the report says so, and lists what they say for the auditor to judge."""
    assert any(table in line for line in NOT_COVERED)
    with Intruder(region) as intruder, intruder.undone(table):
        seen = [report_on(region).vouched]
        for statement in (f"INSERT INTO ledger.{table} VALUES {insert}", f"UPDATE ledger.{table} SET {update}",
                          f"TRUNCATE ledger.{table}"):  # fmt: skip
            intruder.edit(table, statement)
            report = report_on(region)
            assert real(report) == []
            assert report.vouched not in seen
            seen = [report.vouched]


def test_the_schema_s_own_version_is_checked(region: Database) -> None:
    """Another version is another schema than the one that is expected."""
    with Intruder(region) as intruder, intruder.undone("alembic_version"):
        intruder.edit("alembic_version", "UPDATE ledger.alembic_version SET version_num = '0999'")
        assert ("catalogue", ("revision",), None) in places(report_on(region).findings)
