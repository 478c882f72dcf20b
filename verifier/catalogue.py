"""
Check the guards around the rows: triggers that are off, functions that were changed, rights that were widened.

An edit behind the ledger's back usually begins here: disable a trigger, edit, enable it again, or not. What is
expected is in catalogue.json, taken from a database as the migrations make it.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
from blake3 import blake3

from verifier.reader import Reader
from verifier.report import Finding

EXPECTED: Final = Path(__file__).parent / "catalogue.json"


Query = Callable[[typing.LiteralString], list[tuple[typing.Any, ...]]]
"""What runs SQL and returns its rows."""


def facts(query: Query) -> dict[str, str]:
    """
    Return every fact about the schema's guards, by name.
    """
    found: dict[str, str] = {}
    for table, name, enabled, definition in query(
        "SELECT c.relname, t.tgname, t.tgenabled::text, pg_get_triggerdef(t.oid) FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'ledger' AND NOT t.tgisinternal"
    ):
        found[f"trigger {table}.{name}"] = f"{enabled} {definition}"
    for name, arguments, source, config, definer, owner in query(
        "SELECT p.proname, pg_get_function_identity_arguments(p.oid), p.prosrc, coalesce(p.proconfig::text, ''),"
        " p.prosecdef, pg_get_userbyid(p.proowner) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'ledger'"
    ):
        body = blake3(source.encode()).hexdigest()
        found[f"function {name}({arguments})"] = f"{body} {config} definer={definer} owner={owner}"
    for table, column, role, verb in query(
        "WITH granted AS (SELECT c.relname, '' AS attname, c.relnamespace, c.relowner, aclexplode(c.relacl) AS acl"
        " FROM pg_class c UNION ALL SELECT c.relname, a.attname, c.relnamespace, c.relowner, aclexplode(a.attacl)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0)"
        " SELECT g.relname, g.attname, CASE WHEN (g.acl).grantee = 0 THEN 'PUBLIC'"
        " ELSE pg_get_userbyid((g.acl).grantee) END, (g.acl).privilege_type FROM granted g"
        " JOIN pg_namespace n ON n.oid = g.relnamespace WHERE n.nspname = 'ledger' AND (g.acl).grantee <> g.relowner"
    ):
        found[f"grant {role} {verb} {table}{f'({column})' if column else ''}"] = "granted"
    for table, owner in query(
        "SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'v', 'S')"
    ):
        found[f"owner {table}"] = owner
    for table, name, definition, valid in query(
        "SELECT c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'ledger' AND k.contype IN ('p', 'u', 'f', 'c')"
    ):
        found[f"constraint {table}.{name}"] = f"{definition} valid={valid}"
    return found


def check(reader: Reader) -> list[Finding]:
    """
    Return every guard that is missing, changed or new.
    """
    expected: dict[str, str] = json.loads(EXPECTED.read_text())
    actual = facts(reader.query)
    return [
        Finding(
            "GUARD_CHANGED", expected.get(name, "nothing"), actual.get(name, "nothing"), table="catalogue", key=(name,)
        )
        for name in sorted({*expected, *actual})
        if expected.get(name) != actual.get(name)
    ]


def write(address: str) -> None:
    """
    Take what is expected anew from the database at *address*, fresh from its migrations.
    """
    with psycopg.connect(address) as connection:
        found = facts(lambda sql: connection.execute(sql).fetchall())
    EXPECTED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
