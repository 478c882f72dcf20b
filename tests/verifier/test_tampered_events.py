"""
Edit, delete, copy and swap events behind the ledger's back, in a primary and in a replica.

Each edit is made alone, on a copy, and the findings must be exactly those that it brings about. The two regions are
real: one wrote, the other applied from a topic.
"""

from __future__ import annotations

import pytest

from tests.conftest import Database
from tests.verifier.intruder import (
    NOWHERE,
    Intruder,
    changed,
    columns,
    real,
    report_on,
)


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


def test_the_group_of_an_event_is_named_at_every_place_of_the_group(region: Database) -> None:
    """Whatever was written there: the events of the group say it to each other."""
    first = int(region.sql("SELECT min(seq) FROM ledger.events WHERE group_size > 2"))
    size = int(region.sql(f"SELECT group_size FROM ledger.events WHERE seq = {first}"))
    with Intruder(region) as intruder:
        for seq in range(first, first + size):
            with intruder.undone("events"):
                intruder.edit("events", f"UPDATE ledger.events SET group_id = '{'1' * 32}' WHERE seq = {seq}")
                found = real(report_on(region))
                assert [(x.kind, x.seq, x.column) for x in found] == [("BYTES_MODIFIED", seq, "group_id")]


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
