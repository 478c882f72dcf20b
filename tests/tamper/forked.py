"""
Run the verifier's command in a process of its own that has loaded its modules already.

What takes longest about four hundred short verifications is to load Python's modules for each. So one process loads
them once and divides for each command, which then runs as it does from a shell: arguments, output, exit status.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["verifier.cli", "tests.tamper.forked"])


class TooLong(Exception):
    """
    A command did not end in time.
    """


def _run(words: Sequence[str], out: str, error: str) -> None:
    for path, number in ((out, 1), (error, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["tradeledger-verify", *words]
    from verifier.cli import main

    main()


def run(words: Sequence[str], folder: Path, timeout_s: float) -> tuple[int, bytes, bytes]:
    """
    Return exit status, output and error output of `tradeledger-verify` with these words.

    Raises:
        TooLong: it did not end in time, and was ended.
    """
    out, error = folder / "out", folder / "error"
    process = _CONTEXT.Process(target=_run, args=(list(words), str(out), str(error)))
    process.start()
    process.join(timeout_s)
    if process.is_alive():
        process.kill()
        process.join()
        raise TooLong
    assert process.exitcode is not None
    return process.exitcode, out.read_bytes(), error.read_bytes()
