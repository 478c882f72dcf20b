"""
The commands that walk a chain: `chain` and `incremental`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ledger.sandbox import home
from verifier.reader import Reader
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.walk import incremental as since
from verifier.walk import joined

JOBS_LIMIT: Final = 64

Dsn = Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private one.")]
Origin = Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")]
Jobs = Annotated[int, typer.Option(min=1, max=JOBS_LIMIT, help="How many processes check at once.")]
Format = Annotated[Form, typer.Option("--format", help="For people, or for programs.")]


def chain(
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    first: Annotated[int, typer.Option("--from", min=1, help="The first seq to check.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The last one; else up to the head.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Go on from where this file says an earlier walk came to, and say how far this one does."),
    ] = None,
    format: Format = Form.TABLE,
) -> None:
    """
    Check bytes, columns and links of every event, fast: what `full` does before it applies the rules.

    With --state an interrupted walk goes on where it was, and a later one checks what was appended since; a database
    that is behind the state, or holds another history up to there, is convicted.
    """

    def made() -> Report:
        with home.database("auditor", dsn=dsn) as address, progress(None) as told:
            return joined.verify_chain(address, origin, first=first, last=last, jobs=jobs, state=state, tell=told)

    if status := judged(made, format):
        raise typer.Exit(status)


def incremental(
    state: Annotated[Path, typer.Option(help="What an earlier verification came to; made if not there.")],
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    format: Format = Form.TABLE,
) -> None:
    """
    Check everything about the events since the last time: bytes, links, rules, and the rows that they touched.

    Without the file everything is checked, as `full` does, and the file is made. It changes only when nothing is found.
    A database that is behind it, or holds another history up to there, is convicted. What no event touched since is not
    looked at again: that is for `full`.
    """

    def made() -> Report:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            progress(max(reader.chain.seq, 0)) as told,
        ):
            return since.verify(reader, state, told, jobs)

    if status := judged(made, format):
        raise typer.Exit(status)
