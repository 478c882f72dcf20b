"""
Verify an archive from the command line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger import given_file
from ledger.evidence import note
from verifier.archive import verification
from verifier.archive.verification import Wanted
from verifier.options import Format, ReportFile, Trust
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.stored import Unreadable
from verifier.trust import read_policy


def archive(
    place: Annotated[str, typer.Argument(help="Where the archive is: a folder, or the URL of an object store.")],
    trust: Trust,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many processes check at once.")] = 1,
    first: Annotated[int | None, typer.Option("--from", min=1, help="The first seq to check; else 1.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The last seq to check; else the last.")] = None,
    expect: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that you kept; the archive must hold what it covered.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File of what was checked, to go on from after an interruption.")
    ] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check an archive from its files alone: signatures, quorum, tree, links, payloads and requests. No database is asked.

    The policy is the root of trust, so it is never read from the archive: have it from somewhere else. Bundles of 256
    events are checked whole, so --from and --to take in the events around them.
    """
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"found --from {first} and --to {last}; the first seq comes first")

    def made() -> Report:
        trusted = read_policy(trust)
        expected = tuple((str(path), _read(path)) for path in expect or ())
        with progress(None) as told:
            return verification.verify(place, trusted, told, Wanted(jobs, first, last, expected, state))

    try:
        status = judged(made, format, report)
    except KeyboardInterrupt:
        if state is not None:
            print(f"{state} has what was checked so far; the same command goes on from there", file=sys.stderr)
        raise
    if status:
        raise typer.Exit(status)


def _read(path: Path) -> bytes:
    try:
        return given_file.read(path, note.NOTE_LIMIT_BYTES)
    except OSError as error:
        raise Unreadable(f"the checkpoint {path} cannot be read: {error.strerror}; name one that you kept") from error
