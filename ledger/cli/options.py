"""
Name the options that several commands have, so that they mean the same everywhere.
"""

from __future__ import annotations

from typing import Annotated

import typer

Dsn = Annotated[
    str | None,
    typer.Option(help="Database address; else $LEDGER_DSN; else a private PostgreSQL under $LEDGER_HOME."),
]
Origin = Annotated[str | None, typer.Option(help="Which chain; may be left out when the database has one.")]
Format = Annotated[str, typer.Option("--format", help="table or json.")]


def check_format(chosen: str) -> None:
    """
    Raise a usage error unless *chosen* is a format.
    """
    if chosen not in ("table", "json"):
        raise typer.BadParameter(f"found --format {chosen!r}; expected table or json")
