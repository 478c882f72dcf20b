"""
Start processes that check parts of a copy, and that leave a Ctrl-C to the one that started them.

A terminal sends it to all of them. A process that is still importing what it needs would answer with a traceback, long
before it could say that it does not want to hear; so it is started with the signal blocked, which a new program takes
over from who starts it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any


class _Deaf(SpawnProcess):
    """A process that no Ctrl-C reaches."""

    def start(self) -> None:
        # It would be started with this one, and then unblocks the signal.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _DeafContext(SpawnContext):
    Process = _Deaf


def pool(jobs: int, begin: Callable[..., None] | None = None, *given: Any) -> ProcessPoolExecutor:
    """
    Return an executor of so many processes, each of which calls *begin* first, with what is *given*.

    They are not forked: connections and threads of this process would be theirs too, or missing there.
    """
    return ProcessPoolExecutor(jobs, _DeafContext(), begin, given)
