"""
Break every invariant in the database: as the writer's login, whom a wall should stop, and behind the walls as a
superuser, whom the verifier should name.

The SQL is examples/break_invariants.sql, word for word, on a chain that a reader can make, so that a reader can do the
same.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Database
from tests.invariants import blocks
from tests.invariants.blocks import Block
from tests.verifier.intruder import copied, real, report_on

AS_OWNER = (
    "SET ROLE ledger_owner; "
    "INSERT INTO ledger.source_logins SELECT DISTINCT 'owner', source FROM ledger.source_logins ON CONFLICT DO NOTHING"
)


def refused(database: Database, login: str, sql: str) -> str:
    """Run *sql* as *login*, and return the SQLSTATE and the constraint or trigger that refused it, or `taken`."""
    with psycopg.connect(database.dsn(login)) as connection:
        try:
            if login == "owner":
                connection.execute(AS_OWNER)
            cursor = connection.execute(sql)
            while True:
                assert cursor.rowcount, "a statement found no row to break"
                if not cursor.nextset():
                    break
            # A constraint that is deferred speaks when the transaction ends; what none refuses is taken back.
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            where = (error.diag.context or "").partition("ledger.")[2].partition("(")[0]
            return f"{error.sqlstate} {error.diag.constraint_name or where}"
        finally:
            connection.rollback()
    return "taken"


@pytest.mark.parametrize("login", ["writer", "owner"])
@pytest.mark.parametrize("block", blocks.of("writer"), ids=blocks.name)
def test_the_database_stops_whoever_does_without_the_journal(firm: Database, block: Block, login: str) -> None:
    """By the constraint or trigger that the header names, with its SQLSTATE; `taken` says that none stands there."""
    assert refused(firm, login, block.sql) == block.expected


def test_the_owner_writes_no_event_for_a_source_that_is_not_bound_to_them(firm: Database) -> None:
    """What docs/INVARIANTS.md says of the owner: the wall of events asks that first."""
    block = next(block for block in blocks.of("writer") if block.expected == "TL003 check_appended")
    with psycopg.connect(firm.dsn("owner")) as connection:
        connection.execute("SET ROLE ledger_owner")
        with pytest.raises(psycopg.Error) as found:
            connection.execute(block.sql)
    assert found.value.sqlstate == "TL004"


@pytest.mark.parametrize("block", blocks.of("intruder"), ids=blocks.name)
def test_the_verifier_names_what_was_done_behind_the_walls(firm: Database, block: Block) -> None:
    """By the class that the header names, about the data and not only about the wall that was taken down."""
    with copied(firm) as copy:
        copy.sql(block.sql)
        assert block.expected in {finding.kind for finding in real(report_on(copy))}
