"""
Show what a verification came to: to people as lines, to programs in a form of theirs, and progress where somebody
watches.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ledger.errors import LedgerError
from ledger.whole_file import whole
from verifier.columns import reported
from verifier.forms.form import Form, of_file, written
from verifier.report import BROKEN, NOT_VERIFIED, VERIFIED, Ended, Outcome, Report

__all__ = ["Form", "judged", "kept", "progress", "shown"]


class _Rate(ProgressColumn):
    """How many a second are checked lately."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextlib.contextmanager
def progress(total: int | None) -> Iterator[Callable[[str, int], None]]:
    """
    Yield what hears of progress; it is shown on standard error where that is a terminal: with its rate, and with the
    time left where a *total* is known.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _Rate(), TimeElapsedColumn(),
        *([TimeRemainingColumn()] if total else []),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("checking events", total=total)

        def told(what: str, count: int) -> None:
            more = f" {count:,}" if count else ""
            bar.update(task, description=f"{what}{more}", completed=count or None)

        yield told


def judged(make: Callable[[], Report], form: Form, file: Path | None = None) -> int:
    """
    Show the report that *make* returns, in *file* too where one is named, and return the exit status.

    What cannot be verified, is interrupted or fails is told in every form as well, and raised. The status is the same
    in every form; where *file* cannot be written it is 4 instead of 0, and 3 all the same.

    Raises:
        LedgerError: nothing could be verified.
    """
    try:
        report = reported(make)
    except BaseException as error:
        ended = _ended(error)
        if ended is not None:
            kept(ended, file)
            shown(ended, form)
        raise
    status = 0 if report.verdict == VERIFIED else 3
    is_kept = kept(report, file)
    shown(report, form)
    return status if is_kept or status else 4


def _ended(error: BaseException) -> Ended | None:
    if isinstance(error, LedgerError):
        return Ended(BROKEN if error.exit_status == 3 else NOT_VERIFIED, error.code, str(error))
    if isinstance(error, KeyboardInterrupt):
        return Ended(NOT_VERIFIED, "interrupted", "interrupted; nothing was verified")
    if isinstance(error, Exception):
        return Ended(NOT_VERIFIED, "fault", f"it ended with {type(error).__name__}: {error}")
    return None


def kept(outcome: Outcome, file: Path | None) -> bool:
    """
    Write *outcome* into *file*, in the form that its name says; return whether the file, if any, holds it.
    """
    if file is None:
        return True
    try:
        with whole(file) as out:
            out.write(written(outcome, of_file(file), int(time.time())).encode("utf-8", "backslashreplace"))
    except OSError as error:
        print(f"the report {file} was not written: {error.strerror}; make room, or name another file", file=sys.stderr)
        return False
    return True


def shown(outcome: Outcome, form: Form) -> None:
    """
    Write *outcome* to standard output; for people an end without a report is the sentence on standard error.

    Corruption that was found ends with its own status, also where nobody reads of it: then standard error says so.

    Raises:
        OSError: it cannot be written, and nothing was found that has to be told.
    """
    if form is Form.TABLE and not isinstance(outcome, Report):
        return
    encoding = sys.stdout.encoding if form is Form.TABLE else "utf-8"
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(written(outcome, form, int(time.time())).encode(encoding, "backslashreplace"))
        sys.stdout.flush()
    except OSError as error:
        if outcome.verdict != BROKEN:
            raise
        # What is printed later would end with it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"corruption was found, and its report was not printed: {error.strerror}; write it with --report FILE",
              file=sys.stderr)  # fmt: skip
