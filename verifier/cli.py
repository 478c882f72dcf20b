"""
The `tradeledger-verify` command: exit 0 only where everything was checked and nothing is wrong.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ledger import command
from ledger.sandbox import home
from verifier import archive as archived
from verifier import commands, witnessing
from verifier import full as whole
from verifier.options import Dsn, Format, Origin, ReportFile, Trust
from verifier.reader import Reader
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.stored import ChainsLost
from verifier.trust import read_policy

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


@app.callback()
def verify() -> None:
    """
    Verify a trade ledger.
    """


@app.command()
def full(dsn: Dsn = None, origin: Origin = None, format: Format = Form.TABLE, report: ReportFile = None) -> None:
    """
    Check every byte, link, rule, row and guard of one chain in one region.

    Give the auditor's login: it may read everything and change nothing. The report goes to standard output, progress
    to standard error where that is a terminal. With --format json there is one JSON object whatever happens.
    """
    if status := judged(lambda: _verified(dsn, origin), format, report):
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
    trust: Trust,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many processes check at once.")] = 1,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check an archive from its files alone: signatures, quorum, tree, links and payloads. No database is asked.

    The policy is the root of trust, so it is never read from the archive: have it from somewhere else.
    """

    def made() -> Report:
        with progress(None) as told:
            return archived.verify(folder, read_policy(trust), told, jobs)

    if status := judged(made, format, report):
        raise typer.Exit(status)


app.command("proof")(commands.proof)
app.command("receipts")(commands.receipts)


def main() -> None:
    """
    Run the command line; whatever keeps it from verifying ends with 4, never with 0.
    """
    command.end(command.run(app, _MANNER))
