"""
Check the guards around the rows: triggers that are off, functions that were changed, rights that were widened.

An edit behind the ledger's back usually begins here: disable a trigger, edit, enable it again, or not; or leave
something behind that edits later. What the schema should be is said by `ledger.guards`, fact by fact, and nothing else
may be in it; what around it would let someone past the guards is said by `ledger.surroundings`.
"""

from __future__ import annotations

import json
import sys
import typing
from typing import Final

import psycopg

from ledger import guards, surroundings
from ledger.guards import Query
from verifier.report import Finding

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


def check(connection: psycopg.Connection[typing.Any]) -> list[Finding]:
    """
    Return every guard that is missing, changed or new.
    """
    surprising = surroundings.around(lambda sql: connection.execute(sql).fetchall())
    return [
        Finding("GUARD_CHANGED", expected, actual, table="catalogue", key=(name,))
        for name, expected, actual in _differences(connection)
    ] + [Finding("GUARD_CHANGED", "nothing", value, table="catalogue", key=(name,)) for name, value, _ in surprising]


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
        connection.execute(guards.SESSION)
        found = guards.facts(lambda sql: connection.execute(sql).fetchall())
    guards.EXPECTED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
