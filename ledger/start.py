"""
Begin a program so that a Ctrl-C is a sentence from its first moment, also while its modules still load.

Loading takes longer than a person waits before thinking better of it, and Python's own answer to a Ctrl-C there is a
traceback. So this comes first, loads nothing itself, and ends the process at once: nothing was begun yet. And what a
program prints has to have somewhere to go: one that was started without a standard output still does what it is asked,
and one whose output is in another encoding than UTF-8 escapes what that lacks.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from typing import Final

INTERRUPTED: Final = 130
HELD_DOWN_S: Final = 0.5
"""So long after a Ctrl-C another one is the same: whoever holds the keys down sends many."""
_SAID: Final = b"interrupted before anything was begun\n"


def _end(number: int, frame: object) -> None:
    os.write(2, _SAID)
    os._exit(INTERRUPTED)


_interrupted_at = -HELD_DOWN_S


def _interrupt(number: int, frame: object) -> None:
    global _interrupted_at
    if time.monotonic() - _interrupted_at < HELD_DOWN_S:
        return
    _interrupted_at = time.monotonic()
    raise KeyboardInterrupt


def _have_somewhere_to_print() -> None:
    """Let standard streams that are closed lead nowhere, and have the output take every character."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest number that is free, which is this one.
            opened = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(opened, "w" if number else "r", closefd=False))
    if sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def run(module: str) -> None:
    """
    Load *module* and run its `main`, which calls `ready` where it can take a Ctrl-C itself.
    """
    _have_somewhere_to_print()
    # A shell's background job ignores Ctrl-C, and stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    importlib.import_module(module).main()


def ready() -> None:
    """
    From here on a Ctrl-C is a KeyboardInterrupt: one, however long the keys are held down.
    """
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)
