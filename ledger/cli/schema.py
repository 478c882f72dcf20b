"""
Make the database's schema, and check it.
"""

from __future__ import annotations

import typer

from ledger.cli import access
from ledger.cli.options import Dsn
from ledger.storage import upgrade as schema

app = typer.Typer(no_args_is_help=True, help="Make and check the database's schema.")


@app.command("upgrade")
def upgrade(dsn: Dsn = None) -> None:
    """
    Bring the database to this release's schema; the address logs in as a member of ledger_owner.
    """
    with access.making(dsn) as found:
        schema.upgrade(found.dsn("owner"))
    print("the schema is up to date")


@app.command("check")
def check(dsn: Dsn = None) -> None:
    """
    Say whether the database has exactly this release's schema, with every guard in it, and nothing around it by which
    these are passed, on a server that loses no commit.
    """
    with access.access(dsn) as found:
        schema.check(found.dsn("owner"))
    print("the schema is exactly this release's, and nothing around it lets its guards be passed")
