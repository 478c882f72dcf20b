"""
Check the guards around the rows: triggers that are off, functions that were changed, rights that were widened.

An edit behind the ledger's back usually begins here: disable a trigger, edit, enable it again, or not; or leave
something behind that edits later. What the schema should be is said by `ledger.guards`, fact by fact, and nothing else
may be in it. What surrounds the schema (roles, settings, event triggers) differs from firm to firm, so there the rule
is that nothing may be what would let someone past the guards.
"""

from __future__ import annotations

import json
import sys
import typing
from typing import Final

import psycopg

from ledger import guards
from ledger.guards import Query
from verifier.report import Finding

_HELD: Final = (
    # The ledger's roles, and whoever is a member of one: (member, role).
    "WITH RECURSIVE held AS ("
    "  SELECT r.oid AS member, r.oid AS role FROM pg_roles r WHERE r.rolname IN ('ledger_owner', 'ledger_writer',"
    "   'ledger_publisher', 'ledger_applier', 'ledger_sealer', 'ledger_auditor', 'ledger_reader')"
    "  UNION SELECT m.member, h.role FROM pg_auth_members m JOIN held h ON h.member = m.roleid)"
)

_AROUND: Final[tuple[typing.LiteralString, ...]] = (
    "SELECT 'event trigger ' || evtname, concat(evtenabled, ' on ', evtevent, ' calls ', evtfoid::regproc)"
    " FROM pg_event_trigger",
    "SELECT 'default privileges of ' || pg_get_userbyid(d.defaclrole), d.defaclacl::text FROM pg_default_acl d"
    " WHERE d.defaclnamespace = to_regnamespace('ledger') OR pg_get_userbyid(d.defaclrole) = 'ledger_owner'",
    # A subscription writes with other rights than a login.
    "SELECT 'subscription ' || subname, concat('enabled=', subenabled) FROM pg_subscription"
    " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    # None of them may have more rights than the role's, or a second role; to read by two of them is nothing more.
    _HELD + ", people AS (SELECT member, array_agg(DISTINCT pg_get_userbyid(role)::text"
    "  ORDER BY pg_get_userbyid(role)::text) AS roles FROM held GROUP BY member)"
    " SELECT 'role ' || r.rolname, concat_ws(', ', CASE WHEN r.rolsuper THEN 'superuser' END,"
    "  CASE WHEN r.rolcreaterole THEN 'may make roles' END, CASE WHEN r.rolreplication THEN 'may replicate' END,"
    "  CASE WHEN r.rolbypassrls THEN 'bypasses row security' END,"
    "  CASE WHEN r.rolcanlogin AND r.rolname LIKE 'ledger\\_%' AND r.rolname = ANY(p.roles) THEN 'may log in' END,"
    "  CASE WHEN cardinality(p.roles) > 1 AND NOT p.roles <@ ARRAY['ledger_auditor', 'ledger_reader']"
    "   THEN 'is several of ' || array_to_string(p.roles, ' and ') END,"
    "  (SELECT 'is a member of ' || string_agg(g.rolname, ' and ' ORDER BY g.rolname) FROM pg_roles g"
    "   WHERE g.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files',"
    "   'pg_read_server_files', 'pg_create_subscription') AND pg_has_role(r.oid, g.oid, 'MEMBER') AND NOT r.rolsuper),"
    # Whoever is a member of a role can become it, and then has what that has.
    "  (SELECT 'may become ' || string_agg(concat_ws(', ', s.rolname, CASE WHEN s.rolsuper THEN 'a superuser' END,"
    "   CASE WHEN s.rolcreaterole THEN 'who may make roles' END, CASE WHEN s.rolreplication THEN 'who may replicate'"
    "   END, CASE WHEN s.rolbypassrls THEN 'who bypasses row security' END), ' and ' ORDER BY s.rolname)"
    "   FROM pg_roles s WHERE (s.rolsuper OR s.rolcreaterole OR s.rolreplication OR s.rolbypassrls)"
    "   AND s.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER')))"
    " FROM people p JOIN pg_roles r ON r.oid = p.member",
    # Nor may anybody else who can write past every grant, or at the files below.
    _HELD + " SELECT 'role ' || r.rolname, 'is a member of ' || string_agg(g.rolname, ' and ' ORDER BY g.rolname)"
    " FROM pg_roles r JOIN pg_roles g ON g.rolname IN ('pg_write_all_data', 'pg_execute_server_program',"
    "  'pg_write_server_files', 'pg_maintain') AND pg_has_role(r.oid, g.oid, 'MEMBER')"
    " WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND NOT EXISTS (SELECT FROM held h WHERE h.member = r.oid)"
    " GROUP BY r.rolname",
    # What runs with the rights of the schema's owner or of a superuser can do all that its caller may not; PostgreSQL
    # has no such function of its own, so its schemas are looked at as well.
    _HELD + " SELECT format('function %s.%s(%s) with the rights of %s', n.nspname, p.proname,"
    "  pg_get_function_identity_arguments(p.oid), o.rolname), 'may be run by ' || string_agg(DISTINCT"
    "  pg_get_userbyid(h.member)::text, ', ' ORDER BY pg_get_userbyid(h.member)::text)"
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner, held h"
    " WHERE p.prosecdef AND n.nspname <> 'ledger'"
    "  AND (o.rolsuper OR EXISTS (SELECT FROM held x WHERE x.member = o.oid))"
    "  AND NOT pg_has_role(h.member, o.oid, 'MEMBER') AND has_function_privilege(h.member, p.oid, 'EXECUTE')"
    " GROUP BY n.nspname, p.proname, p.oid, o.rolname",
    # A database's owner may drop it, make schemas and install extensions.
    "SELECT 'database', 'owner=' || pg_get_userbyid(d.datdba) FROM pg_database d WHERE d.datname = current_database()"
    " AND NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'ledger_owner' AND pg_has_role(d.datdba, g.oid,"
    " 'MEMBER'))",
    # A superuser can hand out the right to change one setting, such as the one that turns every trigger off.
    _HELD + " SELECT 'right to set ' || parname, string_agg(DISTINCT concat((item).privilege_type, ' for ', r.rolname),"
    "  ', ' ORDER BY concat((item).privilege_type, ' for ', r.rolname))"
    " FROM (SELECT parname, aclexplode(paracl) AS item FROM pg_parameter_acl) granted, held h, pg_roles r"
    " WHERE r.oid = h.member AND NOT r.rolsuper"
    "  AND ((item).grantee = 0 OR pg_has_role(h.member, (item).grantee, 'MEMBER')) GROUP BY parname",
    "SELECT format('setting of %s in %s', coalesce(pg_get_userbyid(nullif(s.setrole, 0)), 'every role'),"
    "  coalesce(d.datname, 'every database')), concat_ws(', ', variadic array(SELECT item FROM unnest(s.setconfig) item"
    "  WHERE split_part(item, '=', 1) IN ('session_replication_role', 'search_path', 'row_security',"
    "  'zero_damaged_pages', 'ignore_checksum_failure', 'session_preload_libraries', 'local_preload_libraries')"
    "  OR item ~* '^synchronous_commit=(off|false|no|0)$'))"
    " FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase"
    " WHERE s.setdatabase = 0 OR d.datname = current_database()",
    "SELECT 'setting of the server', string_agg(format('%s=%s', name, reset_val), ', ' ORDER BY name) FROM pg_settings"
    " WHERE (name, reset_val) IN (('session_replication_role', 'replica'), ('session_replication_role', 'local'),"
    "  ('fsync', 'off'), ('full_page_writes', 'off'), ('synchronous_commit', 'off'), ('data_checksums', 'off'),"
    "  ('zero_damaged_pages', 'on'), ('ignore_checksum_failure', 'on'), ('allow_system_table_mods', 'on'))"
    # Where names are looked up, which rows are shown, and what may run any code in each session; what is set for this
    # database or login is said above.
    "  OR name IN ('search_path', 'row_security', 'session_preload_libraries', 'local_preload_libraries')"
    "   AND reset_val <> boot_val AND NOT EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) item"
    "   WHERE split_part(item, '=', 1) = name AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname ="
    "   session_user)) AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))",
)

