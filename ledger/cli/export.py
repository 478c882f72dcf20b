"""
Write the books as journals that beancount and hledger check.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger.cli import access
from ledger.cli.options import Dsn, Origin
from ledger.exporting import journals
from ledger.queries import Books, Seq
from ledger.whole_file import whole

app = typer.Typer(no_args_is_help=True, help="Write the books as journals for other programs to add up.")

AtSeq = Annotated[int | None, typer.Option("--at-seq", help="Up to the event at this seq; else all there is.")]
Output = Annotated[Path | None, typer.Option(help="File to write, there once it is whole; else stdout.")]


def _write(form: str, at_seq: int | None, output: Path | None, dsn: str | None, origin: str | None) -> None:
    at = None if at_seq is None else Seq(at_seq)
    with access.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        lines = journals.journal(books, journals.FORMS[form], at)
        if output is None:
            sys.stdout.writelines(f"{line}\n" for line in lines)
            return
        with whole(output) as file:
            file.writelines(f"{line}\n".encode("ascii") for line in lines)


@app.command()
def beancount(at_seq: AtSeq = None, output: Output = None, dsn: Dsn = None, origin: Origin = None) -> None:
    """
    Write a journal for beancount (3), with an assertion of every closing balance.
    """
    _write("beancount", at_seq, output, dsn, origin)


@app.command()
def hledger(at_seq: AtSeq = None, output: Output = None, dsn: Dsn = None, origin: Origin = None) -> None:
    """
    Write a journal for hledger, with an assertion of every closing balance.
    """
    _write("hledger", at_seq, output, dsn, origin)
