"""
Run mutants in one session of pytest: python tests/mutation/runner.py [REQUEST]

mutmut makes the mutants and puts all of a function beside it, so that a name alone says which one is called. The tests
are collected once; each mutant gets a fork of that process, which runs those tests that call its function until one
fails, and first those that noticed other mutants of the same function. So a mutant costs what its tests cost, and no
start of an interpreter, of pytest or of a collection.

This file is run as a program and imports nothing of the repository: what is called `tests` and `ledger` here are the
copies in mutants/ of the folder
at hand. REQUEST is JSON as `Request` has it, without one the mutants are made and none is run.
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
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypedDict

import pytest
from mutmut.__main__ import create_mutants
from mutmut.mutation import trampoline
from mutmut.mutation.data import SourceFileMutationData
from mutmut.state import state
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths

MEASURED: Final = "measured.json"
KILLED, LIVES, NO_TEST, OUT_OF_TIME = 1, 0, 33, 36
CPU_TIMES: Final = 20
CPU_MORE_S: Final = 3
"""A mutant may take so many times what its tests take on the processor, and so many seconds more."""
WALL_S: Final = 300
"""And so long by the clock: what waits for ever takes no processor. Others may have it for minutes, so it is much."""
MORE_MEMORY: Final = 2 << 30
SAVED_EACH_S: Final = 5


class Request(TypedDict):
    """
    The mutants to run, by which tests, those of which to ask first, for how many seconds, and how many at a time.
    """

    names: list[str]
    tests: list[str]
    first: list[str]
    seconds: float
    children: int
    afresh: bool


class Measure(NamedTuple):
    """
    What a test takes on the processor, the functions it calls, and the hash of what it was when that was measured.
    """

    seconds: float
    calls: list[str]
    of: str


class Running(NamedTuple):
    """
    A mutant that a child runs: its tests in their order, what the child says by, and when it began.
    """

    name: str
    tests: list[pytest.Item]
    said: int
    began: float


def call_mutant(name: str) -> None:
    """
    Have the functions of this process and of those that it starts be those of this mutant, or do what the name says.
    """
    trampoline.set_mutant_under_test(name)
    # mutmut looks into the environment at each call of each function, which takes longer than many of them.
    trampoline.get_mutant_under_test = lambda: name


def function_of(name: str) -> str:
    """
    Return the function that a mutant is of, with its module.
    """
    return name.partition("__mutmut_")[0]


def make() -> None:
    """
    Make the mutants in the folder at hand where the code is newer than they are.
    """
    call_mutant("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(1)


class Verdicts:
    """
    The exit codes of the mutants of a folder, which are written now and then and at the end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, dict[str, Any]] = {}
        self._file_of: dict[str, str] = {}
        self._changed: set[str] = set()
        self._written = time.monotonic()
        for meta in sorted(folder.rglob("*.py.meta")):
            self._files[str(meta)] = told = json.loads(meta.read_text())
            self._file_of.update(dict.fromkeys(told["exit_code_by_key"], str(meta)))

    def __contains__(self, name: object) -> bool:
        return name in self._file_of

    def put(self, name: str, code: int) -> None:
        """
        Note what came of a mutant.
        """
        file = self._file_of[name]
        self._files[file]["exit_code_by_key"][name] = code
        self._changed.add(file)
        if time.monotonic() - self._written > SAVED_EACH_S:
            self.write()

    def write(self) -> None:
        """
        Write what has changed.
        """
        for file in self._changed:
            beside = Path(f"{file}.new")
            beside.write_text(json.dumps(self._files[file]))
            beside.replace(file)
        self._changed.clear()
        self._written = time.monotonic()


