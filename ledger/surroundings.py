"""
Say what surrounds the schema and would let someone past its guards, and which statement ends it.

What the schema should be is said by `ledger.guards`, fact by fact. What is around it (roles, settings, event triggers,
who owns the database) differs from firm to firm, so there the rule is that nothing may be what would let someone past
the guards. Verifier, `tradeledger db upgrade`, `db check` and `init` ask the same, so that no ledger is begun where the
first verification would call it broken. This module knows no connection: it is handed what runs its SQL.
"""

from __future__ import annotations

import typing
from typing import Final

from ledger.guards import Query

_HELD: Final = (
    # The ledger's roles, and whoever is a member of one: (member, role).
    "WITH RECURSIVE held AS ("
    "  SELECT r.oid AS member, r.oid AS role FROM pg_roles r WHERE r.rolname IN ('ledger_owner', 'ledger_writer',"
    "   'ledger_publisher', 'ledger_applier', 'ledger_sealer', 'ledger_auditor', 'ledger_reader')"
    "  UNION SELECT m.member, h.role FROM pg_auth_members m JOIN held h ON h.member = m.roleid)"
)

_AROUND: Final[tuple[typing.LiteralString, ...]] = (
    "SELECT 'event trigger ' || evtname, concat(evtenabled, ' on ', evtevent, ' calls ', evtfoid::regproc),"
    " format('DROP EVENT TRIGGER %I', evtname) FROM pg_event_trigger",
    "SELECT 'default privileges of ' || pg_get_userbyid(d.defaclrole), d.defaclacl::text,"
    " format('ALTER DEFAULT PRIVILEGES FOR ROLE %I …, until \\ddp shows none of them', pg_get_userbyid(d.defaclrole))"
    " FROM pg_default_acl d"
    " WHERE d.defaclnamespace = to_regnamespace('ledger') OR pg_get_userbyid(d.defaclrole) = 'ledger_owner'",
    # A subscription writes with other rights than a login.
    "SELECT 'subscription ' || subname, concat('enabled=', subenabled), format('DROP SUBSCRIPTION %I', subname)"
    " FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
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
    "   AND s.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER'))),"
    # Of a ledger's own role its rights are taken; anybody else keeps them, and one of the roles at most.
    "  concat_ws('; ', CASE WHEN r.rolname LIKE 'ledger\\_%' AND r.rolname = ANY(p.roles) THEN"
    "   format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS', r.rolname) END,"
    "   (SELECT concat(CASE WHEN count(*) > 1 THEN 'of these what is too much: ' END, string_agg(format("
    "    'REVOKE %I FROM %I', g.rolname, r.rolname), '; ' ORDER BY g.rolname)) FROM pg_auth_members m"
    "    JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid))"
    " FROM people p JOIN pg_roles r ON r.oid = p.member",
    # Nor may anybody else who can write past every grant, or at the files below.
    _HELD + " SELECT 'role ' || r.rolname, 'is a member of ' || string_agg(g.rolname, ' and ' ORDER BY g.rolname),"
    " string_agg(format('REVOKE %I FROM %I', g.rolname, r.rolname), '; ' ORDER BY g.rolname)"
    " FROM pg_roles r JOIN pg_roles g ON g.rolname IN ('pg_write_all_data', 'pg_execute_server_program',"
    "  'pg_write_server_files', 'pg_maintain') AND pg_has_role(r.oid, g.oid, 'MEMBER')"
    " WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND NOT EXISTS (SELECT FROM held h WHERE h.member = r.oid)"
    " GROUP BY r.rolname",
    # What runs with the rights of the schema's owner or of a superuser can do all that its caller may not; PostgreSQL
    # has no such function of its own, so its schemas are looked at as well.
    _HELD + " SELECT format('function %s.%s(%s) with the rights of %s', n.nspname, p.proname,"
    "  pg_get_function_identity_arguments(p.oid), o.rolname), 'may be run by ' || string_agg(DISTINCT"
    "  pg_get_userbyid(h.member)::text, ', ' ORDER BY pg_get_userbyid(h.member)::text),"
    "  format('ALTER ROUTINE %s SECURITY INVOKER, or DROP ROUTINE', p.oid::regprocedure)"
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner, held h"
    " WHERE p.prosecdef AND n.nspname <> 'ledger'"
    "  AND (o.rolsuper OR EXISTS (SELECT FROM held x WHERE x.member = o.oid))"
    "  AND NOT pg_has_role(h.member, o.oid, 'MEMBER') AND has_function_privilege(h.member, p.oid, 'EXECUTE')"
    " GROUP BY n.nspname, p.proname, p.oid, o.rolname",
    # A database's owner may drop it, make schemas and install extensions.
    "SELECT 'database', 'owner=' || pg_get_userbyid(d.datdba),"
    " format('ALTER DATABASE %I OWNER TO ledger_owner', d.datname) FROM pg_database d"
    " WHERE d.datname = current_database() AND NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'ledger_owner'"
    " AND pg_has_role(d.datdba, g.oid, 'MEMBER'))",
    # A superuser can hand out the right to change one setting, such as the one that turns every trigger off.
    _HELD + " SELECT 'right to set ' || parname, string_agg(DISTINCT concat((item).privilege_type, ' for ', r.rolname),"
    "  ', ' ORDER BY concat((item).privilege_type, ' for ', r.rolname)),"
    "  string_agg(DISTINCT format('REVOKE ALL ON PARAMETER %s FROM %s', parname, CASE WHEN (item).grantee = 0"
    "   THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid((item).grantee)) END), '; ')"
    " FROM (SELECT parname, aclexplode(paracl) AS item FROM pg_parameter_acl) granted, held h, pg_roles r"
    " WHERE r.oid = h.member AND NOT r.rolsuper"
    "  AND ((item).grantee = 0 OR pg_has_role(h.member, (item).grantee, 'MEMBER')) GROUP BY parname",
    "SELECT format('setting of %s in %s', coalesce(pg_get_userbyid(nullif(s.setrole, 0)), 'every role'),"
    "  coalesce(d.datname, 'every database')), concat_ws(', ', variadic array(SELECT item FROM unnest(s.setconfig) item"
    "  WHERE split_part(item, '=', 1) IN ('session_replication_role', 'search_path', 'row_security',"
    "  'zero_damaged_pages', 'ignore_checksum_failure', 'session_preload_libraries', 'local_preload_libraries')"
    "  OR item ~* '^synchronous_commit=(off|false|no|0)$')), concat(CASE WHEN s.setrole = 0 THEN"
    "  format('ALTER DATABASE %I', d.datname) ELSE format('ALTER ROLE %I%s', pg_get_userbyid(s.setrole),"
    "  ' IN DATABASE ' || quote_ident(d.datname)) END, ' RESET each of them')"
    " FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase"
    " WHERE s.setdatabase = 0 OR d.datname = current_database()",
    "SELECT 'setting of the server', string_agg(format('%s=%s', name, reset_val), ', ' ORDER BY name),"
    " string_agg(CASE WHEN name = 'data_checksums' THEN 'pg_checksums --enable, with the server stopped'"
    "  ELSE format('ALTER SYSTEM RESET %s, or set it right where the server is started', name) END, '; ' ORDER BY name)"
    " FROM pg_settings"
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


def around(query: Query) -> list[tuple[str, str, str]]:
    """
    Return the name of each thing around the schema that would let someone past its guards, what was found there, and
    what ends it; nothing is good.
    """
    return sorted((name, found, end) for sql in _AROUND for name, found, end in query(sql) if found)
