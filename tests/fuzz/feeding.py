"""
Feed targets for so long, and keep what should not have happened.

Each target has random numbers of its own, made from the seed and its name, so an input is repeated by seed, name and
number, however fast the machine is. Time is the processor's: what else the machine does is no fault of a parser.
"""

from __future__ import annotations

import resource
import signal
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

import msgspec

from ledger.errors import LedgerError
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import MIB, Target

SECONDS_LIMIT: Final = 2.0
"""Of processor time for one input; the slowest that is right takes a tenth of that."""
HANG_SECONDS: Final = 20.0
BATCH: Final = 20
GROWN_EXAMPLES: Final = 200
TAKEN_SHARE: Final = 0.05
KEPT_FAILURES: Final = 20
"""Of each target; more of them would say nothing more."""


class Hang(BaseException):
    """
    One input took the processor for so long that it would never end.
    """


class Failure(msgspec.Struct, frozen=True):
    """
    One input that ended otherwise than it may: what it was fed to, its number in that run, and what came of it.
    """

    target: str
    number: int
    said: str
    where: str
    data: bytes


class Fed(msgspec.Struct):
    """
    What came of one target: inputs, how many were accepted, how many refused by which error, and the worst seconds.
    """

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    slowest_seconds: float = 0.0
    processor_seconds: float = 0.0
    failures: list[Failure] = msgspec.field(default_factory=list)
    seen: set[str] = msgspec.field(default_factory=set)


class Feeding:
    """
    One run over one target.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._random = Random(f"{seed}/{target.name}")
        self._mutator = Mutator(target.examples, self._random)
        self.fed = Fed(target.name)

    def batch(self, count: int = BATCH) -> None:
        """
        Feed so many more inputs.
        """
        began = time.process_time()
        for _ in range(count):
            self.one()
        self.fed.processor_seconds += time.process_time() - began

    def one(self) -> None:
        """
        Feed one more input.
        """
        self.fed.inputs += 1
        changed = self._mutator.make()
        data = self._target.wrap(changed)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
        try:
            self._target.feed(data)
        except LedgerError as error:
            self.fed.refused[type(error).__name__] += 1
        except (Exception, Hang) as error:
            self._failed(data, f"{type(error).__name__}: {str(error)[:300]}", _place(error))
        else:
            self.fed.accepted += 1
            if self._random.random() < TAKEN_SHARE and len(changed) < 8192:
                self._mutator.take(changed, GROWN_EXAMPLES)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took = time.process_time() - began
        self.fed.slowest_seconds = max(self.fed.slowest_seconds, took)
        if took > SECONDS_LIMIT:
            self._failed(data, f"it took {took:.1f} s of the processor; at most {SECONDS_LIMIT}", "")

    def _failed(self, data: bytes, said: str, where: str) -> None:
        place = where or said.partition(":")[0]
        if place not in self.fed.seen and len(self.fed.seen) < KEPT_FAILURES:
            self.fed.seen.add(place)
            self.fed.failures.append(Failure(self.fed.name, self.fed.inputs, said, where, data))


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = [x for x in traceback.extract_tb(error.__traceback__) if "site-packages" not in x.filename]
    return f"{Path(ours[-1].filename if ours else last.filename).name}:{(ours[-1] if ours else last).lineno}"


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"it took more than {HANG_SECONDS:.0f} s of the processor")


@contextmanager
def watched() -> Iterator[None]:
    """
    Have an input that never ends end in `Hang`.
    """
    before = signal.signal(signal.SIGVTALRM, _hang)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)


def limit_memory(more_bytes: int) -> None:
    """
    Give this process so much more address space than it has now; what asks for more gets a MemoryError.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def feed(targets: Sequence[Target], seed: int, seconds: float) -> list[Fed]:
    """
    Feed all targets in turn for so many seconds of processor time in all, each for the same share of it.
    """
    running = [Feeding(target, seed) for target in targets]
    share = seconds / len(running)
    with watched():
        for one in running:
            while one.fed.processor_seconds < share:
                one.batch()
    return [one.fed for one in running]


def peak_of(target: Target, seed: int, count: int) -> tuple[int, int]:
    """
    Return the most memory, in bytes, that one of *count* inputs took at its peak, and the size of that input.
    """
    random = Random(f"{seed}/{target.name}/memory")
    mutator = Mutator(target.examples, random)
    inputs: list[bytes] = [target.wrap(one) for one in target.examples]
    inputs += [target.wrap(mutator.make()) for _ in range(count)]
    worst = (0, 0)
    tracemalloc.start()
    try:
        for data in inputs:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            with suppress(LedgerError):
                target.feed(data)
            worst = max(worst, (tracemalloc.get_traced_memory()[1] - before, len(data)))
    finally:
        tracemalloc.stop()
    return worst


def keep(failures: Sequence[Failure], folder: Path) -> list[Path]:
    """
    Write each input that broke something into *folder*, and return the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for one in failures:
        name = "".join(letter if letter.isalnum() else "-" for letter in one.target)
        path = folder / f"{name}-{sha256(one.data).hexdigest()[:12]}.bin"
        path.write_bytes(one.data)
        made.append(path)
    return made


def summary(fed: Sequence[Fed], seed: int, grown_bytes: int, limit_bytes: int) -> dict[str, Any]:
    """
    Return what a run did, as its report says it.
    """
    inputs, seconds = sum(one.inputs for one in fed), sum(one.processor_seconds for one in fed)
    return {
        "seed": seed,
        "inputs": inputs,
        "inputs_per_second": round(inputs / seconds) if seconds else 0,
        "grown_mib": round(grown_bytes / MIB, 1),
        "limit_mib": round(limit_bytes / MIB),
        "failures": sum(len(one.failures) for one in fed),
        "targets": [
            {
                "name": one.name, "inputs": one.inputs, "accepted": one.accepted, "refused": dict(one.refused),
                "per_second": round(one.inputs / one.processor_seconds) if one.processor_seconds else 0,
                "slowest_ms": round(one.slowest_seconds * 1000, 1),
                "failures": [{"number": x.number, "said": x.said, "where": x.where} for x in one.failures],
            }
            for one in fed
        ],
    }  # fmt: skip
