"""
Edit every column and row of every read model behind the ledger's back, in a primary and in a replica.

Each edit is made alone, on a copy, and the findings must be exactly those that it brings about. The two regions are
real: one wrote, the other applied from a topic.
"""

from __future__ import annotations

import pytest

from ledger.domain.rows import TABLES
from tests.conftest import Database
from tests.verifier.intruder import (
    NOWHERE,
    Intruder,
    Place,
    changed,
    columns,
    keys_of,
    places,
    real,
    report_on,
    where,
    where_of,
)


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


def test_an_array_that_is_numbered_from_another_place_is_named(region: Database) -> None:
    """The same elements in the same order are another value for SQL: `exec_ids[1]` is gone."""
    with Intruder(region) as intruder:
        for table, spec in TABLES.items():
            for column, kind in columns(region, table).items():
                if kind != "ARRAY":
                    continue
                with intruder.undone(table):
                    done = intruder.edit(
                        table,
                        f"UPDATE ledger.{table} SET {column} = ('[5:' || 4 + cardinality({column}) || ']=' || "
                        f"{column}::text)::text[] WHERE cardinality({column}) > 0 RETURNING {column}::text",
                    )
                    if done is not None:
                        found = real(report_on(region))
                        assert {(x.table, x.column) for x in found} == {(table, column)}, spec.name
                        assert "[5:" in found[0].actual
