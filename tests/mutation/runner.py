"""
Run mutants in one session of pytest: python -m tests.mutation.runner REQUEST

mutmut makes the mutants and puts all of a function beside it, so that a name alone says which one is called. The tests
are collected once; each mutant gets a fork of that process, which runs those tests that call its function until one
fails, and first those that noticed other mutants of the same function. So a mutant costs what its tests cost, and no
start of an interpreter, of pytest or of a collection.

This is started where the mutants are, and what is called `tests` and `ledger` there are the copies beside them. REQUEST
is JSON as `Request` has it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypedDict

import pytest

from tests.mutation import child
from tests.mutation.codes import Codes
from tests.mutation.measuring import Measure, Measuring

KILLED, LIVES, NO_TEST, OUT_OF_TIME = 1, 0, 33, 36
CPU_TIMES: Final = 20
CPU_MORE_S: Final = 1
"""With a mutant a test may take so many times what it takes without on the processor, and so many seconds more."""
WALL_S: Final = 300
"""And so long by the clock: what waits for ever takes no processor. Others may have it for minutes, so it is much."""


class Request(TypedDict):
    """
    The mutants to run, by which tests, those of which to ask first, for how many seconds, and how many at a time.

    *afresh* says that the tests are measured again.
    """

    names: list[str]
    tests: list[str]
    first: list[str]
    seconds: float
    children: int
    afresh: bool


class Running(NamedTuple):
    """
    A mutant that a child runs: its tests in their order, what the child says by, and when it began.
    """

    name: str
    tests: list[pytest.Item]
    said: int
    began: float


def function_of(name: str) -> str:
    """
    Return the function that a mutant is of, with its module.
    """
    return name.partition("__mutmut_")[0]


class Session:
    """
    A plugin of pytest that runs mutants where pytest would run its tests.
    """

    def __init__(self, asked: Request, measuring: Measuring) -> None:
        self._asked = asked
        self._measuring = measuring
        self._until = time.monotonic() + asked["seconds"]
        self._codes = Codes(Path.cwd())
        self._fails: Callable[[], None] | None = None
        self._running: dict[int, Running] = {}
        self._noticed: defaultdict[str, list[str]] = defaultdict(list)
        self._measured: dict[str, Measure] = {}
        self.counts: defaultdict[int, int] = defaultdict(int)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """End a child at its first failure: to tell what it was like takes longer than the test."""
        if (
            self._fails is not None
            and call.excinfo is not None
            and not call.excinfo.errisinstance(pytest.skip.Exception)
        ):
            self._fails()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests that were not measured yet, and run the mutants."""
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors while tests were collected")
        afresh = self._asked["afresh"]
        self._measured = self._measuring.measures(session.items, self._codes.code, afresh=afresh)
        by_function: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            for function in self._measured[item.nodeid].calls:
                by_function[function].append(item)
        if not by_function:
            raise session.Interrupted("no test calls what is mutated: the mutants would all seem to live")
        # What is there before the forks is shared by them as long as no collection of garbage touches it.
        gc.collect()
        gc.freeze()
        takes = {name: sum(self._seconds(item) for item in items) for name, items in by_function.items()}
        try:
            for name in sorted(self._asked["names"], key=lambda one: takes.get(function_of(one), 0.0)):
                if time.monotonic() > self._until:
                    break
                if name not in self._codes:
                    continue
                while len(self._running) >= self._asked["children"]:
                    self._wait()
                tests = by_function.get(function_of(name), [])
                if tests:
                    self._start(name, sorted(tests, key=lambda item: self._order(name, item)))
                else:
                    self._put(name, NO_TEST)
            while self._running:
                self._wait()
        finally:
            for pid in self._running:
                os.kill(pid, signal.SIGKILL)
            self._codes.write()
        return True

    def _seconds(self, item: pytest.Item) -> float:
        return self._measured[item.nodeid].seconds

    def _order(self, name: str, item: pytest.Item) -> tuple[int, bool, float]:
        noticed = self._noticed[function_of(name)]
        rank = noticed.index(item.nodeid) if item.nodeid in noticed else len(noticed)
        return rank, not item.nodeid.startswith(tuple(self._asked["first"])), self._seconds(item)

    def _start(self, name: str, tests: list[pytest.Item]) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            self._running[pid] = Running(name, tests, read, time.monotonic())
            return
        child.begin(str(os.getpid()), tests[0].config)
        child.call_mutant(name)
        self._fails = lambda: _notice(write, number)
        for number, (item, following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):  # noqa: B007
            limit = time.process_time() + CPU_MORE_S + CPU_TIMES * self._seconds(item)
            resource.setrlimit(resource.RLIMIT_CPU, (ceil(limit), resource.RLIM_INFINITY))
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException:  # whatever a mutant throws at pytest itself was noticed
                self._fails()
        os._exit(LIVES)

    def _wait(self) -> None:
        # A child that ends closes its end of the pipe, whatever it ended of.
        ended, _, _ = select.select([one.said for one in self._running.values()], [], [], 1.0)
        for pid, one in list(self._running.items()):
            if one.said in ended:
                said = os.read(one.said, 16)
                _, status = os.waitpid(pid, 0)
                code = os.waitstatus_to_exitcode(status)
                if said:
                    self._remember(one, one.tests[int(said)].nodeid)
                # What ends the process some other way, such as for want of memory, would end the tests too.
                self._end(pid, one, code if code in (KILLED, LIVES) else OUT_OF_TIME if code < 0 else KILLED)
            elif time.monotonic() - one.began > WALL_S:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                self._end(pid, one, OUT_OF_TIME)

    def _remember(self, one: Running, test: str) -> None:
        noticed = self._noticed[function_of(one.name)]
        if test in noticed:
            noticed.remove(test)
        noticed.insert(0, test)

    def _end(self, pid: int, one: Running, code: int) -> None:
        os.close(one.said)
        del self._running[pid]
        child.remove(str(pid))
        self._put(one.name, code)

    def _put(self, name: str, code: int) -> None:
        self.counts[code] += 1
        self._codes.put(name, code)


def _notice(said: int, number: int) -> NoReturn:
    os.write(said, str(number).encode())
    os._exit(KILLED)


def main(request: str) -> int:
    """
    Run what the JSON text *request* asks for, and return the exit status.
    """
    asked: Request = json.loads(request)
    child.call_mutant("")
    # The output of a test is kept in memory: files would be shared by all children.
    # What a failure says is for nobody, and to say it would take longer than the test.
    arguments = ["--rootdir=.", "--capture=sys", "--assert=plain", "--tb=native", "-q", "--no-header"]
    arguments += ["-p", "no:randomly", "-p", "no:cacheprovider"]
    measuring = Measuring()
    session = Session(asked, measuring)
    status = int(pytest.main([*arguments, *asked["tests"]], plugins=[measuring, session]))
    ran = sum(session.counts.values())
    print(f"{ran} mutants run, {session.counts[LIVES]} not noticed, {session.counts[NO_TEST]} that no test calls")
    shutil.rmtree(child.ROOMS, ignore_errors=True)
    # Pytest says 5 where it ran no test itself, which is so here.
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
