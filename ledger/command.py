"""
Run a command line to its end: every error a sentence on stderr, every end an exit status that says what to do.

The three programs share this; what differs is how they word it and which status an error has. A traceback is shown
for a fault of the program alone.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Final

import msgspec
import typer

from ledger import start
from ledger.errors import InvalidInput, LedgerError, SetupNeeded, plain, shown
from ledger.whole_file import advice

USAGE: Final = 2
INTERRUPTED: Final = start.INTERRUPTED


class Manner(msgspec.Struct, frozen=True):
    """
    How a program words an error and an interruption, and which status an error and a fault of its own have.
    """

    error: str
    interrupted: str
    status: Callable[[LedgerError], int]
    fault: int = 1
    full: int = 5
    """The status where a file or the output cannot be written."""
    gone: int = 0
    """The status where whoever read the output went away: what was to be done is done, unless it was to tell."""


def run(app: typer.Typer, manner: Manner) -> int:
    """
    Run *app* on the arguments of the process, and return the exit status.
    """
    try:
        start.ready()
        status = app(standalone_mode=False)
        sys.stdout.flush()
        # The command line's own code has made this status of a Ctrl-C.
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except LedgerError as error:
        print(f"{manner.error}: {_lines(error)}", file=sys.stderr)
        return manner.status(error)
    except typer.Exit as ending:
        return ending.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(manner.interrupted, file=sys.stderr)
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has gone; the command line's own code makes a SystemExit of that, and of nothing else.
        return manner.gone
    except Exception as error:
        return _other(error, manner)


def usage(check: Callable[[str], None]) -> Callable[[str], str]:
    """
    Return a callback for an option: a value that *check* refuses is a usage error.
    """

    def checked(value: str) -> str:
        try:
            check(value)
        except InvalidInput as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return checked


def _lines(error: LedgerError) -> str:
    """Return what an error says: in one line, as it may quote what anybody wrote, but for the log of a program."""
    lines = str(error).split("\n") if isinstance(error, SetupNeeded) else [str(error)]
    return "\n".join(plain(line) for line in lines)


def _is_utf8(word: str) -> bool:
    return word.isascii() or not any("\udc80" <= character <= "\udcff" for character in word)


def _other(error: Exception, manner: Manner) -> int:
    show = getattr(error, "show", None)
    if show is not None:
        show()
        return USAGE
    if isinstance(error, OSError) and error.strerror:
        place = f"{plain(str(error.filename))}: " if error.filename else ""
        print(f"{manner.error}: {place}{error.strerror}; {advice(error)}", file=sys.stderr)
        return manner.full
    unreadable = next((word for word in sys.argv[1:] if not _is_utf8(word)), None)
    if isinstance(error, UnicodeEncodeError) and unreadable is not None:
        # A name of a file may be so, and is taken; of what a database or a chain holds, nothing is.
        print(f"{manner.error}: found the argument {shown(unreadable)}, which is not in UTF-8; write it in UTF-8",
              file=sys.stderr)  # fmt: skip
        return USAGE
    print(*map(plain, traceback.format_exc().splitlines()), sep="\n", file=sys.stderr)
    print(f"{manner.error}: this is a fault of the program; the lines above say where", file=sys.stderr)
    return manner.fault


def end(status: int) -> None:
    """
    End the process with *status*, also where the output's reader or the disk is gone.
    """
    # What was asked is done or undone by now; a Ctrl-C while Python takes itself down would only replace the status.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)
