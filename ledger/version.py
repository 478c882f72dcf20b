"""
Say which release this is.
"""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Final

import typer


def _program() -> str:
    try:
        return f"trade-ledger {metadata.version('trade-ledger')}"
    except metadata.PackageNotFoundError:
        return "trade-ledger, run from a folder that was not installed"


PROGRAM: Final = _program()
"""The release, as reports name it."""


def _say(asked: bool) -> None:
    if asked:
        print(PROGRAM)
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_say, is_eager=True, help="Say which release this is, and exit.")
]
"""The option that the programs share."""
