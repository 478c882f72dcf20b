"""
The `tradeledger` command: data on stdout, progress and words on stderr, and an exit status that says what to do.

A command is loaded when it is asked for: all of them take longer than most of them run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

from ledger import command
from ledger.version import Version

_MANNER: Final = command.Manner(
    "error",
    "interrupted; what was recorded by then stays, and an import that is run again goes on from there",
    lambda error: error.exit_status,
)
_WHERE: Final = {
    "init": "creation:init",
    "chain": "identity:show_chain",
    "head": "identity:head",
    "event-types": "event_types:event_types",
    "show": "show:show",
    "quarantine": "quarantine:app",
    "reconcile": "reconcile:app",
    "export": "export:app",
    "import": "taking_in:app",
    "generate": "requests:generate",
    "snapshot": "kept:snapshot",
    "read-models": "kept:read_models",
    "seal": "seal:seal",
    "cosign": "seal:cosign",
    "signer": "signer:app",
    "keys": "keys:app",
    "archive": "archive:archive",
    "prove": "prove:prove",
    "repair": "repair:app",
    "db": "schema:app",
    "sandbox": "sandbox:app",
}
"""The module and the name in it of each command, in the order of `--help`."""


class _Commands(Mapping[str, Any]):
    """
    Every command by its name, loaded when it is looked up.
    """

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = _WHERE[name].partition(":")
        found = getattr(importlib.import_module(f"ledger.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            return typer.main.get_command(alone)
        group = typer.main.get_group(found)
        group.name = name
        return group

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


class _Group(TyperGroup):
    """
    The program, whose commands are loaded one by one.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # none is ever added


app = typer.Typer(
    name="tradeledger", cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Append to a trade ledger, and operate it. Exit status: 0 done, 2 usage, 3 corruption, 5 a dependency is "
    "down, 6 RPO broken, 7 conflict, 8 refused, 130 interrupted.",
)  # fmt: skip


@app.callback()
def tradeledger(version: Version = False) -> None:
    """
    Append to a trade ledger, and operate it.
    """


def main() -> None:
    """
    Run the command line, and end the process with the status that tells what to do.
    """
    command.end(command.run(app, _MANNER))
