"""
Begin a program so that a Ctrl-C is a sentence from its first moment, also while its modules still load.

Loading takes longer than a person waits before thinking better of it, and Python's own answer to a Ctrl-C there is a
traceback. So this comes first, loads nothing itself, and ends the process at once: nothing was begun yet.
"""

from __future__ import annotations

import importlib
import os
import signal
from typing import Final

INTERRUPTED: Final = 130
_SAID: Final = b"interrupted before anything was begun\n"


def _end(number: int, frame: object) -> None:
    os.write(2, _SAID)
    os._exit(INTERRUPTED)


def run(module: str) -> None:
    """
    Load *module* and run its `main`, which calls `ready` where it can take a Ctrl-C itself.
    """
    # A shell's background job ignores Ctrl-C, and stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    importlib.import_module(module).main()


def ready() -> None:
    """
    From here on a Ctrl-C is a KeyboardInterrupt, as Python has it.
    """
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
