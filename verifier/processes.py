"""
Start processes that check parts of a copy, and that leave a Ctrl-C to the one that started them.

A terminal sends it to all of them. A process that is still importing what it needs would answer with a traceback, long
before it could say that it does not want to hear; so it is started with the signal blocked, which a new program takes
over from who starts it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_start_method, resource_tracker
from multiprocessing.context import ForkContext, ForkProcess, SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from verifier.stored import worker_ended


class _Deaf(SpawnProcess):
    """A process that no Ctrl-C reaches."""

    def start(self) -> None:
        # It would be started with this one, and then unblocks the signal.
        resource_tracker.ensure_running()
        _start_deaf(self, super().start)


class _DeafContext(SpawnContext):
    Process = _Deaf


class _DeafFork(ForkProcess):
    """A process that no Ctrl-C reaches, and that is divided from this one."""

    def start(self) -> None:
        _start_deaf(self, super().start)


class _DeafForkContext(ForkContext):
    Process = _DeafFork


def _start_deaf(process: BaseProcess, start: Callable[[], None]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        start()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        # A Ctrl-C that came meanwhile is heard here, where nobody else knows yet of the process.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except BaseException:
        process.kill()
        process.join()
        raise


@contextlib.contextmanager
def forked(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """
    Yield an executor of so many processes that are divided from this one, where that is the way of this system: what
    has to begin before there is a connection, and quickly. Whatever ends the block early ends what they are at.

    Raises:
        Unreadable: one of them was ended.
    """
    forks = get_start_method() == "fork"
    with _ending(ProcessPoolExecutor(jobs, _DeafForkContext() if forks else _DeafContext())) as pool:
        # They begin now, so that none inherits a connection.
        try:
            pool.submit(os.getpid).result()
            yield pool
        except BrokenProcessPool as error:
            raise worker_ended() from error


@contextlib.contextmanager
def pool(jobs: int, begin: Callable[..., None] | None = None, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """
    Yield an executor of so many processes, each of which calls *begin* first, with what is *given*. Whatever ends the
    block early ends what they are at.

    They are not forked: connections and threads of this process would be theirs too, or missing there.
    """
    with _ending(ProcessPoolExecutor(jobs, _DeafContext(), begin, given)) as pool:
        yield pool


@contextlib.contextmanager
def _ending(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """Yield an executor whose processes are ended with the block: who leaves it early waits for nobody's part."""
    try:
        yield pool
        pool.shutdown(cancel_futures=True)
    except BaseException:
        # They only read; one may wait for a server that does not answer.
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
