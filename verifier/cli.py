"""
The `tradeledger-verify` command: exit 0 only where everything was checked and nothing is wrong.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger import command, given_file, throughput
from ledger.errors import LedgerError
from ledger.evidence import checkpoint, note
from ledger.evidence.checkpoint import Checkpoint
from ledger.sandbox import home
from ledger.version import Version
from verifier import commands, identity, modes, witnessing
from verifier import full as whole
from verifier.archive.command import archive
from verifier.options import Dsn, Format, Jobs, Origin, ReportFile
from verifier.reader import Reader
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.stored import ChainsLost, Unreadable
from verifier.trust import read_policy
from verifier.walk import commands as walks
from verifier.walk.books import Books

_MANNER: Final = command.Manner(
    "could not verify",
    "interrupted; the verification that was under way came to no verdict",
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
app.command()(walks.chain)
app.command()(walks.incremental)
app.command()(walks.state)
app.command()(walks.watch)
modes.register(app)


@app.callback()
def verify(version: Version = False) -> None:
    """
    Verify a trade ledger.
    """


@app.command()
def full(
    dsn: Dsn = None,
    origin: Origin = None,
    trust: Annotated[
        Path | None, typer.Option("--policy", help="Your own file of whose signatures under checkpoints count.")
    ] = None,
    expect: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that you kept; the history must hold what it covered.")
    ] = None,
    jobs: Jobs = 1,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Go on from where this file says an earlier verification came to, and say how far this one does."
        ),
    ] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check every byte, link, rule, row and guard of one chain in one region.

    Give the auditor's login: it may read everything and change nothing. The report goes to standard output, progress
    to standard error where that is a terminal. With --format json there is one JSON object whatever is found.
    With --state an interrupted verification goes on where it was, and what an earlier one checked is not read again.
    """
    if status := judged(lambda: _verified(dsn, origin, jobs, trust, expect or [], state), format, report):
        raise typer.Exit(status)


def _verified(
    dsn: str | None, origin: str | None, jobs: int, trust: Path | None, expect: list[Path], state: Path | None
) -> Report:
    found_policy = None if trust is None else read_policy(trust)
    try:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            progress(max(reader.chain.seq, 0)) as told,
        ):
            # What its row says it is called may have been changed; where nobody knows whose events they are, no policy
            # and no checkpoint can be asked.
            notes = [_read(path) for path in expect]
            known = [] if found_policy is None else found_policy.origins()
            settled = identity.settle(reader, known)
            chain = settled.chain.origin
            if found_policy is not None and settled.readable and not found_policy.logs_of(chain):
                logs = ", ".join(known) or "none"
                raise Unreadable(f"{trust} is a policy for other logs ({logs}), and this chain is {chain}")
            expected = [_expected(path, data, chain) for path, data in zip(expect, notes, strict=True)
                        if settled.readable]  # fmt: skip
            with Books(state) if state is not None else contextlib.nullcontext() as books:
                return whole.verify(reader, told, jobs, books, trust=found_policy, expected=expected, notes=notes,
                                    settled=settled)  # fmt: skip
    except ChainsLost as lost:
        return whole.without_chains(lost, origin)


app.command("archive")(archive)
app.command("proof")(commands.proof)
app.command("receipts")(commands.receipts)


def _read(path: Path) -> bytes:
    try:
        return given_file.read(path, note.NOTE_LIMIT_BYTES)
    except OSError as error:
        raise Unreadable(f"the checkpoint {path} cannot be read: {error.strerror}; name one that you kept") from error


def _expected(path: Path, data: bytes, origin: str) -> Checkpoint:
    """Return a checkpoint that the auditor kept, whose word for it counts, whatever signatures it has."""
    try:
        stated, _ = checkpoint.decode_note(data, least=0)
    except LedgerError as error:
        raise Unreadable(f"{path} is no checkpoint: {error}") from error
    if stated.origin != origin:
        raise Unreadable(f"{path} is a checkpoint of {stated.origin}, and this chain is {origin}")
    return stated


def main() -> None:
    """
    Run the command line; whatever keeps it from verifying ends with 4, never with 0.
    """
    # Replaying makes as many small objects as appending does, and none of them in a cycle.
    throughput.for_throughput()
    command.end(command.run(app, _MANNER))
