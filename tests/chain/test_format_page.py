"""
Check that docs/FORMAT.md says of the read models and of every example what the code and the vectors do.
"""

from __future__ import annotations

import re
import textwrap
import typing

import pytest

from ledger.domain.rows import TABLES, TableSpec
from tests.vectors.layout import raw
from tests.vectors.read_models import PAGE, READ_MODELS, block

MIGRATION = PAGE.parents[1] / "migrations" / "versions" / "0001_tables.sql"
SQL_TYPES = {
    "text": "TEXT", "integer": "BIGINT", "amount": "NUMERIC", "boolean": "BOOLEAN", "date": "DATE", "list": "TEXT[]",
}  # fmt: skip
VECTORS = {path.stem: path.read_text() for path in (PAGE.parents[1] / "tests" / "vectors").glob("*.json")}
EXAMPLES = re.findall(r"^```hex (\w+)\n(.*?)\n```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def kind_of(spec: TableSpec, column: str) -> str:
    hint = str(typing.get_type_hints(spec.row_type)[column])
    if column in spec.amounts:
        return "amount"
    if column in spec.dates:
        return "date"
    return next((k for k, word in (("list", "tuple"), ("boolean", "bool"), ("integer", "int")) if word in hint), "text")


def listed(spec: TableSpec) -> str:
    hints = typing.get_type_hints(spec.row_type)
    parts = [
        f"{name}{'*' if name in spec.key else ''}~{kind_of(spec, name)}{'?' if 'None' in str(hints[name]) else ''}"
        for name in spec.columns
    ]
    # A column and its type stay on one line.
    return textwrap.fill(f"{spec.name}: {', '.join(parts)}", 118, subsequent_indent="    ").replace("~", " ")


def test_the_page_lists_every_column_of_every_read_model() -> None:
    """Table by table as ledger/domain/rows has them: where this fails, its left side is what belongs on the page."""
    assert "\n\n".join(listed(spec) for spec in TABLES.values()) == block(PAGE.read_text())


@pytest.mark.parametrize("table", READ_MODELS)
def test_the_page_lists_the_columns_that_the_database_has(table: str) -> None:
    """The same columns in the same order, each of the type that is named, and NULL where it may be and nowhere else."""
    made = re.search(rf"CREATE TABLE ledger\.{table} \((.*?)^\)", MIGRATION.read_text(), re.DOTALL | re.MULTILINE)
    assert made
    lines = [line.strip().rstrip(",") for line in made[1].strip().splitlines() if not line.strip().startswith("CON")]
    columns = [f"{name} {SQL_TYPES[kind]}{'' if null else ' NOT NULL'}" for name, kind, null in READ_MODELS[table]]
    assert lines == ["chain SMALLINT NOT NULL", *columns]


def test_the_page_names_every_column_of_the_events_table() -> None:
    """Each is a field of the entry, or said to stand beside it."""
    made = re.search(r"CREATE TABLE ledger\.events \((.*?)^\)", MIGRATION.read_text(), re.DOTALL | re.MULTILINE)
    assert made
    columns = [line.split()[0] for line in made[1].strip().splitlines() if "CONSTRAINT" not in line]
    assert [column for column in columns if f"`{column}`" not in PAGE.read_text()] == []


@pytest.mark.parametrize(("vector", "lines"), EXAMPLES)
def test_an_example_of_the_page_is_that_of_a_vector(vector: str, lines: str) -> None:
    """The hexadecimal of its lines, joined, stands in the vector's file."""
    digits = "".join(line.split()[0] for line in lines.splitlines())
    assert raw(digits)
    assert digits in VECTORS[vector]


def test_every_vector_but_the_oldest_has_an_example() -> None:
    """So that a reader of the page can begin anywhere."""
    assert {vector for vector, _ in EXAMPLES} | {"chain", "entries"} == set(VECTORS)
