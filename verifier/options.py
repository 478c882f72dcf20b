"""
Name the options that several commands of the verifier have, so that they mean the same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ledger import given_file
from ledger.errors import InvalidInput
from verifier.forms.form import Form, of_file


def _report_file(path: Path | None) -> Path | None:
    if path is None:
        return None
    try:
        of_file(path)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"found report file {path}; there is no folder {path.absolute().parent}")
    try:
        if path.exists():
            given_file.check(path)
    except OSError as error:
        raise typer.BadParameter(f"found report file {path}: {error.strerror}") from error
    return path


Dsn = Annotated[str | None, typer.Option(help="Database address; else $LEDGER_DSN; else the private one.")]
Origin = Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")]
Format = Annotated[Form, typer.Option("--format", help="For people, for programs, or to be passed on.")]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", callback=_report_file, help="Write it into this file too: .json, .xml, .md or .html."),
]
JOBS_LIMIT: Final = 64
Jobs = Annotated[int, typer.Option(min=1, max=JOBS_LIMIT, help="How many processes check at once.")]
Trust = Annotated[Path, typer.Option("--policy", help="Your own file of whose signatures count.")]
