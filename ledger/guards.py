"""
Say what the schema is, fact by fact, and what its migrations make of it.

Tables, columns, constraints, triggers, the text of functions, grants: each is a fact with a name. What they should be
is in guards.json, taken from a database fresh from its migrations; nothing else may be in the schema. Verifier and
`tradeledger db check` ask the same facts. This module knows no connection: it is handed what runs its SQL.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blake3 import blake3

SESSION: Final = "SET search_path = pg_catalog; SET quote_all_identifiers = off"
"""What a session sets before it asks for facts: the server prints names by it."""
EXPECTED: Final = Path(__file__).parent / "guards.json"
NOTHING: Final = "nothing"

Query = Callable[[typing.LiteralString], list[tuple[typing.Any, ...]]]
"""What runs SQL and returns its rows, in a session that was set by `SESSION`."""

_SCHEMA: Final[tuple[typing.LiteralString, ...]] = (
    # Everything that is in the schema, of whatever kind: a view or an operator of somebody's own is a trap for readers.
    "SELECT 'object ' || pg_describe_object(d.classid, d.objid, d.objsubid), 'present' FROM pg_depend d"
    " WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('ledger')",
    # A table says of itself whether there is any trigger, index or check to heed: what it denies is there and does
    # nothing. Where there is none, what it says depends on what once was, and means nothing.
    "SELECT 'relation ' || c.relname, concat('kind=', c.relkind, ' persistence=', c.relpersistence, ' row security=',"
    " c.relrowsecurity, c.relforcerowsecurity, ' rules=', c.relhasrules, ' owner=', pg_get_userbyid(c.relowner),"
    " ' checks=', c.relchecks, ' triggers=',"
    " c.relhastriggers OR NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid), ' indexes=',"
    " c.relhasindex OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid))"
    " FROM pg_class c WHERE c.relnamespace = to_regnamespace('ledger') AND c.relkind NOT IN ('i', 'c')",
    # Under a collation of somebody's own two keys can be one, or one key two.
    "SELECT format('column %s.%s', c.relname, a.attname), concat_ws(' ', format_type(a.atttypid, a.atttypmod),"
    " CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, ''),"
    " nullif(a.attgenerated, ''), 'collation ' || nullif(a.attcollation, t.typcollation)::regcollation::text)"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE c.relnamespace ="
    " to_regnamespace('ledger') AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind NOT IN ('i', 'c', 'S')",
    # One that is not immediate waits for a check at the end that nobody makes; one that is not live is passed over.
    "SELECT format('index %s.%s', t.relname, c.relname), concat(pg_get_indexdef(i.indexrelid), ' valid=', i.indisvalid,"
    " ' ready=', i.indisready, ' live=', i.indislive, ' immediate=', i.indimmediate) FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE t.relnamespace = to_regnamespace('ledger')",
    "SELECT format('constraint %s.%s', c.relname, k.conname), concat(pg_get_constraintdef(k.oid), ' valid=',"
    " k.convalidated) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
    " WHERE c.relnamespace = to_regnamespace('ledger') AND k.contype <> 'n'",
    # One that says to be the database's own, and is of no constraint, is somebody's that hides.
    "SELECT format('trigger %s.%s', c.relname, t.tgname), concat(t.tgenabled, ' ', pg_get_triggerdef(t.oid))"
    " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = to_regnamespace('ledger')"
    " AND (NOT t.tgisinternal OR NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint))",
    # A foreign key is kept by triggers of the database's own, which can be switched off or changed like any other; each
    # is named by its number, which is another in every database.
    "SELECT format('foreign key %s %s on %s', k.conname, p.proname, c.relname), concat(t.tgenabled, ' ',"
    " replace(pg_get_triggerdef(t.oid), quote_ident(t.tgname), k.conname)) FROM pg_trigger t"
    " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_constraint k ON k.oid = t.tgconstraint JOIN pg_proc p"
    " ON p.oid = t.tgfoid WHERE c.relnamespace = to_regnamespace('ledger') AND t.tgisinternal",
    "SELECT format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), concat(p.prosrc, ' ',"
    " p.proconfig, ' language=', l.lanname, ' kind=', p.prokind, ' volatility=', p.provolatile, ' returns=',"
    " format_type(p.prorettype, NULL), ' definer=', p.prosecdef, ' owner=', pg_get_userbyid(p.proowner),"
    " ' arguments=', pg_get_function_arguments(p.oid), ' strict=', p.proisstrict)"
    " FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = to_regnamespace('ledger')",
    "SELECT format('rule %s.%s', c.relname, r.rulename), concat(r.ev_enabled, ' ', pg_get_ruledef(r.oid))"
    " FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = to_regnamespace('ledger')",
    "SELECT format('policy %s.%s', c.relname, p.polname), concat(p.polcmd, ' ', pg_get_expr(p.polqual, p.polrelid))"
    " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = to_regnamespace('ledger')",
    "SELECT format('inheritance %s of %s', i.inhrelid::regclass, i.inhparent::regclass), 'present' FROM pg_inherits i"
    " JOIN pg_class c ON c.oid = i.inhparent WHERE c.relnamespace = to_regnamespace('ledger') AND c.relkind <> 'I'",
    "WITH acl AS ("
    " SELECT c.relname AS name, c.relowner AS owner, aclexplode(c.relacl) AS item FROM pg_class c"
    "  WHERE c.relnamespace = to_regnamespace('ledger')"
    " UNION ALL SELECT format('%s(%s)', c.relname, a.attname), c.relowner, aclexplode(a.attacl) FROM pg_attribute a"
    "  JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = to_regnamespace('ledger') AND a.attnum > 0"
    " UNION ALL SELECT format('function %s', p.proname), p.proowner, aclexplode(coalesce(p.proacl,"
    "  acldefault('f', p.proowner))) FROM pg_proc p WHERE p.pronamespace = to_regnamespace('ledger')"
    " UNION ALL SELECT 'schema', n.nspowner, aclexplode(n.nspacl) FROM pg_namespace n WHERE n.nspname = 'ledger')"
    " SELECT format('grant %s %s %s', CASE WHEN (item).grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid((item).grantee)"
    " END, (item).privilege_type, name), CASE WHEN (item).is_grantable THEN 'granted, with the right to grant it on'"
    " ELSE 'granted' END FROM acl WHERE (item).grantee <> owner",
    "SELECT 'schema', concat('owner=', pg_get_userbyid(n.nspowner)) FROM pg_namespace n WHERE n.nspname = 'ledger'",
    "SELECT 'revision', coalesce(string_agg(version_num, ' and ' ORDER BY version_num), 'none')"
    " FROM ledger.alembic_version",
)


def facts(query: Query) -> dict[str, str]:
    """
    Return every fact about the schema and its guards, by name; the text of functions as its hash.
    """
    found: dict[str, str] = {}
    for sql in _SCHEMA:
        for name, value in query(sql):
            # Rows that would share a name (two indexes alike) must not hide each other.
            shown = blake3(value.encode()).hexdigest() if name.startswith("function ") else value
            found[name] = f"{found[name]}; {shown}" if name in found else shown
    return found


def differences(query: Query) -> list[tuple[str, str, str]]:
    """
    Return the name of each fact that is missing, changed or new, what it should be, and what it is.
    """
    expected: dict[str, str] = json.loads(EXPECTED.read_text())
    actual = facts(query)
    return [
        (name, expected.get(name, NOTHING), actual.get(name, NOTHING))
        for name in sorted({*expected, *actual})
        if expected.get(name) != actual.get(name)
    ]