class Session:
    """
    A plugin of pytest that runs mutants where pytest would run its tests.
    """

    def __init__(self, asked: Request, sources: str) -> None:
        self._asked = asked
        self._sources = sources
        self._until = time.monotonic() + asked["seconds"]
        self._verdicts = Verdicts(Path.cwd())
        self._failed: list[str] = []
        self._fails: Callable[[], None] | None = None
        self._of_fixtures: dict[object, set[str]] = {}
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure of any part of a test."""
        if report.failed:
            self._failed.append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note what a fixture calls, for only the first of the tests that share it calls that too."""
        before = set(state()._stats)
        state()._stats.clear()
        try:
            return (yield)
        finally:
            self._of_fixtures[fixturedef] = set(state()._stats)
            state()._stats |= before

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests that were not measured yet, and run the mutants."""
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors while tests were collected")
        self._measure(session.items)
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
                if name not in self._verdicts:
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
            self._verdicts.write()
        return True

    def _seconds(self, item: pytest.Item) -> float:
        return self._measured[item.nodeid].seconds

    def _order(self, name: str, item: pytest.Item) -> tuple[int, bool, float]:
        noticed = self._noticed[function_of(name)]
        rank = noticed.index(item.nodeid) if item.nodeid in noticed else len(noticed)
        return rank, not item.nodeid.startswith(tuple(self._asked["first"])), self._seconds(item)

    def _measure(self, items: Sequence[pytest.Item]) -> None:
        kept = Path(MEASURED)
        if kept.exists() and not self._asked["afresh"]:
            self._measured = {name: Measure(*told) for name, told in json.loads(kept.read_text()).items()}
        hashes = {path: sha256(path.read_bytes() + self._sources.encode()).hexdigest() for path in _files(items)}
        new = [
            item for item in items
            if item.nodeid not in self._measured or self._measured[item.nodeid].of != hashes[item.path]
        ]  # fmt: skip
        if not new:
            return
        # In a child, so that what a test leaves in memory is in none of those that run mutants.
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            with os.fdopen(write, "w") as said:
                json.dump(self._measures(new, hashes), said)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as heard:
            told = json.loads(heard.read() or '{"failed": "the tests ended the process"}')
        os.waitpid(pid, 0)
        if "failed" in told:
            raise pytest.UsageError(f"a test fails before anything is mutated: {told['failed']}")
        self._measured |= {name: Measure(*one) for name, one in told.items()}
        kept.write_text(json.dumps(self._measured))

    def _measures(self, items: Sequence[pytest.Item], hashes: dict[Path, str]) -> dict[str, Any]:
        _begin(Path("stats"), items[0].config)
        call_mutant("stats")
        told: dict[str, Measure] = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            state()._stats.clear()
            began = _processor_s()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return {"failed": self._failed[0]}
            calls = set(state()._stats)
            for found in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                calls.update(*(self._of_fixtures.get(fixture, ()) for fixture in found))
            told[item.nodeid] = Measure(round(_processor_s() - began, 4), sorted(calls), hashes[item.path])
        return told

    def _start(self, name: str, tests: list[pytest.Item]) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            self._running[pid] = Running(name, tests, read, time.monotonic())
            return
        limit = int(_processor_s() + CPU_MORE_S + CPU_TIMES * sum(self._seconds(item) for item in tests)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        _begin(Path(str(os.getpid())), tests[0].config)
        call_mutant(name)
        self._fails = lambda: _notice(write, number)
        for number, (item, following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):  # noqa: B007
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
        shutil.rmtree(_room(Path(str(pid))), ignore_errors=True)
        self._put(one.name, code)

    def _put(self, name: str, code: int) -> None:
        self.counts[code] += 1
        self._verdicts.put(name, code)


def _notice(said: int, number: int) -> NoReturn:
    os.write(said, str(number).encode())
    os._exit(KILLED)


def _files(items: Iterable[pytest.Item]) -> set[Path]:
    return {item.path for item in items}


def _processor_s() -> float:
    return sum(os.times()[:4])


def _room(name: Path) -> Path:
    return Path.cwd() / "rooms" / name


def _begin(name: Path, config: pytest.Config) -> None:
    # A child of its own: what it prints is for nobody, its files are removed with it, and its memory has an end.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    room = _room(name)
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    config._tmp_path_factory._basetemp = room  # type: ignore[attr-defined]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(request: str = "") -> int:
    """
    Make the mutants of the folder at hand, run those that the JSON text *request* asks for, and return the exit status.
    """
    make()
    if not request:
        return 0
    asked: Request = json.loads(request)
    setup_source_paths()
    os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"
    os.environ["MUTMUT_DEPENDENCY_DEPTH"] = "-1"
    hashes = [SourceFileMutationData(path=path) for path in sorted(_mutated())]
    for one in hashes:
        one.load()
    sources = json.dumps([one.hash_by_function_name for one in hashes], sort_keys=True)
    call_mutant("")
    os.chdir("mutants")
    # The output of a test is kept in memory: files would be shared by all children.
    # What a failure says is for nobody, and to say it would take longer than the test.
    arguments = ["--rootdir=.", "--capture=sys", "--assert=plain", "--tb=native", "-q", "--no-header"]
    arguments += ["-p", "no:randomly", "-p", "no:cacheprovider"]
    session = Session(asked, sources)
    status = int(pytest.main([*arguments, *asked["tests"]], plugins=[session]))
    ran = sum(session.counts.values())
    print(f"{ran} mutants run, {session.counts[LIVES]} not noticed, {session.counts[NO_TEST]} that no test calls")
    shutil.rmtree("rooms", ignore_errors=True)
    # Pytest says 5 where it ran no test itself, which is so here.
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status


def _mutated() -> list[str]:
    found = Path("mutants")
    return [str(meta.relative_to(found)).removesuffix(".meta") for meta in found.rglob("*.py.meta")]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
