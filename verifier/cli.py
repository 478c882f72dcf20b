"""
The `tradeledger-verify` command: exit 0 only where everything was checked and nothing is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ledger import command
from ledger.errors import LedgerError
from ledger.evidence import policy
from ledger.sandbox import home
from verifier import archive as archived
from verifier import full as whole
from verifier import witnessing
from verifier.reader import Reader
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.stored import ChainsLost, Unreadable

_MANNER: Final = command.Manner(
    "could not verify",
    "interrupted; nothing was verified",
    lambda error: 3 if error.exit_status == 3 else 4,
    fault=4,
    full=4,
    gone=4,
)
app = typer.Typer(
    name="tradeledger-verify", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Verify a trade ledger. Exit status: 0 verified, 2 usage, 3 corruption found, 4 could not verify, 130 "
    "interrupted.",
)  # fmt: skip
app.add_typer(witnessing.app, name="witness")

Format = Annotated[Form, typer.Option("--format", help="For people, or for programs.")]


@app.callback()
def verify() -> None:
    """
    Verify a trade ledger.
    """


@app.command()
def full(
    dsn: Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private one.")] = None,
    origin: Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")] = None,
    format: Format = Form.TABLE,
) -> None:
    """
    Check every byte, link, rule, row and guard of one chain in one region.

    Give the auditor's login: it may read everything and change nothing. The report goes to standard output, progress
    to standard error where that is a terminal. With --format json there is one JSON object whatever happens.
    """
    if status := judged(lambda: _verified(dsn, origin), format):
        raise typer.Exit(status)


def _verified(dsn: str | None, origin: str | None) -> Report:
    try:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            progress(max(reader.chain.seq, 0)) as told,
        ):
            return whole.verify(reader, told)
    except ChainsLost as lost:
        return whole.without_chains(lost, origin)


@app.command()
def archive(
    folder: Annotated[str, typer.Argument(help="Where the archive is.")],
    trust: Annotated[Path, typer.Option("--policy", help="Your own file of whose signatures count.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many processes check at once.")] = 1,
    format: Format = Form.TABLE,
) -> None:
    """
    Check an archive from its files alone: signatures, quorum, tree, links and payloads. No database is asked.

    The policy is the root of trust, so it is never read from the archive: have it from somewhere else.
    """

    def made() -> Report:
        with progress(None) as told:
            return archived.verify(folder, read_policy(trust), told, jobs)

    if status := judged(made, format):
        raise typer.Exit(status)


def read_policy(path: Path) -> policy.Policy:
    """
    Return the policy in a file.

    Raises:
        Unreadable: there is none, so nothing can be trusted.
    """
    try:
        return policy.decode(path.read_bytes())
    except OSError as error:
        raise Unreadable(
            f"the policy {path} cannot be read: {error.strerror}; nothing is trusted without it"
        ) from error
    except LedgerError as error:
        raise Unreadable(f"{path}: {error}; nothing is trusted without a policy") from error


def main() -> None:
    """
    Run the command line; whatever keeps it from verifying ends with 4, never with 0.
    """
    command.end(command.run(app, _MANNER))
