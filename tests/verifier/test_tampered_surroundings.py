"""
Edit what stands beside the events: chain, head, digests, boundaries, keys, the replica's place, acknowledgements.

Each edit is made alone, on a copy, and the findings must be exactly those that it brings about. The two regions are
real: one wrote, the other applied from a topic.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from ledger.domain.rows import TABLES
from ledger.evidence import policy
from ledger.evidence.note import ED25519, SigningKey
from tests.conftest import ORIGIN, Database
from tests.storage.test_storage import linked
from tests.verifier.intruder import (
    NOWHERE,
    Intruder,
    Place,
    changed,
    columns,
    copied,
    keys_of,
    places,
    real,
    report_on,
    where,
    where_of,
)
from verifier import full
from verifier.commits import CommitCheck
from verifier.reader import Reader
from verifier.region import KEPT
from verifier.report import NOT_COVERED
from verifier.stored import CommitRow, Unreadable
from verifier.tiled import sample
from verifier.tiled.databases import Region
from verifier.tiled.sample import Draw

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
    ("chain_heads", "unbalanced", HEAD, "unbalanced"),
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
    """Every table and column is edited in one of these files, or said not to be covered."""
    tested = {(table, column) for table, column, _, _ in AROUND}
    elsewhere = {
        *((table, "chain") for table in (*OWN_KEY, "chains", "chain_heads", "state_digests", "replica_state")),
        ("chain_heads", "mode"), ("replica_state", "topic"), ("replica_state", "next_offset"),
        ("replica_state", "topic_id"),
        *(("acknowledgements", name) for name in columns(region, "acknowledgements")),
        *((table, name) for table in ("source_logins", "history_changes") for name in columns(region, table)),
        ("alembic_version", "version_num"),
        # In test_sealed.py.
        *((table, name) for table in ("tiles", "checkpoints") for name in columns(region, table)),
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


def test_a_boundary_inside_a_group_is_named() -> None:
    """With the true digest and time of an event in the middle of its group: a replica would take the group in half."""
    events = [msgspec.structs.replace(event, group_index=event.seq % 2, group_size=2) for event in linked(6)[1:5]]
    for ends in ([3, 5], [2, 3, 5], [4, 5]):
        rows = [CommitRow(first, last, b"digest", events[last - 2].recorded_at)
                for first, last in zip([2, *(last + 1 for last in ends)], ends, strict=False)]  # fmt: skip
        check = CommitCheck(iter(rows), lambda time, low, high: None, after=1)
        for event in events:
            check.reach(event, lambda: b"digest")
        assert [(x.kind, x.key, x.column) for x in check.end(5)] == [
            ("COMMIT_MISMATCH", (str(last),), "last_seq") for last in ends if last % 2 == 0
        ]


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


def test_a_replica_that_keeps_no_checkpoint_is_neither_verified_by_a_policy_nor_broken(
    regions: dict[str, Database],
) -> None:
    """Whole and in parts: it never had one, so who has seen its history is not known."""
    log = SigningKey(ORIGIN, ED25519, bytes(32))
    trust = policy.decode(f"log {log.verifier.text()}\nquorum none\n".encode())
    with copied(regions["replica"]) as region, Intruder(region) as intruder:
        dsn = region.dsn("auditor")
        with Reader(dsn, ORIGIN) as reader, pytest.raises(Unreadable, match="keeps no checkpoint"):
            full.verify(reader, trust=trust)
        with Region(dsn, ORIGIN) as tiled, pytest.raises(Unreadable, match="a replica keeps none"):
            sample.of_region(tiled, trust, Draw(1, b"n", Decimal("0.5")), lambda what, count: None)
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET epoch = epoch + 1")
        with Reader(dsn, ORIGIN) as reader:
            report = full.verify(reader, trust=trust)
        assert [x.kind for x in report.findings] == ["HEAD_MISMATCH"]
        assert any("who has seen this history" in line for line in report.not_covered)
