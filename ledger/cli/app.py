"""
The `tradeledger` command: data on stdout, progress and words on stderr, and an exit status that says what to do.

A command is loaded when it is asked for: all of them take longer than most of them run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from ledger import command
from ledger.version import Version

_STAYS: Final = "what was recorded by then stays"
_INTERRUPTED: Final = {
    **dict.fromkeys(("chain", "head", "event-types", "show", "export", "generate", "prove", "db check", "repair plan",
                     "quarantine list", "quarantine show", "reconcile list", "read-models status", "keys show",
                     "sandbox status"), "nothing was changed"),
    "import": f"{_STAYS}, and an import that is run again goes on from there",
    "archive": "files that are whole stay, and an archive that is run again goes on from them",
    "keys": f"{_STAYS}; a file that was not whole is not there",
    "repair apply": "nothing was mended, or all that was planned: apply the same plan again, which does what is left",
    "sandbox up": "a sandbox that had begun to start goes on: `tradeledger sandbox status` says so, and `down` ends it",
}  # fmt: skip
"""By command, or command and the one below it, what an interruption leaves behind; of others, what was recorded."""


def interrupted(words: Sequence[str]) -> str:
    """
    Return what to say where the command line *words* was interrupted: what it leaves behind.
    """
    names = [word for word in words if not word.startswith("-")][:2]
    left = _INTERRUPTED.get(" ".join(names)) or _INTERRUPTED.get("".join(names[:1]), _STAYS)
    return f"interrupted; {left}"


def manner(words: Sequence[str]) -> command.Manner:
    """
    Return how the program words an error, and an interruption of the command line *words*.
    """
    return command.Manner("error", interrupted(words), lambda error: error.exit_status)


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
    command.end(command.run(app, manner(sys.argv[1:])))