_HOLDERS: Final = (
    "SELECT g.rolname, string_agg(r.rolname::text, ', ' ORDER BY r.rolname::text) FROM pg_roles g JOIN pg_roles r"
    " ON r.oid <> g.oid AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER') WHERE g.rolname IN ('ledger_owner',"
    " 'ledger_writer', 'ledger_publisher', 'ledger_applier', 'ledger_sealer', 'pg_write_all_data', 'pg_maintain',"
    " 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files', 'pg_create_subscription')"
    " GROUP BY g.rolname ORDER BY 1"
)
_UNSEEN: Final = (
    "which libraries the server loads in every session (session_preload_libraries), as this login may not see it: "
    "GRANT pg_read_all_settings TO ledger_auditor"
)


def around(query: Query) -> dict[str, str]:
    """
    Return, by name, what surrounds the schema and would let someone past its guards; nothing is good.
    """
    return {name: value for sql in _AROUND for name, value in query(sql) if value}


def check(connection: psycopg.Connection[typing.Any]) -> list[Finding]:
    """
    Return every guard that is missing, changed or new.
    """
    surprising = around(lambda sql: connection.execute(sql).fetchall())
    return [
        Finding("GUARD_CHANGED", expected, actual, table="catalogue", key=(name,))
        for name, expected, actual in _differences(connection)
    ] + [
        Finding("GUARD_CHANGED", "nothing", value, table="catalogue", key=(name,))
        for name, value in sorted(surprising.items())
    ]


def _differences(connection: psycopg.Connection[typing.Any]) -> list[tuple[str, str, str]]:
    """Return the facts about the schema that differ; those that cannot be asked for are missing."""

    def query(sql: typing.LiteralString) -> list[tuple[typing.Any, ...]]:
        try:
            with connection.transaction():
                return connection.execute(sql).fetchall()
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            return []

    try:
        with connection.transaction():
            return guards.differences(lambda sql: connection.execute(sql).fetchall())
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        # One question after the other, since one of them asks a table that somebody may have changed.
        return guards.differences(query)


def holders(query: Query) -> list[str]:
    """
    Return, as sentences, who has which role that writes, whether by another role or not: whom guards leave through.
    """
    return [f"role {name} is held by {who}" for name, who in query(_HOLDERS)]


def unseen(query: Query) -> list[str]:
    """
    Return what could not be looked at, as this login may not see it.
    """
    seen = query("SELECT FROM pg_settings WHERE name = 'session_preload_libraries'")
    return [] if seen else [_UNSEEN]


def write(address: str) -> None:
    """
    Take what is expected anew from the database at *address*, fresh from its migrations.
    """
    with psycopg.connect(address) as connection:
        connection.execute("SET search_path = pg_catalog")
        found = guards.facts(lambda sql: connection.execute(sql).fetchall())
    guards.EXPECTED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
